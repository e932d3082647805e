//! Plans: made from what is booked and what is delivered, numbered, and kept.
//!
//! Making a plan writes the registry record of every ad in it first, in the same commit as the plan's number: so no edge
//! can mint a token whose terms are not known here.

mod allocation;
mod caps;
mod dayparts;
mod keep;
mod publish;
mod source;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use slotkeeper_core::{
    id::FlightId,
    keys::Keyring,
    plan::{PlanBuildError, PlanSource, build},
    time::UnixMillis,
};

use allocation::Allocator;
pub use allocation::Feedback;
pub use keep::{KEPT_BYTES_MAX, KEPT_MS, kept};
pub use publish::{EdgeReport, Folding, Publication, Publisher, keep_publishing};
pub use source::PublicUrlMissing;
use source::Sellable;

use crate::{
    contracts::{Contracts, booked_in},
    data_dir,
    log::LogError,
};

/// How long an edge may decide from a plan: an origin that is down for a day costs no ad break.
pub const VALID_MS: u64 = 24 * 3_600_000;
/// How far an edge's clock may be behind the origin's.
const CLOCK_SKEW_MS: u64 = 10 * 60_000;
/// How long a fill's token and claim live: long enough for a viewer to pause before the ad.
const LEASE_MS: u32 = 2 * 3_600_000;

/// A plan, ready to be pushed.
#[derive(Debug)]
pub struct MadePlan {
    /// What it holds.
    pub source: PlanSource,
    /// What the edges get.
    pub bytes: Vec<u8>,
    /// Creatives whose ads it leaves out, because nobody knows yet what their VAST shows: their ids in the contracts file.
    pub unresolved: Vec<String>,
}

/// Why no plan was made. Nothing is stored then.
#[derive(Debug, thiserror::Error)]
pub enum MakePlanError {
    /// The bookings cannot be read, or the plan not written.
    #[error("plan: {0}")]
    Database(#[from] rusqlite::Error),
    /// The bookings do not fit a plan.
    #[error("plan: {0}")]
    Build(#[from] PlanBuildError),
    /// A media path without an origin to prefix it with.
    #[error(transparent)]
    PublicUrl(#[from] PublicUrlMissing),
    /// How far the log reaches cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What is delivered is not all counted yet: flights that are done would be sold again.
    #[error(
        "plan: only {consumed} of {logged} entries of the log are folded, so what is delivered is not all counted, and \
         flights that are done would be sold again"
    )]
    NotFolded {
        /// How far the log is folded.
        consumed: u64,
        /// How far it must be.
        logged: u64,
    },
}

/// What is delivered, as far as the log is folded.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How far that is.
    pub consumed_seq: u64,
    /// Of each flight, the impressions that passed its threshold.
    pub impressions: BTreeMap<FlightId, u64>,
}

/// What is delivered of each flight. Nothing of any, before the first fold.
pub fn delivered(fold: &Path) -> rusqlite::Result<Delivered> {
    if !fold.exists() {
        return Ok(Delivered::default());
    }
    let mut db = data_dir::connect_read_only(fold)?;
    let view = db.transaction()?; // the counts are of exactly the entries that it says
    if !data_dir::has_table(&view, "fold_offset")? {
        return Ok(Delivered::default());
    }
    let consumed_seq = view.query_row("SELECT consumed_seq FROM fold_offset", [], |row| row.get(0))?;
    let impressions = view
        .prepare("SELECT flight_id, count(*) FROM fct_ad_impressions WHERE threshold_passed = 1 GROUP BY flight_id")?
        .query_map([], |row| Ok((FlightId(row.get(0)?), row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Delivered { consumed_seq, impressions })
}

/// Makes the next plan from what is booked, and keeps it. Of two plans, the newer number never has the older bookings.
pub fn make(
    contracts: &mut Contracts,
    feedback: &Feedback,
    public_url: Option<&str>,
    keys: &Keyring,
    now: UnixMillis,
) -> Result<MadePlan, MakePlanError> {
    let last = if feedback.is_stale { last_made(contracts)? } else { None };
    let last =
        last.into_iter().flat_map(|plan| plan.flights).map(|flight| (flight.flight_id, flight.allocation)).collect();
    let mut allocator = Allocator::new(feedback, last, now);
    // The write lock before the first read: an import is then before both the bookings and the number, or after both.
    let commit = contracts.db().transaction_with_behavior(TransactionBehavior::Immediate)?;
    let booked = booked_in(&commit)?;
    let validity = (now.minus_ms(CLOCK_SKEW_MS), now.plus_ms(VALID_MS));
    let unresolved = booked.unresolved().into_iter().map(String::from).collect();
    let Sellable { flights, records } = source::sellable(&booked, &mut allocator, public_url, now, validity)?;
    let source = PlanSource {
        version: next_version(&commit, now)?,
        created_at: now,
        valid_from: validity.0,
        valid_until: validity.1,
        lease_ms: LEASE_MS,
        titles: booked.titles,
        flights,
    };
    let bytes = build(&source, keys)?;
    for record in &records {
        commit
            .prepare_cached("INSERT OR IGNORE INTO registry (record_id, record) VALUES (?1, ?2)")?
            .execute([record.record_id().to_string(), record.canonical_json()])?;
    }
    keep::keep(&commit, &source)?;
    commit.commit()?;
    Ok(MadePlan { source, bytes, unresolved })
}

/// The plan that was made last.
pub fn last_made(contracts: &mut Contracts) -> rusqlite::Result<Option<PlanSource>> {
    let db = contracts.db();
    let last: Option<u64> = db.query_row("SELECT max(version) FROM plans_kept", [], |row| row.get(0))?;
    last.map_or(Ok(None), |version| kept(db, version))
}

/// Whether the plan of this version was made here.
pub fn was_made_here(contracts: &mut Contracts, version: u64) -> rusqlite::Result<bool> {
    let Ok(version) = i64::try_from(version) else { return Ok(false) }; // SQLite holds no such number
    let found =
        contracts.db().query_row("SELECT 1 FROM plans_kept WHERE version = ?1", [version], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

/// The clock's milliseconds, or one more than the last version when the clock has not moved past it: versions increase
/// whatever the clock does, and on across a lost data directory as long as it is right.
fn next_version(db: &Connection, now: UnixMillis) -> rusqlite::Result<u64> {
    db.query_row("UPDATE last_plan_version SET version = max(version + 1, ?1) RETURNING version", [now.0], |row| {
        row.get(0)
    })
}
