//! The promises. Each takes a fresh edge; what it is called is what it promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use slotkeeper_core::{
    api::{BreakRequest, SlotOutcome, Tracking},
    beacon::Event,
    caps::{CALENDAR_TURNS, Calendar, Cap, CapScope, Turn, Window},
    contract::{DemandClass, Rating},
    fact::Recording,
    id::{AdId, BreakId, OpportunityId, RecordId},
    keys::{Keyring, Pseudonyms, Purpose},
    plan::{FlightSource, Plan},
    pod::{Outcome, UnfilledReason},
    token::{EventClass, Token},
};

use crate::{
    collector::Mood,
    edge::{Edge, Runtime, StoreFault, json, outcomes, tokens},
    openapi,
    world::{self, capped, flight, request},
};

pub(crate) use crate::eligible::{
    caps_within_a_session_are_exact_for_who_objects_and_a_retry_is_no_second_break,
    consent_strings_are_read_and_bounded_and_go_no_further, what_a_crawler_asks_for_is_stored_and_flagged,
    what_a_crawler_reports_is_stored_and_flagged_and_settles_nothing,
    who_objects_is_shown_nothing_that_a_longer_cap_counts_and_is_nobody_in_the_books,
};

pub(crate) use crate::forget::{
    a_viewer_is_forgotten_by_the_origin_only_and_their_caps_start_anew,
    what_was_decided_before_a_viewer_was_forgotten_brings_nothing_back,
};

pub(crate) use crate::abuse::{
    a_client_past_its_limit_is_refused_before_its_body_is_read_and_its_neighbours_are_not,
    tokens_and_bearers_of_every_step_of_a_key_rotation_are_taken_as_promised,
};
pub(crate) use crate::vast::{
    a_click_leads_where_the_ad_was_booked_to_lead_and_nowhere_else,
    a_device_is_believed_only_of_a_stitcher_that_is_known, a_malformed_query_is_refused_by_parameter,
    a_page_that_asks_with_credentials_may_read_its_vast, a_stock_player_and_the_sdk_get_the_same_break,
    a_vast_whose_rows_nobody_takes_is_not_answered, a_vmap_leads_to_every_break_of_the_title,
    an_error_of_a_break_without_ads_is_recorded, every_version_of_vast_is_one_that_validators_accept,
    tracking_leads_to_where_the_edge_says_it_is_reached, what_a_stock_player_calls_lands_in_the_books,
};
pub(crate) use crate::wire::{
    a_batch_that_lay_is_older_by_as_long, a_malformed_batch_is_refused_by_line_and_field,
    what_a_client_lost_is_told_by_who_has_a_token, what_is_said_beside_an_event_comes_to_the_origin,
};

pub(crate) use crate::hls::{
    a_malformed_request_for_an_asset_list_is_refused_by_parameter, a_session_is_the_playback_unless_one_is_named,
    a_titles_breaks_are_the_interstitials_of_the_demos_playlist,
    an_ad_that_hls_cannot_play_is_not_listed_and_may_be_shown_elsewhere,
    an_asset_list_for_the_sdk_carries_the_breaks_answer,
    an_asset_list_holds_the_filled_slots_and_what_it_says_to_call_counts,
    an_asset_list_loaded_again_by_one_playback_is_one_break, an_asset_list_whose_rows_nobody_takes_is_not_answered,
    an_asset_list_without_an_ad_is_empty_and_its_rows_are_stored, what_a_late_joiner_cannot_be_shown_is_given_back,
};

pub(crate) use crate::auction::{
    a_dynamic_pods_rest_is_auctioned_as_one_and_filled_by_several,
    an_auction_that_fails_costs_its_deadline_and_the_row_says_so, an_auctions_wrappers_lead_only_where_they_may,
    what_guaranteed_demand_leaves_is_auctioned_once_and_the_winner_is_in_the_books,
    without_permission_an_auction_hears_of_nobody,
};

pub(crate) async fn every_slot_is_filled_or_unfilled_and_explained<R: Runtime>(edge: Edge<R>) {
    let mut unsuitable = flight(2);
    unsuitable.ratings = vec![Rating::TvY];
    edge.publish(vec![flight(1), unsuitable]).await;
    let pod = edge.open(&request("r1", "ann", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(10), Err(UnfilledReason::CompetitiveSeparation)]);
    let SlotOutcome::Filled { ad, token, .. } = &pod.slots[0].outcome else { panic!("{pod:?}") };
    assert_eq!((ad.name.as_str(), ad.duration_ms, ad.media.len()), ("creative 1", 15_000, 1));
    assert_eq!(token.len(), 64);

    let mut rows = edge.rows(2).await;
    rows.sort_by_key(|(_, row)| row.slot_index);
    for ((recording, row), slot) in rows.iter().zip(&pod.slots) {
        assert_eq!(*recording, Recording::Committed);
        assert_eq!(row.break_id, pod.break_id);
        assert_eq!((row.plan_version, row.candidates), (Some(1), 2));
        assert_eq!(row.eliminated.content_unsuitable, 1);
        assert_eq!(row.fill().is_some(), matches!(slot.outcome, SlotOutcome::Filled { .. }));
    }
    assert_eq!(rows[1].1.eliminated.competitive_separation, 1);
    let stored = serde_json::to_string(&rows.iter().map(|(_, row)| row).collect::<Vec<_>>()).unwrap();
    assert!(!stored.contains("ann"), "a profile id must not be stored: {stored}");
}

