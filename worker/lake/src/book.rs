//! `lake.db`: the lake's book. Every function is a statement or two; what belongs together is in one transaction of the caller's.

use std::{collections::BTreeMap, path::Path, str::FromStr, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params, types::Type};
use slotkeeper_core::{
    contract::RegistryRecord,
    id::{RecordId, SessionKey},
    time::UnixMillis,
};

use crate::{
    error::LakeError,
    fold::{Tally, Totals},
    hour::Hour,
    raw::Counts,
};

/// The schema's number, in `PRAGMA user_version`. To be raised with every change of `schema.sql`.
const SCHEMA_VERSION: u32 = 2;
/// To be raised with every change of what the fold writes: all hours are folded again.
const FOLD_VERSION: u32 = 1;
/// How long one statement waits for another process that reads or writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A file of facts as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFile {
    /// Of which table.
    pub table: String,
    /// Of which hour.
    pub hour: Hour,
    /// Its name in the hour's folder.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Between which entries of the log, both inclusive, its rows came.
    pub first_seq: u64,
    /// See [`first_seq`](Self::first_seq).
    pub last_seq: u64,
}

/// Of books without `breaks`.
const BEFORE_BREAKS: u32 = 1;

/// The book, and whether it was made before it knew the hours of breaks: then [`breaks_noted`] is to be called once it does.
pub(crate) fn open(path: &Path) -> Result<(Connection, bool), LakeError> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    // The files that it lists are on disk before it says so, and so is it. Unit tests, whose disk nobody pulls, need not wait.
    db.pragma_update(None, "synchronous", if cfg!(test) { "OFF" } else { "FULL" })?;
    let found: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(LakeError::LaterSchema { found, makes: SCHEMA_VERSION });
    }
    db.execute_batch(&format!("BEGIN IMMEDIATE; {}; COMMIT;", include_str!("schema.sql")))?;
    let knows_no_breaks = found == BEFORE_BREAKS;
    if !knows_no_breaks {
        db.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    db.set_prepared_statement_cache_capacity(64);
    let transaction = db.unchecked_transaction()?;
    if transaction.execute("UPDATE lake_offset SET fold_version = ?1 WHERE fold_version <> ?1", [FOLD_VERSION])? > 0 {
        transaction.execute("UPDATE hours SET folded_version = 0", [])?;
    }
    transaction.commit()?;
    Ok((db, knows_no_breaks))
}

/// The book knows the hours of breaks from the commit of this on.
pub(crate) fn breaks_noted(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "user_version", SCHEMA_VERSION)
}

/// For reading only, while another process may write. `None` if there is none yet.
pub(crate) fn open_read_only(path: &Path) -> Result<Option<Connection>, LakeError> {
    if !path.exists() {
        return Ok(None);
    }
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    let is_made = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'counts')";
    Ok(if db.query_row(is_made, [], |row| row.get(0))? { Some(db) } else { None })
}

/// How far the log is in the lake, and the hash of the last entry.
pub(crate) fn offset(db: &Connection) -> rusqlite::Result<(u64, Option<String>)> {
    db.prepare_cached("SELECT consumed_seq, last_entry FROM lake_offset")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

pub(crate) fn set_offset(db: &Connection, consumed_seq: u64, last_entry: &str) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE lake_offset SET consumed_seq = ?1, last_entry = ?2")?
        .execute(params![consumed_seq, last_entry])?;
    Ok(())
}

pub(crate) fn add_file(db: &Connection, file: &RawFile) -> rusqlite::Result<()> {
    let RawFile { table, hour, name, rows, bytes, first_seq, last_seq } = file;
    db.prepare_cached("INSERT INTO raw_files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
        table,
        hour.begin().0,
        name,
        rows,
        bytes,
        first_seq,
        last_seq
    ])?;
    Ok(())
}

pub(crate) fn remove_file(db: &Connection, file: &RawFile) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM raw_files WHERE table_name = ?1 AND hour_at_ms = ?2 AND name = ?3")?
        .execute(params![file.table, file.hour.begin().0, file.name])?;
    Ok(())
}

