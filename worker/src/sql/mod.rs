//! SQL over the data directory: its tables as DuckDB sees them, and the questions that are shipped.
//!
//! **Invariants.** What is asked reads the tables and nothing else, and writes nothing. The questions are plain SQL over the tables that
//! everybody sees, so that whoever doubts an answer can ask another way.

pub mod questions;
pub mod tables;

use std::{path::PathBuf, time::Duration};

use rusqlite::Connection;
use slotkeeper_lake::tables::{Kind, Table};
use slotkeeper_query::{
    Bounds, DuckDb, Session, Settings, View,
    view::{Column, Lister, Source},
};

use crate::{
    books::{CAMPAIGN_PACING_DAILY, MAKEGOOD_LEDGER, MAKEGOODS},
    data_dir::{self, DataDir},
    lake::{
        PlaceError,
        mirror::{self, Wanted},
    },
};

/// How much memory an answer may take before it goes to disk.
const MEMORY_MAX_BYTES: u64 = 2 << 30;

/// The folder in the lake's that holds what sessions keep of it while they live. Its name begins as that of no table does.
pub(crate) const SESSIONS: &str = ".sessions";

/// What an answer over HTTP may be.
pub const API_BOUNDS: Bounds = Bounds { rows_skipped: 0, rows_max: 10_000, time_max: Some(Duration::from_secs(20)) };

/// Why SQL cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// DuckDB says why, or is not here.
    #[error(transparent)]
    Query(#[from] slotkeeper_query::Error),
    /// Where the data directory is cannot be told.
    #[error("{0}")]
    Path(#[from] std::io::Error),
    /// The lake's files cannot be read where they are.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// A session over the tables of a data directory, which reaches these folders and files as well.
pub fn start(data: &DataDir, folders: Vec<PathBuf>, files: Vec<PathBuf>) -> Result<Session, SqlError> {
    let duckdb = DuckDb::load()?;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let sessions = std::path::absolute(data.lake().join(SESSIONS))?;
    let replacing = data.lake().join(slotkeeper_lake::REPLACING);
    let settings = Settings { threads, memory_max_bytes: MEMORY_MAX_BYTES, sessions, replacing, folders, files };
    Ok(Session::start(&duckdb, &settings, views(data))?)
}

/// Every table that SQL sees.
pub fn views(data: &DataDir) -> Vec<View> {
    let lake = data.lake();
    let mut views = vec![];
    for table in slotkeeper_lake::tables::ALL {
        let source = if table.name.starts_with("raw_") {
            let data = data.clone();
            Source::Listed(Lister::new(move || facts(&data, table.name)))
        } else {
            Source::Hours(lake.join(table.name))
        };
        views.push(view(table, source));
    }
    views.push(view(&CAMPAIGN_PACING_DAILY, Source::Days(lake.join(CAMPAIGN_PACING_DAILY.name))));
    for table in [&MAKEGOODS, &MAKEGOOD_LEDGER].into_iter().chain(tables::DIMENSIONS) {
        views.push(view(table, Source::Files(vec![lake.join(table.name).join("part.parquet")])));
    }
    views.push(view(&tables::DIM_PROFILES, Source::Query(tables::DIM_PROFILES_QUERY.into())));
    views
}

/// The files of facts that count by now; of a lake in a store they are copied first, as only those who ask for them need them.
fn facts(data: &DataDir, table: &str) -> Result<Vec<PathBuf>, String> {
    // And those alone: the folded tables of this session are linked by now, as they were.
    mirror::bring(data, Wanted::Facts).map_err(|error| error.to_string())?;
    listed(data, table).map_err(|error| format!("lake.db: {error}"))
}

fn listed(data: &DataDir, table: &str) -> rusqlite::Result<Vec<PathBuf>> {
    let book = data.lake_db();
    let book = if book.is_file() { Some(data_dir::connect_read_only(&book)?) } else { None };
    raw_files(book.as_ref(), &data.lake(), table)
}

/// The files of facts that count: those that the book lists.
pub(crate) fn raw_files(
    book: Option<&Connection>,
    lake: &std::path::Path,
    table: &str,
) -> rusqlite::Result<Vec<PathBuf>> {
    let Some(book) = book else { return Ok(vec![]) };
    if !data_dir::has_table(book, "raw_files")? {
        return Ok(vec![]);
    }
    book.prepare(
        "SELECT strftime('date=%Y-%m-%d/hour=%H', hour_at_ms / 1000, 'unixepoch'), name FROM raw_files
         WHERE table_name = ?1 ORDER BY hour_at_ms, first_seq, name",
    )?
    .query_map([table], |row| Ok(lake.join(table).join(row.get::<_, String>(0)?).join(row.get::<_, String>(1)?)))?
    .collect()
}

fn view(table: &Table, source: Source) -> View {
    let column = |column: &slotkeeper_lake::tables::Column| Column {
        name: column.name.into(),
        sql_type: match column.kind {
            Kind::Text => "VARCHAR",
            Kind::Int => "BIGINT",
            Kind::Time => "TIMESTAMPTZ",
            Kind::Bool => "BOOLEAN",
        },
        about: column.about.into(),
    };
    View {
        name: table.name.into(),
        about: table.about.into(),
        columns: table.columns.iter().map(column).collect(),
        source,
    }
}