pub(crate) async fn opportunities_are_the_sum_of_filled_and_unfilled_with_no_slot_lost_or_doubled<R: Runtime>(
    edge: Edge<R>,
) {
    edge.publish(vec![capped(1, 2), capped(2, 1), flight(3)]).await;
    let edge = Arc::new(edge);
    let breaks = (0..40).map(|n| {
        let edge = Arc::clone(&edge);
        tokio::spawn(async move { edge.open(&request(&format!("r{n}"), &format!("viewer{}", n % 7), 1 + n % 4)).await })
    });
    let mut asked = 0;
    let mut answered = BTreeMap::new();
    for opened in breaks.collect::<Vec<_>>() {
        let pod = opened.await.unwrap();
        asked += pod.slots.len();
        for slot in pod.slots {
            answered.insert(slot.opportunity_id, matches!(slot.outcome, SlotOutcome::Filled { .. }));
        }
    }
    assert_eq!(answered.len(), asked, "two slots with one id");
    let stored: BTreeMap<_, _> =
        edge.rows(asked).await.into_iter().map(|(_, row)| (row.opportunity_id, row.fill().is_some())).collect();
    assert_eq!(stored, answered, "what is stored is what was answered");
}

pub(crate) async fn a_retried_break_returns_the_same_pod_the_same_rows_and_the_same_claims<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 2)]).await;
    let first = edge.ask(&request("same", "bob", 2)).await;
    for _ in 0..5 {
        let again = edge.ask(&request("same", "bob", 2)).await;
        assert_eq!(again.body(), first.body());
    }
    edge.publish(vec![flight(9)]).await;
    assert_eq!(edge.ask(&request("same", "bob", 2)).await.body(), first.body(), "a new plan does not change the past");
    edge.publish(vec![capped(1, 2)]).await;

    let other = edge.open(&request("other", "bob", 1)).await;
    assert_eq!(outcomes(&other), [Ok(10)], "the retries claimed nothing more");
    let third = edge.open(&request("third", "bob", 1)).await;
    assert_eq!(outcomes(&third), [Err(UnfilledReason::FrequencyCapped)]);
    let same_request_of_another = edge.open(&request("same", "eve", 1)).await;
    assert_eq!(outcomes(&same_request_of_another), [Ok(10)], "a request id is one profile's own");
    edge.rows(5).await;
}

pub(crate) async fn retries_that_race_are_one_break<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 3), flight(2)]).await;
    let edge = Arc::new(edge);
    assert_eq!(race_retries(&edge, "cid", 2).await.len(), 1);
    edge.rows(2).await;
    for n in 0..2 {
        assert!(outcomes(&edge.open(&request(&format!("more{n}"), "cid", 2)).await).contains(&Ok(10)));
    }
    assert!(!outcomes(&edge.open(&request("last", "cid", 2)).await).contains(&Ok(10)), "3 claims in all");
    edge.rows(8).await;

    // Without claims, nothing but the memory of the break keeps a second commit out.
    edge.publish(vec![flight(2)]).await;
    assert_eq!(race_retries(&edge, "dot", 1).await.len(), 1);
    edge.rows(9).await;
    assert_eq!(edge.collector.rows().len(), 9, "not even a duplicate was shipped");
}

/// Tries one break many times at once; the different answers.
async fn race_retries<R: Runtime>(edge: &Arc<Edge<R>>, profile_id: &'static str, slots: usize) -> BTreeSet<Bytes> {
    let tries: Vec<_> = (0..24)
        .map(|_| {
            let edge = Arc::clone(edge);
            tokio::spawn(async move { edge.ask(&request("one", profile_id, slots)).await.into_body() })
        })
        .collect();
    let mut answers = BTreeSet::new();
    for tried in tries {
        answers.insert(tried.await.unwrap());
    }
    answers
}

pub(crate) async fn two_hundred_concurrent_breaks_against_a_cap_of_5_are_exactly_5_fills<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 5)]).await;
    let outcomes = race(Arc::new(edge), 200, 1).await;
    assert_eq!(outcomes[&Ok(10)], 5, "{outcomes:?}");
    assert_eq!(outcomes[&Err(UnfilledReason::FrequencyCapped)], 195, "{outcomes:?}");
}

pub(crate) async fn several_caps_raced_at_once_are_each_filled_exactly<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 2), capped(2, 5), capped(3, 9)]).await;
    let outcomes = race(Arc::new(edge), 60, 2).await;
    let filled: Vec<_> = [10, 20, 30].iter().map(|ad| outcomes.get(&Ok(*ad)).copied().unwrap_or_default()).collect();
    assert_eq!(filled, [2, 5, 9], "{outcomes:?}");
}

