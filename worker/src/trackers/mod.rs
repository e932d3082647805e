//! Vendors' trackers: when an event is accepted, the URLs that were booked for it are called, once each.
//!
//! ```text
//! log ──▶ consume ──▶ queue ──▶ send ──▶ vendors
//!          (own offset)  │ retry, back off
//!                        └──▶ dead letters
//! ```
//!
//! What was called is state of its own, in `trackers.db`: it is not derived, so a fold from zero calls nobody. The place in
//! the log is kept in the same commit as the calls that its entries ask for; a URL is called for an event of a token once,
//! however often its fact comes and the log is read, by a `UNIQUE` key.
//!
//! **Invariants.** No call without its row marked as sending in a durable commit before. No call to an address that is not
//! public: all go through [`crate::outbound`]. A vendor that is slow or down keeps nobody waiting but its own calls.

mod consume;
mod queue;
mod report;
mod runner;
mod sender;
#[cfg(test)]
mod tests;
mod vendor;
mod verdict;

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OptionalExtension as _};
use slotkeeper_core::time::UnixMillis;

use crate::{
    data_dir::{self, Durability},
    fold::is_at,
    log::{Log, LogError},
    registry::Registry,
};
pub use consume::Consumed;
pub use report::{DeadLetter, Retried, Status, TrackerReport, VendorStatus};
pub use runner::{TrackerProgress, Trackers};

const SCHEMA: &str = include_str!("schema.sql");
/// How much longer than calls may be made for a slot it is remembered that they were: more than any clock is wrong by.
const REMEMBERED_LONGER_MS: u64 = 7 * 24 * 3_600_000;

/// What calling vendors may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Calls at once, to all vendors.
    pub in_flight_max: usize,
    /// Calls at once to one vendor.
    pub vendor_in_flight_max: usize,
    /// Calls a second to one vendor, on average; as many may come at once.
    pub vendor_rate_per_s: u32,
    /// How often one is tried.
    pub attempts_max: u32,
    /// The wait after the first failure, before jitter; four times as long after each further one.
    pub backoff: Duration,
    /// How long after its slot opened an event is called for.
    pub age_max: Duration,
    /// How many calls may wait in all. Past it, nothing more is read from the log until some are made.
    pub queue_max: u64,
    /// How many calls may wait for one vendor. Past it, further ones are dead letters at once.
    pub vendor_queue_max: u64,
    /// How long one call may take, with redirects.
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_max: 256,
            vendor_in_flight_max: 32,
            vendor_rate_per_s: 500,
            attempts_max: 8,
            backoff: Duration::from_secs(10),
            age_max: Duration::from_hours(72),
            queue_max: 1_000_000,
            vendor_queue_max: 200_000,
            deadline: Duration::from_secs(5),
        }
    }
}

impl Limits {
    fn age_max_ms(&self) -> u64 {
        millis(self.age_max)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why calls are not made (for now). Nothing is half done.
#[derive(Debug, thiserror::Error)]
pub enum TrackersError {
    /// Their database, or the registry.
    #[error("trackers: {0}")]
    Database(#[from] rusqlite::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// The calls of a data directory, with what is needed to find more in the log.
pub struct Store {
    db: Connection,
    registry: Registry,
    limits: Limits,
    /// How far the log is read. May be ahead of what is kept: what lies between asked for nothing.
    read_seq: u64,
}

impl Store {
    /// Opens `trackers.db`, or begins one at the log's end: events from before were called for by somebody else, or by a
    /// `trackers.db` that is lost, and calling once too few is better than all of them twice.
    pub fn open(path: &Path, registry: Registry, log: &dyn Log, limits: Limits) -> Result<Self, TrackersError> {
        let mut store = Self::over(connect(path)?, registry, limits);
        match store.kept()? {
            None => {
                store.read_seq = log.last_seq()?;
                store.keep(&log.read(store.read_seq.saturating_sub(1), 1)?)?;
                if store.read_seq > 0 {
                    crate::tell!(
                        "slotkeeper: trackers.db is new; vendors are called for what comes from now on, after entry {} of the log",
                        store.read_seq
                    );
                }
            }
            Some((seq, hash)) => {
                if seq > 0 && !is_at(log, seq, hash.as_deref())? {
                    crate::tell!(
                        "slotkeeper: trackers.db has read another log to entry {seq}; this one is read from its start, and \
                         no vendor is called twice"
                    );
                    store.read_seq = 0;
                } else {
                    store.read_seq = seq;
                }
            }
        }
        Ok(store)
    }

    /// The calls in a database that is open already.
    fn over(db: Connection, registry: Registry, limits: Limits) -> Self {
        Self { db, registry, limits, read_seq: 0 }
    }

    /// How far the log is read.
    pub fn read_seq(&self) -> u64 {
        self.read_seq
    }

    /// What was kept of the place in the log; nothing in a new database.
    fn kept(&self) -> rusqlite::Result<Option<(u64, Option<String>)>> {
        let mut select = self.db.prepare_cached("SELECT seq, entry_hash FROM consumed")?;
        select.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }

    /// Keeps that the log is read to the last of `entries`; to its start, if there is none.
    fn keep(&self, entries: &[crate::log::Entry]) -> rusqlite::Result<()> {
        consume::keep(&self.db, entries.last())
    }

    /// Gives up and forgets what is too old to be called for, a bounded part of it at a time. Returns how much.
    pub fn forget(&mut self, now: UnixMillis) -> Result<usize, TrackersError> {
        let held_before = now.minus_ms(self.limits.age_max_ms());
        let before = held_before.minus_ms(REMEMBERED_LONGER_MS);
        let commit = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // First: from now on, whether something older was called is not known, so nothing older is called.
        commit.execute("UPDATE consumed SET forgotten_before_ms = max(forgotten_before_ms, ?1)", [before.0])?;
        let mut forgotten = queue::give_up_for_age(&commit, now)?;
        forgotten += commit.execute(
            "DELETE FROM firings WHERE firing_id IN (
                 SELECT firing_id FROM firings WHERE opened_at_ms < ?1 AND state <> 'queued'
                 ORDER BY opened_at_ms LIMIT 5000)",
            [before.0],
        )?;
        for (table, before) in [("begun", before), ("held", held_before)] {
            forgotten += commit.execute(&format!("DELETE FROM {table} WHERE opened_at_ms < ?1"), [before.0])?;
        }
        commit.commit()?;
        Ok(forgotten)
    }
}

/// Opens `trackers.db` and makes the tables that are missing, and the column that those of earlier builds lack.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let db = data_dir::connect(path, Durability::Durable, SCHEMA)?;
    let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('held') WHERE name = 'error_code')";
    let has_codes: bool = db.query_row(sql, [], |row| row.get(0))?;
    if !has_codes {
        db.execute("ALTER TABLE held ADD COLUMN error_code INTEGER", [])?;
    }
    Ok(db)
}
