//! Law 8 again: the lake, folded by the hour from Parquet, holds what the tables hold that were folded fact by fact.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, types::ValueRef};
use slotkeeper_core::{id::OpportunityId, time::UnixMillis};
use slotkeeper_lake::{
    LakeReader, Status,
    columns::{Rows, Values},
    hour::Hour,
    tables::{IMPRESSIONS, OPPORTUNITIES, Table},
};

use super::{AuditError, Law};
use crate::{
    data_dir::{self, DataDir},
    fold::parsed,
    lake,
};

const QUARTER_MS: i64 = 900_000;

/// The standing rows, and the impressions, as the live tables hold them. Columns have the lake's names; the break comes first.
const LIVE: [(&Table, &str); 2] = [
    (
        &OPPORTUNITIES,
        "SELECT o.break_id, o.opportunity_id, slot_index, recording, edge_id, viewer, title_id, position, max_duration_ms,
             o.decided_at_ms AS decided_at, plan_version, decision_id, search, invalid_traffic, candidates, eliminated, outcome,
             fill_reason, unfilled_reason, ad_id, record_id, advertiser_id, o.campaign_id, o.flight_id, creative_id, duration_ms,
             o.expires_at_ms AS expires_at, settled
         FROM fct_ad_opportunities o LEFT JOIN fill_states USING (opportunity_id)
         WHERE o.opportunity_id >= ?1 AND o.opportunity_id < ?2 ORDER BY o.opportunity_id",
    ),
    (
        &IMPRESSIONS,
        "SELECT o.break_id, i.opportunity_id, i.advertiser_id, i.campaign_id, i.flight_id, i.creative_id, i.ad_id, i.record_id,
             o.viewer, o.title_id, o.position, o.fill_reason, o.duration_ms,
             start_at_ms AS start_at, first_quartile_at_ms AS first_quartile_at, midpoint_at_ms AS midpoint_at,
             third_quartile_at_ms AS third_quartile_at, complete_at_ms AS complete_at, skip_at_ms AS skip_at,
             error_at_ms AS error_at, furthest_quartile, threshold_passed, recognized_revenue_micros, currency,
             i.invalid_traffic
         FROM fct_ad_impressions i JOIN fct_ad_opportunities o USING (opportunity_id)
         WHERE i.opportunity_id >= ?1 AND i.opportunity_id < ?2 ORDER BY i.opportunity_id",
    ),
];

pub(super) fn check(data: &DataDir, tables: &Connection, consumed_seq: u64) -> Result<Law, AuditError> {
    let mut law = Law::new(8, "the lake holds what the tables hold");
    let is_level = |status: &Option<Status>| {
        status.as_ref().is_some_and(|status| status.consumed_seq == consumed_seq && status.hours_to_fold == 0)
    };
    let before = Status::read(&data.lake_db())?;
    if !is_level(&before) {
        let at = before.map_or(0, |status| status.consumed_seq);
        law.notes.push(format!("not compared: the lake is at entry {at} of the log, the tables at {consumed_seq}"));
        return Ok(law);
    }
    let book = data_dir::connect_read_only(&data.lake_db())?;
    let lake = LakeReader::open(lake::place(data)?)?;
    let (mut rows, hours) = (0, hours_of(&book, tables)?);
    for hour in &hours {
        let mut sums = Sums::default();
        for (table, live) in LIVE {
            let found = match lake.rows(table, *hour) {
                Ok(found) => found,
                Err(error) => {
                    law.finds("lake_hour_unreadable", hour, error.to_string());
                    continue;
                }
            };
            rows += found.len();
            sums.add(table, &found);
            compare(table, live, *hour, &found, tables, &mut law)?;
        }
        sums.compare(&book, *hour, &mut law)?;
    }
    law.checked = format!("{} hours, {rows} rows", hours.len());
    let after = Status::read(&data.lake_db())?;
    if before != after {
        let mut moved = Law::new(8, law.name);
        moved.notes.push("not compared: the lake was advanced meanwhile".into());
        return Ok(moved);
    }
    Ok(law)
}

/// The hours of lake and tables.
fn hours_of(book: &Connection, tables: &Connection) -> Result<BTreeSet<Hour>, AuditError> {
    let mut hours = BTreeSet::new();
    let mut select = book.prepare("SELECT hour_at_ms FROM hours")?;
    for at in select.query_map([], |row| row.get::<_, u64>(0))? {
        hours.extend(Hour::of(UnixMillis(at?)));
    }
    let mut select = tables.prepare("SELECT opportunity_id FROM fct_ad_opportunities")?;
    for id in select.query_map([], |row| parsed::<OpportunityId>(row, 0))? {
        hours.extend(Hour::of_slot(id?));
    }
    Ok(hours)
}

/// A row's id, and the cells of the columns compared.
type Cells = (String, Vec<String>);

