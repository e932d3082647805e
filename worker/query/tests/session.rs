//! DuckDB itself: what it reads exactly, what it may not reach, and when it has to end.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use slotkeeper_query::{
    Answer, Bounds, DuckDb, Error, Session, Settings, Value, View,
    session::Values,
    view::{Column, Lister, Source},
};

const ALL: Bounds = Bounds { rows_skipped: 0, rows_max: 1_000_000, time_max: None };

fn settings(lake: &Path) -> Settings {
    let sessions = lake.join(".sessions");
    let replacing = lake.join(".replacing.lock");
    Settings { threads: 2, memory_max_bytes: 1 << 30, sessions, replacing, folders: vec![], files: vec![] }
}

fn session(lake: &Path, views: &[View]) -> Session {
    Session::start(&DuckDb::load().unwrap(), &settings(lake), views.to_vec()).unwrap()
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
        let answer = session.ask(sql, &Values::new(), Bounds { rows_max, ..ALL }).unwrap().remove(0);
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
fn a_session_reaches_nothing_but_what_it_is_given_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, allowed) = (folder.path().join("lake"), folder.path().join("allowed"));
    for folder in [&lake, &allowed] {
        std::fs::create_dir_all(folder.join("import")).unwrap();
        std::fs::write(folder.join("in.csv"), "a\n1\n").unwrap();
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let imported = format!("COPY (SELECT 1) TO '{}';", path("allowed/imported.csv"));
    std::fs::write(allowed.join("import/schema.sql"), &imported).unwrap();
    std::fs::write(allowed.join("import/load.sql"), "").unwrap();
    std::fs::write(folder.path().join("out.csv"), "a\n1\n").unwrap();
    let view = view("t", Source::Files(vec![lake.join("in.csv")]));
    let settings = Settings { folders: vec![allowed.clone()], ..settings(&lake) };
    let session = Session::start(&DuckDb::load().unwrap(), &settings, vec![view]).unwrap();
    assert!(asked(&session, "FROM t").is_err(), "it is no Parquet, but it is kept now");
    let before = files(folder.path());
    let read = asked(&session, &format!("SELECT * FROM read_csv('{}')", path("allowed/in.csv"))).unwrap();
    assert_eq!(read[0].rows, [[Value::Int(1)]]);
    let mut reaching = vec![
        format!("SELECT * FROM read_csv('{}')", path("out.csv")),
        format!("SELECT * FROM read_csv('{}')", path("lake/in.csv")),
        format!("SELECT * FROM read_text('{}')", path("allowed/../out.csv")),
        format!("IMPORT DATABASE '{}'", path("allowed/import")),
        format!("IMPORT/**/DATABASE '{}'", path("allowed/import")),
        format!("PRAGMA import_database('{}')", path("allowed/import")),
        "INSTALL httpfs".into(),
        "CALL pragma_version()".into(),
        "SET enable_external_access = true".into(),
        "SET threads = 64".into(),
        "SET temp_directory = '/tmp'".into(),
        "SELECT * FROM read_csv('https://example.com/x.csv')".into(),
    ];
    // Also where it may read, and over what it keeps of the lake.
    for to in [path("lake"), path("allowed"), path("lake/.sessions/0/t")] {
        let more = [
            format!("COPY (SELECT 1) TO '{to}/000000.parquet'"),
            format!("COPY (SELECT 1) TO '{to}/x' (FORMAT csv)"),
            format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{to}/x.csv'"),
            format!("PREPARE p AS COPY (SELECT 1) TO '{to}/x.csv'"),
            format!("ATTACH '{to}/x.db' AS x"),
            format!("EXPORT DATABASE '{to}/x'"),
            format!("EXPORT /*x*/ DATABASE '{to}/x'"),
            format!("SELECT 1; eXport -- x\nDatabase '{to}/x'"),
            format!("FROM enable_logging(storage = 'file', storage_path = '{to}')"),
            format!("FROM query('FROM enable_' || 'logging(storage = ''file'', storage_path = ''{to}'')')"),
            format!("FROM \"query\" /**/ ('FROM enable_' || 'logging(storage = ''file'', storage_path = ''{to}'')')"),
            format!("CALL enable_logging(storage = 'file', storage_path = '{to}')"),
            format!("SELECT * FROM enable_profiling(save_location = '{to}/x.txt')"),
            format!("SET log_query_path = '{to}/x'"),
            format!("SET profiling_output = '{to}/x'"),
        ];
        reaching.extend(more);
    }
    for sql in reaching {
        let error = asked(&session, &sql).expect_err(&sql).to_string();
        assert!(
            ["is not run here", "disabled", "locked", "Cannot change"].iter().any(|no| error.contains(no)),
            "{sql}: {error}"
        );
    }
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_file_is_written_of_one_question_and_of_nothing_that_is_made_to_look_like_one() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path(), &[]);
    let (out, other) = (folder.path().join("out.parquet"), folder.path().join("other.parquet"));
    let write = |sql: &str| session.write_parquet(sql, &Values::new(), &out, ALL).map_err(|error| error.to_string());
    for sql in [
        format!("SELECT 1) TO '{}'; COPY (SELECT 2", other.display()),
        format!("SELECT 1) TO '{}' (FORMAT parquet); --", other.display()),
        format!("COPY (SELECT 1) TO '{}'", other.display()),
        "SELECT 1; SELECT 2".into(),
        "CREATE TABLE t (x BIGINT)".into(),
    ] {
        assert!(write(&sql).is_err(), "{sql}");
        assert!(!out.exists() && !other.exists(), "{sql}");
    }
    // In its own folder, where DuckDB can write, are the lake's very files by other names.
    let kept = folder.path().join("kept");
    std::fs::write(&kept, "the lake's").unwrap();
    let keeping = self::session(folder.path(), &[view("t", Source::Files(vec![kept.clone()]))]);
    assert!(asked(&keeping, "FROM t").is_err(), "it is no Parquet, but it is kept now");
    let over = folder.path().join(".sessions/1/t/000000.parquet");
    assert!(over.exists());
    let crafted = format!("SELECT 1) TO '{}' (FORMAT csv, USE_TMP_FILE false); COPY (SELECT 2", over.display());
    assert!(keeping.write_parquet(&crafted, &Values::new(), &out, ALL).is_err());
    assert_eq!(std::fs::read(&kept).unwrap(), b"the lake's");

    write("SELECT 7 AS seven -- ; )\n;").unwrap();
    let read = self::session(folder.path(), &[view("t", Source::Files(vec![out.clone()]))]);
    let answer = read.ask("SELECT count(*) FROM t", &Values::new(), ALL).unwrap().remove(0);
    assert_eq!(answer.rows, [[Value::Int(1)]]);
    let nowhere = session.write_parquet("SELECT 1", &Values::new(), &folder.path().join("no/x"), ALL).unwrap_err();
    assert!(nowhere.to_string().contains("no/x: "), "{nowhere}");
}

