//! SQLite as a guest of Spin meets it: connections of its own to one real file, rows that arrive in a stream, and
//! errors that arrive after the rows.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::types::Value;
use rusqlite::{Batch, params_from_iter};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};

use super::world::Verdict;

/// Rows that may wait for the guest. It must take the others before the connection does anything else, as in Spin.
const ROWS_WAITING_MAX: usize = 4;

/// A guest's connection. It opens the file at its first use, as Spin's does, so an unreadable file is an error of the
/// statement and not of the opening. Clones are the same connection.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Connection {
    file: PathBuf,
    open: Arc<Mutex<Option<rusqlite::Connection>>>,
}

/// The answer to a statement, which may still be at work.
pub(super) struct Answer {
    /// The names of its columns; none if the statement has an error.
    pub(super) columns: Vec<String>,
    /// Its rows.
    pub(super) rows: mpsc::Receiver<Vec<Value>>,
    /// Whether it succeeded; arrives after the rows.
    pub(super) end: oneshot::Receiver<Result<(), String>>,
}

/// A statement with its parameters, and where its answer goes.
struct Statement {
    sql: String,
    parameters: Vec<Value>,
    verdict: Verdict,
    columns: oneshot::Sender<Vec<String>>,
    rows: mpsc::Sender<Vec<Value>>,
}

impl Connection {
    pub(super) fn new(file: PathBuf) -> Self {
        Connection { file, open: Arc::default() }
    }

    /// Begins to execute the first statement in `sql`, after all earlier ones on this connection. The answer comes
    /// once its columns are known; the work then goes on by itself, whether or not anyone waits for it.
    pub(super) async fn execute(&self, sql: String, parameters: Vec<Value>, verdict: Verdict) -> Answer {
        let (columns, known_columns) = oneshot::channel();
        let (rows, arriving_rows) = mpsc::channel(ROWS_WAITING_MAX);
        let (end, known_end) = oneshot::channel();
        let statement = Statement { sql, parameters, verdict, columns, rows };
        let connection = self.lock().await;
        tokio::spawn(async move {
            let outcome = statement.run(connection).await;
            // The guest may have dropped its end.
            let _ = end.send(outcome);
        });
        Answer {
            // A statement with an error drops its sender: it has no columns.
            columns: known_columns.await.unwrap_or_default(),
            rows: arriving_rows,
            end: known_end,
        }
    }

    /// How many rows the last `INSERT`, `UPDATE` or `DELETE` changed.
    pub(super) async fn changes(&self) -> Result<u64, String> {
        self.lock().await.work(|connection| Ok(connection.changes())).await.map(|done| done.1)
    }

    /// The rowid of the last `INSERT`.
    pub(super) async fn last_insert_rowid(&self) -> Result<i64, String> {
        self.lock().await.work(|connection| Ok(connection.last_insert_rowid())).await.map(|done| done.1)
    }

    async fn lock(&self) -> Locked {
        Locked { file: self.file.clone(), connection: Arc::clone(&self.open).lock_owned().await }
    }
}

impl Answer {
    /// The answer to a statement that was not executed.
    pub(super) fn refused(error: &str) -> Self {
        let (end, known_end) = oneshot::channel();
        // Cannot fail: the receiver is at hand.
        let _ = end.send(Err(error.to_owned()));
        Answer { columns: Vec::new(), rows: mpsc::channel(1).1, end: known_end }
    }

    /// All rows, once the statement has ended.
    pub(super) async fn collect(mut self) -> Result<(Vec<String>, Vec<Vec<Value>>), String> {
        let mut rows = Vec::new();
        while let Some(row) = self.rows.recv().await {
            rows.push(row);
        }
        end_of(self.end).await?;
        Ok((self.columns, rows))
    }
}

/// How a statement ended.
pub(super) async fn end_of(end: oneshot::Receiver<Result<(), String>>) -> Result<(), String> {
    end.await.unwrap_or_else(|_| Err("the statement was abandoned".to_owned()))
}

