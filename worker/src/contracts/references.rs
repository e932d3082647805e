//! Checking what a file refers to, against the file itself and against what is booked already.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use slotkeeper_core::{
    caps::{CAPS_PER_FLIGHT_MAX, CapScope, LIFETIME_GRACE_MS},
    contract::DemandClass,
    money::Currency,
    plan::{FLIGHTS_MAX, TITLES_MAX},
    time::UnixMillis,
};

use super::{
    book::{Book, Flight},
    booked,
    document::{Faults, Found},
    frequency::{Frequency, scope_name},
};
use crate::clock;

/// What is booked, as far as references need it. Parents never change: money and caps hang on them.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) advertisers: BTreeSet<String>,
    /// Campaign to advertiser.
    pub(super) campaigns: BTreeMap<String, String>,
    /// Creative to advertiser.
    pub(super) creatives: BTreeMap<String, String>,
    pub(super) flights: BTreeMap<String, KnownFlight>,
    /// What caps are booked, by what they are booked on.
    pub(super) frequencies: BTreeMap<(CapScope, String), Frequency>,
    pub(super) titles: BTreeSet<String>,
}

/// What of a flight cannot change once it is booked, or not freely, or takes room.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KnownFlight {
    pub(super) campaign: String,
    pub(super) class: DemandClass,
    pub(super) currency: Currency,
    pub(super) ends_at: UnixMillis,
    pub(super) paused: bool,
    pub(super) creatives: Vec<String>,
}

impl Known {
    /// What is booked in `db`.
    pub(super) fn load(db: &Connection) -> rusqlite::Result<Self> {
        let pairs = |sql: &str| -> rusqlite::Result<BTreeMap<String, String>> {
            db.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let singles = |sql: &str| -> rusqlite::Result<BTreeSet<String>> {
            db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        let mut flights = db.prepare(
            "SELECT f.slug, c.slug, f.class, f.currency, f.ends_at_ms, f.paused,
                 (SELECT json_group_array(v.slug) FROM ads JOIN creatives v USING (creative_id)
                  WHERE ads.flight_id = f.flight_id AND ads.booked = 1)
             FROM flights f JOIN campaigns c USING (campaign_id)",
        )?;
        let flight = |row: &rusqlite::Row<'_>| {
            let class = if row.get::<_, String>(2)? == "house" { DemandClass::House } else { DemandClass::Guaranteed };
            let currency = super::store::currency(row, 3)?;
            Ok((
                row.get(0)?,
                KnownFlight {
                    campaign: row.get(1)?,
                    class,
                    currency,
                    ends_at: UnixMillis(row.get(4)?),
                    paused: row.get(5)?,
                    creatives: booked::json(row, 6)?,
                },
            ))
        };
        let mut frequencies = BTreeMap::new();
        for (scope, table) in [
            (CapScope::Advertiser, "advertisers"),
            (CapScope::Campaign, "campaigns"),
            (CapScope::Flight, "flights"),
            (CapScope::Creative, "creatives"),
        ] {
            let mut all = db.prepare(&format!("SELECT slug, caps, min_gap, time_zone FROM {table}"))?;
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                frequencies.insert((scope, row.get(0)?), booked::frequency(row, 1)?);
            }
        }
        Ok(Self {
            frequencies,
            advertisers: singles("SELECT slug FROM advertisers")?,
            campaigns: pairs("SELECT c.slug, a.slug FROM campaigns c JOIN advertisers a USING (advertiser_id)")?,
            creatives: pairs("SELECT c.slug, a.slug FROM creatives c JOIN advertisers a USING (advertiser_id)")?,
            flights: flights.query_map([], flight)?.collect::<rusqlite::Result<_>>()?,
            titles: singles("SELECT title_id FROM titles")?,
        })
    }

