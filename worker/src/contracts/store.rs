//! Writing what is booked. One import is one transaction.

use rusqlite::{Connection, Row, named_params, params, types::Type};
use slotkeeper_core::{contract::DemandClass, money::Currency};

use super::book::{Advertiser, Book, Campaign, Creative, Flight, Title};

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
    let rows = db
        .prepare_cached(
            "INSERT INTO advertisers (slug, name) VALUES (?1, ?2)
             ON CONFLICT (slug) DO UPDATE SET name = ?2 WHERE name <> ?2",
        )?
        .execute(params![one.id.value, one.name])?;
    Ok(rows > 0)
}

fn campaign(db: &Connection, one: &Campaign) -> rusqlite::Result<bool> {
    let rows = db
        .prepare_cached(
            "INSERT INTO campaigns (slug, advertiser_id, name, category)
             VALUES (?1, (SELECT advertiser_id FROM advertisers WHERE slug = ?2), ?3, ?4)
             ON CONFLICT (slug) DO UPDATE SET name = ?3, category = ?4 WHERE name <> ?3 OR category IS NOT ?4",
        )?
        .execute(params![one.id.value, one.advertiser.value, one.name, one.category])?;
    Ok(rows > 0)
}

fn creative(db: &Connection, one: &Creative) -> rusqlite::Result<bool> {
    let rows = db
        .prepare_cached(
            "INSERT INTO creatives (slug, advertiser_id, name, duration_ms, universal_ad_id, media)
             VALUES (?1, (SELECT advertiser_id FROM advertisers WHERE slug = ?2), ?3, ?4, ?5, ?6)
             ON CONFLICT (slug) DO UPDATE SET name = ?3, duration_ms = ?4, universal_ad_id = ?5, media = ?6
             WHERE name <> ?3 OR duration_ms <> ?4 OR universal_ad_id <> ?5 OR media <> ?6",
        )?
        .execute(params![
            one.id.value,
            one.advertiser.value,
            one.name,
            one.duration_ms,
            one.universal_ad_id,
            json(&one.media)
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
    let rows = db
        .prepare_cached(
            "INSERT INTO flights (slug, campaign_id, class, starts_at_ms, ends_at_ms, committed_impressions, cpm_micros,
                 currency, completion_threshold, weight, caps, ratings, targeting, paused)
             VALUES (:slug, (SELECT campaign_id FROM campaigns WHERE slug = :campaign), :class, :starts_at, :ends_at,
                 :committed, :cpm, :currency, :threshold, :weight, :caps, :ratings, :targeting, :paused)
             ON CONFLICT (slug) DO UPDATE SET starts_at_ms = :starts_at, ends_at_ms = :ends_at,
                 committed_impressions = :committed, cpm_micros = :cpm, completion_threshold = :threshold,
                 weight = :weight, caps = :caps, ratings = :ratings, targeting = :targeting, paused = :paused
             WHERE (starts_at_ms, ends_at_ms, committed_impressions, cpm_micros, completion_threshold, weight, caps,
                 ratings, targeting, paused) IS NOT (:starts_at, :ends_at, :committed, :cpm, :threshold, :weight, :caps,
                 :ratings, :targeting, :paused)",
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
            ":caps": json(&one.caps),
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
