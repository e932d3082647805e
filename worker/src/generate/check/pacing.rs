//! How every flight stood at the end of each day, worked out again from the script and what the world delivered.
//!
//! The formulas are those of `docs/pacing.md`, in whole numbers and by the quarter of an hour: no flight of a script begins or ends,
//! no clock changes, and no zone has its midnight, within one. Only the interval around a projection needs a square root.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use slotkeeper_world::{
    Script,
    script::{Role, ScriptedFlight},
    truth::{FlightLine, QuarterLine},
};

use super::answers::{Cell, Expected};

const QUARTER_MS: u64 = 15 * 60_000;
const HOUR_MS: u64 = 4 * QUARTER_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const WEEK_HOURS: usize = 7 * 24;
const EVEN: [u64; WEEK_HOURS] = [1_000; WEEK_HOURS];
/// Student's t of 1 to 6 degrees of freedom, four fifths of it.
const T: [f64; 6] = [3.078, 1.886, 1.638, 1.533, 1.476, 1.440];

/// Columns of `campaign_pacing_daily` beside day and flight.
const COLUMNS: [&str; 22] = [
    "time_zone",
    "as_of_ms",
    "flight_id",
    "campaign",
    "advertiser",
    "committed",
    "delivered",
    "delivered_on_day",
    "target_even",
    "target_even_of_day",
    "target_shaped",
    "target_shaped_of_day",
    "is_curve_learned",
    "pacing_index_millionths",
    "remaining_ms",
    "days_remaining",
    "required_per_day",
    "projected",
    "projected_low",
    "projected_high",
    "is_provisional",
    "alert",
];

/// A day as it was closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClosedDay {
    pub(super) day: String,
    pub(super) time_zone: String,
}

/// All that the rows follow from.
pub(super) struct Pacing<'a> {
    flights: Vec<(&'a ScriptedFlight, u32)>,
    /// When the first quarter is that anything needs to know of.
    first_ms: u64,
    /// Of each quarter, its slots.
    slots: Vec<u64>,
    /// Of each flight, what it had delivered before each quarter.
    delivered: BTreeMap<u32, Vec<u64>>,
    /// Of each zone, the hour of the week of each quarter.
    clocks: BTreeMap<&'static str, Vec<usize>>,
}

/// A row.
pub(super) struct Stood<'a> {
    flight: &'a ScriptedFlight,
    flight_id: u32,
    delivered: u64,
    delivered_on_day: u64,
    target_even: u64,
    target_even_of_day: u64,
    target_shaped: u64,
    target_shaped_of_day: u64,
    is_curve_learned: bool,
    index: Option<u64>,
    remaining_ms: u64,
    days_remaining: u64,
    required_per_day: u64,
    projected: Option<u64>,
    interval: Option<[u64; 2]>,
    alert: &'static str,
}

/// What the hours of a week weigh, summed up before each quarter.
struct Weighed {
    before: Vec<u128>,
    is_learned: bool,
}

fn timestamp(at_ms: u64) -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(at_ms).unwrap_or_default()).unwrap_or_default()
}

impl<'a> Pacing<'a> {
    pub(super) fn of(script: &'a Script, numbers: &[FlightLine], quarters: &[QuarterLine]) -> Self {
        let number = |flight: &ScriptedFlight| {
            let line = numbers.iter().find(|line| line.slug == flight.slug);
            line.map_or(0, |line| line.flight_id)
        };
        let flights = script.flights.iter().filter(|flight| flight.role != Role::House);
        let flights: Vec<_> = flights.map(|flight| (flight, number(flight))).collect();
        let first = flights.iter().map(|(flight, _)| flight.starts_at.0);
        let first_ms = first.chain(quarters.iter().map(|line| line.quarter_at_ms)).min().unwrap_or_default();
        let last = flights.iter().map(|(flight, _)| flight.ends_at.0);
        let last_ms = last.chain(quarters.iter().map(|line| line.quarter_at_ms + QUARTER_MS)).max().unwrap_or_default();
        let count = usize::try_from(last_ms.saturating_sub(first_ms).div_ceil(QUARTER_MS)).unwrap_or_default();
        let place = |at_ms: u64| usize::try_from((at_ms - first_ms) / QUARTER_MS).unwrap_or_default();
        let mut slots = vec![0; count];
        let mut delivered: BTreeMap<u32, Vec<u64>> =
            flights.iter().map(|(_, flight_id)| (*flight_id, vec![0; count + 1])).collect();
        for line in quarters {
            slots[place(line.quarter_at_ms)] = line.slots;
            for (flight_id, count) in &line.delivered {
                if let Some(of) = delivered.get_mut(flight_id) {
                    of[place(line.quarter_at_ms) + 1] = *count;
                }
            }
        }
        for of in delivered.values_mut() {
            let mut sum = 0;
            for count in of {
                sum += *count;
                *count = sum;
            }
        }
        let mut clocks = BTreeMap::new();
        for (flight, _) in &flights {
            clocks.entry(flight.zone()).or_insert_with(|| {
                let zone = TimeZone::get(flight.zone()).unwrap_or(TimeZone::UTC);
                let hour = |quarter: usize| {
                    let local = zone.to_datetime(timestamp(first_ms + quarter as u64 * QUARTER_MS));
                    let day = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
                    day * 24 + usize::try_from(local.hour()).unwrap_or_default()
                };
                (0..count).map(hour).collect()
            });
        }
        Self { flights, first_ms, slots, delivered, clocks }
    }

