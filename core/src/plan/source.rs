//! What a plan is built from: plain values, as the origin knows them.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    caps::Cap,
    contract::{DemandClass, Placement, PodPosition, Presentation, Rating, TitleBreak},
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId, RecordId},
    time::UnixMillis,
};

/// Everything sellable at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSource {
    /// Greater than that of every plan before.
    pub version: u64,
    /// When it was made.
    pub created_at: UnixMillis,
    /// From when it may be decided from.
    pub valid_from: UnixMillis,
    /// When it is too old to decide from.
    pub valid_until: UnixMillis,
    /// How long a fill's token and claim live, in milliseconds.
    pub lease_ms: u32,
    /// What may be watched.
    pub titles: Vec<TitleSource>,
    /// What may be shown.
    pub flights: Vec<FlightSource>,
}

/// A title, as far as deciding needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TitleSource {
    /// As players name it.
    pub title_id: String,
    /// Who it is suitable for.
    pub rating: Rating,
    /// For targeting.
    pub genres: Vec<String>,
    /// Its length in milliseconds, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u32>,
    /// Its breaks, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaks: Vec<TitleBreak>,
}

/// A flight in force or soon to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlightSource {
    /// The contract.
    pub flight_id: FlightId,
    /// What it belongs to.
    pub campaign_id: CampaignId,
    /// Who buys.
    pub advertiser_id: AdvertiserId,
    /// Guaranteed or house.
    pub class: DemandClass,
    /// First instant.
    pub starts_at: UnixMillis,
    /// The instant after the last.
    pub ends_at: UnixMillis,
    /// The flight's share when several compete: impressions per day it still needs. 0: ahead of its plan, it yields.
    pub allocation: u32,
    /// All must hold at once, whichever of its ads is shown.
    pub caps: Vec<Cap>,
    /// Title ratings it may run in; empty allows every rating.
    pub ratings: Vec<Rating>,
    /// Competitive category, as booked; two of one category never share a pod.
    pub category: Option<String>,
    /// Whom it may be shown to.
    pub targeting: Targeting,
    /// Whom it may not be shown to: one match in any dimension is enough.
    #[serde(default, skip_serializing_if = "Targeting::is_empty")]
    pub exclusion: Targeting,
    /// When it may be shown within the plan's validity; always, if there are none. No edge knows a time zone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub airs: Vec<Span>,
    /// What it is sold as.
    #[serde(default)]
    pub placement: Placement,
    /// Where in a pod it may stand.
    #[serde(default)]
    pub pod_position: PodPosition,
    /// Its creatives.
    pub ads: Vec<AdSource>,
}

/// From one instant to before another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The first instant.
    pub from: UnixMillis,
    /// The instant after the last.
    pub until: UnixMillis,
}

/// Lists of values, one a dimension. As [`FlightSource::targeting`], an empty list allows everything, and all dimensions
/// must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Targeting {
    /// Title ids.
    pub titles: Vec<String>,
    /// Genres of the title; one is enough.
    pub genres: Vec<String>,
    /// `preroll`, `midroll`, `postroll`.
    pub positions: Vec<String>,
    /// Subscription tiers.
    pub tiers: Vec<String>,
    /// ISO 3166-1 alpha-2.
    pub countries: Vec<String>,
    /// Device classes.
    pub devices: Vec<String>,
    /// ISO 3166-2.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Audience segments; one is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
    /// Ratings of the title. Of [`FlightSource::exclusion`]; what a flight allows is [`FlightSource::ratings`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ratings: Vec<Rating>,
}

impl Targeting {
    /// Whether no dimension names anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A creative in a flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdSource {
    /// The pairing of creative and flight.
    pub ad_id: AdId,
    /// The video.
    pub creative_id: CreativeId,
    /// Its registry record.
    pub record_id: RecordId,
    /// What must hold besides the flight's caps for this ad to be shown: what is booked on its creative. The other ads of
    /// the flight do not carry it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<Cap>,
    /// Its length.
    pub duration_ms: u32,
    /// Its registered id, or `unknown`.
    pub universal_ad_id: String,
    /// What to call it on screen and in logs.
    pub name: String,
    /// Its files, best first.
    pub media: Vec<MediaSource>,
    /// Its share among the ads of its flight; 0 counts as 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight: u32,
    /// What goes with it.
    #[serde(default)]
    pub presentation: Presentation,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(weight: &u32) -> bool {
    *weight == 0
}

/// One file of a creative.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaSource {
    /// Where it is.
    pub url: String,
    /// Its MIME type.
    pub mime_type: String,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Kilobits a second, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate_kbps: Option<u32>,
    /// RFC 6381 names, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codecs: Option<String>,
}
