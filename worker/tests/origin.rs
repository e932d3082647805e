//! The origin's HTTP: what it takes from edges, and what it shows to pages.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use rusqlite::Connection;
use serde_json::{Value, json};
use slotkeeper::contracts::Contracts;
use slotkeeper_core::{
    beacon::Event,
    fact::{BATCH_BYTES_MAX, BATCH_FACTS_MAX},
    keys::Purpose,
    pod::UnfilledReason,
};
use support::{
    Origin, batch, collector_bearer, eventually,
    facts::{NOW, QUARTILES, beacon, coded, committed, filled, idle, lossy, record, unfilled},
    get, keyring, post,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const QUIET: &[&str] = &["--publish-every", "0"];

struct World {
    folder: tempfile::TempDir,
    origin: Origin,
    client: Client,
}

impl World {
    fn new(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        drop(Contracts::open(&folder.path().join("contracts.db")).unwrap());
        let db = Connection::open(folder.path().join("contracts.db")).unwrap();
        let sold = record(1);
        let row = [sold.record_id().to_string(), sold.canonical_json()];
        db.execute("INSERT INTO registry (record_id, record) VALUES (?1, ?2)", row).unwrap();
        let origin = Origin::start(folder.path(), &[QUIET, more].concat());
        Self { folder, origin, client: Client::new() }
    }

    async fn get(&self, path: &str) -> Value {
        get(&format!("{}{path}", self.origin.url)).await
    }

    async fn tell(&self, facts: Vec<slotkeeper_core::fact::Fact>) {
        assert_eq!(post(&self.client, &self.origin.url, batch(facts)).await.unwrap(), StatusCode::ACCEPTED);
        self.origin.folded().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_takes_authentic_batches_within_bounds_and_nothing_else() {
    let world = World::new(&[]);
    let good = collector_bearer();
    let admin = keyring().bearer(Purpose::Admin);
    let one = batch(vec![committed(&unfilled(1, 0))]);
    let too_many = batch(vec![committed(&unfilled(1, 0)); BATCH_FACTS_MAX + 1]);
    let too_large = vec![b' '; BATCH_BYTES_MAX + 1];
    let nameless = serde_json::to_vec(&json!({ "edge_id": "", "facts": [] })).unwrap();
    let cases: [(&str, Vec<u8>, u16, &str, Value); 7] = [
        ("", one.clone(), 401, "unauthorized", Value::Null),
        (&admin, one.clone(), 401, "unauthorized", Value::Null),
        (&good, b"{".to_vec(), 400, "malformed", Value::Null),
        (&good, br#"{"edge_id":"e","facts":[{"fact":"rumour"}]}"#.to_vec(), 400, "malformed", Value::Null),
        (&good, nameless, 400, "invalid_field", json!("edge_id")),
        (&good, too_many, 400, "invalid_field", json!("facts")),
        (&good, too_large, 413, "batch_too_large", Value::Null),
    ];
    let url = format!("{}/v1/facts", world.origin.url);
    for (bearer, body, status, code, field) in cases {
        let response = world.client.post(&url).bearer_auth(bearer).body(body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{code}");
        let error: Value = response.json().await.unwrap();
        assert_eq!((&error["error"]["code"], &error["error"]["field"]), (&json!(code), &field));
    }
    assert_eq!(world.get("/healthz").await["log_seq"], 0, "nothing of that is in the log");
    let taken = world.client.post(&url).bearer_auth(&good).body(one).send().await.unwrap();
    assert_eq!(taken.status(), StatusCode::ACCEPTED);
    assert_eq!(taken.json::<Value>().await.unwrap(), json!({ "accepted": 1 }));
    assert_eq!(world.get("/healthz").await["log_seq"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_shows_what_filled_it_what_was_reported_and_what_it_earned() {
    let world = World::new(&[]);
    let sold = record(1);
    let row = filled(1, 0, &sold);
    let mut facts = vec![committed(&row), committed(&unfilled(1, 1))];
    facts.extend((0..).step_by(1_500).zip(&QUARTILES[..3]).map(|(at, event)| beacon(&row, &sold, *event, at)));
    facts.push(idle(beacon(&row, &sold, Event::Pause, 2_000), 14_400));
    facts.extend([Event::NotViewable, Event::Viewable].map(|event| beacon(&row, &sold, event, 5_000)));
    facts.extend([lossy(1, 2), lossy(1, 5), lossy(2, 1)]);
    facts.push(coded(beacon(&row, &sold, Event::Error, 5_500), 405));
    world.tell(facts).await;
    let page = world.get("/api/v1/slots").await;
    let [empty, shown] = [&page["slots"][0], &page["slots"][1]];
    assert_eq!(empty["unfilled_reason"], UnfilledReason::FrequencyCapped.as_str());
    assert_eq!((&empty["ad"], &empty["eliminated"]), (&Value::Null, &json!({ "frequency_capped": 2 })));
    assert_eq!(shown["opportunity_id"], row.opportunity_id.to_string());
    assert_eq!((&shown["outcome"], &shown["fill_reason"]), (&json!("filled"), &json!("guaranteed")));
    assert_eq!(shown["ad"]["flight"], json!({ "id": 1, "slug": null, "name": null }), "it was booked elsewhere");
    let events: Vec<&str> =
        shown["events"].as_array().unwrap().iter().filter_map(|one| one["event"].as_str()).collect();
    assert_eq!(events, ["start", "firstQuartile", "pause", "midpoint", "viewable", "notViewable", "error"]);
    let said = ["viewability", "error_code", "idle_s"];
    assert_eq!(said.map(|name| &shown[name]), [&json!("viewable"), &json!(405), &json!(14_400)]);
    assert_eq!(said.map(|name| &empty[name]), [&Value::Null; 3], "of no ad nothing is said");
    assert_eq!(shown["events"][3]["at_ms"], NOW.0 + 3_000);
    assert_eq!(shown["furthest_quartile"], "midpoint");
    assert_eq!((&shown["recognized_revenue_micros"], &shown["currency"]), (&json!(18_333), &json!("USD")));
    let summary = world.get("/api/v1/summary").await;
    assert_eq!(summary["conservation"], json!({ "opportunities": 2, "filled": 1, "unfilled": 1, "holds": true }));
    assert_eq!(summary["client_losses"], json!({ "sessions": 2, "beacons": 6 }));
    let reached: Vec<u64> = summary["impressions"]["reached"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["impressions"].as_u64())
        .collect();
    assert_eq!(reached, [1, 1, 1, 0, 0]);
    assert_eq!(
        summary["facts"][0],
        json!({ "edge_id": "edge-1", "received": 12, "fresh": 12, "duplicate": 0, "refused": 0 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_slots_are_bounded_newest_first_and_leave_none_out() {
    let world = World::new(&[]);
    let rows = (0..25).flat_map(|n| (0..3).map(move |slot| unfilled(n, slot)));
    let rows = rows.map(|mut row| {
        row.decided_at = NOW.plus_ms(u64::from(row.break_id.0[15] % 5));
        row
    });
    world.tell(rows.map(|row| committed(&row)).collect()).await;
    let mut seen: Vec<(u64, String, u64)> = Vec::new();
    let mut after = String::new();
    loop {
        let page = world.get(&format!("/api/v1/slots?limit=7{after}")).await;
        let slots = page["slots"].as_array().unwrap();
        assert!(slots.len() <= 7);
        let key = |slot: &Value| {
            let break_id = slot["break_id"].as_str().unwrap().to_owned();
            (slot["decided_at_ms"].as_u64().unwrap(), break_id, slot["slot_index"].as_u64().unwrap())
        };
        seen.extend(slots.iter().map(key));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen.len(), 75);
    assert!(seen.is_sorted_by(|one, next| one > next));
    for odd in ["limit=0", "limit=201", "limit=x", "after=1.2", "after=1..3", "page=2"] {
        let response = reqwest::get(format!("{}/api/v1/slots?{odd}", world.origin.url)).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_tells_every_change_of_a_slot_and_ends_with_the_origin() {
    let World { folder: _folder, origin, client } = World::new(&[]);
    let mut stream = client.get(format!("{}/api/v1/slots/stream", origin.url)).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let (sold, mut told) = (record(1), String::new());
    let row = filled(1, 0, &sold);
    for (facts, expected) in [
        (vec![committed(&row)], "\"furthest_quartile\":null"),
        (vec![beacon(&row, &sold, Event::Start, 0)], "\"furthest_quartile\":\"start\""),
    ] {
        assert_eq!(post(&client, &origin.url, batch(facts)).await.unwrap(), StatusCode::ACCEPTED);
        while !told.contains(expected) {
            told += std::str::from_utf8(&stream.chunk().await.unwrap().expect("an open stream")).unwrap();
        }
    }
    assert_eq!(told.matches("event: slot").count(), 2);
    assert!(told.contains(&row.opportunity_id.to_string()));
    assert!(tokio::task::spawn_blocking(|| origin.terminate()).await.unwrap().success());
    while let Ok(Some(_)) = stream.chunk().await {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_slot_makes_the_stream_ask_for_a_resync() {
    let world = World::new(&[]);
    let mut first = unfilled(1, 0);
    world.tell(vec![committed(&first)]).await;
    let mut stream = world.client.get(format!("{}/api/v1/slots/stream", world.origin.url)).send().await.unwrap();
    let later = NOW.plus_ms(9_000);
    first.opportunity_id = slotkeeper_core::id::OpportunityId::mint(first.break_id, 0, later);
    let recording = slotkeeper_core::fact::Recording::Uncommitted;
    let rival = slotkeeper_core::fact::Fact::Opportunity { recording, row: first };
    post(&world.client, &world.origin.url, batch(vec![rival])).await.unwrap();
    let mut told = String::new();
    while !told.contains("event: resync") {
        told += std::str::from_utf8(&stream.chunk().await.unwrap().expect("an open stream")).unwrap();
    }
    assert_eq!(world.get("/api/v1/summary").await["superseded"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_edges_at_once_are_all_heard() {
    let world = World::new(&[]);
    let sends = (0..64).map(|n| {
        let (client, url) = (world.client.clone(), world.origin.url.clone());
        async move {
            let body = batch((0..16).map(|slot| committed(&unfilled(n, slot))).collect());
            let mut answer = StatusCode::SERVICE_UNAVAILABLE;
            eventually(async || {
                answer = post(&client, &url, body.clone()).await.unwrap();
                answer != StatusCode::SERVICE_UNAVAILABLE // a full queue asks to come back
            })
            .await;
            answer
        }
    });
    assert!(join_all(sends).await.into_iter().all(|status| status == StatusCode::ACCEPTED));
    world.origin.folded().await;
    assert_eq!(world.get("/api/v1/summary").await["opportunities"], 64 * 16);
}

/// Sends bytes as they are; what comes back until the connection ends.
async fn raw(origin: &str, request: String) -> String {
    let mut connection = TcpStream::connect(origin.strip_prefix("http://").unwrap()).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_their_types_ranges_and_headers_and_nothing_outside_is_shown() {
    let www = tempfile::tempdir().unwrap();
    std::fs::create_dir(www.path().join("pub")).unwrap();
    std::fs::write(www.path().join("secret"), "not to be seen").unwrap();
    for (name, text) in [("index.html", "<p>"), ("sdk.wasm", "asm"), ("ad.webm", "0123456789"), ("app.js", "1")] {
        std::fs::write(www.path().join("pub").join(name), text).unwrap();
    }
    let root = www.path().join("pub");
    let world = World::new(&["--www", root.to_str().unwrap(), "--edge", "http://127.0.0.1:9"]);
    let url = |path: &str| format!("{}{path}", world.origin.url);
    for (path, mime) in [
        ("/", "text/html"),
        ("/sdk.wasm", "application/wasm"),
        ("/ad.webm", "video/webm"),
        ("/app.js", "text/javascript"),
    ] {
        let response = reqwest::get(url(path)).await.unwrap();
        assert_eq!(response.headers()["content-type"], mime);
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("connect-src 'self'") && policy.contains("http://127.0.0.1:9"), "{policy}");
    }
    let part = world.client.get(url("/ad.webm")).header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"], "bytes 2-4/10");
    assert_eq!(part.text().await.unwrap(), "234");
    // Raw, because clients resolve dots before they send.
    for path in ["/../secret", "/pub/../../secret", "/..%2fsecret", "/%2e%2e/secret", "/.%2e\\secret", "/nothing"] {
        let answer =
            raw(&world.origin.url, format!("GET {path} HTTP/1.1\r\nhost: o\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 404 ") || answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        assert!(!answer.contains("not to be seen"), "{path}: {answer}");
    }
    let wrong = world.client.put(url("/api/v1/slots")).send().await.unwrap();
    assert_eq!(wrong.json::<Value>().await.unwrap()["error"]["code"], "method_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_origin_on_the_same_data_is_refused() {
    let world = World::new(&[]);
    let mut second = support::program();
    second.args(["serve", "--listen", "127.0.0.1:0", "--keys", support::KEYS, "--data"]).arg(world.folder.path());
    let output = tokio::task::spawn_blocking(move || second.output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another `slotkeeper serve` is using it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_listens_everywhere_must_be_told_where_it_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    for everywhere in ["0.0.0.0:0", "[::]:0"] {
        let mut origin = support::program();
        origin.args(["serve", "--listen", everywhere, "--keys", support::KEYS, "--data"]).arg(folder.path());
        let output = tokio::task::spawn_blocking(move || origin.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("say with --public-url"), "{output:?}");
    }
}
