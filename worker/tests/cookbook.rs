//! The commands of `docs/sql.md`, as a stranger would run them; and the questions over HTTP.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, Output},
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use slotkeeper::data_dir::DataDir;
use support::{Origin, get, program, small_lake};

const COOKBOOK: &str = include_str!("../../docs/sql.md");
const QUIET: &[&str] = &["--publish-every", "0"];

/// A data folder with the slots of [`small_lake`]'s first day.
fn lake() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let slots: Vec<_> = small_lake::slots().into_iter().filter(|slot| slot.day() == "2026-11-20").collect();
    small_lake::write_slots(&data.lake(), &slots);
    folder
}

/// The program, with DuckDB.
fn slotkeeper(data: &Path, arguments: &[&str]) -> Output {
    let mut command = program();
    command.env("SLOTKEEPER_DUCKDB", duckdb()).arg(arguments[0]).arg("--data").arg(data).args(&arguments[1..]);
    command.output().unwrap()
}

/// Where cargo says that DuckDB is.
fn duckdb() -> OsString {
    std::env::var_os("SLOTKEEPER_DUCKDB").unwrap()
}

fn origin(data: &Path, duckdb: &str) -> Origin {
    // `Origin` clears the environment: the variable goes beside the program's own.
    Origin::start_with_environment(data, &[("SLOTKEEPER_DUCKDB", duckdb)], QUIET)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_cookbook_works() {
    let (data, work) = (lake(), tempfile::tempdir().unwrap());
    let origin = origin(data.path(), duckdb().to_str().unwrap());
    let bin = Path::new(env!("CARGO_BIN_EXE_slotkeeper")).parent().unwrap();
    let blocks: Vec<&str> = COOKBOOK.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 8);
    for block in blocks {
        let output = Command::new("sh")
            .args(["-euc", block])
            .current_dir(work.path())
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
            .env("SLOTKEEPER_DATA", data.path())
            .env("ORIGIN", &origin.url)
            .output()
            .unwrap();
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty() || block.contains("--out"), "{block}");
    }
    let csv = std::fs::read_to_string(work.path().join("fill.csv")).unwrap();
    assert!(csv.starts_with("key,slots,filled,unfilled,"), "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_what_the_command_line_answers_and_refuses_with_name_and_bound() {
    let data = lake();
    let origin = origin(data.path(), duckdb().to_str().unwrap());
    let url = |path: &str| format!("{}/v1/questions{path}", origin.url);
    let listed = get(&url("")).await;
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"fill") && !names.contains(&"discrepancy"), "{names:?}");
    assert_eq!(listed[0]["parameters"][1]["takes"], "a date as 2026-11-30");

    let answered = get(&url("/fill?by=title")).await;
    let said = slotkeeper(data.path(), &["ask", "fill", "--param", "by=title", "--format", "json"]);
    assert_eq!(answered, serde_json::from_slice::<Value>(&said.stdout).unwrap());
    assert_eq!(answered["rows"].as_array().unwrap().len(), 2);

    let cases = [
        ("/fills", 404, "not_found", Value::Null),
        ("/fill?by=week", 400, "invalid_field", json!("by")),
        ("/fill?until=2026-11-20", 400, "invalid_field", json!("until")),
        ("/fill?by=day&by=day", 400, "invalid_field", json!("by")),
        ("/cap-onset?line_percent=101", 400, "invalid_field", json!("line_percent")),
        ("/discrepancy?vendor=/etc/passwd", 400, "invalid_field", json!("vendor")),
        ("/session", 400, "invalid_field", json!("opportunity")),
        ("/session?opportunity=7", 400, "invalid_field", json!("opportunity")),
        ("/fill?limit=0", 400, "invalid_field", json!("limit")),
        ("/fill?limit=10001", 400, "invalid_field", json!("limit")),
        ("/fill?offset=-1", 400, "invalid_field", json!("offset")),
        ("/fill?format=xml", 400, "invalid_field", json!("format")),
    ];
    for (path, status, code, field) in cases {
        let response = reqwest::get(url(path)).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(
            (&error["error"]["code"], error["error"].get("field").unwrap_or(&Value::Null)),
            (&json!(code), &field),
            "{path}"
        );
    }
    let many = futures_util::future::join_all((0..5).map(|_| reqwest::get(url("/conservation")))).await;
    assert!(many.into_iter().all(|response| response.unwrap().status() == StatusCode::OK), "they wait for each other");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_in_pages_and_as_csv() {
    let data = lake();
    let origin = origin(data.path(), duckdb().to_str().unwrap());
    let url = |query: &str| format!("{}/v1/questions/fill?by=hour&{query}", origin.url);
    let whole = get(&url("")).await;
    let rows = whole["rows"].as_array().unwrap();
    assert!(rows.len() > 10 && whole["cut"] == false);
    let mut paged = vec![];
    loop {
        let page = get(&url(&format!("limit=7&offset={}", paged.len()))).await;
        paged.extend(page["rows"].as_array().unwrap().iter().cloned());
        if page["cut"] == false {
            break;
        }
    }
    assert_eq!(&paged, rows);
    assert_eq!(get(&url("offset=1000")).await["rows"], json!([]));

    let client = reqwest::Client::new();
    for (request, cut) in
        [(client.get(url("format=csv&limit=2")), "true"), (client.get(url("")).header("accept", "text/csv"), "false")]
    {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8; header=present");
        assert_eq!(response.headers()["slotkeeper-cut"], cut);
        let csv = response.text().await.unwrap();
        let said = slotkeeper(data.path(), &["ask", "fill", "--param", "by=hour", "--format", "csv"]);
        let lines = if cut == "true" { 3 } else { rows.len() + 1 };
        let expected: String = String::from_utf8_lossy(&said.stdout).split_inclusive("\r\n").take(lines).collect();
        assert_eq!(csv, expected);
    }
    let json = client.get(url("format=json")).header("accept", "text/csv").send().await.unwrap();
    assert_eq!(json.json::<Value>().await.unwrap(), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_table_is_the_origin_s_fault_and_its_log_says_which() {
    let data = lake();
    let part = data.path().join("lake/agg_slots_hourly/date=2026-11-20/hour=00/part.parquet");
    std::fs::write(&part, "no Parquet, though as long as one").unwrap();
    let origin = origin(data.path(), duckdb().to_str().unwrap());
    let response = reqwest::get(format!("{}/v1/questions/fill", origin.url)).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let error: Value = response.json().await.unwrap();
    assert_eq!(error["error"]["code"], "unreadable_tables");
    assert!(!error.to_string().contains("part.parquet"), "{error}");
    let other = reqwest::get(format!("{}/v1/questions/session?break=0", origin.url)).await.unwrap();
    assert_eq!(other.status(), StatusCode::OK, "other tables can be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_duckdb_the_origin_serves_and_says_what_is_missing() {
    let data = lake();
    let origin = origin(data.path(), "/nowhere/libduckdb.so");
    get(&format!("{}/v1/questions", origin.url)).await;
    let response = reqwest::get(format!("{}/v1/questions/fill", origin.url)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let error: Value = response.json().await.unwrap();
    assert_eq!(error["error"]["code"], "no_duckdb");
    assert!(error["error"]["message"].as_str().unwrap().contains("/nowhere/libduckdb.so"));
}

#[test]
fn what_is_booked_is_in_the_dimensions_at_once() {
    let data = tempfile::tempdir().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/contracts.toml");
    let import = |file: &Path| {
        let arguments = ["contracts", "import", "--data", data.path().to_str().unwrap(), file.to_str().unwrap()];
        assert!(program().args(arguments).status().unwrap().success());
    };
    import(&demo);
    let renamed = data.path().join("renamed.toml");
    let text = std::fs::read_to_string(&demo).unwrap();
    std::fs::write(&renamed, text.replace("\"The Lighthouse\"", "\"The Light\"")).unwrap();
    import(&renamed);
    let sql = "SELECT name, is_current FROM dim_titles WHERE title_id = 'the-lighthouse' ORDER BY valid_from";
    let said = slotkeeper(data.path(), &["sql", sql, "--format", "csv"]);
    assert_eq!(String::from_utf8_lossy(&said.stdout), "name,is_current\r\nThe Lighthouse,false\r\nThe Light,true\r\n");
}

#[test]
fn no_answer_goes_into_the_data_folder_by_whatever_way() {
    let (data, work) = (lake(), tempfile::tempdir().unwrap());
    let part = data.path().join("lake/agg_slots_hourly/date=2026-11-20/hour=00/part.parquet");
    let before = std::fs::read(&part).unwrap();
    let (folder, link) = (work.path().join("lake"), work.path().join("link.parquet"));
    std::os::unix::fs::symlink(data.path().join("lake"), &folder).unwrap();
    std::os::unix::fs::symlink(&part, &link).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let around = text(&work.path().join("..").join(data.path().file_name().unwrap()).join("lake/x.parquet"));
    for out in [text(&part), text(&data.path().join("x.csv")), text(&folder.join("x.parquet")), text(&link), around] {
        for format in ["parquet", "csv"] {
            let refused = slotkeeper(data.path(), &["sql", "SELECT 1", "--format", format, "--out", &out]);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && said.contains("it is in the data folder"), "{out}: {said}");
        }
    }
    let crafted = format!("SELECT 1) TO '{}'; COPY (SELECT 2", part.display());
    let out = text(&work.path().join("out.parquet"));
    let refused = slotkeeper(data.path(), &["sql", &crafted, "--format", "parquet", "--out", &out]);
    assert!(!refused.status.success());
    assert!(slotkeeper(data.path(), &["sql", "SELECT 1", "--format", "parquet", "--out", &out]).status.success());
    assert_eq!(std::fs::read(&part).unwrap(), before);
    let names: Vec<_> = std::fs::read_dir(data.path().join("lake/.sessions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["gate.lock"], "and nothing of the sessions stays");
}

#[test]
fn the_command_line_refuses_what_it_cannot_answer_whole() {
    let data = lake();
    let cut = slotkeeper(data.path(), &["sql", "SELECT * FROM fct_ad_events", "--rows", "10", "--format", "csv"]);
    assert!(!cut.status.success());
    assert!(String::from_utf8_lossy(&cut.stderr).contains("there are more rows than 10"));
    for (arguments, expected) in [
        (vec!["ask", "fil"], "there is no question \"fil\"; there are fill, "),
        (vec!["ask", "fill", "--param", "by"], "NAME=VALUE"),
        (vec!["ask", "fill", "--param", "by=day", "--param", "by=title"], "--param by: given more than once"),
        (vec!["sql", "SELECT $x"], "no value was given"),
        (vec!["sql", "SELECT 1", "--format", "parquet"], "--out"),
        (vec!["sql", "FROM read_text('/etc/passwd')"], "disabled"),
        (vec!["sql", "--file", "/nowhere.sql"], "/nowhere.sql"),
    ] {
        let refused = slotkeeper(data.path(), &arguments);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{arguments:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
