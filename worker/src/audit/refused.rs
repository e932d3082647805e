//! Which facts cannot be folded, by a reading of the bounds of its own: they stay in the log, and no table holds them.

use slotkeeper_core::{
    contract::{DemandClass, RegistryRecord},
    decision::Decision,
    fact::{BeaconFact, ClientLoss},
    id::{BreakId, OpportunityId},
    pod::Opportunity,
};

/// The last millisecond of the year 9999.
const LAST_MS: u64 = 253_402_300_799_999;
/// The most slots of a break.
const SLOTS_MAX: usize = 16;
/// The most offers of an auction that a break keeps.
const OFFERS_MAX: usize = 16;
/// The longest id of a caller, in bytes.
const CALLER_ID_MAX: usize = 128;

/// Whether a row contradicts itself, or is out of bounds.
pub(super) fn row(row: &Opportunity) -> bool {
    let id = row.opportunity_id;
    let mut times = vec![row.decided_at.0, opened_ms(id)];
    if let Some(fill) = row.fill() {
        times.push(fill.expires_at.0);
        times.extend(fill.claim.map(|claim| claim.counts_until.0));
    }
    times.iter().any(|time| *time > LAST_MS)
        || row.plan_version.is_some_and(|version| version > i64::MAX as u64)
        || usize::from(row.slot_index) >= SLOTS_MAX
        || row.title_id.len() > CALLER_ID_MAX
        || !is_id_of(id, row.break_id, row.slot_index)
}

/// Whether a decision is out of bounds.
pub(super) fn decision(decision: &Decision) -> bool {
    let is_long = |text: &String| text.len() > CALLER_ID_MAX;
    decision.opened_at.0.max(decision.decided_at.0) > LAST_MS
        || decision.plan_version.is_some_and(|version| version > i64::MAX as u64)
        || decision.auction.offers().len() > OFFERS_MAX
        || decision.auction.offers().iter().any(|offer| is_a_contracts(&offer.record))
        || decision.asked.slots_max() == 0
        || decision.asked.slots_max() > SLOTS_MAX
        || is_long(&decision.asked.title_id)
        || decision.asked.tier.as_ref().is_some_and(is_long)
        || decision.asked.country.as_ref().is_some_and(is_long)
        || decision.asked.region.as_ref().is_some_and(is_long)
        || decision.asked.device.as_ref().is_some_and(is_long)
}

/// Whether a record says that a contract sold it, which no auction may say.
fn is_a_contracts(record: &RegistryRecord) -> bool {
    record.class != DemandClass::Auction || record.flight_id.0 != 0 || record.campaign_id.0 != 0
}

/// Whether a beacon is out of bounds.
pub(super) fn beacon(beacon: &BeaconFact) -> bool {
    beacon.at.0 > LAST_MS
}

/// Whether it says that nothing was lost.
pub(super) fn loss(loss: &ClientLoss) -> bool {
    loss.lost < 1
}

fn opened_ms(id: OpportunityId) -> u64 {
    id.0[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
}

/// Whether an id is of this slot: a UUID of version 7 that carries the first 70 bits of its break's id, then four of the
/// slot's number.
fn is_id_of(id: OpportunityId, break_id: BreakId, slot_index: u8) -> bool {
    let bits = u128::from_be_bytes(id.0);
    let (version, variant) = (bits >> 76 & 0xf, bits >> 62 & 0b11);
    let carried = (bits >> 64 & 0xfff) << 62 | bits & (u128::MAX >> 66);
    (version, variant) == (7, 0b10)
        && carried >> 4 == u128::from_be_bytes(break_id.0) >> 58
        && carried & 0xf == u128::from(slot_index)
}
