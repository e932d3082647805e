//! What is kept of a forgetting, in `log.db` beside the entries it changed: when, how much, and how far it has come.
//!
//! Neither the profile nor its pseudonym is here. The breaks are, because decisions are missing of them and an audit must know why;
//! their rows lie in the log under the viewer's new, random name anyway.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rusqlite::{Connection, OptionalExtension as _, params};
use slotkeeper_core::{
    id::{BreakId, OpportunityId, SessionKey, ViewerKey},
    time::UnixMillis,
};
use slotkeeper_lake::Forgetting;

use super::{ForgetError, Found, HOUR_MS};
use crate::{
    data_dir,
    fold::entry_hash,
    log::{Entry, Log as _, SqliteLog},
};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS forgotten (
    receipt_id TEXT NOT NULL PRIMARY KEY CHECK (length(receipt_id) = 32),
    at_ms INTEGER NOT NULL CHECK (at_ms >= 0),
    rows INTEGER NOT NULL CHECK (rows >= 0),
    decisions INTEGER NOT NULL CHECK (decisions >= 0),
    beacons INTEGER NOT NULL CHECK (beacons >= 0),
    losses INTEGER NOT NULL CHECK (losses >= 0),
    -- The random viewer of the rows from then on.
    known_as TEXT NOT NULL CHECK (length(known_as) = 32),
    -- The log is rewritten; then everything that was made of it.
    state TEXT NOT NULL CHECK (state IN ('log_rewritten', 'done'))
) STRICT, WITHOUT ROWID;
-- Of which breaks, by the hours in which they opened.
CREATE TABLE IF NOT EXISTS forgotten_breaks (
    break_id TEXT NOT NULL CHECK (length(break_id) = 32),
    hour_at_ms INTEGER NOT NULL CHECK (hour_at_ms >= 0),
    receipt_id TEXT NOT NULL,
    PRIMARY KEY (break_id, hour_at_ms, receipt_id)
) STRICT, WITHOUT ROWID;
-- Only until it is done: the hashes that entries had, by which whoever consumed them knows the log.
CREATE TABLE IF NOT EXISTS forgotten_entries (
    seq INTEGER NOT NULL PRIMARY KEY CHECK (seq > 0),
    hash_before TEXT NOT NULL CHECK (length(hash_before) = 64)
) STRICT, WITHOUT ROWID;
-- Only until it is done: the hashes that rows had, and the names of sessions, as the lake knows them.
CREATE TABLE IF NOT EXISTS forgotten_names (
    kind TEXT NOT NULL CHECK (kind IN ('row', 'session')),
    before TEXT NOT NULL,
    now TEXT NOT NULL,
    PRIMARY KEY (kind, before)
) STRICT, WITHOUT ROWID";

/// A forgetting that is not done.
pub(super) struct Unfinished {
    pub(super) receipt_id: String,
    pub(super) known_as: ViewerKey,
    pub(super) breaks: BTreeSet<BreakId>,
    pub(super) hours: BTreeSet<UnixMillis>,
    /// Of rows that were changed, the hash of their content before and now.
    pub(super) hashes: BTreeMap<String, String>,
    pub(super) sessions: BTreeMap<SessionKey, SessionKey>,
}

impl Unfinished {
    /// The hash that a row's content has now. Of one that is not in the log any more: one that says nothing of what it was.
    pub(super) fn hash_now(&self, before: &str) -> String {
        self.hashes.get(before).cloned().unwrap_or_else(|| Forgetting::hash_of_dropped(before, self.known_as))
    }
}

pub(super) fn make_tables(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(SCHEMA)
}

/// Writes a receipt: from its commit on, the forgetting is found again, whatever is killed.
pub(super) fn begin(
    db: &Connection,
    receipt_id: &str,
    now: UnixMillis,
    found: &Found,
    known_as: ViewerKey,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO forgotten VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'log_rewritten')",
        params![receipt_id, now.0, found.rows, found.decisions, found.beacons, found.losses, known_as.to_string()],
    )?;
    for (break_id, hour) in &found.breaks {
        db.prepare_cached("INSERT INTO forgotten_breaks VALUES (?1, ?2, ?3)")?.execute(params![
            break_id.to_string(),
            hour.0,
            receipt_id
        ])?;
    }
    Ok(())
}

