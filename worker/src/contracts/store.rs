//! Writing what is booked. One import is one transaction.

use rusqlite::{Connection, Row, named_params, params, types::Type};
use slotkeeper_core::{contract::DemandClass, money::Currency};

use super::{
    book::{Advertiser, Book, Campaign, Creative, Flight, Title},
    frequency::Frequency,
};

/// How many entries of a kind an import touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In the file.
    pub in_file: usize,
    /// New, or different from what was booked.
    pub written: usize,
}

/// Books everything of `book`; what is booked already and the same stays untouched.
pub(super) fn write(db: &Connection, book: &Book) -> rusqlite::Result<[(&'static str, Tally); 5]> {
    Ok([
        ("advertisers", tally(&book.advertisers, |one| advertiser(db, one))?),
        ("campaigns", tally(&book.campaigns, |one| campaign(db, one))?),
        ("creatives", tally(&book.creatives, |one| creative(db, one))?),
        ("flights", tally(&book.flights, |one| flight(db, one))?),
        ("titles", tally(&book.titles, |one| title(db, one))?),
    ])
}

fn tally<T>(all: &[T], write: impl Fn(&T) -> rusqlite::Result<bool>) -> rusqlite::Result<Tally> {
    let mut tally = Tally { in_file: all.len(), written: 0 };
    for one in all {
        tally.written += usize::from(write(one)?);
    }
    Ok(tally)
}

fn advertiser(db: &Connection, one: &Advertiser) -> rusqlite::Result<bool> {
    let terms = &one.frequency.value;
    let rows = db
        .prepare_cached(
            "INSERT INTO advertisers (slug, name, caps, min_gap, time_zone) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (slug) DO UPDATE SET name = ?2, caps = ?3, min_gap = ?4, time_zone = ?5
             WHERE (name, caps, min_gap, time_zone) IS NOT (?2, ?3, ?4, ?5)",
        )?
        .execute(params![one.id.value, one.name, json(&terms.caps), min_gap(terms), terms.time_zone])?;
    Ok(rows > 0)
}

fn campaign(db: &Connection, one: &Campaign) -> rusqlite::Result<bool> {
    let terms = &one.frequency.value;
    let rows = db
        .prepare_cached(
            "INSERT INTO campaigns (slug, advertiser_id, name, category, caps, min_gap, time_zone)
             VALUES (?1, (SELECT advertiser_id FROM advertisers WHERE slug = ?2), ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (slug) DO UPDATE SET name = ?3, category = ?4, caps = ?5, min_gap = ?6, time_zone = ?7
             WHERE (name, category, caps, min_gap, time_zone) IS NOT (?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            one.id.value,
            one.advertiser.value,
            one.name,
            one.category,
            json(&terms.caps),
            min_gap(terms),
            terms.time_zone
        ])?;
    Ok(rows > 0)
}

fn creative(db: &Connection, one: &Creative) -> rusqlite::Result<bool> {
    let terms = &one.frequency.value;
    let rows = db
        .prepare_cached(
            "INSERT INTO creatives (slug, advertiser_id, name, duration_ms, universal_ad_id, media, caps, min_gap, time_zone)
             VALUES (?1, (SELECT advertiser_id FROM advertisers WHERE slug = ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (slug) DO UPDATE SET name = ?3, duration_ms = ?4, universal_ad_id = ?5, media = ?6, caps = ?7,
                 min_gap = ?8, time_zone = ?9
             WHERE (name, duration_ms, universal_ad_id, media, caps, min_gap, time_zone)
                 IS NOT (?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            one.id.value,
            one.advertiser.value,
            one.name,
            one.duration_ms,
            one.universal_ad_id,
            json(&one.media),
            json(&terms.caps),
            min_gap(terms),
            terms.time_zone
        ])?;
    Ok(rows > 0)
}

fn title(db: &Connection, one: &Title) -> rusqlite::Result<bool> {
    let rows = db
        .prepare_cached(
            "INSERT INTO titles (title_id, name, rating, genres, duration_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (title_id) DO UPDATE SET name = ?2, rating = ?3, genres = ?4, duration_ms = ?5
             WHERE name <> ?2 OR rating <> ?3 OR genres <> ?4 OR duration_ms IS NOT ?5",
        )?
        .execute(params![one.id.value, one.name, one.rating.as_str(), json(&one.genres), one.duration_ms])?;
    Ok(rows > 0)
}

fn flight(db: &Connection, one: &Flight) -> rusqlite::Result<bool> {
    let terms = &one.frequency.value;
    let rows = db
        .prepare_cached(
            "INSERT INTO flights (slug, campaign_id, class, starts_at_ms, ends_at_ms, committed_impressions, cpm_micros,
                 currency, completion_threshold, weight, caps, min_gap, time_zone, ratings, targeting, paused)
             VALUES (:slug, (SELECT campaign_id FROM campaigns WHERE slug = :campaign), :class, :starts_at, :ends_at,
                 :committed, :cpm, :currency, :threshold, :weight, :caps, :min_gap, :time_zone, :ratings, :targeting,
                 :paused)
             ON CONFLICT (slug) DO UPDATE SET starts_at_ms = :starts_at, ends_at_ms = :ends_at,
                 committed_impressions = :committed, cpm_micros = :cpm, completion_threshold = :threshold,
                 weight = :weight, caps = :caps, min_gap = :min_gap, time_zone = :time_zone, ratings = :ratings, targeting = :targeting, paused = :paused
             WHERE (starts_at_ms, ends_at_ms, committed_impressions, cpm_micros, completion_threshold, weight, caps,
                 min_gap, time_zone, ratings, targeting, paused) IS NOT (:starts_at, :ends_at, :committed, :cpm,
                 :threshold, :weight, :caps, :min_gap, :time_zone, :ratings, :targeting, :paused)",
        )?
        .execute(named_params! {
            ":slug": one.id.value,
            ":campaign": one.campaign.value,
            ":class": class_name(one.class.value),
            ":starts_at": one.starts_at.0,
            ":ends_at": one.ends_at.value.0,
            ":committed": one.committed_impressions,
            ":cpm": one.cpm.micros,
            ":currency": one.cpm.currency.as_str(),
            ":threshold": one.completion_threshold.as_str(),
            ":weight": one.weight,
            ":caps": json(&terms.caps),
            ":min_gap": min_gap(terms),
            ":time_zone": terms.time_zone,
            ":ratings": json(&one.ratings),
            ":targeting": json(&one.targeting),
            ":paused": one.paused,
        })?;
    Ok(book_ads(db, one)? || rows > 0)
}

/// Books the flight's creatives, and takes out of it those that the file no longer names.
fn book_ads(db: &Connection, flight: &Flight) -> rusqlite::Result<bool> {
    let flight_id: u32 = db
        .prepare_cached("SELECT flight_id FROM flights WHERE slug = ?1")?
        .query_row([&flight.id.value], |row| row.get(0))?;
    let names: Vec<&str> = flight.creatives.iter().map(|creative| creative.value.as_str()).collect();
    let mut written = db
        .prepare_cached(
            "UPDATE ads SET booked = 0 WHERE flight_id = ?1 AND booked = 1 AND creative_id NOT IN (
                 SELECT creative_id FROM creatives WHERE slug IN (SELECT value FROM json_each(?2)))",
        )?
        .execute(params![flight_id, json(&names)])?;
    for name in names {
        written += db
            .prepare_cached(
                "INSERT INTO ads (flight_id, creative_id, booked)
                 VALUES (?1, (SELECT creative_id FROM creatives WHERE slug = ?2), 1)
                 ON CONFLICT (flight_id, creative_id) DO UPDATE SET booked = 1 WHERE booked = 0",
            )?
            .execute(params![flight_id, name])?;
    }
    Ok(written > 0)
}

fn min_gap(terms: &Frequency) -> Option<String> {
    terms.min_gap.map(|gap| gap.to_string())
}

/// A class's name in the tables.
pub(super) fn class_name(class: DemandClass) -> &'static str {
    match class {
        DemandClass::Guaranteed => "guaranteed",
        DemandClass::House => "house",
    }
}

/// Reads a currency's code.
pub(super) fn currency(row: &Row<'_>, column: usize) -> rusqlite::Result<Currency> {
    let code: String = row.get(column)?;
    Currency::parse(&code).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("{code:?} is not a currency").into())
    })
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| unreachable!("plain values with string keys"))
}