    fn with(&mut self, book: &Book) {
        self.advertisers.extend(book.advertisers.iter().map(|one| one.id.value.clone()));
        self.titles.extend(book.titles.iter().map(|one| one.id.value.clone()));
        let campaigns = book.campaigns.iter().map(|one| (one.id.value.clone(), one.advertiser.value.clone()));
        self.campaigns.extend(campaigns);
        let creatives = book.creatives.iter().map(|one| (one.id.value.clone(), one.advertiser.value.clone()));
        self.creatives.extend(creatives);
        let of = |scope, id: &Found<String>, found: &Found<Frequency>| ((scope, id.value.clone()), found.value.clone());
        self.frequencies.extend(book.advertisers.iter().map(|one| of(CapScope::Advertiser, &one.id, &one.frequency)));
        self.frequencies.extend(book.campaigns.iter().map(|one| of(CapScope::Campaign, &one.id, &one.frequency)));
        self.frequencies.extend(book.flights.iter().map(|one| of(CapScope::Flight, &one.id, &one.frequency)));
        self.frequencies.extend(book.creatives.iter().map(|one| of(CapScope::Creative, &one.id, &one.frequency)));
    }

    fn frequency(&self, scope: CapScope, id: &str) -> Option<&Frequency> {
        self.frequencies.get(&(scope, id.into()))
    }

    /// What a flight with these creatives carries: what is booked on its advertiser, its campaign, itself and each of them.
    fn carried<'a>(&self, flight: &str, campaign: &str, creatives: impl Iterator<Item = &'a str>) -> Vec<Carried> {
        let advertiser = self.campaigns.get(campaign).map(String::as_str).unwrap_or_default();
        let shared = [(CapScope::Advertiser, advertiser), (CapScope::Campaign, campaign), (CapScope::Flight, flight)];
        let things = shared.into_iter().chain(creatives.map(|creative| (CapScope::Creative, creative)));
        let carried = things.filter_map(|(scope, id)| {
            let frequency = self.frequency(scope, id)?;
            let (count, for_life) = (frequency.count(), frequency.counts_lifetime());
            Some(Carried { scope, id: id.into(), count, for_life })
        });
        carried.collect()
    }
}

/// Caps that a flight carries from one thing they are booked on.
struct Carried {
    scope: CapScope,
    id: String,
    count: usize,
    for_life: bool,
}

/// Notes every id that stands twice, every reference that leads nowhere, and every change of what cannot change.
pub(super) fn check(book: &Book, mut known: Known, faults: &Faults) {
    check_unique(book, faults);
    check_unmoved(book, &known, faults);
    check_room(book, &known, faults);
    known.with(book);
    check_extended(book, &known, faults);
    check_caps(book, &known, faults);
    for campaign in &book.campaigns {
        must_exist(&campaign.advertiser, "advertiser", known.advertisers.contains(&campaign.advertiser.value), faults);
    }
    for creative in &book.creatives {
        must_exist(&creative.advertiser, "advertiser", known.advertisers.contains(&creative.advertiser.value), faults);
    }
    book.flights.iter().for_each(|flight| check_flight(flight, &known, faults));
}

fn check_unique(book: &Book, faults: &Faults) {
    let kinds: [Vec<&Found<String>>; 5] = [
        book.advertisers.iter().map(|one| &one.id).collect(),
        book.campaigns.iter().map(|one| &one.id).collect(),
        book.creatives.iter().map(|one| &one.id).collect(),
        book.flights.iter().map(|one| &one.id).collect(),
        book.titles.iter().map(|one| &one.id).collect(),
    ];
    for ids in kinds {
        note_repeated(ids.into_iter(), faults);
    }
    book.flights.iter().for_each(|flight| note_repeated(flight.creatives(), faults));
}

fn note_repeated<'a>(ids: impl Iterator<Item = &'a Found<String>>, faults: &Faults) {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for id in ids {
        if let Some(first) = seen.insert(&id.value, &id.path) {
            faults.note(id.at, &id.path, format!("{:?} stands already in {first}", id.value));
        }
    }
}

