//! What the folded tables say, as text and numbers.

use std::collections::BTreeMap;

use rusqlite::{Connection, types::Value};

use super::reports::REPORTED;

/// A standing row, as far as conservation needs it.
#[derive(Clone, Debug)]
pub(super) struct StandingRow {
    pub(super) opportunity_id: String,
    pub(super) break_id: String,
    pub(super) slot_index: u64,
    pub(super) decision_id: String,
    pub(super) content_hash: String,
    pub(super) day: u64,
    pub(super) title_id: String,
    pub(super) outcome: String,
    pub(super) fill_reason: Option<String>,
    pub(super) unfilled_reason: Option<String>,
    pub(super) campaign_id: Option<u64>,
    pub(super) ad_id: Option<u64>,
    pub(super) record_id: Option<String>,
}

/// An impression.
#[derive(Clone, Debug)]
pub(super) struct Impression {
    pub(super) opportunity_id: String,
    pub(super) campaign_id: u64,
    pub(super) start_at_ms: u64,
    pub(super) furthest_quartile: String,
    pub(super) threshold_passed: bool,
    pub(super) recognized_revenue_micros: i64,
    pub(super) currency: Option<String>,
}

/// A decision and how many rows name it.
#[derive(Clone, Debug)]
pub(super) struct KeptDecision {
    pub(super) decision_id: String,
    pub(super) break_id: String,
    pub(super) rows: u64,
}

/// The tables at one moment.
pub(super) struct Tables {
    pub(super) consumed_seq: u64,
    pub(super) standing: Vec<StandingRow>,
    pub(super) impressions: Vec<Impression>,
    pub(super) decisions: Vec<KeptDecision>,
    /// Of the rows that stand for no slot any more: break, slot, hash.
    pub(super) superseded: Vec<(String, u64, String)>,
    /// Decisions that rows name, with the slot of one such row.
    pub(super) named_decisions: BTreeMap<String, String>,
    /// Of every edge, how many facts were received and how many of them refused.
    pub(super) counts: BTreeMap<String, [u64; 2]>,
    /// Every row, standing or not, with all that its columns say.
    pub(super) rows: Vec<Cells<ROW_COLUMNS>>,
    /// What was reported of every ad with all that its columns say.
    pub(super) reported: Vec<Cells<{ REPORTED.len() }>>,
    /// Of each client session, how many beacons it lost.
    pub(super) losses: BTreeMap<String, u64>,
    /// Every impression with all that its columns say.
    pub(super) impression_cells: Vec<Cells<IMPRESSION_COLUMNS>>,
}

/// What a row of a table says, in the order of its columns.
pub(super) type Cells<const COLUMNS: usize> = [Value; COLUMNS];

const ROW_COLUMNS: usize = 29;
const IMPRESSION_COLUMNS: usize = 19;

/// The columns of a slot's row.
pub(super) const ROW: [&str; ROW_COLUMNS] = [
    "opportunity_id",
    "break_id",
    "slot_index",
    "content_hash",
    "recording",
    "edge_id",
    "viewer",
    "title_id",
    "position",
    "max_duration_ms",
    "decided_at_ms",
    "plan_version",
    "decision_id",
    "search",
    "invalid_traffic",
    "candidates",
    "eliminated",
    "outcome",
    "fill_reason",
    "unfilled_reason",
    "ad_id",
    "record_id",
    "advertiser_id",
    "campaign_id",
    "flight_id",
    "creative_id",
    "duration_ms",
    "expires_at_ms",
    "claim_counts_until_ms",
];

/// The columns of an impression.
pub(super) const IMPRESSION: [&str; IMPRESSION_COLUMNS] = [
    "opportunity_id",
    "advertiser_id",
    "campaign_id",
    "flight_id",
    "creative_id",
    "ad_id",
    "record_id",
    "start_at_ms",
    "first_quartile_at_ms",
    "midpoint_at_ms",
    "third_quartile_at_ms",
    "complete_at_ms",
    "skip_at_ms",
    "error_at_ms",
    "furthest_quartile",
    "threshold_passed",
    "recognized_revenue_micros",
    "currency",
    "invalid_traffic",
];

/// A number as a table holds it; one that none can hold is none.
pub(super) fn number(number: impl Into<Option<u64>>) -> Value {
    number.into().and_then(|number| i64::try_from(number).ok()).map_or(Value::Null, Value::Integer)
}

/// A text as a table holds it.
#[expect(clippy::needless_pass_by_value, reason = "a column is most often made of a value of its own")]
pub(super) fn text(text: impl ToString) -> Value {
    Value::Text(text.to_string())
}

