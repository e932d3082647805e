//! What booked things are called now.

use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;

/// Something booked, by the names it has now; without any where it was booked elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its number.
    pub id: u32,
    /// Its id in the contracts file.
    pub slug: Option<String>,
    /// What to call it.
    pub name: Option<String>,
}

impl Named {
    /// The best there is to call it.
    pub fn best(&self) -> String {
        self.name.clone().or_else(|| self.slug.clone()).unwrap_or_else(|| format!("#{}", self.id))
    }

    /// Its id in the contracts file, if it has one.
    pub fn slug(&self) -> String {
        self.slug.clone().unwrap_or_else(|| format!("#{}", self.id))
    }
}

/// The bookings, for looking up names.
pub(super) struct Names<'a>(&'a Connection);

impl<'a> Names<'a> {
    pub(super) fn of(contracts: &'a Connection) -> Self {
        Self(contracts)
    }

    pub(super) fn creative(&self, id: u32) -> rusqlite::Result<Named> {
        self.find("SELECT slug, name FROM creatives WHERE creative_id = ?1", id)
    }

    pub(super) fn flight(&self, id: u32) -> rusqlite::Result<Named> {
        self.find("SELECT slug, NULL FROM flights WHERE flight_id = ?1", id)
    }

    pub(super) fn campaign(&self, id: u32) -> rusqlite::Result<Named> {
        self.find("SELECT slug, name FROM campaigns WHERE campaign_id = ?1", id)
    }

    pub(super) fn advertiser(&self, id: u32) -> rusqlite::Result<Named> {
        self.find("SELECT slug, name FROM advertisers WHERE advertiser_id = ?1", id)
    }

    fn find(&self, sql: &str, id: u32) -> rusqlite::Result<Named> {
        let found = self.0.prepare_cached(sql)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (slug, name) = found.unwrap_or_default();
        Ok(Named { id, slug, name })
    }
}
