//! A lake in an S3-compatible store is the lake of a folder, byte for byte, whatever the network and `kill -9` do; and every command
//! finds it there.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/s3.rs"]
mod store;
mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use slotkeeper::{data_dir::DataDir, fold::Fold, generate::generate, log::SqliteLog, registry::Registry};
use slotkeeper_lake::{DERIVED, RAW, Status};
use slotkeeper_world::Params;
use store::{Fault, Network, Store};
use support::program;

const BUCKET: &str = "lakes";
const URL: &str = "s3://lakes/tv/one";

/// A data directory with a world's log and contracts.
fn world(folder: &Path, slots: u64) -> DataDir {
    let params = Params {
        days: 1,
        slots,
        seed: 11,
        start: "2026-10-29".parse().unwrap(),
        flights: 10,
        titles: 5,
        viewers: 100,
        decisions: true,
    };
    let data = DataDir::open(folder).unwrap();
    generate(&params, &data, &mut |_| {}).unwrap();
    data
}

/// The same data directory again.
fn copy(data: &DataDir, to: &Path) -> DataDir {
    for name in ["log.db", "contracts.db"] {
        let db = rusqlite::Connection::open(data.path().join(name)).unwrap();
        db.execute("VACUUM INTO ?1", [to.join(name).to_str().unwrap()]).unwrap();
    }
    let truth = fs::read_dir(data.path()).unwrap().flatten().filter(|entry| entry.path().is_dir());
    for folder in truth {
        fs::create_dir_all(to.join(folder.file_name())).unwrap();
        for file in fs::read_dir(folder.path()).unwrap().flatten() {
            fs::copy(file.path(), to.join(folder.file_name()).join(file.file_name())).unwrap();
        }
    }
    DataDir::open(to).unwrap()
}

/// The program, which may speak to the store at this port.
fn command(data: &DataDir, port: u16, arguments: &[&str]) -> Command {
    let mut command = program();
    command
        .envs(std::env::var_os("SLOTKEEPER_DUCKDB").map(|library| ("SLOTKEEPER_DUCKDB", library)))
        .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "tests")
        .env("AWS_SECRET_ACCESS_KEY", "tests")
        .args(arguments)
        .arg("--data")
        .arg(data.path());
    command
}