pub(crate) async fn twenty_viewers_by_three_campaigns_by_mixed_windows_are_each_filled_exactly<R: Runtime>(
    edge: Edge<R>,
) {
    let today = Turn { from: world::now().minus_ms(3_600_000), began_at: world::now().minus_ms(3_600_000) };
    let day = Window::Calendar(Calendar { turns: [today; CALENDAR_TURNS], longest_ms: 25 * 3_600_000 });
    let windows = [(1, 2, Window::Rolling { ms: 3_600_000 }), (2, 3, day), (3, 4, Window::Lifetime)];
    let flights = windows.map(|(id, limit, window)| FlightSource {
        caps: vec![
            Cap { scope: CapScope::Advertiser, limit: 9, window: Window::Session },
            Cap { scope: CapScope::Campaign, limit, window },
        ],
        ..flight(id)
    });
    edge.publish(flights.to_vec()).await;
    let edge = Arc::new(edge);
    let racing: Vec<_> = (0..240)
        .map(|n| {
            let edge = Arc::clone(&edge);
            let mut asked = request(&format!("race{n}"), &format!("viewer {}", n % 20), 2);
            asked.session_id = Some("evening".into());
            tokio::spawn(async move { (n % 20, outcomes(&edge.open(&asked).await)) })
        })
        .collect();
    let mut fills: BTreeMap<(usize, u32), usize> = BTreeMap::new();
    for opened in racing {
        let (viewer, outcomes) = opened.await.unwrap();
        outcomes.into_iter().flatten().for_each(|ad| *fills.entry((viewer, ad)).or_default() += 1);
    }
    let expected = (0..20).flat_map(|viewer| [((viewer, 10), 2), ((viewer, 20), 3), ((viewer, 30), 4)]);
    assert_eq!(fills, expected.collect());
}

/// So many breaks of one viewer at once; how often each outcome came. Every row is stored as answered.
async fn race<R: Runtime>(
    edge: Arc<Edge<R>>,
    breaks: usize,
    slots: usize,
) -> BTreeMap<Result<u32, UnfilledReason>, usize> {
    let racing: Vec<_> = (0..breaks)
        .map(|n| {
            let edge = Arc::clone(&edge);
            tokio::spawn(async move { edge.open(&request(&format!("race{n}"), "one viewer", slots)).await })
        })
        .collect();
    let mut counts = BTreeMap::new();
    for opened in racing {
        for outcome in outcomes(&opened.await.unwrap()) {
            *counts.entry(outcome).or_default() += 1;
        }
    }
    let mut stored = BTreeMap::new();
    for (_, row) in edge.rows(breaks * slots).await {
        let outcome = match row.outcome {
            Outcome::Filled(fill) => Ok(fill.ad_id.0),
            Outcome::Unfilled { unfilled_reason } => Err(unfilled_reason),
        };
        *stored.entry(outcome).or_default() += 1;
    }
    assert_eq!(stored, counts);
    counts
}

pub(crate) async fn a_failing_cap_store_declines_capped_ads_and_keeps_uncapped_ones<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 5), flight(2)]).await;
    edge.open(&request("warm", "dee", 1)).await;
    edge.runtime.strike(Some(StoreFault::Error)).await;
    let pod = edge.open(&request("r", "dee", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    // Straight to the collector, although the store is still down.
    let ids: Vec<_> = pod.slots.iter().map(|slot| slot.opportunity_id).collect();
    let came = edge.collector.rows();
    let straight: Vec<_> = came.iter().filter(|(_, row)| ids.contains(&row.opportunity_id)).collect();
    assert_eq!(straight.len(), 2);
    assert!(straight.iter().all(|(recording, row)| {
        *recording == Recording::Uncommitted && row.fill().is_none_or(|fill| fill.claim.is_none())
    }));

    edge.runtime.strike(None).await;
    let healed = edge.open(&request("later", "dee", 2)).await;
    assert_eq!(outcomes(&healed).iter().filter(|outcome| outcome.is_ok()).count(), 2);
}

pub(crate) async fn a_hanging_cap_store_costs_no_more_than_the_budget<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 5), flight(2)]).await;
    edge.open(&request("warm", "fay", 1)).await;
    edge.runtime.strike(Some(StoreFault::Hang)).await;
    let began = Instant::now();
    let pod = edge.open(&request("r", "fay", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    // The budget of deciding is 15 s here; the hang is an hour.
    assert!(began.elapsed() < Duration::from_secs(19), "{:?}", began.elapsed());
}

pub(crate) async fn a_hanging_store_and_a_hanging_origin_cost_no_more_than_the_answers_budget<R: Runtime>(_: Edge<R>) {
    let budgets = [("store_deadline_ms", "400"), ("decision_deadline_ms", "1500"), ("answer_deadline_ms", "2500")];
    let edge = Edge::<R>::start_with_settings(&budgets).await;
    edge.publish(vec![capped(1, 5), flight(2)]).await;
    edge.open(&request("warm", "fay", 1)).await;
    edge.runtime.strike(Some(StoreFault::Hang)).await;
    edge.collector.set_mood(Mood::Hanging);
    let began = Instant::now();
    let pod = edge.open(&request("r", "fay", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    assert!(pod.receipt.is_some(), "the rows travel with the player");
    // 2.5 s of budget, on a machine that may be busy; the hangs are for ever, and the origin alone may take 5 s.
    assert!(began.elapsed() < Duration::from_millis(4_500), "{:?}", began.elapsed());
}

pub(crate) async fn a_commit_that_landed_but_said_it_failed_is_found_again<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 1)]).await;
    edge.open(&request("warm", "another", 1)).await;
    edge.runtime.strike(Some(StoreFault::NextCommitIsAmbiguous)).await;
    let pod = edge.open(&request("r", "gus", 1)).await;
    let again = edge.open(&request("r", "gus", 1)).await;
    // Whether the edge found the commit at once or answered without caps, the claim is held once and no more.
    assert_eq!(outcomes(&again), [Ok(10)]);
    assert!(matches!(outcomes(&pod)[0], Ok(10) | Err(UnfilledReason::CapCheckUnavailable)));
    assert_eq!(pod.slots[0].opportunity_id, again.slots[0].opportunity_id, "one slot, one id");
    let next = edge.open(&request("next", "gus", 1)).await;
    assert_eq!(outcomes(&next), [Err(UnfilledReason::FrequencyCapped)]);
}

