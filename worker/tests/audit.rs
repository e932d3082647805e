//! An audit finds nothing in a healthy origin, and every kind of damage by its name.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::fmt::Write as _;

use slotkeeper::audit::{EdgeStore, Options, Report, audit};
use slotkeeper_core::{
    api::PodRequest,
    beacon::Event::{self, Complete, FirstQuartile, Midpoint, NotUsed, Start, ThirdQuartile},
    contract::BreakPosition::{Midroll, Preroll},
    fact::{BeaconFact, ClientLoss, Fact, Recording},
    id::SessionKey,
    pod::{InvalidTraffic, Opportunity, Outcome, Pod},
};
use support::{
    deciding::{World, beacon, facts_of},
    program,
};

const WHOLE: [Event; 5] = [Start, FirstQuartile, Midpoint, ThirdQuartile, Complete];

/// Two viewers of the demo: some ads play to their end, some begin, one is not used, one may yet play.
fn busy() -> (World, Vec<Pod>) {
    let mut world = World::new();
    let mut pods = Vec::new();
    for profile in ["ada", "bob"] {
        let preroll = world.open(profile, Preroll, 2);
        world.report(&preroll.slots[0], &WHOLE);
        let midroll = world.open(profile, Midroll, 3);
        world.report(&midroll.slots[0], &[Start, FirstQuartile]);
        world.report(&midroll.slots[1], &[NotUsed]);
        pods.extend([preroll, midroll]);
    }
    world.log([4, 9, 6].map(|lost| Fact::ClientLoss(ClientLoss { session: SessionKey([1; 8]), lost })).to_vec());
    world.fold();
    (world, pods)
}

fn audited(world: &World) -> Report {
    let stores = vec![EdgeStore::Sqlite(world.store())];
    audit(&Options { data: world.data(), stores, replays_max: 1_000, progress: &|_| {} }).unwrap()
}

fn kinds(report: &Report) -> Vec<&'static str> {
    let mut kinds: Vec<_> = report.laws.iter().flat_map(|law| &law.findings).map(|finding| finding.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

#[test]
fn a_healthy_origin_has_no_findings() {
    let (world, _) = busy();
    let report = audited(&world);
    assert!(report.is_clean(), "{report:#?}");
    let store = format!("sqlite:{}", world.store().display());
    let mut command = program();
    command.args(["audit", "--edge-store", &store, "--data"]).arg(world.folder.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("every law that was checked holds\n"));
    world.tamper("fold.db", "DELETE FROM fct_ad_opportunities WHERE slot_index = 1");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("break_not_whole"));
}

#[test]
fn what_a_crawler_asks_for_or_reports_is_billed_by_nobody_and_found_if_it_is() {
    let (mut world, _) = busy();
    world.invalid_traffic = Some(InvalidTraffic::Crawler);
    let asked_by_crawler = world.open("eve", Preroll, 1);
    world.invalid_traffic = None;
    world.report(&asked_by_crawler.slots[0], &WHOLE);
    let reported_by_crawler = world.open("fay", Preroll, 1);
    let row = &reported_by_crawler.slots[0];
    for event in WHOLE {
        let Fact::Beacon(beacon) = beacon(row, row.opportunity_id, event, world.now) else { unreachable!() };
        world.log(vec![Fact::Beacon(BeaconFact { invalid_traffic: Some(InvalidTraffic::Crawler), ..beacon })]);
    }
    world.fold();
    let report = audited(&world);
    assert!(report.is_clean(), "{report:#?}");
    let bill = "UPDATE fct_ad_impressions SET threshold_passed = 1, recognized_revenue_micros = 5 WHERE invalid_traffic IS NOT NULL";
    world.tamper("fold.db", bill);
    assert_eq!(kinds(&audited(&world)), ["impression_altered", "revenue_total", "revenue_wrong", "table_differs"]);
}

#[test]
fn a_dynamic_pod_is_whole_with_fewer_slots_than_it_might_have_and_not_with_a_gap() {
    let mut world = World::new();
    world.pod = Some(PodRequest { duration_ms: 30_000, max_ads: 6, ..PodRequest::default() });
    let pods = ["ada", "bob"].map(|profile| world.open(profile, Midroll, 0));
    assert!(pods.iter().all(|pod| (3..6).contains(&pod.slots.len())), "{pods:?}");
    world.fold();
    assert!(audited(&world).is_clean(), "{:#?}", audited(&world));
    let [first, second] = pods.map(|pod| pod.slots[1].break_id.to_string());
    world.tamper("fold.db", &format!("DELETE FROM fct_ad_opportunities WHERE slot_index = 1 AND break_id = '{first}'"));
    let report = audited(&world);
    let gaps = report.laws.iter().flat_map(|law| &law.findings).filter(|finding| finding.kind == "break_not_whole");
    let gaps: Vec<String> = gaps.map(|finding| finding.subject.clone()).collect();
    assert!(gaps.contains(&first) && !gaps.contains(&second), "{gaps:?}");
}

