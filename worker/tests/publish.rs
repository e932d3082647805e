//! Plans and outboxes: what the origin asks of its edges.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{collections::VecDeque, path::Path, process::Output};

use serde_json::json;
use support::{
    KEYS, Origin,
    edge::{FakeEdge, Script},
    eventually, get, program,
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
