//! What is sold in a world, in the simulation's own words: the oracle counts by them, and plans are built from them.

use std::{collections::BTreeSet, rc::Rc};

use slotkeeper_core::{
    caps::{CALENDAR_TURNS, Calendar, Cap, CapScope, Turn, Window},
    contract::{DemandClass, Placement, PodPosition, RegistryRecord},
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId},
    impression::Quartile,
    keys::Keyring,
    money::{Currency, Money},
    plan::{AdSource, FlightSource, MediaSource, PlanSource, Targeting, build},
    time::UnixMillis,
};

use crate::rng::Rng;

pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
pub const DAY_MS: u64 = 24 * HOUR_MS;

/// What a cap counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Creative,
    Flight,
    Campaign,
    Advertiser,
}

/// Over which time a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    Break,
    Session,
    Rolling {
        ms: u64,
    },
    /// So many days, today included, of a zone that is so far ahead of UTC.
    Days {
        days: u64,
        ahead_ms: u64,
    },
    Lifetime,
}

/// At most `limit` in `span`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapTerm {
    pub scope: Scope,
    pub span: Span,
    pub limit: u32,
}

/// One creative of a flight.
#[derive(Clone, Debug)]
pub struct AdTerm {
    pub ad: u32,
    pub creative: u32,
    pub duration_ms: u32,
    pub weight: u32,
}

/// A flight.
#[derive(Clone, Debug)]
pub struct FlightTerm {
    pub flight: u32,
    pub campaign: u32,
    pub advertiser: u32,
    pub is_house: bool,
    pub ads: Vec<AdTerm>,
    pub caps: Vec<CapTerm>,
    pub allocation: u32,
    pub cpm_micros: i64,
    pub threshold: Quartile,
    pub category: Option<String>,
    pub placement: Placement,
    pub position: PodPosition,
    pub starts_at_ms: u64,
    pub ends_at_ms: u64,
}

/// One version of the plan.
#[derive(Clone)]
pub struct Edition {
    pub version: u64,
    pub flights: Vec<Rc<FlightTerm>>,
    /// The flights whose showings some cap counts.
    pub counted: BTreeSet<u32>,
    pub records: Vec<RegistryRecord>,
    pub bytes: Rc<[u8]>,
}

impl FlightTerm {
    /// What a cap of `scope` counts a showing of `creative` in this flight as.
    pub fn thing(&self, scope: Scope, creative: u32) -> u32 {
        match scope {
            Scope::Creative => creative,
            Scope::Flight => self.flight,
            Scope::Campaign => self.campaign,
            Scope::Advertiser => self.advertiser,
        }
    }

    fn record(&self, ad: &AdTerm) -> RegistryRecord {
        RegistryRecord {
            ad_id: AdId(ad.ad),
            creative_id: CreativeId(ad.creative),
            flight_id: FlightId(self.flight),
            campaign_id: CampaignId(self.campaign),
            advertiser_id: AdvertiserId(self.advertiser),
            class: if self.is_house { DemandClass::House } else { DemandClass::Guaranteed },
            cpm: Money { micros: self.cpm_micros, currency: usd() },
            completion_threshold: self.threshold,
            starts_at: UnixMillis(self.starts_at_ms),
            ends_at: UnixMillis(self.ends_at_ms),
            duration_ms: ad.duration_ms,
            universal_ad_id: "unknown".into(),
            trackers: Vec::new(),
        }
    }
}

fn usd() -> Currency {
    Currency::parse("USD").unwrap_or_else(|| unreachable!("three capital letters"))
}

impl Edition {
    /// The flight of an ad.
    pub fn flight(&self, flight: u32) -> Option<&Rc<FlightTerm>> {
        self.flights.iter().find(|term| term.flight == flight)
    }

    /// Builds one: version, flights, and the instants between which it is valid.
    pub fn new(
        version: u64,
        lease_ms: u64,
        flights: Vec<FlightTerm>,
        (from_ms, until_ms): (u64, u64),
        keys: &Keyring,
    ) -> Self {
        let records = flights.iter().flat_map(|flight| flight.ads.iter().map(|ad| flight.record(ad))).collect();
        let source = PlanSource {
            version,
            created_at: UnixMillis(from_ms),
            valid_from: UnixMillis(from_ms),
            valid_until: UnixMillis(until_ms),
            lease_ms: u32::try_from(lease_ms).unwrap_or(u32::MAX),
            titles: Vec::new(),
            flights: flights.iter().map(|flight| flight_source(flight, from_ms)).collect(),
        };
        let bytes = build(&source, keys).unwrap_or_else(|error| panic!("the world's plan: {error}"));
        let counted =
            flights.iter().filter(|flight| is_counted(&flights, flight)).map(|flight| flight.flight).collect();
        let flights = flights.into_iter().map(Rc::new).collect();
        Self { version, flights, counted, records, bytes: bytes.into() }
    }
}