    /// The quarter in which an instant is; the first or the last of those there are.
    fn place(&self, at_ms: u64) -> usize {
        let place = usize::try_from(at_ms.saturating_sub(self.first_ms) / QUARTER_MS).unwrap_or_default();
        place.min(self.slots.len())
    }

    fn delivered_by(&self, flight_id: u32, at_ms: u64) -> u64 {
        self.delivered.get(&flight_id).map_or(0, |delivered| delivered[self.place(at_ms)])
    }

    /// What the hours of a zone weigh as far as was known at an instant.
    fn weighed(&self, zone: &str, as_of_ms: u64) -> Weighed {
        let clock = self.clocks.get(zone).map_or(&[][..], Vec::as_slice);
        let (weights, is_learned) = self.weights(clock, as_of_ms).map_or((EVEN, false), |weights| (weights, true));
        let mut sum = 0;
        let mut before = vec![0];
        before.extend(clock.iter().map(|hour| {
            sum += u128::from(weights[*hour]);
            sum
        }));
        Weighed { before, is_learned }
    }

    fn weights(&self, clock: &[usize], as_of_ms: u64) -> Option<[u64; WEEK_HOURS]> {
        let (from, until) = (self.place(as_of_ms.saturating_sub(28 * DAY_MS)), self.place(as_of_ms));
        let seen = |place: &usize| self.slots[*place] > 0;
        let (first, last) = ((from..until).find(seen)?, (from..until).rfind(seen)?);
        let (mut slots, mut hours) = ([0u64; WEEK_HOURS], [0u64; WEEK_HOURS]);
        for place in first..=last {
            slots[clock[place]] += self.slots[place];
            if (place - first).is_multiple_of(4) {
                hours[clock[place]] += 1;
            }
        }
        let known = hours.iter().filter(|hours| **hours > 0).count() as u64;
        if slots.iter().sum::<u64>() < 10_000 || known < WEEK_HOURS as u64 / 2 {
            return None;
        }
        let rates: Vec<u64> = slots.iter().zip(hours).map(|(slots, hours)| slots * 1_000 / hours.max(1)).collect();
        let mean = (rates.iter().sum::<u64>() / known).max(1);
        let mut weights = EVEN;
        for ((weight, rate), hours) in weights.iter_mut().zip(rates).zip(hours) {
            if hours > 0 {
                *weight = (rate * 1_000 / mean).max(50);
            }
        }
        Some(weights)
    }

