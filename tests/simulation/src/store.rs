//! The edges' stores: real SQLite with the real schema, behind a network that can do anything to a call.
//!
//! A call is a message: once sent it may take effect although its sender has given up or died.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use rusqlite::{Connection, params_from_iter, types::ValueRef};
use slotkeeper_core::id::{BreakId, ViewerKey};
use slotkeeper_edge::{
    platform::store_call,
    sql,
    sqlite::{Row, Sqlite, Value, first_number},
    store::StoreError,
};

use crate::{broken::Broken, faults::Fault, world::World};

/// The statement of [`sql::PUT_PLAN_IN_FORCE`] without its condition.
const PUT_ANY_PLAN: &str = "INSERT INTO plan_in_force(one, version) VALUES (1, ?1)
  ON CONFLICT(one) DO UPDATE SET version = excluded.version";

/// One database.
pub struct StoreDb {
    pub number: usize,
    db: Connection,
}

impl StoreDb {
    pub fn new(number: usize) -> Self {
        let db = Connection::open_in_memory().unwrap_or_else(|error| panic!("a store: {error}"));
        for statement in sql::SCHEMA {
            db.execute_batch(statement).unwrap_or_else(|error| panic!("the store's schema: {error}"));
        }
        db.set_prepared_statement_cache_capacity(32);
        Self { number, db }
    }

    /// Executes one statement, and nothing else happens meanwhile.
    pub fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, StoreError> {
        let failed = |error: rusqlite::Error| StoreError::Failed(error.to_string());
        let mut prepared = self.db.prepare_cached(statement).map_err(failed)?;
        let columns = prepared.column_count();
        let parameters = parameters.iter().map(|value| match value {
            Value::Null => rusqlite::types::Value::Null,
            Value::Integer(number) => rusqlite::types::Value::Integer(i64::try_from(*number).unwrap_or(i64::MAX)),
            Value::Text(text) => rusqlite::types::Value::Text(text.clone()),
            Value::Blob(bytes) => rusqlite::types::Value::Blob(bytes.clone()),
        });
        let mut rows = prepared.query(params_from_iter(parameters)).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let value = |column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Integer(number) => u64::try_from(number).map_or(Value::Null, Value::Integer),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                    ValueRef::Null | ValueRef::Real(_) => Value::Null,
                })
            };
            found.push((0..columns).map(value).collect::<rusqlite::Result<Row>>().map_err(failed)?);
        }
        Ok(found)
    }

    fn one(&self, statement: &str, parameter: Value) -> Option<Value> {
        self.execute(statement, &[parameter]).ok()?.into_iter().next()?.into_iter().next()
    }

    /// The state of a viewer, if there is one.
    pub fn state(&self, viewer: ViewerKey) -> Option<Vec<u8>> {
        match self.one("SELECT state FROM viewer_states WHERE viewer = ?1", Value::Blob(viewer.0.to_vec()))? {
            Value::Blob(state) => Some(state),
            _ => None,
        }
    }

    fn state_version(&self, viewer: &Value) -> u64 {
        match self.one("SELECT version FROM viewer_states WHERE viewer = ?1", viewer.clone()) {
            Some(Value::Integer(version)) => version,
            _ => 0,
        }
    }

    /// How many entries wait for the origin.
    pub fn outbox_len(&self) -> u64 {
        self.execute("SELECT count(*) FROM outbox", &[]).ok().and_then(|rows| first_number(&rows)).unwrap_or_default()
    }

    /// Damages one viewer's state, and says whose.
    pub fn rot(&self, draw: u64) -> Option<ViewerKey> {
        let rows =
            self.execute("SELECT viewer FROM viewer_states WHERE length(state) > 0 ORDER BY viewer", &[]).ok()?;
        let place = usize::try_from(draw % (rows.len().max(1) as u64)).unwrap_or_default();
        let viewer = rows.into_iter().nth(place)?.into_iter().next()?;
        let shorter = "UPDATE viewer_states SET state = substr(state, 1, length(state) - 1) WHERE viewer = ?1";
        self.execute(shorter, std::slice::from_ref(&viewer)).ok()?;
        let Value::Blob(bytes) = viewer else { return None };
        bytes.try_into().ok().map(ViewerKey)
    }
}

