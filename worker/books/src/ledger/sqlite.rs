//! The ledger in SQLite: `ledger.db`.

use std::{path::Path, time::Duration};

use rusqlite::{
    Connection, ToSql, Transaction, TransactionBehavior,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    LedgerError,
    backend::{Backend, Value},
};

const SCHEMA: &str = include_str!("schema_sqlite.sql");
/// What became of the tables of an earlier build, before the schema and after it.
const EARLIER: [&str; 2] = [include_str!("lines_were_a_table.sql"), include_str!("lines_are_in_entries.sql")];
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A ledger in a file.
pub struct SqliteBackend(Connection);

impl SqliteBackend {
    /// Opens it, or starts it empty.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let db = Connection::open(path)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        let commit = Transaction::new_unchecked(&db, TransactionBehavior::Immediate)?;
        let lines_are_a_table =
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'ledger_lines' AND type = 'table')";
        let [before, after] =
            if commit.query_row(lines_are_a_table, [], |row| row.get(0))? { EARLIER } else { [""; 2] };
        commit.execute_batch(&format!("{before}{SCHEMA}{after}"))?;
        commit.commit()?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(Self(db))
    }

    /// Opens it for reading only, as it is: one that an earlier build wrote cannot be read so.
    pub fn open_read_only(path: &Path) -> Result<Self, LedgerError> {
        let db = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        Ok(Self(db))
    }
}

impl Backend for SqliteBackend {
    fn begin(&mut self) -> Result<(), LedgerError> {
        Ok(self.0.execute_batch("BEGIN IMMEDIATE")?)
    }

    fn begin_reading(&mut self) -> Result<(), LedgerError> {
        Ok(self.0.execute_batch("BEGIN")?)
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        Ok(self.0.execute_batch("COMMIT")?)
    }

    fn rollback(&mut self) -> Result<(), LedgerError> {
        if self.0.is_autocommit() {
            return Ok(()); // some errors end the transaction by themselves
        }
        Ok(self.0.execute_batch("ROLLBACK")?)
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<(), LedgerError> {
        self.0.prepare_cached(sql)?.execute(rusqlite::params_from_iter(parameters))?;
        Ok(())
    }

    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, LedgerError> {
        let mut statement = self.0.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
        let mut all = vec![];
        while let Some(row) = rows.next()? {
            let value = |column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Integer(value) => Value::Int(value),
                    ValueRef::Text(_) => Value::Text(row.get(column)?),
                    _ => Value::Null, // the tables are STRICT and have no other kinds
                })
            };
            all.push((0..columns).map(value).collect::<rusqlite::Result<_>>()?);
        }
        Ok(all)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Int(value) => value.to_sql(),
            Self::Text(value) => value.to_sql(),
            Self::Null => rusqlite::types::Null.to_sql(),
        }
    }
}
