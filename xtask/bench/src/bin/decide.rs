//! One decision, to be counted by callgrind: 6 slots, a viewer with 12 live claims, 50 eligible flights among many.
//!
//! `decide plan FLIGHTS FILE` writes a plan of that many flights. `decide once FILE` opens it and decides once; callgrind
//! is told to count within [`measured_open`] or [`measured_decide`] only.

use std::{env, fs, hint::black_box};

use anyhow::{Context as _, Result, bail, ensure};
use slotkeeper_core::{
    api::{BreakRequest, SlotRequest, Tracking},
    auction::Auction,
    caps::{Booking, Cap, CapScope, CapState, Claim, ClaimState, Viewer, Window},
    consent::Permissions,
    contract::{BreakPosition, DemandClass, Rating},
    decide::{Occasion, decide},
    id::{AdId, AdvertiserId, BreakId, CampaignId, CreativeId, FlightId, OpportunityId, RecordId, ViewerKey},
    keys::Keyring,
    plan::{AdSource, FlightSource, MediaSource, Plan, PlanSource, Targeting, TitleSource, build},
    pod::Pod,
    time::UnixMillis,
};

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const HOUR_MS: u64 = 3_600_000;
const SLOTS: usize = 6;
const ELIGIBLE: u32 = 50;
/// The catalogue, and with it the plan's index, grows with what is sold.
const FLIGHTS_PER_TITLE: u32 = 5;
const CLAIMS: u32 = 12;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["plan", flights, file] => {
            let bytes = build(&source(flights.parse()?), &Keyring::parse(&format!("1:{:064x}", 7))?)?;
            fs::write(file, bytes).with_context(|| format!("cannot write {file}"))
        }
        ["once", file] => {
            let bytes = fs::read(file).with_context(|| format!("cannot read {file}"))?;
            let request = request();
            let occasion = Occasion {
                session: None,
                permissions: Permissions::default(),
                invalid_traffic: None,
                auction: &Auction::NotAsked,
                request: &request,
                break_id: BreakId([1; 16]),
                viewer: ViewerKey([2; 16]),
                opened_at: NOW,
                now: NOW,
            };
            let plan = measured_open(&bytes)?;
            let pod = measured_decide(&plan, &CapState::Known(viewer()), &occasion);
            let filled = pod.slots.iter().filter(|slot| slot.fill().is_some()).count();
            ensure!(filled == SLOTS, "{filled} of {SLOTS} slots were filled, so this is not the decision to measure");
            ensure!(pod.slots[0].candidates == 50, "{} candidates instead of 50", pod.slots[0].candidates);
            Ok(())
        }
        _ => bail!("usage: decide plan FLIGHTS FILE | decide once FILE"),
    }
}

#[inline(never)]
fn measured_open(bytes: &[u8]) -> Result<Plan<'_>> {
    Ok(black_box(Plan::open(black_box(bytes))?))
}

#[inline(never)]
fn measured_decide(plan: &Plan<'_>, caps: &CapState, occasion: &Occasion<'_>) -> Pod {
    black_box(decide(Some(black_box(plan)), black_box(caps), black_box(occasion)))
}

fn source(flights: u32) -> PlanSource {
    let title = |number: u32| TitleSource {
        title_id: title_id(number),
        rating: Rating::TvPg,
        genres: vec![format!("genre-{}", number % 10)],
        ..TitleSource::default()
    };
    PlanSource {
        version: 1,
        created_at: NOW,
        valid_from: NOW.minus_ms(HOUR_MS),
        valid_until: NOW.plus_ms(HOUR_MS),
        lease_ms: 7_200_000,
        titles: (0..=flights / FLIGHTS_PER_TITLE).map(title).collect(),
        flights: (1..=flights).map(flight).collect(),
    }
}

/// The first flights target title 0, the one asked for; the others any of the other titles.
fn flight(id: u32) -> FlightSource {
    let title = if id <= ELIGIBLE { 0 } else { id / FLIGHTS_PER_TITLE };
    let cap =
        |limit, hours: u64| Cap { scope: CapScope::Campaign, limit, window: Window::Rolling { ms: hours * HOUR_MS } };
    FlightSource {
        flight_id: FlightId(id),
        campaign_id: CampaignId(id),
        advertiser_id: AdvertiserId(id),
        class: DemandClass::Guaranteed,
        starts_at: NOW.minus_ms(24 * HOUR_MS),
        ends_at: NOW.plus_ms(24 * HOUR_MS),
        allocation: 1_000 + id % 97,
        caps: vec![cap(2, 1), cap(6, 24)],
        ratings: vec![],
        category: Some(format!("category-{}", id % 20)),
        targeting: Targeting { titles: vec![title_id(title)], ..Targeting::default() },
        ads: vec![ad(id * 2), ad(id * 2 + 1)],
        ..FlightSource::default()
    }
}

fn ad(id: u32) -> AdSource {
    let media = MediaSource {
        url: format!("https://media.example/{id}.mp4"),
        mime_type: "video/mp4".into(),
        width: 1920,
        height: 1080,
        ..MediaSource::default()
    };
    AdSource {
        ad_id: AdId(id),
        creative_id: CreativeId(id),
        record_id: RecordId(u64::from(id).to_le_bytes()),
        caps: vec![],
        duration_ms: 15_000,
        universal_ad_id: "unknown".into(),
        name: format!("ad {id}"),
        media: vec![media],
        ..AdSource::default()
    }
}

fn title_id(number: u32) -> String {
    format!("title-{number}")
}

fn request() -> BreakRequest {
    BreakRequest {
        session_id: None,
        request_id: "request".into(),
        profile_id: "profile".into(),
        title_id: title_id(0),
        position: BreakPosition::Midroll,
        slots: vec![SlotRequest { max_duration_ms: 30_000, ..SlotRequest::default() }; SLOTS],
        max_duration_ms: None,
        tier: None,
        country: Some("US".into()),
        device: Some("tv".into()),
        tracking: Tracking::Token,
        ..BreakRequest::default()
    }
}

/// Somebody who has seen a few of the eligible campaigns once each.
fn viewer() -> Viewer {
    let mut viewer = Viewer::default();
    for id in 1..=CLAIMS {
        viewer.add(Claim {
            opportunity_id: OpportunityId::mint(BreakId([9; 16]), 0, NOW),
            booking: Booking {
                advertiser_id: AdvertiserId(id),
                campaign_id: CampaignId(id),
                flight_id: FlightId(id),
                creative_id: CreativeId(id * 2),
            },
            session: None,
            state: ClaimState::Confirmed,
            at: NOW.minus_ms(60_000),
            lease_until: NOW.plus_ms(HOUR_MS),
            counts_until: NOW.plus_ms(24 * HOUR_MS),
        });
    }
    viewer
}
