//! Contracts: who booked what. Imported from files, kept in `contracts.db`, read when a plan is made.
//!
//! A file (TOML or JSON, same shape; `worker/demo/contracts.toml` shows all of it) is refused whole, with everything
//! that is wrong with it, or booked whole, in one transaction. What it does not mention stays as it is.

mod bonus;
mod book;
mod booked;
mod breaks;
mod dayparts;
mod document;
mod fields;
mod frequency;
mod from_json;
mod from_toml;
mod migrations;
mod pauses;
mod presentation;
mod references;
mod store;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

pub use bonus::{BonusTerms, NotBonus};
pub(crate) use booked::read_in as booked_in;
pub use booked::{Booked, BookedAd, BookedFlight};
pub use dayparts::{Day, Daypart, NoTimeOfDay, TimeOfDay};
pub use document::InvalidFile;
pub use frequency::{BookedCap, Frequency, NoWindow, Per, Rolling, Unit, scope_name};
pub use pauses::Pause;
pub use store::Tally;

use crate::data_dir::{self, Durability};

/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

const SCHEMA: &str = include_str!("schema.sql");

/// Why an import was refused.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read, or is neither TOML nor JSON by name.
    #[error("{file}: {reason}")]
    File {
        /// Which.
        file: String,
        /// Why.
        reason: String,
    },
    /// What it says cannot be booked.
    #[error(transparent)]
    Invalid(#[from] InvalidFile),
    /// The bookings cannot be written.
    #[error("contracts: {0}")]
    Database(#[from] rusqlite::Error),
}

/// What an import did, by kind.
pub type Imported = [(&'static str, Tally); 5];

/// The bookings of a data directory.
pub struct Contracts {
    db: Connection,
}

/// The format of a contracts file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.toml`
    Toml,
    /// `.json`
    Json,
}

impl Contracts {
    /// Opens the bookings, or starts them empty.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let mut db = data_dir::connect(path, Durability::Durable, SCHEMA)?;
        migrations::run(&mut db)?;
        Ok(Self { db })
    }

    /// Books what a file says.
    pub fn import_file(&mut self, path: &Path) -> Result<Imported, ImportError> {
        let file = path.display().to_string();
        let refuse = |reason: String| ImportError::File { file: file.clone(), reason };
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Format::Toml,
            Some("json") => Format::Json,
            _ => return Err(refuse("a contracts file is named *.toml or *.json".into())),
        };
        let bytes = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(refuse(format!("{bytes} bytes; it may have {FILE_BYTES_MAX}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        self.import(&file, &text, format)
    }

    /// Books what `text` says; `file` is its name in messages.
    pub fn import(&mut self, file: &str, text: &str, format: Format) -> Result<Imported, ImportError> {
        let faults = document::Faults::default();
        let root = match format {
            Format::Toml => from_toml::parse(text, &faults),
            Format::Json => from_json::parse(text, &faults),
        };
        let book = book::read(&root, &faults);
        let commit = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        references::check(&book, references::Known::load(&commit)?, &faults);
        if let Some(invalid) = faults.report(file, text) {
            return Err(invalid.into());
        }
        let imported = store::write(&commit, &book)?;
        commit.commit()?;
        Ok(imported)
    }

    /// Everything that is booked.
    pub fn booked(&self) -> rusqlite::Result<Booked> {
        booked::read(&self.db)
    }

    /// The connection, for what else lives beside the bookings: the registry and the plans.
    pub(crate) fn db(&mut self) -> &mut Connection {
        &mut self.db
    }
}
