//! What a contracts file holds, field by field. References are still the names of the file.

use slotkeeper_core::{
    caps::{CAPS_PER_FLIGHT_MAX, CapScope},
    contract::{DemandClass, Placement, PodPosition, Rating, TitleBreak},
    impression::Quartile,
    money::{Currency, Money},
    plan::{FLIGHTS_MAX, MediaSource, TITLES_MAX, Targeting},
    time::UnixMillis,
};

use super::{
    breaks,
    dayparts::{self, Daypart},
    document::{Faults, Found, Node},
    fields::Fields,
    frequency::{BookedCap, Frequency, UTC},
    presentation::{self, Extras},
    values,
};
use crate::clock;

const NAME_CHARS_MAX: usize = 200;
const ADVERTISERS_MAX: usize = 50_000;
const CREATIVES_MAX: usize = 200_000;
/// As many as a plan takes in one flight.
const CREATIVES_PER_FLIGHT_MAX: usize = 64;
const MEDIA_MAX: usize = 16;
const GENRES_MAX: usize = 32;
const TARGETS_MAX: usize = 200;
const COMMITTED_MAX: u64 = 1_000_000_000_000;
const WEIGHT_MAX: u32 = 1_000_000;
/// Of a creative among those of its flight.
const ROTATION_WEIGHT_MAX: u32 = 1_000;
/// As long as a slot may be.
pub(super) const AD_MS_MAX: u32 = slotkeeper_core::api::SLOT_MS_MAX;
pub(super) const TITLE_MS_MAX: u32 = 7 * 24 * 3_600_000;

