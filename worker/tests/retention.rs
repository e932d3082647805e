//! What is dropped of the log for its age is what nobody needs from it any more.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{collections::BTreeSet, fs, path::Path};

use rusqlite::Connection;
use slotkeeper::{
    audit::{AuditError, Options, audit},
    backup::back_up,
    fold::{Fold, FoldError},
    forget::{self, ForgetError, Forgotten, forget},
    lake::{AdvanceError, Advancing},
    log::{Log as _, Received, SqliteLog},
    registry::Registry,
    retention::{Dropped, RetentionError, drop_old, drop_old_watched, look},
};
use slotkeeper_core::{
    beacon::Event::{Complete, FirstQuartile, Midpoint, Start, ThirdQuartile},
    contract::BreakPosition::Preroll,
    decision::Decision,
    fact::{BeaconFact, ClientLoss, Fact},
    id::{OpportunityId, SessionKey},
    time::UnixMillis,
};
use slotkeeper_lake::{
    DERIVED, Lake, RAW, Traces, file,
    tables::{RAW_BEACONS, RAW_OPPORTUNITIES},
};
use support::{
    deciding::{World, beacon},
    program,
};

const DAY_MS: u64 = 24 * 3_600_000;

fn advance_lake(world: &World) {
    let folder = world.folder.path();
    let mut lake = Lake::open(&folder.join("lake"), &folder.join("lake.db")).unwrap();
    let log = SqliteLog::open_read_only(&world.data().log()).unwrap();
    let mut registry = Registry::open(&world.data().contracts()).unwrap();
    lake.advance(&log, &mut registry, &mut |_| {}).unwrap();
}

/// An origin whose log is of ten days, a break a day: 6 entries of each.
fn ten_days() -> World {
    let mut world = World::new();
    for number in 0..10 {
        let pod = world.open(&format!("viewer-{}", number % 5), Preroll, 2);
        let filled = pod.slots.iter().find(|row| row.fill().is_some()).expect("the demo has house ads");
        world.report(filled, &[Start, FirstQuartile, Midpoint, ThirdQuartile, Complete]);
    }
    // A plan is valid for a day, so all were decided today.
    let aged = format!("UPDATE entries SET received_at_ms = {} - (10 - (seq - 1) / 6) * {DAY_MS}", world.now.0);
    world.tamper("log.db", &aged);
    world.fold();
    world
}

fn places(world: &World) -> Vec<u64> {
    let entries = SqliteLog::open_read_only(&world.data().log()).unwrap().read(0, 10_000).unwrap();
    entries.iter().map(|entry| entry.seq).collect()
}

fn dropped(world: &World, days: u64) -> Result<Dropped, RetentionError> {
    drop_old(&world.data(), days, world.now, &|_| {})
}

