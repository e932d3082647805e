//! What only the wasmtime host can show: a fault at every single call that the component makes.

use std::sync::atomic::Ordering::Relaxed;

use slotkeeper_core::{
    beacon::Event,
    caps::{Booking, CLAIMS_MAX, CLOCKS_APART_MS_MAX, Claim, ClaimState, Viewer},
    id::OpportunityId,
    keys::Purpose,
    pod::UnfilledReason,
};
use slotkeeper_tests::{Fault, Injection, Op, Reuse};

use crate::{
    collector::Mood,
    edge::{Edge, Runtime, json, outcomes, tokens},
    spin::Spin,
    spin_redis::SpinRedis,
    world::{self, capped, flight, request},
};

const EVERY_CALL: [Op; 12] = [
    Op::KvOpen,
    Op::KvGet,
    Op::KvSet,
    Op::KvDelete,
    Op::KvExists,
    Op::KvGetKeys,
    Op::SqlOpen,
    Op::SqlExecute,
    Op::RedisOpen,
    Op::RedisExecute,
    Op::VariableGet,
    Op::HttpSend,
];

/// A runtime whose component is on the wasmtime host.
trait OnHost: Runtime {
    fn host(&self) -> &Spin;
}

impl OnHost for Spin {
    fn host(&self) -> &Spin {
        self
    }
}

impl OnHost for SpinRedis {
    fn host(&self) -> &Spin {
        &self.spin
    }
}

/// Lets one fault strike at the first call, then in a new world at the second, and so on until there is no such call.
async fn at_every_call<R: OnHost>(fault: Fault, scenario: impl AsyncFn(&Edge<R>, &dyn Fn() -> Injection)) {
    for spared in 0..200 {
        let edge = Edge::<R>::start().await;
        edge.runtime.host().traps_expected.store(true, Relaxed);
        edge.publish(vec![capped(1, 1), flight(2)]).await;
        let injection = std::cell::RefCell::new(None);
        let begin = || {
            let begun = edge.runtime.host().world.inject_after(spared, EVERY_CALL, "*", 1, fault);
            injection.replace(Some(begun.clone()));
            begun
        };
        scenario(&edge, &begin).await;
        if injection.borrow().as_ref().is_some_and(|injection| injection.struck() == 0) {
            assert!(spared > 2, "the fault never struck");
            return;
        }
    }
    panic!("200 calls for one break");
}

/// A break, asked again until it is answered, and shipped: whatever broke, its slots are stored once and its cap holds.
async fn break_and_ship<R: OnHost>(edge: &Edge<R>, begin_fault: &dyn Fn() -> Injection) {
    let host = &edge.runtime.host().host;
    begin_fault();
    let mut answer = host.handle(as_http("r")).await;
    for _ in 0..3 {
        if answer.status() == 200 {
            break;
        }
        answer = host.handle(as_http("r")).await;
    }
    let answered: slotkeeper_core::api::BreakResponse = serde_json::from_slice(answer.body()).expect("an answer");
    let bearer = format!("Bearer {}", world::keys().bearer(Purpose::Admin));
    for _ in 0..2 {
        let ship = http::Request::post("/v1/outbox/ship").header("authorization", &bearer);
        host.handle(ship.body(bytes::Bytes::new()).unwrap()).await; // may be struck
    }
    edge.runtime.host().world.clear_faults();
    let rows = edge.rows(2).await;
    let ids: Vec<_> = rows.iter().map(|(_, row)| row.opportunity_id).collect();
    let mut asked: Vec<_> = answered.slots.iter().map(|slot| slot.opportunity_id).collect();
    asked.sort();
    assert_eq!(ids, asked);
    let filled = rows.iter().filter(|(_, row)| row.fill().is_some()).count();
    assert_eq!(filled, outcomes(&answered).iter().filter(|outcome| outcome.is_ok()).count());
    let next = edge.open(&request("next", "sue", 2)).await;
    assert_eq!(
        outcomes(&next).contains(&Ok(10)),
        !outcomes(&answered).contains(&Ok(10)),
        "the cap of 1 holds, and a claim without a fill is not held: {answered:?} {next:?}"
    );
}

