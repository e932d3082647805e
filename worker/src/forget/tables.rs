//! A viewer in the folded tables of a log whose beginning was dropped: those cannot be folded again, so they are changed where they are.

use std::path::Path;

use rusqlite::{OptionalExtension as _, TransactionBehavior, params};
use slotkeeper_core::{decision::Decision, id::BreakId};

use super::{
    ForgetError,
    receipts::{self, Unfinished},
};
use crate::{
    data_dir::{self, Durability},
    log::SqliteLog,
};

/// Takes the viewer out of the rows of their breaks, as the log now says them, and the decisions away.
pub(super) fn rewrite(path: &Path, log: &SqliteLog, unfinished: &Unfinished) -> Result<(), ForgetError> {
    if !path.exists() {
        return Ok(());
    }
    let mut db = data_dir::connect(path, Durability::Derived, "")?;
    if !data_dir::has_table(&db, "fold_offset")? {
        return Ok(());
    }
    let commit = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for break_id in &unfinished.breaks {
        rows(&commit, unfinished, *break_id)?;
        decisions(&commit, unfinished, *break_id)?;
    }
    for (before, now) in &unfinished.sessions {
        commit.execute(
            "UPDATE OR REPLACE client_losses SET session = ?2 WHERE session = ?1",
            params![before.to_string(), now.to_string()],
        )?;
    }
    let place = "SELECT consumed_seq, hash FROM fold_offset, fold_last_entry";
    let place = commit.query_row(place, [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).optional()?;
    if let Some((seq, before)) = place
        && let Some(now) = receipts::hash_now(log, seq, &before)?
    {
        commit.execute("UPDATE fold_last_entry SET hash = ?1", [now])?;
    }
    commit.commit()?;
    super::erase(&db, path)
}

fn rows(db: &rusqlite::Connection, unfinished: &Unfinished, break_id: BreakId) -> rusqlite::Result<()> {
    let viewer = unfinished.known_as.to_string();
    for table in ["fct_ad_opportunities", "opportunities_superseded"] {
        let theirs = format!("SELECT slot_index, content_hash FROM {table} WHERE break_id = ?1 AND viewer <> ?2");
        let theirs: Vec<(u8, String)> = db
            .prepare_cached(&theirs)?
            .query_map([&break_id.to_string(), &viewer], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (slot_index, before) in theirs {
            db.prepare_cached(&format!(
                "UPDATE {table} SET viewer = ?4, content_hash = ?5
                 WHERE break_id = ?1 AND slot_index = ?2 AND content_hash = ?3"
            ))?
            .execute(params![
                break_id.to_string(),
                slot_index,
                before,
                viewer,
                unfinished.hash_now(&before)
            ])?;
        }
    }
    Ok(())
}

fn decisions(db: &rusqlite::Connection, unfinished: &Unfinished, break_id: BreakId) -> rusqlite::Result<()> {
    let contents: Vec<(String, String)> = db
        .prepare_cached("SELECT decision_id, content FROM decisions WHERE break_id = ?1")?
        .query_map([break_id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (decision_id, content) in contents {
        let is_theirs = |decision: Decision| decision.viewer != unfinished.known_as;
        if serde_json::from_str(&content).map_or(true, is_theirs) {
            db.prepare_cached("DELETE FROM decisions WHERE decision_id = ?1")?.execute([decision_id])?;
        }
    }
    Ok(())
}
