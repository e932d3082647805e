//! DuckDB itself: what it reads exactly, what it may not reach, and when it has to end.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use slotkeeper_query::{
    Answer, Bounds, DuckDb, Error, Session, Settings, Value, View,
    session::Values,
    view::{Column, Source},
};

const ALL: Bounds = Bounds { rows_max: 1_000_000, time_max: None };

fn session(lake: &Path, views: &[View]) -> Session {
    let settings =
        Settings { threads: 2, memory_max_bytes: 1 << 30, spill: lake.join("spill"), folders: vec![], files: vec![] };
    Session::start(&DuckDb::load().unwrap(), &settings, lake, views).unwrap()
}

fn asked(session: &Session, sql: &str) -> Result<Vec<Answer>, Error> {
    session.ask(sql, &Values::new(), ALL)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn every_value_is_read_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let answers = asked(
        &session(folder.path(), &[]),
        "SELECT true AS b, (-7)::TINYINT AS i, 18446744073709551615::UBIGINT AS u, (1::HUGEINT << 100) * -3 AS h,
             sum(x) AS s, 12.345::DECIMAL(30, 3) AS d, 0.5::DOUBLE AS f, 'short' AS t, 'much longer than twelve' AS l,
             DATE '2026-11-22' AS day, TIMESTAMPTZ '2026-11-22 01:00:00+02' AS at, NULL AS nothing, NULL::BIGINT AS n
         FROM (VALUES (9223372036854775807), (9223372036854775807)) v(x)",
    )
    .unwrap();
    let expected = vec![
        Value::Bool(true),
        Value::Int(-7),
        Value::Int(u64::MAX.into()),
        Value::Int((1 << 100) * -3),
        Value::Int(i128::from(i64::MAX) * 2),
        Value::Decimal { unscaled: 12_345, scale: 3 },
        Value::Double(0.5),
        text("short"),
        text("much longer than twelve"),
        Value::Date(20_779),
        Value::Timestamp { micros: 1_795_302_000_000_000, is_utc: true },
        Value::Null,
        Value::Null,
    ];
    assert_eq!(answers[0].rows, [expected]);
}

#[test]
fn an_answer_of_many_chunks_is_whole_and_one_past_the_bound_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path(), &[]);
    let sql =
        "SELECT i, CASE WHEN i % 3 = 0 THEN NULL ELSE 'row number ' || i END AS t FROM range(10000) r(i) ORDER BY i";
    let answer = asked(&session, sql).unwrap().remove(0);
    assert_eq!((answer.rows.len(), answer.is_cut), (10_000, false));
    for (index, row) in answer.rows.iter().enumerate() {
        let t = if index % 3 == 0 { Value::Null } else { Value::Text(format!("row number {index}")) };
        assert_eq!(*row, [Value::Int(i128::try_from(index).unwrap()), t]);
    }
    for (rows_max, is_cut) in [(9_999, true), (10_000, false), (3_000, true), (0, true)] {
        let answer = session.ask(sql, &Values::new(), Bounds { rows_max, time_max: None }).unwrap().remove(0);
        assert_eq!((answer.rows.len(), answer.is_cut), (rows_max, is_cut));
    }
}

#[test]
fn several_statements_are_run_in_order_with_their_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path(), &[]);
    let sql = "CREATE TABLE t (x BIGINT); INSERT INTO t SELECT * FROM range(CAST($n AS BIGINT));\n\
               SELECT count(*) FROM t; SELECT $who, $n, $none; -- the end";
    let value = |text: &str| Some(String::from(text));
    let values: Values = [("n".into(), value("5")), ("who".into(), value("it's; me")), ("none".into(), None)].into();
    let answers = session.ask(sql, &values, ALL).unwrap();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].rows, [[Value::Int(5)]]);
    assert_eq!(answers[1].rows, [[text("it's; me"), text("5"), Value::Null]]);
    let missing = session.ask("SELECT $who", &Values::new(), ALL).unwrap_err();
    assert_eq!(missing.to_string(), "the SQL asks for a parameter $who, of which no value was given");
    let superfluous = session.ask("SELECT 1", &[("who".into(), None)].into(), ALL).unwrap_err();
    assert_eq!(superfluous.to_string(), "the SQL has no parameter $who");
}

#[test]
fn errors_say_what_duckdb_says() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path(), &[]);
    for (sql, expected) in [
        ("SELEC 1", "syntax error at or near \"SELEC\""),
        ("SELECT nobody FROM range(3)", "\"nobody\" not found"),
        ("SELECT CAST('x' || range AS BIGINT) FROM range(3)", "Could not convert string 'x0' to INT64"),
        ("  -- nothing\n", "there is no statement in the SQL"),
        ("SELECT [1, 2] AS list", "column list is of a type that is not read here"),
        ("SELECT '\0'", "the SQL holds a zero byte"),
    ] {
        let error = asked(&session, sql).unwrap_err().to_string();
        assert!(error.contains(expected), "{sql}: {error}");
    }
    assert_eq!(asked(&session, "SELECT 1").unwrap()[0].rows, [[Value::Int(1)]], "and go on");
}