fn check_unmoved(book: &Book, known: &Known, faults: &Faults) {
    let owners = book.campaigns.iter().map(|one| (&one.advertiser, known.campaigns.get(&one.id.value)));
    let owners = owners.chain(book.creatives.iter().map(|one| (&one.advertiser, known.creatives.get(&one.id.value))));
    let campaigns =
        book.flights.iter().map(|one| (&one.campaign, known.flights.get(&one.id.value).map(|flight| &flight.campaign)));
    for (parent, booked) in owners.chain(campaigns) {
        if let Some(booked) = booked.filter(|booked| **booked != parent.value) {
            note_fixed(parent.at, &parent.path, &parent.value, booked, faults);
        }
    }
    for flight in &book.flights {
        let Some(booked) = known.flights.get(&flight.id.value) else { continue };
        if booked.class != flight.class.value {
            let (new, old) = (super::store::class_name(flight.class.value), super::store::class_name(booked.class));
            note_fixed(flight.class.at, &flight.class.path, new, old, faults);
        }
        if booked.currency != flight.cpm.currency {
            let path = flight.id.path.replace(".id", ".currency");
            note_fixed(flight.currency_at, &path, flight.cpm.currency.as_str(), booked.currency.as_str(), faults);
        }
    }
}

/// Lifetime caps are counted over claims, which the edges keep for so long after the end that they knew.
fn check_extended(book: &Book, known: &Known, faults: &Faults) {
    for flight in &book.flights {
        let Some(booked) = known.flights.get(&flight.id.value) else { continue };
        let creatives = flight.creatives().map(|creative| creative.value.as_str());
        let carried = known.carried(&flight.id.value, &flight.campaign.value, creatives);
        let for_life = carried.iter().any(|carried| carried.for_life);
        let latest = booked.ends_at.plus_ms(LIFETIME_GRACE_MS);
        if for_life && flight.ends_at.value > latest {
            let (new, old) = (clock::shown(flight.ends_at.value), clock::shown(booked.ends_at));
            let message = format!(
                "{new}: it is booked until {old}, and what a cap per \"flight\" counts is kept until {}; \
                 book a new flight",
                clock::shown(latest)
            );
            faults.note(flight.ends_at.at, &flight.ends_at.path, message);
        }
    }
}

/// An ad is under the caps of its advertiser, campaign, flight and creative together, whichever files booked them.
fn check_caps(book: &Book, known: &Known, faults: &Faults) {
    // What the file names, and where: the place of a fault, from the flight outwards.
    let mut named: BTreeMap<(CapScope, &str), &Found<Frequency>> = BTreeMap::new();
    named.extend(book.advertisers.iter().map(|one| ((CapScope::Advertiser, one.id.value.as_str()), &one.frequency)));
    named.extend(book.campaigns.iter().map(|one| ((CapScope::Campaign, one.id.value.as_str()), &one.frequency)));
    named.extend(book.flights.iter().map(|one| ((CapScope::Flight, one.id.value.as_str()), &one.frequency)));
    named.extend(book.creatives.iter().map(|one| ((CapScope::Creative, one.id.value.as_str()), &one.frequency)));

    let in_file = book.flights.iter().map(|one| {
        let creatives: Vec<&str> = one.creatives().map(|creative| creative.value.as_str()).collect();
        (one.id.value.as_str(), one.campaign.value.as_str(), creatives)
    });
    let booked_before = known.flights.iter().filter(|(id, _)| !named.contains_key(&(CapScope::Flight, id.as_str())));
    let booked_before = booked_before.map(|(id, flight)| {
        (id.as_str(), flight.campaign.as_str(), flight.creatives.iter().map(String::as_str).collect())
    });
    for (flight, campaign, creatives) in in_file.chain(booked_before) {
        let over = creatives.iter().find_map(|creative| {
            let carried = known.carried(flight, campaign, [*creative].into_iter());
            let sum: usize = carried.iter().map(|carried| carried.count).sum();
            (sum > CAPS_PER_FLIGHT_MAX).then_some((carried, sum))
        });
        let Some((carried, sum)) = over else { continue };
        let nearness = [CapScope::Flight, CapScope::Creative, CapScope::Campaign, CapScope::Advertiser];
        let in_file = |scope: &CapScope| {
            let of_scope = carried.iter().find(|carried| carried.scope == *scope && carried.count > 0)?;
            named.get(&(*scope, of_scope.id.as_str())).copied()
        };
        // A flight that gets its caps from elsewhere is named at its own place all the same.
        let flight_itself = || named.get(&(CapScope::Flight, flight)).copied();
        let Some(place) = nearness.iter().find_map(in_file).or_else(flight_itself) else { continue };
        let parts: Vec<String> = carried
            .iter()
            .filter(|carried| carried.count > 0)
            .map(|carried| format!("{} of {} {:?}", carried.count, scope_name(carried.scope), carried.id))
            .collect();
        let message = format!(
            "flight {flight:?} would carry {sum} caps, its minimum gaps among them ({}); an ad may be under {CAPS_PER_FLIGHT_MAX}",
            parts.join(", ")
        );
        faults.note(place.at, &place.path, message);
    }
}

