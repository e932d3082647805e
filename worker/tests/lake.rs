//! The lake holds what the live tables hold, whatever came in whatever order; and `kill -9` changes no byte of it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use slotkeeper::{
    audit::{Options, Report, audit},
    contracts::Contracts,
    data_dir::DataDir,
    fold::Fold,
    lake::Advancing,
    log::{Log as _, Received, SqliteLog},
    registry::Registry,
};
use slotkeeper_core::{
    beacon::Event,
    contract::RegistryRecord,
    fact::{BeaconFact, Fact},
    id::{DecisionId, OpportunityId, SessionKey},
    pod::Opportunity,
};
use slotkeeper_lake::{DERIVED, PART, RAW, Status, file, tables::OPPORTUNITIES};
use support::{
    Origin, PATIENCE, batch,
    facts::{
        NOW, beacon, by_crawler, coded, committed, crawled, filled, house_record, idle, record, uncommitted, unfilled,
    },
    program,
};

const HOUR_MS: u64 = 3_600_000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()].clone()
    }
}

/// Some breaks, decided once or several times, at once or a while apart, played, reported twice, by viewers and crawlers.
fn facts(random: &mut Random, count: u64) -> Vec<Fact> {
    let sold = [record(1), record(2), record(6), house_record(9)]; // the third is in no registry
    let mut facts = Vec::new();
    for _ in 0..count {
        let break_no = u32::try_from(random.below(12)).unwrap() * 0x0401_0003;
        let slot = u8::try_from(random.below(3)).unwrap();
        let ad = random.one_of(&sold);
        // Every break has an hour; some of its tries come in the next, and some two days later.
        let tried_after = [0, 0, 0, 0, 4_000, 900_000, HOUR_MS, 49 * HOUR_MS];
        let after = u64::from(break_no % 5) * HOUR_MS + random.one_of(&tried_after);
        let at = NOW.plus_ms(after);
        let opportunity_id = |row: &Opportunity| OpportunityId::mint(row.break_id, slot, at);
        let dated = |row: Opportunity| Opportunity { opportunity_id: opportunity_id(&row), decided_at: at, ..row };
        let row = dated(filled(break_no, slot, &ad));
        let fact = if random.below(3) == 0 {
            let row = if random.below(4) == 0 { dated(unfilled(break_no, slot)) } else { row };
            let row = if random.below(9) == 0 { crawled(row) } else { row };
            let row = Opportunity { decision_id: DecisionId([u8::try_from(random.below(3)).unwrap(); 16]), ..row };
            if random.below(2) == 0 { committed(&row) } else { uncommitted(&row) }
        } else {
            let event = random.one_of(&[[Event::Start; 3].as_slice(), Event::ALL].concat());
            let Fact::Beacon(heard) = beacon(&row, &ad, event, after + random.below(5)) else {
                unreachable!("a beacon")
            };
            let session = SessionKey([u8::try_from(random.below(2)).unwrap(); 8]);
            let fact = Fact::Beacon(BeaconFact { session: Some(session), ..heard });
            match random.below(9) {
                0 => by_crawler(fact),
                1 => idle(fact, u32::try_from(random.below(90)).unwrap()),
                2 if event == Event::Error => coded(fact, 400),
                _ => fact,
            }
        };
        facts.extend(vec![fact; 1 + usize::from(random.below(5) == 0)]);
    }
    facts
}

fn data_with(folder: &Path, batches: &[Vec<Fact>]) -> DataDir {
    let data = DataDir::open(folder).unwrap();
    drop(Contracts::open(&data.contracts()).unwrap());
    let known: [RegistryRecord; 3] = [record(1), record(2), house_record(9)];
    let db = Connection::open(data.contracts()).unwrap();
    for record in known {
        let row = [record.record_id().to_string(), record.canonical_json()];
        db.execute("INSERT INTO registry (record_id, record) VALUES (?1, ?2)", row).unwrap();
    }
    let mut log = SqliteLog::open(&data.log()).unwrap();
    let received: Vec<_> = batches.iter().map(|facts| Received { at: NOW, bytes: batch(facts.clone()) }).collect();
    log.append(&received).unwrap();
    data
}

