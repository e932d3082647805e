//! The delivery curve: how much of a week's slots each hour of it has.
//!
//! A flight that keeps its promise delivers when people watch: more on a Sunday evening than on a Tuesday at four. The curve is
//! learned from the slots there were, so that what is expected by now follows the audience and not the clock.

use jiff::tz::TimeZone;
use slotkeeper_core::time::UnixMillis;

use crate::{deliveries::SlotQuarter, flight::Span};

/// How long a history the curve is learned from: four weeks, so that every weekday counts alike.
pub const LEARNED_FROM_MS: u64 = 28 * 24 * HOUR_MS;

const HOUR_MS: u64 = 3_600_000;
const WEEK_HOURS: usize = 7 * 24;
const WEEK_MS: u64 = 7 * 24 * HOUR_MS;
/// The first of January 1970 was a Thursday; weeks here begin on Mondays.
const EPOCH_SINCE_MONDAY_MS: u64 = 3 * 24 * HOUR_MS;
/// What a mean hour weighs.
const MEAN: u64 = 1_000;
/// The least that an hour weighs: a twentieth of the mean. An hour in which nobody watched four times may have viewers the fifth.
const LEAST: u64 = MEAN / 20;
/// Fewer slots than these say nothing about the shape of a week.
const SLOTS_MIN: u64 = 10_000;
/// Of how many of the week's hours something must be known.
const HOURS_SEEN_MIN: usize = WEEK_HOURS / 2;

/// What each hour of a week weighs, in the time of one zone; on the mean about 1,000, never 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
    zone: TimeZone,
    weights: [u64; WEEK_HOURS],
    is_learned: bool,
}

impl Curve {
    /// Every hour weighs the same.
    #[must_use]
    pub fn even(zone: TimeZone) -> Self {
        Self { zone, weights: [MEAN; WEEK_HOURS], is_learned: false }
    }

    /// Learned from the slots of the last weeks, in the order of time: an hour of the week weighs its mean number of slots,
    /// over the mean of all hours; but never less than a twentieth of that. Hours of the week that the history has not seen
    /// weigh the mean. Even, where the history has fewer than 10,000 slots or less than half of a week.
    #[must_use]
    pub fn learned(zone: TimeZone, history: &[SlotQuarter]) -> Self {
        let (Some(first), Some(last)) = (history.first(), history.last()) else { return Self::even(zone) };
        let mut slots = [0_u64; WEEK_HOURS];
        let mut hours = [0_u64; WEEK_HOURS];
        for quarter in history {
            let hour = hour_of_week(quarter.at, offset_ms(&zone, quarter.at));
            slots[hour] = slots[hour].saturating_add(quarter.slots);
        }
        let mut at = first.at;
        while at <= last.at {
            hours[hour_of_week(at, offset_ms(&zone, at))] += 1;
            at = at.plus_ms(HOUR_MS);
        }
        let seen = hours.iter().filter(|hours| **hours > 0).count();
        let total: u128 = slots.iter().map(|slots| u128::from(*slots)).sum();
        if seen < HOURS_SEEN_MIN || total < u128::from(SLOTS_MIN) {
            return Self::even(zone);
        }
        let rate = |hour: usize| u128::from(slots[hour]) * u128::from(MEAN) / u128::from(hours[hour].max(1));
        let mean = ((0..WEEK_HOURS).map(rate).sum::<u128>() / seen as u128).max(1);
        let weight = |hour: usize| match hours[hour] {
            0 => MEAN,
            _ => u64::try_from(rate(hour) * u128::from(MEAN) / mean).unwrap_or(u64::MAX).max(LEAST),
        };
        Self { zone, weights: std::array::from_fn(weight), is_learned: true }
    }

    /// Whether the history was long enough to learn from.
    #[must_use]
    pub fn is_learned(&self) -> bool {
        self.is_learned
    }

    /// What the hour of this instant weighs; 1,000 is a mean hour.
    #[must_use]
    pub fn weight_at(&self, at: UnixMillis) -> u64 {
        self.weights[hour_of_week(at, offset_ms(&self.zone, at))]
    }

    /// What the time of a span weighs: the sum over its milliseconds.
    ///
    /// Between two changes of the zone's clock the week is periodic, so this costs as much as the span has such changes.
    #[must_use]
    pub fn weight_of(&self, span: Span) -> u128 {
        let mut weight = 0;
        let mut from = span.from;
        while from < span.until {
            let until = self.next_change(from).map_or(span.until, |change| change.min(span.until));
            let offset = offset_ms(&self.zone, from);
            weight += self.weight_up_to(local(until, offset)) - self.weight_up_to(local(from, offset));
            from = until;
        }
        weight
    }

    /// What the time from the Monday before the epoch up to a local instant weighs.
    fn weight_up_to(&self, local_ms: u64) -> u128 {
        let of = |hours: &[u64]| hours.iter().map(|weight| u128::from(*weight) * u128::from(HOUR_MS)).sum::<u128>();
        let in_week = local_ms % WEEK_MS;
        let hour = usize::try_from(in_week / HOUR_MS).unwrap_or_default();
        u128::from(local_ms / WEEK_MS) * of(&self.weights)
            + of(&self.weights[..hour])
            + u128::from(self.weights[hour]) * u128::from(in_week % HOUR_MS)
    }

    /// When the zone's clock is put forward or back next.
    fn next_change(&self, after: UnixMillis) -> Option<UnixMillis> {
        let change = self.zone.following(timestamp(after)).next()?;
        u64::try_from(change.timestamp().as_millisecond()).ok().map(UnixMillis)
    }
}

/// An instant as the calendar library has it; past the year 9999 its last.
pub(crate) fn timestamp(at: UnixMillis) -> jiff::Timestamp {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

fn offset_ms(zone: &TimeZone, at: UnixMillis) -> i64 {
    i64::from(zone.to_offset(timestamp(at)).seconds()) * 1_000
}

/// Milliseconds on the local clock since the Monday before the epoch.
fn local(at: UnixMillis, offset_ms: i64) -> u64 {
    (at.0 + EPOCH_SINCE_MONDAY_MS).saturating_add_signed(offset_ms)
}

fn hour_of_week(at: UnixMillis, offset_ms: i64) -> usize {
    usize::try_from(local(at, offset_ms) % WEEK_MS / HOUR_MS).unwrap_or_default()
}