/// What it says.
fn run(data: &DataDir, port: u16, arguments: &[&str]) -> String {
    let output = command(data, port, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// What it says when it refuses.
fn refused(data: &DataDir, port: u16, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = command(data, port, arguments).output().unwrap();
    assert!(!status.success(), "{arguments:?}: {}", text(&stdout));
    text(&stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Every file of these tables in a folder, by its name from there, and its content in hexadecimal digits.
fn files(folder: &Path, tables: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<_> = tables.iter().map(|table| folder.join(table)).filter(|table| table.exists()).collect();
    while let Some(inner) = folders.pop() {
        for path in fs::read_dir(inner).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let hex = fs::read(&path).unwrap().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            found.insert(name, hex);
        }
    }
    found
}

/// The objects of these tables, by their names in the lake.
fn objects(store: &mut Store, tables: &[&str]) -> BTreeMap<String, String> {
    let prefix = format!("{}/", URL.strip_prefix("s3://lakes/").unwrap());
    let all = store.objects(BUCKET).into_iter();
    let named = all.map(|(key, content)| (key.strip_prefix(&prefix).unwrap().to_owned(), content));
    named.filter(|(name, _)| tables.contains(&name.split('/').next().unwrap())).collect()
}

fn facts_and_tables() -> Vec<&'static str> {
    RAW.into_iter().chain(DERIVED).map(|table| table.name).collect()
}

#[test]
fn the_lake_in_a_store_is_that_of_a_folder_byte_for_byte_whatever_the_network_and_kill_9_do() {
    let Some(mut store) = Store::start() else { return };
    store.make(BUCKET);
    // Of fourteen requests, four go wrong; what a store cannot do twice is asked again all the same.
    let network = Network::before(&store, |number, _| match number % 14 {
        2 => Some(Fault::CutWithin),
        4 => Some(Fault::Refused),
        6 => Some(Fault::AnswerLost),
        12 => Some(Fault::AnswerCut),
        _ => None,
    });
    let [whole, killed] = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let whole = world(whole.path(), 3_000);
    let killed = copy(&whole, killed.path());
    run(&whole, 0, &["lake", "advance"]);

    let seed = getrandom::u64().unwrap();
    let mut random = seed;
    let mut broken_off = 0;
    for round in 0..8 {
        let mut process = command(&killed, network.port, &["lake", "advance", "--lake", URL])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((random >> 33) % (200 + 300 * round)));
        process.kill().unwrap(); // SIGKILL
        broken_off += u32::from(!process.wait().unwrap().success());
    }
    assert!(broken_off > 2, "seed {seed}");
    run(&killed, network.port, &["lake", "advance"]);
    assert!(network.faults() > 20, "{} faults", network.faults());

    let (status, expected) = [&killed, &whole].map(|data| Status::read(&data.lake_db()).unwrap().unwrap()).into();
    assert_eq!(status, expected, "seed {seed}");
    let derived: Vec<_> = DERIVED.into_iter().map(|table| table.name).collect();
    let expected = files(&whole.lake(), &derived);
    assert!(expected.len() >= 90, "{} files", expected.len());
    assert!(objects(&mut store, &derived) == expected, "seed {seed}");
    let raw: Vec<_> = RAW.into_iter().map(|table| table.name).collect();
    let listed: u64 = status.raw.iter().map(|table| table.files).sum();
    assert_eq!(objects(&mut store, &raw).len() as u64, listed, "seed {seed}: nothing unlisted");
    assert!(files(&killed.lake(), &facts_and_tables()).is_empty(), "nothing of it is in the folder");
}

/// What answers of both data directories must be the same.
const ASKED: [&[&str]; 6] = [
    &["ask", "fill", "--format", "csv"],
    &["ask", "completion", "--format", "csv"],
    &["ask", "conservation", "--format", "csv"],
    &["sql", "SELECT * FROM campaign_pacing_daily ORDER BY ALL", "--format", "csv"],
    &["sql", "SELECT count(*), sum(max_duration_ms), min(opportunity_id) FROM RAW_opportunities", "--format", "csv"],
    &["sql", "SELECT name, count(*) FROM dim_campaigns GROUP BY 1 ORDER BY 1", "--format", "csv"],
];

#[test]
fn every_command_finds_the_lake_in_the_store() {
    let Some(mut store) = Store::start() else { return };
    store.make(BUCKET);
    let port = store.port;
    let folders = [0, 1, 2].map(|_| tempfile::tempdir().unwrap());
    let inside = world(folders[0].path(), 600);
    let outside = copy(&inside, folders[1].path());
    let both = [&inside, &outside];
    for data in both {
        let log = SqliteLog::open_read_only(&data.log()).unwrap();
        Fold::open(&data.fold(), Registry::open(&data.contracts()).unwrap()).unwrap().catch_up(&log).unwrap();
    }
    run(&inside, port, &["lake", "advance"]);
    run(&outside, port, &["lake", "advance", "--lake", URL]);
    for command in [["close", "day", "2026-10-29"], ["close", "month", "2026-10"]] {
        for data in both {
            run(data, port, &[&command[..], &["--provisional"][..usize::from(command[1] == "day")]].concat());
        }
    }
    let same = |arguments: &[&str]| {
        let [inside, outside] = both.map(|data| run(data, port, arguments));
        assert!(inside.lines().count() > 1, "{arguments:?}: {inside}");
        assert_eq!(inside, outside, "{arguments:?}");
        outside
    };
    for arguments in ASKED {
        same(arguments);
    }
    assert!(run(&outside, port, &["lake", "status"]).contains(&format!("its files are in {URL}")));
    assert!(run(&outside, port, &["generate", "--check"]).contains("lake"));
    // (A made-up world has no plans to decide from again, so it ends with findings, the same.)
    let audited = both.map(|data| text(&command(data, port, &["audit"]).output().unwrap().stdout));
    assert!(audited[1].contains("law 8  holds  the lake holds what the tables hold"), "{}", audited[1]);
    assert_eq!(audited[0], audited[1]);

    // Whoever is forgotten is forgotten in the store, and in what was copied of it.
    let most = "SELECT viewer FROM raw_opportunities GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1";
    let viewer = same(&["sql", most, "--format", "csv"]).lines().last().unwrap().to_owned();
    let slots = format!("SELECT opportunity_id FROM raw_opportunities WHERE viewer = '{viewer}'");
    let before = run(&outside, port, &["sql", &slots, "--format", "csv"]).lines().count();
    run(&outside, port, &["forget", "--viewer", &viewer]);
    let names = facts_and_tables();
    let kept: Vec<_> = files(&outside.lake(), &names).into_keys().collect();
    let (here, there) = (files(&outside.lake(), &names), objects(&mut store, &names));
    assert!(kept.iter().all(|name| there.get(name) == here.get(name)), "what is copied is what is there");
    assert!(before > 1);
    assert_eq!(run(&outside, port, &["sql", &slots, "--format", "csv"]).lines().count(), 1, "the head alone");

    // A backup has the files, and what is restored of it has its lake in its folder.
    let (backup, restored) = (folders[2].path().join("backup"), folders[2].path().join("restored"));
    run(&outside, port, &["backup", "--to", backup.to_str().unwrap()]);
    let output = program().args(["restore", "--from"]).arg(&backup).arg("--data").arg(&restored).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let restored = DataDir::open(restored).unwrap();
    assert!(files(&restored.lake(), &names) == there);
    for arguments in ASKED {
        assert_eq!(run(&restored, 0, arguments), run(&outside, port, arguments), "{arguments:?}");
    }

    // The log may be shortened: the facts are in the store.
    run(&outside, port, &["retention", "--log-days", "1"]);
    run(&outside, port, &["lake", "advance"]);
    assert!(objects(&mut store, &names) == there);
}

#[test]
fn a_copy_of_the_store_is_brought_level_before_it_is_asked() {
    let Some(mut store) = Store::start() else { return };
    store.make(BUCKET);
    let folder = tempfile::tempdir().unwrap();
    let data = world(folder.path(), 300);
    run(&data, store.port, &["lake", "advance", "--lake", URL]);
    let asked =
        ["sql", "SELECT count(*) AS n, count(DISTINCT date) AS days FROM fct_ad_opportunities", "--format", "csv"];
    let before = run(&data, store.port, &asked);
    let derived: Vec<_> = DERIVED.into_iter().map(|table| table.name).collect();
    assert!(files(&data.lake(), &derived) == objects(&mut store, &derived));
    assert!(files(&data.lake(), &[RAW[0].name]).is_empty(), "facts are copied when they are asked for");
    let hidden = run(&data, store.port, &["sql", "SELECT count(*) FROM query_table('raw' || '_beacons')"]);
    assert_eq!(hidden, run(&data, store.port, &["sql", "SELECT count(*) FROM raw_beacons"]), "however they are named");
    assert!(files(&data.lake(), &[RAW[0].name]) == objects(&mut store, &[RAW[0].name]));

    // What was touched here is fetched again, what is gone there goes.
    let copies = files(&data.lake(), &[DERIVED[0].name]).into_keys().collect::<Vec<_>>();
    fs::write(data.lake().join(&copies[0]), "no Parquet").unwrap();
    fs::remove_file(data.lake().join(&copies[1])).unwrap();
    let odd = data.lake().join(DERIVED[0].name).join("date=2026-01-01/hour=00");
    fs::create_dir_all(&odd).unwrap();
    fs::copy(data.lake().join(&copies[2]), odd.join("part.parquet")).unwrap();
    assert_eq!(run(&data, store.port, &asked), before);
    assert!(files(&data.lake(), &derived) == objects(&mut store, &derived));

    // What came meanwhile is asked, too.
    store.delete(BUCKET, &format!("tv/one/{}", copies[3]));
    assert_ne!(run(&data, store.port, &asked), before);

    let mut bounded = command(&data, store.port, &asked);
    let output = bounded.env("SLOTKEEPER_LAKE_MIRROR_BYTES_MAX", "1000").output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("no more than 1000 are copied to") && said.contains(URL), "{said}");
}