/// A plan holds what is booked in all files together. Flights that are paused are in none.
fn check_room(book: &Book, known: &Known, faults: &Faults) {
    let titles = book.titles.iter().map(|one| &one.id);
    let total = known.titles.len();
    note_over("titles", TITLES_MAX, total, titles.filter(|id| !known.titles.contains(&id.value)), faults);

    let in_file: BTreeSet<&str> = book.flights.iter().map(|one| one.id.value.as_str()).collect();
    let others = known.flights.iter().filter(|(id, flight)| !flight.paused && !in_file.contains(id.as_str())).count();
    let sellable = book.flights.iter().filter(|one| !one.paused).map(|one| &one.id);
    note_over("flights that are not paused", FLIGHTS_MAX, others, sellable, faults);
}

/// Notes the first of `more` that there is no room for beside the `booked`.
fn note_over<'a>(
    kind: &str,
    max: usize,
    booked: usize,
    mut more: impl Iterator<Item = &'a Found<String>>,
    faults: &Faults,
) {
    if let Some(one) = more.nth(max.saturating_sub(booked)) {
        let message = format!("{:?}: a plan holds at most {max} {kind}, with the {booked} booked before", one.value);
        faults.note(one.at, &one.path, message);
    }
}

fn note_fixed(at: usize, path: &str, new: &str, booked: &str, faults: &Faults) {
    faults.note(at, path, format!("{new:?}: it is booked as {booked:?}, which cannot change; book it under a new id"));
}

fn check_flight(flight: &Flight, known: &Known, faults: &Faults) {
    let owner = known.campaigns.get(&flight.campaign.value);
    must_exist(&flight.campaign, "campaign", owner.is_some(), faults);
    for creative in flight.creatives() {
        let creator = known.creatives.get(&creative.value);
        must_exist(creative, "creative", creator.is_some(), faults);
        if let (Some(owner), Some(creator)) = (owner, creator)
            && owner != creator
        {
            let whose = format!("{:?} is {creator:?}'s; the flight's campaign is {owner:?}'s", creative.value);
            faults.note(creative.at, &creative.path, whose);
        }
    }
    for title in &flight.named_titles {
        must_exist(title, "title", known.titles.contains(&title.value), faults);
    }
}

fn must_exist(reference: &Found<String>, kind: &str, exists: bool, faults: &Faults) {
    if !exists {
        let message = format!("there is no {kind} {:?}, neither in this file nor booked", reference.value);
        faults.note(reference.at, &reference.path, message);
    }
}