fn compare(
    table: &'static Table,
    live: &str,
    hour: Hour,
    found: &Rows,
    tables: &Connection,
    law: &mut Law,
) -> Result<(), AuditError> {
    let mut select = tables.prepare_cached(live)?;
    let names: Vec<String> = select.column_names().map(Into::into).collect();
    let count = names.len();
    let [from, until] = [hour.begin(), hour.end()].map(first_id);
    let should = select
        .query_map([from, until], |row| {
            let cells = (0..count).map(|column| Ok(cell(row.get_ref(column)?))).collect::<rusqlite::Result<_>>()?;
            Ok((row.get(1)?, cells))
        })?
        .collect::<rusqlite::Result<Vec<Cells>>>()?;
    let is = (0..found.len()).map(|row| cells(found, &names, row)).collect::<Vec<Cells>>();
    let (mut is, mut should) = (is.iter().peekable(), should.iter().peekable());
    loop {
        match (is.peek(), should.peek()) {
            (None, None) => return Ok(()),
            (Some(one), other) if other.is_none_or(|other| one.0 < other.0) => {
                law.finds("lake_row_surplus", &one.0, format!("it is in {} of the lake alone", table.name));
                is.next();
            }
            (one, Some(other)) if one.is_none_or(|one| one.0 > other.0) => {
                law.finds("lake_row_missing", &other.0, format!("it is not in {} of the lake", table.name));
                should.next();
            }
            (Some(one), Some(other)) => {
                let differs = (0..count).find(|column| one.1[*column] != other.1[*column]);
                if let Some(column) = differs {
                    let (name, one_says, other_says) = (&names[column], &one.1[column], &other.1[column]);
                    let message =
                        format!("{}.{name} is {one_says} in the lake, {other_says} in the tables", table.name);
                    law.finds("lake_row_differs", &one.0, message);
                }
                is.next();
                should.next();
            }
            (None, Some(_)) | (Some(_), None) => unreachable!("taken above"),
        }
    }
}

/// The first id that a slot of this instant may have, as text.
fn first_id(at: UnixMillis) -> String {
    let hex = format!("{:012x}", at.0);
    format!("{}-{}", &hex[..8], &hex[8..])
}

fn cells(rows: &Rows, names: &[String], row: usize) -> Cells {
    let cell = |name: &String| {
        let column = rows.column(name);
        if !column.is_present(row) {
            return "NULL".into();
        }
        match &column.values {
            Values::Text { .. } => format!("{:?}", column.text(row).unwrap_or_default()),
            Values::Int(values) => values[row].to_string(),
            Values::Bool(values) => u8::from(values[row]).to_string(),
        }
    };
    let text = |name| rows.column(name).text(row).unwrap_or_default().to_owned();
    (text("opportunity_id"), names.iter().map(cell).collect())
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
        ValueRef::Real(_) | ValueRef::Blob(_) => "of another kind".into(),
    }
}

/// The totals of an hour, added up again from its rows.
#[derive(Default)]
struct Sums {
    /// Filled, impressed, released, delivered, completes, revenue; by quarter, flight and advertiser.
    flights: BTreeMap<[i64; 3], [i128; 6]>,
    /// Slots and filled, by quarter.
    slots: BTreeMap<i64, [i128; 2]>,
}

impl Sums {
    fn add(&mut self, table: &Table, rows: &Rows) {
        for row in 0..rows.len() {
            let int = |name| rows.column(name).int(row).unwrap_or_default();
            let text = |name| rows.column(name).text(row);
            let quarter = int("opened_at") - int("opened_at").rem_euclid(QUARTER_MS);
            let key = [quarter, int("flight_id"), int("advertiser_id")];
            if table.name == IMPRESSIONS.name {
                let sums = self.flights.entry(key).or_default();
                sums[1] += 1;
                sums[3] += i128::from(rows.column("threshold_passed").bool(row) == Some(true));
                sums[4] += i128::from(text("furthest_quartile") == Some("complete"));
                sums[5] += i128::from(int("recognized_revenue_micros"));
                continue;
            }
            let is_filled = text("outcome") == Some("filled");
            let slots = self.slots.entry(quarter).or_default();
            slots[0] += 1;
            slots[1] += i128::from(is_filled);
            if is_filled {
                let sums = self.flights.entry(key).or_default();
                sums[0] += 1;
                sums[2] += i128::from(text("settled") == Some("released"));
            }
        }
    }

    fn compare(&self, book: &Connection, hour: Hour, law: &mut Law) -> rusqlite::Result<()> {
        let bounds = [hour.begin().0, hour.end().0];
        let mut select = book.prepare_cached(
            "SELECT quarter_at_ms, flight_id, advertiser_id, sum(filled), sum(impressed), sum(released), sum(delivered),
                 sum(completes), sum(revenue_micros)
             FROM flight_totals WHERE quarter_at_ms >= ?1 AND quarter_at_ms < ?2 GROUP BY 1, 2, 3",
        )?;
        let mut flights: BTreeMap<[i64; 3], [i128; 6]> = BTreeMap::new();
        let mut rows = select.query(bounds)?;
        while let Some(row) = rows.next()? {
            let mut sums = [0; 6];
            for (column, sum) in (3..).zip(&mut sums) {
                *sum = i128::from(row.get::<_, i64>(column)?);
            }
            flights.insert([row.get(0)?, row.get(1)?, row.get(2)?], sums);
        }
        if flights != self.flights {
            let differs = flights.iter().find(|(key, sums)| self.flights.get(*key) != Some(*sums)).map(|(key, _)| *key);
            let differs = differs.or_else(|| self.flights.keys().find(|key| !flights.contains_key(*key)).copied());
            let message =
                format!("at quarter, flight, advertiser {differs:?}: not what the rows of the hour add up to");
            law.finds("lake_totals_differ", hour, message);
        }
        let mut select = book.prepare_cached(
            "SELECT quarter_at_ms, slots, filled FROM slot_totals WHERE quarter_at_ms >= ?1 AND quarter_at_ms < ?2",
        )?;
        let slots = select
            .query_map(bounds, |row| {
                Ok((row.get(0)?, [i128::from(row.get::<_, i64>(1)?), i128::from(row.get::<_, i64>(2)?)]))
            })?
            .collect::<rusqlite::Result<BTreeMap<i64, [i128; 2]>>>()?;
        if slots != self.slots {
            law.finds("lake_totals_differ", hour, "its slots are not what the rows of the hour add up to");
        }
        Ok(())
    }
}
