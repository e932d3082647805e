//! Folding beacons into states: kept by what the token said, whether or not the slot's row has come.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use slotkeeper_core::{
    beacon::Event,
    fact::BeaconFact,
    id::{AdId, OpportunityId, RecordId},
    impression::Impression,
    time::UnixMillis,
};

use super::{Verdict, opportunities};

/// The columns of a state: the times, in the order of [`Event::ALL`], and then what was said beside the events.
pub(crate) const STATE_COLUMNS: &str = "start_at_ms, first_quartile_at_ms, midpoint_at_ms, third_quartile_at_ms, \
     complete_at_ms, pause_at_ms, resume_at_ms, mute_at_ms, unmute_at_ms, skip_at_ms, error_at_ms, not_used_at_ms, \
     click_through_at_ms, player_expand_at_ms, player_collapse_at_ms, viewable_at_ms, not_viewable_at_ms, \
     view_undetermined_at_ms, idle_s, error_code";

pub(super) fn apply(
    db: &Connection,
    beacon: &BeaconFact,
    changed: &mut BTreeSet<OpportunityId>,
) -> rusqlite::Result<Verdict> {
    if !beacon.is_within_bounds() {
        return Ok(Verdict::Refused);
    }
    if beacon.invalid_traffic.is_some() {
        return note_invalid(db, beacon);
    }
    let known = state(db, beacon.opportunity_id, beacon.ad_id, beacon.record_id)?.unwrap_or_default();
    let joined = known.join(Impression::proved_by(beacon));
    if joined == known {
        return Ok(Verdict::Duplicate);
    }
    write(db, beacon, &joined)?;
    changed.insert(beacon.opportunity_id);
    if known.at(Event::Start).is_none() && joined.at(Event::Start).is_some() {
        opportunities::reconsider(db, beacon.opportunity_id, changed)?;
    }
    Ok(Verdict::Fresh)
}

/// Notes that an event was reported, by whom it proves nothing: a bit beside the state, which it does not touch. So it
/// earns nothing, and takes nothing from what a viewer's player reports, before it or after.
fn note_invalid(db: &Connection, beacon: &BeaconFact) -> rusqlite::Result<Verdict> {
    let noted = db
        .prepare_cached(
            "INSERT INTO beacon_states (opportunity_id, ad_id, record_id, invalid_events) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET invalid_events = invalid_events | excluded.invalid_events
             WHERE invalid_events & excluded.invalid_events = 0",
        )?
        .execute(params![
            beacon.opportunity_id.to_string(),
            beacon.ad_id.0,
            beacon.record_id.to_string(),
            1u32 << beacon.event.code()
        ])?;
    Ok(if noted == 0 { Verdict::Duplicate } else { Verdict::Fresh })
}

/// What was reported of one slot by tokens of one ad as sold.
pub(super) fn state(
    db: &Connection,
    opportunity_id: OpportunityId,
    ad_id: AdId,
    record_id: RecordId,
) -> rusqlite::Result<Option<Impression>> {
    db.prepare_cached(&format!(
        "SELECT {STATE_COLUMNS} FROM beacon_states WHERE opportunity_id = ?1 AND ad_id = ?2 AND record_id = ?3"
    ))?
    .query_row(params![opportunity_id.to_string(), ad_id.0, record_id.to_string()], |row| read_state(row, 0))
    .optional()
}

/// Reads [`STATE_COLUMNS`], which begin at column `first`.
pub(crate) fn read_state(row: &Row<'_>, first: usize) -> rusqlite::Result<Impression> {
    let mut state = Impression::default();
    for (column, event) in (first..).zip(Event::ALL) {
        if let Some(at) = row.get::<_, Option<u64>>(column)? {
            state = state.join(Impression::of(*event, UnixMillis(at)));
        }
    }
    let said = first + Event::ALL.len();
    Ok(state.told(row.get(said)?, row.get(said + 1)?))
}

fn write(db: &Connection, beacon: &BeaconFact, state: &Impression) -> rusqlite::Result<()> {
    let times: Vec<Option<u64>> = Event::ALL.iter().map(|event| state.at(*event).map(|at| at.0)).collect();
    let (slot, record) = (beacon.opportunity_id.to_string(), beacon.record_id.to_string());
    let mut values: Vec<&dyn ToSql> = vec![&slot, &beacon.ad_id.0, &record];
    values.extend(times.iter().map(|at| at as &dyn ToSql));
    let (idle_s, error_code) = (state.idle_s(), state.error_code());
    values.extend([&idle_s as &dyn ToSql, &error_code]);
    let columns: Vec<&str> = STATE_COLUMNS.split(", ").collect();
    let places = vec!["?"; columns.len()].join(", ");
    let renewed: Vec<String> = columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    let renewed = renewed.join(", ");
    db.prepare_cached(&format!(
        "INSERT INTO beacon_states (opportunity_id, ad_id, record_id, {STATE_COLUMNS}) VALUES (?, ?, ?, {places})
         ON CONFLICT DO UPDATE SET {renewed}"
    ))?
    .execute(values.as_slice())?;
    Ok(())
}
