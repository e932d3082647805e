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

        /// The strongest: what is not rated suits the fewest.
        impl Default for Rating {
            fn default() -> Self {
                Self::TvMa
            }
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DemandClass {
    /// Committed impressions under a contract.
    #[default]
    Guaranteed,
    /// What an auction gave for a slot that guaranteed demand left.
    Auction,
    /// Our own promotion: fills what nobody paid for.
    House,
}

/// Where in the title a break stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakPosition {
    /// Before the title.
    #[default]
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

/// What a slot is for, and what a flight is sold as; the two must agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// An ad among others.
    #[default]
    Ad,
    /// A few seconds that open or close a break. It does not compete: its advertiser may have an ad in the same pod.
    Bumper,
    /// "Brought to you by". It does not compete either.
    Sponsorship,
}

/// Where in a pod a flight may stand: OpenRTB's `slotinpod`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodPosition {
    /// Anywhere.
    #[default]
    Any,
    /// In the first slot only.
    First,
    /// In the last slot only.
    Last,
}

/// What goes with an ad beside its files: what a player shows, calls and tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Presentation {
    /// The advertiser's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertiser: Option<String>,
    /// Categories of what is advertised, each with its authority: a URI such as the IAB's of its taxonomy, and the code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Category>,
    /// Where a click leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub click_through: Option<String>,
    /// From when the viewer may skip it, in milliseconds of the ad; never, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_after_ms: Option<u32>,
    /// Vendors' URLs that the player calls. (Those that the origin calls are in the [`RegistryRecord`].)
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trackers: Vec<Tracker>,
    /// Vendors' scripts that measure where the ad plays.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verifications: Vec<Verification>,
    /// The file of the highest quality, for those who transcode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mezzanine: Option<crate::plan::MediaSource>,
}

/// One of VAST's `Category` elements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Who defines the code, as a URI.
    pub authority: String,
    /// The code.
    pub code: String,
}

/// One of VAST's `Verification` elements: a script of Open Measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// Who measures, as `company.example-omid`.
    pub vendor: String,
    /// The script.
    pub url: String,
    /// What the script is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
}

/// A break of a title, as its editors placed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TitleBreak {
    /// Before, within or after the title.
    pub position: BreakPosition,
    /// How far into the title a mid-roll stands, in milliseconds.
    #[serde(default)]
    pub at_ms: u32,
    /// Its slots; either these or [`pod`](Self::pod).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<crate::api::SlotRequest>,
    /// Its time, if slots are made by the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<crate::api::PodRequest>,
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
