//! Law 8: the log folded from zero gives the tables byte for byte.

use rusqlite::{Connection, Statement, types::ValueRef};

use super::{AuditError, Law};
use crate::{
    data_dir::{self, DataDir},
    fold::Fold,
    log::{Entry, Log, LogError, Received, SqliteLog},
    registry::Registry,
};

/// What has no name in the schema of its own: the tables of SQLite.
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";

pub(super) fn check(data: &DataDir, tables: &Connection, last: u64) -> Result<Law, AuditError> {
    let mut law = Law::new(8, "derived is derivable: the log folded from zero gives the same tables");
    let folder = Temporary::new()?;
    let path = folder.0.join("fold.db");
    Fold::open(&path, Registry::open(&data.contracts())?)?
        .catch_up(&Upto { log: SqliteLog::open_read_only(&data.log())?, last })?;
    let again = data_dir::connect_read_only(&path)?;
    let names: Vec<String> = tables.prepare(TABLES)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut rows = 0;
    for name in &names {
        rows += compare(name, tables, &again, &mut law)?;
    }
    law.checked = format!("{} tables, {rows} rows, {last} batches", names.len());
    Ok(law)
}

/// Compares one table in both databases, in the order of all its columns.
fn compare(table: &str, tables: &Connection, again: &Connection, law: &mut Law) -> rusqlite::Result<u64> {
    let count = tables.prepare(&format!("SELECT * FROM {table}"))?.column_count();
    let order: Vec<String> = (1..=count).map(|column| column.to_string()).collect();
    let sql = format!("SELECT * FROM {table} ORDER BY {}", order.join(", "));
    let (mut is, mut should) = (tables.prepare(&sql)?, again.prepare(&format!("SELECT * FROM {table}"))?);
    let columns_of = |select: &Statement<'_>| select.column_names().collect::<Vec<_>>().join(", ");
    let (columns, expected) = (columns_of(&is), columns_of(&should));
    if columns != expected {
        law.finds("table_differs", table, format!("it has the columns {columns}; this build makes {expected}"));
        return Ok(0);
    }
    should = again.prepare(&sql)?;
    let (mut is, mut should) = (is.query([])?, should.query([])?);
    let mut rows = 0;
    loop {
        let stored = is.next()?.map(|row| cells(row, count)).transpose()?;
        let folded = should.next()?.map(|row| cells(row, count)).transpose()?;
        match (stored, folded) {
            (None, None) => return Ok(rows),
            (stored, folded) if stored == folded => rows += 1,
            (stored, folded) => {
                let shown = |row: Option<String>| row.unwrap_or_else(|| "no further row".into());
                let message = format!("row {}: stored {}; folded from zero {}", rows + 1, shown(stored), shown(folded));
                law.finds("table_differs", table, message);
                return Ok(rows); // what follows is shifted, and would say no more
            }
        }
    }
}

fn cells(row: &rusqlite::Row<'_>, count: usize) -> rusqlite::Result<String> {
    let cell = |column| {
        Ok::<_, rusqlite::Error>(match row.get_ref(column)? {
            ValueRef::Null => "NULL".into(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) => format!("{bytes:?}"),
        })
    };
    Ok((0..count).map(cell).collect::<rusqlite::Result<Vec<String>>>()?.join("|"))
}

/// A log that ends earlier.
struct Upto {
    log: SqliteLog,
    last: u64,
}

impl Log for Upto {
    fn append(&mut self, _: &[Received]) -> Result<u64, LogError> {
        Err(LogError("an audit appends nothing".into()))
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        let mut entries = self.log.read(after, limit)?;
        entries.retain(|entry| entry.seq <= self.last);
        Ok(entries)
    }

    fn last_seq(&self) -> Result<u64, LogError> {
        Ok(self.last)
    }
}

/// A folder that is gone when this is.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new() -> std::io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let folder = std::env::temp_dir().join(format!("slotkeeper-audit-{:016x}", u64::from_le_bytes(random)));
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // what stays is the system's to sweep
    }
}
