//! How many slots there are when: by the hour of the day and the day of the week of each country.

use jiff::{Timestamp, tz::TimeZone};
use slotkeeper_core::time::UnixMillis;

use crate::{
    audience::COUNTRIES,
    dice::running_sums,
    params::{HOUR_MS, Params},
};

/// Watching by the hour of the day, from midnight.
const HOURS: [u64; 24] = [38, 22, 14, 9, 7, 8, 14, 22, 27, 29, 31, 36, 42, 42, 40, 42, 50, 62, 78, 94, 100, 98, 82, 58];
/// By the day of the week, from Monday.
const WEEKDAYS: [u64; 7] = [92, 90, 92, 95, 108, 122, 118];

/// The hours of a world.
pub(crate) struct Tide {
    /// Of each hour, the running sums of its countries' weights.
    hours: Vec<Vec<u64>>,
    /// The running sums of the hours' weights.
    sums: Vec<u64>,
    slots: u64,
}

impl Tide {
    pub(crate) fn of(params: &Params) -> Self {
        let count = u64::from(params.days) * 24;
        let hour = |hour: u64| running_sums(weights(params.starts_at().plus_ms(hour * HOUR_MS)));
        let hours: Vec<Vec<u64>> = (0..count).map(hour).collect();
        let sums = running_sums(hours.iter().map(|sums| sums.last().copied().unwrap_or_default()));
        Self { hours, sums, slots: params.slots }
    }

    /// Of hour `hour`, the running sums of the countries' weights.
    pub(crate) fn countries(&self, hour: usize) -> &[u64] {
        &self.hours[hour]
    }

    /// How many slots there have been by the end of this minute (from the world's first), of all.
    pub(crate) fn slots_by(&self, minute: u64) -> u64 {
        let (hour, within) = (usize::try_from(minute / 60).unwrap_or(usize::MAX), minute % 60 + 1);
        let before = hour.checked_sub(1).map_or(0, |before| self.sums[before]);
        let weight = u128::from(before) * 60 + u128::from(self.sums[hour] - before) * u128::from(within);
        let all = u128::from(self.sums[self.sums.len() - 1]) * 60;
        u64::try_from(u128::from(self.slots) * weight / all).unwrap_or(u64::MAX)
    }

    /// How many slots are expected in an hour.
    pub(crate) fn slots_in(&self, hour: usize) -> u64 {
        let (first, last) = (hour as u64 * 60, hour as u64 * 60 + 59);
        self.slots_by(last) - first.checked_sub(1).map_or(0, |before| self.slots_by(before))
    }
}

fn weights(at: UnixMillis) -> [u64; COUNTRIES.len()] {
    let at = Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or_default()).unwrap_or_default();
    COUNTRIES.map(|country| {
        let zone = TimeZone::get(country.zone).unwrap_or(TimeZone::UTC);
        let local = zone.to_datetime(at);
        let hour = usize::try_from(local.hour()).unwrap_or_default();
        let weekday = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
        country.share * HOURS[hour] * WEEKDAYS[weekday]
    })
}