/// Every folder and file below, with what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                found.push((path.clone(), vec![]));
                folders.push(path);
            } else {
                found.push((path.clone(), std::fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn view(name: &str, source: Source) -> View {
    let column = Column { name: "n".into(), sql_type: "BIGINT", about: String::new() };
    View { name: name.into(), about: String::new(), columns: vec![column], source }
}

#[test]
fn sessions_have_folders_of_their_own_which_go_with_them_and_those_of_the_killed_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = folder.path().join(".sessions");
    for dead in ["0/life.lock", "0/spill/x.tmp", "5/t/000000.parquet"] {
        std::fs::create_dir_all(sessions.join(dead).parent().unwrap()).unwrap();
        std::fs::write(sessions.join(dead), "").unwrap();
    }
    let little = Settings { memory_max_bytes: 96 << 20, ..settings(folder.path()) };
    let start = || Session::start(&DuckDb::load().unwrap(), &little, vec![]).unwrap();
    let names = || {
        let names =
            std::fs::read_dir(&sessions).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let first = start();
    assert_eq!(names(), ["0", "gate.lock"]);
    assert!(!sessions.join("0/spill/x.tmp").exists());
    // More than fits into memory, of two at once, one of which goes while the other is at it.
    let many = "CREATE TABLE x AS SELECT i, repeat(hash(i)::VARCHAR, 8) AS t FROM range(1000000) r(i); SELECT count(*) FROM x WHERE length(t) > 7";
    let spilled = std::thread::scope(|scope| {
        let other = scope.spawn(|| asked(&start(), many).unwrap());
        let mut spilled = false;
        while !other.is_finished() {
            spilled |= names().iter().any(|name| sessions.join(name).join("spill").exists());
            drop(start());
        }
        assert_eq!(other.join().unwrap().pop().unwrap().rows, [[Value::Int(1_000_000)]]);
        spilled
    });
    assert!(spilled, "else this proves nothing");
    assert_eq!(names(), ["0", "gate.lock"]);
    assert_eq!(asked(&first, "SELECT 1").unwrap()[0].rows, [[Value::Int(1)]]);
    drop(first);
    assert_eq!(names(), ["gate.lock"]);
}

#[test]
fn an_answer_is_of_one_state_of_each_file_while_files_are_replaced() {
    const HOURS: usize = 6;
    let folder = tempfile::tempdir().unwrap();
    let whole = session(folder.path(), &[]);
    // Two states: their rows, and how they lie in the file, differ.
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    whole.write_parquet("SELECT 1 AS n, i FROM range(200000) r(i)", &Values::new(), &old, ALL).unwrap();
    let sql = "SELECT 'x' || i AS t, 3 AS n, i * i AS j FROM range(330000) r(i)";
    whole.write_parquet(sql, &Values::new(), &new, ALL).unwrap();
    let part = |hour: usize| folder.path().join(format!("t/date=2026-11-22/hour={hour:02}/part.parquet"));
    let replace = |round: usize| {
        for hour in 0..HOURS {
            let path = part(hour);
            let written = path.with_extension("new");
            std::fs::copy(if round.is_multiple_of(2) { &old } else { &new }, &written).unwrap();
            std::fs::rename(written, path).unwrap();
        }
    };
    for hour in 0..HOURS {
        std::fs::create_dir_all(part(hour).parent().unwrap()).unwrap();
    }
    replace(0);
    let begin = Instant::now();
    let is_over = || begin.elapsed() > Duration::from_secs(3);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut round = 1;
            while !is_over() {
                replace(round);
                round += 1;
            }
            round
        });
        let sql = "SELECT hour, count(*), sum(n) FROM t GROUP BY hour ORDER BY hour";
        while !is_over() {
            let session = session(folder.path(), &[view("t", Source::Hours(folder.path().join("t")))]);
            let answer = asked(&session, sql).unwrap().remove(0);
            assert_eq!(answer.rows.len(), HOURS);
            for row in &answer.rows {
                let state = (row[1].int().unwrap(), row[2].int().unwrap());
                assert!([(200_000, 200_000), (330_000, 990_000)].contains(&state), "{state:?}");
            }
            assert_eq!(asked(&session, sql).unwrap().remove(0), answer, "and so it stays");
        }
        assert!(writer.join().unwrap() > 10);
    });
}