#[test]
fn a_place_that_is_not_the_lakes_own_is_refused() {
    let Some(mut store) = Store::start() else { return };
    store.make(BUCKET);
    let port = store.port;
    let folders = [0, 1].map(|_| tempfile::tempdir().unwrap());
    let one = world(folders[0].path(), 200);
    let other = copy(&one, folders[1].path());

    let said = refused(&one, port, &["lake", "advance", "--lake", "s3://lakes/a//b"]);
    assert!(said.contains("it is s3://BUCKET or s3://BUCKET/PREFIX"), "{said}");
    let output =
        command(&one, port, &["lake", "advance", "--lake", URL]).env_remove("AWS_ALLOW_HTTP").output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("AWS_ALLOW_HTTP=true") && said.contains(URL), "{said}");
    let said = refused(&one, port, &["lake", "advance", "--lake", "s3://no-such-bucket"]);
    assert!(said.contains("NoSuchBucket"), "{said}");
    // Nothing is in it yet, so it may still be elsewhere.
    run(&one, port, &["lake", "advance", "--lake", URL]);
    run(&one, port, &["lake", "advance", "--lake", "s3://lakes/tv/one/"]);

    let said = refused(&other, port, &["lake", "advance", "--lake", URL]);
    assert!(said.contains("the lake of another data directory is there"), "{said}");
    let said = refused(&one, port, &["lake", "advance", "--lake", "s3://lakes/tv/two"]);
    assert!(
        said.contains(&format!("is in {URL}, with ")) && said.contains("lake rebuild --lake s3://lakes/tv/two"),
        "{said}"
    );

    // Another store, or an emptied one, is not taken for a new lake.
    store.delete(BUCKET, "tv/one/slotkeeper-lake.json");
    for arguments in [&["lake", "advance"][..], &["ask", "fill"], &["backup", "--to", "/nowhere/backup"]] {
        let said = refused(&one, port, arguments);
        assert!(
            said.contains("there is no slotkeeper-lake.json") || said.contains("/nowhere"),
            "{arguments:?}: {said}"
        );
    }
}

