//! The promises about what a viewer allows, and about who is no viewer.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use http::{Method, Response};
use serde_json::Value;
use slotkeeper_core::{
    api::{BreakRequest, BreakResponse, SlotOutcome, Tracking},
    beacon::{Batch, Beacon, Event},
    caps::{Cap, CapScope, Window},
    consent::{Identity, Permissions, Privacy},
    keys::Pseudonyms,
    plan::FlightSource,
    pod::{InvalidTraffic, UnfilledReason},
};

use crate::{
    edge::{Edge, Runtime, json, outcomes, tokens},
    world::{PSEUDONYM_KEY, capped, flight, request},
};

pub(crate) const CRAWLER: (&str, &str) =
    ("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)");
const PLAYER: (&str, &str) = ("user-agent", "Roku/DVP-12.5 (12.5.0.4178-C2)");
const GPC: (&str, &str) = ("sec-gpc", "1");

fn in_session(id: u32, limit: u32) -> FlightSource {
    let cap = Cap { scope: CapScope::Campaign, limit, window: Window::Session };
    FlightSource { caps: vec![cap], ..flight(id) }
}

fn asking(request_id: &str, session: Option<&str>, slots: usize, privacy: Privacy) -> BreakRequest {
    BreakRequest { session_id: session.map(Into::into), privacy, ..request(request_id, "ann-of-profile", slots) }
}

async fn ask_with<R: Runtime>(edge: &Edge<R>, headers: &[(&str, &str)], asked: &BreakRequest) -> Response<Bytes> {
    edge.call_with(headers, Method::POST, "/v1/breaks", None, serde_json::to_vec(asked).unwrap()).await
}

async fn open_with<R: Runtime>(edge: &Edge<R>, headers: &[(&str, &str)], asked: &BreakRequest) -> BreakResponse {
    let response = ask_with(edge, headers, asked).await;
    assert_eq!(response.status(), 200, "{:?}", response.body());
    serde_json::from_slice(response.body()).unwrap()
}

/// Every row at the collector and what it was decided from, as text.
fn books<R: Runtime>(edge: &Edge<R>) -> String {
    serde_json::to_string(&(edge.collector.rows(), edge.collector.decisions())).unwrap()
}

pub(crate) async fn who_objects_is_shown_nothing_that_a_longer_cap_counts_and_is_nobody_in_the_books<R: Runtime>(
    edge: Edge<R>,
) {
    let mut for_segment = flight(3);
    for_segment.targeting.segments = vec!["gardeners".into()];
    edge.publish(vec![capped(1, 5), in_session(2, 5), for_segment]).await;
    let objections = [
        ("gpc", Privacy { gpc: true, ..Privacy::default() }, &[PLAYER][..]),
        ("lmt", Privacy { lmt: true, ..Privacy::default() }, &[PLAYER]),
        ("header", Privacy::default(), &[PLAYER, GPC]),
    ];
    for (name, privacy, headers) in objections {
        let asked = |session: Option<&str>, n: u32| {
            let session = session.map(|session| format!("{name}-{session}"));
            let mut asked = asking(&format!("{name}{n}"), session.as_deref(), 3, privacy.clone());
            asked.segments = vec!["gardeners".into()];
            asked
        };
        let pod = open_with(&edge, headers, &asked(Some("evening"), 1)).await;
        let shown: BTreeSet<u32> = outcomes(&pod).into_iter().filter_map(Result::ok).collect();
        assert_eq!(shown, BTreeSet::from([20]), "{name}: what counts within the session, and nothing else");
        let pod = open_with(&edge, headers, &asked(None, 2)).await;
        assert_eq!(outcomes(&pod), [Err(UnfilledReason::CapCheckUnavailable); 3], "{name}: no session was named");
    }
    edge.publish(vec![capped(1, 5)]).await;
    let only_capped = asking("only", Some("evening"), 1, Privacy { gpc: true, ..Privacy::default() });
    assert_eq!(outcomes(&open_with(&edge, &[PLAYER], &only_capped).await), [Err(UnfilledReason::ConsentDenied)]);
    let consenting = asking("consenting", Some("evening"), 1, Privacy::default());
    assert_eq!(outcomes(&open_with(&edge, &[PLAYER], &consenting).await), [Ok(10)]);

    let rows = edge.rows(20).await;
    let known = Pseudonyms::parse(PSEUDONYM_KEY).unwrap().viewer("ann-of-profile");
    let of_profile = rows.iter().filter(|(_, row)| row.viewer == known).count();
    assert_eq!(of_profile, 1, "of nineteen slots of who objected, none says whose it was");
    let viewers: BTreeSet<_> = rows.iter().map(|(_, row)| row.viewer).collect();
    assert_eq!(viewers.len(), 8, "one a session, one a request without a session, and the profile");
    assert!(rows.iter().all(|(_, row)| row.opportunity_id.break_stem() == row.break_id.stem()));
    assert!(
        rows.iter().all(|(_, row)| row.break_id.0[..2] == row.viewer.0[..2]),
        "a break leads to its viewer's shard"
    );
    let books = books(&edge);
    for secret in ["ann-of-profile", "evening", "gardeners"] {
        assert!(!books.contains(secret), "{secret} is in the books");
    }
}