fn count(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_old_and_consumed_is_dropped_from_the_front_and_places_go_on() {
    let world = ten_days();
    advance_lake(&world);
    let before = look(&world.data(), 4, world.now).unwrap();
    let size = fs::metadata(world.data().log()).unwrap().len();
    assert_eq!(places(&world).len(), 60, "nothing was dropped by looking");
    let done = dropped(&world, 4).unwrap();
    assert_eq!(done, Dropped { given_back: true, ..before });
    assert_eq!((done.entries, done.first_kept_seq, done.held_back), (36, 37, 0));
    assert_eq!(places(&world), (37..=60).collect::<Vec<_>>());
    assert!(fs::metadata(world.data().log()).unwrap().len() < size);
    assert_eq!(dropped(&world, 4).unwrap().entries, 0, "done is done");
    world.log(vec![]);
    assert_eq!(places(&world).last(), Some(&61));
    world.fold();
    advance_lake(&world);
    assert_eq!(
        count(&world.data().fold(), "SELECT count(*) FROM fct_ad_opportunities"),
        20,
        "the tables keep their rows"
    );
}

#[test]
fn what_somebody_has_not_consumed_stays_however_old_it_is() {
    let mut world = ten_days();
    assert!(matches!(dropped(&world, 1), Err(RetentionError::NoLake)));
    advance_lake(&world);
    world.now = world.now.plus_ms(30 * DAY_MS);
    world.open("viewer-9", Preroll, 1);
    world.now = world.now.plus_ms(30 * DAY_MS);
    let all = dropped(&world, 1).unwrap();
    assert_eq!((all.entries, all.first_kept_seq), (59, 60), "the last one consumed is how the log is known");
    assert_eq!((all.held_back, all.held_back_by), (2, Some("the fold")));
    world.fold();
    assert_eq!(dropped(&world, 1).unwrap().held_back_by, Some("the lake"));
    advance_lake(&world);
    assert_eq!(dropped(&world, 1).unwrap().entries, 1);
    world.tamper("trackers.db", "CREATE TABLE consumed (seq INTEGER); INSERT INTO consumed VALUES (3)");
    assert_eq!(dropped(&world, 1).unwrap().held_back_by, Some("the trackers"));
}

#[test]
fn what_no_build_could_read_yet_stays_in_the_log_until_one_has_read_it() {
    let world = ten_days();
    let stored = |sql: &str| world.tamper("log.db", sql);
    // Of a later build, until this one is.
    stored("CREATE TABLE later AS SELECT batch FROM entries WHERE seq = 20");
    stored("UPDATE entries SET batch = CAST('{\"of\":\"a later build\"}' AS BLOB) WHERE seq = 20");
    for file in ["fold.db", "fold.db-wal", "fold.db-shm"] {
        let _ = fs::remove_file(world.folder.path().join(file)); // the last two are there only at times
    }
    world.fold();
    advance_lake(&world);
    let done = dropped(&world, 4).unwrap();
    assert_eq!((done.entries, done.first_kept_seq, done.held_back), (19, 20, 17), "{done:?}");
    assert_eq!(done.held_back_by, Some("an entry that this build cannot read"));
    assert_eq!(dropped(&world, 4).unwrap().entries, 0);
    // A book that counted such batches and did not note them.
    world.tamper("lake.db", "DELETE FROM unreadable_entries");
    let done = dropped(&world, 4).unwrap();
    assert_eq!(
        (done.entries, done.held_back_by),
        (0, Some("an entry that this build cannot read")),
        "found by reading"
    );
    world.tamper("lake.db", "INSERT INTO unreadable_entries VALUES (20)");

    stored("UPDATE entries SET batch = (SELECT batch FROM later) WHERE seq = 20");
    let slots = "SELECT sum(rows) FROM raw_files";
    let before = count(&world.data().lake_db(), slots);
    advance_lake(&world);
    assert!(count(&world.data().lake_db(), slots) > before);
    let done = dropped(&world, 4).unwrap();
    assert_eq!((done.entries, done.first_kept_seq, done.held_back_by), (17, 37, None));
}

#[test]
fn tables_of_an_earlier_build_that_cannot_be_folded_again_are_refused_and_stay() {
    let world = ten_days();
    advance_lake(&world);
    dropped(&world, 4).unwrap();
    world.tamper("fold.db", "PRAGMA user_version = 8");
    let open = || Fold::open(&world.data().fold(), Registry::open(&world.data().contracts()).unwrap());
    for _ in 0..2 {
        let refused = open().err().unwrap();
        assert!(matches!(refused, FoldError::EarlierSchema { found: 8, first: 37 }), "{refused}");
    }
    assert_eq!(count(&world.data().fold(), "SELECT count(*) FROM fct_ad_opportunities"), 20);
    assert!(!world.folder.path().join("fold.db.old").exists());
    world.tamper("fold.db", &format!("PRAGMA user_version = {}", slotkeeper::fold::SCHEMA_VERSION));
    assert!(open().is_ok());
}

#[test]
fn a_lake_whose_book_is_lost_keeps_the_only_copy_of_what_the_log_has_no_more() {
    let world = ten_days();
    advance_lake(&world);
    dropped(&world, 4).unwrap();
    let files = || {
        let folders = [&RAW_OPPORTUNITIES, &RAW_BEACONS].map(|table| world.data().lake().join(table.name));
        folders.into_iter().flat_map(|folder| fs::read_dir(folder).unwrap()).count()
    };
    let before = files();
    assert!(before > 0);
    let book = world.data().lake_db();
    let kept = fs::read(&book).unwrap();
    for file in ["lake.db", "lake.db-wal", "lake.db-shm"] {
        let _ = fs::remove_file(world.folder.path().join(file)); // the last two are there only at times
    }
    for _ in 0..2 {
        let refused = Advancing::open(&world.data()).err().unwrap();
        assert!(matches!(refused, AdvanceError::LogBeginsLater { first: 37, consumed: 0 }), "{refused}");
        assert_eq!(files(), before, "nothing is taken for left over");
        let viewer = slotkeeper_core::id::ViewerKey([1; 16]);
        let refused = forget(&world.data(), viewer, world.now, &|_| {}).unwrap_err();
        assert!(matches!(refused, ForgetError::NoBook(_)), "{refused}");
        assert_eq!(files(), before, "nor by a forgetting");
    }
    fs::write(&book, kept).unwrap();
    assert!(Advancing::open(&world.data()).is_ok());
    assert_eq!(files(), before);
}

#[test]
fn killed_between_two_commits_the_next_run_goes_on() {
    let world = World::new();
    let mut log = SqliteLog::open(&world.data().log()).unwrap();
    let empty = Received { at: UnixMillis(7), bytes: b"{\"edge_id\":\"e\",\"facts\":[]}".to_vec() };
    log.append(&vec![empty; 2_300]).unwrap();
    world.fold();
    advance_lake(&world);
    let killed = drop_old_watched(&world.data(), 1, world.now, &|_| {}, &|at| at < 1_000).unwrap();
    assert!(!killed.given_back);
    assert_eq!(places(&world), (1_001..=2_300).collect::<Vec<_>>(), "no gap");
    assert_eq!(dropped(&world, 1).unwrap().first_kept_seq, 2_300);
    assert_eq!(places(&world), [2_300]);
}

#[test]
fn while_an_origin_serves_its_room_is_given_back_later() {
    let world = ten_days();
    advance_lake(&world);
    let serving = world.data().lock_for_serving().unwrap();
    assert!(!dropped(&world, 8).unwrap().given_back);
    drop(serving);
    assert!(dropped(&world, 4).unwrap().given_back);
    let serving = world.data().lock_for_serving().unwrap();
    assert!(dropped(&world, 1).unwrap().given_back, "once it is prepared, also while it serves");
    drop(serving);
}

#[test]
fn who_reads_the_log_from_its_start_says_that_it_begins_later() {
    let world = ten_days();
    advance_lake(&world);
    dropped(&world, 4).unwrap();
    let audited = audit(&Options { data: world.data(), stores: vec![], replays_max: 0, progress: &|_| {} });
    assert!(matches!(audited, Err(AuditError::LogBeginsLater(37))));
    fs::remove_file(world.data().fold()).unwrap();
    let registry = Registry::open(&world.data().contracts()).unwrap();
    let log = SqliteLog::open(&world.data().log()).unwrap();
    let refused = Fold::open(&world.data().fold(), registry).unwrap().catch_up(&log).unwrap_err();
    assert!(matches!(refused, FoldError::LogBeginsLater { first: 37 }), "{refused}");
}

#[test]
fn a_backup_of_a_shortened_log_holds_the_tables_that_cannot_be_folded_again() {
    let world = ten_days();
    advance_lake(&world);
    let folder = tempfile::tempdir().unwrap();
    let held = |name: &str| {
        let manifest = back_up(world.folder.path(), &folder.path().join(name), world.now, &|_| {}).unwrap();
        manifest.files.iter().any(|file| file.path == "fold.db")
    };
    assert!(!held("whole"));
    dropped(&world, 4).unwrap();
    assert!(held("shortened"));
}

#[test]
fn who_is_forgotten_after_the_log_was_shortened_is_in_neither_tables_nor_lake() {
    let world = ten_days();
    advance_lake(&world);
    dropped(&world, 4).unwrap();
    let pseudonyms = slotkeeper_core::keys::Pseudonyms::parse(&"9e".repeat(32)).unwrap();
    let viewer = pseudonyms.viewer("viewer-1");
    let totals = "SELECT sum(revenue_micros * 1000 + delivered * 10 + filled) FROM flight_totals";
    let revenue = "SELECT sum(recognized_revenue_micros) + count(*) FROM fct_ad_impressions";
    let lake = world.folder.path().join("lake.db");
    let before = (count(&lake, totals), count(&world.data().fold(), revenue));
    let done = forget(&world.data(), viewer, world.now, &|_| {}).unwrap();
    assert_eq!((done.breaks, done.rows), (2, 2), "of one of their two breaks the log knows");
    assert_eq!((count(&lake, totals), count(&world.data().fold(), revenue)), before);
    let of_viewer = format!("SELECT count(*) FROM fct_ad_opportunities WHERE viewer = '{viewer}'");
    assert_eq!(count(&world.data().fold(), &of_viewer), 0);
    assert_eq!(
        count(&world.data().fold(), &format!("SELECT count(*) FROM decisions WHERE content LIKE '%{viewer}%'")),
        0
    );
    let opened = Lake::open(&world.folder.path().join("lake"), &lake).unwrap();
    assert_eq!(opened.traces_of(viewer, &BTreeSet::new(), u64::MAX).unwrap(), Traces::default());
    drop(opened);
    world.log(vec![]);
    world.fold();
    advance_lake(&world);
    assert_eq!(count(&world.data().fold(), revenue), before.1);
}

/// Whatever of `wanted` is anywhere below a folder: in any file's bytes, in what its Parquet files say, in the log's entries.
fn found_below(world: &World, wanted: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |at: &Path, bytes: &[u8]| {
        for one in wanted {
            let raw: Vec<u8> =
                (0..one.len() / 2).map(|n| u8::from_str_radix(&one[2 * n..2 * n + 2], 16).unwrap()).collect();
            let forms = [one.as_bytes(), raw.as_slice()];
            if forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == *form)) {
                found.push(format!("{one} in {}", at.display()));
            }
        }
    };
    let mut folders = vec![world.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path != world.store() {
                look(&path, &fs::read(&path).unwrap());
                for table in RAW
                    .into_iter()
                    .chain(DERIVED)
                    .filter(|table| path.to_string_lossy().contains(&format!("/{}/", table.name)))
                {
                    let rows = file::read(table, fs::File::open(&path).unwrap()).unwrap();
                    let texts =
                        rows.columns().iter().flat_map(|column| (0..rows.len()).filter_map(|row| column.text(row)));
                    texts.for_each(|text| look(&path, text.as_bytes()));
                }
            }
        }
    }
    for entry in SqliteLog::open_read_only(&world.data().log()).unwrap().read(0, 10_000).unwrap() {
        look(Path::new("the log's entries"), &entry.received.bytes);
    }
    found
}

