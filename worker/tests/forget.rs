//! Who is forgotten is nowhere in a data directory, and the books say what they said before.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
};

use rusqlite::types::Value;
use slotkeeper::{
    audit::{EdgeStore, Options, Report, audit},
    data_dir::{DataDirError, connect_read_only},
    forget::{ForgetError, Forgotten, Step, forget, forget_watched, look},
    lake::{AdvanceError, Advancing},
    log::{Log as _, SqliteLog},
    registry::Registry,
    replay::{ReplayError, Replayer},
    trackers::{Limits, Store},
};
use slotkeeper_core::{
    auction::{Auction, Offer},
    beacon::Event::{self, Complete, FirstQuartile, Midpoint, NotUsed, Start, ThirdQuartile},
    contract::{
        BreakPosition::{Midroll, Preroll},
        PodPosition, Presentation, Tracker,
    },
    decision::Decision,
    fact::{BeaconFact, ClientLoss, Fact, Recording},
    id::{OpportunityId, SessionKey, ViewerKey},
    money::{Currency, Money},
    pod::{Opportunity, Outcome, Pod},
};
use slotkeeper_lake::{DERIVED, Lake, RAW};
use support::{
    deciding::{World, beacon, facts_of},
    program,
};

const WHOLE: [Event; 5] = [Start, FirstQuartile, Midpoint, ThirdQuartile, Complete];
const ADAS_SESSION: SessionKey = SessionKey(*b"adasess1");
const BOBS_SESSION: SessionKey = SessionKey(*b"bobsess1");
/// Of every row of every folded table: what says who it was, or is a hash of what does.
const OF_A_VIEWER: [&str; 4] = ["viewer", "session", "content_hash", "hash"];
/// Tables that hold what was decided from, or count every fact that ever came.
const NOT_OF_THE_BOOKS: [&str; 3] = ["decisions", "fact_counts", "fold_offset"];

/// Ada and Bob have seen the same: some ads to their end, some not, one sold by an auction, some reported before their row came.
struct Told {
    world: World,
    ada: ViewerKey,
    bob: ViewerKey,
    pods: Vec<Pod>,
}

fn told() -> Told {
    let mut world = World::new();
    let mut pods = Vec::new();
    for (profile, session) in [("ada", ADAS_SESSION), ("bob", BOBS_SESSION)] {
        let preroll = world.open(profile, Preroll, 2);
        world.report(&preroll.slots[0], &WHOLE);
        let midroll = world.open(profile, Midroll, 3);
        world.report(&midroll.slots[0], &[Start, FirstQuartile]);
        world.report(&midroll.slots[1], &[NotUsed]);
        let (decided, _) = world.decide(profile, Midroll, 6);
        let auctioned = world.with_auction(&decided, an_auction());
        let sold = auctioned.slots.iter().find(|row| is_sold(row)).expect("a slot is left for the auction");
        let reported = WHOLE.map(|event| in_session(beacon(sold, sold.opportunity_id, event, world.now), session));
        let lost = Fact::ClientLoss(ClientLoss { session, lost: 3 });
        world.log(reported.into_iter().chain([lost]).collect());
        world.log(facts_of(&auctioned, Recording::Uncommitted));
        pods.extend([preroll, midroll, auctioned]);
    }
    world.fold();
    let (ada, bob) = (pods[0].decision.viewer, pods[3].decision.viewer);
    Told { world, ada, bob, pods }
}

fn an_auction() -> Auction {
    let offer = |slot| {
        let texts = ("Auctioned".to_owned(), media(), Presentation::default());
        let cpm = Money { micros: 12_000_000, currency: Currency::parse("EUR").unwrap() };
        let ad = (10_000, "auction.example-1".to_owned());
        Offer::of((slot, PodPosition::default()), ("advertiser.example", "c1"), cpm, ad, texts, Vec::<Tracker>::new())
    };
    Auction::Answered { offers: (0..6).map(offer).collect(), refused: vec![] }
}