fn fold(data: &DataDir) {
    let log = SqliteLog::open_read_only(&data.log()).unwrap();
    Fold::open(&data.fold(), Registry::open(&data.contracts()).unwrap()).unwrap().catch_up(&log).unwrap();
}

fn advance(data: &DataDir) {
    let mut advancing = Advancing::open(data).unwrap();
    let mut round = advancing.round().unwrap();
    while !advancing.step(&mut round).unwrap().found_nothing() {}
}

fn audited(data: &DataDir) -> Report {
    audit(&Options { data: data.clone(), stores: vec![], replays_max: 0, progress: &|_| {} }).unwrap()
}

/// What the audit finds of the lake, and its notes.
fn of_the_lake(report: &Report) -> (Vec<String>, Vec<String>) {
    let law = report.laws.iter().find(|law| law.name.starts_with("the lake")).unwrap();
    (
        law.findings.iter().map(|found| format!("{} {}: {}", found.kind, found.subject, found.message)).collect(),
        law.notes.clone(),
    )
}

#[test]
fn the_lake_holds_what_the_live_tables_hold_row_by_row() {
    for seed in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let batches: Vec<_> = facts(&mut Random(seed), 400).chunks(40).map(<[Fact]>::to_vec).collect();
        let data = data_with(folder.path(), &batches);
        fold(&data);
        advance(&data);
        let report = audited(&data);
        assert_eq!(of_the_lake(&report), (vec![], vec![]), "seed {seed}");
        let law = report.laws.iter().find(|law| law.name.starts_with("the lake")).unwrap();
        let rows: usize = law.checked.split(' ').nth(2).unwrap().parse().unwrap();
        assert!(rows > 20, "{}", law.checked);
    }
}

#[test]
fn an_audit_names_what_differs_in_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (filled(1, 0, &record(1)), filled(2, 0, &record(2)));
    let again = OpportunityId::mint(other.break_id, 0, NOW.plus_ms(HOUR_MS));
    let again = Opportunity { opportunity_id: again, decided_at: NOW.plus_ms(HOUR_MS), ..unfilled(2, 0) };
    let facts = vec![committed(&one), committed(&other), committed(&again), beacon(&one, &record(1), Event::Start, 1)];
    let data = data_with(folder.path(), &[facts]);
    fold(&data);
    advance(&data);
    assert_eq!(of_the_lake(&audited(&data)), (vec![], vec![]), "one break, tried again an hour later, is one");

    let db = Connection::open(data.fold()).unwrap();
    db.execute("UPDATE fct_ad_opportunities SET title_id = 'other' WHERE break_id = ?1", [one.break_id.to_string()])
        .unwrap();
    db.execute("DELETE FROM fct_ad_impressions", []).unwrap();
    Connection::open(data.lake_db()).unwrap().execute("UPDATE flight_totals SET filled = filled + 1", []).unwrap();
    let kinds: Vec<_> =
        of_the_lake(&audited(&data)).0.iter().map(|found| found.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["lake_row_differs", "lake_row_surplus", "lake_totals_differ"]);
    let part = below(&data.lake().join(OPPORTUNITIES.name)).into_keys().next().unwrap();
    std::fs::write(&part, file::write(&slotkeeper_lake::columns::Rows::new(&OPPORTUNITIES)).unwrap()).unwrap();
    assert!(of_the_lake(&audited(&data)).0.iter().any(|found| found.starts_with("lake_row_missing")));
    Connection::open(data.lake_db()).unwrap().execute("UPDATE lake_offset SET consumed_seq = 0", []).unwrap();
    assert!(of_the_lake(&audited(&data)).1[0].starts_with("not compared"));
}

/// Every file below a folder.
fn below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// The derived tables, by table and hour.
fn derived(data: &DataDir) -> BTreeMap<PathBuf, Vec<u8>> {
    let of = |table: &slotkeeper_lake::tables::Table| below(&data.lake().join(table.name));
    let files = DERIVED.into_iter().flat_map(of);
    files.map(|(path, bytes)| (path.strip_prefix(data.lake()).unwrap().to_owned(), bytes)).collect()
}

