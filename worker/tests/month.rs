//! Law 8 over a whole world: its lake, its closed days and its closed months are what was decided to happen; and the same bytes
//! whatever moment `kill -9` chooses in any step, and however often they are made.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags};
use slotkeeper::{
    data_dir::DataDir,
    generate::check::{Report, check},
};
use support::program;

/// Over the end of a month, so that two are closed; and longer ago than tokens live.
const WORLD: &str = "--start 2025-08-30 --days 3 --slots 11000 --flights 12 --titles 10 --viewers 600 --seed 5";
const DAYS: [&str; 3] = ["2025-08-30", "2025-08-31", "2025-09-01"];
const MONTHS: [&str; 2] = ["2025-08", "2025-09"];
/// How often each step is killed: the lake, which is the longest, and every other.
const LAKE_KILLS: u32 = 4;
const KILLS: u32 = 2;

/// All steps from the log to the closed months.
fn steps() -> impl Iterator<Item = Vec<&'static str>> {
    let days = DAYS.map(|day| vec!["close", "day", day]);
    let months = MONTHS.map(|month| vec!["close", "month", month]);
    [vec!["lake", "advance"]].into_iter().chain(days).chain(months)
}

fn start(data: &Path, step: &[&str]) -> Child {
    program().args(step).arg("--data").arg(data).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Does a step. How long it took.
fn run(data: &Path, step: &[&str]) -> Duration {
    let began = Instant::now();
    let output = program().args(step).arg("--data").arg(data).output().unwrap();
    assert!(output.status.success(), "{step:?}: {}", String::from_utf8_lossy(&output.stderr));
    began.elapsed()
}

/// Kills a step at some moment of the time that it takes, a few times, and then lets it end.
fn run_killed(data: &Path, step: &[&str], took: Duration) {
    for _ in 0..if step[0] == "lake" { LAKE_KILLS } else { KILLS } {
        let mut process = start(data, step);
        std::thread::sleep(took.mul_f64(f64::from(getrandom::u32().unwrap()) / f64::from(u32::MAX)));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    run(data, step);
}

/// Every file of the lake, but for what was written when of the ledger, that is in [`ledger`]; and for what begins with a dot, which is
/// of this machine: who asks, and what is being written.
fn files(data: &Path) -> BTreeMap<String, blake3::Hash> {
    fn add(folder: &Path, root: &Path, files: &mut BTreeMap<String, blake3::Hash>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                add(&path, root, files);
            } else if !name.starts_with("makegood") {
                files.insert(name, blake3::hash(&fs::read(&path).unwrap()));
            }
        }
    }
    let (lake, mut all) = (data.join("lake"), BTreeMap::new());
    add(&lake, &lake, &mut all);
    all
}

/// What a query of a database says.
fn dump(file: &Path, sql: &str) -> Vec<String> {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut select = db.prepare(sql).unwrap();
    let columns = select.column_count();
    let line = |row: &rusqlite::Row<'_>| {
        let cells =
            (0..columns).map(|column| row.get::<_, rusqlite::types::Value>(column).map(|cell| format!("{cell:?}")));
        Ok(cells.collect::<rusqlite::Result<Vec<_>>>()?.join("|"))
    };
    select.query_map([], line).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// All that was booked, but for when.
fn ledger(data: &Path) -> Vec<String> {
    let entries = "SELECT m.flight, m.committed, m.cpm_micros, m.currency, m.ended_at_ms, e.seq, e.status, e.delivered, e.scheduled,
            e.fulfilled, l.account, l.amount_micros
         FROM make_goods m JOIN ledger_entries e USING (make_good_id) JOIN ledger_lines l USING (entry_id)
         ORDER BY m.flight, e.seq, l.account";
    dump(&data.join("ledger.db"), entries)
}

fn pacing(data: &Path) -> Vec<String> {
    dump(&data.join("pacing.db"), "SELECT * FROM campaign_pacing_daily ORDER BY day, flight_id")
}

