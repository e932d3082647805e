//! The same questions to another engine over the same files: what Slotkeeper says is not what DuckDB happens to make of them.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use slotkeeper::{
    data_dir::DataDir,
    sql::{self, API_BOUNDS},
};
use slotkeeper_query::session::Values;
use support::{python::python, small_lake};

/// ClickHouse in process, as Python's package index has it.
const PACKAGE: &str = "chdb-core==26.9.0";

/// What both engines understand. `sum!(x)` is a sum that does not wrap, `@table` a table.
const QUESTIONS: [(&str, &str); 4] = [
    (
        "fill by reason",
        "SELECT outcome, coalesce(fill_reason, unfilled_reason) AS reason, sum!(slots) AS n FROM @agg_slots_hourly
         GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    (
        "completion by creative",
        "SELECT creative_id, count(*) AS starts,
             sum!(CASE WHEN furthest_quartile IN ('firstQuartile', 'midpoint', 'thirdQuartile', 'complete') THEN 1 ELSE 0 END) AS q1,
             sum!(CASE WHEN furthest_quartile IN ('midpoint', 'thirdQuartile', 'complete') THEN 1 ELSE 0 END) AS q2,
             sum!(CASE WHEN furthest_quartile IN ('thirdQuartile', 'complete') THEN 1 ELSE 0 END) AS q3,
             sum!(CASE WHEN furthest_quartile = 'complete' THEN 1 ELSE 0 END) AS q4
         FROM @fct_ad_impressions GROUP BY 1 ORDER BY 1",
    ),
    (
        "revenue by flight",
        "SELECT flight_id, currency, sum!(recognized_revenue_micros) AS micros FROM @fct_ad_impressions
         GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    (
        "conservation",
        "SELECT count(*) AS n, count(DISTINCT opportunity_id) AS ids,
             sum!(CASE WHEN outcome = 'filled' AND ad_id IS NOT NULL THEN 1 ELSE 0 END) AS filled,
             sum!(CASE WHEN outcome = 'unfilled' AND ad_id IS NULL THEN 1 ELSE 0 END) AS unfilled,
             sum!(CASE WHEN settled = 'impressed' THEN 1 ELSE 0 END) AS impressed
         FROM @fct_ad_opportunities",
    ),
];

#[test]
fn clickhouse_answers_the_same_from_the_same_files() {
    let python = match python("clickhouse", "chdb", PACKAGE) {
        Ok(python) => python,
        Err(reason) => {
            eprintln!("skipped: no ClickHouse to ask: {reason}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let mut slots: Vec<_> = small_lake::slots().into_iter().filter(|slot| slot.day() == "2026-11-20").collect();
    // One flight's revenue is beyond 64 bits, where a sum that wraps would show.
    let earning =
        |slot: &&mut small_lake::Slot| slot.fill().is_some_and(|fill| fill.is_delivered() && fill.flight == 4);
    for slot in slots.iter_mut().filter(earning).take(3) {
        let small_lake::Outcome::Filled(fill) = &mut slot.outcome else { unreachable!() };
        fill.revenue = i64::MAX;
    }
    small_lake::write_slots(&data.lake(), &slots);

    let session = sql::start(&data, vec![], vec![]).unwrap();
    let in_duckdb = |sql: &str| -> Vec<Vec<String>> {
        let sql = sql.replace("sum!", "sum").replace('@', "");
        let answer = session.ask(&sql, &Values::new(), API_BOUNDS).unwrap().remove(0);
        answer.rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    };
    let questions: Vec<String> = QUESTIONS.iter().map(|(_, sql)| for_clickhouse(sql, &data.lake())).collect();
    let answers = ask_clickhouse(&python, &questions);
    for ((name, sql), answer) in QUESTIONS.iter().zip(answers) {
        let expected = in_duckdb(sql);
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(answer, expected, "{name}");
    }
    let revenue = in_duckdb(QUESTIONS[2].1);
    assert!(revenue.iter().any(|row| row[2].parse::<i128>().unwrap() > i64::MAX.into()), "{revenue:?}");
}

fn for_clickhouse(sql: &str, lake: &Path) -> String {
    let mut text = String::new();
    for (index, piece) in sql.split('@').enumerate() {
        if index > 0 {
            let (table, rest) = piece.split_once(char::is_whitespace).unwrap_or((piece, ""));
            let files = lake.join(table).join("date=*/hour=*/part.parquet");
            let _ = write!(text, "file('{}', Parquet) {rest}", files.display()); // a String takes all
        } else {
            text += piece;
        }
    }
    let mut pieces = text.split("sum!(");
    let mut widened = pieces.next().unwrap().to_owned();
    for piece in pieces {
        // The sum's own bracket: that of `toInt128` ends where it does.
        let mut depth = 1;
        let end = piece.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        let (summed, rest) = piece.split_at(end.unwrap());
        let _ = write!(widened, "sum(toInt128({summed}){rest}");
    }
    widened
}

fn ask_clickhouse(python: &Path, questions: &[String]) -> Vec<Vec<Vec<String>>> {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clickhouse.py");
    let mut asked = Command::new(python).arg(driver).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    asked.stdin.take().unwrap().write_all(&serde_json::to_vec(questions).unwrap()).unwrap();
    let output = asked.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}
