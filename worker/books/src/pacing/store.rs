//! `pacing.db`: the days that were closed.

use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::daily::DailyRow;

/// The tables, made where they are missing.
pub const SCHEMA: &str = include_str!("schema.sql");

/// Keeps the rows of a day, in place of those it had.
pub fn replace(db: &mut Connection, day: &str, rows: &[DailyRow]) -> rusqlite::Result<()> {
    let commit = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    commit.execute("DELETE FROM campaign_pacing_daily WHERE day = ?1", [day])?;
    for row in rows {
        insert(&commit, row)?;
    }
    commit.commit()
}

/// The rows of a day, in the order of the flights' numbers.
pub fn read(db: &Connection, day: &str) -> rusqlite::Result<Vec<DailyRow>> {
    db.prepare_cached("SELECT * FROM campaign_pacing_daily WHERE day = ?1 ORDER BY flight_id")?
        .query_map([day], from_row)?
        .collect()
}

fn insert(db: &Connection, row: &DailyRow) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO campaign_pacing_daily VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
             ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)",
    )?
    .execute(params![
        row.day,
        row.time_zone,
        row.as_of_ms,
        row.is_provisional,
        row.flight_id,
        row.flight,
        row.campaign_id,
        row.campaign,
        row.advertiser_id,
        row.advertiser,
        row.committed,
        row.delivered,
        row.delivered_on_day,
        row.target_even,
        row.target_even_of_day,
        row.target_shaped,
        row.target_shaped_of_day,
        row.is_curve_learned,
        row.pacing_index_millionths,
        row.remaining_ms,
        row.days_remaining,
        row.required_per_day,
        row.projected,
        row.projected_low,
        row.projected_high,
        row.alert,
    ])?;
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<DailyRow> {
    Ok(DailyRow {
        day: row.get("day")?,
        time_zone: row.get("time_zone")?,
        as_of_ms: row.get("as_of_ms")?,
        is_provisional: row.get("is_provisional")?,
        flight_id: row.get("flight_id")?,
        flight: row.get("flight")?,
        campaign_id: row.get("campaign_id")?,
        campaign: row.get("campaign")?,
        advertiser_id: row.get("advertiser_id")?,
        advertiser: row.get("advertiser")?,
        committed: row.get("committed")?,
        delivered: row.get("delivered")?,
        delivered_on_day: row.get("delivered_on_day")?,
        target_even: row.get("target_even")?,
        target_even_of_day: row.get("target_even_of_day")?,
        target_shaped: row.get("target_shaped")?,
        target_shaped_of_day: row.get("target_shaped_of_day")?,
        is_curve_learned: row.get("is_curve_learned")?,
        pacing_index_millionths: row.get("pacing_index_millionths")?,
        remaining_ms: row.get("remaining_ms")?,
        days_remaining: row.get("days_remaining")?,
        required_per_day: row.get("required_per_day")?,
        projected: row.get("projected")?,
        projected_low: row.get("projected_low")?,
        projected_high: row.get("projected_high")?,
        alert: row.get("alert")?,
    })
}