#[test]
fn of_a_dynamic_pod_that_was_decided_twice_no_slot_of_the_decision_that_does_not_stand_counts() {
    let mut world = World::new();
    world.pod = Some(PodRequest { duration_ms: 30_000, max_ads: 6, ..PodRequest::default() });
    let committed = world.open("ada", Midroll, 0);
    let answered = world.without_store(&committed);
    let (long, short) = (committed.slots.len(), answered.slots.len());
    assert!(short < long, "{short} {long}");
    world.log(facts_of(&answered, Recording::Uncommitted));
    world.fold();
    let report = audited(&world);
    assert!(report.is_clean(), "{report:#?}");
    let slots = |report: &Report| report.laws[0].checked.split(' ').next().unwrap().parse::<usize>().unwrap();
    assert_eq!(slots(&report), short, "what the viewer was answered");

    // A fold that elects for each slot alone lets those of the longer decision stand.
    let surplus = format!("FROM opportunities_superseded WHERE slot_index >= {short}");
    world.tamper("fold.db", &format!("INSERT INTO fct_ad_opportunities SELECT * {surplus}; DELETE {surplus};"));
    let found = kinds(&audited(&world));
    assert!(found.contains(&"slot_of_no_answer"), "{found:?}");

    // Or the wrong decision.
    let (world, pods) = busy(); // the first ad of the committed decision began to play
    world.log(facts_of(&world.without_store(&pods[0]), Recording::Uncommitted));
    world.fold();
    assert!(audited(&world).is_clean(), "{:#?}", audited(&world));
    world.tamper(
        "fold.db",
        "CREATE TEMP TABLE other AS SELECT * FROM opportunities_superseded;
         DELETE FROM opportunities_superseded;
         INSERT INTO opportunities_superseded SELECT * FROM fct_ad_opportunities WHERE break_id IN (SELECT break_id FROM other);
         DELETE FROM fct_ad_opportunities WHERE break_id IN (SELECT break_id FROM other);
         INSERT INTO fct_ad_opportunities SELECT * FROM other;",
    );
    let found = kinds(&audited(&world));
    assert!(found.contains(&"other_row_stands"), "{found:?}");
}

