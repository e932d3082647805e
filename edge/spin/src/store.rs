//! The store in Spin's SQLite.
//!
//! Each open is a connection of its own, so one is kept between requests and dropped after any error. Errors arrive
//! when the rows are collected, not when the statement is sent.

use std::{cell::Cell, cell::RefCell, rc::Rc, time::Duration};

use slotkeeper_core::{
    id::{BreakId, ViewerKey},
    time::UnixMillis,
};
use slotkeeper_edge::{
    platform::store_call,
    sql,
    store::{Commit, Committed, OutboxEntry, Store, StoreError, View},
};
use spin_sdk::{
    sqlite::{Connection, RowResult, Value},
    time,
};

thread_local! {
    static CONNECTION: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
}

/// One request's use of the database.
pub(crate) struct SpinSqlite {
    deadline_ms: u64,
    trips: Cell<u32>,
}

impl SpinSqlite {
    pub(crate) fn new(deadline_ms: u64) -> Self {
        Self { deadline_ms, trips: Cell::new(0) }
    }

    /// How many statements this request has sent.
    pub(crate) fn trips(&self) -> u32 {
        self.trips.get()
    }

    pub(crate) async fn plan_in_force(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.query(sql::PLAN_IN_FORCE, vec![]).await?.first().map(|row| number(row, 0)))
    }

    /// Puts a plan in force unless a newer one is, and answers which is.
    pub(crate) async fn put_plan_in_force(&self, version: u64) -> Result<u64, StoreError> {
        self.query(sql::PUT_PLAN_IN_FORCE, vec![integer(version)]).await?;
        Ok(self.plan_in_force().await?.unwrap_or_default())
    }

    /// One statement within the deadline. After an error the connection is not used again.
    async fn query(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<RowResult>, StoreError> {
        let timer = time::sleep(Duration::from_millis(self.deadline_ms));
        let rows = store_call(timer, self.deadline_ms, async {
            let connection = self.connection().await?;
            self.execute(&connection, statement, parameters).await
        })
        .await;
        if rows.as_ref().is_err_and(|error| !is_lost(error)) {
            CONNECTION.set(None);
        }
        rows
    }

    async fn execute(
        &self,
        connection: &Connection,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<RowResult>, StoreError> {
        self.trips.set(self.trips.get() + 1);
        let result = connection.execute(statement, parameters).await.map_err(failed)?;
        result.collect().await.map_err(failed)
    }

    async fn connection(&self) -> Result<Rc<Connection>, StoreError> {
        if let Some(connection) = CONNECTION.with_borrow(Clone::clone) {
            return Ok(connection);
        }
        let connection = Rc::new(Connection::open_default().await.map_err(failed)?);
        let busy_ms = self.deadline_ms.div_ceil(2); // a held lock gives up before our own deadline does
        self.execute(&connection, &format!("PRAGMA busy_timeout = {busy_ms}"), vec![]).await?;
        // SQLite's default, said aloud: a power cut must not forget a claim.
        self.execute(&connection, "PRAGMA synchronous = FULL", vec![]).await?;
        let version = self.execute(&connection, "PRAGMA user_version", vec![]).await?;
        if version.first().map(|row| number(row, 0)) != Some(sql::SCHEMA_VERSION.into()) {
            self.create_schema(&connection).await?;
        }
        CONNECTION.set(Some(connection.clone()));
        Ok(connection)
    }

    async fn create_schema(&self, connection: &Connection) -> Result<(), StoreError> {
        // Persists in the file, unlike the settings of a connection.
        self.execute(connection, "PRAGMA journal_mode = WAL", vec![]).await?;
        for statement in sql::SCHEMA {
            self.execute(connection, statement, vec![]).await?;
        }
        self.execute(connection, &format!("PRAGMA user_version = {}", sql::SCHEMA_VERSION), vec![]).await?;
        Ok(())
    }
}

impl Store for SpinSqlite {
    async fn view(&self, viewer: ViewerKey, break_id: BreakId) -> Result<View, StoreError> {
        let rows = self.query(sql::VIEW, vec![blob(&viewer.0), blob(&break_id.0)]).await?;
        let row = rows.first().ok_or_else(|| StoreError::Failed("the view gave no row".into()))?;
        Ok(View {
            state_version: number(row, 0),
            state: bytes(row, 1).unwrap_or_default(),
            answered: bytes(row, 2),
            plan_version: row.get::<u64>(3),
        })
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        let state = commit.new_state.as_ref();
        let parameters = vec![
            blob(&commit.break_id.0),
            blob(&commit.viewer.0),
            integer(state.map_or(0, |state| state.from_version)),
            state.map_or(Value::Null, |state| blob(&state.state)),
            integer(state.map_or(0, |state| state.keep_until.0)),
            blob(&commit.answer),
            integer(commit.remember_until.0),
            Value::Text(commit.facts.clone()),
        ];
        match self.query(sql::COMMIT, parameters).await {
            Ok(_) => Ok(Committed::Yes),
            Err(error) if is_lost(&error) => Ok(Committed::Lost),
            Err(error) => Err(error),
        }
    }

    async fn outbox(&self) -> Result<Vec<OutboxEntry>, StoreError> {
        let rows = self.query(&sql::outbox(), vec![]).await?;
        let entry = |row: &RowResult| OutboxEntry {
            sequence: number(row, 0),
            facts: row.get::<&str>(1).unwrap_or_default().to_owned(),
        };
        Ok(rows.iter().map(entry).collect())
    }

    async fn acknowledge(&self, sequence: u64, now: UnixMillis) -> Result<u64, StoreError> {
        self.query(sql::ACKNOWLEDGE, vec![integer(sequence)]).await?;
        for statement in sql::SWEEP {
            self.query(statement, vec![integer(now.minus_ms(sql::GRACE_MS).0)]).await?;
        }
        let left = self.query(sql::OUTBOX_LEFT, vec![]).await?;
        Ok(left.first().map_or(0, |row| number(row, 0)))
    }
}

fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

fn integer(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn number(row: &RowResult, column: usize) -> u64 {
    row.get::<u64>(column).unwrap_or_default()
}

fn bytes(row: &RowResult, column: usize) -> Option<Vec<u8>> {
    row.get::<&[u8]>(column).map(<[u8]>::to_vec)
}

fn is_lost(error: &StoreError) -> bool {
    matches!(error, StoreError::Failed(text) if text.contains(sql::LOST))
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}