/// A world whose lake is in its folder, with a closed day; and a bucket that has nothing yet.
fn closed_in_a_folder(store: &mut Store, folder: &Path) -> DataDir {
    store.make(BUCKET);
    let data = world(folder, 300);
    run(&data, store.port, &["lake", "advance"]);
    run(&data, store.port, &["close", "day", "2026-10-29", "--provisional"]);
    data
}

#[test]
fn a_lake_of_a_folder_is_made_anew_in_a_store_with_the_books_files() {
    let Some(mut store) = Store::start() else { return };
    let port = store.port;
    let folder = tempfile::tempdir().unwrap();
    let data = closed_in_a_folder(&mut store, folder.path());
    let derived: Vec<_> = DERIVED.into_iter().map(|table| table.name).collect();
    let expected = files(&data.lake(), &derived);
    let pacing = files(&data.lake(), &["campaign_pacing_daily"]);
    assert_eq!(pacing.len(), 1);
    let said = refused(&data, port, &["lake", "advance", "--lake", URL]);
    assert!(said.contains("rebuild --lake"), "{said}");
    run(&data, port, &["lake", "rebuild", "--dry-run", "--lake", URL]);
    assert!(store.objects(BUCKET).is_empty() && files(&data.lake(), &derived) == expected, "a dry run changes nothing");
    // What cannot be is refused before what there is goes.
    let nobody_listens = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (to, port) in [("lakes/tv", port), (URL, nobody_listens)] {
        refused(&data, port, &["lake", "rebuild", "--lake", to]);
        assert!(files(&data.lake(), &derived) == expected && !data.lake_place().exists(), "{to}");
    }
    run(&data, port, &["lake", "rebuild", "--lake", URL]);
    assert!(objects(&mut store, &derived) == expected);
    assert!(objects(&mut store, &["campaign_pacing_daily"]) == pacing);
}

#[test]
fn books_that_a_killed_rebuild_did_not_carry_are_carried_before_anybody_asks() {
    let Some(mut store) = Store::start() else { return };
    let port = store.port;
    let folder = tempfile::tempdir().unwrap();
    let data = closed_in_a_folder(&mut store, folder.path());
    let pacing = files(&data.lake(), &["campaign_pacing_daily"]);
    // As it is when it dies once the place is chosen.
    for file in ["lake.db", "lake.db-wal", "lake.db-shm"] {
        let _ = fs::remove_file(folder.path().join(file)); // the last two are there only at times
    }
    slotkeeper::lake::place::choose(&data, URL).unwrap();
    let closed = run(&data, port, &["sql", "--format", "csv", "SELECT count(DISTINCT day) FROM campaign_pacing_daily"]);
    assert!(closed.trim_end().ends_with('1'), "{closed}");
    assert!(objects(&mut store, &["campaign_pacing_daily"]) == pacing);
    assert!(files(&data.lake(), &["campaign_pacing_daily"]) == pacing);
}
