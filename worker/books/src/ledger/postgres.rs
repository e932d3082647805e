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
        client.batch_execute(&format!("BEGIN; {ONE_MAKER}; {SCHEMA}; COMMIT;"))?;
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
