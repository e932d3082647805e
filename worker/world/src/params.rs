//! What can be chosen of a world.

use jiff::{civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use slotkeeper_core::time::UnixMillis;

pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;

/// What is to be made. The same parameters are the same world, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// How many days (UTC), from `start` on.
    pub days: u32,
    /// How many slots exist.
    pub slots: u64,
    /// Another seed is another world.
    pub seed: u64,
    /// The first day.
    #[serde(with = "day")]
    pub start: Date,
    /// How many flights are booked.
    pub flights: u32,
    /// How many titles there are to watch.
    pub titles: u32,
    /// How many people there are to watch them.
    pub viewers: u32,
    /// Whether breaks tell what they were decided from. Without, the log is smaller, nothing is known of where and on what was
    /// watched, and no auction is asked.
    pub decisions: bool,
}

/// What it may take to count how often everybody saw everything (`truth/reach.rs`): a byte for each viewer and ad, and a flight has
/// about two ads.
const REACH_BYTES_MAX: u64 = 4 << 30;

/// A parameter out of its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {value}; it must be from {least} to {most}")]
pub struct InvalidParams {
    name: &'static str,
    value: u64,
    least: u64,
    most: u64,
}

impl Params {
    /// Whether everything is within its bounds.
    pub fn check(&self) -> Result<(), InvalidParams> {
        let reach_bytes = u64::from(self.viewers) * u64::from(self.flights) * 2;
        let bounds = [
            ("days", u64::from(self.days), 1, 366),
            ("slots", self.slots, 1, 10_000_000_000),
            ("start (year)", u64::try_from(self.start.year()).unwrap_or_default(), 1971, 8000),
            ("flights", u64::from(self.flights), u64::from(crate::script::FLIGHTS_MIN), 5_000),
            ("titles", u64::from(self.titles), 1, 100_000),
            ("viewers", u64::from(self.viewers), 100, 200_000_000),
            ("viewers × flights × 2 (bytes of memory)", reach_bytes, 1, REACH_BYTES_MAX),
        ];
        match bounds.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            Some((name, value, least, most)) => Err(InvalidParams { name, value, least, most }),
            None => Ok(()),
        }
    }

    /// The first instant.
    pub fn starts_at(&self) -> UnixMillis {
        let midnight = self.start.to_zoned(TimeZone::UTC).map(|at| at.timestamp().as_millisecond());
        UnixMillis(midnight.ok().and_then(|at| u64::try_from(at).ok()).unwrap_or_default())
    }

    /// The instant after the last.
    pub fn ends_at(&self) -> UnixMillis {
        self.starts_at().plus_ms(u64::from(self.days) * DAY_MS)
    }
}

/// A day as text.
mod day {
    use jiff::civil::Date;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(day)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
