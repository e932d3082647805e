//! Keeping what breaks were decided from.

use rusqlite::{Connection, params};
use slotkeeper_core::decision::Decision;

use super::Verdict;

/// Keeps a decision under its content address, which no other content has.
pub(super) fn apply(db: &Connection, decision: &Decision) -> rusqlite::Result<Verdict> {
    let content = serde_json::to_string(decision).unwrap_or_else(|_| unreachable!("string keys only"));
    let kept = db
        .prepare_cached("INSERT OR IGNORE INTO decisions (decision_id, break_id, content) VALUES (?1, ?2, ?3)")?
        .execute(params![decision.id().to_string(), decision.break_id.to_string(), content])?;
    Ok(if kept == 1 { Verdict::Fresh } else { Verdict::Duplicate })
}
