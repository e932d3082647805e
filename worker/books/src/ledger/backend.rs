//! Where a ledger is kept: one small trait over two databases, which speak the same SQL as far as the ledger goes.

use super::LedgerError;

/// What a column holds, or a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// Nothing.
    Null,
}

impl Value {
    /// A count or a time. Beyond 63 bits it is the largest there is.
    pub(super) fn count(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// A text.
    pub(super) fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }
}

/// A database that keeps a ledger. In its SQL, parameters are `$1`, `$2`, … and first appear in this order.
pub trait Backend {
    /// Begins a transaction that writes. Waits for another that does, for some seconds.
    fn begin(&mut self) -> Result<(), LedgerError>;
    /// Begins a transaction that only reads: all that it reads is of one moment, whatever is written meanwhile.
    fn begin_reading(&mut self) -> Result<(), LedgerError>;
    /// Makes what was written since permanent: when it returns, on the disk.
    fn commit(&mut self) -> Result<(), LedgerError>;
    /// Forgets what was written since.
    fn rollback(&mut self) -> Result<(), LedgerError>;
    /// Runs a statement.
    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<(), LedgerError>;
    /// All rows of a query.
    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, LedgerError>;
}