fn totals(data: &Path) -> Vec<String> {
    let flights = "SELECT * FROM flight_totals ORDER BY quarter_at_ms, flight_id, advertiser_id, currency";
    let slots = "SELECT * FROM slot_totals ORDER BY quarter_at_ms";
    [flights, slots].iter().flat_map(|sql| dump(&data.join("lake.db"), sql)).collect()
}

fn assert_same(what: &str, one: &BTreeMap<String, blake3::Hash>, other: &BTreeMap<String, blake3::Hash>) {
    let names: Vec<&String> =
        one.keys().chain(other.keys()).filter(|name| one.get(*name) != other.get(*name)).collect();
    assert!(names.is_empty(), "{what}: {} of {} files differ: {names:?}", names.len(), one.len());
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        } else {
            let folder = to.join(path.file_name().unwrap());
            fs::create_dir(&folder).unwrap();
            copy(&path, &folder);
        }
    }
}

fn checked(data: &Path) -> Report {
    check(&DataDir::open(data).unwrap(), &mut |_| {}).unwrap()
}

fn differing(report: &Report) -> Vec<&str> {
    report.checked.iter().filter(|one| one.different > 0).map(|one| one.books.as_str()).collect()
}

#[test]
fn books_and_answers_are_the_truth_and_the_same_bytes_after_kill_9_in_any_step_and_from_nothing() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [calm, killed] = folders.each_ref().map(tempfile::TempDir::path);
    let generate: Vec<&str> = ["generate"].into_iter().chain(WORLD.split(' ')).collect();
    run(calm, &generate);
    copy(calm, killed);

    for step in steps() {
        let took = run(calm, &step);
        run_killed(killed, &step, took);
    }
    assert_same("killed", &files(calm), &files(killed));
    assert!(totals(calm) == totals(killed), "totals");
    assert!(pacing(calm) == pacing(killed), "pacing.db");
    let owed = ledger(calm);
    assert!(owed.iter().any(|line| line.contains("flight-failing")), "something is owed");
    assert_eq!(owed, ledger(killed));

    let before = files(calm);
    let report = std::thread::scope(|scope| {
        let report = scope.spawn(|| checked(killed));
        // Everything again: a lake from nothing, and closed days and months once more, change nothing.
        run(calm, &["lake", "rebuild"]);
        for step in steps() {
            run(calm, &step);
        }
        report.join().unwrap()
    });
    assert_same("rebuilt", &before, &files(calm));
    assert!(totals(calm) == totals(killed) && pacing(calm) == pacing(killed) && ledger(calm) == owed, "made again");

    assert_eq!(differing(&report), [""; 0], "{report:#?}");
    let missing: Vec<&str> = report.missing.iter().map(|missing| missing.books.as_str()).collect();
    assert_eq!(missing, ["fold.db"], "{:?}", report.missing);
    let questions = slotkeeper::sql::questions::all().into_iter().map(|question| question.name);
    for books in ["lake", "pacing.db", "ledger.db"].map(String::from).into_iter().chain(questions) {
        let one =
            report.checked.iter().find(|one| one.books == books).unwrap_or_else(|| panic!("{books} was not checked"));
        assert!(one.figures > 10, "{books}: {} figures", one.figures);
    }

    // Books that are wrong are seen, each where it is.
    let db = Connection::open(killed.join("pacing.db")).unwrap();
    let wrong = "UPDATE campaign_pacing_daily SET delivered = delivered + 1 WHERE day = '2025-08-31' AND flight = 'flight-failing'";
    assert_eq!(db.execute(wrong, []).unwrap(), 1);
    fs::remove_file(killed.join("lake/fct_ad_impressions/date=2025-08-30/hour=20/part.parquet")).unwrap();
    let report = checked(killed);
    assert_eq!(differing(&report), ["pacing.db", "conservation", "reach"]);
    let of = |books: &str| &report.checked.iter().find(|one| one.books == books).unwrap().differences[0];
    assert!(of("pacing.db").figure.ends_with("2025-08-31 flight-failing: delivered"), "{}", of("pacing.db"));
    assert!(of("conservation").figure.contains("2025-08-30"), "{}", of("conservation"));
}
