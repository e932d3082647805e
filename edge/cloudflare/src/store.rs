//! The store in a Durable Object's SQLite.
//!
//! Statements run synchronously inside the object, so between the view and the commit nothing else runs unless the plan
//! had to be fetched; the commit checks for that like any other.

use std::{cell::Cell, time::Duration};

use slotkeeper_core::{
    id::{BreakId, ViewerKey},
    time::UnixMillis,
};
use slotkeeper_edge::{
    sql,
    store::{Commit, Committed, OutboxEntry, Store, StoreError, View},
};
use worker::{SqlStorage, SqlStorageValue as Value, Storage};

use crate::platform::failed;

/// How long rows wait in the outbox for company before they are shipped.
const SHIP_AFTER_MS: u64 = 100;

/// The object's own database and alarm.
pub(crate) struct ShardStore {
    storage: Storage,
    sql: SqlStorage,
    has_schema: Cell<bool>,
    /// Whether an alarm is known to be set. After a restart it is not known, and the next commit sets it again.
    alarm_is_set: Cell<bool>,
}

impl ShardStore {
    pub(crate) fn new(storage: Storage) -> Self {
        let sql = storage.sql();
        Self { storage, sql, has_schema: Cell::new(false), alarm_is_set: Cell::new(false) }
    }

    /// Creates what is missing, once a life of the object; an error is tried again by the next call.
    fn create_schema(&self) -> Result<(), StoreError> {
        if !self.has_schema.get() {
            for statement in sql::SCHEMA {
                self.execute(statement, vec![])?;
            }
            self.has_schema.set(true);
        }
        Ok(())
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

    fn query(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError> {
        self.create_schema()?;
        self.execute(statement, parameters)
    }

    fn execute(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError> {
        let cursor = self.sql.exec(statement, parameters).map_err(failed)?;
        cursor.raw().collect::<Result<_, _>>().map_err(failed)
    }
}

impl Store for ShardStore {
    async fn view(&self, viewer: ViewerKey, break_id: BreakId) -> Result<View, StoreError> {
        let rows = self.query(sql::VIEW, vec![blob(&viewer.0), blob(&break_id.0)])?;
        match rows.into_iter().next().as_deref() {
            Some([version, state, answer, plan]) => Ok(View {
                state_version: number(version).unwrap_or_default(),
                state: bytes(state).unwrap_or_default(),
                answered: bytes(answer),
                plan_version: number(plan),
            }),
            _ => Err(StoreError::Failed("the view gave no row of four columns".into())),
        }
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
            Value::String(commit.facts.clone()),
        ];
        match self.query(sql::COMMIT, parameters) {
            Ok(_) => {
                // Called in the same turn as the INSERT, so the runtime writes both together.
                self.set_alarm(SHIP_AFTER_MS).await?;
                Ok(Committed::Yes)
            }
            Err(StoreError::Failed(text)) if text.contains(sql::LOST) => Ok(Committed::Lost),
            Err(error) => Err(error),
        }
    }

    async fn outbox(&self) -> Result<Vec<OutboxEntry>, StoreError> {
        let rows = self.query(&sql::outbox(), vec![])?;
        let entry = |row: Vec<Value>| match row.as_slice() {
            [sequence, Value::String(facts)] => Some(OutboxEntry { sequence: number(sequence)?, facts: facts.clone() }),
            _ => None,
        };
        let entries = rows.into_iter().map(entry).collect::<Option<_>>();
        entries.ok_or_else(|| StoreError::Failed("an outbox row is not a number and a text".into()))
    }

    async fn acknowledge(&self, sequence: u64, now: UnixMillis) -> Result<u64, StoreError> {
        self.query(sql::ACKNOWLEDGE, vec![integer(sequence)])?;
        for statement in sql::SWEEP {
            self.query(statement, vec![integer(now.minus_ms(sql::GRACE_MS).0)])?;
        }
        let left = self.query(sql::OUTBOX_LEFT, vec![])?;
        Ok(left.first().and_then(|row| number(row.first()?)).unwrap_or_default())
    }
}

pub(crate) fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

pub(crate) fn integer(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Blob(bytes) => Some(bytes.clone()),
        _ => None,
    }
}
