//! Why the lake could not go on. Nothing is half done: the next try starts where the last commit ended.

use std::path::PathBuf;

use crate::{file::FileError, hour::Hour};

/// Why the lake could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// Its book.
    #[error("lake.db: {0}")]
    Database(#[from] rusqlite::Error),
    /// Its files.
    #[error("lake: {0}")]
    Store(#[from] object_store::Error),
    /// What a file holds.
    #[error("lake: {name}: {source}")]
    File {
        /// Which.
        name: String,
        /// Why.
        source: FileError,
    },
    /// A file that is listed says what no edge can have sent.
    #[error("lake: {name}, row {row}: {column} is not what this lake writes; the file is damaged")]
    Damaged {
        /// Which.
        name: String,
        /// From 0, in its row group.
        row: usize,
        /// Where.
        column: &'static str,
    },
    /// The folder.
    #[error("lake: {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that no store takes.
    #[error("lake: {name} has {bytes} bytes, and one object may have {max}: keep this lake in a folder")]
    TooLarge {
        /// Which.
        name: String,
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        max: u64,
    },
    /// The log, or the registry.
    #[error(transparent)]
    Outside(Box<dyn std::error::Error + Send + Sync>),
    /// The lake is of another log.
    #[error(
        "lake: entry {consumed}, the last one in the lake, is not in this log, which ends at {last}: log.db is another log, or an \
         older copy of it; stop, and put the right log.db back, or make the lake anew with `slotkeeper lake rebuild`"
    )]
    OtherLog {
        /// What the lake says.
        consumed: u64,
        /// What the log says.
        last: u64,
    },
    /// The lake is of a later build.
    #[error("lake: lake.db has schema {found}, and this build makes {makes}: run the later build that made it")]
    LaterSchema {
        /// What it says.
        found: u32,
        /// What this build makes.
        makes: u32,
    },
    /// Another process writes it.
    #[error("lake: another process advances {0}: `slotkeeper serve` does, all the time")]
    InUse(PathBuf),
    /// What was in its book before is still beside it.
    #[error(
        "lake: somebody reads lake.db, so what was there before cannot be erased; end that (a question, a backup, an SQL shell), and \
         run this again: it does what is left"
    )]
    BeingRead,
    /// A law of the tables would be broken. Nothing of the hour was written.
    #[error("lake: hour {hour}, {table}, row {row}: {what}")]
    Law {
        /// When.
        hour: Hour,
        /// Of which table.
        table: &'static str,
        /// Its key.
        row: String,
        /// Which law, and how.
        what: String,
    },
    /// A test has broken off here.
    #[cfg(test)]
    #[error("broken off at a step")]
    BrokenOff,
}

impl LakeError {
    /// Of a file.
    pub(crate) fn file(name: &str) -> impl FnOnce(FileError) -> Self {
        move |source| Self::File { name: name.into(), source }
    }
}