/// Whether any cap of these flights counts showings of `flight`.
fn is_counted(flights: &[FlightTerm], flight: &FlightTerm) -> bool {
    let counts = |by: &FlightTerm, scope| {
        let thing =
            |term: &FlightTerm| -> BTreeSet<u32> { term.ads.iter().map(|ad| term.thing(scope, ad.creative)).collect() };
        !thing(by).is_disjoint(&thing(flight))
    };
    flights.iter().any(|by| by.caps.iter().any(|cap| counts(by, cap.scope)))
}

fn flight_source(term: &FlightTerm, from_ms: u64) -> FlightSource {
    let ad = |ad: &AdTerm| AdSource {
        ad_id: AdId(ad.ad),
        creative_id: CreativeId(ad.creative),
        record_id: term.record(ad).record_id(),
        caps: vec![],
        duration_ms: ad.duration_ms,
        weight: ad.weight,
        universal_ad_id: "unknown".into(),
        name: format!("ad {}", ad.ad),
        media: vec![MediaSource {
            url: "m".into(),
            mime_type: "video/mp4".into(),
            width: 1,
            height: 1,
            ..MediaSource::default()
        }],
        ..AdSource::default()
    };
    FlightSource {
        flight_id: FlightId(term.flight),
        campaign_id: CampaignId(term.campaign),
        advertiser_id: AdvertiserId(term.advertiser),
        class: if term.is_house { DemandClass::House } else { DemandClass::Guaranteed },
        starts_at: UnixMillis(term.starts_at_ms),
        ends_at: UnixMillis(term.ends_at_ms),
        allocation: term.allocation,
        caps: term.caps.iter().map(|cap| core_cap(cap, from_ms)).collect(),
        ratings: Vec::new(),
        category: term.category.clone(),
        placement: term.placement,
        pod_position: term.position,
        targeting: Targeting::default(),
        ads: term.ads.iter().map(ad).collect(),
        ..FlightSource::default()
    }
}

fn core_cap(term: &CapTerm, from_ms: u64) -> Cap {
    let scope = match term.scope {
        Scope::Creative => CapScope::Creative,
        Scope::Flight => CapScope::Flight,
        Scope::Campaign => CapScope::Campaign,
        Scope::Advertiser => CapScope::Advertiser,
    };
    let window = match term.span {
        Span::Break => Window::Break,
        Span::Session => Window::Session,
        Span::Rolling { ms } => Window::Rolling { ms },
        Span::Lifetime => Window::Lifetime,
        Span::Days { days, ahead_ms } => {
            let today = (from_ms + ahead_ms) / DAY_MS;
            let turns = std::array::from_fn::<_, CALENDAR_TURNS, _>(|turn| {
                let day = today + turn as u64;
                let began_at = UnixMillis((day + 1 - days) * DAY_MS - ahead_ms);
                Turn { from: UnixMillis(day * DAY_MS - ahead_ms), began_at }
            });
            Window::Calendar(Calendar { turns, longest_ms: days * DAY_MS })
        }
    };
    Cap { scope, limit: term.limit, window }
}