pub(crate) async fn rows_that_neither_store_nor_origin_take_travel_sealed_and_come_home<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 5), flight(2)]).await;
    edge.open(&request("warm", "halcyon-nine", 1)).await;
    edge.rows(1).await;
    edge.runtime.strike(Some(StoreFault::Error)).await;
    edge.collector.set_mood(Mood::Refusing);
    let pod = edge.open(&request("r", "halcyon-nine", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    let receipt = pod.receipt.clone().expect("nobody else has the rows");
    assert!(!receipt.contains("halcyon-nine") && !receipt.contains("film"), "sealed");
    let post = async |receipt: &str| {
        let answer = edge.call(Method::POST, "/v1/receipts", None, receipt.to_owned()).await;
        (answer.status().as_u16(), json(&answer))
    };
    assert_eq!(post(&receipt).await.1["error"]["code"], "receipt_not_recorded");
    edge.collector.set_mood(Mood::Well);
    let other = if &receipt[40..41] == "A" { "B" } else { "A" };
    let altered = format!("{}{other}{}", &receipt[..40], &receipt[41..]);
    assert_eq!((post(&altered).await.0, post("short").await.0), (403, 400));
    for _ in 0..2 {
        assert_eq!(
            post(&receipt).await,
            (202, json!({ "accepted": 3 })),
            "a decision and two rows, any number of times"
        );
    }
    let rows = edge.rows(3).await;
    let mine: Vec<_> = rows.iter().filter(|(_, row)| row.break_id == pod.break_id).collect();
    assert_eq!(mine.len(), 2);
    assert!(mine.iter().all(|(recording, _)| *recording == Recording::Uncommitted));
    edge.runtime.strike(None).await;
    assert_eq!(edge.open(&request("later", "halcyon-nine", 1)).await.receipt, None);
}

pub(crate) async fn a_decision_travels_with_its_rows_and_is_made_again_exactly<R: Runtime>(edge: Edge<R>) {
    let flights = || vec![capped(1, 2), capped(2, 0), flight(3)];
    edge.publish(flights()).await;
    for n in 0..3 {
        edge.open(&request(&format!("r{n}"), "hew", 3)).await;
    }
    let rows = edge.rows(9).await;
    let decisions = edge.collector.decisions();
    assert!(!serde_json::to_string(&decisions).unwrap().contains("hew"), "a profile id must not be stored");
    let bytes = world::plan(1, flights(), &world::keys());
    let plan = Plan::verify(&bytes, &world::keys()).unwrap();
    for (_, row) in &rows {
        let decision = decisions.iter().find(|decision| decision.id() == row.decision_id).expect("it came too");
        let again = decision.decide_again(Some(&plan), &mut ()).expect("the same plan");
        let same = again.slots.iter().find(|slot| slot.slot_index == row.slot_index).unwrap();
        assert_eq!((&same.eliminated, same.candidates), (&row.eliminated, row.candidates));
        assert_eq!(same.fill().map(|fill| (fill.ad_id, fill.claim)), row.fill().map(|fill| (fill.ad_id, fill.claim)));
    }
}

pub(crate) async fn a_released_claims_token_is_dead_and_its_ad_may_be_shown_again<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 1)]).await;
    let first = edge.open(&request("r1", "amy", 1)).await;
    let token = tokens(&first).remove(0);
    let held = edge.open(&request("r2", "amy", 1)).await;
    assert_eq!(outcomes(&held), [Err(UnfilledReason::FrequencyCapped)], "reserved");
    let released = edge.report("s", &[(&token, Event::NotUsed)]).await;
    assert_eq!((released.status().as_u16(), &json(&released)["accepted"]), (202, &json!(1)));
    let again = edge.open(&request("r3", "amy", 1)).await;
    assert_eq!(outcomes(&again), [Ok(10)], "released");
    let late = json(&edge.report("s", &[(&token, Event::Start)]).await);
    assert_eq!(late["refused"], json!([{ "line": 2, "code": "token_released" }]));
    let events = |edge: &Edge<R>| edge.collector.beacons().iter().map(|beacon| beacon.event).collect::<Vec<_>>();
    assert_eq!(events(&edge), [Event::NotUsed], "a dead token proves nothing");

    let retried = edge.open(&request("r1", "amy", 1)).await;
    assert_eq!(tokens(&retried), [token], "a retry is answered as before: with a token that is dead");
    let played = tokens(&again).remove(0);
    assert_eq!(json(&edge.report("s", &[(&played, Event::Start)]).await)["accepted"], 1);
    let unheard = edge.report("s", &[(&played, Event::Error), (&played, Event::NotUsed)]).await;
    assert_eq!(json(&unheard)["accepted"], 2, "what happens after a start is told, and releases nothing");
    assert_eq!(outcomes(&edge.open(&request("r4", "amy", 1)).await), [Err(UnfilledReason::FrequencyCapped)]);
    let twice = edge.report("s", &[(&played, Event::Start)]).await;
    assert_eq!(json(&twice)["accepted"], 1, "a start that comes twice is no error");
    let starts = edge.collector.beacons().into_iter().filter(|beacon| beacon.event == Event::Start);
    let times: BTreeSet<_> = starts.map(|beacon| beacon.at).collect();
    assert_eq!(times.len(), 1, "and began when it first did");
}