impl Statement {
    async fn run(self, mut connection: Locked) -> Result<(), String> {
        let Statement { sql, parameters, verdict, columns, rows } = self;
        let mut columns = Some(columns);
        if let Some(delay) = verdict.delay {
            // The guest gets its columns before it waits, as it does when SQLite waits for a lock.
            let (sql, columns) = (sql.clone(), columns.take());
            let described = connection.work(move |open| describe(open, &sql, columns)).await;
            tokio::time::sleep(delay).await;
            connection = described?.0;
        }
        let (connection, answer) = connection
            .work(move |open| {
                describe(open, &sql, columns)?;
                execute(open, &sql, parameters)
            })
            .await?;
        if let Some(ambiguous) = verdict.ambiguous {
            return Err(ambiguous.to_owned());
        }
        for row in answer {
            if rows.send(row).await.is_err() {
                // The guest wants no more of them.
                break;
            }
        }
        // Only now may the next statement begin: a guest that does not take its rows blocks its own connection.
        drop(connection);
        Ok(())
    }
}

/// Sends the names of the columns of the statement, if someone is still to be told.
fn describe(
    connection: &rusqlite::Connection,
    sql: &str,
    columns: Option<oneshot::Sender<Vec<String>>>,
) -> rusqlite::Result<()> {
    let Some(columns) = columns else {
        return Ok(());
    };
    with_first(connection, sql, |statement| {
        let names = statement.column_names().map(str::to_owned).collect();
        // The guest may have given up waiting.
        let _ = columns.send(names);
        Ok(())
    })
}

/// Executes the first statement in `sql` to its end.
fn execute(connection: &rusqlite::Connection, sql: &str, parameters: Vec<Value>) -> rusqlite::Result<Vec<Vec<Value>>> {
    with_first(connection, sql, |statement| {
        let width = statement.column_count();
        statement
            .query(params_from_iter(parameters))?
            .mapped(|row| (0..width).map(|column| row.get(column)).collect())
            .collect()
    })
}

