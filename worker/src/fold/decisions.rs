//! Keeping what breaks were decided from.
//!
//! A decision is kept under the address of its content, so it does not matter when or how often it comes, and none can
//! take another's place. Whether the rows that name it agree with it is not for the fold to say, which must not depend on
//! what comes first: `explain` and `audit` say it.

use rusqlite::{Connection, OptionalExtension as _, params};
use slotkeeper_core::{
    api::{CALLER_ID_BYTES_MAX, SLOTS_MAX},
    auction::{OFFERS_MAX, Offer},
    contract::{DemandClass, RegistryRecord},
    decision::Decision,
    id::RecordId,
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
    for offer in decision.auction.offers() {
        db.prepare_cached("INSERT OR IGNORE INTO auction_records (record_id, record) VALUES (?1, ?2)")?
            .execute(params![offer.record.record_id().to_string(), offer.record.canonical_json()])?;
    }
    Ok(if kept == 1 { Verdict::Fresh } else { Verdict::Duplicate })
}

/// Whether an edge may have decided this. The claims are bounded by the shape they are read from.
fn is_within_bounds(decision: &Decision) -> bool {
    let given = [&decision.asked.tier, &decision.asked.country, &decision.asked.region, &decision.asked.device];
    let mut texts = given.into_iter().flatten().chain([&decision.asked.title_id]);
    decision.auction.offers().len() <= OFFERS_MAX
        && decision.auction.offers().iter().all(is_an_auctions)
        && decision.opened_at <= TIME_MAX
        && decision.decided_at <= TIME_MAX
        && decision.plan_version.is_none_or(|version| i64::try_from(version).is_ok())
        && (1..=SLOTS_MAX).contains(&decision.asked.slots_max())
        && texts.all(|text| text.len() <= CALLER_ID_BYTES_MAX)
}

/// Whether an offer is what an auction can sell: nothing that a contract does.
fn is_an_auctions(offer: &Offer) -> bool {
    offer.record.class == DemandClass::Auction && offer.record.flight_id.0 == 0 && offer.record.campaign_id.0 == 0
}

/// The ad as an auction sold it; `None` if no decision in these tables knows of it.
pub(super) fn auction_record(db: &Connection, id: RecordId) -> rusqlite::Result<Option<RegistryRecord>> {
    let json: Option<String> = db
        .prepare_cached("SELECT record FROM auction_records WHERE record_id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}
