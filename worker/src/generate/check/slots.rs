//! What the truth by hours answers: fill, why slots stayed empty, where caps began to block, and what was left on the table.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use slotkeeper_world::truth::{EarnedLine, HourLine, PlaceLine};

use super::answers::{Cell, Expected};

const FILLED: [&str; 3] = ["guaranteed", "auction", "house_ad"];
/// With which lines, in percent, and of how many slots an hour, the onset of cap-blocking is asked for.
pub(super) const LINES: [(u64, u64); 2] = [(5, 20), (10, 100)];

/// All of it.
#[derive(Default)]
pub(super) struct Slots {
    /// By what, and which.
    counts: BTreeMap<(&'static str, String), Counts>,
    missed: BTreeMap<(&'static str, String, Option<String>), [u64; 2]>,
    onsets: BTreeMap<(&'static str, String, usize), Onsets>,
    /// The present hour.
    hour_at_ms: u64,
    hour: Hour,
}

/// Slots by what they came to.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<String, u64>);

#[derive(Default)]
struct Hour {
    /// Slots, and of them capped ones, by what and which.
    capped: BTreeMap<(&'static str, String), [u64; 2]>,
    /// Viewers' slots that are filled, by position.
    filled: BTreeMap<String, u64>,
    /// Viewers' slots that are not, by position, by what and which.
    unfilled: BTreeMap<(String, &'static str, String), u64>,
}

/// The hours of one key, one after the other.
#[derive(Default)]
struct Onsets {
    /// When, slots, capped, of the last with enough slots.
    before: Option<[u64; 3]>,
    /// The crossings: that hour, and the one before it.
    crossed: Vec<([u64; 3], Option<[u64; 3]>)>,
}

impl Slots {
    /// Counts a line of the truth; they come in the order of hours. `earned` is what each hour and position earned.
    pub(super) fn count(&mut self, line: &HourLine, earned: &Earned) {
        if line.hour_at_ms != self.hour_at_ms {
            self.end_hour(earned);
            self.hour_at_ms = line.hour_at_ms;
        }
        let (day, hour) = (day_of(line.hour_at_ms), hour_of(line.hour_at_ms));
        let of =
            [("all", "all"), ("day", &day), ("hour", &hour), ("title", &line.title_id), ("position", &line.position)];
        for (by, key) in of {
            self.add(by, key, &line.reason, line.slots);
        }
        let valid = line.slots - line.invalid;
        if line.outcome == "filled" {
            *self.hour.filled.entry(line.position.clone()).or_default() += valid;
            return;
        }
        let of = [
            ("all", "all"),
            ("day", &day),
            ("title", &line.title_id),
            ("position", &line.position),
            ("reason", &line.reason),
        ];
        for (by, key) in of.into_iter().filter(|_| valid > 0) {
            *self.hour.unfilled.entry((line.position.clone(), by, key.into())).or_default() += valid;
        }
    }

    /// Counts a line of the truth by places; in the order of hours, once all others are counted.
    pub(super) fn count_place(&mut self, line: &PlaceLine) {
        if line.hour_at_ms != self.hour_at_ms {
            self.end_hour(&Earned::default());
            self.hour_at_ms = line.hour_at_ms;
        }
        for (by, key) in [("country", &line.country), ("device", &line.device)] {
            self.add(by, key.as_deref().unwrap_or_default(), &line.reason, line.slots);
        }
    }

    fn add(&mut self, by: &'static str, key: &str, reason: &str, slots: u64) {
        let counts = self.counts.entry((by, key.into())).or_default();
        *counts.0.entry(reason.into()).or_default() += slots;
        if by != "hour" && by != "day" {
            let capped = self.hour.capped.entry((by, key.into())).or_default();
            capped[0] += slots;
            capped[1] += if reason == "frequency_capped" { slots } else { 0 };
        }
    }

    /// Ends the present hour, which the last one needs, too.
    pub(super) fn end_hour(&mut self, earned: &Earned) {
        let hour = std::mem::take(&mut self.hour);
        for ((by, key), [slots, capped]) in hour.capped {
            for (line, (percent, slots_min)) in LINES.into_iter().enumerate() {
                if slots >= slots_min {
                    let onsets = self.onsets.entry((by, key.clone(), line)).or_default();
                    onsets.hour(percent, [self.hour_at_ms, slots, capped]);
                }
            }
        }
        for ((position, by, key), unfilled) in hour.unfilled {
            let filled = hour.filled.get(&position).copied().unwrap_or_default();
            let prices = earned.0.get(&(self.hour_at_ms, position)).map_or(&[][..], Vec::as_slice);
            for (currency, micros) in prices {
                let [slots, missed] = self.missed.entry((by, key.clone(), Some(currency.clone()))).or_default();
                *slots += unfilled;
                *missed += half_up(u128::from(unfilled) * u128::from(*micros), filled.into());
            }
            if prices.is_empty() {
                self.missed.entry((by, key, None)).or_default()[0] += unfilled;
            }
        }
    }

    /// What was counted of one key.
    pub(super) fn of(&self, by: &'static str, key: &str) -> Option<&Counts> {
        self.counts.get(&(by, key.into()))
    }

    fn by(&self, by: &'static str) -> impl Iterator<Item = (&String, &Counts)> {
        self.counts.iter().filter(move |((of, _), _)| *of == by).map(|((_, key), counts)| (key, counts))
    }

    /// The answer to `fill`; of a day, as `all` of it.
    pub(super) fn fill(&self, by: &'static str, day: Option<&str>) -> Expected {
        let columns = ["slots", "filled", "unfilled", "fill_percent", "guaranteed", "auction", "house_ad"];
        let mut expected = Expected::of(&["key"], &columns);
        self.each(by, day, |key, counts| {
            let (slots, filled) = (counts.slots(), counts.filled());
            let [guaranteed, auction, house] = FILLED.map(|reason| Cell::int(counts.of(reason)));
            let cells = vec![
                Cell::int(slots),
                Cell::int(filled),
                Cell::int(slots - filled),
                Cell::percent(filled, slots),
                guaranteed,
                auction,
                house,
            ];
            expected.row(vec![key.into()], cells);
        });
        expected
    }

    /// The answer to `unfilled`, likewise.
    pub(super) fn unfilled(&self, by: &'static str, day: Option<&str>) -> Expected {
        let columns = ["slots", "percent_of_unfilled", "percent_of_slots"];
        let mut expected = Expected::of(&["key", "unfilled_reason"], &columns);
        self.each(by, day, |key, counts| {
            let (all, unfilled) = (counts.slots(), counts.slots() - counts.filled());
            for (reason, slots) in counts.0.iter().filter(|(reason, _)| !FILLED.contains(&reason.as_str())) {
                let cells = vec![Cell::int(*slots), Cell::percent(*slots, unfilled), Cell::percent(*slots, all)];
                expected.row(vec![key.into(), reason.clone()], cells);
            }
        });
        expected
    }

    fn each(&self, by: &'static str, day: Option<&str>, mut each: impl FnMut(&str, &Counts)) {
        match day {
            Some(day) => self.of("day", day).into_iter().for_each(|counts| each(by, counts)),
            None => self.by(by).for_each(|(key, counts)| each(key, counts)),
        }
    }

    /// The answer to `cap-onset` with a line of [`LINES`].
    pub(super) fn onsets(&self, by: &'static str, line: usize, is_first: bool) -> Expected {
        let columns = ["slots", "capped", "capped_percent", "hour_before", "capped_percent_before"];
        let mut expected = Expected::of(&["key", "hour"], &columns);
        for ((_, key, _), onsets) in self.onsets.iter().filter(|((of, _, at), _)| (*of, *at) == (by, line)) {
            let crossings = if is_first { 1 } else { usize::MAX };
            for ([at, slots, capped], before) in onsets.crossed.iter().take(crossings) {
                let before = before.map_or([Cell::Null, Cell::Null], |[at, slots, capped]| {
                    [Cell::text(instant(at)), Cell::percent(capped, slots)]
                });
                let [hour_before, percent_before] = before;
                let cells = vec![
                    Cell::int(*slots),
                    Cell::int(*capped),
                    Cell::percent(*capped, *slots),
                    hour_before,
                    percent_before,
                ];
                expected.row(vec![key.clone(), instant(*at)], cells);
            }
        }
        expected
    }

    /// The answer to `money-on-the-table`.
    pub(super) fn missed(&self, by: &'static str) -> Expected {
        let mut expected = Expected::of(&["key", "currency"], &["unfilled", "missed_micros"]);
        for ((_, key, currency), [unfilled, micros]) in self.missed.iter().filter(|((of, ..), _)| *of == by) {
            let key = vec![key.clone(), currency.clone().unwrap_or_default()];
            expected.row(key, vec![Cell::int(*unfilled), Cell::int(*micros)]);
        }
        expected
    }
}

impl Counts {
    fn of(&self, reason: &str) -> u64 {
        self.0.get(reason).copied().unwrap_or_default()
    }

    pub(super) fn filled(&self) -> u64 {
        FILLED.iter().map(|reason| self.of(reason)).sum()
    }

    pub(super) fn slots(&self) -> u64 {
        self.0.values().sum()
    }
}

impl Onsets {
    fn hour(&mut self, percent: u64, [at, slots, capped]: [u64; 3]) {
        let is_above = |[_, slots, capped]: [u64; 3]| capped * 100 >= percent * slots;
        let hour = [at, slots, capped];
        if is_above(hour) && self.before.is_none_or(|before| !is_above(before)) {
            self.crossed.push((hour, self.before));
        }
        self.before = Some(hour);
    }
}

/// What each hour and position earned, in each currency.
#[derive(Default)]
pub(super) struct Earned(BTreeMap<(u64, String), Vec<(String, u64)>>);

impl Earned {
    pub(super) fn add(&mut self, line: EarnedLine) {
        let micros = u64::try_from(line.revenue_micros).unwrap_or_default();
        self.0.entry((line.hour_at_ms, line.position)).or_default().push((line.currency, micros));
    }
}

/// `part / whole`, rounded half up.
fn half_up(part: u128, whole: u128) -> u64 {
    u64::try_from((part + whole / 2) / whole.max(1)).unwrap_or(u64::MAX)
}

fn timestamp(at_ms: u64) -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(at_ms).unwrap_or_default()).unwrap_or_default()
}

/// The day (UTC) of an instant.
pub(super) fn day_of(at_ms: u64) -> String {
    timestamp(at_ms).to_zoned(TimeZone::UTC).date().to_string()
}

fn hour_of(at_ms: u64) -> String {
    timestamp(at_ms).to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:00Z").to_string()
}

/// As answers write it.
pub(super) fn instant(at_ms: u64) -> String {
    timestamp(at_ms).to_string()
}
