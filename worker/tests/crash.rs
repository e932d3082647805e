//! Law 8 across a killed process: whatever moment `kill -9` chooses, every acknowledged fact is in the books, once.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use reqwest::{Client, StatusCode};
use rusqlite::{Connection, OpenFlags};
use slotkeeper::contracts::Contracts;
use slotkeeper_core::fact::Fact;
use support::{
    Origin, batch,
    facts::{QUARTILES, beacon, committed, filled, record, unfilled},
    post,
};

const CRASHES: usize = 6;
const SENDERS: usize = 8;
const BODY_BYTES: usize = 512 * 1024;
/// A crash comes after this many acknowledgements at most.
const ACKNOWLEDGED_MAX: usize = 30;

/// One break: a slot that plays to its end and an empty one.
fn break_of(number: u32) -> Vec<Fact> {
    let sold = record(1);
    let row = filled(number, 0, &sold);
    let mut facts = vec![committed(&row), committed(&unfilled(number, 1))];
    facts.extend(QUARTILES.map(|event| beacon(&row, &sold, event, 10)));
    facts
}

/// A break as a batch, with blanks after it, so that a commit takes a while and a crash has something to hit.
fn padded(number: u32) -> Vec<u8> {
    let mut body = batch(break_of(number));
    body.resize(BODY_BYTES, b' ');
    body
}

/// The breaks that were sent, by what came back.
#[derive(Default)]
struct Sent {
    acknowledged: Vec<u32>,
    unknown: Vec<u32>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_fact_survives_kill_9_and_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    register(data);
    let numbers = Arc::new(AtomicU32::new(0));
    let mut acknowledged = Vec::new();
    let mut unknown = Vec::new();
    for crash in 0..CRASHES {
        let origin = Origin::start(data, &["--publish-every", "0"]);
        let sent = send_until_killed(origin, &numbers, 1 + random() % ACKNOWLEDGED_MAX).await;
        let origin = Origin::start(data, &["--publish-every", "0"]);
        origin.folded().await;
        acknowledged.extend(sent.acknowledged);
        unknown.extend(sent.unknown);
        assert_folded(data, &acknowledged, crash);
    }

    // What was not acknowledged is sent again, and some of the rest too, as an edge would.
    let origin = Origin::start(data, &["--publish-every", "0"]);
    for number in unknown.iter().chain(&acknowledged[..acknowledged.len() / 3]) {
        assert_eq!(post(&Client::new(), &origin.url, padded(*number)).await.unwrap(), StatusCode::ACCEPTED);
    }
    origin.folded().await;
    let all = u64::from(numbers.load(Ordering::SeqCst));
    let summary = support::get(&format!("{}/api/v1/summary", origin.url)).await;
    assert_eq!(summary["conservation"]["holds"], true);
    assert_eq!((summary["filled"]["total"].as_u64(), summary["unfilled"]["total"].as_u64()), (Some(all), Some(all)));
    assert_eq!(summary["revenue"][0]["recognized_revenue_micros"].as_u64(), Some(all * 18_333));

    let before = dump(data);
    assert!(origin.terminate().success());
    for file in ["fold.db", "fold.db-wal", "fold.db-shm"] {
        let _ = std::fs::remove_file(data.join(file)); // the last two are gone after a clean end
    }
    let origin = Origin::start(data, &["--publish-every", "0"]);
    origin.folded().await;
    assert_eq!(dump(data), before, "folded again from nothing");
}

/// Sends breaks from many sides at once. Whoever gets the acknowledgement number `enough` kills the origin at once, while
/// the others' breaks are on their way.
async fn send_until_killed(origin: Origin, numbers: &Arc<AtomicU32>, enough: usize) -> Sent {
    let url = origin.url.clone();
    let (origin, sent) = (Arc::new(Mutex::new(origin)), Arc::new(Mutex::new(Sent::default())));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (url, numbers) = (url.clone(), Arc::clone(numbers));
            tokio::spawn(send(url, numbers, Arc::clone(&sent), Arc::clone(&origin), enough))
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    Arc::into_inner(sent).unwrap().into_inner().unwrap()
}

async fn send(url: String, numbers: Arc<AtomicU32>, sent: Arc<Mutex<Sent>>, origin: Arc<Mutex<Origin>>, enough: usize) {
    let client = Client::new();
    loop {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        let outcome = post(&client, &url, padded(number)).await;
        let mut sent = sent.lock().unwrap();
        match outcome {
            Ok(StatusCode::ACCEPTED) => {
                sent.acknowledged.push(number);
                if sent.acknowledged.len() == enough {
                    origin.lock().unwrap().kill();
                }
            }
            Ok(StatusCode::SERVICE_UNAVAILABLE) => sent.unknown.push(number),
            Ok(other) => panic!("{other}"),
            Err(_) => {
                sent.unknown.push(number); // killed before it answered: durable or not, nobody knows
                return;
            }
        }
    }
}

/// Every acknowledged break has both rows and its impression, each once.
fn assert_folded(data: &Path, acknowledged: &[u32], crash: usize) {
    let db = open(data);
    let found =
        |sql: &str, id: &str| -> u64 { db.prepare_cached(sql).unwrap().query_row([id], |row| row.get(0)).unwrap() };
    for number in acknowledged {
        let row = filled(*number, 0, &record(1));
        let rows = found("SELECT count(*) FROM fct_ad_opportunities WHERE break_id = ?1", &row.break_id.to_string());
        let earned = found(
            "SELECT total(recognized_revenue_micros) = 18333 FROM fct_ad_impressions
             WHERE opportunity_id = ?1 AND furthest_quartile = 'complete'",
            &row.opportunity_id.to_string(),
        );
        assert_eq!((rows, earned), (2, 1), "break {number} after crash {crash}");
    }
}

fn open(data: &Path) -> Connection {
    Connection::open_with_flags(data.join("fold.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

fn dump(data: &Path) -> Vec<String> {
    let db = open(data);
    let mut lines = Vec::new();
    for table in [
        "fct_ad_opportunities",
        "opportunities_superseded",
        "decisions",
        "beacon_states",
        "fct_ad_impressions",
        "fact_counts",
    ] {
        let mut select = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).unwrap();
        let columns = select.column_count();
        let mut rows = select.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells: Vec<String> = (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap())).collect();
            lines.push(format!("{table} {}", cells.join("|")));
        }
    }
    lines
}

/// Makes the ad that the facts speak of known, as publishing a plan would.
fn register(data: &Path) {
    drop(Contracts::open(&data.join("contracts.db")).unwrap());
    let db = Connection::open(data.join("contracts.db")).unwrap();
    let record = record(1);
    let row = [record.record_id().to_string(), record.canonical_json()];
    db.execute("INSERT INTO registry (record_id, record) VALUES (?1, ?2)", row).unwrap();
}

fn random() -> usize {
    usize::try_from(getrandom::u32().unwrap()).unwrap()
}
