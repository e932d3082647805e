//! What is in a lake, for whoever asks while another process may advance it.

use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use crate::{book, error::LakeError, lake::FILES_MAX, raw::RAW};

/// What is in a lake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// How far the log is in it.
    pub consumed_seq: u64,
    /// Hours of which there is anything.
    pub hours: u64,
    /// Of them, those that are to be folded.
    pub hours_to_fold: u64,
    /// Facts that came more than an hour after the end of their hour.
    pub late: u64,
    /// Facts received: each is one of the next four.
    pub received: u64,
    /// Different rows and events, of the hours that are folded.
    pub unique: u64,
    /// Those that came again.
    pub duplicate: u64,
    /// What no edge can have sent.
    pub refused: u64,
    /// What is in no table of rows and events: decisions, and what clients said they lost; and what is not folded yet.
    pub beside: u64,
    /// Batches that could not be read; each counts as one fact refused.
    pub unreadable_batches: u64,
    /// Ads as sold that are not known.
    pub unknown_records: u64,
    /// Hours' tables of facts that have more files than they should.
    pub tables_to_merge: u64,
    /// Files of facts, and what is in them.
    pub raw: Vec<RawTable>,
}

/// The files of a table of facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RawTable {
    /// Its name.
    pub table: String,
    /// How many files.
    pub files: u64,
    /// How many rows.
    pub rows: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Status {
    /// Of the lake whose book this is; `None` if there is none yet.
    pub fn read(book: &Path) -> Result<Option<Self>, LakeError> {
        let Some(db) = book::open_read_only(book)? else { return Ok(None) };
        let moment = db.unchecked_transaction()?; // one for all of it
        let status = Self::of(&moment)?;
        Ok(Some(status))
    }

    fn of(db: &Connection) -> Result<Self, LakeError> {
        let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, u64>(0));
        let of_hours = |column: &str| one(&format!("SELECT coalesce(sum({column}), 0) FROM hours"));
        let of_counts = |column: &str| one(&format!("SELECT {column} FROM counts"));
        let (received, unique, duplicate) =
            (of_counts("received")?, of_hours("unique_rows")?, of_hours("duplicate_rows")?);
        let refused = of_counts("refused")? + of_hours("refused_rows")?;
        let raw = db
            .prepare(
                "SELECT table_name, count(*), sum(rows), sum(bytes) FROM raw_files GROUP BY table_name ORDER BY 1",
            )?
            .query_map([], |row| {
                Ok(RawTable { table: row.get(0)?, files: row.get(1)?, rows: row.get(2)?, bytes: row.get(3)? })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            consumed_seq: book::offset(db)?.0,
            hours: one("SELECT count(*) FROM hours")?,
            hours_to_fold: one("SELECT count(*) FROM hours WHERE folded_version <> raw_version")?,
            late: of_hours("late")?,
            received,
            unique,
            duplicate,
            refused,
            beside: received.saturating_sub(unique + duplicate + refused),
            unreadable_batches: of_counts("unreadable_batches")?,
            tables_to_merge: crowded(db)?,
            unknown_records: one("SELECT count(DISTINCT record_id) FROM unknown_records")?,
            raw,
        })
    }
}

fn crowded(db: &Connection) -> rusqlite::Result<u64> {
    let mut crowded = 0;
    for table in RAW {
        crowded += book::crowded_hours(db, table.name, FILES_MAX)?.len() as u64;
    }
    Ok(crowded)
}