fn media() -> Vec<slotkeeper_core::plan::MediaSource> {
    vec![slotkeeper_core::plan::MediaSource {
        url: "https://media.example/1.mp4".into(),
        mime_type: "video/mp4".into(),
        width: 1_280,
        height: 720,
        bitrate_kbps: None,
        codecs: None,
    }]
}

fn is_sold(row: &Opportunity) -> bool {
    row.fill().is_some_and(|fill| slotkeeper_core::auction::is_sold_by_auction(fill.ad_id))
}

fn in_session(fact: Fact, session: SessionKey) -> Fact {
    let Fact::Beacon(beacon) = fact else { unreachable!() };
    Fact::Beacon(BeaconFact { session: Some(session), ..beacon })
}

fn quiet(_: &str) {}

fn forgotten(told: &Told) -> Forgotten {
    let done = forget(&told.world.data(), told.ada, told.world.now, &quiet).unwrap();
    told.world.fold();
    done
}

fn audited(world: &World) -> Report {
    let stores = vec![EdgeStore::Sqlite(world.store())];
    audit(&Options { data: world.data(), stores, replays_max: 1_000, progress: &|_| {} }).unwrap()
}

/// All folded tables but for what says who it was.
fn books(world: &World) -> BTreeMap<String, Vec<String>> {
    let db = connect_read_only(&world.data().fold()).unwrap();
    let names: Vec<String> = column(&db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    let kept = names.into_iter().filter(|name| !NOT_OF_THE_BOOKS.contains(&name.as_str()));
    kept.map(|table| {
        let columns: Vec<String> = column(&db, &format!("SELECT name FROM pragma_table_info('{table}')"));
        let shown: Vec<String> = columns.into_iter().filter(|name| !OF_A_VIEWER.contains(&name.as_str())).collect();
        let count = shown.len();
        let mut select = db
            .prepare(&format!("SELECT {} FROM {table}", shown.join(", ")))
            .unwrap_or_else(|_| panic!("{table} has the columns {shown:?}"));
        let rows = select.query_map([], |row| {
            let cells: Result<Vec<Value>, _> = (0..count).map(|cell| row.get(cell)).collect();
            Ok(format!("{:?}", cells?))
        });
        let mut rows: Vec<String> = rows.unwrap().map(Result::unwrap).collect();
        rows.sort();
        (table, rows)
    })
    .filter(|(_, rows)| !rows.is_empty())
    .collect()
}

fn column(db: &rusqlite::Connection, sql: &str) -> Vec<String> {
    db.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Brings the lake in `folder` up with the log of a world, which it may have been made of.
fn advance_lake(world: &World, folder: &Path) {
    let mut lake = Lake::open(&folder.join("lake"), &folder.join("lake.db")).unwrap();
    let log = SqliteLog::open_read_only(&world.data().log()).unwrap();
    let mut registry = Registry::open(&world.data().contracts()).unwrap();
    lake.advance(&log, &mut registry, &mut |_| {}).unwrap();
}

/// Every folded file of a lake, by its name in there, and its totals.
fn lake_books(folder: &Path) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let mut files = BTreeMap::new();
    for table in DERIVED {
        for path in files_with(&folder.join("lake").join(table.name), &[b"PAR1".to_vec()]) {
            files.insert(path.strip_prefix(folder).unwrap().display().to_string(), fs::read(&path).unwrap());
        }
    }
    (files, lake_totals(folder))
}

fn lake_totals(folder: &Path) -> Vec<String> {
    let db = connect_read_only(&folder.join("lake.db")).unwrap();
    let mut totals = column(
        &db,
        "SELECT concat_ws(' ', quarter_at_ms, flight_id, campaign_id, advertiser_id, currency, filled, impressed, released,
             delivered, completes, revenue_micros) FROM flight_totals ORDER BY 1",
    );
    totals.extend(column(
        &db,
        "SELECT concat_ws(' ', quarter_at_ms, slots, filled, unfilled) FROM slot_totals ORDER BY 1",
    ));
    totals.extend(column(&db, "SELECT 'lost ' || lost FROM client_losses ORDER BY 1"));
    totals
}