#[test]
fn damage_to_the_tables_is_found_by_its_name() {
    let one_of = |table: &str, condition: &str| format!("(SELECT min(opportunity_id) FROM {table} WHERE {condition})");
    let empty = one_of("fct_ad_opportunities", "outcome = 'unfilled'");
    let paid = one_of("fct_ad_impressions", "recognized_revenue_micros > 0");
    let damage = [
        ("a row is deleted", format!("DELETE FROM fct_ad_opportunities WHERE opportunity_id = {empty}"), &["slot_lost", "break_not_whole", "row_lost"][..]),
        ("a row says both", format!("UPDATE fct_ad_opportunities SET fill_reason = 'house_ad' WHERE opportunity_id = {empty}"), &["neither_or_both", "row_altered"]),
        ("a reason is changed", format!("UPDATE fct_ad_opportunities SET unfilled_reason = 'no_eligible_demand' WHERE opportunity_id = {empty}"), &["row_altered", "replay_differs"]),
        ("an impression earns twice", format!("UPDATE fct_ad_impressions SET recognized_revenue_micros = 2 * recognized_revenue_micros WHERE opportunity_id = {paid}"), &["revenue_wrong", "revenue_total"]),
        ("an impression is copied to a fill that did not play",
            "INSERT INTO fct_ad_impressions SELECT (SELECT min(opportunity_id) FROM fct_ad_opportunities WHERE outcome = 'filled'
                 AND opportunity_id NOT IN (SELECT opportunity_id FROM fct_ad_impressions)), advertiser_id, campaign_id, flight_id,
                 creative_id, ad_id, record_id, start_at_ms, first_quartile_at_ms, midpoint_at_ms, third_quartile_at_ms,
                 complete_at_ms, skip_at_ms, error_at_ms, furthest_quartile, threshold_passed, recognized_revenue_micros, currency, invalid_traffic
             FROM fct_ad_impressions WHERE recognized_revenue_micros > 0 LIMIT 1".into(), &["impression_without_start"]),
        ("an impression is deleted", format!("DELETE FROM fct_ad_impressions WHERE opportunity_id = {paid}"), &["impression_missing"]),
        ("an impression is of another flight", format!("UPDATE fct_ad_impressions SET flight_id = flight_id + 1 WHERE opportunity_id = {paid}"), &["impression_altered"]),
        ("an impression has an error", format!("UPDATE fct_ad_impressions SET error_at_ms = start_at_ms WHERE opportunity_id = {paid}"), &["impression_altered"]),
        ("a fill lives longer", format!("UPDATE fct_ad_opportunities SET expires_at_ms = expires_at_ms + 1 WHERE opportunity_id = {paid}"), &["row_altered"]),
        ("a decision is altered", "UPDATE decisions SET content = json_set(content, '$.asked.device', 'web')".into(), &["decision_altered"]),
        ("a decision is deleted", "DELETE FROM decisions".into(), &["decision_missing"]),
        ("a beacon is moved", "UPDATE beacon_states SET first_quartile_at_ms = first_quartile_at_ms + 1".into(), &["report_altered"]),
        ("a viewer is less idle", "UPDATE beacon_states SET idle_s = 1 WHERE idle_s IS NOT NULL".into(), &["report_altered"]),
        ("what was reported is deleted", "DELETE FROM beacon_states WHERE complete_at_ms IS NULL".into(), &["report_lost"]),
        ("a loss is made less", "UPDATE client_losses SET lost = 1".into(), &["loss_differs"]),
        ("a loss is forgotten", "DELETE FROM client_losses".into(), &["loss_differs"]),
        ("a report is invented", "INSERT INTO beacon_states (opportunity_id, ad_id, record_id) SELECT opportunity_id, 999, record_id FROM beacon_states LIMIT 1".into(), &["report_invented"]),
    ];
    for (what, sql, expected) in damage {
        let (world, _) = busy();
        world.tamper("fold.db", &sql);
        let found = kinds(&audited(&world));
        for kind in expected {
            assert!(found.contains(kind), "{what}: {kind} is not among {found:?}");
        }
        assert!(found.contains(&"table_differs"), "{what}: {found:?}");
    }
}

#[test]
fn a_claim_without_a_row_and_a_row_without_its_claim_are_found() {
    let (mut world, _) = busy();
    // Of each pre-roll the second ad may yet play. One viewer now has the claims of the other.
    let moved = "UPDATE viewer_states SET state = (SELECT state FROM viewer_states ORDER BY viewer LIMIT 1)";
    world.tamper("store.db", moved);
    let found = kinds(&audited(&world));
    assert!(found.contains(&"claim_without_row") && found.contains(&"claim_lost"), "{found:?}");

    let (lost, _) = world.decide("eve", Preroll, 1); // its rows stay with the edge, which has no outbox
    let (other, store) = busy_with(&lost);
    assert_eq!(kinds(&audited(&other)), ["claim_without_row"], "{store}");

    let (world, _) = busy();
    world.tamper("store.db", "UPDATE viewer_states SET state = x''");
    assert_eq!(kinds(&audited(&world)), ["claim_lost"]);
    world.tamper("store.db", "UPDATE viewer_states SET state = x'00'");
    assert!(kinds(&audited(&world)).contains(&"claims_unreadable"));
}

/// A busy world whose store holds the claims of one more pod.
fn busy_with(pod: &Pod) -> (World, String) {
    let (world, _) = busy();
    let mut viewer = slotkeeper_core::caps::Viewer::default();
    pod.claims().for_each(|claim| viewer.add(*claim));
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    };
    let sql = format!(
        "INSERT INTO viewer_states VALUES (x'{}', 1, x'{}', 9e15)",
        hex(&pod.decision.viewer.0),
        hex(&viewer.encode())
    );
    world.tamper("store.db", &sql);
    (world, sql)
}