#[test]
fn of_who_is_forgotten_nothing_is_left_wherever_the_cut_of_the_log_went_through() {
    let mut world = World::new();
    let [dropped_session, late_session, decided_session] =
        [b"dropped1", b"latecame", b"decided1"].map(|key| SessionKey(*key));
    let in_session = |fact: Fact, session| match fact {
        Fact::Beacon(beacon) => Fact::Beacon(BeaconFact { session: Some(session), ..beacon }),
        other => other,
    };
    let lost = |session| Fact::ClientLoss(ClientLoss { session, lost: 2 });
    let pod = world.open("ada", Preroll, 2);
    let shown = pod.slots.iter().find(|row| row.fill().is_some()).unwrap().clone();
    let reported = |event, session, at| in_session(beacon(&shown, shown.opportunity_id, event, at), session);
    world.log(vec![reported(Start, dropped_session, world.now), lost(dropped_session)]);
    // A decision whose rows never came, and what was reported of one of them.
    let (undelivered, _) = world.decide("ada", Preroll, 1);
    let undelivered = undelivered.decision.clone();
    let undelivered = Decision { session: Some(decided_session), ..undelivered };
    let slot = OpportunityId::mint(undelivered.break_id, 0, undelivered.opened_at);
    let unheard = in_session(beacon(&shown, slot, Start, world.now), late_session);
    world.log(vec![Fact::Decision(Box::new(undelivered)), unheard]);
    world.tamper("log.db", "UPDATE entries SET received_at_ms = 1");
    world.open("bob", Preroll, 1);
    world.fold();
    advance_lake(&world);
    assert_eq!(dropped(&world, 1).unwrap().first_kept_seq, 4, "all of ada's is dropped");
    // What comes late of what was dropped, and names nobody but a session.
    world.log(vec![reported(Complete, late_session, world.now), lost(late_session), lost(dropped_session)]);
    world.fold();
    advance_lake(&world);

    let ada = pod.decision.viewer;
    let sessions = [dropped_session, late_session, decided_session].map(|session| session.to_string());
    let wanted: Vec<String> = [ada.to_string()].into_iter().chain(sessions).collect();
    let before = found_below(&world, &wanted);
    assert!(wanted.iter().all(|one| before.iter().any(|found| found.starts_with(one))), "{before:?}");
    let seen = forget::look(&world.data(), ada, &|_| {}).unwrap();
    let done = forget(&world.data(), ada, world.now, &|_| {}).unwrap();
    assert_eq!((done.breaks, done.beacons, done.losses), (2, 1, 2), "{done:?}");
    assert_eq!(Forgotten { receipt_id: None, ..done }, seen);
    assert_eq!(found_below(&world, &wanted), Vec::<String>::new());
    world.log(vec![]);
    world.fold();
    advance_lake(&world);
    assert_eq!(found_below(&world, &wanted), Vec::<String>::new());
    assert_eq!(
        forget(&world.data(), ada, world.now, &|_| {}).unwrap(),
        Forgotten::default(),
        "and it is known to be done"
    );
}

#[test]
fn the_command_says_what_is_dropped_and_what_is_held_back() {
    let world = ten_days();
    advance_lake(&world);
    let run = |more: &[&str]| {
        let output =
            program().args(["retention", "--json", "--data"]).arg(world.folder.path()).args(more).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default()
    };
    let looked = run(&["--log-days", "4", "--dry-run"]);
    assert_eq!((looked["entries"].as_u64(), looked["first_kept_seq"].as_u64()), (Some(36), Some(37)));
    assert_eq!(run(&["--log-days", "4"])["entries"], 36);
    assert_eq!(run(&["--log-days", "4"])["entries"], 0);
    assert_eq!(run(&["--log-days", "0"]), serde_json::Value::Null, "a day at least");
}