/// The files of a data directory whose bytes hold any of these.
fn files_with(folder: &Path, wanted: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, wanted));
        } else if path.file_name().unwrap() != "store.db" {
            let bytes = fs::read(&path).unwrap();
            let holds = |wanted: &Vec<u8>| bytes.windows(wanted.len()).any(|window| window == wanted);
            found.extend(wanted.iter().any(holds).then_some(path));
        }
    }
    found
}

/// How a viewer could be written anywhere.
fn names_of(viewer: ViewerKey) -> Vec<Vec<u8>> {
    vec![viewer.0.to_vec(), viewer.to_string().into_bytes(), viewer.to_string().to_uppercase().into_bytes()]
}

/// The log as its readers see it.
fn unpacked(world: &World) -> String {
    let entries = SqliteLog::open_read_only(&world.data().log()).unwrap().read(0, 10_000).unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry.received.bytes).unwrap()).collect()
}

fn receipts(world: &World) -> Vec<String> {
    let db = connect_read_only(&world.data().log()).unwrap();
    column(&db, "SELECT receipt_id || ' ' || state || ' ' || rows || ' ' || decisions || ' ' || beacons FROM forgotten")
}

#[test]
fn the_books_are_the_same_and_the_viewer_is_in_no_file() {
    let told = told();
    let before = books(&told.world);
    assert!(unpacked(&told.world).contains(&told.ada.to_string()));
    let done = forgotten(&told);
    assert_eq!((done.rows, done.decisions, done.breaks), (11, 3, 3), "{done:?}");
    assert_eq!((done.beacons, done.losses), (13, 1));
    assert_eq!(books(&told.world), before);

    let mut wanted = names_of(told.ada);
    wanted.extend([ADAS_SESSION.to_string().into_bytes(), ADAS_SESSION.0.to_vec()]);
    assert_eq!(files_with(told.world.folder.path(), &wanted), Vec::<PathBuf>::new());
    let log = unpacked(&told.world);
    assert!(!log.contains(&told.ada.to_string()) && !log.contains(&ADAS_SESSION.to_string()));
    assert!(log.contains(&told.bob.to_string()) && log.contains(&BOBS_SESSION.to_string()), "of others nothing goes");

    let receipt = done.receipt_id.unwrap();
    assert_eq!(receipts(&told.world), [format!("{receipt} done 11 3 13")]);
}

#[test]
fn an_audit_is_clean_and_says_how_many_decisions_are_missing_and_why() {
    let told = told();
    let clean = audited(&told.world);
    assert!(clean.is_clean(), "{clean:#?}");
    forgotten(&told);
    let report = audited(&told.world);
    // The edge's store still has the claims, and says so: it is to be told too.
    assert_eq!(report.laws.iter().map(|law| law.found).sum::<u64>(), report.found("claim_without_row") as u64);
    let forget = "DELETE FROM viewer_states WHERE hex(viewer) = upper('";
    told.world.tamper("store.db", &format!("{forget}{}')", told.ada));
    let report = audited(&told.world);
    assert!(report.is_clean(), "{report:#?}");
    let notes: Vec<&String> = report.laws.iter().flat_map(|law| &law.notes).collect();
    assert!(
        notes.iter().any(|note| note.starts_with("3 decisions were about viewers who were forgotten")),
        "{notes:?}"
    );
    told.world.tamper("fold.db", "DELETE FROM decisions WHERE decision_id IN (SELECT decision_id FROM decisions WHERE json_extract(content, '$.asked.title_id') <> '' LIMIT 1)");
    assert!(audited(&told.world).found("decision_missing") > 0, "of others it is still found");
}

#[test]
fn a_decision_about_who_was_forgotten_cannot_be_explained_any_more_and_others_can() {
    let told = told();
    forgotten(&told);
    let explained = |pod: &Pod| {
        let mut replayer = Replayer::open(&told.world.data()).unwrap();
        slotkeeper::explain::explain(&mut replayer, pod.slots[0].opportunity_id).map(|_| ())
    };
    assert!(matches!(explained(&told.pods[0]), Err(ReplayError::UnknownDecision { .. })));
    assert!(explained(&told.pods[3]).is_ok());
}

