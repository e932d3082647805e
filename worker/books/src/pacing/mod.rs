//! Whether a flight keeps its promise: what it delivered, what it should have by now, and where it will end.
//!
//! Pure: a flight, what it delivered, a curve and an instant in; numbers out. `docs/pacing.md` says each formula in words.

mod alert;
pub mod curve;
pub mod daily;
mod projection;
pub mod store;
#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;

use slotkeeper_core::time::UnixMillis;

pub use alert::Alert;
pub use curve::Curve;
pub use projection::{Projection, RECENT_DAYS};

use crate::flight::{Flight, Span};

/// A day of 24 hours, which is what rates per day are per.
pub const DAY_MS: u64 = 24 * 3_600_000;
/// How long a flight must have run before its pacing index says anything.
pub const INDEX_AFTER_MS: u64 = 3_600_000;
/// How many impressions must be expected by now before the pacing index says anything; of a flight that promises fewer than
/// twice as many, half of what it promises.
pub const INDEX_EXPECTED_MIN: u64 = 20;
/// The index that is exactly on track.
pub const ON_TRACK_MILLIONTHS: u64 = 1_000_000;

/// What a flight delivered, as far as pacing asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Up to the instant.
    pub total: u64,
    /// In each of the whole days (24 hours) before the instant that lie within the flight, the nearest first; at most
    /// [`RECENT_DAYS`].
    pub recent_days: Vec<u64>,
}

/// How a flight stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// As of when.
    pub as_of: UnixMillis,
    /// What it delivered.
    pub delivered: u64,
    /// What it would have by now if it delivered the same in every hour.
    pub target_even: u64,
    /// What it should have by now, following the audience.
    pub target_shaped: u64,
    /// Delivered over what it should have by now, in millionths, rounded down: 1,000,000 is on track. `None` while it says
    /// nothing: before the flight, in its first hour, and while next to nothing is expected.
    pub index_millionths: Option<u64>,
    /// How much of the flight is still to come.
    pub remaining_ms: u64,
    /// How many days of its own calendar it still runs on, the present one included.
    pub days_remaining: u32,
    /// The daily rate that delivers the rest in time, rounded up. With less than a day left, all that is left.
    pub required_per_day: u64,
    /// Where it will end; `None` while it has not run for a day, and when it is over.
    pub projection: Option<Projection>,
    /// What to do about it.
    pub alert: Alert,
}

/// How `flight` stands at `now`.
#[must_use]
pub fn pace(flight: &Flight, delivered: &Delivered, curve: &Curve, now: UnixMillis) -> Pace {
    let now_within = now.clamp(flight.starts_at, flight.ends_at);
    let so_far = Span { from: flight.starts_at, until: now_within };
    let to_come = Span { from: now_within, until: flight.ends_at };
    let shaped = Shares::of(flight, so_far, to_come, curve);
    let even = Shares::of(flight, so_far, to_come, &Curve::even(flight.time_zone.clone()));
    let missing = flight.committed.saturating_sub(delivered.total);
    let remaining_ms = flight.ends_at.since_ms(now.max(flight.starts_at));
    let index_millionths = index(flight, delivered.total, &shaped, now);
    let days_remaining = calendar_days(flight, to_come);
    Pace {
        as_of: now,
        delivered: delivered.total,
        target_even: even.target(flight.committed),
        target_shaped: shaped.target(flight.committed),
        index_millionths,
        remaining_ms,
        days_remaining,
        required_per_day: required_per_day(missing, remaining_ms),
        projection: projection::project(flight, delivered, curve, now),
        alert: alert::of(flight, delivered.total, index_millionths, remaining_ms, now),
    }
}

/// What the flight's time up to now and its time to come weigh.
struct Shares {
    so_far: u128,
    to_come: u128,
}

impl Shares {
    fn of(flight: &Flight, so_far: Span, to_come: Span, curve: &Curve) -> Self {
        Self { so_far: active_weight(flight, so_far, curve), to_come: active_weight(flight, to_come, curve) }
    }

    /// The part of `committed` that is due by now, rounded half up. A flight that agreed to rest all of its time is due at its
    /// end, not before.
    fn target(&self, committed: u64) -> u64 {
        let all = self.so_far + self.to_come;
        let due = (u128::from(committed) * self.so_far + all / 2).checked_div(all);
        due.map_or(0, |due| u64::try_from(due).unwrap_or(u64::MAX))
    }
}

/// What the part of a span weighs in which the flight does not rest.
pub(crate) fn active_weight(flight: &Flight, span: Span, curve: &Curve) -> u128 {
    let resting: u128 = flight.paused.iter().map(|pause| curve.weight_of(pause.and(span))).sum();
    curve.weight_of(span).saturating_sub(resting)
}

fn index(flight: &Flight, delivered: u64, shares: &Shares, now: UnixMillis) -> Option<u64> {
    let ended = now >= flight.ends_at;
    let all = shares.so_far + shares.to_come;
    let (due, out_of) = if ended { (1, 1) } else { (shares.so_far, all) };
    let least = INDEX_EXPECTED_MIN.min(flight.committed.div_ceil(2));
    let expects_enough = u128::from(flight.committed) * due >= u128::from(least) * out_of;
    let says_something = ended || (now.since_ms(flight.starts_at) >= INDEX_AFTER_MS && expects_enough);
    if !says_something || flight.committed == 0 || due == 0 {
        return None;
    }
    // delivered / (committed * due / out_of), not from the rounded target. Weights of ten years are below 2^52, impressions
    // below 2^40: what saturates is nonsense.
    let index = u128::from(delivered).saturating_mul(ON_TRACK_MILLIONTHS.into()).saturating_mul(out_of)
        / u128::from(flight.committed).saturating_mul(due);
    Some(u64::try_from(index).unwrap_or(u64::MAX))
}

/// The rate that delivers `missing` in `remaining_ms`, per day, rounded up; at most `missing`, as with an hour left the rest of
/// a day's promise is no rate of twenty-four days' worth.
fn required_per_day(missing: u64, remaining_ms: u64) -> u64 {
    if remaining_ms == 0 {
        return 0;
    }
    let per_day = (u128::from(missing) * u128::from(DAY_MS)).div_ceil(u128::from(remaining_ms.max(DAY_MS)));
    u64::try_from(per_day).unwrap_or(u64::MAX)
}

/// How many days of the flight's calendar a span touches.
fn calendar_days(flight: &Flight, span: Span) -> u32 {
    if span.from >= span.until {
        return 0;
    }
    let date = |at: UnixMillis| curve::timestamp(at).to_zoned(flight.time_zone.clone()).date();
    let days = (date(span.until.minus_ms(1)) - date(span.from)).get_days();
    u32::try_from(days).unwrap_or_default() + 1
}
