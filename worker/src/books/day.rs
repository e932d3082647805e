//! Closing a day.

use jiff::{civil::Date, tz::TimeZone};
use slotkeeper_books::{
    LakeTotals,
    ledger::Mode,
    pacing::{
        daily::{DailyRow, ReportedDay, daily},
        store,
    },
};
use slotkeeper_core::time::UnixMillis;

use super::{
    BooksError, NotReady, export, flights,
    month::LAST_ADS_MS,
    ready::{open, ready_up_to},
};
use crate::{
    clock,
    contracts::Contracts,
    data_dir::{DataDir, Durability, connect},
};

/// A day as it was closed.
#[derive(Debug)]
pub struct ClosedDay {
    /// Which.
    pub day: ReportedDay,
    /// Of each guaranteed flight that ran on it.
    pub rows: Vec<DailyRow>,
}

/// Closes a day: how every guaranteed flight stood at its end, kept in `pacing.db` and as a file for SQL, in place of what was
/// kept of that day. `provisional` closes one that is not over, or not all counted, as far as it is.
pub fn close_day(
    data: &DataDir,
    which: Date,
    time_zone: TimeZone,
    provisional: bool,
    now: UnixMillis,
    mode: Mode,
) -> Result<ClosedDay, BooksError> {
    let day = ReportedDay::new(which, time_zone, now).map_err(|error| BooksError::NoSuchTime(error.to_string()))?;
    // An ad counts on the day its break opened, and may begin to play while its token lives.
    let over_at = day.span.until.plus_ms(LAST_ADS_MS);
    let is_over = now >= over_at;
    if !is_over && !provisional {
        let what = format!("day {which}, with the ads of its last breaks,");
        return Err(NotReady::NotOver { what, ends_at: clock::shown(over_at) }.into());
    }
    let _lock = data.lock_books()?;
    let (totals, is_all_counted) = match ready_up_to(data, if is_over { over_at } else { day.as_of }) {
        Err(BooksError::NotReady(_)) if provisional => (open(data)?, false),
        ready => (ready?, is_over),
    };
    let booked = Contracts::open(&data.contracts())?.booked()?;
    let mut rows = daily(&flights(&booked, day.as_of), &LakeTotals(&totals), &day)?;
    if !is_all_counted {
        for row in &mut rows {
            row.is_provisional = true;
        }
    }
    if mode == Mode::Write {
        let mut db = connect(&data.pacing(), Durability::Durable, store::SCHEMA)?;
        store::replace(&mut db, &which.to_string(), &rows)?;
        export::day(data, which, &rows)?;
    }
    Ok(ClosedDay { day, rows })
}
