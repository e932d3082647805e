//! What an auction gave a break: an input of deciding, recorded like the others.
//!
//! The auction itself runs elsewhere. What comes back is bids whose ads were read whole before deciding, so that a
//! decision stays a pure function and can be made again.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    caps::Booking,
    contract::{DemandClass, PodPosition, Presentation, RegistryRecord},
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId},
    impression::Quartile,
    money::Money,
    plan::MediaSource,
    time::UnixMillis,
};

/// The most offers one break keeps.
pub const OFFERS_MAX: usize = 16;
/// Ids of what no contract books: from here on. Those of contracts are counted from 1.
const IDS_FROM: u32 = 1 << 31;

/// What became of asking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "auction", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auction {
    /// Nobody was asked: guaranteed demand left nothing, or there is no auction.
    #[default]
    NotAsked,
    /// It was asked, and did not answer in time or with what can be read.
    Unavailable {
        /// What happened.
        why: String,
    },
    /// It answered; perhaps without an offer.
    Answered {
        /// The dearest first.
        offers: Vec<Offer>,
        /// Of bids whose ad could not be used, the VAST error code each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refused: Vec<u16>,
    },
}

/// One bid, with its ad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// The slot it is for; of a dynamic pod, the first that was left: it may stand in any.
    pub slot_index: u8,
    /// Where in a dynamic pod it may stand.
    #[serde(default)]
    pub position: PodPosition,
    /// The ad as sold: what a token names.
    pub record: RegistryRecord,
    /// What to call it.
    pub name: String,
    /// Its files, best first.
    pub media: Vec<MediaSource>,
    /// What goes with it.
    #[serde(default)]
    pub presentation: Presentation,
}

impl Auction {
    /// Whether nobody was asked.
    pub fn is_not_asked(&self) -> bool {
        *self == Self::NotAsked
    }

    /// The offers, the dearest first; none if there was no answer.
    pub fn offers(&self) -> &[Offer] {
        match self {
            Self::Answered { offers, .. } => offers,
            Self::NotAsked | Self::Unavailable { .. } => &[],
        }
    }
}

impl Offer {
    /// The offer of an ad at this price, from the advertiser of this domain. Ids follow from content, so the same ad has the
    /// same ones everywhere; they never are those of a contract.
    pub fn of(
        (slot_index, position): (u8, PodPosition),
        (advertiser_domain, creative): (&str, &str),
        cpm: Money,
        (duration_ms, universal_ad_id): (u32, String),
        (name, media, presentation): (String, Vec<MediaSource>, Presentation),
        trackers: Vec<crate::contract::Tracker>,
    ) -> Self {
        let record = RegistryRecord {
            ad_id: AdId(id("ad", &[advertiser_domain, creative])),
            creative_id: CreativeId(id("creative", &[advertiser_domain, creative])),
            flight_id: FlightId(0),
            campaign_id: CampaignId(0),
            advertiser_id: AdvertiserId(id("advertiser", &[advertiser_domain])),
            class: DemandClass::Auction,
            cpm,
            completion_threshold: Quartile::Start,
            starts_at: UnixMillis(0),
            ends_at: UnixMillis(0),
            duration_ms,
            universal_ad_id,
            trackers,
        };
        Self { slot_index, position, record, name, media, presentation }
    }

    /// Whether `fill` holds its ad.
    pub fn fills(&self, fill: &crate::pod::Fill) -> bool {
        fill.record_id == self.record.record_id()
    }

    /// Whose it is.
    pub fn booking(&self) -> Booking {
        Booking {
            advertiser_id: self.record.advertiser_id,
            campaign_id: self.record.campaign_id,
            flight_id: self.record.flight_id,
            creative_id: self.record.creative_id,
        }
    }
}

/// Whether an auction sold this ad, and no contract.
pub fn is_sold_by_auction(ad: AdId) -> bool {
    ad.0 >= IDS_FROM
}

fn id(kind: &str, parts: &[&str]) -> u32 {
    let mut hasher = blake3::Hasher::new();
    for part in [kind].iter().chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let hash = hasher.finalize();
    let bytes = hash.as_bytes();
    IDS_FROM | u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