#[test]
fn tables_that_are_named_together_are_of_one_state_of_what_is_replaced_together() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["t", "u"].map(|name| folder.path().join(format!("{name}.parquet")));
    let states = [0, 1].map(|state| folder.path().join(format!("{state}.state")));
    let writer = session(folder.path(), &[]);
    for (state, file) in states.iter().enumerate() {
        writer.write_parquet(&format!("SELECT {state} AS n"), &Values::new(), file, ALL).unwrap();
    }
    let lock = std::fs::File::create(settings(folder.path()).replacing).unwrap();
    let replace = |state: usize| {
        lock.lock().unwrap();
        for file in &files {
            std::fs::copy(&states[state], file.with_extension("new")).unwrap();
            std::fs::rename(file.with_extension("new"), file).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        lock.unlock().unwrap();
    };
    replace(0);
    let begin = Instant::now();
    let is_over = || begin.elapsed() > Duration::from_secs(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !is_over() {
                round += 1;
                replace(round % 2);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        while !is_over() {
            let views =
                ["t", "u"].map(|name| view(name, Source::Files(vec![folder.path().join(format!("{name}.parquet"))])));
            let answer = asked(&session(folder.path(), &views), "SELECT t.n, u.n FROM t, u").unwrap().remove(0);
            assert_eq!(answer.rows[0][0], answer.rows[0][1]);
        }
    });
}

#[test]
fn files_that_are_merged_while_they_are_listed_are_listed_again() {
    let folder = tempfile::tempdir().unwrap();
    let merged = folder.path().join("merged.parquet");
    let writer = session(folder.path(), &[]);
    writer.write_parquet("SELECT 7 AS n", &Values::new(), &merged, ALL).unwrap();
    let gone = folder.path().join("gone.parquet");
    let listed = |listings_max: u32| {
        let (listings, merged, gone) = (Cell::new(0), merged.clone(), gone.clone());
        Source::Listed(Lister::new(move || {
            listings.set(listings.get() + 1);
            let is_old = listings.get() <= listings_max;
            Ok(if is_old { vec![merged.clone(), gone.clone()] } else { vec![merged.clone()] })
        }))
    };
    let answer = asked(&session(folder.path(), &[view("t", listed(3))]), "FROM t").unwrap().remove(0);
    assert_eq!(answer.rows, [[Value::Int(7)]]);
    let moving = session(folder.path(), &[view("t", listed(25))]);
    let error = asked(&moving, "FROM t").unwrap_err().to_string();
    assert_eq!(error, "the files of t are merged faster than they can be opened; ask again");
    assert_eq!(asked(&moving, "FROM t").unwrap()[0].rows, [[Value::Int(7)]], "and it can be");
}

