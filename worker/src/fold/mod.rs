//! The fold: from the log and the registry to the tables.
//!
//! Everything it keeps per slot is a join (a set of rows, and of beacons by [`core::impression`]), and what it derives
//! (which row stands, what was shown, what it earned) is a pure function of what it keeps. So duplicates, reordering and replays cannot change the tables, and
//! folding again from nothing gives them byte for byte.
//!
//! The offset of what is consumed is in the fold's own commit: a killed fold goes on exactly where it was.
//!
//! [`core::impression`]: slotkeeper_core::impression

mod beacons;
mod counts;
mod decisions;
mod fill_states;
mod impressions;
mod losses;
mod opportunities;
mod runner;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use slotkeeper_core::{
    fact::{Fact, FactBatch},
    id::OpportunityId,
};

use crate::{
    data_dir::{self, Durability},
    log::{Entry, Log, LogError, SqliteLog},
    registry::Registry,
};
pub(crate) use beacons::{STATE_COLUMNS, read_state};
use counts::{Counts, Verdict};
pub use fill_states::FillStates;
pub(crate) use fill_states::fill_state;
pub(crate) use impressions::parsed;
pub use opportunities::Place;
pub(crate) use opportunities::{Columns, columns_of, rows_of};
pub use runner::{Progress, Runner};

/// How many entries of the log go into one commit of the fold.
const ENTRIES_PER_COMMIT_MAX: usize = 64;

pub(crate) const SCHEMA: &str = include_str!("schema.sql");

/// The schema's number, kept in `PRAGMA user_version`. To be raised with every change of `schema.sql` or of what the fold
/// writes: tables of an earlier number are folded again. Before 3, no number was kept.
pub const SCHEMA_VERSION: u32 = 9;

/// Why folding stopped. Nothing is half done: the next try starts where the last commit ended.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The folded tables, or the registry.
    #[error("fold: {0}")]
    Database(#[from] rusqlite::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The tables are of a later build.
    #[error(
        "fold: fold.db has schema {found}, and this build makes {SCHEMA_VERSION}: a later build folded it; run that one, or \
         delete fold.db to fold the log again"
    )]
    LaterSchema {
        /// What the tables say.
        found: u32,
    },
    /// The tables are of an earlier build, and cannot be folded again.
    #[error(
        "fold: fold.db has schema {found}, and this build makes {SCHEMA_VERSION}, for which it would fold the log again; but the log \
         begins at entry {first}: what was before was dropped for its age (`slotkeeper retention`), and of the live tables fold.db \
         alone has it. Nothing was changed: run the build that made it"
    )]
    EarlierSchema {
        /// What the tables say.
        found: u32,
        /// The place of the log's first entry.
        first: u64,
    },
    /// Tables of an earlier build could not be put aside.
    #[error("fold: putting the tables of an earlier build aside: {0}")]
    PutAside(#[from] std::io::Error),
    /// There is nothing to begin from.
    #[error(
        "fold: fold.db is empty, and the log begins at entry {first}: what was before was dropped for its age (`slotkeeper \
         retention`), so the tables cannot be folded again; put fold.db of a backup back, and ask the lake for what is older"
    )]
    LogBeginsLater {
        /// The place of the log's first entry.
        first: u64,
    },
    /// The tables were folded from another log.
    #[error(
        "fold: entry {consumed}, the last one folded, is not in this log, which ends at {last}: log.db is another log, \
         or an older copy of it; stop, and put the right log.db back, or delete fold.db to fold this one from its start"
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
    /// Opens the tables of a data directory, or starts them empty. Tables of an earlier schema are put aside: they are
    /// derived, and folding fills the new ones from the log. But where the log beside them does not reach back to its first entry,
    /// they are refused, and stay where they are.
    pub fn open(path: &Path, registry: Registry) -> Result<Self, FoldError> {
        match schema_of(path)? {
            Some(found) if found > SCHEMA_VERSION => return Err(FoldError::LaterSchema { found }),
            Some(found) if found < SCHEMA_VERSION => {
                let first = SqliteLog::first_seq_at(&path.with_file_name(data_dir::LOG))?;
                if first > 1 {
                    return Err(FoldError::EarlierSchema { found, first });
                }
                put_aside(path, found)?;
            }
            Some(_) | None => {}
        }
        let db = data_dir::connect(path, Durability::Derived, SCHEMA)?;
        db.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        Ok(Self { db, registry })
    }

    /// The tables in a database that is open already; makes those that are missing.
    pub fn over(db: Connection, registry: Registry) -> rusqlite::Result<Self> {
        db.execute_batch(SCHEMA)?;
        Ok(Self { db, registry })
    }

    /// The database that holds the tables.
    pub fn db(&self) -> &Connection {
        &self.db
    }

    /// Leaves the tables as the last commit left them, as a killed process does.
    pub fn into_db(self) -> Connection {
        self.db
    }

    /// How far the log is folded.
    pub fn consumed_seq(&self) -> Result<u64, FoldError> {
        Ok(consumed_seq(&self.db)?)
    }

    /// Folds the next entries of the log in one commit.
    pub fn step(&mut self, log: &dyn Log) -> Result<Step, FoldError> {
        let commit = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let consumed = consumed_seq(&commit)?;
        if consumed > 0 && !is_at(log, consumed, last_entry(&commit)?.as_deref())? {
            return Err(FoldError::OtherLog { consumed, last: log.last_seq()? });
        }
        let entries = log.read(consumed, ENTRIES_PER_COMMIT_MAX)?;
        if let (0, Some(first)) = (consumed, entries.first().map(|first| first.seq))
            && first > 1
        {
            return Err(FoldError::LogBeginsLater { first });
        }
        let mut changed = impressions::on_terms_now_known(&commit, &mut self.registry)?;
        for entry in &entries {
            fold_entry(&commit, entry, &mut changed)?;
        }
        for id in &changed {
            impressions::derive(&commit, &mut self.registry, *id)?;
        }
        let consumed_seq = match entries.last() {
            Some(last) => note_consumed(&commit, last)?,
            None => consumed,
        };
        commit.commit()?;
        Ok(Step { consumed_seq, entries: entries.len(), changed })
    }

    /// Folds until the log is consumed, and all terms that are known are applied.
    pub fn catch_up(&mut self, log: &dyn Log) -> Result<(), FoldError> {
        while !self.step(log)?.found_nothing() {}
        Ok(())
    }
}