pub(crate) async fn of_contrary_beacons_that_race_one_decides_for_all<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 1)]).await;
    let edge = Arc::new(edge);
    for round in 0..6 {
        let profile = format!("racer{round}");
        let token = tokens(&edge.open(&request("r", &profile, 1)).await).remove(0);
        let reports: Vec<_> = (0..12)
            .map(|n| {
                let (edge, token) = (Arc::clone(&edge), token.clone());
                let event = if n % 2 == 0 { Event::Start } else { Event::Error };
                tokio::spawn(async move { (event, json(&edge.report("s", &[(&token, event)]).await)) })
            })
            .collect();
        let mut started = BTreeSet::new();
        for report in reports {
            let (event, answer) = report.await.unwrap();
            if event == Event::Start {
                started.insert(answer["accepted"] == 1);
            }
        }
        assert_eq!(started.len(), 1, "either every start counts or none does");
        let shown = started.contains(&true);
        let next = edge.open(&request("next", &profile, 1)).await;
        assert_eq!(outcomes(&next) == [Ok(10)], !shown, "the cap agrees with what the beacons were told");
    }
}

pub(crate) async fn beacons_whose_claim_cannot_be_settled_are_kept_by_the_client<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 1), flight(2)]).await;
    let pod = edge.open(&request("r", "ivy", 2)).await;
    let all = tokens(&pod);
    edge.rows(2).await;
    edge.runtime.strike(Some(StoreFault::Error)).await;
    let capped_ad = usize::from(outcomes(&pod)[0] != Ok(10));
    let kept = edge.report("s", &[(&all[capped_ad], Event::Start)]).await;
    assert_eq!((kept.status().as_u16(), &json(&kept)["error"]["code"]), (503, &json!("beacons_not_recorded")));
    assert_eq!(edge.collector.beacons(), []);
    let uncapped = (all[1 - capped_ad].as_str(), Event::Start);
    assert_eq!(edge.report("s", &[uncapped]).await.status(), 202, "what holds no claim asks no store");
    let quartile = (all[1 - capped_ad].as_str(), Event::FirstQuartile);
    let mixed = edge.report("s", &[(&all[capped_ad], Event::Start), quartile]).await;
    assert_eq!(mixed.status(), 503, "all of it is sent again");
    let events: Vec<_> = edge.collector.beacons().iter().map(|beacon| beacon.event).collect();
    assert_eq!(events, [Event::Start, Event::FirstQuartile], "what needs no store does not wait for it");
    edge.runtime.strike(None).await;
    assert_eq!(json(&edge.report("s", &[(&all[capped_ad], Event::Start)]).await)["accepted"], 1);
    assert_eq!(outcomes(&edge.open(&request("r2", "ivy", 1)).await), [Ok(20)], "confirmed");
}

pub(crate) async fn caps_count_sessions_and_breaks_and_keep_a_gap<R: Runtime>(edge: Edge<R>) {
    let cap = |window, limit| Cap { scope: CapScope::Campaign, limit, window };
    let with = |id, caps| FlightSource { caps, ..flight(id) };
    edge.publish(vec![
        with(1, vec![cap(Window::Session, 1)]),
        with(2, vec![cap(Window::Rolling { ms: 1_500 }, 1)]), // a gap of a second and a half between two showings
    ])
    .await;
    let open = async |id: &str, session: Option<&str>| {
        let mut asked = request(id, "jan", 2);
        asked.session_id = session.map(Into::into);
        let pod = edge.open(&asked).await;
        let started: Vec<String> = tokens(&pod);
        let reports: Vec<_> = started.iter().map(|token| (token.as_str(), Event::Start)).collect();
        if !reports.is_empty() {
            assert_eq!(edge.report("s", &reports).await.status(), 202);
        }
        outcomes(&pod).into_iter().filter_map(Result::ok).collect::<BTreeSet<_>>()
    };
    assert_eq!(open("r1", Some("evening")).await, BTreeSet::from([10, 20]));
    assert_eq!(open("r2", Some("evening")).await, BTreeSet::new());
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert_eq!(open("r3", Some("evening")).await, BTreeSet::from([20]), "the gap has passed, the session has not");
    assert_eq!(open("r4", Some("night")).await, BTreeSet::from([10]));
    assert_eq!(open("r5", None).await, BTreeSet::new(), "without a session its cap cannot be checked");

    edge.publish(vec![FlightSource { class: DemandClass::House, ..with(3, vec![cap(Window::Break, 1)]) }]).await;
    for id in ["b1", "b2"] {
        assert_eq!(outcomes(&edge.open(&request(id, "jan", 2)).await)[0], Ok(30), "once in every break");
    }
}

