//! The origin: the collector's real checks, a log that loses what was not fsynced, and the real fold.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt::Write as _,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, types::ValueRef};
use slotkeeper::{
    collector,
    fold::Fold,
    log::{Entry, Log, LogError, Received},
    registry::Registry,
};
use slotkeeper_core::{contract::RegistryRecord, time::UnixMillis};
use slotkeeper_edge::platform::OriginError;

use crate::{faults::Fault, scheduler::Promise, world::World};

/// How an edge's post came out.
pub type Posted = Promise<Result<(), OriginError>>;

/// What is durable, in order.
#[derive(Default)]
pub struct MemoryLog(Vec<Entry>);

impl Log for MemoryLog {
    fn append(&mut self, batches: &[Received]) -> Result<u64, LogError> {
        for received in batches {
            let seq = self.0.len() as u64 + 1;
            self.0.push(Entry { seq, received: received.clone() });
        }
        self.last_seq()
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(self.0.iter().skip(after).take(limit).cloned().collect())
    }

    fn last_seq(&self) -> Result<u64, LogError> {
        Ok(self.0.len() as u64)
    }
}

/// One origin and its disk.
pub struct Origin {
    is_up: Cell<bool>,
    lives: Cell<u64>,
    waiting: RefCell<VecDeque<(Received, Posted)>>,
    is_flushing: Cell<bool>,
    is_folding: Cell<bool>,
    log: RefCell<MemoryLog>,
    registry: RefCell<Vec<RegistryRecord>>,
    fold: RefCell<Option<Fold>>,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            is_up: Cell::new(true),
            lives: Cell::new(0),
            waiting: RefCell::default(),
            is_flushing: Cell::new(false),
            is_folding: Cell::new(false),
            log: RefCell::default(),
            registry: RefCell::default(),
            fold: RefCell::default(),
        }
    }
}

impl Origin {
    /// Publishes ads as sold.
    pub fn register(&self, records: &[RegistryRecord]) {
        self.registry.borrow_mut().extend_from_slice(records);
        let running = self.fold.borrow_mut().take();
        *self.fold.borrow_mut() = Some(match running {
            Some(fold) => self.fold_over(fold.into_db()),
            None => self.fold_over(memory()),
        });
    }

    fn fold_over(&self, db: Connection) -> Fold {
        let registry = memory();
        let schema = "CREATE TABLE registry (record_id TEXT NOT NULL PRIMARY KEY, record TEXT NOT NULL)";
        registry.execute_batch(schema).unwrap_or_else(|error| panic!("registry: {error}"));
        for record in self.registry.borrow().iter() {
            let row = [record.record_id().to_string(), record.canonical_json()];
            let put = registry.execute("INSERT OR IGNORE INTO registry VALUES (?1, ?2)", row);
            put.unwrap_or_else(|error| panic!("registry: {error}"));
        }
        Fold::over(db, Registry::over(registry)).unwrap_or_else(|error| panic!("the fold's schema: {error}"))
    }

    /// How many batches are durable.
    pub fn entries(&self) -> u64 {
        self.log.borrow().0.len() as u64
    }
}

fn memory() -> Connection {
    let db = Connection::open_in_memory().unwrap_or_else(|error| panic!("a database in memory: {error}"));
    db.set_prepared_statement_cache_capacity(64);
    db
}

/// A batch arrives.
pub fn receive(world: &Rc<World>, batch: String, answer: &Posted) {
    let origin = &world.origin;
    if !origin.is_up.get() {
        answer.give(Err(OriginError("nobody there".into())));
        return;
    }
    let facts = match collector::check(batch.as_bytes()) {
        Ok(facts) => facts,
        Err(error) => {
            world.violated("10 bounds", None, format!("the collector refuses what an edge sent: {error:?}"));
            answer.give(Err(OriginError("refused".into())));
            return;
        }
    };
    if facts == 0 {
        answer.give(Ok(()));
        return;
    }
    let received = Received { at: UnixMillis(world.clock.now_ms()), bytes: batch.into_bytes() };
    origin.waiting.borrow_mut().push_back((received, answer.clone()));
    if !origin.is_flushing.replace(true) {
        let (later, lives) = (world.clone(), origin.lives.get());
        world.clock.after(world.rng.between(1, 8), move || {
            if later.origin.lives.get() == lives {
                flush(&later, true);
            }
        });
    }
}

