//! Folding rows: of every break one decision stands, one row for every slot that it made, and which one does not depend on
//! the order they came in.
//!
//! Two different decisions of one break exist when a commit's outcome was not known to the edge, which then answered from
//! another; or when retries were decided apart because the store was down. All rows of one stand, and none of the other: of
//! dynamic pods one may have made more slots, and those nobody was answered were no slots.
//!
//! The decision that stands is the first in a total order. What a player reports was shown, so one of which an ad began to
//! play comes before all others: an edge may have sent rows, answered 503 all the same, and shown what a retry committed.
//! Until one began to play, an uncommitted one comes before a committed one (most often it is what the viewer was
//! answered), then the earlier, then the one with the smallest hash of a row. Of rows that give themselves out to be of one
//! decision and one slot, which no edge makes, the first by the same rule stands.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params, types::Value};
use serde::Serialize;
use slotkeeper_core::{
    fact::Recording,
    id::OpportunityId,
    pod::{InvalidTraffic, Opportunity, Outcome, UnfilledReason},
};

use super::Verdict;

const STANDING: &str = "fct_ad_opportunities";
const SUPERSEDED: &str = "opportunities_superseded";
const COLUMNS: &str =
    "opportunity_id, break_id, slot_index, recording, content_hash, edge_id, viewer, title_id, position,
         max_duration_ms, decided_at_ms, plan_version, decision_id, search, invalid_traffic, candidates, eliminated, outcome, fill_reason, unfilled_reason,
         ad_id, record_id, advertiser_id, campaign_id, flight_id, creative_id, duration_ms, expires_at_ms,
         claim_counts_until_ms";
const VALUES: &str =
    "(:opportunity_id, :break_id, :slot_index, :recording, :content_hash, :edge_id, :viewer, :title_id,
       :position, :max_duration_ms, :decided_at_ms, :plan_version, :decision_id, :search, :invalid_traffic, :candidates, :eliminated, :outcome, :fill_reason,
       :unfilled_reason, :ad_id, :record_id, :advertiser_id, :campaign_id, :flight_id, :creative_id, :duration_ms,
       :expires_at_ms, :claim_counts_until_ms)";

/// All rows of a break, with whether the ad of each began to play.
const ROWS_OF_BREAK: &str = "
    SELECT *, EXISTS (SELECT 1 FROM beacon_states b WHERE b.opportunity_id = r.opportunity_id AND b.ad_id = r.ad_id
        AND b.record_id = r.record_id AND b.start_at_ms IS NOT NULL) AS began
    FROM (SELECT opportunity_id, slot_index, recording, decision_id, decided_at_ms, content_hash, ad_id, record_id
              FROM fct_ad_opportunities WHERE break_id = ?1
          UNION ALL SELECT opportunity_id, slot_index, recording, decision_id, decided_at_ms, content_hash, ad_id, record_id
              FROM opportunities_superseded WHERE break_id = ?1) r";
/// Which of them stand: of the decision of which most ads began to play. What two decisions have in common began in both, so one that
/// began proves nothing. It depends on what has come, never on when.
const FIRST_DECISION: &str = "
    GROUP BY recording, decision_id
    ORDER BY sum(began) DESC, recording = 'committed', min(decided_at_ms), min(content_hash) LIMIT 1";

pub(super) fn apply(
    db: &Connection,
    edge_id: &str,
    recording: Recording,
    row: &Opportunity,
    changed: &mut BTreeSet<OpportunityId>,
) -> rusqlite::Result<Verdict> {
    if !row.is_sound() || is_of_another_slot(db, row)? {
        return Ok(Verdict::Refused);
    }
    let hash = content_hash(recording, row);
    if !has_rival(db, recording, row)? {
        insert(db, STANDING, edge_id, recording, row, &hash)?;
        changed.insert(row.opportunity_id);
        return Ok(Verdict::Fresh);
    }
    if seen_before(db, edge_id, row, &hash)? {
        return Ok(Verdict::Duplicate);
    }
    insert(db, SUPERSEDED, edge_id, recording, row, &hash)?;
    elect(db, &row.break_id.to_string(), changed)?;
    Ok(Verdict::Fresh)
}

/// Whether its break has rows that it cannot stand beside, or that wait for an election.
fn has_rival(db: &Connection, recording: Recording, row: &Opportunity) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM fct_ad_opportunities
                        WHERE break_id = ?1 AND (slot_index = ?2 OR recording <> ?3 OR decision_id <> ?4))
             OR EXISTS (SELECT 1 FROM opportunities_superseded WHERE break_id = ?1)",
    )?
    .query_row(
        params![row.break_id.to_string(), row.slot_index, recording.as_str(), row.decision_id.to_string()],
        |row| row.get(0),
    )
}