#[test]
fn a_table_that_is_not_named_costs_nothing_and_every_one_can_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let unlisted = Source::Listed(Lister::new(|| Err("lake.db: locked".into())));
    let views = [view("t", Source::Files(vec![])), view("unlisted", unlisted)];
    let found = [view("t", Source::Files(vec![])), view("u", Source::Query("SELECT count(*) AS n FROM T".into()))];
    let broken = session(folder.path(), &views);
    assert_eq!(asked(&broken, "SELECT count(*) FROM \"T\"").unwrap()[0].rows, [[Value::Int(0)]]);
    assert_eq!(asked(&broken, "FROM unlisted").unwrap_err().to_string(), "lake.db: locked");
    for sql in ["SHOW TABLES", "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1"] {
        assert_eq!(asked(&session(folder.path(), &found), sql).unwrap()[0].rows, [[text("t")], [text("u")]], "{sql}");
    }
    for sql in ["FROM u", "FROM query_table('u')"] {
        assert_eq!(asked(&session(folder.path(), &found), sql).unwrap()[0].rows, [[Value::Int(0)]], "{sql}");
    }
}

#[test]
fn a_page_of_an_answer_is_its_rows_behind_those_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path(), &[]);
    for (rows_skipped, rows_max, first, rows, is_cut) in [
        (0, 3, 0, 3, true),
        (2_047, 3, 2_047, 3, true),
        (5_000, 4_999, 5_000, 4_999, true),
        (5_000, 5_000, 5_000, 5_000, false),
        (9_999, 10, 9_999, 1, false),
        (10_000, 10, 0, 0, false),
        (20_000, 10, 0, 0, false),
    ] {
        let bounds = Bounds { rows_skipped, rows_max, ..ALL };
        let answer = session.ask("FROM range(10000) ORDER BY 1", &Values::new(), bounds).unwrap().remove(0);
        assert_eq!((answer.rows.len(), answer.is_cut), (rows, is_cut), "{bounds:?}");
        assert!(answer.rows.first().is_none_or(|row| row[0] == Value::Int(first)), "{bounds:?}");
    }
}

#[test]
fn a_statement_that_takes_too_long_is_ended_and_the_session_lives_on() {
    let folder = tempfile::tempdir().unwrap();
    let session = session(folder.path(), &[]);
    let bounds = Bounds { time_max: Some(Duration::from_millis(200)), ..ALL };
    let began = Instant::now();
    let sql = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * 31 % 7 = b.range % 5";
    let error = session.ask(sql, &Values::new(), bounds).unwrap_err();
    assert!(matches!(error, Error::OutOfTime(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(session.ask("SELECT 1", &Values::new(), bounds).unwrap()[0].rows, [[Value::Int(1)]]);
}

#[test]
fn the_time_runs_for_everything_that_an_answer_needs() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Source::Listed(Lister::new(|| {
        std::thread::sleep(Duration::from_millis(300));
        Ok(vec!["/nowhere".into()])
    }));
    let session = session(folder.path(), &[view("t", slow)]);
    let bounds = Bounds { time_max: Some(Duration::from_millis(200)), ..ALL };
    let late = session.ask("SELECT count(*) FROM t", &Values::new(), bounds).unwrap_err();
    assert!(matches!(late, Error::OutOfTime(_)), "{late}");
    let began = Instant::now().checked_sub(Duration::from_millis(300)).unwrap();
    let late = session.ask_since(began, "SELECT 1", &Values::new(), bounds).unwrap_err();
    assert!(matches!(late, Error::OutOfTime(_)), "{late}");
    // Of many short statements none is out of time, all are.
    let many = "SELECT count(*) FROM range(3000000) WHERE range % 7 = 1;".repeat(1_000);
    let late = session.ask(&many, &Values::new(), bounds).unwrap_err();
    assert!(matches!(late, Error::OutOfTime(_)), "{late}");
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