/// Executes one statement in the world: as it is, or as a known-bad variant has it; and shows the oracle what it did.
fn perform(
    world: &Rc<World>,
    store: &StoreDb,
    process: usize,
    quirks: &RefCell<Quirks>,
    statement: &str,
    mut parameters: Vec<Value>,
) -> Result<Vec<Row>, StoreError> {
    let mut statement = statement;
    let mut rows_later = None;
    match (world.broken, statement) {
        (Some(Broken::ReadThenWrite), sql::COMMIT) => {
            parameters[2] = Value::Integer(store.state_version(&parameters[1]));
        }
        (Some(Broken::ReadThenWrite), sql::SETTLE) => {
            parameters[1] = Value::Integer(store.state_version(&parameters[0]));
        }
        (Some(Broken::CasAbsentUpsert), sql::COMMIT) if parameters[2] == Value::Integer(0) => {
            parameters[2] = Value::Integer(store.state_version(&parameters[1]));
        }
        (Some(Broken::CapsEmptyWhenUnavailable), sql::COMMIT) if quirks.borrow().has_failed_view => {
            parameters[2] = Value::Integer(store.state_version(&parameters[1]));
        }
        (Some(Broken::RetryDecidesAgain), sql::COMMIT) => {
            store.execute("DELETE FROM breaks WHERE break_id = ?1", &parameters[..1])?;
        }
        (Some(Broken::RowAfterAnswer), sql::COMMIT) => rows_later = Some(parameters[7].clone()),
        (Some(Broken::ReservedNotCounted), sql::COMMIT) => quirks.borrow().reserve_again(&mut parameters[3]),
        (Some(Broken::PlanOlderWins), sql::PUT_PLAN_IN_FORCE) => statement = PUT_ANY_PLAN,
        _ => {}
    }
    if statement == sql::ACKNOWLEDGE {
        let going = store.execute("SELECT facts FROM outbox WHERE sequence <= ?1 ORDER BY sequence", &parameters)?;
        world.oracle.borrow_mut().outbox_deleted(world, &going);
    }
    let mut rows = store.execute(statement, &parameters)?;
    match statement {
        sql::COMMIT => {
            world.oracle.borrow_mut().committed(world, store, &parameters);
            world.note(None, "commit-effect", store.number as u64, String::new);
            if let Some(facts) = rows_later {
                write_rows_later(world, store.number, process, facts);
            }
            world.outbox_has_grown(store.number);
        }
        sql::SETTLE if !rows.is_empty() => world.oracle.borrow_mut().settled(world, store, &parameters),
        sql::PUT_PLAN_IN_FORCE | PUT_ANY_PLAN => {
            let now = store.execute(sql::PLAN_IN_FORCE, &[])?;
            world.oracle.borrow_mut().plan_in_force(world, first_number(&now).unwrap_or_default());
        }
        sql::VIEW => match world.broken {
            Some(Broken::RetryDecidesAgain) => rows.iter_mut().for_each(|row| row[2] = Value::Null),
            Some(Broken::UnreadableIsNew) => rows.iter_mut().for_each(|row| {
                if matches!(&row[1], Value::Blob(state) if state.len() % crate::oracle::RECORD_BYTES != 0) {
                    row[1] = Value::Null;
                }
            }),
            Some(Broken::ReservedNotCounted) => {
                for row in &mut rows {
                    quirks.borrow_mut().show_as_confirmed(&mut row[1]);
                }
            }
            _ => {}
        },
        _ => {}
    }
    Ok(rows)
}

/// The rows of a commit without its rows: written soon, by the process that committed, if it lives.
fn write_rows_later(world: &Rc<World>, store: usize, process: usize, facts: Value) {
    let db = &world.stores[store];
    let _ = db.execute("DELETE FROM outbox WHERE sequence = (SELECT max(sequence) FROM outbox)", &[]);
    let later = world.clone();
    let lives = world.lives(process);
    world.clock.after(world.rng.between(1, 400), move || {
        if later.lives(process) == lives {
            let _ = later.stores[store].execute("INSERT INTO outbox(facts) VALUES (?1)", &[facts]);
            later.outbox_has_grown(store);
        }
    });
}

/// What a known-bad variant has to remember within one request.
#[derive(Default)]
struct Quirks {
    has_failed_view: bool,
    shown_as_confirmed: Vec<[u8; 16]>,
}

