//! The store in Spin's SQLite.
//!
//! Each open is a connection of its own, so one is kept between requests and dropped after any error. Errors arrive
//! when the rows are collected, not when the statement is sent.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use slotkeeper_edge::{
    platform::store_call,
    sql,
    sqlite::{Row, Sqlite, Value, first_number, is_lost},
    store::StoreError,
};
use spin_sdk::{
    sqlite::{Connection, RowResult, Value as SpinValue},
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
        Ok(first_number(&self.query(sql::PLAN_IN_FORCE, vec![]).await?))
    }

    /// Puts a plan in force unless a newer one is, and answers which is.
    pub(crate) async fn put_plan_in_force(&self, version: u64) -> Result<u64, StoreError> {
        self.query(sql::PUT_PLAN_IN_FORCE, vec![Value::Integer(version)]).await?;
        Ok(self.plan_in_force().await?.unwrap_or_default())
    }

    async fn execute(
        &self,
        connection: &Connection,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, StoreError> {
        self.trips.set(self.trips.get() + 1);
        let parameters: Vec<SpinValue> = parameters.into_iter().map(to_spin).collect();
        let result = connection.execute(statement, parameters).await.map_err(failed)?;
        let rows = result.collect().await.map_err(failed)?;
        Ok(rows.into_iter().map(from_spin).collect())
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
        if first_number(&version) != Some(sql::SCHEMA_VERSION.into()) {
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

impl Sqlite for SpinSqlite {
    /// One statement within the deadline. After an error the connection is not used again.
    async fn query(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError> {
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
}

fn to_spin(value: Value) -> SpinValue {
    match value {
        Value::Null => SpinValue::Null,
        Value::Integer(number) => SpinValue::Integer(i64::try_from(number).unwrap_or(i64::MAX)),
        Value::Text(text) => SpinValue::Text(text),
        Value::Blob(bytes) => SpinValue::Blob(bytes),
    }
}

fn from_spin(row: RowResult) -> Row {
    let value = |value| match value {
        SpinValue::Integer(number) => u64::try_from(number).map_or(Value::Null, Value::Integer),
        SpinValue::Text(text) => Value::Text(text),
        SpinValue::Blob(bytes) => Value::Blob(bytes),
        SpinValue::Null | SpinValue::Real(_) => Value::Null, // the schema holds no reals
    };
    row.values.into_iter().map(value).collect()
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}