/// One fsync: everything that waits is durable, and is acknowledged if anybody lives to do so.
fn flush(world: &Rc<World>, acknowledge: bool) {
    let origin = &world.origin;
    origin.is_flushing.set(false);
    let group: Vec<_> = origin.waiting.borrow_mut().drain(..).collect();
    let batches: Vec<Received> = group.iter().map(|(received, _)| received.clone()).collect();
    let _ = origin.log.borrow_mut().append(&batches);
    for (received, answer) in group {
        world.oracle.borrow_mut().durable(world, &received.bytes);
        if acknowledge {
            answer.give(Ok(()));
        }
    }
    if !batches.is_empty() && !origin.is_folding.replace(true) {
        let later = world.clone();
        world.clock.after(world.rng.log_between(20, 300_000), move || fold_some(&later));
    }
}

/// The origin dies and starts again later.
pub fn crash(world: &Rc<World>) {
    let origin = &world.origin;
    if !origin.is_up.replace(false) {
        return;
    }
    world.note(None, "origin-crash", 0, String::new);
    origin.lives.set(origin.lives.get() + 1);
    if world.rng.chance(0.5) {
        flush(world, false); // the disk had it, the edges never hear of it
    }
    origin.waiting.borrow_mut().clear();
    origin.is_flushing.set(false);
    let later = world.clone();
    world.clock.after(world.rng.log_between(50, 180_000), move || {
        later.note(None, "origin-up", 0, String::new);
        later.origin.is_up.set(true);
        restart_fold(&later);
    });
}

fn restart_fold(world: &Rc<World>) {
    let origin = &world.origin;
    let killed = origin.fold.borrow_mut().take();
    let restarted = killed.map(|fold| origin.fold_over(fold.into_db()));
    *origin.fold.borrow_mut() = restarted;
}

/// The fold does what there is to do, or dies of it.
fn fold_some(world: &Rc<World>) {
    let origin = &world.origin;
    origin.is_folding.set(false);
    if world.faults.strikes(Fault::FoldKilled) {
        kill_in_a_commit(world);
    }
    let result = match origin.fold.borrow_mut().as_mut() {
        Some(fold) => fold.catch_up(&*origin.log.borrow()),
        None => Ok(()),
    };
    if let Err(error) = result {
        world.violated("8 derivable", None, format!("the fold stops: {error}"));
    }
    if world.faults.strikes(Fault::FoldFromZero) {
        compare_from_zero(world);
    }
}

/// Interrupts a step after some of SQLite's instructions, so that its commit is never made, and opens the tables again.
fn kill_in_a_commit(world: &Rc<World>) {
    let origin = &world.origin;
    let Some(fold) = origin.fold.borrow_mut().take() else { return };
    let instructions = i32::try_from(world.rng.log_between(10, 20_000)).unwrap_or(10);
    let is_armed = Arc::new(AtomicBool::new(false));
    let armed = Arc::clone(&is_armed);
    let mut db = fold.into_db();
    let handled = db.progress_handler(instructions, Some(move || armed.load(Ordering::Relaxed)));
    handled.unwrap_or_else(|error| panic!("a progress handler: {error}"));
    let mut doomed = origin.fold_over(db);
    is_armed.store(true, Ordering::Relaxed);
    let _ = doomed.step(&*origin.log.borrow());
    let mut db = doomed.into_db();
    let removed = db.progress_handler(0, None::<fn() -> bool>);
    removed.unwrap_or_else(|error| panic!("a progress handler: {error}"));
    *origin.fold.borrow_mut() = Some(origin.fold_over(db));
}