impl Quirks {
    fn show_as_confirmed(&mut self, state: &mut Value) {
        let Value::Blob(state) = state else { return };
        self.shown_as_confirmed.clear();
        for record in state.chunks_exact_mut(crate::oracle::RECORD_BYTES).filter(|record| record[64] == 0) {
            record[64] = 1;
            self.shown_as_confirmed.extend(<[u8; 16]>::try_from(&record[..16]));
        }
    }

    fn reserve_again(&self, state: &mut Value) {
        let Value::Blob(state) = state else { return };
        for record in state.chunks_exact_mut(crate::oracle::RECORD_BYTES) {
            if self.shown_as_confirmed.iter().any(|id| id == &record[..16]) {
                record[64] = 0;
            }
        }
    }
}

/// One request's use of one store.
pub struct StoreHandle {
    world: Rc<World>,
    store: usize,
    process: usize,
    /// Whether the process and its database are one: then a call has no way to go.
    is_local: bool,
    trips: Cell<u32>,
    quirks: Rc<RefCell<Quirks>>,
}

impl StoreHandle {
    pub fn new(world: &Rc<World>, store: usize, process: usize, is_local: bool) -> Self {
        Self { world: world.clone(), store, process, is_local, trips: Cell::new(0), quirks: Rc::default() }
    }

    pub fn trips(&self) -> u32 {
        self.trips.get()
    }

    async fn call(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let world = &self.world;
        let db = &world.stores[self.store];
        if self.is_local {
            if world.faults.strikes(Fault::StoreFails) {
                return Err(StoreError::Failed("simulated".into()));
            }
            return perform(world, db, self.process, &self.quirks, statement, parameters);
        }
        let rng = &world.rng;
        let (mut to_ms, mut back_ms) = (rng.below(3), rng.below(3));
        let faults = &world.faults;
        let is_cut = world.is_cut_from_store(self.process);
        let hangs = is_cut || faults.strikes(Fault::StoreHangs);
        let fails = faults.strikes(Fault::StoreFails);
        let fails_after = faults.strikes(Fault::StoreFailsAfter);
        if faults.strikes(Fault::StoreSlow) {
            to_ms += rng.below(300);
            back_ms += rng.below(150);
        }
        if faults.strikes(Fault::StoreLate) {
            to_ms += rng.between(250, 20_000);
        }
        if faults.strikes(Fault::CrashInCall) {
            let (doomed, process) = (world.clone(), self.process);
            world.clock.after(to_ms + rng.below(2), move || doomed.crash(process));
        }
        let answer = world.clock.promise();
        if !hangs {
            let (given, doing, quirks) = (answer.clone(), world.clone(), self.quirks.clone());
            let (store, process, statement) = (self.store, self.process, statement.to_owned());
            world.clock.after(to_ms, move || {
                let error = || StoreError::Failed("simulated".into());
                let outcome = if fails {
                    Err(error())
                } else {
                    let done = perform(&doing, &doing.stores[store], process, &quirks, &statement, parameters);
                    if fails_after { Err(error()) } else { done }
                };
                doing.clock.clone().after(back_ms, move || given.give(outcome));
            });
        }
        let deadline_ms = world.settings(self.process).store_deadline_ms;
        store_call(world.clock.sleep(deadline_ms), deadline_ms, answer).await
    }
}

impl Sqlite for StoreHandle {
    async fn query(&self, statement: &str, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.trips.set(self.trips.get() + 1);
        let rows = self.call(statement, parameters).await;
        if statement == sql::VIEW && rows.is_err() && self.world.broken == Some(Broken::CapsEmptyWhenUnavailable) {
            self.quirks.borrow_mut().has_failed_view = true;
            let plan = self.world.newest_plan().map_or(Value::Null, Value::Integer);
            return Ok(vec![vec![Value::Integer(0), Value::Null, Value::Null, plan]]);
        }
        rows
    }
}

/// Reads a break id from a parameter.
pub fn break_id(value: &Value) -> Option<BreakId> {
    let Value::Blob(bytes) = value else { return None };
    bytes.as_slice().try_into().ok().map(BreakId)
}

/// Reads a viewer from a parameter.
pub fn viewer(value: &Value) -> Option<ViewerKey> {
    let Value::Blob(bytes) = value else { return None };
    bytes.as_slice().try_into().ok().map(ViewerKey)
}
