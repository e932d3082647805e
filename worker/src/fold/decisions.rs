//! Keeping what breaks were decided from.
//!
//! A decision is kept under the address of its content, so it does not matter when or how often it comes, and none can
//! take another's place. Whether the rows that name it agree with it is not for the fold to say, which must not depend on
//! what comes first: `explain` and `audit` say it.

use rusqlite::{Connection, OptionalExtension as _, params};
use slotkeeper_core::{contract::RegistryRecord, decision::Decision, id::RecordId};

use super::Verdict;

pub(super) fn apply(db: &Connection, decision: &Decision) -> rusqlite::Result<Verdict> {
    if !decision.is_within_bounds() {
        return Ok(Verdict::Refused);
    }
    let content = serde_json::to_string(decision).unwrap_or_else(|_| unreachable!("string keys only"));
    let kept = db
        .prepare_cached("INSERT OR IGNORE INTO decisions (decision_id, break_id, content) VALUES (?1, ?2, ?3)")?
        .execute(params![decision.id().to_string(), decision.break_id.to_string(), content])?;
    for offer in decision.auction.offers() {
        db.prepare_cached("INSERT OR IGNORE INTO auction_records (record_id, record) VALUES (?1, ?2)")?
            .execute(params![offer.record.record_id().to_string(), offer.record.canonical_json()])?;
    }
    Ok(if kept == 1 { Verdict::Fresh } else { Verdict::Duplicate })
}

/// The ad as an auction sold it; `None` if no decision in these tables knows of it.
pub(super) fn auction_record(db: &Connection, id: RecordId) -> rusqlite::Result<Option<RegistryRecord>> {
    let json: Option<String> = db
        .prepare_cached("SELECT record FROM auction_records WHERE record_id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}
