//! Building a plan's bytes from its source. Only the origin does this.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use zerocopy::{
    IntoBytes,
    little_endian::{U32, U64},
};

use super::{
    layout::{
        ANY_VALUE, ANYONE, ANYONE_HOUSE, AdRecord, CapRecord, ClauseRecord, Dimension, FORMAT, FlightRecord, Header,
        IndexRecord, MAC_BYTES, MAGIC, MediaRecord, Run, SECTIONS, SpanRecord, TitleRecord, TurnRecord, WINDOW_BREAK,
        WINDOW_CALENDAR, WINDOW_LIFETIME, WINDOW_ROLLING, WINDOW_SESSION, attribute,
    },
    source::{AdSource, FlightSource, PlanSource, Targeting},
};
use crate::{
    caps::{CALENDAR_TURNS, CAPS_PER_FLIGHT_MAX, Cap, CapScope, Horizon, Window},
    contract::{DemandClass, Presentation, Rating},
    id::REQUEST_TIME_SKEW_MS_MAX,
    keys::{Keyring, Purpose},
    token::LIFE_MS_MAX,
};

/// The most titles a plan holds.
pub const TITLES_MAX: usize = 200_000;
/// The most flights a plan holds.
pub const FLIGHTS_MAX: usize = 50_000;
/// The most creatives in one flight.
const ADS_PER_FLIGHT_MAX: usize = 64;
/// The most values in one targeting list, and the most genres of a title.
const VALUES_MAX: usize = 1_000;
/// The most spans in which one flight airs, within one plan's validity.
const SPANS_MAX: usize = 256;
/// Versions stay below 2^53, because a store may pass them through JavaScript.
const VERSION_END: u64 = 1 << 53;
/// A request id may date its break this much earlier or later than the decision; a token must live longer than that.
const LEASE_MS_MIN: u64 = REQUEST_TIME_SKEW_MS_MAX;
const LEASE_MS_MAX: u64 = LIFE_MS_MAX - REQUEST_TIME_SKEW_MS_MAX;

/// Why a plan could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanBuildError {
    /// A count or size past its bound.
    #[error("{what}: {actual} is more than the {max} a plan may hold")]
    TooMany {
        /// What there are too many of, and where.
        what: String,
        /// How many there are.
        actual: usize,
        /// How many there may be.
        max: usize,
    },
    /// A value that cannot stand.
    #[error("{what}: {value} {expected}")]
    Invalid {
        /// The field and where it is.
        what: String,
        /// What was given.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
}

/// Builds and authenticates a plan.
pub fn build(source: &PlanSource, keys: &Keyring) -> Result<Vec<u8>, PlanBuildError> {
    check(source)?;
    let mut builder = Builder::default();
    builder.add_titles(source)?;
    builder.add_flights(source)?;
    builder.add_index(source)?;
    builder.finish(source, keys)
}