pub(crate) async fn caps_within_a_session_are_exact_for_who_objects_and_a_retry_is_no_second_break<R: Runtime>(
    edge: Edge<R>,
) {
    edge.publish(vec![in_session(1, 5)]).await;
    let edge = Arc::new(edge);
    let gpc = Privacy { gpc: true, ..Privacy::default() };
    let breaks: Vec<_> = (0..40)
        .map(|n| {
            // Every break is asked for twice, at once.
            let (edge, asked) = (Arc::clone(&edge), asking(&format!("r{}", n / 2), Some("evening"), 1, gpc.clone()));
            tokio::spawn(async move { ask_with(&edge, &[PLAYER], &asked).await.into_body() })
        })
        .collect();
    let mut answers = Vec::new();
    for opened in breaks {
        answers.push(opened.await.unwrap());
    }
    assert!(answers.chunks(2).all(|tries| tries[0] == tries[1]), "a retry has the same answer");
    let pods: Vec<BreakResponse> =
        answers.iter().step_by(2).map(|body| serde_json::from_slice(body).unwrap()).collect();
    let filled = pods.iter().filter(|pod| outcomes(pod) == [Ok(10)]).count();
    assert_eq!(filled, 5, "of twenty breaks of one session");
    edge.rows(20).await;

    let token = pods.iter().flat_map(tokens).next().unwrap();
    assert_eq!(json(&edge.report("s", &[(&token, Event::NotUsed)]).await)["accepted"], 1);
    let asked = |id: &str, session: &str| asking(id, Some(session), 1, gpc.clone());
    let again = open_with(&edge, &[PLAYER], &asked("again", "evening")).await;
    assert_eq!(outcomes(&again), [Ok(10)], "a released claim leaves its place");
    let full = open_with(&edge, &[PLAYER], &asked("full", "evening")).await;
    assert_eq!(outcomes(&full), [Err(UnfilledReason::FrequencyCapped)]);
    let other = open_with(&edge, &[PLAYER], &asked("other", "night")).await;
    assert_eq!(outcomes(&other), [Ok(10)], "nothing links two sessions");
}