/// Works with the first statement in `sql` and never looks at the others. That is what Spin does; this version of
/// `rusqlite` by itself refuses them, and before it does so it wants them to be valid.
fn with_first<R>(
    connection: &rusqlite::Connection,
    sql: &str,
    work: impl FnOnce(&mut rusqlite::Statement<'_>) -> rusqlite::Result<R>,
) -> rusqlite::Result<R> {
    if let Ok(mut only) = connection.prepare_cached(sql) {
        return work(&mut only);
    }
    match Batch::new(connection, sql).next()? {
        Some(mut first) => work(&mut first),
        None => Err(rusqlite::Error::InvalidQuery),
    }
}

/// A connection that does one thing at a time.
struct Locked {
    file: PathBuf,
    connection: OwnedMutexGuard<Option<rusqlite::Connection>>,
}

impl Locked {
    /// Works with the connection on a thread that may block, and opens the file before if it is not open yet.
    async fn work<R: Send + 'static>(
        mut self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<(Self, R), String> {
        let task = tokio::task::spawn_blocking(move || {
            let connection = match &mut *self.connection {
                Some(open) => open,
                closed => closed.insert(rusqlite::Connection::open(&self.file)?),
            };
            let outcome = work(connection)?;
            Ok((self, outcome))
        });
        match task.await {
            Ok(done) => done.map_err(|error: rusqlite::Error| error.to_string()),
            Err(panic) => Err(panic.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn run(connection: &Connection, sql: &str) -> Result<Vec<Vec<Value>>, String> {
        let answer = connection.execute(sql.to_owned(), vec![], Verdict::default()).await;
        Ok(answer.collect().await?.1)
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        (folder, file)
    }

    #[tokio::test]
    async fn rows_come_with_their_columns_and_parameters() {
        let (_folder, file) = folder();
        let connection = Connection::new(file);
        let parameters = vec![Value::Integer(7), Value::Text("x".into()), Value::Null];
        let answer =
            connection.execute("SELECT ?1 AS a, ?2 AS b, ?3 AS c".into(), parameters.clone(), Verdict::default()).await;
        let (columns, rows) = answer.collect().await.unwrap();
        assert_eq!(columns, ["a", "b", "c"]);
        assert_eq!(rows, [parameters]);
    }

    #[tokio::test]
    async fn only_the_first_statement_is_executed() {
        let (_folder, file) = folder();
        let connection = Connection::new(file);
        run(&connection, "CREATE TABLE a (x); INSERT INTO a VALUES (1); nonsense").await.unwrap();
        assert!(run(&connection, "SELECT x FROM a;").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn errors_arrive_at_the_end_and_not_at_the_beginning() {
        let (_folder, file) = folder();
        let connection = Connection::new(file);
        let answer = connection.execute("SELEKT".into(), vec![], Verdict::default()).await;
        assert!(answer.columns.is_empty());
        let error = answer.collect().await.unwrap_err();
        assert!(error.contains("syntax error"), "{error}");
    }

    #[tokio::test]
    async fn connections_are_their_own_and_pragmas_work() {
        let (_folder, file) = folder();
        let (one, two) = (Connection::new(file.clone()), Connection::new(file));
        assert_eq!(run(&one, "PRAGMA journal_mode = WAL").await.unwrap(), [[Value::Text("wal".into())]]);
        run(&one, "CREATE TABLE a (x)").await.unwrap();
        run(&one, "BEGIN IMMEDIATE").await.unwrap();
        run(&one, "INSERT INTO a VALUES (1)").await.unwrap();
        assert_eq!(one.changes().await, Ok(1));
        assert_eq!(one.last_insert_rowid().await, Ok(1));
        assert_eq!(run(&two, "SELECT count(*) FROM a").await.unwrap(), [[Value::Integer(0)]]);
        run(&two, "PRAGMA busy_timeout = 1").await.unwrap();
        let busy = run(&two, "BEGIN IMMEDIATE").await.unwrap_err();
        assert!(busy.contains("locked"), "{busy}");
        // A connection that is dropped in a transaction takes it back.
        drop(one);
        run(&two, "BEGIN IMMEDIATE").await.unwrap();
        assert_eq!(run(&two, "SELECT count(*) FROM a").await.unwrap(), [[Value::Integer(0)]]);
    }

    #[tokio::test(start_paused = true)]
    async fn rows_not_taken_block_the_connection_until_they_are_dropped() {
        let (_folder, file) = folder();
        let connection = Connection::new(file);
        let many = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 9) SELECT x FROM n";
        let answer = connection.execute(many.into(), vec![], Verdict::default()).await;
        let next = tokio::time::timeout(Duration::from_mins(1), run(&connection, "SELECT 1")).await;
        assert!(next.is_err(), "the connection was free");
        drop(answer);
        assert_eq!(run(&connection, "SELECT 1").await.unwrap(), [[Value::Integer(1)]]);
        assert_eq!(run(&connection, many).await.unwrap().len(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_statement_gives_its_columns_and_lands_though_nobody_waits() {
        let (_folder, file) = folder();
        let connection = Connection::new(file);
        run(&connection, "CREATE TABLE a (x)").await.unwrap();
        let hang = Verdict { delay: Some(Duration::from_secs(20)), ..Verdict::default() };
        let start = tokio::time::Instant::now();
        let answer = connection.execute("INSERT INTO a VALUES (1) RETURNING x".into(), vec![], hang).await;
        assert_eq!(answer.columns, ["x"]);
        drop(answer);
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(run(&connection, "SELECT x FROM a").await.unwrap(), [[Value::Integer(1)]]);
        assert!(start.elapsed() >= Duration::from_secs(20));
    }

    #[tokio::test]
    async fn an_ambiguous_statement_is_done_and_reported_as_failed() {
        let (_folder, file) = folder();
        let connection = Connection::new(file);
        run(&connection, "CREATE TABLE a (x)").await.unwrap();
        let ambiguous = Verdict { ambiguous: Some("disk I/O error"), ..Verdict::default() };
        let answer = connection.execute("INSERT INTO a VALUES (1)".into(), vec![], ambiguous).await;
        assert_eq!(answer.collect().await, Err("disk I/O error".to_owned()));
        assert_eq!(run(&connection, "SELECT x FROM a").await.unwrap(), [[Value::Integer(1)]]);
    }
}