/// The files of a table, in the order in which what is in them came; of one hour or of all.
pub(crate) fn files(db: &Connection, table: &str, hour: Option<Hour>) -> rusqlite::Result<Vec<RawFile>> {
    db.prepare_cached(
        "SELECT table_name, hour_at_ms, name, rows, bytes, first_seq, last_seq FROM raw_files
         WHERE table_name = ?1 AND hour_at_ms BETWEEN ?2 AND ?3 ORDER BY hour_at_ms, first_seq",
    )?
    .query_map(
        params![
            table,
            hour.map_or(0, |hour| hour.begin().0),
            hour.map_or(UnixMillis::TAKEN_MAX.0, |hour| hour.begin().0)
        ],
        |row| {
            Ok(RawFile {
                table: row.get(0)?,
                hour: hour_of(row, 1)?,
                name: row.get(2)?,
                rows: row.get(3)?,
                bytes: row.get(4)?,
                first_seq: row.get(5)?,
                last_seq: row.get(6)?,
            })
        },
    )?
    .collect()
}

/// Hours of a table with more than `files_max` files.
pub(crate) fn crowded_hours(db: &Connection, table: &str, files_max: usize) -> rusqlite::Result<Vec<Hour>> {
    db.prepare_cached(
        "SELECT hour_at_ms FROM raw_files WHERE table_name = ?1 GROUP BY hour_at_ms HAVING count(*) > ?2 ORDER BY 1",
    )?
    .query_map(params![table, files_max], |row| hour_of(row, 0))?
    .collect()
}

/// Notes that something came to an hour, so that it is to be folded.
pub(crate) fn dirty(db: &Connection, hour: Hour, late: u64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO hours (hour_at_ms, raw_version, folded_version, late) VALUES (?1, 1, 0, ?2)
         ON CONFLICT DO UPDATE SET raw_version = raw_version + 1, late = late + excluded.late",
    )?
    .execute(params![hour.begin().0, late])?;
    Ok(())
}

/// The first hours that are to be folded, each with the version of its facts.
pub(crate) fn dirty_hours(db: &Connection, limit: usize) -> rusqlite::Result<Vec<(Hour, u64)>> {
    db.prepare_cached(
        "SELECT hour_at_ms, raw_version FROM hours WHERE folded_version <> raw_version ORDER BY hour_at_ms LIMIT ?1",
    )?
    .query_map([limit], |row| Ok((hour_of(row, 0)?, row.get(1)?)))?
    .collect()
}

/// Notes that an hour is folded, with what was counted of it.
pub(crate) fn folded(
    db: &Connection,
    hour: Hour,
    version: u64,
    totals: &Totals,
    tally: Tally,
    unknown: impl Iterator<Item = RecordId>,
) -> rusqlite::Result<()> {
    let (begin, end) = (hour.begin().0, hour.end().0);
    for table in ["flight_totals", "slot_totals"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE quarter_at_ms >= ?1 AND quarter_at_ms < ?2"))?
            .execute([begin, end])?;
    }
    for (key, sums) in &totals.flights {
        db.prepare_cached("INSERT INTO flight_totals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?.execute(
            params![
                key.quarter_at_ms,
                key.flight_id,
                sums.campaign_id,
                key.advertiser_id,
                key.currency,
                sums.filled,
                sums.impressed,
                sums.released,
                sums.delivered,
                sums.completes,
                sums.revenue_micros
            ],
        )?;
    }
    for (quarter, sums) in &totals.slots {
        db.prepare_cached("INSERT INTO slot_totals VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            quarter,
            sums.slots,
            sums.filled,
            sums.slots - sums.filled
        ])?;
    }
    db.prepare_cached("DELETE FROM unknown_records WHERE hour_at_ms = ?1")?.execute([begin])?;
    for record in unknown {
        db.prepare_cached("INSERT INTO unknown_records VALUES (?1, ?2)")?
            .execute(params![record.to_string(), begin])?;
    }
    db.prepare_cached(
        "UPDATE hours SET folded_version = ?2, raw_rows = ?3 + ?4 + ?5, unique_rows = ?3, duplicate_rows = ?4, refused_rows = ?5
         WHERE hour_at_ms = ?1",
    )?
    .execute(params![begin, version, tally.unique, tally.duplicate, tally.refused])?;
    Ok(())
}

/// Ads as sold that some hour waits for.
pub(crate) fn unknown_records(db: &Connection) -> rusqlite::Result<Vec<RecordId>> {
    db.prepare_cached("SELECT DISTINCT record_id FROM unknown_records")?.query_map([], |row| parsed(row, 0))?.collect()
}

