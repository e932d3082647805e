//! What can go wrong between the edge and its Redis, and on the other side of it: a real server, really killed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Connection, cmd};
use slotkeeper_core::{
    api::BreakResponse,
    fact::Recording,
    id::{BreakId, OpportunityId},
    pod::UnfilledReason,
};
use slotkeeper_tests::{Fault, Op, Reuse};

use crate::{
    collector::Mood,
    edge::{Edge, Runtime as _, json, outcomes},
    spin::Spin,
    spin_redis::SpinRedis,
    world::{self, capped, flight, request},
};

/// What only a commit sends: the name of an outbox, as the last of the keys.
const COMMIT: &str = "}:o\r\n";
/// So little for one call that nothing else is needed to end one.
const IMPATIENT: [(&str, &str); 3] =
    [("store_deadline_ms", "200"), ("decision_deadline_ms", "15000"), ("answer_deadline_ms", "20000")];

/// Every key of the server that holds `part`.
fn keys(redis: &mut Connection, part: &str) -> Vec<String> {
    cmd("KEYS").arg(format!("*{part}*")).query(redis).unwrap()
}

fn fills(pod: &BreakResponse) -> usize {
    outcomes(pod).iter().filter(|outcome| outcome.is_ok()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_redis_has_forgotten_is_sent_again() {
    let edge = Edge::<SpinRedis>::start().await;
    edge.publish(vec![capped(1, 2)]).await;
    for n in 0..3 {
        let _: () = cmd("SCRIPT").arg("FLUSH").query(&mut edge.runtime.server.connection()).unwrap();
        let pod = edge.open(&request(&format!("r{n}"), "ann", 1)).await;
        let expected = if n < 2 { Ok(10) } else { Err(UnfilledReason::FrequencyCapped) };
        assert_eq!(outcomes(&pod), [expected]);
    }
    assert!(edge.rows(3).await.iter().all(|(recording, _)| *recording == Recording::Committed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_has_every_claim_answer_and_row_when_it_is_back() {
    let mut edge = Edge::<SpinRedis>::start().await;
    edge.publish(vec![capped(1, 1), flight(2)]).await;
    edge.collector.set_mood(Mood::Refusing);
    let before = edge.ask(&request("r", "bea", 2)).await;
    edge.runtime.server.kill_9();
    edge.collector.set_mood(Mood::Well);
    let without = edge.open(&request("without", "bea", 2)).await;
    assert_eq!(outcomes(&without), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)], "uncapped demand, honest slots");
    edge.runtime.server.restart();
    assert_eq!(edge.ask(&request("r", "bea", 2)).await.body(), before.body(), "the answer");
    let next = edge.open(&request("next", "bea", 2)).await;
    assert_eq!(outcomes(&next), [Ok(20), Err(UnfilledReason::FrequencyCapped)], "the claim");
    edge.rows(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_reply_is_lost_is_found_again_and_not_made_twice() {
    let edge = Edge::<SpinRedis>::start().await;
    edge.publish(vec![capped(1, 1)]).await;
    edge.open(&request("warm", "cid", 1)).await;
    edge.runtime.proxy.lose_reply_to(COMMIT);
    let pod = edge.open(&request("r", "dot", 1)).await;
    edge.runtime.proxy.struck().await;
    assert_eq!(outcomes(&pod), [Ok(10)]);
    let again = edge.open(&request("r", "dot", 1)).await;
    assert_eq!(again.slots[0].opportunity_id, pod.slots[0].opportunity_id);
    let next = edge.open(&request("next", "dot", 1)).await;
    assert_eq!(outcomes(&next), [Err(UnfilledReason::FrequencyCapped)]);
    assert!(edge.rows(3).await.iter().all(|(recording, _)| *recording == Recording::Committed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_redis_costs_no_more_than_the_budget() {
    let edge = Edge::<SpinRedis>::start_with_settings(&IMPATIENT).await;
    edge.publish(vec![capped(1, 5), flight(2)]).await;
    edge.open(&request("warm", "eve", 1)).await;
    edge.runtime.proxy.hold();
    let began = Instant::now();
    let pod = edge.open(&request("r", "eve", 2)).await;
    let took = began.elapsed();
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    assert!(took < Duration::from_secs(3), "{took:?}");
    edge.runtime.proxy.pass();
    assert_eq!(fills(&edge.open(&request("later", "eve", 2)).await), 2);
    edge.rows(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_lands_after_its_break_was_answered_without_it_loses_and_doubles_no_slot() {
    let edge = Edge::<SpinRedis>::start_with_settings(&IMPATIENT).await;
    edge.publish(vec![capped(1, 1), flight(2)]).await;
    edge.open(&request("warm", "fay", 1)).await;
    edge.runtime.proxy.hold_at(COMMIT);
    let request_id = OpportunityId::mint(BreakId([7; 16]), 0, world::now()).to_string();
    let without = edge.open(&request(&request_id, "gus", 2)).await;
    assert_eq!(outcomes(&without), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    edge.runtime.proxy.pass();
    edge.until("the commit has landed", async || keys(&mut edge.runtime.server.connection(), ":a:").len() == 2).await;
    let with = edge.open(&request(&request_id, "gus", 2)).await;
    let ids = |pod: &BreakResponse| pod.slots.iter().map(|slot| slot.opportunity_id).collect::<Vec<_>>();
    assert_eq!(ids(&with), ids(&without), "the origin sees that they are the same slots");
    let next = edge.open(&request("next", "gus", 2)).await;
    assert!(!outcomes(&next).contains(&Ok(10)), "its claim holds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_cannot_be_reached_leaves_uncapped_demand_and_honest_slots() {
    let edge = Edge::<SpinRedis>::start().await;
    edge.publish(vec![capped(1, 5), flight(2)]).await;
    edge.runtime.proxy.refuse();
    for n in 0..3 {
        let pod = edge.open(&request(&format!("r{n}"), "hal", 2)).await;
        assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    }
    assert!(edge.rows(6).await.iter().all(|(recording, _)| *recording == Recording::Uncommitted), "straight there");
    edge.runtime.proxy.pass();
    assert_eq!(fills(&edge.open(&request("healed", "hal", 2)).await), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_that_takes_no_rows_takes_no_claims_either() {
    let edge = Edge::<SpinRedis>::start().await;
    edge.publish(vec![capped(1, 1), flight(2)]).await;
    let mut redis = edge.runtime.server.connection();
    let outboxes: Vec<String> = (0..5).map(|shard| format!("sk:{{{shard}}}:o")).collect();
    for outbox in &outboxes {
        let _: () = cmd("SET").arg(outbox).arg("not a stream").query(&mut redis).unwrap();
    }
    let pod = edge.open(&request("r", "ida", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    assert_eq!(keys(&mut redis, ":v:").len() + keys(&mut redis, ":a:").len(), 0, "nothing is half done");
    let _: () = cmd("DEL").arg(&outboxes).query(&mut redis).unwrap();
    assert!(outcomes(&edge.open(&request("next", "ida", 2)).await).contains(&Ok(10)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_outbox_takes_no_more_until_it_is_emptied() {
    let edge = Edge::<SpinRedis>::start().await;
    edge.publish(vec![capped(1, 1), flight(2)]).await;
    edge.collector.set_mood(Mood::Refusing);
    edge.open(&request("first", "lea", 1)).await;
    let mut redis = edge.runtime.server.connection();
    let fill = "for _ = 1, 99999 do redis.call('XADD', KEYS[1], '*', 'f', '[]') end";
    let outbox = keys(&mut redis, ":o").remove(0);
    let _: () = cmd("EVAL").arg(fill).arg(1).arg(&outbox).query(&mut redis).unwrap();
    let pod = edge.open(&request("second", "lea", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)]);
    edge.collector.set_mood(Mood::Well);
    let _: () = cmd("XTRIM").arg(&outbox).arg("MAXLEN").arg(0).query(&mut redis).unwrap();
    let later = edge.open(&request("third", "lea", 2)).await;
    assert!(!outcomes(&later).contains(&Err(UnfilledReason::CapCheckUnavailable)), "emptied, it takes rows again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_live_breaks_with_one_stem_are_not_taken_for_one() {
    let edge = Edge::<SpinRedis>::start().await;
    edge.publish(vec![capped(1, 5), flight(2)]).await;
    edge.open(&request("r", "jon", 2)).await;
    let mut redis = edge.runtime.server.connection();
    let answers = keys(&mut redis, ":a:");
    assert_eq!(answers.len(), 1);
    let _: () = cmd("HSET").arg(&answers[0]).arg("b").arg("another break").query(&mut redis).unwrap();
    let pod = edge.open(&request("r", "jon", 2)).await;
    assert_eq!(outcomes(&pod), [Ok(20), Err(UnfilledReason::CapCheckUnavailable)], "when in doubt, do not fill");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_a_viewer_or_a_break_ends_some_day() {
    let edge = Edge::<SpinRedis>::start().await;
    edge.publish(vec![capped(1, 5)]).await;
    edge.open(&request("r", "kim", 1)).await;
    let mut redis = edge.runtime.server.connection();
    for part in [":v:", ":a:"] {
        let found = keys(&mut redis, part);
        let left: i64 = cmd("PTTL").arg(&found).query(&mut redis).unwrap();
        assert!(left > 3_600_000, "an hour of grace at least, not {left} ms: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_one_redis_hold_one_cap_and_one_plan() {
    let one = Edge::<SpinRedis>::start().await;
    let url = one.runtime.server.url();
    let two = Edge::<Spin>::start_with(|settings, folder| {
        Spin::with_reuse(&SpinRedis::settings(settings, &url), folder, Reuse::SPIN)
    })
    .await;
    // Published to one node and then to the other: the bytes come to each by its own way.
    one.publish(vec![capped(1, 5)]).await;
    two.publish(vec![capped(1, 5)]).await;
    let (one, two) = (Arc::new(one), Arc::new(two));
    let racing = (0..40).map(|n| {
        let (one, two) = (Arc::clone(&one), Arc::clone(&two));
        tokio::spawn(async move {
            let asked = request(&format!("race{n}"), "one viewer", 1);
            fills(&if n % 2 == 0 { one.open(&asked).await } else { two.open(&asked).await })
        })
    });
    let mut filled = 0;
    for opened in racing.collect::<Vec<_>>() {
        filled += opened.await.unwrap();
    }
    assert_eq!(filled, 5);
    one.rows(40).await; // one origin empties the outboxes of both
    // A node that has not got the newest plan's bytes yet decides from the plan it has.
    one.publish(vec![flight(2)]).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await; // what it has heard counts as fresh for a second
    let pod = two.open(&request("behind", "another viewer", 1)).await;
    assert_eq!(fills(&pod), 1, "{pod:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_setting_is_named_and_no_secret_is_told() {
    for (name, value, expected) in [
        ("store", "mongodb", "the setting store must be sqlite or redis"),
        ("redis_url", "", "the setting redis_url is missing"),
        (
            "redis_url",
            "redis://:secret@127.0.0.1:6379",
            "the setting redis_url must be redis://HOST:PORT or rediss://HOST:PORT; a password goes into redis_auth",
        ),
        ("redis_auth", "secret", "the setting redis_auth must be USER:PASSWORD, or :PASSWORD for the default user"),
        ("redis_shards", "0", "the setting redis_shards must be a whole number of shards from 1 to 65536"),
    ] {
        let edge = Edge::<Spin>::start_with(|settings, folder| {
            let mut settings = SpinRedis::settings(settings, "redis://127.0.0.1:1");
            settings.push((name.to_owned(), value.to_owned()));
            Spin::with_reuse(&settings, folder, Reuse::SPIN)
        })
        .await;
        let health = edge.runtime.send(http::Request::get("/healthz").body(bytes::Bytes::new()).unwrap()).await;
        assert_eq!((health.status().as_u16(), &json(&health)["error"]["message"]), (500, &expected.into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_that_cannot_be_read_is_not_taken_for_one_that_is_not_given() {
    for name in ["store", "redis_url", "redis_shards"] {
        let edge = Edge::<SpinRedis>::start().await;
        edge.runtime.spin.world.inject(Op::VariableGet, name, 1, Fault::Error("the provider is down"));
        let health = || edge.runtime.send(http::Request::get("/healthz").body(bytes::Bytes::new()).unwrap());
        let refused = health().await;
        let expected = format!("the setting {name} could not be read");
        assert_eq!((refused.status().as_u16(), &json(&refused)["error"]["message"]), (500, &expected.into()));
        assert_eq!(health().await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_with_any_character_opens_the_door() {
    let edge = Edge::<SpinRedis>::start().await;
    let mut redis = edge.runtime.server.connection();
    let _: () = cmd("CONFIG").arg("SET").arg("requirepass").arg("p@ss:/?#%wörd").query(&mut redis).unwrap();
    let url = edge.runtime.server.url();
    let with = |auth: &'static str| {
        let url = url.clone();
        Edge::<Spin>::start_with(move |settings, folder| {
            let mut settings = SpinRedis::settings(settings, &url);
            settings.push(("redis_auth".to_owned(), auth.to_owned()));
            Spin::with_reuse(&settings, folder, Reuse::SPIN)
        })
    };
    let health = async |edge: &Edge<Spin>| {
        json(&edge.call(http::Method::GET, "/healthz", None, "").await)["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(health(&with(":p@ss:/?#%wörd").await).await, "no_valid_plan", "it is in");
    assert_eq!(health(&with(":wrong").await).await, "store_unavailable");
}
