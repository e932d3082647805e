//! Dropping the oldest entries of the log, once everything that is made of it has them.
//!
//! **Invariants.** What the fold, the trackers or the lake have not consumed is never dropped, nor what the lake could not read, nor the entry that each of them knows the
//! log by. The log keeps its places: it has no gaps from its first entry on, and no place is given twice. Killed anywhere, what was
//! dropped is dropped from the front, and the next run goes on.
//!
//! From then on the log tells no more of what was dropped: the lake's raw files do. Whoever reads the log from its start says so:
//! the fold does not begin anew, and an audit is refused.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use slotkeeper_core::{fact::FactBatch, time::UnixMillis};

use crate::{
    data_dir::{self, DataDir, DataDirError},
    forget,
    log::{Entry, Log as _, LogError, SqliteLog},
};

/// How many entries are dropped in one commit, so that whoever appends waits for moments only.
const ENTRIES_PER_COMMIT: u64 = 500;
/// How many entries are looked at at once.
const ENTRIES_READ: usize = 100;
/// How many free pages are given back to the file system in one commit.
const PAGES_PER_COMMIT: u64 = 5_000;
/// Who holds back what nobody could read.
const UNREADABLE: &str = "an entry that this build cannot read";
const DAY_MS: u64 = 24 * 3_600_000;
/// SQLite's number for giving pages back piece by piece.
const INCREMENTAL: u32 = 2;

/// Why nothing (more) is dropped. What was dropped before is.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What was made of the log, or its file.
    #[error("retention: {0}")]
    Database(#[from] rusqlite::Error),
    /// The directory cannot be used, or is being copied.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A viewer is half forgotten.
    #[error(
        "retention: a viewer is forgotten in the log and not everywhere yet; run `slotkeeper forget` again first, or start `slotkeeper serve`, which finishes it"
    )]
    Forgetting,
    /// There is no lake.
    #[error(
        "retention: there is no lake.db: only the lake keeps what is dropped here; run `slotkeeper lake advance` first"
    )]
    NoLake,
}

/// What may be dropped, or was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// How many entries.
    pub entries: u64,
    /// The place of the first entry that stays; 0 of a log without any.
    pub first_kept_seq: u64,
    /// How many entries are old enough and stay, because somebody has not consumed them, or they cannot be read.
    pub held_back: u64,
    /// Who that is.
    pub held_back_by: Option<&'static str>,
    /// Whether the file became smaller by them. If not, their room is used for what comes.
    pub given_back: bool,
}

/// What would be dropped of entries that came before `days` ago.
pub fn look(data: &DataDir, days: u64, now: UnixMillis) -> Result<Dropped, RetentionError> {
    let log = SqliteLog::open_read_only(&data.log())?;
    Ok(droppable(data, &log, days, now)?.1)
}

/// Drops them. An origin may serve meanwhile.
pub fn drop_old(
    data: &DataDir,
    days: u64,
    now: UnixMillis,
    progress: &dyn Fn(&str),
) -> Result<Dropped, RetentionError> {
    drop_old_watched(data, days, now, progress, &|_| true)
}

/// The same; `goes_on` hears of every commit's last entry, and may end it there.
pub fn drop_old_watched(
    data: &DataDir,
    days: u64,
    now: UnixMillis,
    progress: &dyn Fn(&str),
    goes_on: &dyn Fn(u64) -> bool,
) -> Result<Dropped, RetentionError> {
    let _past = data.lock_for_rewriting()?;
    let log = SqliteLog::open(&data.log())?;
    let (last, mut dropped) = droppable(data, &log, days, now)?;
    if dropped.entries > 0 {
        let mut at = dropped.first_kept_seq - 1 - dropped.entries;
        while at < last {
            at = (at + ENTRIES_PER_COMMIT).min(last);
            log.drop_until(at)?;
            progress(&format!("dropped the log up to entry {at} of {last}"));
            if !goes_on(at) {
                return Ok(dropped);
            }
        }
        dropped.given_back = give_back(data, &log)?;
    }
    Ok(dropped)
}