#[test]
fn killed_after_any_step_the_next_run_does_the_rest() {
    let steps = [Step::TablesRemoved, Step::LogRewritten, Step::LogErased, Step::CallsDropped, Step::LakeRewritten];
    for killed_after in steps {
        let told = told();
        let before = books(&told.world);
        let ends = |step| if step == killed_after { Err(ForgetError::Stopped(step)) } else { Ok(()) };
        let (data, now) = (told.world.data(), told.world.now);
        let killed = forget_watched(&data, told.ada, now, &quiet, &ends).unwrap_err();
        assert!(matches!(killed, ForgetError::Stopped(step) if step == killed_after));
        // Whoever serves in between folds what the log says by then.
        told.world.fold();
        // The rest needs nobody's name: the next forgetting, of whomever, does it.
        let bobs = forget(&data, told.bob, now, &quiet).unwrap();
        assert_eq!(bobs.rows, 11);
        let adas = forget(&data, told.ada, now, &quiet).unwrap();
        assert_eq!(adas.receipt_id.is_some(), killed_after == Step::TablesRemoved, "{killed_after:?}");
        told.world.fold();
        assert_eq!(books(&told.world), before, "{killed_after:?}");
        let wanted: Vec<Vec<u8>> = [told.ada, told.bob].into_iter().flat_map(names_of).collect();
        assert_eq!(files_with(told.world.folder.path(), &wanted), Vec::<PathBuf>::new(), "{killed_after:?}");
        assert!(receipts(&told.world).iter().all(|receipt| receipt.contains(" done ")));
        assert_eq!(receipts(&told.world).len(), 2);
    }
}

#[test]
fn the_lake_is_what_it_would_be_if_it_were_made_of_the_log_as_it_is_now() {
    let steps = [Step::LogRewritten, Step::CallsDropped, Step::LakeRewritten];
    for killed_after in [None].into_iter().chain(steps.map(Some)) {
        let told = told();
        let folder = told.world.folder.path();
        advance_lake(&told.world, folder);
        let before = lake_totals(folder);
        assert!(before.iter().any(|total| total.contains("EUR")), "{before:?}");
        assert!(files_with_text(folder, &told).iter().any(|path| path.starts_with(folder.join("lake"))));
        let ends = |step| if Some(step) == killed_after { Err(ForgetError::Stopped(step)) } else { Ok(()) };
        let done = forget_watched(&told.world.data(), told.ada, told.world.now, &quiet, &ends);
        assert_eq!(done.is_err(), killed_after.is_some());
        forget(&told.world.data(), told.ada, told.world.now, &quiet).unwrap();
        assert_eq!(lake_totals(folder), before, "{killed_after:?}");
        assert_eq!(files_with_text(folder, &told), Vec::<PathBuf>::new(), "{killed_after:?}");

        // It goes on from where it was, and is byte for byte the one that is made anew.
        told.world.log(vec![]);
        advance_lake(&told.world, folder);
        let anew = tempfile::tempdir().unwrap();
        advance_lake(&told.world, anew.path());
        assert!(lake_books(folder) == lake_books(anew.path()), "{killed_after:?}");
    }
}

#[test]
fn a_break_that_was_tried_again_in_another_hour_is_forgotten_in_both() {
    let mut world = World::new();
    let pod = world.open("ada", Preroll, 2);
    world.report(pod.slots.iter().find(|row| row.fill().is_some()).expect("the demo has house ads"), &[Start]);
    let later = world.now.plus_ms(3_600_000);
    let tried_again = |row: &Opportunity| {
        let opportunity_id = OpportunityId::mint(row.break_id, row.slot_index, later);
        let mut row = Opportunity { opportunity_id, decided_at: later, ..row.clone() };
        if let Outcome::Filled(fill) = &mut row.outcome {
            fill.claim = None;
        }
        Fact::Opportunity { recording: Recording::Uncommitted, row }
    };
    world.log(pod.slots.iter().map(tried_again).collect());
    world.fold();
    let told = Told { ada: pod.decision.viewer, bob: pod.decision.viewer, pods: vec![pod], world };
    let folder = told.world.folder.path();
    advance_lake(&told.world, folder);
    let (before, slots) = (lake_totals(folder), books(&told.world));
    let rivals = || column(&connect_read_only(&folder.join("lake.db")).unwrap(), "SELECT content_hash FROM rivals");
    let known = rivals();
    assert_eq!(known.len(), 4, "each hour told the other of two rows");
    forgotten(&told);
    assert_eq!((lake_totals(folder), books(&told.world)), (before, slots));
    assert!(
        rivals().len() == 4 && rivals().iter().all(|hash| !known.contains(hash)),
        "also what one hour told the other"
    );
    assert_eq!(files_with_text(folder, &told), Vec::<PathBuf>::new());
    told.world.log(vec![]);
    advance_lake(&told.world, folder);
    let anew = tempfile::tempdir().unwrap();
    advance_lake(&told.world, anew.path());
    assert!(lake_books(folder) == lake_books(anew.path()));
}

