//! The store of every platform whose database is SQLite: a platform only says how one statement is executed.

use slotkeeper_core::{
    id::{BreakId, OpportunityId, ViewerKey},
    time::UnixMillis,
};

use crate::{
    sql,
    store::{Commit, Committed, Holder, NewState, Outbox, OutboxEntry, Store, StoreError, View},
};

/// A value on its way into SQLite or out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number that is not negative.
    Integer(u64),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One row: its columns in order.
pub type Row = Vec<Value>;

/// A SQLite database with the schema of [`sql::SCHEMA`].
#[expect(async_fn_in_trait, reason = "the edge is single-threaded wasm: no future needs to be Send")]
pub trait Sqlite {
    /// Executes one statement and reads all its rows. An error's text holds SQLite's.
    async fn query(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError>;

    /// Called when a commit has taken effect, with nothing awaited in between.
    async fn has_committed(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl<S: Sqlite> Store for S {
    async fn view(&self, viewer: ViewerKey, break_id: BreakId) -> Result<View, StoreError> {
        let rows = self.query(sql::VIEW, vec![blob(&viewer.0), blob(&break_id.0)]).await?;
        let mut columns = rows.into_iter().next().unwrap_or_default().into_iter();
        let mut next =
            || columns.next().ok_or_else(|| StoreError::Failed("the view gave no row of four columns".into()));
        Ok(View {
            state_version: number(&next()?).unwrap_or_default(),
            state: bytes(next()?).unwrap_or_default(),
            answered: bytes(next()?),
            plan_version: number(&next()?),
        })
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        let state = commit.new_state.as_ref();
        let parameters = vec![
            blob(&commit.break_id.0),
            blob(&commit.viewer.0),
            Value::Integer(state.map_or(0, |state| state.from_version)),
            state.map_or(Value::Null, |state| blob(&state.state)),
            Value::Integer(state.map_or(0, |state| state.keep_until.0)),
            blob(&commit.answer),
            Value::Integer(commit.remember_until.0),
            Value::Text(commit.facts.clone()),
        ];
        match self.query(sql::COMMIT, parameters).await {
            Ok(_) => self.has_committed().await.map(|()| Committed::Yes),
            Err(error) if is_lost(&error) => Ok(Committed::Lost),
            Err(error) => Err(error),
        }
    }

    async fn holder(&self, slot: OpportunityId) -> Result<Option<Holder>, StoreError> {
        let (least, greatest) = slot.break_stem().range();
        let rows = self.query(sql::HOLDERS, vec![blob(&least.0), blob(&greatest.0)]).await?;
        let holder = |row: Row| match <[Value; 3]>::try_from(row) {
            Ok([Value::Blob(viewer), version, state]) => Ok(Holder {
                viewer: ViewerKey(viewer.try_into().map_err(|_| StoreError::Failed("a viewer has 16 bytes".into()))?),
                state_version: number(&version).unwrap_or_default(),
                state: bytes(state).unwrap_or_default(),
            }),
            _ => Err(StoreError::Failed("a holder is not a viewer, a version and a state".into())),
        };
        let holders: Vec<Holder> = rows.into_iter().map(holder).collect::<Result<_, _>>()?;
        // Of two breaks with one stem, the one whose viewer's state speaks of the slot.
        let speaks = |holder: &Holder| holder.state.windows(slot.0.len()).any(|bytes| bytes == slot.0);
        let place = holders.iter().position(speaks).unwrap_or_default();
        Ok(holders.into_iter().nth(place))
    }

    async fn settle(&self, viewer: ViewerKey, new_state: &NewState) -> Result<Committed, StoreError> {
        let parameters = vec![
            blob(&viewer.0),
            Value::Integer(new_state.from_version),
            blob(&new_state.state),
            Value::Integer(new_state.keep_until.0),
        ];
        let rows = self.query(sql::SETTLE, parameters).await?;
        Ok(if rows.is_empty() { Committed::Lost } else { Committed::Yes })
    }

    async fn forget(&self, viewer: ViewerKey, now: UnixMillis) -> Result<(), StoreError> {
        self.query(sql::FORGET_STATE, vec![blob(&viewer.0), Value::Integer(now.0)]).await?;
        self.query(sql::FORGET_IN_ANSWERS, vec![blob(&viewer.0)]).await?;
        Ok(())
    }
}

impl<S: Sqlite> Outbox for S {
    async fn outbox(&self) -> Result<Vec<OutboxEntry>, StoreError> {
        let rows = self.query(&sql::outbox(), vec![]).await?;
        let entry = |row: Row| match <[Value; 2]>::try_from(row) {
            Ok([Value::Integer(sequence), Value::Text(facts)]) => Ok(OutboxEntry { sequence, facts }),
            _ => Err(StoreError::Failed("an outbox row is not a number and a text".into())),
        };
        rows.into_iter().map(entry).collect()
    }

    async fn acknowledge(&self, sequence: u64, now: UnixMillis) -> Result<u64, StoreError> {
        self.query(sql::ACKNOWLEDGE, vec![Value::Integer(sequence)]).await?;
        for statement in sql::SWEEP {
            self.query(statement, vec![Value::Integer(now.minus_ms(sql::GRACE_MS).0)]).await?;
        }
        let left = self.query(sql::OUTBOX_LEFT, vec![]).await?;
        Ok(first_number(&left).unwrap_or_default())
    }
}

/// Whether an error says that a commit lost a race: then nothing is wrong with the database.
pub fn is_lost(error: &StoreError) -> bool {
    matches!(error, StoreError::Failed(text) if text.contains(sql::LOST))
}

/// The number in the first column of the first row.
pub fn first_number(rows: &[Row]) -> Option<u64> {
    number(rows.first()?.first()?)
}

/// Bytes as a value.
pub fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Blob(bytes) => Some(bytes),
        _ => None,
    }
}