impl Step {
    /// Whether there was nothing to do, and so there is nothing more to do for now.
    #[must_use]
    pub fn found_nothing(&self) -> bool {
        self.entries == 0 && self.changed.is_empty()
    }
}

/// The schema of the tables in a file, if there are any.
fn schema_of(path: &Path) -> rusqlite::Result<Option<u32>> {
    if !path.exists() {
        return Ok(None);
    }
    let db = data_dir::connect_read_only(path)?;
    let is_empty: bool = db.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    let number = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok((!is_empty).then_some(number))
}

/// Renames the tables of an earlier build, over those of one still earlier.
fn put_aside(path: &Path, found: u32) -> Result<(), FoldError> {
    let with = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    crate::tell!(
        "slotkeeper: {} has schema {found}, and this build makes {SCHEMA_VERSION}: it is put aside as {}, and the log is \
         folded again",
        path.display(),
        with(".old").display()
    );
    // The log of writes goes first, under the name that belongs to it: killed in between, nothing is taken for the new's.
    for end in ["-wal", "-shm", ""] {
        let (from, to) = (with(end), with(&format!(".old{end}")));
        if from.exists() {
            std::fs::rename(from, to)?;
        } else if to.exists() {
            std::fs::remove_file(to)?;
        }
    }
    Ok(())
}

fn consumed_seq(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT consumed_seq FROM fold_offset")?.query_row([], |row| row.get(0))
}

/// The hash of the last entry folded; `None` before the first, and in tables of a build that kept none.
fn last_entry(db: &Connection) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("SELECT hash FROM fold_last_entry")?.query_row([], |row| row.get(0)).optional()
}

/// Whether the log holds the entry of this hash at `seq`.
pub(crate) fn is_at(log: &dyn Log, seq: u64, known: Option<&str>) -> Result<bool, LogError> {
    let found = log.read(seq - 1, 1)?;
    Ok(found.first().is_some_and(|entry| entry.seq == seq && Some(entry_hash(entry).as_str()) == known))
}

/// Of an entry: its place, its time and its bytes.
pub(crate) fn entry_hash(entry: &Entry) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&entry.seq.to_le_bytes());
    hasher.update(&entry.received.at.0.to_le_bytes());
    hasher.update(&entry.received.bytes);
    hasher.finalize().to_hex().to_string()
}

fn note_consumed(db: &Connection, last: &Entry) -> rusqlite::Result<u64> {
    db.prepare_cached("UPDATE fold_offset SET consumed_seq = ?1")?.execute([last.seq])?;
    db.prepare_cached("INSERT OR REPLACE INTO fold_last_entry VALUES (1, ?1)")?.execute([entry_hash(last)])?;
    Ok(last.seq)
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
            Fact::Decision(decision) => decisions::apply(db, decision)?,
            Fact::Beacon(beacon) => beacons::apply(db, beacon, changed)?,
            Fact::ClientLoss(loss) => losses::apply(db, loss)?,
        };
        counts.count(verdict);
    }
    counts.add_to(db, &batch.edge_id)
}
