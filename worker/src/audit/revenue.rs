//! Law 6: what a slot earned follows from the log and the ad as sold, to the micro, once.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension as _, types::Value};
use serde_json::Value as Json;
use slotkeeper_core::{
    beacon::Event,
    pod::{Fill, InvalidTraffic},
};

use super::{
    AuditError, Books, Law,
    logged::LoggedRow,
    reports,
    tables::{Cells, IMPRESSION, StandingRow, differences, number, text},
};

/// The quartiles in playing order, with the events that prove them.
const QUARTILES: [(Event, &str); 5] = [
    (Event::Start, "start"),
    (Event::FirstQuartile, "firstQuartile"),
    (Event::Midpoint, "midpoint"),
    (Event::ThirdQuartile, "thirdQuartile"),
    (Event::Complete, "complete"),
];

/// How much longer than its claim a token may be taken: tokens count in whole seconds.
pub(super) const TOKEN_GRACE_MS: u64 = 1_000;

/// What an impression should say.
#[derive(Debug, PartialEq, Eq)]
struct Worth {
    start_at_ms: u64,
    furthest_quartile: String,
    threshold_passed: bool,
    micros: i64,
    currency: Option<String>,
}

pub(super) fn check(books: &Books, contracts: &Connection) -> Result<Law, AuditError> {
    let mut law = Law::new(6, "revenue once, exact, only from a start and past the threshold");
    let standing: HashMap<&str, &StandingRow> =
        books.tables.standing.iter().map(|row| (row.opportunity_id.as_str(), row)).collect();
    let mut records: HashMap<String, Option<Json>> = HashMap::new();
    let mut expected: HashMap<String, Worth> = HashMap::new();
    let mut cells: HashMap<String, Cells<{ IMPRESSION.len() }>> = HashMap::new();
    for row in books.logged.rows() {
        let id = row.row.opportunity_id.to_string();
        let stands = standing.get(id.as_str()).is_some_and(|standing| is_of(row, standing));
        let Some(worth) = stands.then(|| worth(books, row)).flatten() else { continue };
        let record_id = row.row.fill().map(|fill| fill.record_id.to_string()).unwrap_or_default();
        if !records.contains_key(&record_id) {
            let sold_by_auction = books.logged.auction_records.get(&record_id);
            let found = match sold_by_auction.and_then(|json| serde_json::from_str(json).ok()) {
                Some(found) => Some(found),
                None => record(contracts, &record_id)?,
            };
            records.insert(record_id.clone(), found);
        }
        let worth = priced(worth, records[&record_id].as_ref(), row.row.invalid_traffic);
        outlived(books, row, &mut law);
        cells.insert(id.clone(), as_stored(books, row, &worth));
        expected.insert(id, worth);
    }
    // Of slots, not of rows: one that was logged both committed and uncommitted has two that say the same.
    let total: i128 = expected.values().map(|worth| i128::from(worth.micros)).sum();
    let mut seen = HashSet::new();
    let mut booked: i128 = 0;
    for impression in &books.tables.impressions {
        let id = impression.opportunity_id.as_str();
        booked += i128::from(impression.recognized_revenue_micros);
        if !seen.insert(id) {
            law.finds("impression_doubled", id, "one fill has two impressions");
        }
        let is = Worth {
            start_at_ms: impression.start_at_ms,
            furthest_quartile: impression.furthest_quartile.clone(),
            threshold_passed: impression.threshold_passed,
            micros: impression.recognized_revenue_micros,
            currency: impression.currency.clone(),
        };
        match expected.get(id) {
            None => law.finds("impression_without_start", id, "no start of the ad of its row is in the log"),
            Some(worth) if *worth != is => {
                law.finds(
                    "revenue_wrong",
                    id,
                    format!("the table says {is:?}; the log and the registry say {worth:?}"),
                );
            }
            Some(_) => {}
        }
    }
    for impression in &books.tables.impression_cells {
        let Value::Text(id) = &impression[0] else { continue };
        let differences = cells.get(id).map(|should| differences(&IMPRESSION, impression, should)).unwrap_or_default();
        if !differences.is_empty() {
            law.finds("impression_altered", id, differences.join("; "));
        }
    }
    for id in expected.keys().filter(|id| !seen.contains(id.as_str())) {
        law.finds("impression_missing", id, "its ad began to play, by the log, and it has no impression");
    }
    if booked != total {
        law.finds("revenue_total", "all currencies", format!("{booked} micros are booked; {total} were earned"));
    }
    reports::check(books, &mut law);
    law.checked = format!("{} impressions, {total} micros", books.tables.impressions.len());
    law.note(
        records.values().filter(|record| record.is_none()).count(),
        "ads as sold are not in the registry; they earn nothing",
    );
    Ok(law)
}

