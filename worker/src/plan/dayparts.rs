//! From dayparts as booked to spans of time as an edge reads them. An edge knows no time zones: when a flight airs is
//! computed here, for as long as the plan is valid.

use jiff::{Timestamp, tz::TimeZone};
use slotkeeper_core::{plan::Span, time::UnixMillis};

use crate::contracts::{Day, Daypart};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The spans in which the clocks of `zone` show a time that is in one of the dayparts, in order and apart: those from the
/// first of `validity` until the other, and what else of them is in the days (UTC's) that these two instants are in. So
/// the spans stay the same from plan to plan for as long as these days do, and what plans share is kept once.
///
/// An hour that clocks skip is in no daypart, and one that they show twice is in a daypart twice.
pub(super) fn airs(dayparts: &[Daypart], zone: &TimeZone, validity: (UnixMillis, UnixMillis)) -> Vec<Span> {
    let first = millis(validity.0).div_euclid(DAY_MS) * DAY_MS;
    let end = (millis(validity.1).saturating_add(DAY_MS - 1)).div_euclid(DAY_MS).saturating_mul(DAY_MS);
    let mut spans = Vec::new();
    for clock in steady_clocks(zone, first, end) {
        spans.extend(dayparts.iter().flat_map(|daypart| clock.spans(daypart)));
    }
    merged(spans)
}

/// A time in which the clocks of a zone are not set, all in milliseconds.
struct SteadyClock {
    from: i64,
    until: i64,
    /// What the clocks show beyond UTC.
    ahead: i64,
}

/// The time from `from` to before `end`, cut wherever the clocks of `zone` are set.
fn steady_clocks(zone: &TimeZone, mut from: i64, end: i64) -> Vec<SteadyClock> {
    let mut clocks = Vec::new();
    while from < end {
        let Ok(begins) = Timestamp::from_millisecond(from) else { break };
        let set_at = zone.following(begins).next().map_or(i64::MAX, |set| set.timestamp().as_millisecond());
        let until = set_at.min(end);
        let ahead = i64::from(zone.to_offset(begins).seconds()) * 1_000;
        clocks.push(SteadyClock { from, until, ahead });
        from = until;
    }
    clocks
}

impl SteadyClock {
    /// When these clocks show a time that is in the daypart.
    fn spans(&self, daypart: &Daypart) -> impl Iterator<Item = (i64, i64)> {
        let (first, last) = daypart.minutes();
        let day_of = |instant: i64| (instant + self.ahead).div_euclid(DAY_MS);
        // A daypart may go on past midnight, so that of the day before counts too.
        (day_of(self.from) - 1..=day_of(self.until)).filter(|day| daypart.days.contains(&weekday(*day))).filter_map(
            move |day| {
                let midnight = day * DAY_MS - self.ahead;
                let from = (midnight + i64::from(first) * MINUTE_MS).max(self.from);
                let until = (midnight + i64::from(last) * MINUTE_MS).min(self.until);
                (from < until).then_some((from, until))
            },
        )
    }
}

/// The weekday of a day counted from 1 January 1970, a Thursday.
fn weekday(day: i64) -> Day {
    let since_monday = usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0);
    Day::ALL[since_monday]
}

/// The same time in as few spans as can be, in order.
fn merged(mut spans: Vec<(i64, i64)>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
    for (from, until) in spans {
        match merged.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(until),
            None => merged.push((from, until)),
        }
    }
    let instant = |ms: i64| UnixMillis(u64::try_from(ms).unwrap_or(0));
    merged.into_iter().map(|(from, until)| Span { from: instant(from), until: instant(until) }).collect()
}

fn millis(at: UnixMillis) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
