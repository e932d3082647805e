//! What became of the tables since `schema.sql`, step by step. `PRAGMA user_version` counts the steps done.

use rusqlite::{Connection, TransactionBehavior};

/// The first makes version 1 of what `schema.sql` made, and so on. What was released is not changed any more.
const STEPS: [&str; 5] = [
    include_str!("migrations/1_frequency.sql"),
    include_str!("migrations/2_pods.sql"),
    include_str!("migrations/3_vasts.sql"),
    include_str!("migrations/4_history.sql"),
    include_str!("migrations/5_pauses.sql"),
];

/// Brings the tables of `db` up to date, in one transaction.
pub(super) fn run(db: &mut Connection) -> rusqlite::Result<()> {
    let commit = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done: usize = commit.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let Some(left) = STEPS.get(done..) else { return Err(newer(done)) };
    if left.is_empty() {
        return Ok(());
    }
    for step in left {
        commit.execute_batch(step)?;
    }
    commit.pragma_update(None, "user_version", STEPS.len())?;
    commit.commit()
}

fn newer(version: usize) -> rusqlite::Error {
    let message = format!("contracts.db is of version {version}; this slotkeeper knows versions up to {}", STEPS.len());
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_SCHEMA), Some(message))
}
