//! The books as Parquet, for SQL: whole files, each put in the place of the one before.

use std::collections::BTreeMap;

use jiff::civil::Date;
use slotkeeper_books::{
    ledger::{Account, Ledger, Mode},
    pacing::daily::DailyRow,
};
use slotkeeper_lake::{columns::Rows, file};

use super::{
    BooksError,
    tables::{CAMPAIGN_PACING_DAILY, MAKEGOOD_LEDGER, MAKEGOODS},
};
use crate::{data_dir::DataDir, lake::Shelf};

/// Where the ledger's files for SQL go; nowhere if nothing is written. Whoever books opens it first: a store that is away is noticed
/// then, and not between a booking and its files.
pub fn shelf(data: &DataDir, mode: Mode) -> Result<Option<Shelf>, BooksError> {
    Ok(if mode == Mode::Write { Some(Shelf::open(data)?) } else { None })
}

/// Writes `lake/makegoods/part.parquet` and `lake/makegood_ledger/part.parquet`, where there is a shelf for them.
pub fn export_ledger(shelf: Option<&Shelf>, ledger: &mut Ledger) -> Result<(), BooksError> {
    let Some(shelf) = shelf else { return Ok(()) };
    let (make_goods, entries) = ledger.all()?;
    let mut rows = Rows::new(&MAKEGOODS);
    for one in &make_goods {
        rows.row()
            .int(one.make_good_id)
            .int(one.flight_id.0)
            .text(&one.flight)
            .int(one.campaign_id.0)
            .text(&one.campaign)
            .int(one.advertiser_id.0)
            .text(&one.advertiser)
            .int(one.terms.ended_at.0)
            .int(one.terms.committed)
            .int(one.state.delivered)
            .int(one.shortfall())
            .int(one.state.scheduled)
            .int(one.state.fulfilled)
            .int(one.state.credited)
            .int(one.state.invoice_adjusted)
            .int(one.terms.cpm().micros)
            .text(one.terms.cpm().currency.as_str())
            .text_or_null(one.remedy.as_deref())
            .text(one.status.as_str())
            .int(one.held(Account::Expense))
            .int(one.liability_micros())
            .int(one.held(Account::OverRemedied))
            .int(one.last_at.0);
    }
    write(shelf, "makegoods/part.parquet", &rows)?;
    let of: BTreeMap<u64, _> = make_goods.iter().map(|one| (one.make_good_id, one)).collect();
    let mut rows = Rows::new(&MAKEGOOD_LEDGER);
    for entry in &entries {
        let Some(make_good) = of.get(&entry.make_good_id) else { continue }; // a foreign key sees to it that there is one
        for (account, micros) in &entry.lines {
            rows.row()
                .int(entry.entry_id)
                .int(entry.make_good_id)
                .int(entry.seq)
                .int(entry.at.0)
                .text(entry.request.kind())
                .int(entry.flight_id.0)
                .text(&entry.flight)
                .text(&make_good.campaign)
                .text(&make_good.advertiser)
                .text(&entry.status)
                .text(account.as_str())
                .text(entry.currency.as_str())
                .int(*micros)
                .text(&entry.note);
        }
    }
    write(shelf, "makegood_ledger/part.parquet", &rows)
}

/// Writes `lake/campaign_pacing_daily/date=YYYY-MM-DD/part.parquet`.
pub(super) fn day(folder: &DataDir, date: Date, all: &[DailyRow]) -> Result<(), BooksError> {
    let mut rows = Rows::new(&CAMPAIGN_PACING_DAILY);
    for row in all {
        rows.row()
            .text(&row.day)
            .text(&row.time_zone)
            .int(row.as_of_ms)
            .bool(row.is_provisional)
            .int(row.flight_id)
            .text(&row.flight)
            .int(row.campaign_id)
            .text(&row.campaign)
            .int(row.advertiser_id)
            .text(&row.advertiser)
            .int(row.committed)
            .int(row.delivered)
            .int(row.delivered_on_day)
            .int(row.target_even)
            .int(row.target_even_of_day)
            .int(row.target_shaped)
            .int(row.target_shaped_of_day)
            .bool(row.is_curve_learned)
            .int_or_null(row.pacing_index_millionths)
            .int(row.remaining_ms)
            .int(row.days_remaining)
            .int(row.required_per_day)
            .int_or_null(row.projected)
            .int_or_null(row.projected_low)
            .int_or_null(row.projected_high)
            .text(&row.alert);
    }
    write(&Shelf::open(folder)?, &format!("campaign_pacing_daily/date={date}/part.parquet"), &rows)
}

/// Whole or not at all: a reader sees the file of before, or this one.
fn write(shelf: &Shelf, name: &str, rows: &Rows) -> Result<(), BooksError> {
    Ok(shelf.put(name, file::write(rows)?)?)
}
