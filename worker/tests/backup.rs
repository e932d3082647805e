//! A backup is whole, holds together, and gives the same books again.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use slotkeeper::{
    audit::{Options, audit},
    backup::{BackupError, Manifest, back_up, restore},
    contracts::Contracts,
    data_dir::{DataDir, connect_read_only},
    fold::Fold,
    log::{Log as _, Received, SqliteLog},
    registry::Registry,
};
use slotkeeper_core::{
    beacon::Event,
    fact::{Fact, FactBatch},
    time::UnixMillis,
};

use facts::{NOW, beacon, committed, filled, record};

#[path = "support/facts.rs"]
mod facts;

fn origin(folder: &Path) -> SqliteLog {
    let data = DataDir::open(folder).unwrap();
    drop(Contracts::open(&data.contracts()).unwrap());
    let contracts = rusqlite::Connection::open(data.contracts()).unwrap();
    let registered = [record(1).record_id().to_string(), record(1).canonical_json()];
    contracts.execute("INSERT INTO registry VALUES (?1, ?2)", registered).unwrap();
    SqliteLog::open(&data.log()).unwrap()
}

fn append(log: &mut SqliteLog, number: u32) {
    let row = filled(number, 0, &record(1));
    let facts: Vec<Fact> = vec![committed(&row), beacon(&row, &record(1), Event::Start, 1)];
    let batch = FactBatch { edge_id: "edge-1".into(), facts };
    log.append(&[Received { at: NOW, bytes: serde_json::to_vec(&batch).unwrap() }]).unwrap();
}

fn fold(folder: &Path) -> Vec<(String, i64)> {
    let data = DataDir::open(folder).unwrap();
    let mut fold = Fold::open(&data.fold(), Registry::open(&data.contracts()).unwrap()).unwrap();
    fold.catch_up(&SqliteLog::open(&data.log()).unwrap()).unwrap();
    let db = connect_read_only(&data.fold()).unwrap();
    let mut select =
        db.prepare("SELECT opportunity_id, start_at_ms FROM fct_ad_impressions ORDER BY opportunity_id").unwrap();
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

fn quiet(_: &str) {}

fn backed_up(data: &Path, to: &Path) -> Manifest {
    back_up(data, to, UnixMillis(7), &quiet).unwrap()
}

#[test]
fn a_restored_origin_has_the_same_books_and_breaks_no_law() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, again] = ["data", "backup", "again"].map(|name| folder.path().join(name));
    let mut log = origin(&data);
    (1..=9).for_each(|number| append(&mut log, number));
    let before = fold(&data);
    assert_eq!(before.len(), 9);
    let manifest = backed_up(&data, &backup);
    assert_eq!(restore(&backup, &again, &quiet).unwrap(), manifest);
    assert_eq!(fold(&again), before);
    let data = DataDir::open(&again).unwrap();
    let report = audit(&Options { data, stores: vec![], replays_max: 0, progress: &|_| {} }).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_backup_made_while_the_log_grows_holds_all_that_was_there_before_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut log = origin(&data);
    (1..=5).for_each(|number| append(&mut log, number));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in (6..=200).take_while(|_| !stop.load(Ordering::Relaxed)) {
                append(&mut log, number);
            }
        });
        for round in 0..3 {
            let [backup, again] = ["backup", "again"].map(|name| folder.path().join(format!("{name}-{round}")));
            backed_up(&data, &backup);
            restore(&backup, &again, &quiet).unwrap();
            assert!(fold(&again).len() >= 5);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_is_altered_or_missing_is_not_restored_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, again] = ["data", "backup", "again"].map(|name| folder.path().join(name));
    append(&mut origin(&data), 1);
    backed_up(&data, &backup);
    let log = backup.join("log.db");
    let bytes = fs::read(&log).unwrap();
    let mut altered = bytes.clone();
    altered[bytes.len() / 2] ^= 1;
    fs::write(&log, &altered).unwrap();
    let error = restore(&backup, &again, &quiet).unwrap_err();
    assert!(matches!(error, BackupError::Altered { .. }), "{error}");
    fs::remove_file(&log).unwrap();
    assert!(matches!(restore(&backup, &again, &quiet), Err(BackupError::Io { .. })));
    assert!(!again.exists(), "nothing was restored");
    fs::write(&log, &bytes).unwrap();
    restore(&backup, &again, &quiet).unwrap();
}

#[test]
fn a_backup_that_names_files_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup] = ["data", "backup"].map(|name| folder.path().join(name));
    append(&mut origin(&data), 1);
    backed_up(&data, &backup);
    let manifest = backup.join("backup.json");
    let text = fs::read_to_string(&manifest).unwrap();
    for odd in ["../log.db", "/etc/hostname", "lake//x", "./log.db"] {
        fs::write(&manifest, text.replace("\"log.db\"", &format!("{odd:?}"))).unwrap();
        let error = restore(&backup, &folder.path().join("again"), &quiet).unwrap_err();
        assert!(matches!(error, BackupError::NoBackup { .. }), "{odd}: {error}");
    }
}

#[test]
fn nothing_is_written_over_and_what_a_killed_run_left_goes() {
    let folder = tempfile::tempdir().unwrap();
    let [data, backup, partial] = ["data", "backup", "backup.partial"].map(|name| folder.path().join(name));
    assert!(matches!(back_up(&data, &backup, NOW, &quiet), Err(BackupError::NoOrigin(_))));
    append(&mut origin(&data), 1);
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("left"), "over").unwrap();
    backed_up(&data, &backup);
    assert!(!partial.exists() && !backup.join("left").exists());
    assert!(matches!(back_up(&data, &backup, NOW, &quiet), Err(BackupError::NotEmpty(_))));
    assert!(matches!(restore(&backup, &data, &quiet), Err(BackupError::NotEmpty(_))));
}
