//! What the ledger's tests stand on.

pub(crate) mod postgres;
pub(crate) mod suite;

use jiff::tz::TimeZone;
use slotkeeper_books::Flight;
use slotkeeper_core::{
    contract::DemandClass,
    id::{AdvertiserId, CampaignId, FlightId},
    money::{Currency, Money},
    time::UnixMillis,
};

pub(crate) const AT: UnixMillis = UnixMillis(1_795_000_000_000);

/// A flight of advertiser 1 that promised `committed` at a CPM.
pub(crate) fn flight(number: u32, committed: u64, cpm_micros: i64, currency: &str) -> Flight {
    Flight {
        flight_id: FlightId(number),
        slug: format!("f{number}"),
        campaign_id: CampaignId(1),
        campaign: "c".into(),
        advertiser_id: AdvertiserId(1),
        advertiser: "a".into(),
        class: DemandClass::Guaranteed,
        starts_at: AT,
        ends_at: AT.plus_ms(1),
        committed,
        cpm: Money { micros: cpm_micros, currency: Currency::parse(currency).unwrap() },
        time_zone: TimeZone::UTC,
        paused: vec![],
    }
}