fn check(source: &PlanSource) -> Result<(), PlanBuildError> {
    bound("titles", source.titles.len(), TITLES_MAX)?;
    bound("flights", source.flights.len(), FLIGHTS_MAX)?;
    if source.valid_from >= source.valid_until {
        return Err(invalid("valid_until", source.valid_until.0, "must be after valid_from"));
    }
    if !(1..VERSION_END).contains(&source.version) {
        return Err(invalid("version", source.version, "must be from 1 to 2^53 - 1"));
    }
    if !(LEASE_MS_MIN..=LEASE_MS_MAX).contains(&u64::from(source.lease_ms)) {
        return Err(invalid("lease_ms", source.lease_ms, "must be from 10 minutes to 18 hours"));
    }
    for title in &source.titles {
        bound(&alloc::format!("title {}: genres", title.title_id), title.genres.len(), VALUES_MAX)?;
    }
    for flight in &source.flights {
        let name = |field: &str| alloc::format!("flight {}: {field}", flight.flight_id);
        for ad in &flight.ads {
            let caps = flight.caps.len() + ad.caps.len();
            bound(&alloc::format!("flight {}, ad {}: caps", flight.flight_id, ad.ad_id), caps, CAPS_PER_FLIGHT_MAX)?;
        }
        bound(&name("ads"), flight.ads.len(), ADS_PER_FLIGHT_MAX)?;
        for (_, values) in dimensions(&flight.targeting).into_iter().chain(dimensions(&flight.exclusion)) {
            bound(&name("targeting"), values.len(), VALUES_MAX)?;
        }
        if let Some(ad) = flight.ads.iter().find(|ad| ad.duration_ms == 0) {
            return Err(invalid(&name("ads"), ad.ad_id, "must last longer than 0 ms"));
        }
        if flight.ads.is_empty() {
            return Err(invalid(&name("ads"), 0, "must be at least one"));
        }
        bound(&name("airs"), flight.airs.len(), SPANS_MAX)?;
        if let Some(span) = flight.airs.iter().find(|span| span.from >= span.until) {
            return Err(invalid(&name("airs"), span.until.0, "must be after its from"));
        }
        if !flight.targeting.ratings.is_empty() {
            return Err(invalid(
                &name("targeting.ratings"),
                flight.targeting.ratings.len(),
                "must be named in ratings",
            ));
        }
        if flight.class == DemandClass::Auction {
            return Err(invalid(&name("class"), "auction", "must be guaranteed or house"));
        }
        if flight.starts_at >= flight.ends_at {
            return Err(invalid(&name("ends_at"), flight.ends_at.0, "must be after starts_at"));
        }
        for cap in flight.caps.iter().chain(flight.ads.iter().flat_map(|ad| &ad.caps)) {
            match cap.window {
                Window::Rolling { ms: 0 } => {
                    return Err(invalid(&name("caps"), 0, "must have a window longer than 0 ms"));
                }
                Window::Calendar(calendar) if !calendar.is_sound() => {
                    let turns = alloc::format!("{:?}", calendar.turns);
                    return Err(invalid(
                        &name("caps"),
                        turns,
                        "must have turns in order, each begun before it is current",
                    ));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn bound(what: &str, actual: usize, max: usize) -> Result<(), PlanBuildError> {
    if actual > max { Err(PlanBuildError::TooMany { what: what.into(), actual, max }) } else { Ok(()) }
}

fn invalid(what: &str, value: impl core::fmt::Display, expected: &'static str) -> PlanBuildError {
    PlanBuildError::Invalid { what: what.into(), value: alloc::format!("{value}"), expected }
}

#[derive(Default)]
struct Builder {
    titles: Vec<TitleRecord>,
    flights: Vec<FlightRecord>,
    ads: Vec<AdRecord>,
    ads_by_id: Vec<U32>,
    media: Vec<MediaRecord>,
    caps: Vec<CapRecord>,
    clauses: Vec<ClauseRecord>,
    attributes: Vec<U64>,
    index: Vec<IndexRecord>,
    postings: Vec<U32>,
    spans: Vec<SpanRecord>,
    text: Vec<u8>,
    interned: BTreeMap<String, Run>,
    hashed: BTreeMap<u64, (u8, String)>,
}

impl Builder {
    fn add_titles(&mut self, source: &PlanSource) -> Result<(), PlanBuildError> {
        for title in &source.titles {
            let genres = self.add_attributes(Dimension::Genre, &title.genres)?;
            let hash = self.attribute(Dimension::Title, &title.title_id)?;
            let breaks = if title.breaks.is_empty() { run(0, 0) } else { self.intern(&json(&title.breaks)) };
            self.titles.push(TitleRecord {
                title: hash.into(),
                rating: title.rating as u8,
                genres,
                duration_ms: title.duration_ms.unwrap_or(0).into(),
                breaks,
            });
        }
        self.titles.sort_by_key(|title| title.title.get());
        match self.titles.windows(2).find(|pair| pair[0].title == pair[1].title) {
            Some(pair) => {
                let (_, title) = &self.hashed[&pair[0].title.get()];
                Err(invalid("titles", title, "must stand once"))
            }
            None => Ok(()),
        }
    }

    fn add_flights(&mut self, source: &PlanSource) -> Result<(), PlanBuildError> {
        let horizons = Horizons::of(&source.flights);
        for flight in &source.flights {
            let ads = run(self.ads.len(), flight.ads.len());
            flight.ads.iter().for_each(|ad| self.add_ad(ad));
            let record = self.flight(flight, ads, horizons.covering(flight))?;
            self.flights.push(record);
        }
        let mut by_id: Vec<usize> = (0..self.ads.len()).collect();
        by_id.sort_by_key(|place| self.ads[*place].ad_id.get());
        if let Some(pair) = by_id.windows(2).find(|pair| self.ads[pair[0]].ad_id == self.ads[pair[1]].ad_id) {
            return Err(invalid("ads", self.ads[pair[0]].ad_id.get(), "must stand in one flight, once"));
        }
        self.ads_by_id = by_id.into_iter().map(number).collect();
        Ok(())
    }

    fn add_ad(&mut self, ad: &AdSource) {
        let start = self.media.len();
        for file in &ad.media {
            let record = MediaRecord {
                url: self.intern(&file.url),
                mime_type: self.intern(&file.mime_type),
                width: file.width.into(),
                height: file.height.into(),
                bitrate_kbps: file.bitrate_kbps.unwrap_or(0).into(),
                codecs: self.intern(file.codecs.as_deref().unwrap_or_default()),
            };
            self.media.push(record);
        }
        let caps = self.add_caps(&ad.caps);
        let presentation = match &ad.presentation {
            empty if *empty == Presentation::default() => run(0, 0),
            presentation => self.intern(&json(presentation)),
        };
        let record = AdRecord {
            ad_id: ad.ad_id.0.into(),
            creative_id: ad.creative_id.0.into(),
            record_id: ad.record_id.0,
            duration_ms: ad.duration_ms.into(),
            caps,
            universal_ad_id: self.intern(&ad.universal_ad_id),
            name: self.intern(&ad.name),
            media: run(start, ad.media.len()),
            weight: ad.weight.max(1).into(),
            presentation,
        };
        self.ads.push(record);
    }

    fn add_caps(&mut self, caps: &[Cap]) -> Run {
        let place = run(self.caps.len(), caps.len());
        self.caps.extend(caps.iter().map(CapRecord::from));
        place
    }

    fn flight(&mut self, flight: &FlightSource, ads: Run, horizon: Horizon) -> Result<FlightRecord, PlanBuildError> {
        let caps = self.add_caps(&flight.caps);
        let mut clauses = Vec::new();
        for (dimension, values) in dimensions(&flight.targeting) {
            if !values.is_empty() {
                let mut any_of = self.add_attributes(dimension, values)?;
                if dimension == Dimension::Segment {
                    any_of.count += self.add_any(dimension)?;
                }
                clauses.push(ClauseRecord { any_of });
            }
        }
        let clause_run = run(self.clauses.len(), clauses.len());
        self.clauses.append(&mut clauses);
        let category = match &flight.category {
            Some(category) => self.attribute(Dimension::Category, category)?,
            None => 0,
        };
        let ratings = mask(&flight.ratings);
        let exclusion_start = self.attributes.len();
        for (dimension, values) in dimensions(&flight.exclusion) {
            self.add_attributes(dimension, values)?;
            if !values.is_empty() && matches!(dimension, Dimension::Segment | Dimension::Genre) {
                self.add_any(dimension)?;
            }
        }
        let exclusion = run(exclusion_start, self.attributes.len() - exclusion_start);
        let airs = run(self.spans.len(), flight.airs.len());
        self.spans
            .extend(flight.airs.iter().map(|span| SpanRecord { from: span.from.0.into(), until: span.until.0.into() }));
        Ok(FlightRecord {
            flight_id: flight.flight_id.0.into(),
            campaign_id: flight.campaign_id.0.into(),
            advertiser_id: flight.advertiser_id.0.into(),
            class: u8::from(flight.class == DemandClass::House),
            ratings: if ratings == 0 { Rating::EVERY } else { ratings }.into(),
            category: category.into(),
            starts_at: flight.starts_at.0.into(),
            ends_at: flight.ends_at.0.into(),
            allocation: flight.allocation.into(),
            horizon_rolling_ms: horizon.rolling_ms.into(),
            horizon_lifetime_until: horizon.lifetime_until.0.into(),
            horizon_crosses_sessions: horizon.crosses_sessions.into(),
            caps,
            clauses: clause_run,
            exclusion,
            excluded_ratings: mask(&flight.exclusion.ratings).into(),
            airs,
            placement: flight.placement as u8,
            pod_position: flight.pod_position as u8,
            ads,
        })
    }

    /// Files every flight under the one requirement that the fewest flights share, so a request finds few in vain.
    fn add_index(&mut self, source: &PlanSource) -> Result<(), PlanBuildError> {
        let mut popularity: BTreeMap<u64, usize> = BTreeMap::new();
        let mut clauses_of = Vec::new();
        for flight in &source.flights {
            let mut clauses: Vec<BTreeSet<u64>> = Vec::new();
            for (dimension, values) in dimensions(&flight.targeting) {
                if values.is_empty() {
                    continue;
                }
                let mut clause =
                    values.iter().map(|value| self.attribute(dimension, value)).collect::<Result<BTreeSet<_>, _>>()?;
                for attribute in &clause {
                    *popularity.entry(*attribute).or_default() += 1;
                }
                if dimension == Dimension::Segment {
                    clause.insert(self.attribute(dimension, ANY_VALUE)?); // without popularity: few breaks ask for it
                }
                clauses.push(clause);
            }
            clauses_of.push(clauses);
        }
        let mut filed: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (place, (flight, clauses)) in source.flights.iter().zip(&clauses_of).enumerate() {
            let company = |clause: &&BTreeSet<u64>| {
                clause.iter().filter_map(|attribute| popularity.get(attribute)).sum::<usize>()
            };
            match clauses.iter().min_by_key(company) {
                Some(clause) => clause.iter().for_each(|attribute| filed.entry(*attribute).or_default().push(place)),
                None if flight.class == DemandClass::House => filed.entry(ANYONE_HOUSE).or_default().push(place),
                None => filed.entry(ANYONE).or_default().push(place),
            }
        }
        for (attribute, mut places) in filed {
            places.sort_by_key(|place| {
                let flight = &source.flights[*place];
                (flight.class, core::cmp::Reverse(flight.allocation))
            });
            let flights = run(self.postings.len(), places.len());
            self.postings.extend(places.iter().map(|place| number(*place)));
            self.index.push(IndexRecord { attribute: attribute.into(), flights });
        }
        Ok(())
    }

    fn add_attributes(&mut self, dimension: Dimension, values: &[String]) -> Result<Run, PlanBuildError> {
        let start = self.attributes.len();
        for value in values {
            let hash = self.attribute(dimension, value)?;
            self.attributes.push(hash.into());
        }
        Ok(run(start, values.len()))
    }

    /// Adds the attribute that stands for any of its dimension; says how many that are.
    fn add_any(&mut self, dimension: Dimension) -> Result<U32, PlanBuildError> {
        Ok(self.add_attributes(dimension, &[ANY_VALUE.into()])?.count)
    }

    /// The attribute's hash, after making sure that no other attribute of this plan has it.
    fn attribute(&mut self, dimension: Dimension, value: &str) -> Result<u64, PlanBuildError> {
        let hash = attribute(dimension, value);
        let meaning = (dimension as u8, String::from(value));
        match self.hashed.insert(hash, meaning.clone()) {
            Some(other) if other != meaning => {
                Err(invalid(&other.1, value, "collides with it in the plan's 64-bit index; rename one of the two"))
            }
            _ => Ok(hash),
        }
    }

    fn intern(&mut self, text: &str) -> Run {
        if let Some(known) = self.interned.get(text) {
            return *known;
        }
        let place = run(self.text.len(), text.len());
        self.text.extend_from_slice(text.as_bytes());
        self.interned.insert(text.into(), place);
        place
    }

    fn finish(self, source: &PlanSource, keys: &Keyring) -> Result<Vec<u8>, PlanBuildError> {
        let sections: [(&[u8], usize); SECTIONS] = [
            (self.titles.as_bytes(), self.titles.len()),
            (self.flights.as_bytes(), self.flights.len()),
            (self.ads.as_bytes(), self.ads.len()),
            (self.ads_by_id.as_bytes(), self.ads_by_id.len()),
            (self.media.as_bytes(), self.media.len()),
            (self.caps.as_bytes(), self.caps.len()),
            (self.clauses.as_bytes(), self.clauses.len()),
            (self.attributes.as_bytes(), self.attributes.len()),
            (self.index.as_bytes(), self.index.len()),
            (self.postings.as_bytes(), self.postings.len()),
            (self.spans.as_bytes(), self.spans.len()),
            (&self.text, self.text.len()),
        ];
        let mut places = [run(0, 0); SECTIONS];
        let mut end = size_of::<Header>();
        for (place, (bytes, count)) in places.iter_mut().zip(sections) {
            *place = run(end, count);
            end += bytes.len();
        }
        let total = end + MAC_BYTES;
        bound("bytes", total, super::PLAN_BYTES_MAX)?;
        let (key_id, key) = keys.minting(Purpose::Plan);
        let header = Header {
            magic: MAGIC,
            format: FORMAT.into(),
            key_id,
            reserved: 0,
            version: source.version.into(),
            created_at: source.created_at.0.into(),
            valid_from: source.valid_from.0.into(),
            valid_until: source.valid_until.0.into(),
            lease_ms: source.lease_ms.into(),
            total_bytes: number(total),
            sections: places,
        };
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(header.as_bytes());
        for (section, _) in sections {
            bytes.extend_from_slice(section);
        }
        let mac = blake3::keyed_hash(&key, &bytes);
        bytes.extend_from_slice(mac.as_bytes());
        Ok(bytes)
    }
}

impl From<&Cap> for CapRecord {
    fn from(cap: &Cap) -> Self {
        const NEVER: TurnRecord = TurnRecord { from: U64::ZERO, began_at: U64::ZERO };
        let (window, window_ms, turns) = match cap.window {
            Window::Break => (WINDOW_BREAK, 0, [NEVER; CALENDAR_TURNS]),
            Window::Session => (WINDOW_SESSION, 0, [NEVER; CALENDAR_TURNS]),
            Window::Rolling { ms } => (WINDOW_ROLLING, ms, [NEVER; CALENDAR_TURNS]),
            Window::Calendar(calendar) => {
                let turn =
                    |turn: crate::caps::Turn| TurnRecord { from: turn.from.0.into(), began_at: turn.began_at.0.into() };
                (WINDOW_CALENDAR, calendar.longest_ms, calendar.turns.map(turn))
            }
            Window::Lifetime => (WINDOW_LIFETIME, 0, [NEVER; CALENDAR_TURNS]),
        };
        let scope = match cap.scope {
            CapScope::Creative => 0,
            CapScope::Flight => 1,
            CapScope::Campaign => 2,
            CapScope::Advertiser => 3,
        };
        Self { scope, window, limit: cap.limit.into(), window_ms: window_ms.into(), turns }
    }
}

/// For each thing that a cap can count together, how long showings of it matter.
#[derive(Default)]
struct Horizons(BTreeMap<(u8, u32), Horizon>);

impl Horizons {
    fn of(flights: &[FlightSource]) -> Self {
        let mut horizons = Self::default();
        for flight in flights {
            for cap in &flight.caps {
                horizons.extend(counted_things(flight), cap, flight);
            }
            for ad in &flight.ads {
                for cap in &ad.caps {
                    // Of the flight's creatives, only its own counts for it.
                    let creative = (CapScope::Creative as u8, ad.creative_id.0);
                    horizons.extend([creative].into_iter().chain(things_beside_creatives(flight)), cap, flight);
                }
            }
        }
        horizons
    }

    /// Covers what `cap` counts of these things, as carried in `flight`.
    fn extend(&mut self, things: impl Iterator<Item = (u8, u32)>, cap: &Cap, flight: &FlightSource) {
        for thing in things.filter(|(scope, _)| *scope == cap.scope as u8) {
            let horizon = self.0.entry(thing).or_default();
            *horizon = horizon.covering(cap, flight.ends_at);
        }
    }

    /// The longest of all that a showing of any creative of `flight` counts for.
    fn covering(&self, flight: &FlightSource) -> Horizon {
        counted_things(flight)
            .filter_map(|thing| self.0.get(&thing))
            .fold(Horizon::default(), |all, one| all.join(*one))
    }
}

/// What caps can count a flight's showings as.
fn counted_things(flight: &FlightSource) -> impl Iterator<Item = (u8, u32)> + '_ {
    let creatives = flight.ads.iter().map(|ad| (CapScope::Creative as u8, ad.creative_id.0));
    creatives.chain(things_beside_creatives(flight))
}

fn things_beside_creatives(flight: &FlightSource) -> impl Iterator<Item = (u8, u32)> + use<> {
    [
        (CapScope::Flight as u8, flight.flight_id.0),
        (CapScope::Campaign as u8, flight.campaign_id.0),
        (CapScope::Advertiser as u8, flight.advertiser_id.0),
    ]
    .into_iter()
}

fn mask(ratings: &[Rating]) -> u16 {
    ratings.iter().fold(0, |mask, rating| mask | rating.bit())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| unreachable!("string keys only"))
}

fn dimensions(targeting: &Targeting) -> [(Dimension, &Vec<String>); 8] {
    [
        (Dimension::Title, &targeting.titles),
        (Dimension::Genre, &targeting.genres),
        (Dimension::Position, &targeting.positions),
        (Dimension::Tier, &targeting.tiers),
        (Dimension::Country, &targeting.countries),
        (Dimension::Device, &targeting.devices),
        (Dimension::Region, &targeting.regions),
        (Dimension::Segment, &targeting.segments),
    ]
}

/// A run within a plan. Every count is bounded before, and the whole is at most 32 MiB, so 32 bits hold it.
fn run(start: usize, count: usize) -> Run {
    Run { start: number(start), count: number(count) }
}

fn number(value: usize) -> U32 {
    u32::try_from(value).unwrap_or(u32::MAX).into()
}
