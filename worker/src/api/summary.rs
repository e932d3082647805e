//! Totals over all slots, and the proof that none is lost.

use std::{collections::BTreeMap, path::Path};

use rusqlite::Connection;
use serde::Serialize;
use slotkeeper_core::{impression::Quartile, time::UnixMillis};

use crate::{clock, data_dir, fold::FillStates};

/// How long a count of the fills that have expired is good for, while nothing is folded.
const EXPIRED_EVERY_MS: u64 = 1_000;

/// `GET /api/v1/summary`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// How far the log was folded when this was counted.
    pub fold_offset: u64,
    /// Slots.
    pub opportunities: u64,
    /// Slots with an ad.
    pub filled: ByReason,
    /// What has become of those: `filled = impressed + released + expired + open`.
    pub fill_states: FillStates,
    /// Slots without.
    pub unfilled: ByReason,
    /// Ads that began to play.
    pub impressions: Impressions,
    /// Earned, by currency.
    pub revenue: Vec<Revenue>,
    /// `opportunities = filled + unfilled`, each counted by itself.
    pub conservation: Conservation,
    /// Rows of decisions that another decision of the same break replaced.
    pub superseded: u64,
    /// Slots reported with a token of another ad than their row holds: they earned nothing by it.
    pub mismatched_beacons: u64,
    /// Beacons that clients lost before they could send them.
    pub client_losses: ClientLosses,
    /// What became of every fact received.
    pub facts: Vec<FactCounts>,
}

/// A count, and what it is made of.
#[derive(Clone, Debug, Serialize)]
pub struct ByReason {
    /// All of them.
    pub total: u64,
    /// Of each reason that occurred.
    pub by_reason: BTreeMap<String, u64>,
}

/// Ads that began to play.
#[derive(Clone, Debug, Serialize)]
pub struct Impressions {
    /// All of them.
    pub total: u64,
    /// Of those, how many count as delivered.
    pub threshold_passed: u64,
    /// How many reached each quartile, in playing order; each includes the ones after it.
    pub reached: Vec<Reached>,
}

/// How many impressions reached a quartile.
#[derive(Clone, Debug, Serialize)]
pub struct Reached {
    /// Which.
    pub quartile: Quartile,
    /// How many.
    pub impressions: u64,
}

/// Money earned in one currency.
#[derive(Clone, Debug, Serialize)]
pub struct Revenue {
    /// ISO 4217.
    pub currency: String,
    /// Exact.
    pub recognized_revenue_micros: i64,
}

/// Law 1.
#[derive(Clone, Debug, Serialize)]
pub struct Conservation {
    /// Rows.
    pub opportunities: u64,
    /// Rows that are filled.
    pub filled: u64,
    /// Rows that are unfilled.
    pub unfilled: u64,
    /// Whether the sum is right, and every reason's and every state's count adds up to it.
    pub holds: bool,
}

/// What clients said that they lost to their own bounds: no book holds it, so it is told that it is missing.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ClientLosses {
    /// Sessions that lost any.
    pub sessions: u64,
    /// How many beacons, all together.
    pub beacons: u64,
}

/// What became of one edge's facts: `received = fresh + duplicate + refused`.
#[derive(Clone, Debug, Serialize)]
pub struct FactCounts {
    /// Which edge.
    pub edge_id: String,
    /// All that came.
    pub received: u64,
    /// That told something new.
    pub fresh: u64,
    /// That were known.
    pub duplicate: u64,
    /// That contradict themselves or are out of bounds.
    pub refused: u64,
}

/// Counts the folded tables; again only after they have moved.
pub struct SummaryReader {
    db: Connection,
    last: Option<Summary>,
}

impl SummaryReader {
    /// Opens existing tables.
    pub fn open(fold: &Path) -> rusqlite::Result<Self> {
        Ok(Self { db: data_dir::connect_read_only(fold)?, last: None })
    }

    /// The totals now.
    pub fn summary(&mut self) -> rusqlite::Result<Summary> {
        let now = clock::now();
        let snapshot = self.db.unchecked_transaction()?; // one moment for all counts
        let fold_offset = number(&snapshot, "SELECT consumed_seq FROM fold_offset")?;
        if let Some(last) = self.last.as_mut().filter(|last| last.fold_offset == fold_offset) {
            // Time alone makes open fills expired.
            if now.0 >= last.fill_states.at_ms + EXPIRED_EVERY_MS {
                last.fill_states = FillStates::count(&snapshot, now)?;
            }
            return Ok(last.clone());
        }
        let summary = count(&snapshot, fold_offset, now)?;
        drop(snapshot);
        self.last = Some(summary.clone());
        Ok(summary)
    }
}