/// What something was called before, and is called now.
pub(super) fn note_name(db: &Connection, kind: &str, before: &str, now: &str) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO forgotten_names VALUES (?1, ?2, ?3)")?.execute([kind, before, now])?;
    Ok(())
}

pub(super) fn note_entry(db: &Connection, before: &Entry) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO forgotten_entries VALUES (?1, ?2)")?
        .execute(params![before.seq, entry_hash(before)])?;
    Ok(())
}

pub(super) fn unfinished(log: &SqliteLog) -> Result<Option<Unfinished>, ForgetError> {
    let db = log.beside();
    if !data_dir::has_table(db, "forgotten")? {
        return Ok(None);
    }
    let sql = "SELECT receipt_id, known_as FROM forgotten WHERE state <> 'done' ORDER BY at_ms LIMIT 1";
    let receipt = db.query_row(sql, [], |row| Ok((row.get(0)?, crate::fold::parsed(row, 1)?))).optional()?;
    let Some((receipt_id, known_as)): Option<(String, ViewerKey)> = receipt else { return Ok(None) };
    let (mut breaks, mut hours) = (BTreeSet::new(), BTreeSet::new());
    let mut select = db.prepare("SELECT break_id, hour_at_ms FROM forgotten_breaks WHERE receipt_id = ?1")?;
    let mut rows = select.query([&receipt_id])?;
    while let Some(row) = rows.next()? {
        breaks.insert(crate::fold::parsed(row, 0)?);
        hours.insert(UnixMillis(row.get(1)?));
    }
    let named = |kind| named(db, kind);
    let (hashes, sessions) = (named("row")?.into_iter().collect(), named("session")?);
    let sessions =
        sessions.iter().filter_map(|(before, now)| Some((before.parse().ok()?, now.parse().ok()?))).collect();
    Ok(Some(Unfinished { receipt_id, known_as, breaks, hours, hashes, sessions }))
}

fn named(db: &Connection, kind: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let mut select = db.prepare("SELECT before, now FROM forgotten_names WHERE kind = ?1")?;
    select.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

pub(super) fn finish(log: &SqliteLog, receipt_id: &str) -> rusqlite::Result<()> {
    let commit = log.beside().unchecked_transaction()?;
    commit.execute("DELETE FROM forgotten_entries", [])?;
    commit.execute("DELETE FROM forgotten_names", [])?;
    commit.execute("UPDATE forgotten SET state = 'done' WHERE receipt_id = ?1", [receipt_id])?;
    commit.commit()
}

/// The hash that an entry has now, if it had this one before it was rewritten.
pub(super) fn hash_now(log: &SqliteLog, seq: u64, before: &str) -> Result<Option<String>, ForgetError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM forgotten_entries WHERE seq = ?1 AND hash_before = ?2)";
    if !log.beside().query_row(sql, params![seq, before], |row| row.get::<_, bool>(0))? {
        return Ok(None);
    }
    Ok(log.read(seq - 1, 1)?.first().map(entry_hash))
}

/// The breaks of all that was ever forgotten in the log of a data directory.
pub(crate) fn forgotten_breaks(log: &Path) -> rusqlite::Result<BTreeSet<BreakId>> {
    let db = data_dir::connect_read_only(log)?;
    if !data_dir::has_table(&db, "forgotten_breaks")? {
        return Ok(BTreeSet::new());
    }
    let mut select = db.prepare("SELECT break_id FROM forgotten_breaks")?;
    select.query_map([], |row| crate::fold::parsed(row, 0))?.collect()
}

/// The hour in which a slot's break opened.
pub(super) fn hour_of(id: OpportunityId) -> UnixMillis {
    let at = id.opened_at().0;
    UnixMillis(at - at % HOUR_MS)
}
