//! At which hours a flight airs, in the words of a contracts file.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{fields::Fields, frequency::as_text, values};

/// The most dayparts of one flight. With as many, the spans that they make in a plan's validity stay far below the 256 that
/// a plan holds of one flight.
const DAYPARTS_MAX: usize = 32;
const MINUTES_PER_DAY: u16 = 24 * 60;

/// A part of some days of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daypart {
    /// The days on which it begins, in the order of the week; at least one.
    pub days: Vec<Day>,
    /// The first minute.
    pub from: TimeOfDay,
    /// The minute after the last. Not after `from`: it is the next day's.
    pub until: TimeOfDay,
}

impl Daypart {
    /// From when until when it is, in minutes since the midnight of the day on which it begins.
    pub(crate) fn minutes(&self) -> (u16, u16) {
        let past_midnight = if self.until > self.from { 0 } else { MINUTES_PER_DAY };
        (self.from.minutes, self.until.minutes + past_midnight)
    }
}

/// `mon tue 18:00-23:30`; the days are left out when it is every day.
impl fmt::Display for Daypart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days.len() < Day::ALL.len() {
            self.days.iter().try_for_each(|day| write!(f, "{} ", day.as_str()))?;
        }
        write!(f, "{}-{}", self.from, self.until)
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday, the first of the week as in ISO 8601.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// Every day, in order.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// Its name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

/// What a clock on the wall shows, or `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// Since midnight; at most a day's.
    pub minutes: u16,
}

/// What was given is no time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a time of day from \"00:00\" to \"24:00\", such as \"18:30\"")]
pub struct NoTimeOfDay;

impl TimeOfDay {
    /// The end of a day, when nothing begins.
    pub(super) const DAYS_END: Self = Self { minutes: MINUTES_PER_DAY };
}

impl FromStr for TimeOfDay {
    type Err = NoTimeOfDay;

    fn from_str(text: &str) -> Result<Self, NoTimeOfDay> {
        let two_digits = |part: &str| -> Option<u16> {
            (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok()).flatten()
        };
        let (hours, minutes) = text.split_once(':').ok_or(NoTimeOfDay)?;
        let (hours, minutes) = two_digits(hours).zip(two_digits(minutes)).ok_or(NoTimeOfDay)?;
        let since_midnight = hours * 60 + minutes;
        if minutes < 60 && since_midnight <= MINUTES_PER_DAY {
            Ok(Self { minutes: since_midnight })
        } else {
            Err(NoTimeOfDay)
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

as_text!(TimeOfDay);

/// The `dayparts` of a flight.
pub(super) fn read(flight: &Fields<'_>) -> Vec<Daypart> {
    flight.tables("dayparts", DAYPARTS_MAX).into_iter().filter_map(daypart).collect()
}

fn daypart(fields: Fields<'_>) -> Option<Daypart> {
    let mut days: Vec<Day> =
        fields.values("days", Day::ALL.len(), values::day).into_iter().map(|day| day.value).collect();
    days.sort_unstable();
    days.dedup();
    let from = fields.required("from", values::time_of_day);
    let until = fields.required("until", values::time_of_day);
    if from.as_ref().is_some_and(|from| from.value == TimeOfDay::DAYS_END) {
        fields.fault("from", "\"24:00\" is when a day ends; the one that begins then is the next day's \"00:00\"");
    }
    fields.end();
    let days = if days.is_empty() { Day::ALL.to_vec() } else { days };
    Some(Daypart { days, from: from?.value, until: until?.value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_written_as_it_is_read() {
        for text in ["00:00", "09:05", "18:30", "23:59", "24:00"] {
            assert_eq!(text.parse::<TimeOfDay>().unwrap().to_string(), text);
        }
        for odd in ["24:01", "25:00", "12:60", "9:05", "09:5", "+9:05", "0905", "", ":", "09:05:00", "1µ:00"] {
            assert_eq!(odd.parse::<TimeOfDay>(), Err(NoTimeOfDay), "{odd:?}");
        }
    }

    #[test]
    fn what_ends_no_later_than_it_begins_ends_on_the_next_day() {
        let minutes = |from: &str, until: &str| {
            let (from, until) = (from.parse().unwrap(), until.parse().unwrap());
            Daypart { days: Day::ALL.to_vec(), from, until }.minutes()
        };
        assert_eq!(minutes("18:00", "23:30"), (1_080, 1_410));
        assert_eq!(minutes("18:00", "24:00"), minutes("18:00", "00:00"));
        assert_eq!(minutes("22:00", "02:00"), (1_320, 1_560));
        assert_eq!(minutes("06:00", "06:00"), (360, 1_800), "a whole day");
    }
}
