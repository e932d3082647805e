//! A backup is whole, holds together, and gives the same books again.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use slotkeeper::{
    audit::{Options, audit},
    backup::{BackupError, Manifest, back_up, restore},
    contracts::Contracts,
    data_dir::{DataDir, DataDirError, connect_read_only},
    fold::Fold,
    forget::{ForgetError, Step, forget, forget_watched},
    log::{Log as _, Received, SqliteLog},
    registry::Registry,
    retention::{RetentionError, drop_old},
};
use slotkeeper_core::{
    beacon::Event,
    fact::{Fact, FactBatch},
    time::UnixMillis,
};

use support::{
    facts::{NOW, beacon, committed, filled, record},
    program,
};

mod support;

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
    let kept = data.join("lake/.sessions/0/fct_ad_events"); // by a session of SQL that is at it
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("2026-11-22T07.parquet"), "of a session").unwrap();
    let manifest = backed_up(&data, &backup);
    assert!(manifest.files.iter().all(|file| !file.path.contains(".sessions")), "{manifest:?}");
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

#[test]
fn nothing_is_taken_away_under_a_backup_nor_copied_while_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let mut log = origin(&path);
    (1..=3).for_each(|number| append(&mut log, number));
    fold(&path);
    let data = DataDir::open(&path).unwrap();
    let viewer = filled(1, 0, &record(1)).viewer;
    let is_copied = |error: &DataDirError| matches!(error, DataDirError::BeingCopied(_));
    // `progress` hears of every database before it is copied: so this is in the midst of it, several times.
    let refused = AtomicUsize::new(0);
    let in_between = |_: &str| {
        let forgetting = forget(&data, viewer, NOW, &quiet).unwrap_err();
        assert!(matches!(&forgetting, ForgetError::DataDir(error) if is_copied(error)), "{forgetting}");
        let dropping = drop_old(&data, 1, NOW.plus_ms(1 << 40), &quiet).unwrap_err();
        assert!(matches!(&dropping, RetentionError::DataDir(error) if is_copied(error)), "{dropping}");
        let rebuilding = program().args(["lake", "rebuild", "--data"]).arg(&path).output().unwrap();
        assert!(String::from_utf8_lossy(&rebuilding.stderr).contains("is at work in it"), "{rebuilding:?}");
        drop(data.lock_for_copying().unwrap()); // another backup may
        refused.fetch_add(1, Ordering::Relaxed);
    };
    back_up(&path, &folder.path().join("one"), NOW, &in_between).unwrap();
    assert!(refused.into_inner() >= 2);
    let rewriting = data.lock_for_rewriting().unwrap();
    let error = back_up(&path, &folder.path().join("two"), NOW, &quiet).unwrap_err();
    assert!(matches!(error, BackupError::DataDir(DataDirError::BeingRewritten(_))), "{error}");
    assert!(!folder.path().join("two").exists());
    drop(rewriting);
    backed_up(&path, &folder.path().join("two"));
    forget(&data, viewer, NOW, &quiet).unwrap();
}

#[test]
fn a_backup_of_a_viewer_half_forgotten_is_finished_after_it_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let [path, backup, again] = ["data", "backup", "again"].map(|name| folder.path().join(name));
    let mut log = origin(&path);
    (1..=3).for_each(|number| append(&mut log, number));
    let data = DataDir::open(&path).unwrap();
    let advance = |data: &DataDir| {
        assert!(program().args(["lake", "advance", "--data"]).arg(data.path()).status().unwrap().success());
    };
    advance(&data);
    let viewer = filled(1, 0, &record(1)).viewer;
    let killed = |step| if step == Step::LogErased { Err(ForgetError::Stopped(step)) } else { Ok(()) };
    forget_watched(&data, viewer, NOW, &quiet, &killed).unwrap_err();
    backed_up(&path, &backup);
    restore(&backup, &again, &quiet).unwrap();
    let again = DataDir::open(&again).unwrap();
    forget(&again, viewer, NOW, &quiet).unwrap();
    advance(&again);
    let lake = slotkeeper_lake::Lake::open(&again.lake(), &again.lake_db()).unwrap();
    assert_eq!(lake.traces_of(viewer, &BTreeSet::new(), u64::MAX).unwrap(), slotkeeper_lake::Traces::default());
    assert_eq!(lake.consumed_seq().unwrap(), 3);
}