/// A start reported again until it is acknowledged: whatever broke, it counts once and its claim is confirmed.
async fn report_a_start<R: OnHost>(edge: &Edge<R>, begin_fault: &dyn Fn() -> Injection) {
    let pod = edge.open(&request("r", "sue", 2)).await;
    let place = outcomes(&pod).iter().position(|outcome| *outcome == Ok(10)).unwrap();
    let report = format!("sk1 s 1\n{} start 40\n", tokens(&pod)[place]);
    begin_fault();
    let mut acknowledged = false;
    for _ in 0..4 {
        let post = http::Request::post("/v1/beacons").body(report.clone().into()).unwrap();
        let answer = edge.runtime.host().host.handle(post).await;
        acknowledged |= answer.status() == 202 && json(&answer)["accepted"] == 1;
        assert!(answer.status() != 202 || acknowledged, "a start of a live claim was refused: {:?}", answer.body());
    }
    edge.runtime.host().world.clear_faults();
    assert!(acknowledged);
    let mut started: Vec<_> = edge.collector.beacons().into_iter().map(|beacon| (beacon.event, beacon.at)).collect();
    started.dedup();
    assert_eq!(started.len(), 1, "one start, at one time, however often it was sent: {started:?}");
    let release = edge.report("s", &[(&tokens(&pod)[place], Event::NotUsed)]).await;
    assert_eq!(release.status(), 202);
    let next = edge.open(&request("next", "sue", 2)).await;
    assert!(!outcomes(&next).contains(&Ok(10)), "confirmed, so nothing releases it: {next:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_counts_once_whatever_breaks_while_it_is_reported() {
    at_every_call(Fault::Trap, report_a_start::<Spin>).await;
    at_every_call(Fault::Trap, report_a_start::<SpinRedis>).await;
    at_every_call(Fault::Error("disk I/O error"), report_a_start::<Spin>).await;
    at_every_call(Fault::Error("disk I/O error"), report_a_start::<SpinRedis>).await;
    at_every_call(Fault::Ambiguous("connection reset"), report_a_start::<Spin>).await;
    at_every_call(Fault::Ambiguous("connection reset"), report_a_start::<SpinRedis>).await;
}

fn as_http(request_id: &str) -> http::Request<bytes::Bytes> {
    let body = serde_json::to_vec(&request(request_id, "sue", 2)).unwrap();
    http::Request::post("/v1/breaks").body(body.into()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_any_two_steps_loses_no_slot_and_breaks_no_cap() {
    at_every_call(Fault::Trap, break_and_ship::<Spin>).await;
    at_every_call(Fault::Trap, break_and_ship::<SpinRedis>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_at_any_step_loses_no_slot_and_breaks_no_cap() {
    at_every_call(Fault::Error("disk I/O error"), break_and_ship::<Spin>).await;
    at_every_call(Fault::Error("disk I/O error"), break_and_ship::<SpinRedis>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_is_done_but_said_to_have_failed_loses_no_slot_and_breaks_no_cap() {
    at_every_call(Fault::Ambiguous("connection reset"), break_and_ship::<Spin>).await;
    at_every_call(Fault::Ambiguous("connection reset"), break_and_ship::<SpinRedis>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_breaks_with_one_stem_the_one_that_holds_the_claim_is_settled() {
    let edge = Edge::<Spin>::start().await;
    edge.publish(vec![capped(1, 1)]).await;
    let pod = edge.open(&request("r", "tim", 1)).await;
    let (least, greatest) = pod.break_id.stem().range();
    let database = edge.runtime.world.open_database().unwrap();
    for twin in [least, greatest] {
        let copy = "INSERT INTO breaks SELECT ?1, zeroblob(16), answer, remember_until FROM breaks LIMIT 1";
        assert_eq!(database.execute(copy, [twin.0]).unwrap(), 1);
    }
    let start = edge.report("s", &[(&tokens(&pod)[0], Event::Start)]).await;
    assert_eq!(json(&start)["accepted"], 1, "{:?}", start.body());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_whose_last_claim_is_released_keeps_the_version_of_their_state() {
    let edge = Edge::<Spin>::start().await;
    edge.publish(vec![capped(1, 1)]).await;
    let token = tokens(&edge.open(&request("r", "tia", 1)).await).remove(0);
    assert_eq!(edge.report("s", &[(&token, Event::NotUsed)]).await.status(), 202);
    edge.rows(1).await;
    edge.ship().await; // sweeps what has ended
    let database = edge.runtime.world.open_database().unwrap();
    let version = "SELECT version FROM viewer_states WHERE length(state) = 0";
    let version: u64 = database.query_row(version, [], |row| row.get(0)).expect("the state is still there");
    assert_eq!(version, 2, "a commit that was decided from version 1 must find that it lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_takes_no_more_and_rows_go_straight_to_the_origin() {
    let edge = Edge::<Spin>::start().await;
    edge.publish(vec![capped(1, 1), flight(2)]).await;
    edge.collector.set_mood(Mood::Refusing);
    edge.open(&request("first", "tom", 1)).await;
    let database = edge.runtime.world.open_database().unwrap();
    database.execute("INSERT INTO outbox(sequence, facts) SELECT 500001, facts FROM outbox", []).unwrap();
    edge.collector.set_mood(Mood::Well);
    let pod = edge.open(&request("second", "tom", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    assert_eq!(edge.collector.rows().len(), 2, "they did not wait");
    edge.rows(3).await;
    let later = edge.open(&request("third", "tom", 2)).await;
    assert!(!outcomes(&later).contains(&Err(UnfilledReason::CapCheckUnavailable)), "emptied, it takes rows again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_viewer_is_declined_and_not_taken_for_a_new_one() {
    let edge = Edge::<Spin>::start().await;
    edge.publish(vec![capped(1, 1), flight(2)]).await;
    edge.open(&request("first", "tom", 2)).await;
    let database = edge.runtime.world.open_database().unwrap();
    assert_eq!(database.execute("UPDATE viewer_states SET state = x'0102'", []).unwrap(), 1);
    let pod = edge.open(&request("second", "tom", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_full_of_ended_claims_has_room_again() {
    let edge = Edge::<Spin>::start().await;
    edge.publish(vec![capped(1, 1), flight(2)]).await;
    edge.open(&request("first", "xia", 2)).await;
    let mut full = Viewer::default();
    for n in 0..CLAIMS_MAX {
        let left = u64::from(n == 0) * 3_600_000; // one of them is still live
        full.add(Claim {
            opportunity_id: OpportunityId::default(),
            booking: Booking::default(),
            session: None,
            state: ClaimState::Confirmed,
            lease_until: world::now().minus_ms(CLOCKS_APART_MS_MAX),
            at: world::now().minus_ms(2 * CLOCKS_APART_MS_MAX),
            counts_until: world::now().minus_ms(CLOCKS_APART_MS_MAX).plus_ms(left),
        });
    }
    let database = edge.runtime.world.open_database().unwrap();
    assert_eq!(database.execute("UPDATE viewer_states SET state = ?1", [full.encode()]).unwrap(), 1);
    let pod = edge.open(&request("second", "xia", 2)).await;
    assert!(outcomes(&pod).contains(&Ok(10)), "{pod:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_race_is_exact_when_every_request_has_an_instance_of_its_own() {
    let edge = Edge::<Spin>::start_with(|settings, folder| Spin::with_reuse(settings, folder, Reuse::NONE)).await;
    edge.publish(vec![capped(1, 5)]).await;
    let edge = std::sync::Arc::new(edge);
    let racing: Vec<_> = (0..40)
        .map(|n| {
            let edge = std::sync::Arc::clone(&edge);
            tokio::spawn(async move { edge.open(&request(&format!("race{n}"), "uma", 1)).await })
        })
        .collect();
    let mut fills = 0;
    for opened in racing {
        fills += outcomes(&opened.await.unwrap()).iter().filter(|outcome| outcome.is_ok()).count();
    }
    assert_eq!(fills, 5);
    edge.rows(40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_setting_is_named_and_nothing_else_is_told() {
    let edge = Edge::<Spin>::start_with(|settings, folder| {
        let without_keys: Vec<_> = settings.iter().filter(|(name, _)| name != "keys").cloned().collect();
        Spin::with_reuse(&without_keys, folder, Reuse::SPIN)
    })
    .await;
    let answer = edge.runtime.host.handle(http::Request::get("/healthz").body(bytes::Bytes::new()).unwrap()).await;
    assert_eq!(answer.status(), 500);
    assert_eq!(json(&answer)["error"]["message"], "the setting keys is missing");
}
