//! Ads as the origin sold them: the numbers of the contracts and the addresses of their records, beside what the script knows
//! of them. Prices and thresholds are the script's own: what the origin made of them is what is to be checked.

use slotkeeper_core::{
    auction::Offer,
    caps::Booking,
    contract::{DemandClass, PodPosition, Presentation, RegistryRecord},
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId, RecordId},
    impression::Quartile,
    money::{Currency, Money},
    plan::MediaSource,
    pod::FillReason,
};

use crate::script::{Role, Script};

/// What the origin made of a world's contracts.
#[derive(Clone, Debug, Default)]
pub struct Sold {
    /// Of each day, the plan that edges decided from.
    pub plan_versions: Vec<u64>,
    /// Every ad.
    pub ads: Vec<SoldAd>,
}

/// A creative in a flight, as sold.
#[derive(Clone, Debug)]
pub struct SoldAd {
    /// The flight's id in the contracts file.
    pub flight: String,
    /// The creative's.
    pub creative: String,
    /// Its registry record.
    pub record: RegistryRecord,
}

impl Sold {
    /// As an origin would number it that has booked nothing before: for tests and measurements without one.
    pub fn numbered(script: &Script, days: u32) -> Self {
        let mut known = std::collections::BTreeMap::new();
        let mut number = |name: &str| {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX) + 1;
            *known.entry(name.to_owned()).or_insert(next)
        };
        let mut ads = Vec::new();
        for flight in &script.flights {
            for creative in &flight.creatives {
                let record = RegistryRecord {
                    ad_id: AdId(number(&format!("ad of {}", creative.slug))),
                    creative_id: CreativeId(number(&creative.slug)),
                    flight_id: FlightId(number(&flight.slug)),
                    campaign_id: CampaignId(number(&flight.campaign)),
                    advertiser_id: AdvertiserId(number(&flight.advertiser)),
                    class: if flight.role == Role::House { DemandClass::House } else { DemandClass::Guaranteed },
                    cpm: Money {
                        micros: flight.cpm_micros,
                        currency: Currency::parse(flight.currency).unwrap_or_else(|| unreachable!("three capitals")),
                    },
                    completion_threshold: flight.threshold,
                    starts_at: flight.starts_at,
                    ends_at: flight.ends_at,
                    duration_ms: creative.duration_ms,
                    universal_ad_id: "unknown".into(),
                    trackers: vec![],
                };
                ads.push(SoldAd { flight: flight.slug.clone(), creative: creative.slug.clone(), record });
            }
        }
        Self { plan_versions: (1..=u64::from(days)).collect(), ads }
    }
}

/// The origin has made no record of an ad.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{flight}: its creative {creative} is in no plan")]
pub struct UnsoldAd {
    flight: String,
    creative: String,
}

/// All that breaks choose from.
pub(crate) struct Ads {
    /// Contracts' first, flight by flight, then auctions'.
    pub(crate) all: Vec<Ad>,
    /// Of each flight of the script, its first ad and how many it has.
    pub(crate) of_flight: Vec<(usize, usize)>,
    /// What auctions offer.
    pub(crate) offers: Vec<Offer>,
    pub(crate) house: usize,
}

/// One of them.
#[expect(clippy::struct_field_names, reason = "its id is named as everywhere")]
pub(crate) struct Ad {
    pub(crate) ad_id: AdId,
    pub(crate) record_id: RecordId,
    pub(crate) booking: Booking,
    pub(crate) reason: FillReason,
    pub(crate) duration_ms: u32,
    pub(crate) has_cap: bool,
    pub(crate) threshold: Quartile,
    pub(crate) stays: [u32; 4],
    pub(crate) currency: String,
    /// What one impression past its threshold earns.
    pub(crate) price_micros: i64,
    /// Of auctions' ads, which offer it is.
    pub(crate) offer: Option<usize>,
}

impl Ads {
    pub(crate) fn of(script: &Script, sold: &Sold) -> Result<Self, UnsoldAd> {
        let mut ads = Self { all: Vec::new(), of_flight: Vec::new(), offers: offers(), house: 0 };
        for (number, flight) in script.flights.iter().enumerate() {
            ads.of_flight.push((ads.all.len(), flight.creatives.len()));
            if flight.role == Role::House {
                ads.house = number;
            }
            for creative in &flight.creatives {
                let is_it = |sold: &&SoldAd| sold.flight == flight.slug && sold.creative == creative.slug;
                let unsold = || UnsoldAd { flight: flight.slug.clone(), creative: creative.slug.clone() };
                let sold = &sold.ads.iter().find(is_it).ok_or_else(unsold)?.record;
                ads.all.push(Ad {
                    ad_id: sold.ad_id,
                    record_id: sold.record_id(),
                    booking: booking(sold),
                    reason: if flight.role == Role::House { FillReason::HouseAd } else { FillReason::Guaranteed },
                    duration_ms: creative.duration_ms,
                    has_cap: flight.has_cap,
                    threshold: flight.threshold,
                    stays: creative.stays,
                    currency: flight.currency.into(),
                    price_micros: price(flight.cpm_micros),
                    offer: None,
                });
            }
        }
        let auctioned = ads.offers.iter().enumerate().map(|(place, offer)| auctioned(place, &offer.record));
        ads.all.extend(auctioned.collect::<Vec<_>>());
        Ok(ads)
    }
}

fn auctioned(offer: usize, record: &RegistryRecord) -> Ad {
    Ad {
        ad_id: record.ad_id,
        record_id: record.record_id(),
        booking: booking(record),
        reason: FillReason::Auction,
        duration_ms: record.duration_ms,
        has_cap: false,
        threshold: Quartile::Start,
        stays: [9_700, 9_800, 9_800, 9_800],
        currency: record.cpm.currency.to_string(),
        price_micros: price(record.cpm.micros),
        offer: Some(offer),
    }
}

fn booking(record: &RegistryRecord) -> Booking {
    Booking {
        advertiser_id: record.advertiser_id,
        campaign_id: record.campaign_id,
        flight_id: record.flight_id,
        creative_id: record.creative_id,
    }
}

/// A thousandth, rounded half up: written out here, so that a fault in the core's would be seen.
fn price(cpm_micros: i64) -> i64 {
    cpm_micros / 1_000 + i64::from(cpm_micros % 1_000 >= 500)
}

/// What a few bidders offer.
fn offers() -> Vec<Offer> {
    let bidder = |n: u32| {
        let (domain, creative) = (format!("bidder-{n}.example"), format!("ad-{n}"));
        let currency = Currency::parse(if n.is_multiple_of(3) { "EUR" } else { "USD" });
        let cpm = Money {
            micros: 4_000_000 + i64::from(n) * 777_777,
            currency: currency.unwrap_or_else(|| unreachable!("three capital letters")),
        };
        let media = MediaSource {
            url: format!("https://{domain}/{creative}.mp4"),
            mime_type: "video/mp4".into(),
            width: 1280,
            height: 720,
            bitrate_kbps: None,
            codecs: None,
        };
        let of = (creative.clone(), vec![media], Presentation::default());
        Offer::of((0, PodPosition::Any), (&domain, &creative), cpm, (15_000, "unknown".into()), of, vec![])
    };
    (1..=6).map(bidder).collect()
}