pub(crate) async fn a_break_answered_without_the_store_has_the_same_slots_when_it_is_asked_again<R: Runtime>(
    edge: Edge<R>,
) {
    edge.publish(vec![flight(1)]).await;
    edge.open(&request("warm", "wes", 1)).await;
    edge.rows(1).await;
    edge.runtime.strike(Some(StoreFault::Error)).await;
    // A UUID version 7, as the SDK mints: its time is the break's, whenever it is asked again.
    let request_id = OpportunityId::mint(BreakId([5; 16]), 0, world::now()).to_string();
    let without = edge.open(&request(&request_id, "wes", 1)).await;
    edge.runtime.strike(None).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let with = edge.open(&request(&request_id, "wes", 1)).await;
    assert_eq!(without.slots[0].opportunity_id, with.slots[0].opportunity_id);
    assert_eq!(outcomes(&without), outcomes(&with), "the lottery is seeded by the break");
}

pub(crate) async fn what_the_origin_did_not_take_is_shipped_when_it_is_back<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    edge.collector.set_mood(Mood::Refusing);
    for n in 0..5 {
        assert_eq!(outcomes(&edge.open(&request(&format!("r{n}"), "ida", 1)).await), [Ok(10)], "serving goes on");
    }
    edge.ship().await;
    assert_eq!(edge.collector.rows(), []);
    // A collector that took a load and lost its acknowledgement is sent it again.
    edge.collector.set_mood(Mood::Lying);
    edge.until("the load has come", async || {
        edge.ship().await;
        edge.collector.rows().len() >= 5
    })
    .await;
    edge.collector.set_mood(Mood::Well);
    edge.until("the load has come again", async || {
        edge.ship().await;
        edge.collector.rows().len() >= 10
    })
    .await;
    edge.rows(5).await;
}

pub(crate) async fn a_killed_edge_keeps_its_claims_its_answers_and_its_outbox<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 1)]).await;
    edge.collector.set_mood(Mood::Refusing);
    let before = edge.ask(&request("r", "joy", 1)).await;
    assert_eq!(before.status(), 200);
    let edge = edge.restart().await;
    assert_eq!(edge.ask(&request("r", "joy", 1)).await.body(), before.body(), "the answer");
    let next = edge.open(&request("next", "joy", 1)).await;
    assert_eq!(outcomes(&next), [Err(UnfilledReason::FrequencyCapped)], "the claim");
    edge.collector.set_mood(Mood::Well);
    edge.rows(2).await;
}

pub(crate) async fn beacons_are_acknowledged_only_when_the_origin_has_them<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1), flight(2)]).await;
    let pod = edge.open(&request("r", "kim", 2)).await;
    let tokens = tokens(&pod);
    let sent = [(tokens[0].as_str(), Event::Start), (&tokens[0], Event::FirstQuartile), (&tokens[1], Event::Start)];
    edge.collector.set_mood(Mood::Refusing);
    let refused = edge.report("session", &sent).await;
    assert_eq!((refused.status().as_u16(), &json(&refused)["error"]["code"]), (503, &json!("beacons_not_recorded")));
    edge.collector.set_mood(Mood::Well);
    let taken = edge.report("session", &sent).await;
    assert_eq!(taken.status(), 202);
    assert_eq!(json(&taken), json!({ "session_id": "session", "sequence": 1, "accepted": 3, "refused": [] }));

    let came = edge.collector.beacons();
    let pseudonym = Pseudonyms::parse(world::PSEUDONYM_KEY).unwrap().reporting_session("session");
    let slot = |event: usize| usize::from(event == 2);
    for (index, beacon) in came.iter().enumerate() {
        assert_eq!(beacon.opportunity_id, pod.slots[slot(index)].opportunity_id);
        assert_eq!(beacon.event, sent[index].1);
        assert_eq!(beacon.received_at.since_ms(beacon.at), 40, "the event's time is the arrival less its age");
        assert_eq!(beacon.session, Some(pseudonym), "the session's id is not stored");
    }
    assert_eq!(came.len(), 3);
}

pub(crate) async fn a_pixel_reports_its_own_event_and_no_other<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    let mut asked = request("r", "lea", 1);
    asked.tracking = Tracking::Pixels;
    let pod = edge.open(&asked).await;
    let SlotOutcome::Filled { pixels: Some(pixels), token, .. } = &pod.slots[0].outcome else { panic!("{pod:?}") };
    assert_eq!(pixels.len(), 7);
    for pixel in &pixels[..3] {
        let answer = edge.call(Method::GET, &pixel.path, None, "").await;
        assert_eq!((answer.status().as_u16(), &answer.body()[..6]), (200, b"GIF89a".as_slice()));
    }
    let events: Vec<_> = edge.collector.beacons().iter().map(|beacon| beacon.event).collect();
    assert_eq!(events, [Event::Start, Event::FirstQuartile, Event::Midpoint]);

    let start = pixels[0].path.strip_prefix("/v1/t/").unwrap();
    let batch = edge.report("s", &[(start, Event::Complete), (start, Event::Start)]).await;
    let expected = json!([{ "line": 2, "code": "event_not_allowed" }]);
    assert_eq!((&json(&batch)["accepted"], &json(&batch)["refused"]), (&json!(1), &expected));
    let batch_token = edge.call(Method::GET, &format!("/v1/t/{token}"), None, "").await;
    assert_eq!(
        (batch_token.status().as_u16(), &json(&batch_token)["error"]["code"]),
        (400, &json!("event_not_allowed"))
    );
}