/// Parquet is compressed: what is looked for is in what it says.
fn files_with_text(folder: &Path, told: &Told) -> Vec<PathBuf> {
    let mut wanted = names_of(told.ada);
    wanted.extend([ADAS_SESSION.to_string().into_bytes(), ADAS_SESSION.0.to_vec()]);
    let mut found = files_with(folder, &wanted);
    for table in RAW.into_iter().chain(DERIVED) {
        for path in files_with(&folder.join("lake").join(table.name), &[b"PAR1".to_vec()]) {
            let rows = slotkeeper_lake::file::read(table, fs::File::open(&path).unwrap()).unwrap();
            let texts = rows.columns().iter().flat_map(|column| (0..rows.len()).filter_map(|index| column.text(index)));
            let names = [told.ada.to_string(), ADAS_SESSION.to_string()];
            if texts.into_iter().any(|text| names.iter().any(|name| text.contains(name))) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn forgetting_twice_changes_nothing_and_what_came_since_is_forgotten_too() {
    let mut told = told();
    forgotten(&told);
    let once = unpacked(&told.world);
    let again = forgotten(&told);
    assert_eq!(again, Forgotten::default());
    assert_eq!(unpacked(&told.world), once);
    told.world.open("ada", Preroll, 1);
    let since = forgotten(&told);
    assert_eq!((since.rows, since.decisions), (1, 1));
    assert_eq!(receipts(&told.world).len(), 2);
    assert!(files_with(told.world.folder.path(), &names_of(told.ada)).is_empty());
}

#[test]
fn a_dry_run_says_what_is_there_and_writes_nothing() {
    let told = told();
    let log = fs::read(told.world.data().log()).unwrap();
    let seen = look(&told.world.data(), told.ada, &quiet).unwrap();
    assert_eq!((seen.receipt_id, seen.rows, seen.entries > 5), (None, 11, true));
    assert_eq!(fs::read(told.world.data().log()).unwrap(), log);
}

#[test]
fn while_an_origin_serves_nothing_is_rewritten() {
    let told = told();
    let serving = told.world.data().lock_for_serving().unwrap();
    let refused = forget(&told.world.data(), told.ada, told.world.now, &quiet).unwrap_err();
    assert!(matches!(refused, ForgetError::DataDir(DataDirError::InUse(_))), "{refused}");
    drop(serving);
    assert!(forgotten(&told).receipt_id.is_some());
}

#[test]
fn calls_that_wait_are_not_made_and_the_log_is_still_the_one_that_was_read() {
    let told = told();
    let data = told.world.data();
    let registry = || Registry::open(&data.contracts()).unwrap();
    let log = SqliteLog::open(&data.log()).unwrap();
    let store = Store::open(&data.trackers(), registry(), &log, Limits::default()).unwrap();
    let read = store.read_seq();
    assert!(read > 0);
    drop((store, log));
    let waits = |slot: OpportunityId| {
        format!(
            "INSERT INTO firings (opportunity_id, ad_id, record_id, event, url_hash, vendor, state, at_ms, opened_at_ms)
             VALUES ('{slot}', 1, '0000000000000000', 'start', '0000000000000000', 'v', 'queued', 1, 1);
             INSERT INTO queue (firing_id, vendor, url, due_at_ms, give_up_at_ms)
             SELECT max(firing_id), 'v', 'http://v/?id={slot}', 1, 1 FROM firings;
             INSERT INTO held VALUES ('{slot}', 1, '0000000000000000', 'complete', 1, 1, 'start', NULL);"
        )
    };
    let [adas, bobs] = [0, 3].map(|pod: usize| told.pods[pod].slots[0].opportunity_id);
    told.world.tamper("trackers.db", &(waits(adas) + &waits(bobs)));
    forgotten(&told);
    let db = connect_read_only(&data.trackers()).unwrap();
    assert_eq!(column(&db, "SELECT url FROM queue"), [format!("http://v/?id={bobs}")]);
    assert_eq!(column(&db, "SELECT opportunity_id FROM held"), [bobs.to_string()]);
    assert_eq!(column(&db, "SELECT state FROM firings ORDER BY state"), ["dead", "queued"]);
    assert_eq!(column(&db, "SELECT queued || ' ' || dead FROM vendors"), ["1 1"]);
    drop(db);
    let log = SqliteLog::open(&data.log()).unwrap();
    let store = Store::open(&data.trackers(), registry(), &log, Limits::default()).unwrap();
    assert_eq!(store.read_seq(), read, "the log is not read again from its start");
}

#[test]
fn the_command_forgets_by_profile_and_says_which_edge_did_not_hear_of_it() {
    let told = told();
    let run = |more: &[&str]| {
        let mut command = program();
        command.args(["forget", "ada", "--json", "--data"]).arg(told.world.folder.path()).args(more);
        command.env("SLOTKEEPER_PSEUDONYM_KEY", "9e".repeat(32)).env("SLOTKEEPER_KEYS", support::KEYS);
        let output = command.output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), json, String::from_utf8(output.stderr).unwrap())
    };
    let (code, dry, _) = run(&["--dry-run"]);
    assert_eq!((code, &dry["rows"], &dry["receipt_id"]), (Some(0), &11.into(), &serde_json::Value::Null));
    let (code, done, said) = run(&["--edge", "gone=http://127.0.0.1:9"]);
    assert_eq!((code, &done["rows"], &done["edges"][0]["forgotten"]), (Some(1), &11.into(), &false.into()), "{said}");
    assert!(said.contains("gone still know the viewer; run this again"), "{said}");
    let (code, again, _) = run(&[]);
    assert_eq!((code, &again["rows"]), (Some(0), &0.into()));
    let of_nobody = program().args(["forget", "--data"]).arg(told.world.folder.path()).output().unwrap();
    assert_eq!(of_nobody.status.code(), Some(2));
}

#[test]
fn what_names_the_viewer_in_an_entry_that_cannot_be_read_goes_too() {
    let told = told();
    let log = SqliteLog::open(&told.world.data().log()).unwrap();
    drop(log);
    let unreadable = format!("{{\"of a later build\":\"{}\"}}", told.ada);
    told.world.tamper(
        "log.db",
        &format!("INSERT INTO entries (received_at_ms, batch) VALUES (7, CAST('{unreadable}' AS BLOB))"),
    );
    forgotten(&told);
    let log = unpacked(&told.world);
    assert!(log.contains("of a later build") && !log.contains(&told.ada.to_string()));
}

#[test]
fn a_forgetting_is_not_done_while_somebody_reads_what_was_there_before() {
    // Each waits its ten seconds for the reader; so all of them at once.
    let waits = |file: &'static str| {
        std::thread::spawn(move || {
            let told = told();
            advance_lake(&told.world, told.world.folder.path());
            let registry = Registry::open(&told.world.data().contracts()).unwrap();
            let log = SqliteLog::open(&told.world.data().log()).unwrap();
            drop(Store::open(&told.world.data().trackers(), registry, &log, Limits::default()).unwrap());
            drop(log);
            let reader = connect_read_only(&told.world.folder.path().join(file)).unwrap();
            reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").unwrap();
            let refused = forget(&told.world.data(), told.ada, told.world.now, &quiet).unwrap_err().to_string();
            assert!(refused.contains("somebody reads") && refused.contains(file), "{refused}");
            assert!(receipts(&told.world)[0].contains("log_rewritten"), "it is not done");
            drop(reader);
            forget(&told.world.data(), told.ada, told.world.now, &quiet).unwrap();
            assert!(receipts(&told.world)[0].contains("done"));
            assert_eq!(files_with_text(told.world.folder.path(), &told), Vec::<PathBuf>::new(), "{file}");
        })
    };
    for waiting in ["log.db", "trackers.db", "lake.db"].map(waits) {
        waiting.join().unwrap();
    }
}

