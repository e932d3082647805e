//! The fold: from the log and the registry to the tables.
//!
//! Everything it keeps per slot is a join (of rows by a total order, of beacons by [`core::impression`]), and what it
//! derives is a pure function of what it keeps. So duplicates, reordering and replays cannot change the tables, and
//! folding again from nothing gives them byte for byte.
//!
//! The offset of what is consumed is in the fold's own commit: a killed fold goes on exactly where it was.
//!
//! [`core::impression`]: slotkeeper_core::impression

mod beacons;
mod counts;
mod impressions;
mod opportunities;
mod runner;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, path::Path};

use rusqlite::{Connection, TransactionBehavior};
use slotkeeper_core::{
    fact::{Fact, FactBatch},
    id::OpportunityId,
    time::UnixMillis,
};

use crate::{
    data_dir::{self, Durability},
    log::{Entry, Log, LogError},
    registry::Registry,
};
pub(crate) use beacons::{STATE_COLUMNS, read_state};
use counts::{Counts, Verdict};
pub use runner::{Progress, Runner};

/// How many entries of the log go into one commit of the fold.
const ENTRIES_PER_COMMIT_MAX: usize = 64;
/// The last instant that is taken for a time: the end of the year 9999. What is later is a fault in the sender.
const TIME_MAX: UnixMillis = UnixMillis(253_402_300_799_999);

const SCHEMA: &str = include_str!("schema.sql");

/// Why folding stopped. Nothing is half done: the next try starts where the last commit ended.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The folded tables, or the registry.
    #[error("fold: {0}")]
    Database(#[from] rusqlite::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The tables were folded from another log.
    #[error(
        "fold: {consumed} entries were folded, but the log ends at {last}: fold.db belongs to another log; \
         delete it, and it is folded again"
    )]
    OtherLog {
        /// What the tables say.
        consumed: u64,
        /// What the log says.
        last: u64,
    },
}

/// The folded tables, with what is needed to fold more.
pub struct Fold {
    db: Connection,
    registry: Registry,
}

/// What one step did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How far the log is folded now.
    pub consumed_seq: u64,
    /// How many entries this step consumed; 0 when it has caught up.
    pub entries: usize,
    /// The slots whose row or impression may have changed.
    pub changed: BTreeSet<OpportunityId>,
}

impl Fold {
    /// Opens the tables of a data directory, or starts them empty.
    pub fn open(path: &Path, registry: Registry) -> Result<Self, FoldError> {
        Ok(Self { db: data_dir::connect(path, Durability::Derived, SCHEMA)?, registry })
    }

    /// How far the log is folded.
    pub fn consumed_seq(&self) -> Result<u64, FoldError> {
        Ok(consumed_seq(&self.db)?)
    }

    /// Folds the next entries of the log in one commit.
    pub fn step(&mut self, log: &dyn Log) -> Result<Step, FoldError> {
        let commit = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let consumed = consumed_seq(&commit)?;
        let last = log.last_seq()?;
        if consumed > last {
            return Err(FoldError::OtherLog { consumed, last });
        }
        let entries = log.read(consumed, ENTRIES_PER_COMMIT_MAX)?;
        let mut changed = impressions::on_terms_now_known(&commit, &mut self.registry)?;
        for entry in &entries {
            fold_entry(&commit, entry, &mut changed)?;
        }
        for id in &changed {
            impressions::derive(&commit, &mut self.registry, *id)?;
        }
        let consumed_seq = entries.last().map_or(consumed, |entry| entry.seq);
        commit
            .prepare_cached("UPDATE fold_offset SET consumed_seq = ?1 WHERE consumed_seq <> ?1")?
            .execute([consumed_seq])?;
        commit.commit()?;
        Ok(Step { consumed_seq, entries: entries.len(), changed })
    }

    /// Folds until the log is consumed.
    pub fn catch_up(&mut self, log: &dyn Log) -> Result<(), FoldError> {
        while self.step(log)?.entries > 0 {}
        Ok(())
    }
}

fn consumed_seq(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT consumed_seq FROM fold_offset")?.query_row([], |row| row.get(0))
}

fn fold_entry(db: &Connection, entry: &Entry, changed: &mut BTreeSet<OpportunityId>) -> rusqlite::Result<()> {
    let Ok(batch) = serde_json::from_slice::<FactBatch>(&entry.received.bytes) else {
        // The collector let it pass, so an older or newer build wrote it. It stays in the log; the others go on.
        return Counts { received: 1, refused: 1, ..Counts::default() }.add_to(db, "(unreadable)");
    };
    let mut counts = Counts::default();
    for fact in &batch.facts {
        let verdict = match fact {
            Fact::Opportunity { recording, row } => opportunities::apply(db, &batch.edge_id, *recording, row, changed)?,
            Fact::Beacon(beacon) => beacons::apply(db, beacon, changed)?,
        };
        counts.count(verdict);
    }
    counts.add_to(db, &batch.edge_id)
}