    /// How every flight stood that ran on a day.
    pub(super) fn stood(&self, closed: &ClosedDay) -> Vec<Stood<'_>> {
        let Some([from_ms, until_ms]) = midnights(closed) else { return vec![] };
        let mut curves: BTreeMap<&str, Weighed> = BTreeMap::new();
        let runs = |flight: &ScriptedFlight| flight.starts_at.0 < until_ms && flight.ends_at.0 > from_ms;
        let mut rows = vec![];
        for (flight, flight_id) in self.flights.iter().filter(|(flight, _)| runs(flight)) {
            let zone = flight.zone();
            let curve = curves.entry(zone).or_insert_with(|| self.weighed(zone, until_ms));
            rows.push(self.row(flight, *flight_id, curve, [from_ms, until_ms]));
        }
        rows
    }

    fn row(&self, flight: &'a ScriptedFlight, flight_id: u32, curve: &Weighed, [from, until]: [u64; 2]) -> Stood<'a> {
        let (starts, ends) = (flight.starts_at.0, flight.ends_at.0);
        let within = |at: u64| at.clamp(starts, ends);
        let weight = |from: u64, until: u64| {
            let weight = |at| curve.before[self.place(at)];
            if from < until { weight(until) - weight(from) } else { 0 }
        };
        let shaped_by = |at: u64| share(flight.committed, weight(starts, within(at)), weight(starts, ends));
        let even_by = |at: u64| share(flight.committed, (within(at) - starts).into(), (ends - starts).into());
        let delivered = self.delivered_by(flight_id, until);
        let missing = flight.committed.saturating_sub(delivered);
        let remaining_ms = ends.saturating_sub(until.max(starts));
        let index = index(flight, delivered, [weight(starts, within(until)), weight(starts, ends)], until);
        let recent: Vec<(u64, u128)> = (0..7)
            .map(|back| [until.saturating_sub((back + 1) * DAY_MS), until - back * DAY_MS])
            .take_while(|[from, _]| *from >= starts && until < ends)
            .map(|[from, until]| {
                let delivered = self.delivered_by(flight_id, until) - self.delivered_by(flight_id, from);
                (delivered, weight(from, until))
            })
            .collect();
        let ceiling = flight.committed.max(delivered);
        let projected = project(&recent, weight(until.max(starts), ends), |further| (delivered + further).min(ceiling));
        Stood {
            flight,
            flight_id,
            delivered,
            delivered_on_day: delivered - self.delivered_by(flight_id, from),
            target_even: even_by(until),
            target_even_of_day: even_by(until) - even_by(from),
            target_shaped: shaped_by(until),
            target_shaped_of_day: shaped_by(until) - shaped_by(from),
            is_curve_learned: curve.is_learned,
            index,
            remaining_ms,
            days_remaining: days(flight, until),
            required_per_day: match remaining_ms {
                0 => 0,
                left => missing.saturating_mul(DAY_MS).div_ceil(left.max(DAY_MS)),
            },
            projected: projected.map(|(expected, _)| expected),
            interval: projected.and_then(|(_, interval)| interval),
            alert: alert(flight, delivered, index, remaining_ms, until),
        }
    }
}

/// From the midnight that begins a day to the one that ends it.
fn midnights(closed: &ClosedDay) -> Option<[u64; 2]> {
    let zone = TimeZone::get(&closed.time_zone).ok()?;
    let date: Date = closed.day.parse().ok()?;
    let midnight = |date: Date| {
        let at = date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond();
        u64::try_from(at).ok()
    };
    Some([midnight(date)?, midnight(date.tomorrow().ok()?)?])
}

/// The part of what is promised that is due, rounded half up.
fn share(committed: u64, part: u128, all: u128) -> u64 {
    let due = (2 * u128::from(committed) * part + all).checked_div(2 * all).unwrap_or_default();
    u64::try_from(due).unwrap_or(u64::MAX)
}

fn index(flight: &ScriptedFlight, delivered: u64, [part, all]: [u128; 2], now: u64) -> Option<u64> {
    let (committed, delivered) = (u128::from(flight.committed), u128::from(delivered));
    let over = |due: u128, of: u128| u64::try_from(delivered * 1_000_000 * of / (committed * due)).ok();
    if now >= flight.ends_at.0 {
        return over(1, 1);
    }
    let least = u128::from(flight.committed.div_ceil(2).min(20));
    let says_nothing = now < flight.starts_at.0 + HOUR_MS || committed * part < least * all || part == 0;
    if says_nothing { None } else { over(part, all) }
}

/// Dates of the flight's calendar that it still runs on.
fn days(flight: &ScriptedFlight, now: u64) -> u64 {
    let now = now.max(flight.starts_at.0);
    if now >= flight.ends_at.0 {
        return 0;
    }
    let zone = TimeZone::get(flight.zone()).unwrap_or(TimeZone::UTC);
    let mut date = zone.to_datetime(timestamp(now)).date();
    let last = zone.to_datetime(timestamp(flight.ends_at.0 - 1)).date();
    let mut days = 1;
    while date < last {
        date = date.tomorrow().unwrap_or(last);
        days += 1;
    }
    days
}

