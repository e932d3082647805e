//! Checking what a file refers to, against the file itself and against what is booked already.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use slotkeeper_core::{
    caps::{LIFETIME_GRACE_MS, Window},
    contract::DemandClass,
    money::Currency,
    plan::{FLIGHTS_MAX, TITLES_MAX},
    time::UnixMillis,
};

use super::{
    book::{Book, Flight, shown},
    document::{Faults, Found},
};

/// What is booked, as far as references need it. Parents never change: money and caps hang on them.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) advertisers: BTreeSet<String>,
    /// Campaign to advertiser.
    pub(super) campaigns: BTreeMap<String, String>,
    /// Creative to advertiser.
    pub(super) creatives: BTreeMap<String, String>,
    pub(super) flights: BTreeMap<String, KnownFlight>,
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
            "SELECT f.slug, c.slug, f.class, f.currency, f.ends_at_ms, f.paused
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
                },
            ))
        };
        Ok(Self {
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
    }
}

/// Notes every id that stands twice, every reference that leads nowhere, and every change of what cannot change.
pub(super) fn check(book: &Book, mut known: Known, faults: &Faults) {
    check_unique(book, faults);
    check_unmoved(book, &known, faults);
    check_extended(book, &known, faults);
    check_room(book, &known, faults);
    known.with(book);
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
    book.flights.iter().for_each(|flight| note_repeated(flight.creatives.iter(), faults));
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
        let for_life = flight.caps.iter().any(|cap| cap.window == Window::Lifetime);
        let latest = booked.ends_at.plus_ms(LIFETIME_GRACE_MS);
        if for_life && flight.ends_at.value > latest {
            let (new, old) = (shown(flight.ends_at.value), shown(booked.ends_at));
            let message = format!(
                "{new}: it is booked until {old}, and what a cap per \"flight\" counts is kept until {}; \
                 book a new flight",
                shown(latest)
            );
            faults.note(flight.ends_at.at, &flight.ends_at.path, message);
        }
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
    for creative in &flight.creatives {
        let creator = known.creatives.get(&creative.value);
        must_exist(creative, "creative", creator.is_some(), faults);
        if let (Some(owner), Some(creator)) = (owner, creator)
            && owner != creator
        {
            let whose = format!("{:?} is {creator:?}'s; the flight's campaign is {owner:?}'s", creative.value);
            faults.note(creative.at, &creative.path, whose);
        }
    }
    for title in &flight.targeted_titles {
        must_exist(title, "title", known.titles.contains(&title.value), faults);
    }
}

fn must_exist(reference: &Found<String>, kind: &str, exists: bool, faults: &Faults) {
    if !exists {
        let message = format!("there is no {kind} {:?}, neither in this file nor booked", reference.value);
        faults.note(reference.at, &reference.path, message);
    }
}