/// Everything in one file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Book {
    pub(super) advertisers: Vec<Advertiser>,
    pub(super) campaigns: Vec<Campaign>,
    pub(super) creatives: Vec<Creative>,
    pub(super) flights: Vec<Flight>,
    pub(super) titles: Vec<Title>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Advertiser {
    pub(super) id: Found<String>,
    pub(super) name: String,
    pub(super) frequency: Found<Frequency>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Campaign {
    pub(super) id: Found<String>,
    pub(super) advertiser: Found<String>,
    pub(super) name: String,
    pub(super) category: Option<String>,
    pub(super) frequency: Found<Frequency>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Creative {
    pub(super) id: Found<String>,
    pub(super) advertiser: Found<String>,
    pub(super) name: String,
    pub(super) universal_ad_id: String,
    pub(super) video: Video,
    pub(super) extras: Extras,
    pub(super) frequency: Found<Frequency>,
}

/// Who serves what is shown.
#[derive(Debug, PartialEq)]
pub(super) enum Video {
    /// We do, or who we say.
    Files { duration_ms: u32, media: Vec<MediaSource> },
    /// Whoever the VAST behind this URL says.
    Vast(String),
}

#[derive(Debug, PartialEq)]
pub(super) struct Flight {
    pub(super) id: Found<String>,
    pub(super) campaign: Found<String>,
    pub(super) class: Found<DemandClass>,
    pub(super) starts_at: UnixMillis,
    pub(super) ends_at: Found<UnixMillis>,
    /// Of a guaranteed flight.
    pub(super) committed_impressions: Option<u64>,
    pub(super) cpm: Money,
    /// Where the file names the currency, or the flight.
    pub(super) currency_at: usize,
    pub(super) completion_threshold: Quartile,
    /// Of a house flight.
    pub(super) weight: Option<u32>,
    pub(super) frequency: Found<Frequency>,
    pub(super) ratings: Vec<Rating>,
    pub(super) placement: Placement,
    pub(super) pod_position: PodPosition,
    pub(super) dayparts: Vec<Daypart>,
    pub(super) rotation: Vec<Rotated>,
    /// Of `targeting` and `exclusion`.
    pub(super) named_titles: Vec<Found<String>>,
    pub(super) targeting: Targeting,
    pub(super) exclusion: Targeting,
    pub(super) paused: bool,
}

impl Flight {
    /// What it shows.
    pub(super) fn creatives(&self) -> impl Iterator<Item = &Found<String>> {
        self.rotation.iter().map(|rotated| &rotated.creative)
    }
}

/// A creative in a flight.
#[derive(Debug, PartialEq)]
pub(super) struct Rotated {
    pub(super) creative: Found<String>,
    /// Its share among the flight's.
    pub(super) weight: u32,
}

#[derive(Debug, PartialEq)]
pub(super) struct Title {
    pub(super) id: Found<String>,
    pub(super) name: String,
    pub(super) rating: Rating,
    pub(super) genres: Vec<String>,
    pub(super) duration_ms: Option<u32>,
    pub(super) breaks: Vec<TitleBreak>,
}

/// Reads all that can be read of a file's tree, and notes what cannot.
pub(super) fn read(root: &Node, faults: &Faults) -> Book {
    let Some(root) = Fields::of(root, String::new(), faults) else { return Book::default() };
    let book = Book {
        advertisers: root.tables("advertisers", ADVERTISERS_MAX).into_iter().filter_map(advertiser).collect(),
        campaigns: root.tables("campaigns", FLIGHTS_MAX).into_iter().filter_map(campaign).collect(),
        creatives: root.tables("creatives", CREATIVES_MAX).into_iter().filter_map(creative).collect(),
        flights: root.tables("flights", FLIGHTS_MAX).into_iter().filter_map(flight).collect(),
        titles: root.tables("titles", TITLES_MAX).into_iter().filter_map(title).collect(),
    };
    root.end();
    book
}

// Every reader reads all fields before it gives up for one that is missing, so that all faults are noted.

fn advertiser(fields: Fields<'_>) -> Option<Advertiser> {
    let id = fields.required("id", values::slug);
    let name = fields.required("name", values::text(NAME_CHARS_MAX));
    let frequency = frequency(&fields, CapScope::Advertiser);
    fields.end();
    Some(Advertiser { id: id?, name: name?.value, frequency })
}

fn campaign(fields: Fields<'_>) -> Option<Campaign> {
    let id = fields.required("id", values::slug);
    let advertiser = fields.required("advertiser", values::slug);
    let name = fields.required("name", values::text(NAME_CHARS_MAX));
    let category = fields.optional("category", values::slug).map(plain);
    let frequency = frequency(&fields, CapScope::Campaign);
    fields.end();
    Some(Campaign { id: id?, advertiser: advertiser?, name: name?.value, category, frequency })
}

fn creative(fields: Fields<'_>) -> Option<Creative> {
    let id = fields.required("id", values::slug);
    let advertiser = fields.required("advertiser", values::slug);
    let name = fields.required("name", values::text(NAME_CHARS_MAX));
    let universal_ad_id = fields.optional("universal_ad_id", values::text(NAME_CHARS_MAX));
    let mut extras = presentation::read(&fields);
    let video = video(&fields, &mut extras);
    presentation::check_size(&fields, &extras);
    let frequency = frequency(&fields, CapScope::Creative);
    fields.end();
    Some(Creative {
        id: id?,
        advertiser: advertiser?,
        name: name?.value,
        universal_ad_id: universal_ad_id.map_or_else(|| "unknown".into(), plain), // VAST 4.3's word for none
        video: video?,
        extras,
        frequency,
    })
}

fn video(fields: &Fields<'_>, extras: &mut Extras) -> Option<Video> {
    if let Some(url) = fields.optional("vast", values::web_url) {
        for name in ["duration_ms", "media", "mezzanine", "click_through", "skip_after_ms"] {
            fields.forbidden(name, "the VAST of `vast` says that");
        }
        return Some(Video::Vast(url.value));
    }
    let duration_ms = fields.required("duration_ms", values::integer(1..=AD_MS_MAX)).map(plain);
    let files = fields.tables("media", MEDIA_MAX);
    if files.is_empty() {
        fields.faults.note(fields.at, &format!("{}.media", fields.path), "a creative needs at least one file");
    }
    let media = files.into_iter().filter_map(presentation::media).collect();
    presentation::read_own(fields, duration_ms, &mut extras.presentation);
    Some(Video::Files { duration_ms: duration_ms?, media })
}

fn title(fields: Fields<'_>) -> Option<Title> {
    let id = fields.required("id", values::caller_text);
    let name = fields.required("name", values::text(NAME_CHARS_MAX));
    let rating = fields.required("rating", values::rating);
    let genres = fields.values("genres", GENRES_MAX, values::caller_text);
    let duration_ms = fields.optional("duration_ms", values::integer(1..=TITLE_MS_MAX)).map(plain);
    let breaks = breaks::read(&fields, duration_ms);
    fields.end();
    Some(Title {
        id: id?,
        name: name?.value,
        rating: rating?.value,
        genres: genres.into_iter().map(plain).collect(),
        duration_ms,
        breaks,
    })
}

fn flight(fields: Fields<'_>) -> Option<Flight> {
    let id = fields.required("id", values::slug);
    let campaign = fields.required("campaign", values::slug);
    let class = fields.required("class", values::class);
    let frequency = frequency(&fields, CapScope::Flight);
    let dates = dates(&fields, &frequency.value);
    let terms = class.as_ref().and_then(|class| terms(&fields, class.value));
    let ratings = fields.values("ratings", Rating::ALL.len(), values::rating);
    let placement = fields.optional("placement", values::placement).map(plain).unwrap_or_default();
    let pod_position = fields.optional("pod_position", values::pod_position).map(plain).unwrap_or_default();
    let dayparts = dayparts::read(&fields);
    let rotation = rotation(&fields);
    let paused = fields.optional("paused", values::boolean).is_some_and(|paused| paused.value);
    let (mut named_titles, targeting) = fields.table("targeting").map(targeting).unwrap_or_default();
    let (excluded_titles, exclusion) = fields.table("exclude").map(exclusion).unwrap_or_default();
    named_titles.extend(excluded_titles);
    if class.is_some() {
        fields.end(); // without a class, it is not known which fields there are
    }
    let (starts_at, ends_at) = dates?;
    let terms = terms?;
    Some(Flight {
        id: id?,
        campaign: campaign?,
        class: class?,
        starts_at,
        ends_at,
        committed_impressions: terms.committed_impressions,
        cpm: terms.cpm,
        currency_at: terms.currency_at,
        completion_threshold: terms.completion_threshold,
        weight: terms.weight,
        frequency,
        ratings: ratings.into_iter().map(plain).collect(),
        placement,
        pod_position,
        dayparts,
        rotation,
        named_titles,
        targeting,
        exclusion,
        paused,
    })
}

/// The flight's creatives: a list of them, of which each is shown as often as the others, or each with its weight.
fn rotation(fields: &Fields<'_>) -> Vec<Rotated> {
    let alike = fields.values("creatives", CREATIVES_PER_FLIGHT_MAX, values::slug);
    if !alike.is_empty() {
        fields.forbidden("rotation", "`creatives` says already what the flight shows, each as often as the others");
        return alike.into_iter().map(|creative| Rotated { creative, weight: 1 }).collect();
    }
    let weighted = fields.tables("rotation", CREATIVES_PER_FLIGHT_MAX);
    if weighted.is_empty() {
        fields.faults.note(fields.at, &format!("{}.creatives", fields.path), "a flight needs at least one creative");
    }
    weighted.into_iter().filter_map(rotated).collect()
}

fn rotated(fields: Fields<'_>) -> Option<Rotated> {
    let creative = fields.required("creative", values::slug);
    let weight = fields.required("weight", values::integer(1..=ROTATION_WEIGHT_MAX));
    fields.end();
    Some(Rotated { creative: creative?, weight: weight?.value })
}

fn dates(fields: &Fields<'_>, frequency: &Frequency) -> Option<(UnixMillis, Found<UnixMillis>)> {
    let zone = frequency.zone();
    let starts_at = fields.required("start", values::instant(&zone));
    let ends_at = fields.required("end", values::instant(&zone));
    let (starts_at, ends_at) = (starts_at?, ends_at?);
    if starts_at.value >= ends_at.value {
        let (start, end) = (clock::shown(starts_at.value), clock::shown(ends_at.value));
        fields.faults.note(ends_at.at, &ends_at.path, format!("{end} must be after the start, {start}"));
        return None;
    }
    Some((starts_at.value, ends_at))
}

struct Terms {
    committed_impressions: Option<u64>,
    cpm: Money,
    currency_at: usize,
    completion_threshold: Quartile,
    weight: Option<u32>,
}

fn terms(fields: &Fields<'_>, class: DemandClass) -> Option<Terms> {
    if class == DemandClass::Guaranteed {
        let committed = fields.required("committed_impressions", values::integer(1..=COMMITTED_MAX));
        let cpm = fields.required("cpm", values::cpm);
        let currency = fields.required("currency", values::currency_of_sale);
        let threshold = fields.required("completion_threshold", values::threshold);
        fields.forbidden("weight", "only house flights have a weight");
        let currency = currency?;
        return Some(Terms {
            committed_impressions: Some(committed?.value),
            cpm: Money { micros: cpm?.value, currency: currency.value },
            currency_at: currency.at,
            completion_threshold: threshold?.value,
            weight: None,
        });
    }
    for name in ["committed_impressions", "cpm"] {
        fields.forbidden(name, "a house flight is not sold");
    }
    let currency = fields.optional("currency", values::currency);
    let threshold = fields.optional("completion_threshold", values::threshold);
    let weight = fields.optional("weight", values::integer(1..=WEIGHT_MAX));
    Some(Terms {
        committed_impressions: None,
        currency_at: currency.as_ref().map_or(fields.at, |currency| currency.at),
        cpm: Money { micros: 0, currency: currency.map_or_else(no_currency, plain) },
        completion_threshold: threshold.map_or(Quartile::Start, plain),
        weight: Some(weight.map_or(1, plain)),
    })
}

fn no_currency() -> Currency {
    Currency::parse(values::NO_CURRENCY).unwrap_or_else(|| unreachable!("three capital letters"))
}

/// What is booked on the thing that `fields` is, which caps see as `own`.
fn frequency(fields: &Fields<'_>, own: CapScope) -> Found<Frequency> {
    let (at, path) = fields.place_of("caps");
    let time_zone = fields.optional("time_zone", values::time_zone).map_or_else(|| UTC.into(), plain);
    let min_gap = fields.optional("min_gap", values::length).map(plain);
    let caps = fields.tables("caps", CAPS_PER_FLIGHT_MAX).into_iter().filter_map(|fields| cap(fields, own)).collect();
    Found { at, path, value: Frequency { caps, min_gap, time_zone } }
}

fn cap(fields: Fields<'_>, own: CapScope) -> Option<BookedCap> {
    let scope = fields.optional("scope", values::cap_scope).map_or(own, plain);
    let limit = fields.required("limit", values::integer(0..=1_000_u32));
    let per = fields.required("per", values::per);
    fields.end();
    Some(BookedCap { scope, limit: limit?.value, per: per?.value })
}

/// Whom a flight may be shown to, and the titles that it names.
fn targeting(fields: Fields<'_>) -> (Vec<Found<String>>, Targeting) {
    let read = audience(&fields);
    fields.end();
    read
}

/// Whom a flight may not be shown to, and the titles that it names.
fn exclusion(fields: Fields<'_>) -> (Vec<Found<String>>, Targeting) {
    let (titles, exclusion) = audience(&fields);
    let ratings = fields.values("ratings", Rating::ALL.len(), values::rating).into_iter().map(plain).collect();
    fields.end();
    (titles, Targeting { ratings, ..exclusion })
}

fn audience(fields: &Fields<'_>) -> (Vec<Found<String>>, Targeting) {
    let list = |name, read: fn(&super::document::Value) -> Result<String, String>| -> Vec<String> {
        fields.values(name, TARGETS_MAX, read).into_iter().map(plain).collect()
    };
    let titles = fields.values("titles", TARGETS_MAX, values::caller_text);
    let targeting = Targeting {
        titles: titles.iter().map(|title| title.value.clone()).collect(),
        genres: list("genres", values::caller_text),
        positions: list("positions", values::position_name),
        tiers: list("tiers", values::caller_text),
        countries: list("countries", values::country),
        devices: list("devices", values::caller_text),
        regions: list("regions", values::region),
        segments: list("segments", values::caller_text),
        ratings: vec![],
    };
    (titles, targeting)
}

fn plain<T>(read: Found<T>) -> T {
    read.value
}
