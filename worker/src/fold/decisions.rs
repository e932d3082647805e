//! Keeping what breaks were decided from.
//!
//! A decision is kept under the address of its content, so it does not matter when or how often it comes, and none can
//! take another's place. Whether the rows that name it agree with it is not for the fold to say, which must not depend on
//! what comes first: `explain` and `audit` say it.

use rusqlite::{Connection, params};
use slotkeeper_core::{
    api::{CALLER_ID_BYTES_MAX, SLOTS_MAX},
    decision::Decision,
};

use super::{TIME_MAX, Verdict};

pub(super) fn apply(db: &Connection, decision: &Decision) -> rusqlite::Result<Verdict> {
    if !is_within_bounds(decision) {
        return Ok(Verdict::Refused);
    }
    let content = serde_json::to_string(decision).unwrap_or_else(|_| unreachable!("string keys only"));
    let kept = db
        .prepare_cached("INSERT OR IGNORE INTO decisions (decision_id, break_id, content) VALUES (?1, ?2, ?3)")?
        .execute(params![decision.id().to_string(), decision.break_id.to_string(), content])?;
    Ok(if kept == 1 { Verdict::Fresh } else { Verdict::Duplicate })
}

/// Whether an edge may have decided this. The claims are bounded by the shape they are read from.
fn is_within_bounds(decision: &Decision) -> bool {
    let given = [&decision.asked.tier, &decision.asked.country, &decision.asked.region, &decision.asked.device];
    let mut texts = given.into_iter().flatten().chain([&decision.asked.title_id]);
    decision.opened_at <= TIME_MAX
        && decision.decided_at <= TIME_MAX
        && decision.plan_version.is_none_or(|version| i64::try_from(version).is_ok())
        && (1..=SLOTS_MAX).contains(&decision.asked.slots_max())
        && texts.all(|text| text.len() <= CALLER_ID_BYTES_MAX)
}
