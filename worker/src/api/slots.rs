//! Reading slots with everything known of them: row, ad, events, impression.

use std::{fmt, path::Path, str::FromStr};

use rusqlite::{Connection, OptionalExtension as _, Row, params, types::Type};
use serde::Serialize;
use serde_json::value::RawValue;
use slotkeeper_core::{
    beacon::Event,
    id::{BreakId, OpportunityId},
    impression::{Impression, Viewability},
};

use crate::{
    clock,
    data_dir::{self, DataDir},
    fold::{STATE_COLUMNS, fill_state, read_state},
};

/// How many slots a page has when nobody says.
pub const PAGE_SLOTS_DEFAULT: usize = 50;
/// How many slots a page has at most.
pub const PAGE_SLOTS_MAX: usize = 200;

/// One slot, as the pages show it.
#[derive(Debug, Serialize)]
pub struct Slot {
    /// Its key.
    pub opportunity_id: String,
    /// Its break.
    pub break_id: String,
    /// Its place in the break.
    pub slot_index: u8,
    /// What was watched.
    pub title_id: String,
    /// Where the break stood.
    pub position: String,
    /// How long an ad could have been.
    pub max_duration_ms: u32,
    /// When it was decided.
    pub decided_at_ms: u64,
    /// `filled` or `unfilled`.
    pub outcome: String,
    /// Why it is filled.
    pub fill_reason: Option<String>,
    /// Why it is not.
    pub unfilled_reason: Option<String>,
    /// Of a filled slot: `impressed`, `released`, `expired` or `open`, when it was read.
    pub fill_state: Option<String>,
    /// What fills it.
    pub ad: Option<SlotAd>,
    /// `committed` or `uncommitted`.
    pub recording: String,
    /// How many flights were looked at.
    pub candidates: u32,
    /// Why how many of them lost.
    pub eliminated: Box<RawValue>,
    /// The plan decided from.
    pub plan_version: Option<u64>,
    /// Which edge decided.
    pub edge_id: String,
    /// What was reported of it, in the order it happened.
    pub events: Vec<SlotEvent>,
    /// Whether the ad could be seen, as its player measured; null where none said so.
    pub viewability: Option<Viewability>,
    /// VAST's code of what went wrong, if a player said one.
    pub error_code: Option<u16>,
    /// The longest that the viewer had touched nothing when any of the events happened, in seconds, if a player said so. An ad
    /// that plays hours after anybody touched anything may play to a dark screen.
    pub idle_s: Option<u32>,
    /// How far it played.
    pub furthest_quartile: Option<String>,
    /// Whether it played far enough to count; null while it has not begun.
    pub threshold_passed: Option<bool>,
    /// What it earned; null while it has not begun.
    pub recognized_revenue_micros: Option<i64>,
    /// In which currency.
    pub currency: Option<String>,
    /// How its pod was found: `exact` or `greedy`.
    pub search: String,
    /// Why it is never billed, if it was no viewer's.
    pub invalid_traffic: Option<String>,
}

/// What fills a slot.
#[derive(Debug, Serialize)]
pub struct SlotAd {
    /// The pairing of creative and flight.
    pub ad_id: u32,
    /// The ad as sold.
    pub record_id: String,
    /// Its length.
    pub duration_ms: u32,
    /// Its video.
    pub creative: Named,
    /// Its contract.
    pub flight: Named,
    /// What the contract belongs to.
    pub campaign: Named,
    /// Who pays.
    pub advertiser: Named,
}

/// Something booked, by the names it has now; without any where it was booked elsewhere.
#[derive(Debug, Serialize)]
pub struct Named {
    /// Its number.
    pub id: u32,
    /// Its id in the contracts file.
    pub slug: Option<String>,
    /// What to call it.
    pub name: Option<String>,
}

/// Something that was reported.
#[derive(Debug, Serialize)]
pub struct SlotEvent {
    /// Its VAST name.
    pub event: Event,
    /// When it was first seen.
    pub at_ms: u64,
}