/// What is booked in a world that begins at `start_ms` and lasts `span_ms`.
pub fn book(rng: &Rng, start_ms: u64, span_ms: u64) -> Vec<FlightTerm> {
    let advertisers = rng.between(2, 6);
    let paid = rng.between(4, 13);
    let mut flights = Vec::new();
    for n in 1..=paid {
        let advertiser = rng.between(1, advertisers);
        let campaign = advertiser * 10 + rng.below(2);
        let is_capped = !rng.chance(0.2);
        flights.push(FlightTerm {
            flight: number(n),
            campaign: number(campaign),
            advertiser: number(advertiser),
            is_house: false,
            ads: ads(rng, n, advertiser),
            caps: if is_capped { caps(rng, span_ms) } else { Vec::new() },
            allocation: number(rng.between(1, 9) * 1_000),
            cpm_micros: i64::from(number(rng.between(1, 60_000_000))),
            threshold: *rng.pick(&Quartile::ALL),
            category: rng.chance(0.3).then(|| format!("c{}", rng.below(3))),
            placement: if rng.chance(0.85) {
                Placement::Ad
            } else {
                *rng.pick(&[Placement::Bumper, Placement::Sponsorship])
            },
            position: if rng.chance(0.8) {
                PodPosition::Any
            } else {
                *rng.pick(&[PodPosition::First, PodPosition::Last])
            },
            starts_at_ms: if rng.chance(0.8) { start_ms - DAY_MS } else { start_ms + rng.below(span_ms / 2) },
            ends_at_ms: if rng.chance(0.85) {
                start_ms + span_ms + 3 * DAY_MS
            } else {
                start_ms + span_ms / 2 + rng.below(span_ms)
            },
        });
    }
    for n in paid + 1..=paid + rng.between(1, 2) {
        let advertiser = 90;
        flights.push(FlightTerm {
            flight: number(n),
            campaign: number(900 + n),
            advertiser,
            is_house: true,
            ads: ads(rng, n, advertiser.into()),
            caps: if rng.chance(0.4) { caps(rng, span_ms) } else { Vec::new() },
            allocation: 1,
            cpm_micros: 0,
            threshold: Quartile::Start,
            category: None,
            placement: Placement::Ad,
            position: PodPosition::Any,
            starts_at_ms: start_ms - DAY_MS,
            ends_at_ms: start_ms + span_ms + 3 * DAY_MS,
        });
    }
    flights
}

/// Creatives of an advertiser are shared between its flights at times.
fn ads(rng: &Rng, flight: u64, advertiser: u64) -> Vec<AdTerm> {
    let creatives = if rng.chance(0.5) { 1 } else { rng.between(2, 3) };
    (0..creatives)
        .map(|n| {
            let is_shared = rng.chance(0.4);
            let creative = if is_shared { advertiser * 1_000 + n } else { 100_000 + flight * 10 + n };
            let lengths = [6_000, 15_000, 15_000, 30_000];
            AdTerm {
                ad: number(flight * 10 + n),
                creative: number(creative),
                duration_ms: *rng.pick(&lengths),
                weight: number(rng.below(4)),
            }
        })
        .collect()
}

fn caps(rng: &Rng, span_ms: u64) -> Vec<CapTerm> {
    let count = *rng.pick(&[1, 1, 1, 2, 2, 3, 4]);
    (0..count)
        .map(|_| {
            let scope = *rng.pick(&[Scope::Creative, Scope::Flight, Scope::Flight, Scope::Campaign, Scope::Advertiser]);
            let span = match rng.below(9) {
                0 => Span::Break,
                1 => Span::Session,
                2..=4 => Span::Rolling { ms: rng.log_between(2 * MINUTE_MS, span_ms) },
                5 | 6 => Span::Days { days: *rng.pick(&[1, 1, 2, 7]), ahead_ms: rng.below(24) * HOUR_MS },
                _ => Span::Lifetime,
            };
            let limit = match span {
                Span::Break => rng.between(1, 2),
                Span::Lifetime | Span::Days { .. } => rng.between(1, 6),
                _ => *rng.pick(&[1, 1, 2, 3]),
            };
            CapTerm { scope, span, limit: number(limit) }
        })
        .collect()
}

/// The next edition's flights: other limits, shares and prices; what is counted over which time stays, so that no cap
/// counts what was never claimed for it.
pub fn revise(rng: &Rng, flights: &[Rc<FlightTerm>]) -> Vec<FlightTerm> {
    let mut revised: Vec<FlightTerm> = flights.iter().map(|flight| FlightTerm::clone(flight)).collect();
    for flight in &mut revised {
        if !flight.is_house {
            match rng.below(4) {
                0 => flight.allocation = 0,
                1 => flight.allocation = number(rng.between(1, 9) * 1_000),
                2 => flight.cpm_micros = i64::from(number(rng.between(1, 60_000_000))),
                _ => {}
            }
        }
        for cap in &mut flight.caps {
            if rng.chance(0.3) {
                cap.limit = number(rng.below(5));
            }
        }
    }
    revised
}

fn number(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
