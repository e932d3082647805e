//! What the books need to know of a contract.

use jiff::tz::TimeZone;
use slotkeeper_core::{
    contract::DemandClass,
    id::{AdvertiserId, CampaignId, FlightId},
    money::Money,
    time::UnixMillis,
};

/// A flight as booked.
#[derive(Clone, Debug)]
pub struct Flight {
    /// Its number.
    pub flight_id: FlightId,
    /// Its id in the contracts file.
    pub slug: String,
    /// What it belongs to.
    pub campaign_id: CampaignId,
    /// The campaign's id in the contracts file.
    pub campaign: String,
    /// Who buys.
    pub advertiser_id: AdvertiserId,
    /// The advertiser's id in the contracts file.
    pub advertiser: String,
    /// Guaranteed or house.
    pub class: DemandClass,
    /// First instant.
    pub starts_at: UnixMillis,
    /// The instant after the last.
    pub ends_at: UnixMillis,
    /// What was promised; 0 of a flight that promises nothing.
    pub committed: u64,
    /// The price of a thousand.
    pub cpm: Money,
    /// Where its days begin.
    pub time_zone: TimeZone,
    /// When both sides agreed that it rests: time in which nothing is expected of it. Disjoint, in order.
    pub paused: Vec<Span>,
}

/// From an instant up to another, that one left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First instant.
    pub from: UnixMillis,
    /// The instant after the last.
    pub until: UnixMillis,
}

impl Span {
    /// What both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let from = self.from.max(other.from);
        Self { from, until: self.until.min(other.until).max(from) }
    }
}

impl Flight {
    /// All of its time.
    #[must_use]
    pub fn span(&self) -> Span {
        Span { from: self.starts_at, until: self.ends_at }
    }
}
