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

/// Since when; the epoch of a lake that has lost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known(UnixMillis);

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
        if has_lost {
            return Ok(Self(begins_at.unwrap_or(UnixMillis(u64::MAX))));
        }
        if let (Some(begins_at), Mode::Write) = (begins_at, mode) {
            ledger.note_lake(begins_at, now)?;
        }
        Ok(Self(UnixMillis(0)))
    }

    /// Whether all is known that a flight delivered.
    pub(super) fn covers(self, flight: &Flight) -> bool {
        self.0 <= flight.starts_at
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