/// What a flight will have delivered, and the ends of the interval around that.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an interval")]
fn project(recent: &[(u64, u128)], to_come: u128, at_end: impl Fn(u64) -> u64) -> Option<(u64, Option<[u64; 2]>)> {
    let weight: u128 = recent.iter().map(|(_, weight)| weight).sum();
    let delivered: u128 = recent.iter().map(|(delivered, _)| u128::from(*delivered)).sum();
    let further = (2 * delivered * to_come + weight).checked_div(2 * weight)?;
    let expected = at_end(u64::try_from(further).unwrap_or(u64::MAX));
    let k = recent.len() as f64;
    let interval = recent.len().checked_sub(2).and_then(|place| T.get(place)).map(|t| {
        let mean = delivered as f64 / weight as f64;
        let squares: f64 =
            recent.iter().map(|(delivered, weight)| (*delivered as f64 / *weight as f64 - mean).powi(2)).sum();
        let m = (to_come as f64 * k / weight as f64).max(1.0);
        let half = t * (squares / (k - 1.0)).sqrt() * (1.0 / k + 1.0 / m).sqrt();
        [mean - half, mean + half].map(|of| at_end((of * to_come as f64).round() as u64))
    });
    Some((expected, interval))
}

/// `docs/pacing.md`, "What to do about it".
fn alert(flight: &ScriptedFlight, delivered: u64, index: Option<u64>, left_ms: u64, now: u64) -> &'static str {
    let is_full = delivered >= flight.committed;
    if now < flight.starts_at.0 {
        return "not_started";
    }
    if now >= flight.ends_at.0 {
        return if is_full { "ended_full" } else { "ended_short" };
    }
    let level = match index {
        None => return "starting",
        Some(index) if index > 1_200_000 => return "over_delivering",
        Some(_) if is_full => return "ok",
        Some(950_000..) => return "ok",
        Some(850_000..) => 0,
        Some(600_000..) => 1,
        Some(_) => 2,
    };
    let haste = if left_ms > 14 * DAY_MS {
        0
    } else if left_ms > 3 * DAY_MS {
        1
    } else {
        2
    };
    ["ok", "watch", "at_risk", "critical"][(level + haste).min(3)]
}

fn about(value: Option<u64>) -> Cell {
    value.map_or(Cell::Null, |value| Cell::About(value.into()))
}

/// The rows of a closed day, as `pacing.db` has them.
pub(super) fn rows(closed: &ClosedDay, stood: &[Stood<'_>]) -> Expected {
    let mut expected = Expected::of(&["day", "flight"], &COLUMNS);
    let as_of = midnights(closed).map_or(0, |[_, until]| until);
    for row in stood {
        let counts = [
            row.flight.committed,
            row.delivered,
            row.delivered_on_day,
            row.target_even,
            row.target_even_of_day,
            row.target_shaped,
            row.target_shaped_of_day,
            u64::from(row.is_curve_learned),
        ];
        let mut cells = vec![
            Cell::text(&closed.time_zone),
            Cell::int(as_of),
            Cell::int(row.flight_id),
            Cell::text(&row.flight.campaign),
            Cell::text(&row.flight.advertiser),
        ];
        cells.extend(counts.map(Cell::int));
        cells.push(row.index.map_or(Cell::Null, Cell::int));
        cells.extend([row.remaining_ms, row.days_remaining, row.required_per_day].map(Cell::int));
        let [low, high] = row.interval.map_or([None, None], |interval| interval.map(Some));
        cells.extend([about(row.projected), about(low), about(high), Cell::int(0), Cell::text(row.alert)]);
        expected.row(vec![closed.day.clone(), row.flight.slug.clone()], cells);
    }
    expected
}

/// The answer to `at-risk` of that day.
pub(super) fn at_risk(closed: &ClosedDay, stood: &[Stood<'_>]) -> Expected {
    let columns = [
        "campaign",
        "advertiser",
        "committed",
        "delivered",
        "missing",
        "pacing_index",
        "days_remaining",
        "delivered_on_day",
        "required_per_day",
        "projected",
        "is_provisional",
    ];
    let mut expected = Expected::of(&["day", "flight", "alert"], &columns);
    for row in stood.iter().filter(|row| ["watch", "at_risk", "critical"].contains(&row.alert)) {
        let committed = row.flight.committed;
        let cells = vec![
            Cell::text(&row.flight.campaign),
            Cell::text(&row.flight.advertiser),
            Cell::int(committed),
            Cell::int(row.delivered),
            Cell::int(committed.saturating_sub(row.delivered)),
            row.index.map_or(Cell::Null, |index| Cell::Millionths(index.into())),
            Cell::int(row.days_remaining),
            Cell::int(row.delivered_on_day),
            Cell::int(row.required_per_day),
            about(row.projected),
            Cell::Bool(false),
        ];
        expected.row(vec![closed.day.clone(), row.flight.slug.clone(), row.alert.into()], cells);
    }
    expected
}
