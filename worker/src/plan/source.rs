//! From what is booked to what a plan is built from, with the registry records of its ads.

use slotkeeper_core::{
    caps::{Cap, CapScope},
    contract::{Presentation, RegistryRecord, Verification},
    plan::{AdSource, FlightSource, MediaSource, Span},
    time::UnixMillis,
};

use super::{LEASE_MS, allocation::Allocator, caps::caps, dayparts};
use crate::contracts::{Booked, BookedAd, BookedFlight};

/// Something of a creative is booked as a path, and nobody said of which origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("creative {creative}: its file {path} is a path; say with --public-url where players reach this origin")]
pub struct PublicUrlMissing {
    /// Which creative.
    pub creative: String,
    /// Its path.
    pub path: String,
}

/// What a plan holds of flights.
#[derive(Debug, Default)]
pub(super) struct Sellable {
    pub(super) flights: Vec<FlightSource>,
    /// Of their ads.
    pub(super) records: Vec<RegistryRecord>,
}

/// The flights that a plan made now must hold, with the records of their ads. Left out are paused flights, those that are
/// over for so long that no token of theirs lives, and those that start after the plan's validity only.
pub(super) fn sellable(
    booked: &Booked,
    allocator: &mut Allocator<'_>,
    public_url: Option<&str>,
    now: UnixMillis,
    validity: (UnixMillis, UnixMillis),
) -> Result<Sellable, PublicUrlMissing> {
    let mut sellable = Sellable::default();
    // What ended is not shown any more, but a fill of its last moment is asked about for as long as its token lives.
    let is_wanted = |flight: &&BookedFlight| {
        !flight.paused && flight.ends_at.plus_ms(LEASE_MS.into()) > now && flight.starts_at < validity.1
    };
    for flight in booked.flights.iter().filter(is_wanted) {
        let airs = airs(flight, validity);
        let mut ads = Vec::with_capacity(flight.ads.len());
        for booked_ad in flight.ads.iter().filter(|ad| ad.is_showable()) {
            let record = record(flight, booked_ad);
            let caps = caps(&booked_ad.frequency, CapScope::Creative, validity);
            ads.push(ad(flight, booked_ad, &record, caps, public_url)?);
            sellable.records.push(record);
        }
        if ads.is_empty() {
            continue;
        }
        sellable.flights.push(FlightSource {
            flight_id: flight.flight_id,
            campaign_id: flight.campaign_id,
            advertiser_id: flight.advertiser_id,
            class: flight.class,
            starts_at: flight.starts_at,
            ends_at: flight.ends_at,
            allocation: if flight.ends_at > now { allocator.allocation(flight) } else { 0 },
            caps: [
                caps(&flight.advertiser_frequency, CapScope::Advertiser, validity),
                caps(&flight.campaign_frequency, CapScope::Campaign, validity),
                caps(&flight.frequency, CapScope::Flight, validity),
            ]
            .concat(),
            ratings: flight.ratings.clone(),
            category: flight.category.clone(),
            targeting: flight.targeting.clone(),
            exclusion: flight.exclusion.clone(),
            airs,
            placement: flight.placement,
            pod_position: flight.pod_position,
            ads,
        });
    }
    Ok(sellable)
}

/// The first millisecond of Unix time.
const NEVER_AGAIN: Span = Span { from: UnixMillis(0), until: UnixMillis(1) };

/// When a flight airs, with no span for always. One that does not air is in the plan all the same, for what its caps count
/// of its campaign's other flights: it has the one span that never comes again.
fn airs(flight: &BookedFlight, (valid_from, valid_until): (UnixMillis, UnixMillis)) -> Vec<Span> {
    if flight.dayparts.is_empty() {
        return vec![];
    }
    let asked_about = (valid_from.minus_ms(LEASE_MS.into()), valid_until);
    let airs = dayparts::airs(&flight.dayparts, &flight.frequency.zone(), asked_about);
    if airs.is_empty() { vec![NEVER_AGAIN] } else { airs }
}

/// The ad as sold now. It does not name its files: where a video lies changes no contract.
fn record(flight: &BookedFlight, ad: &BookedAd) -> RegistryRecord {
    RegistryRecord {
        ad_id: ad.ad_id,
        creative_id: ad.creative_id,
        flight_id: flight.flight_id,
        campaign_id: flight.campaign_id,
        advertiser_id: flight.advertiser_id,
        class: flight.class,
        cpm: flight.cpm,
        completion_threshold: flight.completion_threshold,
        starts_at: flight.starts_at,
        ends_at: flight.ends_at,
        duration_ms: ad.duration_ms,
        universal_ad_id: ad.universal_ad_id.clone(),
        trackers: ad.trackers.clone(),
    }
}

fn ad(
    flight: &BookedFlight,
    ad: &BookedAd,
    record: &RegistryRecord,
    caps: Vec<Cap>,
    public_url: Option<&str>,
) -> Result<AdSource, PublicUrlMissing> {
    let reached = |url: &str| reached(url, &ad.creative, public_url);
    let file = |file: &MediaSource| Ok(MediaSource { url: reached(&file.url)?, ..file.clone() });
    let script = |one: &Verification| Ok(Verification { url: reached(&one.url)?, ..one.clone() });
    let booked = &ad.presentation;
    Ok(AdSource {
        ad_id: ad.ad_id,
        creative_id: ad.creative_id,
        record_id: record.record_id(),
        caps,
        duration_ms: ad.duration_ms,
        universal_ad_id: ad.universal_ad_id.clone(),
        name: ad.name.clone(),
        media: ad.media.iter().map(file).collect::<Result<_, _>>()?,
        weight: ad.weight,
        presentation: Presentation {
            advertiser: Some(flight.advertiser_name.clone()),
            click_through: booked.click_through.as_deref().map(reached).transpose()?,
            verifications: booked.verifications.iter().map(script).collect::<Result<_, _>>()?,
            mezzanine: booked.mezzanine.as_ref().map(file).transpose()?,
            ..booked.clone()
        },
    })
}

/// The URL as players know it: a path is one of the origin's public address.
fn reached(url: &str, creative: &str, public_url: Option<&str>) -> Result<String, PublicUrlMissing> {
    if !url.starts_with('/') {
        return Ok(url.into());
    }
    let missing = || PublicUrlMissing { creative: creative.into(), path: url.into() };
    let origin = public_url.ok_or_else(missing)?.trim_end_matches('/');
    Ok(format!("{origin}{url}"))
}
