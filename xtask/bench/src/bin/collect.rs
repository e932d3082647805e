//! Facts to an origin's collector as edges send them, beside the same rows put straight into SQLite.
//!
//! `collect ADDRESS BATCHES CONNECTIONS DATABASE` posts so many batches of 1,000 opportunities and then of 1,000 beacons to the
//! origin at ADDRESS, which must be of the `SLOTKEEPER_KEYS` in the environment; then it inserts the same rows into a new
//! DATABASE, a batch a transaction, fsynced as the origin's log is. It prints one JSON object. Any answer but 202 ends the
//! run with an error.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use slotkeeper_core::{
    fact::{BATCH_FACTS_MAX, BeaconFact, Fact, FactBatch},
    keys::{Keyring, Purpose},
    pod::{Opportunity, Outcome},
    time::UnixMillis,
};
use slotkeeper_world::{Params, Script, Sink, Sold, UnsoldAd, generate, truth::HourTruth};

const CONNECTIONS_MAX: usize = 64;
const TIMEOUT: Duration = Duration::from_mins(1);

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, batches, connections, database] = &arguments[..] else {
        bail!("usage: collect ADDRESS BATCHES CONNECTIONS DATABASE");
    };
    let (batches, connections): (usize, usize) = (batches.parse()?, connections.parse()?);
    ensure!(
        (1..=CONNECTIONS_MAX).contains(&connections),
        "{connections} connections; 1 to {CONNECTIONS_MAX} are allowed"
    );
    let keys = Keyring::parse(&env::var("SLOTKEEPER_KEYS").context("SLOTKEEPER_KEYS")?)?;
    let bearer = keys.bearer(Purpose::Collector);
    let facts = Facts::of(batches * BATCH_FACTS_MAX)?;
    let mut db = Connection::open(database)?;
    db.execute_batch(SCHEMA)?;
    let opportunities = measured(address, &bearer, connections, &facts.opportunities, |rows| insert(&mut db, rows))?;
    let beacons = measured(address, &bearer, connections, &facts.beacons, |rows| insert(&mut db, rows))?;
    println!("{}", json!({ "opportunities": opportunities, "beacons": beacons }));
    Ok(())
}

/// Facts of a made-up world, by kind.
#[derive(Default)]
struct Facts {
    wanted: usize,
    opportunities: Vec<Fact>,
    beacons: Vec<Fact>,
}

impl Facts {
    fn of(wanted: usize) -> Result<Self> {
        let params = Params {
            days: 1,
            slots: wanted as u64,
            seed: 6,
            start: "2026-10-01".parse()?,
            flights: 24,
            titles: 200,
            viewers: 100_000,
            decisions: false,
        };
        let script = Script::of(&params)?;
        let mut facts = Self { wanted, ..Self::default() };
        generate(&params, &script, &Sold::numbered(&script, params.days), &mut facts)?;
        ensure!(facts.opportunities.len() == wanted && facts.beacons.len() == wanted, "too few facts");
        Ok(facts)
    }
}

impl Sink for Facts {
    type Error = UnsoldAd;

    fn entry(&mut self, _: UnixMillis, batch: Vec<u8>) -> Result<(), UnsoldAd> {
        let Ok(batch) = serde_json::from_slice::<FactBatch>(&batch) else { return Ok(()) };
        for fact in batch.facts {
            let of_kind = match fact {
                Fact::Opportunity { .. } => &mut self.opportunities,
                Fact::Beacon(_) => &mut self.beacons,
                Fact::Decision(_) | Fact::ClientLoss(_) => continue,
            };
            if of_kind.len() < self.wanted {
                of_kind.push(fact);
            }
        }
        Ok(())
    }

    fn hour(&mut self, _: &HourTruth) -> Result<(), UnsoldAd> {
        Ok(())
    }

    fn progress(&mut self, _: u64) -> Result<(), UnsoldAd> {
        Ok(())
    }
}