#[test]
fn an_origin_finishes_a_forgetting_before_it_serves_and_nobody_else_goes_on_meanwhile() {
    let told = told();
    let folder = told.world.folder.path();
    advance_lake(&told.world, folder);
    let killed = |step| if step == Step::LogErased { Err(ForgetError::Stopped(step)) } else { Ok(()) };
    forget_watched(&told.world.data(), told.ada, told.world.now, &quiet, &killed).unwrap_err();
    assert!(files_with_text(folder, &told).iter().any(|path| path.starts_with(folder.join("lake"))));
    let refused = Advancing::open(&told.world.data()).err().unwrap();
    assert!(matches!(refused, AdvanceError::Forgetting), "{refused}");

    // What cannot be finished is not served.
    let reader = connect_read_only(&told.world.data().lake_db()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").unwrap();
    let mut serve = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder)
        .env("SLOTKEEPER_KEYS", support::KEYS)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first_line = String::new();
    BufReader::new(serve.stdout.take().unwrap()).read_line(&mut first_line).unwrap(); // empty if it ends without one
    let _ = serve.kill(); // it has ended
    let said = String::from_utf8(serve.wait_with_output().unwrap().stderr).unwrap();
    assert!(first_line.is_empty() && said.contains("somebody reads lake.db"), "{first_line}{said}");
    drop(reader);

    let origin = support::Origin::start(folder, &["--publish-every", "0"]);
    assert!(receipts(&told.world)[0].contains(" done "), "done before it is ready");
    assert!(origin.terminate().success());
    assert_eq!(files_with_text(folder, &told), Vec::<PathBuf>::new());
}