/// A page of slots.
#[derive(Debug, Serialize)]
pub struct Page {
    /// Newest first; within a break, last slot first.
    pub slots: Vec<Slot>,
    /// Send it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// Where a page ends: `DECIDED_AT.BREAK.SLOT`, opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    decided_at_ms: i64,
    break_id: BreakId,
    slot_index: u8,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.decided_at_ms, self.break_id, self.slot_index)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let cursor = (|| {
            Some(Self {
                decided_at_ms: parts.next()?.parse().ok()?,
                break_id: parts.next()?.parse().ok()?,
                slot_index: parts.next()?.parse().ok()?,
            })
        })();
        cursor.filter(|_| parts.next().is_none()).ok_or("not a cursor")
    }
}

/// Reads slots from the folded tables, with names from the bookings.
pub struct SlotReader {
    db: Connection,
}

const ROW: &str = "
    o.opportunity_id, o.break_id, o.slot_index, o.title_id, o.position, o.max_duration_ms, o.decided_at_ms, o.outcome,
    o.fill_reason, o.unfilled_reason, o.recording, o.candidates, o.eliminated, o.plan_version, o.edge_id,
    i.furthest_quartile, i.threshold_passed, i.recognized_revenue_micros, i.currency,
    o.ad_id, o.record_id, o.duration_ms, o.creative_id, c.slug, c.name, o.flight_id, f.slug, f.slug,
    o.campaign_id, p.slug, p.name, o.advertiser_id, a.slug, a.name,
    o.search, o.invalid_traffic";
const SEARCH_COLUMN: usize = 34;
const FILL_STATE_COLUMN: usize = 36;
const FIRST_EVENT_COLUMN: usize = 37;
const JOINED: &str = "
    LEFT JOIN fill_states s ON s.opportunity_id = o.opportunity_id
    LEFT JOIN fct_ad_impressions i ON i.opportunity_id = o.opportunity_id
    LEFT JOIN beacon_states b
        ON b.opportunity_id = o.opportunity_id AND b.ad_id = o.ad_id AND b.record_id = o.record_id
    LEFT JOIN contracts.creatives c ON c.creative_id = o.creative_id
    LEFT JOIN contracts.flights f ON f.flight_id = o.flight_id
    LEFT JOIN contracts.campaigns p ON p.campaign_id = o.campaign_id
    LEFT JOIN contracts.advertisers a ON a.advertiser_id = o.advertiser_id";

impl SlotReader {
    /// Opens existing tables and bookings.
    pub fn open(data: &DataDir) -> rusqlite::Result<Self> {
        let db = data_dir::connect_read_only(&data.fold())?;
        attach(&db, &data.contracts())?;
        Ok(Self { db })
    }

    /// The newest `limit` slots that come after a cursor.
    pub fn page(&self, limit: usize, after: Option<&Cursor>) -> rusqlite::Result<Page> {
        let (at, break_id, index) = match after {
            Some(cursor) => (cursor.decided_at_ms, cursor.break_id.to_string(), cursor.slot_index),
            None => (i64::MAX, String::new(), 0),
        };
        let mut select = self.db.prepare_cached(&format!(
            "SELECT {ROW}, {FILL_STATE}, {STATE_COLUMNS} FROM fct_ad_opportunities o INDEXED BY opportunities_by_time {JOINED}
             WHERE (o.decided_at_ms, o.break_id, o.slot_index) < (?1, ?2, ?3)
             ORDER BY o.decided_at_ms DESC, o.break_id DESC, o.slot_index DESC LIMIT ?4",
            FILL_STATE = fill_state_or_null("?5"),
            STATE_COLUMNS = state_columns(),
        ))?;
        let slots: Vec<Slot> = select
            .query_map(params![at, break_id, index, limit + 1, clock::now().0], slot)?
            .collect::<rusqlite::Result<_>>()?;
        let mut page = Page { slots, next: None };
        if page.slots.len() > limit {
            page.slots.truncate(limit);
            page.next = page.slots.last().and_then(cursor_at).map(|cursor| cursor.to_string());
        }
        Ok(page)
    }

