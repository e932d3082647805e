//! The books of a data directory: between its contracts and its lake, and `slotkeeper-books`, which knows neither.
//!
//! **Invariants.** What is delivered is read from the totals in `lake.db` and from nothing else. Whoever writes holds the books'
//! lock. A close that is killed and done again is the same.
//!
//! Where to start reading: [`close_day`] and [`close_month`].

mod bonus;
mod day;
mod export;
mod known;
mod month;
mod ready;
mod tables;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use jiff::tz::TimeZone;
use slotkeeper_books::{
    DeliveriesError, Flight, Span,
    ledger::{Ledger, LedgerError},
};
use slotkeeper_core::time::UnixMillis;
use slotkeeper_lake::file::FileError;

pub use bonus::{Scheduled, Wanted, book_scheduled, schedule};
pub use day::{ClosedDay, close_day};
pub use export::{export_ledger, shelf};
pub use month::{ClosedMonth, LeftAlone, Month, MonthLine, WhyLeft, close_month};
pub use ready::{NotReady, ready_up_to};
pub(crate) use ready::{oldest_not_in, slots_before};
pub use tables::{CAMPAIGN_PACING_DAILY, MAKEGOOD_LEDGER, MAKEGOODS};

use crate::{
    contracts::{Booked, BookedFlight, NotBonus},
    data_dir::{DataDir, DataDirError},
    dims::ExportError,
    lake::PlaceError,
    log::LogError,
};

/// Why the books could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// What is asked for is not known yet, or not all of it.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// Which day or month is meant.
    #[error("{0}")]
    NoSuchTime(String),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A database.
    #[error("books: {0}")]
    Database(#[from] rusqlite::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The totals.
    #[error(transparent)]
    Deliveries(#[from] DeliveriesError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A bonus flight.
    #[error(transparent)]
    Bonus(#[from] NotBonus),
    /// What is booked, for SQL.
    #[error(transparent)]
    Dimensions(#[from] ExportError),
    /// A file cannot be put where the lake is.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A file for SQL.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl From<FileError> for BooksError {
    fn from(error: FileError) -> Self {
        Self::File { path: PathBuf::new(), reason: error.to_string() }
    }
}

/// A flight as the books know it, with its pauses as they were known at an instant: one that went on then is as long as it was then,
/// as nobody knows how long it will be. So what is said of an instant stays the same, whatever is booked later.
#[must_use]
pub fn flight(booked: &BookedFlight, as_of: UnixMillis) -> Flight {
    Flight {
        flight_id: booked.flight_id,
        slug: booked.slug.clone(),
        campaign_id: booked.campaign_id,
        campaign: booked.campaign.clone(),
        advertiser_id: booked.advertiser_id,
        advertiser: booked.advertiser.clone(),
        class: booked.class,
        starts_at: booked.starts_at,
        ends_at: booked.ends_at,
        committed: booked.committed_impressions.unwrap_or(0),
        cpm: booked.cpm,
        time_zone: booked.frequency.zone(),
        paused: booked
            .pauses
            .iter()
            .map(|pause| Span { from: pause.from, until: pause.until.map_or(as_of, |until| until.min(as_of)) })
            .filter(|span| span.from < span.until)
            .collect(),
    }
}

/// All flights as the books know them; see [`flight`].
#[must_use]
pub fn flights(booked: &Booked, as_of: UnixMillis) -> Vec<Flight> {
    booked.flights.iter().map(|booked| flight(booked, as_of)).collect()
}

/// The ledger of a data directory, or the one behind a URL.
pub fn open_ledger(data: &DataDir, url: Option<&str>) -> Result<Ledger, LedgerError> {
    Ledger::open(url, &data.ledger())
}

/// The time zone of this name.
pub fn time_zone(name: &str) -> Result<TimeZone, BooksError> {
    TimeZone::get(name)
        .map_err(|_| BooksError::NoSuchTime(format!("{name:?} is no time zone such as America/New_York")))
}
