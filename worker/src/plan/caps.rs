//! From caps as booked to caps as an edge counts them. An edge knows no time zones: when the windows of a calendar begin is
//! computed here, for as long as the plan is valid.

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use slotkeeper_core::{
    caps::{CALENDAR_TURNS, Calendar, Cap, CapScope, Turn, Window},
    time::UnixMillis,
};

use crate::contracts::{Frequency, Per, Unit};

const DAY_MS: u64 = 24 * 3_600_000;
/// How much longer than its days of 24 hours a window may be because clocks were set back in it. The most that a zone did at
/// once since 1970 is 7 hours (Antarctica/Vostok, 1994).
const SET_BACK_MS_MAX: u64 = 8 * 3_600_000;

/// The caps that `frequency` means for what caps see as `own`, in a plan that is valid from the first of `validity` until
/// the other.
pub(super) fn caps(frequency: &Frequency, own: CapScope, validity: (UnixMillis, UnixMillis)) -> Vec<Cap> {
    let zone = frequency.zone();
    let booked = frequency.caps.iter().map(|cap| Cap {
        scope: cap.scope,
        limit: cap.limit,
        window: match cap.per {
            Per::Break => Window::Break,
            Per::Session => Window::Session,
            Per::Flight => Window::Lifetime,
            Per::Rolling(rolling) => Window::Rolling { ms: rolling.ms },
            Per::Calendar { unit, count } => Window::Calendar(calendar(unit, count, &zone, validity)),
        },
    });
    let gap = frequency.min_gap.map(|gap| Cap { scope: own, limit: 1, window: Window::Rolling { ms: gap.ms } });
    booked.chain(gap).collect()
}

/// When the windows of `count` units begin that are current at some moment of the validity. Should there be more than a
/// plan holds, the last of them stays current for longer than it is: too much is counted, never too little.
pub(super) fn calendar(
    unit: Unit,
    count: u32,
    zone: &TimeZone,
    (valid_from, valid_until): (UnixMillis, UnixMillis),
) -> Calendar {
    let mut unit_begins = first_day(unit, zone.to_datetime(timestamp(valid_from)).date());
    let mut turns: Vec<Turn> = Vec::with_capacity(CALENDAR_TURNS);
    while turns.len() < CALENDAR_TURNS {
        let from = midnight(unit_begins, zone);
        if !turns.is_empty() && from >= valid_until {
            break;
        }
        let began_at = midnight(back(unit, count - 1, unit_begins), zone);
        turns.push(Turn { from, began_at });
        unit_begins = next(unit, unit_begins);
    }
    let last = *turns.last().unwrap_or_else(|| unreachable!("the current window is always pushed"));
    turns.resize(CALENDAR_TURNS, last);
    let longest_ms = u64::from(count) * unit.days_max() * DAY_MS + SET_BACK_MS_MAX;
    Calendar { turns: std::array::from_fn(|at| turns[at]), longest_ms }
}

/// The day on which the unit begins that `day` is in.
fn first_day(unit: Unit, day: Date) -> Date {
    match unit {
        Unit::Day => day,
        Unit::Week => day.saturating_sub(i64::from(day.weekday().to_monday_zero_offset()).days()),
        Unit::Month => day.first_of_month(),
    }
}

fn next(unit: Unit, day: Date) -> Date {
    match unit {
        Unit::Day => day.saturating_add(1.day()),
        Unit::Week => day.saturating_add(1.week()),
        Unit::Month => day.saturating_add(1.month()),
    }
}

fn back(unit: Unit, count: u32, day: Date) -> Date {
    let count = i64::from(count);
    match unit {
        Unit::Day => day.saturating_sub(count.days()),
        Unit::Week => day.saturating_sub(count.weeks()),
        Unit::Month => day.saturating_sub(count.months()),
    }
}

/// The first instant of a day: midnight, or where the clocks jump over it, when they do.
fn midnight(day: Date, zone: &TimeZone) -> UnixMillis {
    let instant = zone.to_ambiguous_zoned(day.at(0, 0, 0, 0)).compatible().map(|zoned| zoned.timestamp());
    let millis = instant.map_or(0, Timestamp::as_millisecond);
    UnixMillis(u64::try_from(millis).unwrap_or(0))
}

fn timestamp(at: UnixMillis) -> Timestamp {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