/// What the columns of an impression should say.
fn as_stored(books: &Books, row: &LoggedRow, worth: &Worth) -> Cells<{ IMPRESSION.len() }> {
    let of_fill = |column: fn(&Fill) -> u32| number(row.row.fill().map(|fill| u64::from(column(fill))));
    let at = |event| number(books.logged.seen(row, event).map(|seen| seen.at_ms));
    [
        text(row.row.opportunity_id),
        of_fill(|fill| fill.booking.advertiser_id.0),
        of_fill(|fill| fill.booking.campaign_id.0),
        of_fill(|fill| fill.booking.flight_id.0),
        of_fill(|fill| fill.booking.creative_id.0),
        of_fill(|fill| fill.ad_id.0),
        row.row.fill().map_or(Value::Null, |fill| text(fill.record_id)),
        at(Event::Start),
        at(Event::FirstQuartile),
        at(Event::Midpoint),
        at(Event::ThirdQuartile),
        at(Event::Complete),
        at(Event::Skip),
        at(Event::Error),
        text(&worth.furthest_quartile),
        Value::Integer(worth.threshold_passed.into()),
        Value::Integer(worth.micros),
        worth.currency.as_ref().map_or(Value::Null, text),
        row.row.invalid_traffic.map_or(Value::Null, |why| text(why.as_str())),
    ]
}

/// Whether the row that stands is this one.
fn is_of(logged: &LoggedRow, standing: &StandingRow) -> bool {
    logged.row.decision_id.to_string() == standing.decision_id
        && logged.row.fill().is_some_and(|fill| {
            Some(u64::from(fill.ad_id.0)) == standing.ad_id && Some(fill.record_id.to_string()) == standing.record_id
        })
}

/// What its beacons prove, before its price is known.
fn worth(books: &Books, row: &LoggedRow) -> Option<Worth> {
    let start = books.logged.seen(row, Event::Start)?;
    let mut furthest = "start";
    for (event, name) in QUARTILES {
        if books.logged.seen(row, event).is_none() {
            break;
        }
        furthest = name;
    }
    Some(Worth {
        start_at_ms: start.at_ms,
        furthest_quartile: furthest.into(),
        threshold_passed: false,
        micros: 0,
        currency: None,
    })
}

fn priced(mut worth: Worth, record: Option<&Json>, invalid_traffic: Option<InvalidTraffic>) -> Worth {
    let Some(record) = record else { return worth };
    let place = |name: &str| QUARTILES.iter().position(|(_, quartile)| *quartile == name);
    let threshold = record["completion_threshold"].as_str().and_then(place);
    let cpm = record["cpm"]["micros"].as_i64().unwrap_or_default();
    worth.threshold_passed = threshold.is_some() && place(&worth.furthest_quartile) >= threshold;
    worth.currency = record["cpm"]["currency"].as_str().map(Into::into);
    if invalid_traffic.is_some() {
        worth.threshold_passed = false; // asked for by no viewer's player
    }
    if worth.threshold_passed && record["class"] != "house" {
        // A thousandth, half a micro up.
        worth.micros = cpm / 1_000 + i64::from(cpm % 1_000 >= 500);
    }
    worth
}

/// No event of a fill was taken after its token's death.
fn outlived(books: &Books, row: &LoggedRow, law: &mut Law) {
    let Some(fill) = row.row.fill() else { return };
    for (event, _) in QUARTILES {
        let Some(seen) = books.logged.seen(row, event) else { continue };
        if seen.received_at_ms > fill.expires_at.0.saturating_add(TOKEN_GRACE_MS) {
            let message =
                format!("{event} was taken at {}, after its token died at {}", seen.received_at_ms, fill.expires_at.0);
            law.finds("token_outlived", row.row.opportunity_id, message);
        }
    }
}

fn record(contracts: &Connection, id: &str) -> rusqlite::Result<Option<Json>> {
    let json: Option<String> = contracts
        .prepare_cached("SELECT record FROM registry WHERE record_id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    // What does not hash to its address is not it.
    let is_it = |json: &String| blake3::hash(json.as_bytes()).to_hex()[..16] == *id;
    Ok(json.filter(is_it).and_then(|json| serde_json::from_str(&json).ok()))
}