pub(crate) async fn forged_expired_and_other_key_tokens_are_refused<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    let good = tokens(&edge.open(&request("r", "max", 1)).await).remove(0);
    let flipped = if good.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{flipped}", &good[..63]);
    let made = |life_ms: u64, keys: &Keyring| {
        let opened_at = world::now().minus_ms(10_000);
        let token = Token {
            holds_claim: false,
            opportunity_id: OpportunityId::mint(BreakId([1; 16]), 0, opened_at),
            ad_id: AdId(10),
            record_id: RecordId([1; 8]),
            class: EventClass::Only(Event::Start),
            expires_at: opened_at.plus_ms(life_ms),
        };
        token.seal(keys)
    };
    let expired = made(5_000, &world::keys());
    let other_key = made(60_000, &Keyring::parse(world::OTHER_KEYS).unwrap());
    let cases = [
        (forged.as_str(), 403, "token_forged"),
        (&expired, 410, "token_expired"),
        (&other_key, 403, "token_key_unknown"),
        ("short", 400, "token_malformed"),
    ];
    for (token, status, code) in cases {
        let pixel = edge.call(Method::GET, &format!("/v1/t/{token}"), None, "").await;
        assert_eq!((pixel.status().as_u16(), &json(&pixel)["error"]["code"]), (status, &json!(code)), "{token}");
    }
    let sent: Vec<_> = cases.iter().map(|(token, ..)| (*token, Event::Start)).chain([(&*good, Event::Start)]).collect();
    let answer = json(&edge.report("s", &sent).await);
    assert_eq!(answer["accepted"], 1, "a bad token takes nothing from the good one");
    let codes: Vec<_> = answer["refused"].as_array().unwrap().iter().map(|refused| refused["code"].clone()).collect();
    assert_eq!(codes, cases.map(|(_, _, code)| json!(code)));
    assert_eq!(edge.collector.beacons().len(), 1, "nothing else happened");
}

pub(crate) async fn malformed_requests_are_refused_by_field<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    let good = serde_json::to_value(request("r", "ned", 1)).unwrap();
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed
    };
    let without = |field: &str| {
        let mut changed = good.clone();
        changed.as_object_mut().unwrap().remove(field);
        changed
    };
    let cases = [
        ("request_id", with("request_id", json!(""))),
        ("profile_id", with("profile_id", json!(7))),
        ("title_id", with("title_id", json!("x".repeat(129)))),
        ("position", with("position", json!("sidebar"))),
        ("slots", with("slots", json!([]))),
        ("slots", with("slots", json!(vec![json!({ "max_duration_ms": 1000 }); 17]))),
        ("slots[1].max_duration_ms", with("slots", json!([{ "max_duration_ms": 1000 }, { "max_duration_ms": 999 }]))),
        ("slots[0].max_duration_ms", with("slots", json!([{ "max_duration_ms": "long" }]))),
        ("slots[0].colour", with("slots", json!([{ "max_duration_ms": 1000, "colour": 1 }]))),
        ("max_duration_ms", with("max_duration_ms", json!(0))),
        ("nonsense", with("nonsense", json!(1))),
        ("position", without("position")),
        ("slots[0].max_duration_ms", with("slots", json!([{}]))),
    ];
    for (field, body) in cases {
        let refused = edge.call(Method::POST, "/v1/breaks", None, body.to_string()).await;
        let error = &json(&refused)["error"];
        assert_eq!((refused.status().as_u16(), &error["field"]), (400, &json!(field)), "{body} {error}");
        assert!(!openapi::allows_break_request(&body), "the published description allows {body}");
    }
    assert!(openapi::allows_break_request(&good));
    assert!(edge.call(Method::POST, "/v1/breaks", None, "{\"request_id\":").await.status() == 400);
    assert!(edge.call(Method::POST, "/v1/breaks", None, vec![0xff, 0xfe]).await.status() == 400);

    let batch = edge.call(Method::POST, "/v1/beacons", None, "sk1 s 1\ntok begin 0\n").await;
    assert_eq!((batch.status().as_u16(), &json(&batch)["error"]["field"]), (400, &json!("line 2: event")));
    assert_eq!(edge.call(Method::POST, "/nowhere", None, "").await.status(), 404);
    assert_eq!(edge.call(Method::GET, "/v1/breaks", None, "").await.status(), 405);
    edge.open(&request("after all that", "ned", 1)).await;
}

pub(crate) async fn oversize_bodies_are_refused<R: Runtime>(edge: Edge<R>) {
    let cases = [("/v1/breaks", 16 * 1024 + 1), ("/v1/beacons", 65_537), ("/v1/receipts", 160 * 1024 + 1)];
    for (path, bytes) in cases {
        let refused = edge.call(Method::POST, path, None, vec![b' '; bytes]).await;
        assert_eq!((refused.status().as_u16(), &json(&refused)["error"]["field"]), (413, &json!("body")), "{path}");
        let inside = edge.call(Method::POST, path, None, vec![b' '; bytes - 1]).await;
        assert_eq!(inside.status(), 400, "{path}: within the bound it is read, and found malformed");
    }
}

