//! Hours: what the lake is partitioned by.

use std::fmt;

use jiff::ToSpan as _;
use slotkeeper_core::{id::OpportunityId, time::UnixMillis};

/// How long an hour is.
pub const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// An hour (UTC), named by its first millisecond. It is never after the last instant that is taken for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(u64);

impl Hour {
    /// The hour of an instant; `None` past the last that is taken for a time.
    #[must_use]
    pub fn of(at: UnixMillis) -> Option<Self> {
        (at <= UnixMillis::TAKEN_MAX).then_some(Self(at.0 - at.0 % HOUR_MS))
    }

    /// The hour in which the break of a slot opened.
    #[must_use]
    pub fn of_slot(id: OpportunityId) -> Option<Self> {
        Self::of(id.opened_at())
    }

    /// Its first instant.
    #[must_use]
    pub fn begin(self) -> UnixMillis {
        UnixMillis(self.0)
    }

    /// The first instant after it.
    #[must_use]
    pub fn end(self) -> UnixMillis {
        UnixMillis(self.0 + HOUR_MS)
    }

    /// The folder of its files below a table's.
    #[must_use]
    pub fn folder(self) -> String {
        format!("date={}/hour={:02}", self.date(), self.hour_of_day())
    }

    fn date(self) -> jiff::civil::Date {
        let days = i64::try_from(self.0 / DAY_MS).unwrap_or(i64::MAX);
        jiff::civil::date(1970, 1, 1).saturating_add(days.days())
    }

    fn hour_of_day(self) -> u64 {
        self.0 % DAY_MS / HOUR_MS
    }
}

/// As `2026-11-22T17Z`.
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{:02}Z", self.date(), self.hour_of_day())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_a_folder_and_there_is_none_past_the_end_of_time() {
        let hour = Hour::of(UnixMillis(1_795_000_000_000)).unwrap();
        assert_eq!(hour.begin().0 % HOUR_MS, 0);
        assert_eq!(hour.folder(), "date=2026-11-18/hour=11");
        assert_eq!(hour.to_string(), "2026-11-18T11Z");
        assert_eq!(Hour::of(UnixMillis(0)).unwrap().folder(), "date=1970-01-01/hour=00");
        assert_eq!(Hour::of(UnixMillis::TAKEN_MAX).unwrap().folder(), "date=9999-12-31/hour=23");
        assert_eq!(Hour::of(UnixMillis::TAKEN_MAX.plus_ms(1)), None);
    }
}