    /// One slot, if its row has come and stands.
    pub fn slot(&self, id: OpportunityId) -> rusqlite::Result<Option<Slot>> {
        let sql = format!(
            "SELECT {ROW}, {FILL_STATE}, {STATE_COLUMNS} FROM fct_ad_opportunities o {JOINED} WHERE o.opportunity_id = ?1",
            FILL_STATE = fill_state_or_null("?2"),
            STATE_COLUMNS = state_columns(),
        );
        self.db.prepare_cached(&sql)?.query_row(params![id.to_string(), clock::now().0], slot).optional()
    }

    /// Whether a row of this id once stood, or might have, and another stands for its slot.
    pub fn is_superseded(&self, id: OpportunityId) -> rusqlite::Result<bool> {
        self.db
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM opportunities_superseded WHERE opportunity_id = ?1)")?
            .query_row([id.to_string()], |row| row.get(0))
    }
}

pub(super) fn attach(db: &Connection, contracts: &Path) -> rusqlite::Result<()> {
    let path = contracts.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(contracts.into()))?;
    db.execute("ATTACH ?1 AS contracts", [path])?;
    Ok(())
}

fn fill_state_or_null(now: &str) -> String {
    format!("CASE WHEN s.opportunity_id IS NOT NULL THEN {} END", fill_state(now))
}

fn state_columns() -> String {
    STATE_COLUMNS.split(", ").map(|column| format!("b.{column}")).collect::<Vec<_>>().join(", ")
}

fn cursor_at(slot: &Slot) -> Option<Cursor> {
    let decided_at_ms = i64::try_from(slot.decided_at_ms).ok()?;
    Some(Cursor { decided_at_ms, break_id: slot.break_id.parse().ok()?, slot_index: slot.slot_index })
}

fn slot(row: &Row<'_>) -> rusqlite::Result<Slot> {
    let state = read_state(row, FIRST_EVENT_COLUMN)?;
    let eliminated = RawValue::from_string(row.get(12)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(12, Type::Text, Box::new(error)))?;
    Ok(Slot {
        opportunity_id: row.get(0)?,
        break_id: row.get(1)?,
        slot_index: row.get(2)?,
        title_id: row.get(3)?,
        position: row.get(4)?,
        max_duration_ms: row.get(5)?,
        decided_at_ms: row.get(6)?,
        outcome: row.get(7)?,
        fill_reason: row.get(8)?,
        unfilled_reason: row.get(9)?,
        fill_state: row.get(FILL_STATE_COLUMN)?,
        ad: ad(row)?,
        recording: row.get(10)?,
        candidates: row.get(11)?,
        eliminated,
        plan_version: row.get(13)?,
        edge_id: row.get(14)?,
        events: events(&state),
        viewability: state.viewability(),
        error_code: state.error_code(),
        idle_s: state.idle_s(),
        furthest_quartile: row.get(15)?,
        threshold_passed: row.get(16)?,
        recognized_revenue_micros: row.get(17)?,
        currency: row.get(18)?,
        search: row.get(SEARCH_COLUMN)?,
        invalid_traffic: row.get(SEARCH_COLUMN + 1)?,
    })
}

fn ad(row: &Row<'_>) -> rusqlite::Result<Option<SlotAd>> {
    let Some(ad_id) = row.get(19)? else { return Ok(None) };
    let named = |first| {
        Ok::<_, rusqlite::Error>(Named { id: row.get(first)?, slug: row.get(first + 1)?, name: row.get(first + 2)? })
    };
    Ok(Some(SlotAd {
        ad_id,
        record_id: row.get(20)?,
        duration_ms: row.get(21)?,
        creative: named(22)?,
        flight: named(25)?,
        campaign: named(28)?,
        advertiser: named(31)?,
    }))
}

fn events(state: &Impression) -> Vec<SlotEvent> {
    let seen = Event::ALL.iter().filter_map(|event| Some(SlotEvent { event: *event, at_ms: state.at(*event)?.0 }));
    let mut events: Vec<SlotEvent> = seen.collect();
    events.sort_by_key(|seen| seen.at_ms); // stable: at one instant, in the order of the vocabulary
    events
}