/// The columns that say something else than they should, with both.
pub(super) fn differences<const COLUMNS: usize>(
    names: &[&str; COLUMNS],
    is: &Cells<COLUMNS>,
    should: &Cells<COLUMNS>,
) -> Vec<String> {
    let columns = names.iter().zip(is.iter().zip(should)).filter(|(_, (is, should))| is != should);
    columns.map(|(name, (is, should))| format!("{name} is {is:?}, and should be {should:?}")).collect()
}

fn cells<const COLUMNS: usize>(
    db: &Connection,
    table: &str,
    names: &[&str; COLUMNS],
) -> rusqlite::Result<Vec<Cells<COLUMNS>>> {
    let mut select = db.prepare(&format!("SELECT {} FROM {table}", names.join(", ")))?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut cells = [const { Value::Null }; COLUMNS];
        for (column, cell) in cells.iter_mut().enumerate() {
            *cell = row.get(column)?;
        }
        found.push(cells);
    }
    Ok(found)
}

const DAY_MS: u64 = 86_400_000;

impl Tables {
    pub(super) fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut rows = cells(db, "fct_ad_opportunities", &ROW)?;
        rows.extend(cells(db, "opportunities_superseded", &ROW)?);
        Ok(Self {
            rows,
            counts: db
                .prepare("SELECT edge_id, received, refused FROM fact_counts")?
                .query_map([], |row| Ok((row.get(0)?, [row.get(1)?, row.get(2)?])))?
                .collect::<rusqlite::Result<_>>()?,
            reported: cells(db, "beacon_states", &REPORTED)?,
            losses: db
                .prepare("SELECT session, lost FROM client_losses")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?,
            impression_cells: cells(db, "fct_ad_impressions", &IMPRESSION)?,
            consumed_seq: db.query_row("SELECT consumed_seq FROM fold_offset", [], |row| row.get(0))?,
            standing: standing(db)?,
            impressions: impressions(db)?,
            decisions: decisions(db)?,
            superseded: db
                .prepare("SELECT break_id, slot_index, content_hash FROM opportunities_superseded")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?,
            named_decisions: db
                .prepare(
                    "SELECT decision_id, opportunity_id FROM fct_ad_opportunities
                     UNION ALL SELECT decision_id, opportunity_id FROM opportunities_superseded",
                )?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?,
        })
    }
}

fn standing(db: &Connection) -> rusqlite::Result<Vec<StandingRow>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(StandingRow {
            opportunity_id: row.get(0)?,
            break_id: row.get(1)?,
            slot_index: row.get(2)?,
            decision_id: row.get(3)?,
            content_hash: row.get(4)?,
            day: row.get::<_, u64>(5)? / DAY_MS,
            title_id: row.get(6)?,
            outcome: row.get(7)?,
            fill_reason: row.get(8)?,
            unfilled_reason: row.get(9)?,
            campaign_id: row.get(10)?,
            ad_id: row.get(11)?,
            record_id: row.get(12)?,
        })
    };
    db.prepare(
        "SELECT opportunity_id, break_id, slot_index, decision_id, content_hash, decided_at_ms, title_id, outcome,
             fill_reason, unfilled_reason, campaign_id, ad_id, record_id FROM fct_ad_opportunities",
    )?
    .query_map([], read)?
    .collect()
}

fn impressions(db: &Connection) -> rusqlite::Result<Vec<Impression>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Impression {
            opportunity_id: row.get(0)?,
            campaign_id: row.get(1)?,
            start_at_ms: row.get(2)?,
            furthest_quartile: row.get(3)?,
            threshold_passed: row.get(4)?,
            recognized_revenue_micros: row.get(5)?,
            currency: row.get(6)?,
        })
    };
    db.prepare(
        "SELECT opportunity_id, campaign_id, start_at_ms, furthest_quartile, threshold_passed,
             recognized_revenue_micros, currency FROM fct_ad_impressions",
    )?
    .query_map([], read)?
    .collect()
}

fn decisions(db: &Connection) -> rusqlite::Result<Vec<KeptDecision>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(KeptDecision { decision_id: row.get(0)?, break_id: row.get(1)?, rows: row.get(2)? })
    };
    db.prepare(
        "SELECT d.decision_id, d.break_id,
             (SELECT count(*) FROM fct_ad_opportunities o WHERE o.break_id = d.break_id AND o.decision_id = d.decision_id)
             + (SELECT count(*) FROM opportunities_superseded o
                WHERE o.break_id = d.break_id AND o.decision_id = d.decision_id)
         FROM decisions d",
    )?
    .query_map([], read)?
    .collect()
}