#[test]
fn kill_9_at_any_moment_changes_no_byte_of_the_tables_and_leaves_nothing() {
    let random = &mut Random(u64::from(getrandom::u32().unwrap()));
    let seed = random.0;
    let batches: Vec<_> = facts(random, 6_000).chunks(100).map(<[Fact]>::to_vec).collect();
    let [whole, killed] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let [whole, killed] = [&whole, &killed].map(|folder| data_with(folder.path(), &batches));
    let command = |data: &DataDir| {
        let mut command = program();
        command
            .args(["lake", "advance", "--data"])
            .arg(data.log().parent().unwrap())
            .stdout(std::process::Stdio::null());
        command
    };
    let begin = Instant::now();
    assert!(command(&whole).status().unwrap().success());
    let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap();
    let mut broken_off = 0;
    for round in 0..25 {
        let mut process = command(&killed).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.below(took_ms * round / 25 + 2)));
        process.kill().unwrap(); // SIGKILL
        broken_off += u32::from(!process.wait().unwrap().success());
    }
    assert!(broken_off > 0, "seed {seed}");
    assert!(command(&killed).status().unwrap().success());
    let (expected, found) = (derived(&whole), derived(&killed));
    assert!(expected.len() >= DERIVED.len() * 5, "{} files", expected.len());
    assert!(expected.keys().all(|path| path.ends_with(PART)));
    assert!(expected == found, "seed {seed}");
    let folders = RAW.into_iter().map(|table| killed.lake().join(table.name)).filter(|folder| folder.exists());
    let files: usize = folders.map(|folder| below(&folder).len()).sum();
    let status = Status::read(&killed.lake_db()).unwrap().unwrap();
    assert_eq!(status.raw.iter().map(|table| table.files).sum::<u64>(), files as u64, "seed {seed}: nothing unlisted");
    assert_eq!(status, Status::read(&whole.lake_db()).unwrap().unwrap(), "seed {seed}");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let batches: Vec<_> = facts(&mut Random(5), 60).chunks(10).map(<[Fact]>::to_vec).collect();
    let data = data_with(folder.path(), &batches);
    let run = |what: &str| {
        let output = program().args(["lake", what, "--dry-run", "--data"]).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let anew = format!("would write {} entries of the log, fold 0 hours", batches.len());
    assert!(run("rebuild").starts_with(&anew));
    assert!(!data.lake().exists() && !data.lake_db().exists(), "it makes no lake");
    advance(&data);
    // What a killed run left: an opened lake takes it away.
    for left in ["1-1-left.parquet", "1-1.parquet#1"] {
        std::fs::write(data.lake().join(RAW[0].name).join(left), "left").unwrap();
    }
    let bytes = || (below(&data.lake()), std::fs::read(data.lake_db()).unwrap());
    let before = bytes();
    assert!(run("rebuild").starts_with(&anew));
    assert!(run("advance").starts_with("would write 0 entries"));
    assert!(run("compact").starts_with("would write 0 entries"));
    let _advancing = Advancing::open(&data).unwrap();
    assert!(before != bytes());
    run("rebuild"); // also while another process advances it
    let gone =
        program().args(["lake", "rebuild", "--dry-run", "--data"]).arg(folder.path().join("gone")).output().unwrap();
    assert!(!gone.status.success() && !folder.path().join("gone").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_serves_keeps_its_lake() {
    let folder = tempfile::tempdir().unwrap();
    let batches: Vec<_> = facts(&mut Random(3), 100).chunks(10).map(<[Fact]>::to_vec).collect();
    let (data, entries) = (data_with(folder.path(), &batches), batches.len() as u64);
    let origin = Origin::start(folder.path(), &["--publish-every", "0"]);
    let deadline = Instant::now() + PATIENCE;
    while Status::read(&data.lake_db())
        .unwrap()
        .is_none_or(|lake| lake.consumed_seq < entries || lake.hours_to_fold > 0)
    {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = program().args(["lake", "advance", "--data"]).arg(folder.path()).output().unwrap();
    assert!(String::from_utf8(refused.stderr).unwrap().contains("another process advances"));
    assert!(origin.terminate().success());
    let output = program().args(["lake", "rebuild", "--dry-run", "--data"]).arg(folder.path()).output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with(&format!("would write {entries} entries")),
        "{output:?}"
    );
    let before = derived(&data);
    let output = program().args(["lake", "rebuild", "--json", "--data"]).arg(folder.path()).output().unwrap();
    let done: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(done["entries"], entries);
    assert!(before == derived(&data));
}
