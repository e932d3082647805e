//! The durable log: what the edges told us, in the order it was acknowledged. One entry is one batch, as received.
//!
//! The log knows nothing of what it holds. Whoever consumes it keeps its own offset, in the commit of what it made of
//! the entries.

mod packed;
mod rewriting;
mod sqlite;
mod writer;

use slotkeeper_core::time::UnixMillis;

pub use sqlite::SqliteLog;
pub use writer::{LogWriter, Place, QUEUE_BATCHES_MAX};

/// A batch as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// When.
    pub at: UnixMillis,
    /// The body of the request.
    pub bytes: Vec<u8>,
}

/// A batch in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1, without gaps.
    pub seq: u64,
    /// What came.
    pub received: Received,
}

/// Why the log could not be written or read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("log: {0}")]
pub struct LogError(pub String);

/// An append-only sequence of batches.
pub trait Log: Send {
    /// Appends all of `batches` or none. When it returns, they survive a power cut. Returns the last one's place.
    fn append(&mut self, batches: &[Received]) -> Result<u64, LogError>;

    /// The entries after place `after`, in order: at most `limit`, and fewer when they are large, but at least one if
    /// there is one.
    fn read(&self, after: u64, limit: usize) -> Result<Vec<Entry>, LogError>;

    /// The place of the last entry; 0 when there is none.
    fn last_seq(&self) -> Result<u64, LogError>;
}
