//! The ledger in PostgreSQL, where one machine is outgrown or finance wants it there.

use bytes::BytesMut;
use postgres::{
    Client, NoTls,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use super::{
    LedgerError,
    backend::{Backend, Value},
};

const SCHEMA: &str = include_str!("schema_postgres.sql");
/// What became of the tables of an earlier build, before the schema and after it.
const EARLIER: [&str; 2] = [include_str!("lines_were_a_table.sql"), include_str!("lines_are_in_entries.sql")];
/// What only an earlier build has, once its tables are gone.
const LEFT_OVER: &str = "DROP FUNCTION ledger_entry_is_sound, ledger_line_is_early;";
/// Of writers one at a time, as in SQLite: then nobody reads what another is about to change. Readers never wait.
const ONE_WRITER: &str = "BEGIN; SET LOCAL lock_timeout = '10s'; LOCK TABLE ledger_entries IN SHARE ROW EXCLUSIVE MODE";
/// Two that open an empty database at once would both make its tables. The number is only ours.
const ONE_MAKER: &str = "SELECT pg_advisory_xact_lock(1935960943)";

/// A ledger in a server.
pub struct PostgresBackend(Client);

impl PostgresBackend {
    /// Connects, and makes the tables that are missing.
    pub fn connect(url: &str) -> Result<Self, LedgerError> {
        let mut client = Client::connect(url, NoTls)?;
        let mut commit = client.transaction()?;
        commit.batch_execute(ONE_MAKER)?;
        let lines = "SELECT (SELECT relkind::text FROM pg_class WHERE oid = to_regclass('ledger_lines'))";
        match commit.query_one(lines, &[])?.try_get::<_, Option<&str>>(0)? {
            None => commit.batch_execute(SCHEMA)?,
            Some("r") => commit.batch_execute(&format!("{}{LEFT_OVER}{SCHEMA}{}", EARLIER[0], EARLIER[1]))?,
            Some(_) => {} // made already: no lock on what others are using
        }
        commit.commit()?;
        Ok(Self(client))
    }
}

impl Backend for PostgresBackend {
    fn begin(&mut self) -> Result<(), LedgerError> {
        let begun = self.0.batch_execute(ONE_WRITER);
        if begun.is_err() {
            self.rollback()?;
        }
        Ok(begun?)
    }

    fn begin_reading(&mut self) -> Result<(), LedgerError> {
        Ok(self.0.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?)
    }

    fn commit(&mut self) -> Result<(), LedgerError> {
        Ok(self.0.batch_execute("COMMIT")?)
    }

    fn rollback(&mut self) -> Result<(), LedgerError> {
        Ok(self.0.batch_execute("ROLLBACK")?)
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<(), LedgerError> {
        self.0.execute(sql, &bound(parameters))?;
        Ok(())
    }

    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, LedgerError> {
        let rows = self.0.query(sql, &bound(parameters))?;
        let value = |row: &postgres::Row, column: usize| {
            Ok(match *row.columns()[column].type_() {
                Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map_or(Value::Null, Value::Int),
                _ => row.try_get::<_, Option<String>>(column)?.map_or(Value::Null, Value::Text),
            })
        };
        rows.iter().map(|row| (0..row.len()).map(|column| value(row, column)).collect()).collect()
    }
}

fn bound(parameters: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    parameters.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Int(value) => value.to_sql_checked(ty, out),
            Self::Text(value) => value.to_sql_checked(ty, out),
            Self::Null => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true // the values say themselves what they cannot be
    }

    to_sql_checked!();
}
