//! Reading the registry: ads as sold, by the address of their content. It is written when a plan is published.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension as _};
use slotkeeper_core::{contract::RegistryRecord, id::RecordId};

use crate::data_dir;

/// How many records are kept in memory; a plan of 10,000 ads a day fits.
const CACHED_MAX: usize = 20_000;

/// The registry of a data directory, for reading.
pub struct Registry {
    db: Connection,
    /// Where auctions' ads are, if they are asked for: the fold's tables.
    auctions: Option<PathBuf>,
    known: HashMap<RecordId, RegistryRecord>,
}

impl Registry {
    /// Opens the registry in an existing contracts database.
    pub fn open(contracts: &Path) -> rusqlite::Result<Self> {
        Ok(Self::over(data_dir::connect_read_only(contracts)?))
    }

    /// The registry in a contracts database that is open already.
    pub fn over(db: Connection) -> Self {
        Self { db, auctions: None, known: HashMap::new() }
    }

    /// Looks ads that no contract sold up among those that auctions sold, as far as the log is folded.
    #[must_use]
    pub fn with_auctions(self, fold: &Path) -> Self {
        Self { auctions: Some(fold.into()), ..self }
    }

    /// The ad as sold; `None` if it was not published from here. What does not hash to its address is not it.
    pub fn get(&mut self, id: RecordId) -> rusqlite::Result<Option<&RegistryRecord>> {
        if !self.known.contains_key(&id) {
            let Some(record) = self.read(id)? else { return Ok(None) };
            if self.known.len() >= CACHED_MAX {
                self.known.clear();
            }
            self.known.insert(id, record);
        }
        Ok(self.known.get(&id))
    }

    fn read(&self, id: RecordId) -> rusqlite::Result<Option<RegistryRecord>> {
        let json: Option<String> = self
            .db
            .prepare_cached("SELECT record FROM registry WHERE record_id = ?1")?
            .query_row([id.to_string()], |row| row.get(0))
            .optional()?;
        let json = match (json, &self.auctions) {
            (None, Some(fold)) => sold_by_auction(fold, id)?,
            (json, _) => json,
        };
        let record = json.and_then(|json| serde_json::from_str::<RegistryRecord>(&json).ok());
        Ok(record.filter(|record| record.record_id() == id))
    }
}

/// Opened anew each time: a later build may have put the tables aside meanwhile.
fn sold_by_auction(fold: &Path, id: RecordId) -> rusqlite::Result<Option<String>> {
    if !fold.exists() {
        return Ok(None);
    }
    let db = data_dir::connect_read_only(fold)?;
    if !data_dir::has_table(&db, "auction_records")? {
        return Ok(None);
    }
    db.query_row("SELECT record FROM auction_records WHERE record_id = ?1", [id.to_string()], |row| row.get(0))
        .optional()
}