/// Lets the hours that wait for an ad be folded again.
pub(crate) fn now_known(db: &Connection, record: RecordId) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE hours SET folded_version = 0 WHERE hour_at_ms IN (SELECT hour_at_ms FROM unknown_records WHERE record_id = ?1)",
    )?
    .execute([record.to_string()])?;
    db.prepare_cached("DELETE FROM unknown_records WHERE record_id = ?1")?.execute([record.to_string()])?;
    Ok(())
}

pub(crate) fn add_auctions(db: &Connection, records: &BTreeMap<RecordId, String>) -> rusqlite::Result<()> {
    for (id, record) in records {
        db.prepare_cached("INSERT OR IGNORE INTO auction_records VALUES (?1, ?2)")?
            .execute(params![id.to_string(), record])?;
    }
    Ok(())
}

/// The ad as an auction sold it.
pub(crate) fn auction_record(db: &Connection, id: RecordId) -> rusqlite::Result<Option<RegistryRecord>> {
    let json: Option<String> = db
        .prepare_cached("SELECT record FROM auction_records WHERE record_id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}

pub(crate) fn add_losses(db: &Connection, losses: &BTreeMap<SessionKey, u32>) -> rusqlite::Result<()> {
    for (session, lost) in losses {
        db.prepare_cached(
            "INSERT INTO client_losses VALUES (?1, ?2) ON CONFLICT DO UPDATE SET lost = max(lost, excluded.lost)",
        )?
        .execute(params![session.to_string(), lost])?;
    }
    Ok(())
}

pub(crate) fn add_counts(db: &Connection, counts: &Counts) -> rusqlite::Result<()> {
    let Counts { received, opportunities, beacons, decisions, losses, refused, unreadable_batches } = counts;
    db.prepare_cached(
        "UPDATE counts SET received = received + ?1, opportunities = opportunities + ?2, beacons = beacons + ?3,
             decisions = decisions + ?4, losses = losses + ?5, refused = refused + ?6,
             unreadable_batches = unreadable_batches + ?7",
    )?
    .execute(params![received, opportunities, beacons, decisions, losses, refused, unreadable_batches])?;
    Ok(())
}

pub(crate) fn add_unreadable(db: &Connection, entries: &[u64]) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT OR IGNORE INTO unreadable_entries VALUES (?1)")?;
    entries.iter().try_for_each(|seq| insert.execute([seq]).map(drop))
}

/// The first entry behind `after` that could not be read.
pub(crate) fn next_unreadable(db: &Connection, after: u64) -> rusqlite::Result<Option<u64>> {
    db.prepare_cached("SELECT min(seq) FROM unreadable_entries WHERE seq > ?1")?.query_row([after], |row| row.get(0))
}

/// Notes that an entry could be read, which was counted as one fact that no edge can have sent.
pub(crate) fn now_readable(db: &Connection, seq: u64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM unreadable_entries WHERE seq = ?1", [seq])?;
    let recount =
        "UPDATE counts SET received = received - 1, refused = refused - 1, unreadable_batches = unreadable_batches - 1";
    db.execute(recount, [])?;
    Ok(())
}

/// Forgets everything.
pub(crate) fn clear(db: &Connection) -> rusqlite::Result<()> {
    let tables = [
        "lake_offset",
        "raw_files",
        "hours",
        "breaks",
        "breaks_apart",
        "rivals",
        "flight_totals",
        "slot_totals",
        "auction_records",
        "unknown_records",
        "client_losses",
        "counts",
        "unreadable_entries",
    ];
    let transaction = db.unchecked_transaction()?;
    for table in tables {
        transaction.execute(&format!("DELETE FROM {table}"), [])?;
    }
    transaction.execute("INSERT INTO lake_offset VALUES (1, 0, NULL, ?1)", [FOLD_VERSION])?;
    transaction.execute("INSERT INTO counts VALUES (1, 0, 0, 0, 0, 0, 0, 0)", [])?;
    transaction.commit()
}

pub(crate) fn hour_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Hour> {
    let at = UnixMillis(row.get(column)?);
    Hour::of(at).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, i64::try_from(at.0).unwrap_or(i64::MAX)))
}

/// Reads what has a text form from a text column.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
