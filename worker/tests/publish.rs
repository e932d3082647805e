//! Plans and outboxes: what the origin asks of its edges.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{collections::VecDeque, path::Path, process::Output};

use rusqlite::Connection;
use serde_json::json;
use slotkeeper::{
    data_dir::DataDir,
    log::{Log as _, Received, SqliteLog},
    plan::kept,
};
use slotkeeper_core::{
    contract::{DemandClass, RegistryRecord},
    id::FlightId,
};
use support::{
    KEYS, Origin, batch,
    edge::{FakeEdge, Script},
    eventually,
    facts::{NOW, QUARTILES, beacon, committed, filled},
    get, program,
};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/contracts.toml");

fn import_demo(data: &Path) {
    let imported = program().args(["contracts", "import", DEMO, "--data"]).arg(data).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
}

async fn publish(data: &Path, edges: &[&str]) -> Output {
    let mut command = program();
    command.args(["plan", "publish", "--keys", KEYS, "--public-url", "http://origin", "--retry-for", "1", "--data"]);
    command.arg(data);
    for edge in edges {
        command.args(["--edge", edge]);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_tells_which_edge_has_which_version_and_tries_again_where_that_may_help() {
    let folder = tempfile::tempdir().unwrap();
    import_demo(folder.path());
    let busy = VecDeque::from([(503, "busy"), (503, "busy")]);
    let edge = FakeEdge::start(Script { plan_version: Some(3), plan_refusals: busy, ..Script::default() }).await;
    let output = publish(folder.path(), &[&format!("one={}", edge.url)]).await;
    assert!(output.status.success(), "{output:?}");
    let (version, tries) = edge.asked(|script| (script.plan_version.unwrap(), script.plans_put));
    assert_eq!(tries, 3);
    let table = said(&output);
    assert_eq!(table.lines().next(), Some(&*format!("plan {version}")));
    let row: Vec<&str> = table.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(row, ["one", "3", &version.to_string(), "stored"]);

    let shown = program().args(["plan", "show", "--data"]).arg(folder.path()).output().unwrap();
    let table = said(&shown);
    assert!(table.contains("northwind-electric-1") && table.contains("advertiser 4/calendar, flight 1/1h"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_fails_if_any_edge_does_not_take_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    import_demo(folder.path());
    let good = FakeEdge::start(Script::default()).await;
    let newer = VecDeque::from([(409, "plan_older")]);
    let ahead =
        FakeEdge::start(Script { plan_version: Some(u64::MAX), plan_refusals: newer, ..Script::default() }).await;
    let closed = { std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let edges = [format!("good={}", good.url), format!("ahead={}", ahead.url), format!("gone=http://{closed}")];
    let output = publish(folder.path(), &edges.each_ref().map(String::as_str)).await;
    assert_eq!(output.status.code(), Some(1));
    let table = said(&output);
    let result = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(result("good").ends_with("stored"));
    assert!(result("ahead").contains("it has a newer plan, which was not made here"), "{table}");
    assert!(result("gone").contains("cannot be reached"), "{table}");
    assert_eq!(ahead.asked(|script| script.plans_put), 1, "a refusal for good is not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serving_origin_publishes_by_itself_and_again() {
    let folder = tempfile::tempdir().unwrap();
    import_demo(folder.path());
    let edge = FakeEdge::start(Script::default()).await;
    let origin = Origin::start(folder.path(), &["--publish-every", "1", "--edge", &edge.url]);
    eventually(async || edge.asked(|script| script.plans_put) >= 2).await;
    let version = edge.asked(|script| script.plan_version);
    let health = format!("{}/healthz", origin.url);
    eventually(async || get(&health).await["edges"][0]["plan_version"].as_u64() >= version).await;
    assert_eq!(get(&format!("{}/api/v1/config", origin.url)).await, json!({ "edge_url": edge.url }));
    assert!(origin.terminate().success());
}

/// What a flight gets in every plan that was made, from the oldest on.
fn allocations(data: &Path, flight: FlightId) -> Vec<u32> {
    let db = Connection::open(DataDir::open(data).unwrap().contracts()).unwrap();
    let mut versions = db.prepare("SELECT version FROM plans_kept ORDER BY version").unwrap();
    let versions = versions.query_map([], |row| row.get(0)).unwrap();
    let plans = versions.map(|version| kept(&db, version.unwrap()).unwrap().unwrap());
    plans.map(|plan| plan.flights.iter().find(|one| one.flight_id == flight).unwrap().allocation).collect()
}

/// What it gets in the plan that was made last.
fn allocation(data: &Path, flight: FlightId) -> u32 {
    *allocations(data, flight).last().unwrap()
}

fn lose_fold(data: &Path) {
    std::fs::remove_file(data.join("fold.db")).unwrap();
    for name in ["fold.db-wal", "fold.db-shm"] {
        let _ = std::fs::remove_file(data.join(name)); // SQLite has mostly removed them itself
    }
}

/// A guaranteed flight of the demo that is delivered in full: its promise is 1, and one impression is in the log.
async fn deliver_one(data: &Path) -> FlightId {
    import_demo(data);
    let folder = DataDir::open(data).unwrap();
    let edge = FakeEdge::start(Script::default()).await;
    assert!(publish(data, &[&edge.url]).await.status.success(), "an absent log needs no folding");
    let db = Connection::open(folder.contracts()).unwrap();
    let records: Vec<String> = db
        .prepare("SELECT record FROM registry")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let sold = records
        .iter()
        .map(|record| serde_json::from_str::<RegistryRecord>(record).unwrap())
        .find(|record| record.class == DemandClass::Guaranteed)
        .unwrap();
    db.execute("UPDATE flights SET committed_impressions = 1 WHERE flight_id = ?1", [sold.flight_id.0]).unwrap();
    let row = filled(1, 0, &sold);
    let mut facts = vec![committed(&row)];
    facts.extend((0..).step_by(1_500).zip(&QUARTILES).map(|(at, event)| beacon(&row, &sold, *event, at)));
    let received = Received { at: NOW, bytes: batch(facts) };
    SqliteLog::open(&folder.log()).unwrap().append(&[received]).unwrap();
    sold.flight_id
}

#[tokio::test(flavor = "multi_thread")]
async fn no_plan_is_published_before_the_log_is_folded() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let flight = deliver_one(data).await;
    let edge = FakeEdge::start(Script::default()).await;
    let origin = Origin::start(data, &["--publish-every", "1", "--edge", &edge.url]);
    eventually(async || edge.asked(|script| script.plans_put) >= 1).await;
    assert_eq!(allocation(data, flight), 0, "the first plan knows what is delivered");
    assert!(origin.terminate().success());

    lose_fold(data);
    let edge = FakeEdge::start(Script::default()).await;
    let refused = publish(data, &[&edge.url]).await;
    assert!(!refused.status.success());
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("only 0 of 1 entries of the log are folded") && why.contains("--force"), "{why}");
    assert_eq!(edge.asked(|script| script.plans_put), 0);
    assert_eq!(allocation(data, flight), 0, "and no plan was made");

    let origin = Origin::start(data, &["--publish-every", "1", "--edge", &edge.url]);
    eventually(async || edge.asked(|script| script.plans_put) >= 1).await;
    assert!(publish(data, &[&edge.url]).await.status.success(), "beside a serve that has folded");
    assert!(origin.terminate().success());
    let made = allocations(data, flight);
    assert!(made.len() >= 4 && made[0] > 0, "{made:?}");
    assert_eq!(made[1..].iter().max(), Some(&0), "every plan since the delivery knows of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_forces_a_plan_gets_one_and_who_is_early_waits_for_the_fold() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let flight = deliver_one(&data).await;
    let edge = FakeEdge::start(Script::default()).await;
    let early = tokio::spawn({
        let (data, url) = (data.clone(), edge.url.clone());
        async move { publish(&data, &[&url]).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(edge.asked(|script| script.plans_put), 0);
    let origin = Origin::start(&data, &["--publish-every", "0"]);
    assert!(early.await.unwrap().status.success());
    assert_eq!(allocation(&data, flight), 0);
    assert!(origin.terminate().success());

    lose_fold(&data);
    let mut forced = program();
    forced.args(["plan", "publish", "--force", "--keys", KEYS, "--public-url", "http://origin", "--data"]).arg(&data);
    forced.args(["--edge", &edge.url]);
    let forced = tokio::task::spawn_blocking(move || forced.output().unwrap()).await.unwrap();
    assert!(forced.status.success(), "{forced:?}");
    // What was logged waits for longer than five minutes: who is behind is not known, so every flight keeps what it had.
    assert_eq!(allocation(&data, flight), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_is_asked_until_it_is_empty_and_left_alone_if_it_ships_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |shipped, left| (200, json!({ "shipped": shipped, "left": left }));
    let by_itself = json!({ "error": { "code": "ships_by_itself", "field": null, "message": "an alarm does" } });
    let answers = VecDeque::from([rows(100, 150), rows(100, 50), rows(50, 0), (404, by_itself)]);
    let edge = FakeEdge::start(Script { ship_answers: answers, ..Script::default() }).await;
    let other = FakeEdge::start(Script::default()).await;
    let edges = format!("{},{}", edge.url, other.url);
    let _origin = Origin::start(folder.path(), &["--publish-every", "0", "--edge", &edges]);
    eventually(async || edge.asked(|script| script.ships_asked) == 4).await;
    let before = other.asked(|script| script.ships_asked);
    eventually(async || other.asked(|script| script.ships_asked) >= before + 3).await;
    assert_eq!(edge.asked(|script| script.ships_asked), 4, "while the other was asked 3 times more");
}
