//! How often something may be shown, in the words of a contracts file.
//!
//! Advertisers, campaigns, flights and creatives each have a [`Frequency`]. An ad is under all four at once.

use std::{fmt, str::FromStr};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use slotkeeper_core::caps::CapScope;

pub(super) const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// The longest window, in days: rolling ones and calendar ones alike.
const DAYS_MAX: u64 = 366;

/// What is booked on one advertiser, campaign, flight or creative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frequency {
    /// All hold at once.
    pub caps: Vec<BookedCap>,
    /// The least time between two showings of what this is booked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_gap: Option<Rolling>,
    /// Where the days, weeks and months of these caps begin: an IANA time zone.
    pub time_zone: String,
}

impl Default for Frequency {
    fn default() -> Self {
        Self { caps: vec![], min_gap: None, time_zone: UTC.into() }
    }
}

/// The time zone of those that name none.
pub(super) const UTC: &str = "UTC";

impl Frequency {
    /// How many caps of the plan it takes.
    pub fn count(&self) -> usize {
        self.caps.len() + usize::from(self.min_gap.is_some())
    }

    /// Whether any of it counts from a flight's start to its end.
    pub fn counts_lifetime(&self) -> bool {
        self.caps.iter().any(|cap| cap.per == Per::Flight)
    }

    /// The zone; UTC where the name is one that this build does not know.
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC)
    }
}

/// At most `limit` showings of `scope` in the time `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookedCap {
    /// What is counted.
    pub scope: CapScope,
    /// How many are allowed.
    pub limit: u32,
    /// Over which time.
    pub per: Per,
}

/// Over which time a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// `break`: within one break.
    Break,
    /// `session`: within one viewing session, as the player names it.
    Session,
    /// `flight`: from the flight's start to its end.
    Flight,
    /// `30m`, `1h`, `7d`: within the last so many minutes, hours or days of 24 hours.
    Rolling(Rolling),
    /// `day`, `3 days`: within the calendar's day, or that many days, today's the last of them.
    Calendar {
        /// Days, weeks or months.
        unit: Unit,
        /// How many, from 1.
        count: u32,
    },
}

/// A length of time, whole minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rolling {
    /// In milliseconds.
    pub ms: u64,
}

/// A part of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// From midnight.
    Day,
    /// From Monday's midnight, as in ISO 8601.
    Week,
    /// From the first of the month.
    Month,
}

impl Unit {
    const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// No unit is longer, in days of 24 hours, leaving aside what clocks are set back within it.
    pub(crate) fn days_max(self) -> u64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
        }
    }

    /// The most of them that one window spans: a year.
    fn count_max(self) -> u32 {
        match self {
            Self::Day => 366,
            Self::Week => 52,
            Self::Month => 12,
        }
    }
}

/// What was given is no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWindow {
    /// Nor any of the words.
    #[error(
        "must be \"break\", \"session\", \"flight\", a calendar window (\"day\", \"week\", \"month\", or several up to now such as \
         \"3 days\", \"2 weeks\"), or a rolling one (minutes, hours or days of 24 hours up to {DAYS_MAX}d, such as \"30m\", \
         \"36h\", \"7d\"); \"1d\" is the last 24 hours, \"day\" is since midnight"
    )]
    Per,
    /// Nor a length of time.
    #[error("must be minutes, hours or days of 24 hours up to {DAYS_MAX}d, such as \"45m\", \"2h\"")]
    Rolling,
}

impl FromStr for Rolling {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(NoWindow::Rolling)?;
        let unit_ms = match unit {
            "m" => MINUTE_MS,
            "h" => HOUR_MS,
            "d" => DAY_MS,
            _ => return Err(NoWindow::Rolling),
        };
        number(digits)
            .and_then(|count| count.checked_mul(unit_ms))
            .filter(|ms| (1..=DAYS_MAX * DAY_MS).contains(ms))
            .map(|ms| Self { ms })
            .ok_or(NoWindow::Rolling)
    }
}

impl fmt::Display for Rolling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ms {
            ms if ms % DAY_MS == 0 => write!(f, "{}d", ms / DAY_MS),
            ms if ms % HOUR_MS == 0 => write!(f, "{}h", ms / HOUR_MS),
            ms => write!(f, "{}m", ms / MINUTE_MS),
        }
    }
}

impl FromStr for Per {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        match text {
            "break" => return Ok(Self::Break),
            "session" => return Ok(Self::Session),
            "flight" => return Ok(Self::Flight),
            _ => {}
        }
        let calendar = Unit::ALL.into_iter().find_map(|unit| {
            if text == unit.name() {
                return Some(Self::Calendar { unit, count: 1 });
            }
            let count = text.strip_suffix('s')?.strip_suffix(unit.name())?.strip_suffix(' ')?;
            let count = u32::try_from(number(count)?).ok().filter(|count| (2..=unit.count_max()).contains(count))?;
            Some(Self::Calendar { unit, count })
        });
        let rolling = || text.parse().map(Self::Rolling).map_err(|_| NoWindow::Per);
        calendar.map_or_else(rolling, Ok)
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Break => f.write_str("break"),
            Self::Session => f.write_str("session"),
            Self::Flight => f.write_str("flight"),
            Self::Rolling(rolling) => rolling.fmt(f),
            Self::Calendar { unit, count: 1 } => f.write_str(unit.name()),
            Self::Calendar { unit, count } => write!(f, "{count} {}s", unit.name()),
        }
    }
}

/// Digits only: `parse` would take a plus sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
pub(super) use as_text;
as_text!(Per Rolling);

/// A scope's name in files and on screen.
pub fn scope_name(scope: CapScope) -> &'static str {
    match scope {
        CapScope::Creative => "creative",
        CapScope::Flight => "flight",
        CapScope::Campaign => "campaign",
        CapScope::Advertiser => "advertiser",
    }
}

impl fmt::Display for BookedCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", scope_name(self.scope), self.limit, self.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_written_as_it_is_read() {
        let canonical = [
            "break",
            "session",
            "flight",
            "30m",
            "90m",
            "1h",
            "36h",
            "1d",
            "7d",
            "366d",
            "day",
            "3 days",
            "366 days",
            "week",
            "2 weeks",
            "52 weeks",
            "month",
            "12 months",
        ];
        for text in canonical {
            assert_eq!(text.parse::<Per>().unwrap().to_string(), text);
        }
        assert_eq!("24h".parse::<Per>().unwrap(), "1d".parse().unwrap(), "a rolling day has 24 hours");
        assert_ne!("day".parse::<Per>().unwrap(), "1d".parse().unwrap(), "a calendar day does not");
    }

    #[test]
    fn what_is_no_window_is_refused() {
        let odd = [
            "0h",
            "367d",
            "h",
            "",
            "-1d",
            "+1d",
            "1",
            "99999999999999999999d",
            "1µ",
            "1w",
            "1 day",
            "1 days",
            "0 days",
            "367 days",
            "53 weeks",
            "13 months",
            "2days",
            "2  days",
            "days",
            "2 day",
            "+2 days",
            "Day",
            "lifetime",
        ];
        for text in odd {
            assert_eq!(text.parse::<Per>(), Err(NoWindow::Per), "{text:?}");
        }
        for text in ["day", "flight", "0m", "µ"] {
            assert_eq!(text.parse::<Rolling>(), Err(NoWindow::Rolling), "{text:?}");
        }
    }
}
