//! Deriving impressions: what a slot's row, its beacons and its ad as sold prove together.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params, types::Type};
use slotkeeper_core::{
    beacon::Event,
    id::{AdId, OpportunityId, RecordId},
    impression::{Impression, Quartile, Worth},
};

use super::{beacons, decisions};
use crate::registry::Registry;

/// How many impressions whose terms have become known are derived again in one step.
const NOW_KNOWN_PER_STEP: usize = 256;

struct FilledRow {
    ad: AdId,
    record: RecordId,
    advertiser: u32,
    campaign: u32,
    flight: u32,
    creative: u32,
    invalid_traffic: Option<String>,
}

/// Makes the impression of one slot what its row and its beacons say now. Only beacons whose token names the ad that
/// the row holds count; others stay in `beacon_states`, and earn nothing.
pub(super) fn derive(db: &Connection, registry: &mut Registry, id: OpportunityId) -> rusqlite::Result<()> {
    let found = match filled_row(db, id)? {
        Some(row) => beacons::state(db, id, row.ad, row.record)?.map(|state| (row, state)),
        None => None,
    };
    let Some((row, state, furthest)) = found.and_then(|(row, state)| Some((row, state, state.furthest()?))) else {
        db.prepare_cached("DELETE FROM fct_ad_impressions WHERE opportunity_id = ?1")?.execute([id.to_string()])?;
        return Ok(());
    };
    let is_valid = row.invalid_traffic.is_none();
    let worth = match decisions::auction_record(db, row.record)? {
        Some(sold) => Worth::of(&state, Some(&sold), is_valid),
        None => Worth::of(&state, registry.get(row.record)?, is_valid),
    };
    write(db, id, &row, &state, furthest, &worth)
}

/// Impressions whose ad as sold was not known when they were derived, and is now; some of them, if there are many. All
/// ads that are not known are asked for, so that those that stay unknown never hide one that does not.
pub(super) fn on_terms_now_known(
    db: &Connection,
    registry: &mut Registry,
) -> rusqlite::Result<BTreeSet<OpportunityId>> {
    let mut known = BTreeSet::new();
    let mut after = String::new();
    while let Some(record) = next_unknown(db, &after)? {
        if registry.get(record)?.is_some() || decisions::auction_record(db, record)?.is_some() {
            let mut select = db.prepare_cached(
                "SELECT opportunity_id FROM fct_ad_impressions WHERE currency IS NULL AND record_id = ?1 LIMIT ?2",
            )?;
            let room = NOW_KNOWN_PER_STEP - known.len();
            for id in select.query_map(params![record.to_string(), room], |row| opportunity_id(row, 0))? {
                known.insert(id?);
            }
            if known.len() >= NOW_KNOWN_PER_STEP {
                break;
            }
        }
        after = record.to_string();
    }
    Ok(known)
}

/// The first ad as sold after `after` that some impression waits for: one step in the index, however many wait for it.
fn next_unknown(db: &Connection, after: &str) -> rusqlite::Result<Option<RecordId>> {
    db.prepare_cached(
        "SELECT record_id FROM fct_ad_impressions WHERE currency IS NULL AND record_id > ?1 ORDER BY record_id LIMIT 1",
    )?
    .query_row([after], |row| parsed(row, 0))
    .optional()
}

/// Reads an opportunity id from a text column.
pub(crate) fn opportunity_id(row: &Row<'_>, column: usize) -> rusqlite::Result<OpportunityId> {
    parsed(row, column)
}

/// Reads what has a text form from a text column.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

fn filled_row(db: &Connection, id: OpportunityId) -> rusqlite::Result<Option<FilledRow>> {
    db.prepare_cached(
        "SELECT ad_id, record_id, advertiser_id, campaign_id, flight_id, creative_id, invalid_traffic
         FROM fct_ad_opportunities
         WHERE opportunity_id = ?1 AND outcome = 'filled'",
    )?
    .query_row([id.to_string()], |row| {
        Ok(FilledRow {
            ad: AdId(row.get(0)?),
            record: parsed(row, 1)?,
            advertiser: row.get(2)?,
            campaign: row.get(3)?,
            flight: row.get(4)?,
            creative: row.get(5)?,
            invalid_traffic: row.get(6)?,
        })
    })
    .optional()
}

fn write(
    db: &Connection,
    id: OpportunityId,
    row: &FilledRow,
    state: &Impression,
    furthest: Quartile,
    worth: &Worth,
) -> rusqlite::Result<()> {
    let at = |event| state.at(event).map(|at| at.0);
    db.prepare_cached(
        "INSERT OR REPLACE INTO fct_ad_impressions VALUES (
             :opportunity_id, :advertiser_id, :campaign_id, :flight_id, :creative_id, :ad_id, :record_id, :start,
             :first_quartile, :midpoint, :third_quartile, :complete, :skip, :error, :furthest_quartile,
             :threshold_passed, :recognized_revenue_micros, :currency, :invalid_traffic)",
    )?
    .execute(named_params! {
        ":opportunity_id": id.to_string(),
        ":advertiser_id": row.advertiser,
        ":campaign_id": row.campaign,
        ":flight_id": row.flight,
        ":creative_id": row.creative,
        ":ad_id": row.ad.0,
        ":record_id": row.record.to_string(),
        ":start": at(Event::Start),
        ":first_quartile": at(Event::FirstQuartile),
        ":midpoint": at(Event::Midpoint),
        ":third_quartile": at(Event::ThirdQuartile),
        ":complete": at(Event::Complete),
        ":skip": at(Event::Skip),
        ":error": at(Event::Error),
        ":furthest_quartile": furthest.as_str(),
        ":threshold_passed": worth.threshold_passed,
        ":recognized_revenue_micros": worth.recognized_revenue_micros,
        ":currency": worth.currency.map(|currency| currency.to_string()),
        ":invalid_traffic": row.invalid_traffic,
    })?;
    Ok(())
}