fn measured(
    address: &str,
    bearer: &str,
    connections: usize,
    facts: &[Fact],
    mut insert: impl FnMut(&[Fact]) -> Result<()>,
) -> Result<Value> {
    let batch = |facts: &[Fact]| FactBatch { edge_id: "measured".into(), facts: facts.to_vec() };
    let bodies: Vec<Vec<u8>> =
        facts.chunks(BATCH_FACTS_MAX).map(|facts| serde_json::to_vec(&batch(facts))).collect::<Result<_, _>>()?;
    let accepted = post_all(address, bearer, connections, &bodies)?;
    let began = Instant::now();
    facts.chunks(BATCH_FACTS_MAX).try_for_each(&mut insert)?;
    let inserted = began.elapsed();
    let count = u32::try_from(facts.len()).context("too many facts to count")?;
    let per_s = |took: Duration| f64::from(count) / took.as_secs_f64();
    let bytes = bodies.iter().map(Vec::len).sum::<usize>() / facts.len();
    Ok(json!({ "per_s": per_s(accepted), "sqlite_per_s": per_s(inserted), "json_bytes": bytes }))
}

/// How long it takes until all are acknowledged.
fn post_all(address: &str, bearer: &str, connections: usize, bodies: &[Vec<u8>]) -> Result<Duration> {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        let post = || post_some(address, bearer, &next, bodies);
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(post)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a connection panicked")))
    })?;
    Ok(began.elapsed())
}

fn post_some(address: &str, bearer: &str, next: &AtomicUsize, bodies: &[Vec<u8>]) -> Result<()> {
    let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream);
    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
        let head = format!(
            "POST /v1/facts HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {bearer}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        reader.get_mut().write_all(head.as_bytes())?;
        reader.get_mut().write_all(body)?;
        acknowledged(&mut reader)?;
    }
    Ok(())
}

fn acknowledged(reader: &mut BufReader<TcpStream>) -> Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.clone();
    let mut length = 0;
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line)?;
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let is_accepted = status.split(' ').nth(1) == Some("202");
    ensure!(is_accepted, "{} {}", status.trim_end(), String::from_utf8_lossy(&body));
    Ok(())
}

const SCHEMA: &str = "
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE opportunities (opportunity_id TEXT PRIMARY KEY, break_id TEXT, slot_index INTEGER, viewer TEXT, title_id TEXT,
    position TEXT, decided_at_ms INTEGER, plan_version INTEGER, decision_id TEXT, outcome TEXT, reason TEXT, ad_id INTEGER,
    record_id TEXT, expires_at_ms INTEGER) STRICT, WITHOUT ROWID;
CREATE TABLE beacons (opportunity_id TEXT, ad_id INTEGER, record_id TEXT, event TEXT, at_ms INTEGER, received_at_ms INTEGER,
    session TEXT, error_code INTEGER, idle_s INTEGER) STRICT;";

fn insert(db: &mut Connection, facts: &[Fact]) -> Result<()> {
    let commit = db.transaction()?;
    for fact in facts {
        match fact {
            Fact::Opportunity { row, .. } => insert_row(&commit, row)?,
            Fact::Beacon(beacon) => insert_beacon(&commit, beacon)?,
            Fact::Decision(_) | Fact::ClientLoss(_) => {}
        }
    }
    commit.commit()?;
    Ok(())
}

fn insert_row(db: &Connection, row: &Opportunity) -> Result<()> {
    let fill = row.fill();
    let (outcome, reason) = match &row.outcome {
        Outcome::Filled(_) => ("filled", None),
        Outcome::Unfilled { unfilled_reason } => ("unfilled", Some(unfilled_reason.as_str())),
    };
    // Of a break that was decided twice, one row does.
    db.prepare_cached("INSERT OR IGNORE INTO opportunities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?
        .execute(params![
            row.opportunity_id.to_string(),
            row.break_id.to_string(),
            row.slot_index,
            row.viewer.to_string(),
            row.title_id,
            row.position.as_str(),
            i64::try_from(row.decided_at.0)?,
            row.plan_version.map(i64::try_from).transpose()?,
            row.decision_id.to_string(),
            outcome,
            reason,
            fill.map(|fill| fill.ad_id.0),
            fill.map(|fill| fill.record_id.to_string()),
            fill.map(|fill| i64::try_from(fill.expires_at.0)).transpose()?,
        ])?;
    Ok(())
}

fn insert_beacon(db: &Connection, beacon: &BeaconFact) -> Result<()> {
    db.prepare_cached("INSERT INTO beacons VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?.execute(params![
        beacon.opportunity_id.to_string(),
        beacon.ad_id.0,
        beacon.record_id.to_string(),
        beacon.event.as_str(),
        i64::try_from(beacon.at.0)?,
        i64::try_from(beacon.received_at.0)?,
        beacon.session.map(|session| session.to_string()),
        beacon.error_code,
        beacon.idle_s,
    ])?;
    Ok(())
}