#[test]
fn a_claim_that_is_not_what_its_beacons_made_of_it_is_found() {
    let (world, pods) = busy();
    let preroll = &pods[0];
    let waiting = preroll.slots.iter().find(|row| row.fill().is_some_and(|_| row.slot_index == 1)).unwrap();
    // The log says that it began to play; the store was never told.
    world.log(vec![beacon(waiting, waiting.opportunity_id, Start, world.now)]);
    world.fold();
    assert_eq!(kinds(&audited(&world)), ["start_not_confirmed"]);
    let (world, pods) = busy();
    let waiting = &pods[0].slots[1];
    world.log(vec![beacon(waiting, waiting.opportunity_id, NotUsed, world.now)]);
    world.fold();
    assert_eq!(kinds(&audited(&world)), ["release_not_settled"]);
}

#[test]
fn showings_past_a_cap_are_found_in_the_books_and_claims_past_one_in_the_store() {
    let (mut world, pods) = busy();
    let viewer = pods[0].decision.viewer;
    // An edge that forgets its viewers shows the same ads again within the hour; all else it does as it should.
    let forgotten = world.forget(viewer);
    let again = world.open("ada", Preroll, 2);
    world.restore(viewer, &forgotten);
    world.fold();
    assert_eq!(kinds(&audited(&world)), ["claims_past_a_cap"], "they may yet begin");
    let both = again.slots.iter().chain(&pods[0].slots[1..]).cloned().collect::<Vec<Opportunity>>();
    for row in &both {
        world.report(row, &[Start]);
    }
    world.fold();
    assert_eq!(kinds(&audited(&world)), ["claims_past_a_cap", "showings_past_a_cap"]);
}

#[test]
fn a_start_after_its_token_died_and_a_fill_without_its_claim_are_found() {
    let (mut world, pods) = busy();
    let waiting = &pods[0].slots[1];
    world.log(vec![beacon(waiting, waiting.opportunity_id, Start, waiting.fill().unwrap().expires_at.plus_ms(5_000))]);
    world.fold();
    assert!(kinds(&audited(&world)).contains(&"token_outlived"));

    let mut pod = world.decide("eve", Preroll, 1).0;
    if let Outcome::Filled(fill) = &mut pod.slots[0].outcome {
        fill.claim = None;
    }
    world.log(facts_of(&pod, Recording::Committed));
    world.fold();
    assert!(kinds(&audited(&world)).contains(&"fill_without_claim"));
}

#[test]
fn a_start_within_the_last_second_of_a_token_is_as_it_should_be() {
    let (mut world, pods) = busy();
    let waiting = &pods[0].slots[1];
    world.now = waiting.fill().unwrap().expires_at.plus_ms(500).minus_ms(1_000);
    world.report(waiting, &[Start]);
    world.fold();
    let report = audited(&world);
    assert!(report.is_clean(), "{report:#?}");
}

#[test]
fn a_claim_that_an_edge_whose_clock_is_ahead_has_forgotten_is_not_lost() {
    for (left_ms, expected) in [(10 * 60_000, 0), (20 * 60_000, 1)] {
        let (mut world, _) = busy();
        let mut pod = world.decide("eve", Preroll, 1).0;
        if let Outcome::Filled(fill) = &mut pod.slots[0].outcome {
            fill.claim.as_mut().unwrap().lease_until = slotkeeper::clock::now().plus_ms(left_ms);
        }
        world.log(facts_of(&pod, Recording::Committed)); // and the store holds nothing of it
        world.fold();
        assert_eq!(audited(&world).found("claim_lost"), expected, "{left_ms} ms left");
    }
}

/// The rows of a pod as an edge sends them whose commit may have landed.
fn uncommitted(pod: &Pod) -> Vec<Fact> {
    let mut pod = pod.clone();
    for row in &mut pod.slots {
        if let Outcome::Filled(fill) = &mut row.outcome {
            fill.claim = None;
        }
    }
    facts_of(&pod, Recording::Uncommitted)
}

#[test]
fn a_slot_that_was_logged_twice_earns_once() {
    let (world, pods) = busy();
    for pod in &pods {
        world.log(uncommitted(pod));
    }
    world.fold();
    let report = audited(&world);
    let revenue = report.laws.iter().find(|law| law.law == 6).unwrap();
    assert!(revenue.found == 0 && !revenue.checked.ends_with(" 0 micros"), "{revenue:#?}");
    assert_eq!(report.found("row_altered"), 0);
    world.tamper("fold.db", "UPDATE opportunities_superseded SET viewer = upper(viewer)");
    assert!(audited(&world).found("row_altered") > 0);
}