pub(crate) async fn consent_strings_are_read_and_bounded_and_go_no_further<R: Runtime>(edge: Edge<R>) {
    // Of the specification: consent to purposes 1, 2 and 3, so not to be chosen for by a profile.
    const TCF: &str = "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA";
    let mut for_segment = flight(2);
    for_segment.targeting.segments = vec!["gardeners".into()];
    edge.publish(vec![capped(1, 5), for_segment]).await;
    let gdpr = |tcf: Option<&str>| Privacy { gdpr: Some(true), tcf: tcf.map(Into::into), ..Privacy::default() };
    let of_gpp = |gpp: &str, sid| Privacy { gpp: Some(gpp.into()), gpp_sid: vec![sid], ..Privacy::default() };
    let cases = [
        (Privacy::default(), vec![10, 20]),
        (gdpr(None), vec![]),
        (gdpr(Some(TCF)), vec![10]),
        (gdpr(Some("not a consent string")), vec![]),
        (of_gpp("DBABLA~BVVVVVVVVWA.YA", 7), vec![]),
        (of_gpp("DBABLA~BAAAAAAAAQA", 7), vec![10, 20]),
    ];
    for (n, (privacy, expected)) in cases.iter().enumerate() {
        let mut asked = asking(&format!("r{n}"), Some("evening"), 2, privacy.clone());
        asked.segments = vec!["gardeners".into()];
        let pod = open_with(&edge, &[PLAYER], &asked).await;
        let shown: BTreeSet<u32> = outcomes(&pod).into_iter().filter_map(Result::ok).collect();
        assert_eq!(shown, expected.iter().copied().collect(), "{privacy:?}");
    }
    edge.rows(12).await;
    let decisions = edge.collector.decisions();
    let of_tcf = Permissions { identity: Identity::Profile, no_segments: true };
    assert!(decisions.iter().any(|decision| decision.permissions == of_tcf), "{decisions:?}");
    let books = books(&edge);
    assert!(!books.contains(TCF) && !books.contains("BVVVVVVVVWA"), "what was signalled is not kept, what follows is");

    let too_long = asking("long", None, 1, gdpr(Some(&"C".repeat(8_193))));
    let refused = ask_with(&edge, &[PLAYER], &too_long).await;
    assert_eq!((refused.status().as_u16(), &json(&refused)["error"]["field"]), (400, &Value::from("privacy.tcf")));
}

pub(crate) async fn what_a_crawler_asks_for_is_stored_and_flagged<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    let by_crawler = open_with(&edge, &[CRAWLER], &request("r1", "ann", 1)).await;
    let by_player = open_with(&edge, &[PLAYER], &request("r2", "ann", 1)).await;
    let by_nobody = open_with(&edge, &[], &request("r3", "ann", 1)).await;
    for pod in [&by_crawler, &by_player, &by_nobody] {
        assert_eq!(outcomes(pod), [Ok(10)], "it is answered like any other");
    }
    for (_, row) in edge.rows(3).await {
        let expected = (row.break_id == by_crawler.break_id).then_some(InvalidTraffic::Crawler);
        assert_eq!(row.invalid_traffic, expected, "{row:?}");
    }
}

pub(crate) async fn what_a_crawler_reports_is_stored_and_flagged_and_settles_nothing<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 2)]).await;
    let asked = BreakRequest { tracking: Tracking::Pixels, ..request("r1", "ann", 1) };
    let pod = open_with(&edge, &[PLAYER], &asked).await;
    let SlotOutcome::Filled { token, pixels: Some(pixels), .. } = &pod.slots[0].outcome else { panic!("{pod:?}") };
    let path_of = |event| &pixels.iter().find(|pixel| pixel.event == event).unwrap().path;
    // Whatever it calls, it gets its pixel, and the claim stays as it is.
    for event in [Event::Start, Event::Error, Event::NotUsed] {
        let response = edge.call_with(&[CRAWLER], Method::GET, path_of(event), None, "").await;
        assert_eq!(response.status(), 200, "{event}");
    }
    let batch = |event| {
        let beacons = vec![Beacon { token, event, age_ms: 0, detail: None }];
        Batch { session_id: "s", sequence: 1, lost: 0, beacons }.to_text()
    };
    let sent = edge.call_with(&[CRAWLER], Method::POST, "/v1/beacons", None, batch(Event::NotUsed)).await;
    assert_eq!(json(&sent)["accepted"], 1);
    let started = edge.call_with(&[PLAYER], Method::POST, "/v1/beacons", None, batch(Event::Start)).await;
    assert_eq!(json(&started)["accepted"], 1, "a crawler's notUsed has not released the viewer's claim");
    let beacons = edge.collector.beacons();
    let flags: Vec<_> = beacons.iter().map(|beacon| (beacon.event, beacon.invalid_traffic.is_some())).collect();
    let expected = [
        (Event::Start, true),
        (Event::Error, true),
        (Event::NotUsed, true),
        (Event::NotUsed, true),
        (Event::Start, false),
    ];
    assert_eq!(flags, expected);
    assert!(beacons[4].at >= beacons[0].received_at, "its windows begin when the viewer's player began");
    edge.rows(1).await;
}
