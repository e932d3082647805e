//! Flights and totals as tests want them.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use slotkeeper_core::{
    contract::DemandClass,
    id::{AdvertiserId, CampaignId, FlightId},
    money::{Currency, Money},
    time::UnixMillis,
};

use crate::{
    deliveries::{Deliveries, DeliveriesError, FlightQuarter, SlotQuarter},
    flight::{Flight, Span},
};

/// The totals' tables, as the lake makes them.
pub(crate) const TOTALS: &str = "
    CREATE TABLE flight_totals (
        quarter_at_ms INTEGER NOT NULL,
        flight_id INTEGER NOT NULL, campaign_id INTEGER NOT NULL, advertiser_id INTEGER NOT NULL, currency TEXT NOT NULL,
        filled INTEGER NOT NULL, impressed INTEGER NOT NULL, released INTEGER NOT NULL,
        delivered INTEGER NOT NULL,
        completes INTEGER NOT NULL, revenue_micros INTEGER NOT NULL,
        PRIMARY KEY (quarter_at_ms, flight_id, advertiser_id, currency)) STRICT, WITHOUT ROWID;
    CREATE TABLE slot_totals (
        quarter_at_ms INTEGER NOT NULL PRIMARY KEY, slots INTEGER NOT NULL, filled INTEGER NOT NULL, unfilled INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;";

pub(crate) fn at(text: &str) -> UnixMillis {
    let at: Timestamp = text.parse().unwrap();
    UnixMillis(at.as_millisecond().try_into().unwrap())
}

pub(crate) fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

pub(crate) fn flight(start: &str, end: &str, committed: u64, zone_name: &str) -> Flight {
    Flight {
        flight_id: FlightId(7),
        slug: "f".into(),
        campaign_id: CampaignId(2),
        campaign: "c".into(),
        advertiser_id: AdvertiserId(3),
        advertiser: "a".into(),
        class: DemandClass::Guaranteed,
        starts_at: at(start),
        ends_at: at(end),
        committed,
        cpm: Money { micros: 25_000_000, currency: Currency::parse("USD").unwrap() },
        time_zone: zone(zone_name),
        paused: vec![],
    }
}

/// Deliveries in memory.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) flights: Vec<FlightQuarter>,
    pub(crate) slots: Vec<SlotQuarter>,
}

impl Deliveries for Told {
    fn delivered(&self, until: UnixMillis) -> Result<BTreeMap<FlightId, u64>, DeliveriesError> {
        let mut all = BTreeMap::new();
        for quarter in self.flights.iter().filter(|quarter| quarter.at < until) {
            *all.entry(quarter.flight_id).or_default() += quarter.delivered;
        }
        Ok(all)
    }

    fn flight_quarters(&self, span: Span, visit: &mut dyn FnMut(FlightQuarter)) -> Result<(), DeliveriesError> {
        self.flights.iter().filter(|one| (span.from..span.until).contains(&one.at)).for_each(|one| visit(*one));
        Ok(())
    }

    fn slot_quarters(&self, span: Span, visit: &mut dyn FnMut(SlotQuarter)) -> Result<(), DeliveriesError> {
        self.slots.iter().filter(|one| (span.from..span.until).contains(&one.at)).for_each(|one| visit(*one));
        Ok(())
    }
}