#[test]
fn a_session_reaches_nothing_but_its_lake_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    std::fs::create_dir(&lake).unwrap();
    std::fs::write(lake.join("in.csv"), "a\n1\n").unwrap();
    std::fs::write(folder.path().join("out.csv"), "a\n1\n").unwrap();
    let session = session(&lake, &[]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let asked = |sql: String| asked(&session, &sql).map_err(|error| error.to_string());
    assert_eq!(asked(format!("SELECT * FROM read_csv('{}')", path("lake/in.csv"))).unwrap()[0].rows, [[Value::Int(1)]]);
    for (sql, expected) in [
        (format!("SELECT * FROM read_csv('{}')", path("out.csv")), "disabled"),
        (format!("SELECT * FROM read_text('{}')", path("lake/../out.csv")), "disabled"),
        (format!("COPY (SELECT 1) TO '{}'", path("lake/x.csv")), "COPY is not run here"),
        (format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{}'", path("lake/x.csv")), "COPY in EXPLAIN is not run here"),
        (format!("PREPARE p AS COPY (SELECT 1) TO '{}'", path("lake/x.csv")), "is not run here"),
        (format!("ATTACH '{}' AS x", path("lake/x.db")), "ATTACH is not run here"),
        (format!("EXPORT DATABASE '{}'", path("lake/x")), "EXPORT DATABASE is not run here"),
        ("INSTALL httpfs".into(), "is not run here"),
        ("SET enable_external_access = true".into(), "Cannot change"),
        ("SET threads = 64".into(), "locked"),
        ("SELECT * FROM read_csv('https://example.com/x.csv')".into(), "disabled"),
    ] {
        let error = asked(sql.clone()).expect_err(&sql);
        assert!(error.contains(expected), "{sql}: {error}");
    }
    let names: Vec<_> = std::fs::read_dir(&lake).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["in.csv"]);
}

#[test]
fn a_statement_that_takes_too_long_is_ended_and_the_session_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path(), &[]);
    let bounds = Bounds { rows_max: 10, time_max: Some(Duration::from_millis(200)) };
    let began = Instant::now();
    let sql = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * 31 % 7 = b.range % 5";
    let error = session.ask(sql, &Values::new(), bounds).unwrap_err();
    assert!(matches!(error, Error::OutOfTime(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(session.ask("SELECT 1", &Values::new(), bounds).unwrap()[0].rows, [[Value::Int(1)]]);
}

#[test]
fn a_library_that_is_not_there_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("libduckdb.so");
    std::fs::write(folder.path().join("text.so"), "no library").unwrap();
    for path in [nowhere, folder.path().join("text.so")] {
        let Err(error) = DuckDb::load_from(&path) else { panic!("{} was loaded", path.display()) };
        let error = error.to_string();
        assert!(error.contains(&path.display().to_string()) && error.contains("set SLOTKEEPER_DUCKDB"), "{error}");
    }
}

#[test]
fn a_table_without_a_file_is_empty_and_one_of_older_files_has_nulls_where_they_lack_a_column() {
    let folder = tempfile::tempdir().unwrap();
    let column = |name: &str, sql_type| Column { name: name.into(), sql_type, about: String::new() };
    let view = |source| View {
        name: "t".into(),
        about: String::new(),
        columns: vec![column("n", "BIGINT"), column("added", "VARCHAR")],
        source,
    };
    let hours = || view(Source::Hours(folder.path().join("t")));
    let empty = session(folder.path(), &[hours()]);
    let answer = asked(&empty, "SELECT * FROM t").unwrap().remove(0);
    assert_eq!((answer.columns.join(" ").as_str(), answer.rows.len()), ("n added date hour", 0));
    let described = asked(&empty, "SELECT column_type FROM (DESCRIBE t)").unwrap().remove(0);
    assert_eq!(described.rows, [[text("BIGINT")], [text("VARCHAR")], [text("DATE")], [text("BIGINT")]]);

    let write = |hour: &str, sql: &str| {
        let part = folder.path().join(format!("t/date=2026-11-22/hour={hour}/part.parquet"));
        std::fs::create_dir_all(part.parent().unwrap()).unwrap();
        empty.write_parquet(sql, &Values::new(), &part, ALL).unwrap();
    };
    write("07", "SELECT 1::BIGINT AS n");
    let old = session(folder.path(), &[hours()]);
    let date = Value::Date(20_779);
    let row = |n, added, hour| vec![Value::Int(n), added, date.clone(), Value::Int(hour)];
    assert_eq!(asked(&old, "FROM t").unwrap()[0].rows, [row(1, Value::Null, 7)]);
    write("08", "SELECT 2::BIGINT AS n, 'yes' AS added;");
    let new = session(folder.path(), &[hours()]);
    let rows = [row(1, Value::Null, 7), row(2, text("yes"), 8)];
    assert_eq!(asked(&new, "FROM t ORDER BY n").unwrap()[0].rows, rows);

    let plan = asked(&new, "EXPLAIN ANALYZE SELECT n FROM t WHERE date = '2026-11-22' AND hour = 8").unwrap().remove(0);
    assert!(plan.rows[0][1].text().unwrap().contains("Total Files Read: 1"), "{plan:?}");
    let values: Values = [("day".into(), Some("2026-11-23".into()))].into();
    let sql = "EXPLAIN ANALYZE SELECT n FROM t WHERE date >= coalesce(CAST($day AS DATE), DATE '0001-01-01')";
    let plan = new.ask(sql, &values, ALL).unwrap().remove(0);
    assert!(!plan.rows[0][1].text().unwrap().contains("Total Files Read: 2"), "{plan:?}");
    let listed = view(Source::Files(vec![folder.path().join("t/date=2026-11-22/hour=08/part.parquet")]));
    assert_eq!(asked(&session(folder.path(), &[listed]), "FROM t").unwrap()[0].rows, [[Value::Int(2), text("yes")]]);
}
