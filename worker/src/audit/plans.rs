//! The caps of every plan that rows were decided from.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Connection;
use slotkeeper_core::{
    caps::Cap,
    id::{CreativeId, FlightId},
};

use crate::plan;

/// A flight as far as caps are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Capped {
    pub(super) starts_at_ms: u64,
    pub(super) caps: Vec<Cap>,
    /// What must hold besides for each of its ads.
    pub(super) ads: HashMap<CreativeId, Vec<Cap>>,
}

impl Capped {
    /// Every cap under which an ad of it is shown.
    pub(super) fn caps_of(&self, creative: CreativeId) -> impl Iterator<Item = &Cap> {
        self.caps.iter().chain(self.ads.get(&creative).into_iter().flatten())
    }
}

/// The flights of one plan.
pub(super) type CapsOfPlan = HashMap<FlightId, Capped>;

/// Reads plans once each, and keeps one copy of those that carry the same caps.
pub(super) struct Plans<'a> {
    contracts: &'a Connection,
    known: HashMap<u64, Option<Arc<CapsOfPlan>>>,
    distinct: Vec<Arc<CapsOfPlan>>,
}

impl<'a> Plans<'a> {
    pub(super) fn new(contracts: &'a Connection) -> Self {
        Self { contracts, known: HashMap::new(), distinct: vec![] }
    }

    /// The caps of the plan of this version, if it is kept.
    pub(super) fn caps(&mut self, version: u64) -> rusqlite::Result<Option<Arc<CapsOfPlan>>> {
        if let Some(known) = self.known.get(&version) {
            return Ok(known.clone());
        }
        let found = plan::kept(self.contracts, version)?.map(|source| {
            let capped = |flight: slotkeeper_core::plan::FlightSource| {
                let ads = flight.ads.into_iter().map(|ad| (ad.creative_id, ad.caps)).collect();
                (flight.flight_id, Capped { starts_at_ms: flight.starts_at.0, caps: flight.caps, ads })
            };
            let caps: CapsOfPlan = source.flights.into_iter().map(capped).collect();
            if let Some(same) = self.distinct.iter().find(|known| ***known == caps) {
                return Arc::clone(same);
            }
            let caps = Arc::new(caps);
            self.distinct.push(Arc::clone(&caps));
            caps
        });
        self.known.insert(version, found.clone());
        Ok(found)
    }
}
