//! The lake's dimensions: what is booked, as it was when, exported from the history of the bookings.

use rusqlite::Connection;
use serde_json::{Map, Value};
use slotkeeper_lake::{
    columns::Rows,
    file::{self, FileError},
    tables::{Kind, Table},
};

use crate::{
    contracts::Contracts,
    data_dir::DataDir,
    lake::{PlaceError, Shelf},
    sql::tables::DIMENSIONS,
};

/// Why the dimensions could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The bookings cannot be read.
    #[error("contracts.db: {0}")]
    Database(#[from] rusqlite::Error),
    /// A change in the history is not what this program writes.
    #[error("contracts.db: history {seq} of {dimension}: {reason}")]
    Odd {
        /// Which change.
        seq: i64,
        /// Of what.
        dimension: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The rows cannot be written as Parquet.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file cannot be put where the lake is.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// Writes `lake/dim_*/part.parquet`, each whole or not at all, and only where something has changed: what is booked the same is the
/// same file.
pub fn export(data: &DataDir) -> Result<(), ExportError> {
    let shelf = Shelf::open(data)?;
    let mut contracts = Contracts::open(&data.contracts())?;
    let snapshot = contracts.db().unchecked_transaction()?; // one moment for all of them
    for table in DIMENSIONS {
        let bytes = file::write(&rows(&snapshot, table)?)?;
        shelf.put(&format!("{}/part.parquet", table.name), bytes)?;
    }
    Ok(())
}

/// One state of something booked.
struct Change {
    seq: i64,
    id: String,
    valid_from_ms: i64,
    content: String,
}

/// The rows of a dimension, in the order in which things were booked first. What was booked for less than a millisecond is left
/// out: no instant is in it.
fn rows(db: &Connection, table: &'static Table) -> Result<Rows, ExportError> {
    let changes: Vec<Change> = db
        .prepare(
            "SELECT seq, id, valid_from_ms, content FROM history AS h
             WHERE dimension = ?1 AND NOT EXISTS (SELECT 1 FROM history AS later WHERE later.dimension = ?1 AND later.id = h.id
                 AND later.valid_from_ms = h.valid_from_ms AND later.seq > h.seq)
             ORDER BY (SELECT min(seq) FROM history AS first WHERE first.dimension = ?1 AND first.id = h.id), valid_from_ms",
        )?
        .query_map([table.name], |row| {
            Ok(Change { seq: row.get(0)?, id: row.get(1)?, valid_from_ms: row.get(2)?, content: row.get(3)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut rows = Rows::new(table);
    for (index, change) in changes.iter().enumerate() {
        let next = changes.get(index + 1).filter(|next| next.id == change.id);
        row(&mut rows, table, change, next.map(|next| next.valid_from_ms))?;
    }
    Ok(rows)
}

fn row(rows: &mut Rows, table: &'static Table, change: &Change, valid_to: Option<i64>) -> Result<(), ExportError> {
    let odd = |reason: String| ExportError::Odd { seq: change.seq, dimension: table.name, reason };
    let content: Map<String, Value> = serde_json::from_str(&change.content).map_err(|error| odd(error.to_string()))?;
    // All of them before any is written: a row is written whole.
    let [columns @ .., _valid_from, _valid_to, _is_current] = table.columns else { return Ok(()) };
    for column in columns {
        let value = content.get(column.name).unwrap_or(&Value::Null);
        let fits = match column.kind {
            _ if value.is_null() => column.nullable,
            Kind::Text => value.is_string(),
            Kind::Int | Kind::Time | Kind::Bool => value.is_i64(),
        };
        if !fits {
            return Err(odd(format!("{}: {value}", column.name)));
        }
    }
    let mut row = rows.row();
    for column in columns {
        let value = content.get(column.name).unwrap_or(&Value::Null);
        match column.kind {
            Kind::Text => row.text_or_null(value.as_str()),
            Kind::Int | Kind::Time => row.int_or_null(value.as_i64()),
            Kind::Bool => row.bool(value.as_i64() == Some(1)),
        };
    }
    row.int(change.valid_from_ms).int_or_null(valid_to).bool(valid_to.is_none());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use slotkeeper_lake::columns::Rows;

    use super::*;
    use crate::{
        contracts::Format,
        sql::tables::{DIM_CAMPAIGN_FLIGHTS, DIM_TITLES},
    };

    const DEMO: &str = include_str!("../demo/contracts.toml");

    fn read(data: &DataDir, table: &'static Table) -> Rows {
        file::read(table, fs::File::open(data.lake().join(table.name).join("part.parquet")).unwrap()).unwrap()
    }

    fn import(data: &DataDir, text: &str) {
        Contracts::open(&data.contracts()).unwrap().import("contracts.toml", text, Format::Toml).unwrap();
        export(data).unwrap();
    }

    #[test]
    fn a_change_ends_what_was_booked_and_begins_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        import(&data, DEMO);
        let before = read(&data, &DIM_TITLES);
        assert!(before.len() > 1);
        std::thread::sleep(Duration::from_millis(2)); // history counts milliseconds
        let name = "The Lighthouse";
        assert_eq!(before.column("name").text(0), Some(name));
        import(&data, &DEMO.replace(&format!("\"{name}\""), "\"Another name\""));

        let after = read(&data, &DIM_TITLES);
        assert_eq!(after.len(), before.len() + 1, "one row more, of what changed");
        let text = |column: &str, row| after.column(column).text(row).unwrap();
        assert_eq!((text("title_id", 0), text("name", 0)), (text("title_id", 1), name));
        assert_eq!(text("name", 1), "Another name");
        let ends = after.column("valid_to").int(0).unwrap();
        assert_eq!(after.column("valid_from").int(1), Some(ends));
        assert_eq!(after.column("valid_to").int(1), None);
        let current = |row| after.column("is_current").bool(row).unwrap();
        assert_eq!((current(0), current(1)), (false, true));
        assert!((2..after.len()).all(current), "nothing else has changed");
    }

    #[test]
    fn what_is_booked_the_same_again_leaves_no_history_and_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        import(&data, DEMO);
        let bytes = || DIMENSIONS.map(|table| fs::read(data.lake().join(table.name).join("part.parquet")).unwrap());
        let before = bytes();
        import(&data, DEMO);
        assert!(bytes() == before);
    }

    #[test]
    fn what_was_booked_before_there_was_a_history_is_booked_since_ever() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        import(&data, DEMO);
        let flights = read(&data, &DIM_CAMPAIGN_FLIGHTS).len();
        let db = Connection::open(data.contracts()).unwrap();
        let triggers: Vec<String> = db
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        for name in triggers {
            db.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        db.execute_batch("DROP TABLE history; PRAGMA user_version = 3").unwrap();
        drop(db);
        export(&data).unwrap();
        let rows = read(&data, &DIM_CAMPAIGN_FLIGHTS);
        assert_eq!(rows.len(), flights);
        assert!((0..flights).all(|row| rows.column("valid_from").int(row) == Some(0)));
    }

    #[test]
    fn history_is_append_only() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        import(&data, DEMO);
        let db = Connection::open(data.contracts()).unwrap();
        for sql in ["DELETE FROM history", "UPDATE history SET id = 'x'"] {
            assert!(db.execute_batch(sql).unwrap_err().to_string().contains("append-only"), "{sql}");
        }
    }
}