/// Elects again in the break of `id`, of which an ad has begun to play.
pub(super) fn reconsider(
    db: &Connection,
    id: OpportunityId,
    changed: &mut BTreeSet<OpportunityId>,
) -> rusqlite::Result<()> {
    // Only a row that was superseded may rise, with those of its decision; a break without one has nothing to elect.
    let break_id: Option<String> = db
        .prepare_cached("SELECT break_id FROM opportunities_superseded WHERE opportunity_id = ?1 LIMIT 1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    break_id.map_or(Ok(()), |break_id| elect(db, &break_id, changed))
}

/// Lets the rows of a break's first decision stand, and no others.
fn elect(db: &Connection, break_id: &str, changed: &mut BTreeSet<OpportunityId>) -> rusqlite::Result<()> {
    let mut select = db.prepare_cached(
        "SELECT slot_index, content_hash, opportunity_id FROM fct_ad_opportunities WHERE break_id = ?1",
    )?;
    let standing: Vec<RowOfBreak> = select.query_map([break_id], row_of_break)?.collect::<rusqlite::Result<_>>()?;
    let first = first_of_all(db, break_id)?;
    for gone in standing.iter().filter(|row| !first.contains(row)) {
        move_row(db, STANDING, SUPERSEDED, break_id, gone)?;
        changed.insert(gone.2);
    }
    for risen in first.iter().filter(|row| !standing.contains(row)) {
        move_row(db, SUPERSEDED, STANDING, break_id, risen)?;
        changed.insert(risen.2);
    }
    Ok(())
}

/// The rows that should stand of a break.
fn first_of_all(db: &Connection, break_id: &str) -> rusqlite::Result<Vec<RowOfBreak>> {
    let (recording, decision_id): (String, String) = db
        .prepare_cached(&format!("SELECT recording, decision_id FROM ({ROWS_OF_BREAK}) {FIRST_DECISION}"))?
        .query_row([break_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut select = db.prepare_cached(&format!(
        "SELECT slot_index, content_hash, opportunity_id FROM ({ROWS_OF_BREAK})
         WHERE recording = ?2 AND decision_id = ?3
         ORDER BY slot_index, began DESC, decided_at_ms, content_hash"
    ))?;
    let rows = select.query_map([break_id, &recording, &decision_id], row_of_break)?;
    let mut rows: Vec<RowOfBreak> = rows.collect::<rusqlite::Result<_>>()?;
    rows.dedup_by_key(|row| row.0); // keeps the first of each slot
    Ok(rows)
}

/// Whether another slot has this id: by a rare chance, an id that carries a part of its break's is that of two. The one
/// that was logged first keeps it; the fold must not stop at the other.
fn is_of_another_slot(db: &Connection, row: &Opportunity) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM fct_ad_opportunities WHERE opportunity_id = ?1 AND break_id <> ?2)
             OR EXISTS (SELECT 1 FROM opportunities_superseded WHERE opportunity_id = ?1 AND break_id <> ?2)",
    )?
    .query_row(params![row.opportunity_id.to_string(), row.break_id.to_string()], |row| row.get(0))
}

/// A row's columns and what they hold, but for the edge that brought it.
pub(crate) type Columns = Vec<(String, Value)>;

/// Which row of a slot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The one that stands.
    Standing,
    /// One that another of the same slot replaced.
    Superseded,
}

/// Every row of the slot that `id` names, as the tables hold them: the one that stands first.
pub(crate) fn rows_of(db: &Connection, id: OpportunityId) -> rusqlite::Result<Vec<(Place, Columns)>> {
    let slot = "(break_id, slot_index) IN (
        SELECT break_id, slot_index FROM fct_ad_opportunities WHERE opportunity_id = ?1
        UNION SELECT break_id, slot_index FROM opportunities_superseded WHERE opportunity_id = ?1)";
    rows_where(db, slot, &id.to_string())
}

fn rows_where(db: &Connection, condition: &str, key: &str) -> rusqlite::Result<Vec<(Place, Columns)>> {
    let mut found = Vec::new();
    for (place, table) in [(Place::Standing, STANDING), (Place::Superseded, SUPERSEDED)] {
        let sql = format!("SELECT {COLUMNS} FROM {table} WHERE {condition} ORDER BY slot_index, content_hash");
        let mut select = db.prepare_cached(&sql)?;
        let rows = select.query_map([key], columns)?;
        found.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().map(|row| (place, row)));
    }
    Ok(found)
}