#[test]
fn facts_that_no_table_can_hold_are_noted_and_nothing_is_found() {
    let (mut world, pods) = busy();
    let mut pod = world.decide("eve", Preroll, 6).0;
    let other = pod.slots[5].opportunity_id;
    let mut refused = 0;
    for (place, row) in pod.slots.iter_mut().enumerate().filter(|(_, row)| row.fill().is_some()) {
        match place {
            0 => row.title_id = "t".repeat(129),
            _ => row.opportunity_id = other,
        }
        refused += 1;
    }
    assert!((2..6).contains(&refused), "{refused}");
    let mut never = world.decide("eve", Preroll, 1).0;
    never.slots[0].decided_at.0 = 253_402_300_800_000;
    let played = &pods[0].slots[0];
    let late = beacon(played, played.opportunity_id, Event::Error, never.slots[0].decided_at);
    world.log(facts_of(&pod, Recording::Committed));
    world.log(facts_of(&never, Recording::Committed));
    world.log(vec![late]);
    world.fold();
    let report = audited(&world);
    assert!(report.is_clean(), "{report:#?}");
    let note = format!("{} facts refused", refused + 2);
    assert!(report.laws[0].notes.iter().any(|said| said.starts_with(&note)), "{:?}", report.laws[0].notes);
    world.tamper("fold.db", "UPDATE fact_counts SET refused = refused - 1, duplicate = duplicate + 1");
    assert!(kinds(&audited(&world)).contains(&"counts_differ"));
}

#[test]
fn rows_that_never_came_are_found_by_their_decision() {
    let (mut world, _) = busy();
    let facts = world.decide("eve", Preroll, 2).1;
    world.log(facts[..2].to_vec()); // the decision, and the first of two rows
    let other = world.decide("eve", Preroll, 2).1;
    world.log(other[..1].to_vec());
    world.fold();
    let found = kinds(&audited(&world));
    assert!(found.contains(&"break_not_whole") && found.contains(&"break_lost"), "{found:?}");
}

#[test]
fn a_store_in_redis_is_audited_like_any_other() {
    let (mut world, pods) = busy();
    let server = slotkeeper_tests_redis::RedisServer::start();
    let mut redis = server.connection();
    let mut set = |key: String, field: &str, value: &[u8]| {
        redis::cmd("HSET").arg(key).arg(field).arg(value).exec(&mut redis).unwrap();
    };
    for pod in &pods {
        let (viewer, break_id) = (pod.decision.viewer, pod.decision.break_id);
        set(format!("sk:{{0}}:v:{viewer}"), "s", &world.viewer(viewer).encode());
        set(format!("sk:{{0}}:a:{}", break_id.stem()), "b", &break_id.0);
    }
    let audited = |world: &World| {
        let stores = vec![server.url().parse().unwrap()];
        audit(&Options { data: world.data(), stores, replays_max: 0, progress: &|_| {} }).unwrap()
    };
    let report = audited(&world);
    assert!(report.is_clean(), "{report:#?}");

    // A break whose rows are still in the outbox; then they are lost.
    let (unshipped, facts) = world.decide("eve", Preroll, 1);
    let mut eve = slotkeeper_core::caps::Viewer::default();
    unshipped.claims().for_each(|claim| eve.add(*claim));
    set(format!("sk:{{1}}:v:{}", unshipped.decision.viewer), "s", &eve.encode());
    let mut redis = server.connection();
    let json = serde_json::to_string(&facts).unwrap();
    redis::cmd("XADD").arg("sk:{1}:o").arg("*").arg("f").arg(json).exec(&mut redis).unwrap();
    assert!(audited(&world).is_clean());
    redis::cmd("DEL").arg("sk:{1}:o").exec(&mut redis).unwrap();
    assert_eq!(kinds(&audited(&world)), ["claim_without_row"]);
    redis::cmd("DEL").arg(format!("sk:{{0}}:v:{}", pods[0].decision.viewer)).exec(&mut redis).unwrap();
    assert_eq!(kinds(&audited(&world)), ["claim_lost", "claim_without_row"]);
}

#[test]
fn tables_that_lag_are_not_audited() {
    let (mut world, _) = busy();
    let facts = world.decide("eve", Preroll, 2).1;
    world.log(facts);
    let options = Options { data: world.data(), stores: vec![], replays_max: 0, progress: &|_| {} };
    let refused = audit(&options).unwrap_err();
    assert!(refused.to_string().starts_with("the tables are 1 batches behind the log"), "{refused}");
}