#[test]
fn a_lake_without_its_book_and_what_a_question_left_are_emptied() {
    let told = told();
    let folder = told.world.folder.path();
    advance_lake(&told.world, folder);
    // As a question leaves it that was killed: nobody holds the folder.
    let spilled = told.world.data().lake().join(".sessions/3/spill");
    fs::create_dir_all(&spilled).unwrap();
    fs::write(spilled.join("left"), told.ada.to_string()).unwrap();
    for file in ["lake.db", "lake.db-wal", "lake.db-shm"] {
        let _ = fs::remove_file(folder.join(file)); // the last two are there only at times
    }
    forgotten(&told);
    assert_eq!(files_with_text(folder, &told), Vec::<PathBuf>::new());
    advance_lake(&told.world, folder);
    assert!(lake_totals(folder).iter().any(|total| total.contains("EUR")));
}

#[test]
fn what_an_auction_sold_still_earns_and_nothing_else_of_its_decision_is_kept() {
    let told = told();
    forgotten(&told);
    let entries = SqliteLog::open_read_only(&told.world.data().log()).unwrap().read(0, 10_000).unwrap();
    let batches =
        entries.iter().map(|entry| serde_json::from_slice::<slotkeeper_core::fact::FactBatch>(&entry.received.bytes));
    let facts: Vec<Fact> = batches.flat_map(|batch| batch.unwrap().facts).collect();
    let decisions: Vec<&Decision> =
        facts.iter().filter_map(|fact| if let Fact::Decision(one) = fact { Some(&**one) } else { None }).collect();
    let [of_ada] = decisions.iter().filter(|one| one.viewer != told.bob).collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(of_ada.break_id, told.pods[2].decision.break_id);
    assert!(of_ada.asked.title_id.is_empty() && of_ada.asked.device.is_none());
    assert!(of_ada.auction.offers().iter().all(|offer| offer.media.is_empty() && offer.name.is_empty()));
}
