//! Folding what clients say they lost: the most that each session has said.

use rusqlite::{Connection, params};
use slotkeeper_core::fact::ClientLoss;

use super::Verdict;

pub(super) fn apply(db: &Connection, loss: &ClientLoss) -> rusqlite::Result<Verdict> {
    if !loss.is_within_bounds() {
        return Ok(Verdict::Refused);
    }
    let told = db
        .prepare_cached(
            "INSERT INTO client_losses (session, lost) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET lost = excluded.lost WHERE excluded.lost > lost",
        )?
        .execute(params![loss.session.to_string(), loss.lost])?;
    Ok(if told == 0 { Verdict::Duplicate } else { Verdict::Fresh })
}
