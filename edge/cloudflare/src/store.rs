//! The store in a Durable Object's SQLite.
//!
//! Statements run synchronously inside the object, so between the view and the commit nothing else runs unless the plan
//! had to be fetched; the commit checks for that like any other.

use std::{cell::Cell, time::Duration};

use slotkeeper_edge::{
    sql,
    sqlite::{Row, Sqlite, Value},
    store::StoreError,
};
use worker::{SqlStorage, SqlStorageValue, Storage};

use crate::platform::failed;

/// How long rows wait in the outbox for company before they are shipped.
const SHIP_AFTER_MS: u64 = 100;

/// A Durable Object's database.
pub(crate) struct Database(SqlStorage);

impl Database {
    pub(crate) fn new(storage: &Storage) -> Self {
        Self(storage.sql())
    }

    /// Executes one statement.
    pub(crate) fn execute(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let parameters: Vec<SqlStorageValue> = parameters.into_iter().map(to_js).collect();
        let cursor = self.0.exec(statement, parameters).map_err(failed)?;
        cursor.raw().map(|row| Ok(row.map_err(failed)?.into_iter().map(from_js).collect())).collect()
    }
}

/// A shard's database and alarm.
pub(crate) struct ShardStore {
    database: Database,
    storage: Storage,
    has_schema: Cell<bool>,
    /// Whether an alarm is known to be set. After a restart it is not known, and the next commit sets it again.
    alarm_is_set: Cell<bool>,
}

impl ShardStore {
    pub(crate) fn new(storage: Storage) -> Self {
        let database = Database::new(&storage);
        Self { database, storage, has_schema: Cell::new(false), alarm_is_set: Cell::new(false) }
    }

    /// The alarm has gone off, so none is set now.
    pub(crate) fn alarm_has_rung(&self) {
        self.alarm_is_set.set(false);
    }

    /// Sets the alarm `after_ms` from now, unless one is set.
    pub(crate) async fn set_alarm(&self, after_ms: u64) -> Result<(), StoreError> {
        if self.alarm_is_set.replace(true) {
            return Ok(());
        }
        let set = self.storage.set_alarm(Duration::from_millis(after_ms)).await;
        set.inspect_err(|_| self.alarm_is_set.set(false)).map_err(failed)
    }

    /// Creates what is missing, once a life of the object; an error is tried again by the next call.
    fn create_schema(&self) -> Result<(), StoreError> {
        if !self.has_schema.get() {
            for statement in sql::SCHEMA {
                self.database.execute(statement, vec![])?;
            }
            self.has_schema.set(true);
        }
        Ok(())
    }
}

impl Sqlite for ShardStore {
    async fn query(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.create_schema()?;
        self.database.execute(statement, parameters)
    }

    /// Called in the same turn as the INSERT, so the runtime writes the alarm together with it.
    async fn has_committed(&self) -> Result<(), StoreError> {
        self.set_alarm(SHIP_AFTER_MS).await
    }
}

fn to_js(value: Value) -> SqlStorageValue {
    match value {
        Value::Null => SqlStorageValue::Null,
        Value::Integer(number) => SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX)),
        Value::Text(text) => SqlStorageValue::String(text),
        Value::Blob(bytes) => SqlStorageValue::Blob(bytes),
    }
}

fn from_js(value: SqlStorageValue) -> Value {
    match value {
        SqlStorageValue::Integer(number) => u64::try_from(number).map_or(Value::Null, Value::Integer),
        SqlStorageValue::String(text) => Value::Text(text),
        SqlStorageValue::Blob(bytes) => Value::Blob(bytes),
        // The schema holds neither reals nor booleans.
        SqlStorageValue::Null | SqlStorageValue::Boolean(_) | SqlStorageValue::Float(_) => Value::Null,
    }
}
