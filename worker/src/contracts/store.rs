//! Writing what is booked. One import is one transaction.

use rusqlite::{Connection, Row, named_params, params, types::Type};
use slotkeeper_core::{contract::DemandClass, money::Currency};

use super::{
    book::{Advertiser, Book, Campaign, Creative, Flight, Rotated, Title, Video},
    frequency::Frequency,
    values::{placement_name, pod_position_name},
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

/// The column must hold something; see `migrations/2_pods.sql`.
const DURATION_MS_OF_VAST: u32 = 1;

fn creative(db: &Connection, one: &Creative) -> rusqlite::Result<bool> {
    let terms = &one.frequency.value;
    let (duration_ms, media, vast) = match &one.video {
        Video::Files { duration_ms, media } => (*duration_ms, media.as_slice(), None),
        Video::Vast(url) => (DURATION_MS_OF_VAST, [].as_slice(), Some(url)),
    };
    let rows = db
        .prepare_cached(
            "INSERT INTO creatives (slug, advertiser_id, name, duration_ms, universal_ad_id, media, vast, presentation,
                 trackers, caps, min_gap, time_zone)
             VALUES (:slug, (SELECT advertiser_id FROM advertisers WHERE slug = :advertiser), :name, :duration_ms,
                 :universal_ad_id, :media, :vast, :presentation, :trackers, :caps, :min_gap, :time_zone)
             ON CONFLICT (slug) DO UPDATE SET name = :name, duration_ms = :duration_ms,
                 universal_ad_id = :universal_ad_id, media = :media, vast = :vast, presentation = :presentation,
                 trackers = :trackers, caps = :caps, min_gap = :min_gap, time_zone = :time_zone
             WHERE (name, duration_ms, universal_ad_id, media, vast, presentation, trackers, caps, min_gap, time_zone)
                 IS NOT (:name, :duration_ms, :universal_ad_id, :media, :vast, :presentation, :trackers, :caps, :min_gap,
                 :time_zone)",
        )?
        .execute(named_params! {
            ":slug": one.id.value,
            ":advertiser": one.advertiser.value,
            ":name": one.name,
            ":duration_ms": duration_ms,
            ":universal_ad_id": one.universal_ad_id,
            ":media": json(&media),
            ":vast": vast,
            ":presentation": json(&one.extras.presentation),
            ":trackers": json(&one.extras.trackers),
            ":caps": json(&terms.caps),
            ":min_gap": min_gap(terms),
            ":time_zone": terms.time_zone,
        })?;
    Ok(rows > 0)
}

fn title(db: &Connection, one: &Title) -> rusqlite::Result<bool> {
    let rows = db
        .prepare_cached(
            "INSERT INTO titles (title_id, name, rating, genres, duration_ms, breaks) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (title_id) DO UPDATE SET name = ?2, rating = ?3, genres = ?4, duration_ms = ?5, breaks = ?6
             WHERE (name, rating, genres, duration_ms, breaks) IS NOT (?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            one.id.value,
            one.name,
            one.rating.as_str(),
            json(&one.genres),
            one.duration_ms,
            json(&one.breaks)
        ])?;
    Ok(rows > 0)
}

fn flight(db: &Connection, one: &Flight) -> rusqlite::Result<bool> {
    let terms = &one.frequency.value;
    let rows = db
        .prepare_cached(
            "INSERT INTO flights (slug, campaign_id, class, starts_at_ms, ends_at_ms, committed_impressions, cpm_micros,
                 currency, completion_threshold, weight, caps, min_gap, time_zone, ratings, targeting, paused, placement,
                 pod_position, exclusion, dayparts)
             VALUES (:slug, (SELECT campaign_id FROM campaigns WHERE slug = :campaign), :class, :starts_at, :ends_at,
                 :committed, :cpm, :currency, :threshold, :weight, :caps, :min_gap, :time_zone, :ratings, :targeting,
                 :paused, :placement, :pod_position, :exclusion, :dayparts)
             ON CONFLICT (slug) DO UPDATE SET starts_at_ms = :starts_at, ends_at_ms = :ends_at,
                 committed_impressions = :committed, cpm_micros = :cpm, completion_threshold = :threshold,
                 weight = :weight, caps = :caps, min_gap = :min_gap, time_zone = :time_zone, ratings = :ratings,
                 targeting = :targeting, paused = :paused, placement = :placement, pod_position = :pod_position,
                 exclusion = :exclusion, dayparts = :dayparts
             WHERE (starts_at_ms, ends_at_ms, committed_impressions, cpm_micros, completion_threshold, weight, caps,
                 min_gap, time_zone, ratings, targeting, paused, placement, pod_position, exclusion, dayparts)
                 IS NOT (:starts_at, :ends_at, :committed, :cpm, :threshold, :weight, :caps, :min_gap, :time_zone, :ratings,
                 :targeting, :paused, :placement, :pod_position, :exclusion, :dayparts)",
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
            ":placement": placement_name(one.placement),
            ":pod_position": pod_position_name(one.pod_position),
            ":exclusion": json(&one.exclusion),
            ":dayparts": json(&one.dayparts),
        })?;
    Ok(book_ads(db, one)? || rows > 0)
}

/// Books the flight's creatives, and takes out of it those that the file no longer names.
fn book_ads(db: &Connection, flight: &Flight) -> rusqlite::Result<bool> {
    let flight_id: u32 = db
        .prepare_cached("SELECT flight_id FROM flights WHERE slug = ?1")?
        .query_row([&flight.id.value], |row| row.get(0))?;
    let names: Vec<&str> = flight.creatives().map(|creative| creative.value.as_str()).collect();
    let mut written = db
        .prepare_cached(
            "UPDATE ads SET booked = 0 WHERE flight_id = ?1 AND booked = 1 AND creative_id NOT IN (
                 SELECT creative_id FROM creatives WHERE slug IN (SELECT value FROM json_each(?2)))",
        )?
        .execute(params![flight_id, json(&names)])?;
    for Rotated { creative, weight } in &flight.rotation {
        written += db
            .prepare_cached(
                "INSERT INTO ads (flight_id, creative_id, booked, weight)
                 VALUES (?1, (SELECT creative_id FROM creatives WHERE slug = ?2), 1, ?3)
                 ON CONFLICT (flight_id, creative_id) DO UPDATE SET booked = 1, weight = ?3
                 WHERE (booked, weight) IS NOT (1, ?3)",
            )?
            .execute(params![flight_id, creative.value, weight])?;
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
        DemandClass::Auction => "auction",
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
