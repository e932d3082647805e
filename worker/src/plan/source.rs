//! From what is booked to what a plan is built from, with the registry records of its ads.

use std::collections::BTreeMap;

use slotkeeper_core::{
    caps::{Cap, CapScope},
    contract::RegistryRecord,
    id::FlightId,
    plan::{AdSource, FlightSource, MediaSource},
    time::UnixMillis,
};

use super::{allocation, caps::caps};
use crate::contracts::{Booked, BookedAd, BookedFlight};

/// A creative's file is booked as a path, and nobody said of which origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("creative {creative}: its file {path} is a path; say with --public-url where players reach this origin")]
pub struct PublicUrlMissing {
    /// Which creative.
    pub creative: String,
    /// Its path.
    pub path: String,
}

type Flights = (Vec<FlightSource>, Vec<RegistryRecord>);

/// The flights that a plan made now must hold, with the records of their ads. Paused flights, and those that end before
/// or start after the plan's validity, are left out.
pub(super) fn flights(
    booked: &Booked,
    delivered: &BTreeMap<FlightId, u64>,
    public_url: Option<&str>,
    now: UnixMillis,
    validity: (UnixMillis, UnixMillis),
) -> Result<Flights, PublicUrlMissing> {
    let (mut flights, mut records) = (Vec::new(), Vec::new());
    let sellable = |flight: &&BookedFlight| !flight.paused && flight.ends_at > now && flight.starts_at < validity.1;
    for flight in booked.flights.iter().filter(sellable) {
        let mut ads = Vec::with_capacity(flight.ads.len());
        for booked_ad in &flight.ads {
            let record = record(flight, booked_ad);
            let caps = caps(&booked_ad.frequency, CapScope::Creative, validity);
            ads.push(ad(booked_ad, &record, caps, public_url)?);
            records.push(record);
        }
        let delivered = delivered.get(&flight.flight_id).copied().unwrap_or(0);
        flights.push(FlightSource {
            flight_id: flight.flight_id,
            campaign_id: flight.campaign_id,
            advertiser_id: flight.advertiser_id,
            class: flight.class,
            starts_at: flight.starts_at,
            ends_at: flight.ends_at,
            allocation: allocation(flight, delivered, now),
            caps: [
                caps(&flight.advertiser_frequency, CapScope::Advertiser, validity),
                caps(&flight.campaign_frequency, CapScope::Campaign, validity),
                caps(&flight.frequency, CapScope::Flight, validity),
            ]
            .concat(),
            ratings: flight.ratings.clone(),
            category: flight.category.clone(),
            targeting: flight.targeting.clone(),
            ads,
            ..FlightSource::default()
        });
    }
    Ok((flights, records))
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
        trackers: vec![],
    }
}

fn ad(
    ad: &BookedAd,
    record: &RegistryRecord,
    caps: Vec<Cap>,
    public_url: Option<&str>,
) -> Result<AdSource, PublicUrlMissing> {
    let media = ad.media.iter().map(|file| {
        if !file.url.starts_with('/') {
            return Ok(file.clone());
        }
        let missing = || PublicUrlMissing { creative: ad.creative.clone(), path: file.url.clone() };
        let origin = public_url.ok_or_else(missing)?.trim_end_matches('/');
        Ok(MediaSource { url: format!("{origin}{}", file.url), ..file.clone() })
    });
    Ok(AdSource {
        ad_id: ad.ad_id,
        creative_id: ad.creative_id,
        record_id: record.record_id(),
        caps,
        duration_ms: ad.duration_ms,
        universal_ad_id: ad.universal_ad_id.clone(),
        name: ad.name.clone(),
        media: media.collect::<Result<_, _>>()?,
        ..AdSource::default()
    })
}
