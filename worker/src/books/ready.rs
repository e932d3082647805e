//! Whether all that happened up to an instant is counted.

use rusqlite::{Connection, OptionalExtension as _};
use slotkeeper_books::{
    Deliveries as _, DeliveriesError, LakeTotals, SlotQuarter, Span, pacing::curve::LEARNED_FROM_MS,
};
use slotkeeper_core::time::UnixMillis;

use super::BooksError;
use crate::{
    clock,
    data_dir::{DataDir, connect_read_only, has_table},
};

/// Not all is counted yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It is still to come.
    #[error("{what} is not over: it ends at {ends_at}")]
    NotOver {
        /// What.
        what: String,
        /// When it is.
        ends_at: String,
    },
    /// There is no lake.
    #[error("there is no lake.db, so nothing is counted; `slotkeeper lake` makes one from the log")]
    NoLake,
    /// Entries of the log from before the instant are not in the lake.
    #[error(
        "only {consumed} of {logged} entries of the log are in the lake, and some of the others came before {up_to}"
    )]
    NotInLake {
        /// How many are.
        consumed: u64,
        /// How many there are.
        logged: u64,
        /// The instant.
        up_to: String,
    },
    /// Hours from before it are not folded, or count a break that a later one is still to count.
    #[error("{hours} hours before {up_to} are not folded, or share a break with a later one that is not")]
    NotFolded {
        /// How many.
        hours: u64,
        /// The instant.
        up_to: String,
    },
}

/// The lake's totals, if all that reached the log before `up_to` is in them.
pub fn ready_up_to(data: &DataDir, up_to: UnixMillis) -> Result<Connection, BooksError> {
    let lake = open(data)?;
    check(data, &lake, up_to)?;
    Ok(lake)
}

/// Whether all that reached the log before `up_to` is in these totals.
pub(super) fn check(data: &DataDir, lake: &Connection, up_to: UnixMillis) -> Result<(), BooksError> {
    let said = clock::shown(up_to);
    let consumed: u64 = lake.query_row("SELECT consumed_seq FROM lake_offset", [], |row| row.get(0))?;
    if let Some((logged, first_left_at)) = left(data, consumed)?
        && first_left_at < up_to.0
    {
        return Err(NotReady::NotInLake { consumed, logged, up_to: said }.into());
    }
    let dirty = "SELECT count(*) FROM hours WHERE folded_version <> raw_version AND hour_at_ms < ?1";
    let hours: u64 = lake.query_row(dirty, [up_to.0], |row| row.get(0))?;
    if hours > 0 {
        return Err(NotReady::NotFolded { hours, up_to: said }.into());
    }
    let hours = apart(lake, up_to)?;
    if hours > 0 {
        return Err(NotReady::NotFolded { hours, up_to: said }.into());
    }
    Ok(())
}

/// How many hours before an instant share a break with a later one that is not folded: until that one has told what it has of the
/// break, both count it.
fn apart(lake: &Connection, up_to: UnixMillis) -> rusqlite::Result<u64> {
    if !has_table(lake, "breaks_apart")? {
        return Ok(0);
    }
    let hours = "SELECT count(DISTINCT one.hour_at_ms) FROM breaks_apart one JOIN breaks_apart other USING (break_key)
         JOIN hours h ON h.hour_at_ms = other.hour_at_ms
         WHERE one.hour_at_ms < ?1 AND other.hour_at_ms >= ?1 AND h.folded_version <> h.raw_version";
    lake.query_row(hours, [up_to.0], |row| row.get(0))
}

/// The lake's totals, as far as they go: as they are now, for as long as the connection lives.
pub(super) fn open(data: &DataDir) -> Result<Connection, BooksError> {
    let path = data.lake_db();
    if !path.exists() {
        return Err(NotReady::NoLake.into());
    }
    let lake = connect_read_only(&path)?;
    // All that is read is of one moment: a lake that is made anew meanwhile, and counts nothing at first, is not seen half.
    lake.execute_batch("BEGIN")?;
    if !has_table(&lake, "lake_offset")? {
        return Err(NotReady::NoLake.into());
    }
    Ok(lake)
}

/// How far the log goes, and when the first entry came that is not in the lake; nothing if all are.
fn left(data: &DataDir, consumed: u64) -> rusqlite::Result<Option<(u64, u64)>> {
    if !data.log().exists() {
        return Ok(None);
    }
    let log = connect_read_only(&data.log())?;
    if !has_table(&log, "entries")? {
        return Ok(None);
    }
    let first =
        "SELECT received_at_ms, (SELECT max(seq) FROM entries) FROM entries WHERE seq > ?1 ORDER BY seq LIMIT 1";
    log.query_row(first, [consumed], |row| Ok((row.get(1)?, row.get(0)?))).optional()
}

/// When the oldest entry of the log came that is after `consumed`; nothing if there is none.
pub(crate) fn oldest_not_in(data: &DataDir, consumed: u64) -> rusqlite::Result<Option<UnixMillis>> {
    Ok(left(data, consumed)?.map(|(_, at)| UnixMillis(at)))
}

/// The slots of the weeks before `now`, for the curve; none while there is no lake.
pub(crate) fn slots_before(data: &DataDir, now: UnixMillis) -> rusqlite::Result<Vec<SlotQuarter>> {
    let mut slots = vec![];
    let Ok(lake) = open(data) else { return Ok(slots) };
    if !has_table(&lake, "slot_totals")? {
        return Ok(slots);
    }
    let span = Span { from: now.minus_ms(LEARNED_FROM_MS), until: now };
    LakeTotals(&lake)
        .slot_quarters(span, &mut |quarter| slots.push(quarter))
        .map_err(|DeliveriesError(error)| error)?;
    Ok(slots)
}
