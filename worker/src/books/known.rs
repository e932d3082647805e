//! Since when the lake knows all that was delivered.
//!
//! Its totals outlive the log's oldest entries: `lake rebuild` refuses a log that has lost its beginning, and so does a lake without its
//! book. But a lake made from another log, or around this program, begins anew: what came before is not in it, and was delivered all
//! the same. Whoever read that as nothing would owe it again.

use rusqlite::Connection;
use slotkeeper_books::{
    Flight,
    ledger::{Ledger, Mode},
};
use slotkeeper_core::time::UnixMillis;

use super::BooksError;
use crate::{data_dir::DataDir, log::SqliteLog};

/// What a lake knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its first hour; the end of time if it has none.
    begins_at: UnixMillis,
    /// Whether it knew of earlier ones once.
    has_lost: bool,
}

impl Known {
    /// Compares what the lake begins with now to what it began with at earlier closes, which the ledger remembers, and lets it remember
    /// this one.
    pub(super) fn look(
        data: &DataDir,
        lake: &Connection,
        ledger: &mut Ledger,
        now: UnixMillis,
        mode: Mode,
    ) -> Result<Self, BooksError> {
        let begins_at: Option<u64> = lake.query_row("SELECT min(hour_at_ms) FROM hours", [], |row| row.get(0))?;
        let begins_at = begins_at.map(UnixMillis);
        let has_lost = match ledger.lake_began_at()? {
            Some(before) => begins_at.is_none_or(|now| now > before),
            None => begins_with_a_shortened_log(data, lake)?,
        };
        if let (Some(begins_at), false, Mode::Write) = (begins_at, has_lost, mode) {
            ledger.note_lake(begins_at, now)?;
        }
        Ok(Self { begins_at: begins_at.unwrap_or(UnixMillis(u64::MAX)), has_lost })
    }

    /// Whether all is known that a flight delivered. (Before the first hour that there ever was, nothing was delivered.)
    pub(super) fn covers(self, flight: &Flight) -> bool {
        !self.has_lost || self.begins_at <= flight.starts_at
    }

    /// Whether a flight was over before anything was known at all: such as one of another ad server, booked for the record.
    pub(super) fn begins_after(self, flight: &Flight) -> bool {
        !self.has_lost && flight.ends_at <= self.begins_at
    }
}

/// Whether the log's beginning is gone, and the lake has nothing from before what is left of it.
fn begins_with_a_shortened_log(data: &DataDir, lake: &Connection) -> Result<bool, BooksError> {
    if !data.log().exists() {
        return Ok(false);
    }
    let log_begins_at = SqliteLog::open_read_only(&data.log())?.first_seq()?;
    let lake_has: Option<u64> = lake.query_row("SELECT min(first_seq) FROM raw_files", [], |row| row.get(0))?;
    Ok(log_begins_at > 1 && lake_has.is_none_or(|first| first >= log_begins_at))
}
