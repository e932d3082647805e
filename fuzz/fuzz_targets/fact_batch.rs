//! A body of `POST /v1/facts`: the collector refuses it, or it folds. Then no slot is lost or doubled, every fact is
//! accounted for, the pages can be read, and the order and number of deliveries change nothing.
#![no_main]

use std::{collections::BTreeMap, fmt::Write as _, path::Path, sync::LazyLock};

use libfuzzer_sys::{Corpus, fuzz_target};
use rusqlite::Connection;
use slotkeeper::{
    api::{slots::SlotReader, summary::SummaryReader},
    collector,
    contracts::Contracts,
    data_dir::DataDir,
    fold::Fold,
    log::{Entry, Log, LogError, Received},
    registry::Registry,
};
use slotkeeper_core::{
    beacon::Event,
    fact::{BeaconFact, Fact, FactBatch, Recording},
    id::SessionKey,
};
use slotkeeper_fuzz::{NOW, pod, record, seed};
use tempfile::TempDir;

/// Facts past this many only make the fuzzer slow.
const FACTS_MAX: usize = 24;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let contracts = folder.path().join("contracts.db");
    drop(Contracts::open(&contracts).expect("new bookings"));
    let db = Connection::open(contracts).expect("the bookings");
    for record in [record(1), record(2)] {
        let row = [record.record_id().to_string(), record.canonical_json()];
        db.execute("INSERT INTO registry VALUES (?1, ?2)", row).expect("a registry record");
    }
    folder
});

fuzz_target!(init: seed("a_break", a_break()), |body: &[u8]| -> Corpus {
    let Ok(accepted) = collector::check(body) else { return Corpus::Keep };
    let mut batch: FactBatch = serde_json::from_slice(body).expect("the collector could read it");
    assert_eq!(accepted, batch.facts.len());
    if accepted > FACTS_MAX {
        return Corpus::Reject;
    }
    let once = folded(&[body.to_vec()]);

    if has_two_breaks_under_one_id(&batch) {
        return Corpus::Keep; // the later one is refused, so there the order does matter
    }
    let backwards: Vec<Vec<u8>> = std::mem::take(&mut batch.facts)
        .into_iter()
        .rev()
        .flat_map(|fact| [batch_of(&batch.edge_id, fact.clone()), batch_of(&batch.edge_id, fact)])
        .collect();
    assert_eq!(folded(&backwards), once, "backwards and twice, the tables differ");
    Corpus::Keep
});

fn has_two_breaks_under_one_id(batch: &FactBatch) -> bool {
    let mut slots = BTreeMap::new();
    batch.facts.iter().any(|fact| match fact {
        Fact::Opportunity { row, .. } => {
            let slot = (row.break_id, row.slot_index);
            *slots.entry(row.opportunity_id).or_insert(slot) != slot
        }
        _ => false,
    })
}

fn batch_of(edge_id: &str, fact: Fact) -> Vec<u8> {
    serde_json::to_vec(&FactBatch { edge_id: edge_id.into(), facts: vec![fact] }).expect("string keys only")
}

/// The tables folded from these batches, as text.
fn folded(batches: &[Vec<u8>]) -> String {
    let path = FOLDER.path();
    for file in ["fold.db", "fold.db-wal", "fold.db-shm"] {
        let _ = std::fs::remove_file(path.join(file)); // the last two are there only at times
    }
    let data = DataDir::open(path).expect("the temporary folder");
    let registry = Registry::open(&data.contracts()).expect("the registry");
    let mut fold = Fold::open(&data.fold(), registry).expect("new tables");
    fold.catch_up(&Batches(batches)).expect("whatever the collector takes can be folded");
    check_books(&data);
    dump(&data.fold())
}

fn check_books(data: &DataDir) {
    let summary = SummaryReader::open(&data.fold()).expect("the tables").summary().expect("the totals");
    assert!(summary.conservation.holds, "{:?}", summary.conservation);
    for counts in &summary.facts {
        assert_eq!(counts.received, counts.fresh + counts.duplicate + counts.refused, "{counts:?}");
    }
    let reached: Vec<u64> = summary.impressions.reached.iter().map(|reached| reached.impressions).collect();
    assert!(reached.is_sorted_by(|nearer, farther| nearer >= farther), "{reached:?}");
    let page = SlotReader::open(data).expect("the tables").page(200, None).expect("the pages can be read");
    assert_eq!(page.slots.len() as u64, summary.opportunities);
}

fn dump(fold: &Path) -> String {
    let db = Connection::open(fold).expect("the tables");
    let mut dump = String::new();
    for table in
        ["decisions", "fct_ad_opportunities", "opportunities_superseded", "beacon_states", "fct_ad_impressions"]
    {
        let mut select = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).expect("a table");
        let columns = select.column_count();
        let mut rows = select.query([]).expect("its rows");
        while let Some(row) = rows.next().expect("a row") {
            let _ = write!(dump, "{table}:"); // writing to a String cannot fail
            for column in 0..columns {
                let _ = write!(dump, " {:?}", row.get_ref(column).expect("a column"));
            }
            dump.push('\n');
        }
    }
    dump
}

/// A break as an outbox ships it, and how its first ad began.
fn a_break() -> Vec<u8> {
    let pod = pod();
    let row = |row: &_| Fact::Opportunity { recording: Recording::Committed, row: Clone::clone(row) };
    let mut facts = vec![Fact::Decision(Box::new(pod.decision.clone()))];
    facts.extend(pod.slots.iter().map(row));
    facts.extend(pod.slots.iter().find_map(|slot| {
        Some(Fact::Beacon(BeaconFact {
            opportunity_id: slot.opportunity_id,
            ad_id: slot.fill()?.ad_id,
            record_id: slot.fill()?.record_id,
            event: Event::Start,
            at: NOW,
            received_at: NOW,
            session: Some(SessionKey([5; 8])),
            invalid_traffic: None,
            error_code: None,
            idle_s: None,
        }))
    }));
    serde_json::to_vec(&FactBatch { edge_id: "fuzz".into(), facts }).expect("string keys only")
}

/// A log in memory.
struct Batches<'a>(&'a [Vec<u8>]);

impl Log for Batches<'_> {
    fn append(&mut self, _: &[Received]) -> Result<u64, LogError> {
        Err(LogError("this log is for reading".into()))
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        let entry = |(seq, bytes): (u64, &Vec<u8>)| Entry { seq, received: Received { at: NOW, bytes: bytes.clone() } };
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        Ok((1..).zip(self.0).skip(after).take(limit).map(entry).collect())
    }

    fn last_seq(&self) -> Result<u64, LogError> {
        Ok(self.0.len() as u64)
    }
}
