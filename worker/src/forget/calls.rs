//! Calls to vendors about a viewer's slots: those that were not made are not made any more.

use std::{collections::BTreeSet, path::Path};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use slotkeeper_core::{
    id::{BreakStem, OpportunityId},
    time::UnixMillis,
};

use super::{ForgetError, receipts};
use crate::{
    data_dir::{self, Durability},
    fold::parsed,
    log::SqliteLog,
};

/// Takes calls that wait, letters that are dead and events that are held out of `trackers.db`, and keeps that they must not be
/// called again. The place in the log gets the hash that its entry has now.
pub(super) fn drop_calls(
    path: &Path,
    log: &SqliteLog,
    breaks: &BTreeSet<BreakStem>,
    now: UnixMillis,
) -> Result<(), ForgetError> {
    if !path.exists() {
        return Ok(());
    }
    let mut db = data_dir::connect(path, Durability::Durable, "")?;
    if !data_dir::has_table(&db, "consumed")? {
        return Ok(());
    }
    let commit = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_theirs = |id: OpportunityId| breaks.contains(&id.break_stem());
    let waiting = "SELECT opportunity_id, firing_id, vendor FROM firings WHERE state <> 'delivered'";
    for (id, firing_id, vendor) in
        rows(&commit, waiting, |row| Ok((parsed(row, 0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?)))?
    {
        if is_theirs(id) {
            if commit.execute("DELETE FROM queue WHERE firing_id = ?1", [firing_id])? > 0 {
                commit.execute("UPDATE vendors SET dead = dead + 1 WHERE vendor = ?1", [vendor])?;
            }
            commit.execute("DELETE FROM dead_letters WHERE firing_id = ?1", [firing_id])?;
            commit.execute(
                "UPDATE firings SET state = 'dead', settled_at_ms = ?2 WHERE firing_id = ?1 AND state = 'queued'",
                params![firing_id, now.0],
            )?;
        }
    }
    for id in rows(&commit, "SELECT DISTINCT opportunity_id FROM held", |row| parsed::<OpportunityId>(row, 0))? {
        if is_theirs(id) {
            commit.execute("DELETE FROM held WHERE opportunity_id = ?1", [id.to_string()])?;
        }
    }
    let place = commit
        .query_row("SELECT seq, entry_hash FROM consumed WHERE entry_hash IS NOT NULL", [], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?))
        })
        .optional()?;
    if let Some((seq, before)) = place
        && let Some(hash) = receipts::hash_now(log, seq, &before)?
    {
        commit.execute("UPDATE consumed SET entry_hash = ?1", [hash])?;
    }
    commit.commit()?;
    super::erase(&db, path)
}

fn rows<T>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    db.prepare(sql)?.query_map([], read)?.collect()
}