/// Law 8: what is folded from zero is what was folded step by step.
pub fn compare_from_zero(world: &Rc<World>) {
    let origin = &world.origin;
    let mut fresh = origin.fold_over(memory());
    let log = origin.log.borrow();
    let consumed = origin.fold.borrow().as_ref().and_then(|fold| fold.consumed_seq().ok()).unwrap_or_default();
    if consumed != log.last_seq().unwrap_or_default() {
        return;
    }
    if let Err(error) = fresh.catch_up(&*log) {
        world.violated("8 derivable", None, format!("folding from zero stops: {error}"));
        return;
    }
    let from_zero = tables(fresh.db());
    let by_steps = origin.fold.borrow().as_ref().map(|fold| tables(fold.db())).unwrap_or_default();
    world.oracle.borrow_mut().checked("8 derivable");
    if from_zero != by_steps {
        let differs = from_zero.lines().zip(by_steps.lines()).find(|(one, other)| one != other);
        world.violated("8 derivable", None, format!("folded from zero and by steps differ: {differs:?}"));
    }
}

/// All tables as text.
fn tables(db: &Connection) -> String {
    let mut dump = String::new();
    for table in [
        "fct_ad_opportunities",
        "opportunities_superseded",
        "decisions",
        "beacon_states",
        "fct_ad_impressions",
        "fact_counts",
        "fold_offset",
        "fold_last_entry",
    ] {
        let dumped = (|| -> rusqlite::Result<()> {
            let columns = db.prepare(&format!("SELECT * FROM {table}"))?.column_count();
            let order: Vec<String> = (1..=columns).map(|column| column.to_string()).collect();
            let mut select = db.prepare(&format!("SELECT * FROM {table} ORDER BY {}", order.join(", ")))?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                dump.push_str(table);
                for column in 0..columns {
                    let _ = match row.get_ref(column)? {
                        ValueRef::Integer(number) => write!(dump, "|{number}"),
                        ValueRef::Text(text) => write!(dump, "|{}", String::from_utf8_lossy(text)),
                        other => write!(dump, "|{other:?}"),
                    };
                }
                dump.push('\n');
            }
            Ok(())
        })();
        dumped.unwrap_or_else(|error| panic!("{table}: {error}"));
    }
    dump
}

/// Folds all there is, and lets `read` read the tables.
pub fn read_tables<T>(world: &Rc<World>, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
    fold_some(world);
    let fold = world.origin.fold.borrow();
    let found = read(fold.as_ref()?.db());
    found.map_err(|error| world.violated("8 derivable", None, format!("the tables cannot be read: {error}"))).ok()
}

/// A fault of the fold's own tables, for a known-bad variant: an impression that is derived again earns again.
pub fn earn_twice(world: &Rc<World>) {
    if let Some(fold) = world.origin.fold.borrow().as_ref() {
        let trigger = "CREATE TABLE derived (opportunity_id TEXT PRIMARY KEY, times INTEGER NOT NULL);
            CREATE TRIGGER earn_again AFTER INSERT ON fct_ad_impressions WHEN NEW.recognized_revenue_micros > 0 BEGIN
              INSERT INTO derived VALUES (NEW.opportunity_id, 1)
                ON CONFLICT (opportunity_id) DO UPDATE SET times = times + 1;
              UPDATE fct_ad_impressions SET recognized_revenue_micros = recognized_revenue_micros
                  * (SELECT times FROM derived d WHERE d.opportunity_id = NEW.opportunity_id)
                WHERE opportunity_id = NEW.opportunity_id;
            END";
        fold.db().execute_batch(trigger).unwrap_or_else(|error| panic!("a known-bad variant: {error}"));
    }
}
