//! The contract's side of an ad: who may see it, and the record of it as sold.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId, RecordId},
    impression::Quartile,
    money::Money,
    time::UnixMillis,
};

macro_rules! ratings {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// A title's content rating, in the words of the US TV Parental Guidelines.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Rating {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Rating {
            /// From the mildest to the strongest.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The rating's usual spelling.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

ratings! {
    /// All children.
    TvY "TV-Y";
    /// Children of seven and older.
    TvY7 "TV-Y7";
    /// General audience.
    TvG "TV-G";
    /// Parental guidance suggested.
    TvPg "TV-PG";
    /// Parents strongly cautioned.
    Tv14 "TV-14";
    /// Mature audience only.
    TvMa "TV-MA";
}

impl Rating {
    /// This rating's bit in a mask of allowed ratings.
    pub fn bit(self) -> u16 {
        1 << self as u16
    }

    /// The mask that allows every rating, and titles whose rating is unknown.
    pub const EVERY: u16 = (1 << Self::ALL.len()) - 1;
}

/// How a flight is sold, from the one that must be delivered to the one that is only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DemandClass {
    /// Committed impressions under a contract.
    Guaranteed,
    /// Our own promotion: fills what nobody paid for.
    House,
}

/// Where in the title a break stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakPosition {
    /// Before the title.
    Preroll,
    /// Within it.
    Midroll,
    /// After it.
    Postroll,
}

impl BreakPosition {
    /// The name in JSON, SQL and targeting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preroll => "preroll",
            Self::Midroll => "midroll",
            Self::Postroll => "postroll",
        }
    }
}

/// A vendor's URL to call when an event is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracker {
    /// On which event.
    pub event: crate::beacon::Event,
    /// What to call.
    pub url: String,
}

/// An ad as it was sold: everything needed to bill and report an impression, frozen when the plan was published.
///
/// It is addressed by its content, so a change of price makes a new record and old tokens keep the old terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryRecord {
    /// The ad.
    pub ad_id: AdId,
    /// Its video.
    pub creative_id: CreativeId,
    /// Its contract.
    pub flight_id: FlightId,
    /// What the contract belongs to.
    pub campaign_id: CampaignId,
    /// Who pays.
    pub advertiser_id: AdvertiserId,
    /// Guaranteed or house.
    pub class: DemandClass,
    /// Price of a thousand impressions.
    pub cpm: Money,
    /// How far an impression must play to be billed.
    pub completion_threshold: Quartile,
    /// The flight's first instant.
    pub starts_at: UnixMillis,
    /// The instant after its last.
    pub ends_at: UnixMillis,
    /// Length of the video.
    pub duration_ms: u32,
    /// The creative's registered id, or `unknown`.
    pub universal_ad_id: String,
    /// Third-party URLs, as booked.
    pub trackers: Vec<Tracker>,
}

impl RegistryRecord {
    /// The canonical JSON: fields in the order of this type, no spaces.
    pub fn canonical_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| unreachable!("a record has string keys only"))
    }

    /// The content address of this record.
    pub fn record_id(&self) -> RecordId {
        let hash = blake3::hash(self.canonical_json().as_bytes());
        let mut id = [0; 8];
        id.copy_from_slice(&hash.as_bytes()[..8]);
        RecordId(id)
    }
}
