//! Law 6, its ground: what was reported of each ad is in the tables as it was logged, each event at its earliest time; and
//! what clients said they lost, at its most.

use std::collections::HashSet;

use rusqlite::types::Value;
use slotkeeper_core::beacon::Event;

use super::{
    Books, Law,
    logged::{Logged, Token},
    tables::{Cells, differences, number, text},
};

const COLUMNS: usize = 24;

/// The columns of what was reported.
pub(super) const REPORTED: [&str; COLUMNS] = [
    "opportunity_id",
    "ad_id",
    "record_id",
    "start_at_ms",
    "first_quartile_at_ms",
    "midpoint_at_ms",
    "third_quartile_at_ms",
    "complete_at_ms",
    "pause_at_ms",
    "resume_at_ms",
    "mute_at_ms",
    "unmute_at_ms",
    "skip_at_ms",
    "error_at_ms",
    "not_used_at_ms",
    "click_through_at_ms",
    "player_expand_at_ms",
    "player_collapse_at_ms",
    "viewable_at_ms",
    "not_viewable_at_ms",
    "view_undetermined_at_ms",
    "idle_s",
    "error_code",
    "invalid_events",
];

pub(super) fn check(books: &Books, law: &mut Law) {
    let logged = &books.logged;
    let key = |(slot, ad, record): &Token| format!("{slot}/{ad}/{record}");
    let tokens: HashSet<&Token> = logged.events.keys().chain(logged.said.keys()).collect();
    let mut missing: HashSet<String> = tokens.iter().copied().map(key).collect();
    let should = tokens.iter().map(|token| (key(token), as_stored(logged, token)));
    let should: std::collections::HashMap<String, Cells<COLUMNS>> = should.collect();
    for row in &books.tables.reported {
        let [Value::Text(slot), Value::Integer(ad), Value::Text(record), ..] = row else {
            law.finds("report_altered", format!("{:?}", row[0]), "its key is not of the schema");
            continue;
        };
        let key = format!("{slot}/{ad}/{record}");
        missing.remove(&key);
        match should.get(&key) {
            None => law.finds("report_invented", slot, format!("nothing of ad {ad} is in the log")),
            Some(should) if row != should => {
                law.finds("report_altered", slot, differences(&REPORTED, row, should).join("; "));
            }
            Some(_) => {}
        }
    }
    for key in missing {
        law.finds("report_lost", key, "what was reported of it is not in the tables");
    }
    let [is, should] = [&books.tables.losses, &logged.losses];
    for session in is.keys().chain(should.keys().filter(|session| !is.contains_key(*session))) {
        let [is, should] = [is, should].map(|losses| losses.get(session).copied().unwrap_or_default());
        if is != should {
            law.finds("loss_differs", session, format!("it lost {is} beacons; by the log {should}"));
        }
    }
}

fn as_stored(logged: &Logged, token: &Token) -> Cells<COLUMNS> {
    let at =
        |event: Event| number(logged.events.get(token).and_then(|events| events.get(&event)).map(|seen| seen.at_ms));
    let said = logged.said.get(token).copied().unwrap_or_default();
    let (slot, ad, record) = token;
    [
        text(slot),
        number(u64::from(ad.0)),
        text(record),
        at(Event::Start),
        at(Event::FirstQuartile),
        at(Event::Midpoint),
        at(Event::ThirdQuartile),
        at(Event::Complete),
        at(Event::Pause),
        at(Event::Resume),
        at(Event::Mute),
        at(Event::Unmute),
        at(Event::Skip),
        at(Event::Error),
        at(Event::NotUsed),
        at(Event::ClickThrough),
        at(Event::PlayerExpand),
        at(Event::PlayerCollapse),
        at(Event::Viewable),
        at(Event::NotViewable),
        at(Event::ViewUndetermined),
        number(said.idle_s.map(u64::from)),
        number(said.error_code.map(u64::from)),
        number(said.by_crawlers),
    ]
}