fn count(db: &Connection, fold_offset: u64, now: UnixMillis) -> rusqlite::Result<Summary> {
    let filled = by_reason(db, "filled", "fill_reason")?;
    let unfilled = by_reason(db, "unfilled", "unfilled_reason")?;
    let fill_states = FillStates::count(db, now)?;
    let conservation = conservation(db, &filled, &unfilled, &fill_states)?;
    Ok(Summary {
        fold_offset,
        opportunities: conservation.opportunities,
        filled,
        fill_states,
        unfilled,
        impressions: impressions(db)?,
        revenue: revenue(db)?,
        conservation,
        superseded: number(db, "SELECT count(*) FROM opportunities_superseded")?,
        mismatched_beacons: number(
            db,
            "SELECT count(DISTINCT b.opportunity_id) FROM beacon_states b
             JOIN fct_ad_opportunities o ON o.opportunity_id = b.opportunity_id
             WHERE b.ad_id <> 0 AND (o.ad_id IS NOT b.ad_id OR o.record_id IS NOT b.record_id)",
        )?,
        client_losses: client_losses(db)?,
        facts: fact_counts(db)?,
    })
}

fn number(db: &Connection, sql: &str) -> rusqlite::Result<u64> {
    db.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

fn by_reason(db: &Connection, outcome: &str, column: &str) -> rusqlite::Result<ByReason> {
    let sql = format!("SELECT {column}, count(*) FROM fct_ad_opportunities WHERE outcome = ?1 GROUP BY {column}");
    let by_reason: BTreeMap<String, u64> = db
        .prepare_cached(&sql)?
        .query_map([outcome], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(ByReason { total: by_reason.values().sum(), by_reason })
}

fn conservation(
    db: &Connection,
    filled: &ByReason,
    unfilled: &ByReason,
    fill_states: &FillStates,
) -> rusqlite::Result<Conservation> {
    let opportunities = number(db, "SELECT count(*) FROM fct_ad_opportunities")?;
    let of = |outcome| number(db, &format!("SELECT count(*) FROM fct_ad_opportunities WHERE outcome = '{outcome}'"));
    let (filled_rows, unfilled_rows) = (of("filled")?, of("unfilled")?);
    let adds_up = filled_rows == filled.total && filled_rows == fill_states.total() && unfilled_rows == unfilled.total;
    Ok(Conservation {
        opportunities,
        filled: filled_rows,
        unfilled: unfilled_rows,
        holds: adds_up && opportunities == filled_rows + unfilled_rows,
    })
}

fn impressions(db: &Connection) -> rusqlite::Result<Impressions> {
    let ended: BTreeMap<String, u64> = db
        .prepare_cached("SELECT furthest_quartile, count(*) FROM fct_ad_impressions GROUP BY furthest_quartile")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let reached = |quartile: &Quartile| Reached {
        quartile: *quartile,
        impressions: Quartile::ALL
            .iter()
            .filter(|end| *end >= quartile)
            .filter_map(|end| ended.get(end.as_str()))
            .sum(),
    };
    Ok(Impressions {
        total: ended.values().sum(),
        threshold_passed: number(db, "SELECT count(*) FROM fct_ad_impressions WHERE threshold_passed = 1")?,
        reached: Quartile::ALL.iter().map(reached).collect(),
    })
}

/// SQLite's `sum` of integers is exact, and fails rather than wraps.
fn revenue(db: &Connection) -> rusqlite::Result<Vec<Revenue>> {
    let read = |row: &rusqlite::Row<'_>| Ok(Revenue { currency: row.get(0)?, recognized_revenue_micros: row.get(1)? });
    db.prepare_cached(
        "SELECT currency, sum(recognized_revenue_micros) FROM fct_ad_impressions
         WHERE recognized_revenue_micros > 0 GROUP BY currency ORDER BY currency",
    )?
    .query_map([], read)?
    .collect()
}

fn client_losses(db: &Connection) -> rusqlite::Result<ClientLosses> {
    db.prepare_cached("SELECT count(*), coalesce(sum(lost), 0) FROM client_losses")?
        .query_row([], |row| Ok(ClientLosses { sessions: row.get(0)?, beacons: row.get(1)? }))
}

fn fact_counts(db: &Connection) -> rusqlite::Result<Vec<FactCounts>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(FactCounts {
            edge_id: row.get(0)?,
            received: row.get(1)?,
            fresh: row.get(2)?,
            duplicate: row.get(3)?,
            refused: row.get(4)?,
        })
    };
    db.prepare_cached(
        "SELECT edge_id, received, fresh, duplicate, refused FROM fact_counts ORDER BY edge_id LIMIT 1000",
    )?
    .query_map([], read)?
    .collect()
}