pub(crate) async fn a_plan_is_taken_only_from_the_origin_signed_and_newer<R: Runtime>(edge: Edge<R>) {
    let plan = |version| world::plan(version, vec![flight(u32::try_from(version).unwrap())], &world::keys());
    let put = async |bearer: Option<String>, plan: Vec<u8>| {
        let answer = edge.call(Method::PUT, "/v1/plan", bearer.as_deref(), plan).await;
        (answer.status().as_u16(), json(&answer))
    };
    let admin = || Some(world::keys().bearer(Purpose::Admin));
    let refused = async |bearer, plan| {
        let (status, body) = put(bearer, plan).await;
        (status, body["error"]["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(refused(None, plan(5)).await, (401, "unauthorized".into()));
    let not_for_plans = Some(world::keys().bearer(Purpose::Collector));
    assert_eq!(refused(not_for_plans, plan(5)).await, (401, "unauthorized".into()));
    let elsewhere = Keyring::parse(world::OTHER_KEYS).unwrap();
    assert_eq!(refused(Some(elsewhere.bearer(Purpose::Admin)), plan(5)).await, (401, "unauthorized".into()));
    assert_eq!(refused(admin(), b"not a plan".to_vec()).await, (400, "plan_malformed".into()));
    let by_another = world::plan(5, vec![flight(5)], &elsewhere);
    assert_eq!(refused(admin(), by_another).await, (403, "plan_key_unknown".into()));
    let mut altered = plan(5);
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    assert_eq!(refused(admin(), altered).await, (403, "plan_forged".into()));

    assert_eq!(put(admin(), plan(5)).await, (200, json!({ "plan_version": 5, "status": "stored" })));
    assert_eq!(put(admin(), plan(5)).await, (200, json!({ "plan_version": 5, "status": "already_current" })));
    assert_eq!(refused(admin(), plan(4)).await, (409, "plan_older".into()));
    assert_eq!(outcomes(&edge.open(&request("r", "ola", 1)).await), [Ok(50)]);
    assert_eq!(put(admin(), plan(6)).await.0, 200);
    edge.until("the newer plan decides", async || {
        let health = json(&edge.call(Method::GET, "/healthz", None, "").await);
        health["plan_version"] == 6 && health["status"] == "ok"
    })
    .await;
    assert_eq!(outcomes(&edge.open(&request("r2", "ola", 1)).await), [Ok(60)]);
}

pub(crate) async fn plans_published_in_a_race_leave_the_newest_in_force<R: Runtime>(edge: Edge<R>) {
    let edge = Arc::new(edge);
    let putting: Vec<_> = (1..=8)
        .rev()
        .map(|version| {
            let edge = Arc::clone(&edge);
            let plan = world::plan(version, vec![flight(1)], &world::keys());
            tokio::spawn(async move { edge.put_plan(plan).await.status().as_u16() })
        })
        .collect();
    for put in putting {
        assert!(matches!(put.await.unwrap(), 200 | 409));
    }
    edge.until("the newest is in force", async || {
        json(&edge.call(Method::GET, "/healthz", None, "").await)["plan_version"] == 8
    })
    .await;
    // An instance that has heard of another may decide from it for a second more.
    edge.until("the newest decides", async || {
        let request_id = world::now().0.to_string();
        edge.open(&request(&request_id, "pam", 1)).await.plan_version == Some(8)
    })
    .await;
}

pub(crate) async fn without_a_plan_every_slot_says_so<R: Runtime>(edge: Edge<R>) {
    let pod = edge.open(&request("r", "quy", 3)).await;
    assert_eq!(outcomes(&pod), [Err(UnfilledReason::PlanUnavailable); 3]);
    assert_eq!(pod.plan_version, None);
    edge.rows(3).await;
    let health = json(&edge.call(Method::GET, "/healthz", None, "").await);
    assert_eq!((&health["status"], &health["plan_version"]), (&json!("no_valid_plan"), &Value::Null));
}

pub(crate) async fn a_page_on_any_site_may_call_the_edge<R: Runtime>(edge: Edge<R>) {
    let preflight = edge.call(Method::OPTIONS, "/v1/breaks", None, "").await;
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert_eq!(preflight.headers()["access-control-allow-headers"], "content-type");
    let refused = edge.call(Method::POST, "/v1/breaks", None, "{}").await;
    assert_eq!(refused.headers()["access-control-allow-origin"], "*", "errors must be readable too");
}

pub(crate) async fn a_break_costs_two_round_trips_at_most<R: Runtime>(edge: Edge<R>) {
    let flights = (1..=12).map(|id| capped(id, 50)).collect();
    edge.publish(flights).await;
    edge.open(&request("warm", "ray", 1)).await;
    let mut asked: BreakRequest = request("r", "ray", 6);
    let first = edge.ask(&asked).await;
    assert!(trips(&first) <= 2, "6 slots, 12 caps: {:?}", first.headers()["x-slotkeeper-store-trips"]);
    assert!(trips(&edge.ask(&asked).await) <= 1, "a retry is one read");
    asked.request_id = "next".into();
    assert!(trips(&edge.ask(&asked).await) <= 2);
}

/// How many round trips to any store an answer took, by its own account.
fn trips(answer: &http::Response<bytes::Bytes>) -> u32 {
    let told = answer.headers()["x-slotkeeper-store-trips"].to_str().unwrap();
    told.split(' ').map(|store| store.split_once('=').unwrap().1.parse::<u32>().unwrap()).sum()
}