/// What the tables would hold of a row. `scratch` has the tables' schema, and is left as it was.
pub(crate) fn columns_of(scratch: &Connection, recording: Recording, row: &Opportunity) -> rusqlite::Result<Columns> {
    let undone = scratch.unchecked_transaction()?;
    insert(&undone, SUPERSEDED, "", recording, row, &content_hash(recording, row))?;
    undone.prepare_cached(&format!("SELECT {COLUMNS} FROM {SUPERSEDED}"))?.query_row([], columns)
}

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    let names = COLUMNS.split(',').map(str::trim).enumerate().filter(|(_, name)| *name != "edge_id");
    names.map(|(column, name)| Ok((name.to_owned(), row.get(column)?))).collect()
}

/// As the tables keep it.
fn content_hash(recording: Recording, row: &Opportunity) -> String {
    format!("{:032x}", u128::from_be_bytes(row.content_hash(recording)))
}

fn row_of_break(row: &Row<'_>) -> rusqlite::Result<RowOfBreak> {
    Ok((row.get(0)?, row.get(1)?, super::impressions::opportunity_id(row, 2)?))
}

/// Whether this very row came before. If so, it keeps the smaller of the two edges' names.
fn seen_before(db: &Connection, edge_id: &str, row: &Opportunity, hash: &str) -> rusqlite::Result<bool> {
    for table in [STANDING, SUPERSEDED] {
        let known = db
            .prepare_cached(&format!(
                "UPDATE {table} SET edge_id = min(edge_id, ?4)
                 WHERE break_id = ?1 AND slot_index = ?2 AND content_hash = ?3"
            ))?
            .execute(params![row.break_id.to_string(), row.slot_index, hash, edge_id])?;
        if known > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn move_row(
    db: &Connection,
    from: &str,
    to: &str,
    break_id: &str,
    (slot, hash, _): &RowOfBreak,
) -> rusqlite::Result<()> {
    let row = "break_id = ?1 AND slot_index = ?2 AND content_hash = ?3";
    db.prepare_cached(&format!("INSERT INTO {to} ({COLUMNS}) SELECT {COLUMNS} FROM {from} WHERE {row}"))?
        .execute(params![break_id, slot, hash])?;
    db.prepare_cached(&format!("DELETE FROM {from} WHERE {row}"))?.execute(params![break_id, slot, hash])?;
    Ok(())
}

/// A row of a break: its place in it, its hash, its id.
type RowOfBreak = (u8, String, OpportunityId);

fn insert(
    db: &Connection,
    table: &str,
    edge_id: &str,
    recording: Recording,
    row: &Opportunity,
    content_hash: &str,
) -> rusqlite::Result<()> {
    let fill = row.fill();
    let booking = fill.map(|fill| fill.booking);
    let (outcome, unfilled_reason) = match row.outcome {
        Outcome::Filled(_) => ("filled", None),
        Outcome::Unfilled { unfilled_reason } => ("unfilled", Some(UnfilledReason::as_str(unfilled_reason))),
    };
    db.prepare_cached(&format!("INSERT INTO {table} ({COLUMNS}) VALUES {VALUES}"))?.execute(named_params! {
        ":opportunity_id": row.opportunity_id.to_string(),
        ":break_id": row.break_id.to_string(),
        ":slot_index": row.slot_index,
        ":recording": recording.as_str(),
        ":content_hash": content_hash,
        ":edge_id": edge_id,
        ":viewer": row.viewer.to_string(),
        ":title_id": row.title_id,
        ":position": row.position.as_str(),
        ":max_duration_ms": row.max_duration_ms,
        ":decided_at_ms": row.decided_at.0,
        ":plan_version": row.plan_version,
        ":decision_id": row.decision_id.to_string(),
        ":search": row.search.as_str(),
        ":invalid_traffic": row.invalid_traffic.map(InvalidTraffic::as_str),
        ":candidates": row.candidates,
        ":eliminated": serde_json::to_string(&row.eliminated).unwrap_or_else(|_| unreachable!("counts by name")),
        ":outcome": outcome,
        ":fill_reason": fill.map(|fill| fill.fill_reason.as_str()),
        ":unfilled_reason": unfilled_reason,
        ":ad_id": fill.map(|fill| fill.ad_id.0),
        ":record_id": fill.map(|fill| fill.record_id.to_string()),
        ":advertiser_id": booking.map(|booking| booking.advertiser_id.0),
        ":campaign_id": booking.map(|booking| booking.campaign_id.0),
        ":flight_id": booking.map(|booking| booking.flight_id.0),
        ":creative_id": booking.map(|booking| booking.creative_id.0),
        ":duration_ms": fill.map(|fill| fill.duration_ms),
        ":expires_at_ms": fill.map(|fill| fill.expires_at.0),
        ":claim_counts_until_ms": fill.and_then(|fill| Some(fill.claim?.counts_until.0)),
    })?;
    Ok(())
}