/// The last entry that may be dropped, and what that means.
fn droppable(data: &DataDir, log: &SqliteLog, days: u64, now: UnixMillis) -> Result<(u64, Dropped), RetentionError> {
    if forget::is_unfinished(log).map_err(|error| LogError(error.to_string()))? {
        return Err(RetentionError::Forgetting);
    }
    let Some(first) = log.read(0, 1)?.first().map(|entry| entry.seq) else { return Ok((0, Dropped::default())) };
    let old = log.last_before(now.minus_ms(days.saturating_mul(DAY_MS)))?.max(first - 1);
    let (consumed, by) = consumed(data)?;
    // The last entry that somebody consumed stays: by it they know the log.
    let (mut last, mut by) = (old.min(consumed.saturating_sub(1)).max(first - 1), by);
    if let Some(unreadable) = unreadable(data, log, first, last)? {
        (last, by) = (unreadable - 1, UNREADABLE);
    }
    let dropped = Dropped {
        entries: last + 1 - first,
        first_kept_seq: last + 1,
        held_back: old - last,
        held_back_by: (old > last).then_some(by),
        given_back: false,
    };
    Ok((last, dropped))
}

/// How far everybody has consumed the log, and who is the last.
fn consumed(data: &DataDir) -> Result<(u64, &'static str), RetentionError> {
    let lake = data.lake_db();
    if !lake.exists() {
        return Err(RetentionError::NoLake);
    }
    let lake = offset(&lake, "lake_offset", "consumed_seq")?.unwrap_or(0);
    let fold = offset(&data.fold(), "fold_offset", "consumed_seq")?.unwrap_or(0);
    // An origin without trackers.db begins it at the log's end: it waits for nothing that is here.
    let trackers = offset(&data.trackers(), "consumed", "seq")?.unwrap_or(u64::MAX);
    let all = [(fold, "the fold"), (trackers, "the trackers"), (lake, "the lake")];
    Ok(all.into_iter().min().unwrap_or_default())
}

/// The first of these entries that no build could read that came to it: what it holds is in the log alone. Where a build counted such
/// without noting which, they are looked for.
fn unreadable(data: &DataDir, log: &SqliteLog, first: u64, last: u64) -> Result<Option<u64>, RetentionError> {
    let db = data_dir::connect_read_only(&data.lake_db())?;
    let count = |sql| db.query_row(sql, [], |row| row.get::<_, u64>(0));
    let noted = data_dir::has_table(&db, "unreadable_entries")?;
    let known = if noted { count("SELECT count(*) FROM unreadable_entries")? } else { 0 };
    let missing = count("SELECT coalesce(max(unreadable_batches), 0) FROM counts")?.saturating_sub(known);
    if missing > 0 {
        return first_unreadable(log, first, last);
    }
    if !noted {
        return Ok(None);
    }
    let sql = "SELECT min(seq) FROM unreadable_entries WHERE seq BETWEEN ?1 AND ?2";
    Ok(db.query_row(sql, [first, last], |row| row.get(0))?)
}

fn first_unreadable(log: &SqliteLog, first: u64, last: u64) -> Result<Option<u64>, RetentionError> {
    let mut after = first - 1;
    while after < last {
        let entries = log.read(after, ENTRIES_READ)?;
        let Some(newest) = entries.last() else { break };
        after = newest.seq;
        let is_unreadable = |entry: &&Entry| serde_json::from_slice::<FactBatch>(&entry.received.bytes).is_err();
        if let Some(entry) = entries.iter().take_while(|entry| entry.seq <= last).find(is_unreadable) {
            return Ok(Some(entry.seq));
        }
    }
    Ok(None)
}

fn offset(path: &Path, table: &str, column: &str) -> rusqlite::Result<Option<u64>> {
    if !path.exists() {
        return Ok(None);
    }
    let db = data_dir::connect_read_only(path)?;
    if !data_dir::has_table(&db, table)? {
        return Ok(None);
    }
    db.query_row(&format!("SELECT {column} FROM {table}"), [], |row| row.get(0)).optional()
}

/// Makes the file smaller by what is free in it; whether it could. The first time all of it is written anew, for which nobody may serve.
fn give_back(data: &DataDir, log: &SqliteLog) -> Result<bool, RetentionError> {
    let db = log.beside();
    if pragma(db, "auto_vacuum")? != u64::from(INCREMENTAL) {
        let Ok(_lock) = data.lock_for_serving() else { return Ok(false) };
        db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")?;
    }
    while pragma(db, "freelist_count")? > 0 {
        let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({PAGES_PER_COMMIT})"))?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {} // each row is a page given back
    }
    Ok(data_dir::empty_wal(db)?)
}

fn pragma(db: &Connection, name: &str) -> rusqlite::Result<u64> {
    db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}
