//! What the truth's sums answer: completion, revenue, reach, conservation, a vendor's counts, and what happened in some breaks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use slotkeeper_world::{
    Truth,
    truth::{DayLine, SessionLine, Sums},
};

use super::{
    answers::{Cell, Expected},
    slots::{Slots, instant},
};

/// What a line of the truth is counted as, if it is.
type Key<'a> = &'a dyn Fn(&DayLine) -> String;

/// Of each key and currency, the sums.
fn summed(truth: &Truth, by: &str) -> BTreeMap<(String, String), Sums> {
    let key: Option<Key<'_>> = match by {
        "all" => Some(&|_| "all".into()),
        "day" => Some(&|line| line.day.clone()),
        "advertiser" => Some(&|line| line.of.advertiser_id.to_string()),
        "campaign" => Some(&|line| line.of.campaign_id.to_string()),
        "flight" => Some(&|line| line.of.flight_id.to_string()),
        "creative" => Some(&|line| line.of.creative_id.to_string()),
        _ => None,
    };
    let mut sums: BTreeMap<_, Sums> = BTreeMap::new();
    let mut add = |key: String, currency: &String, of: &Sums| {
        sums.entry((key, currency.clone())).or_default().add(of);
    };
    if let Some(key) = key {
        truth.days.iter().for_each(|line| add(key(line), &line.of.currency, &line.sums));
    } else {
        let lines = truth.watched.iter().filter(|line| line.by == by);
        lines.for_each(|line| add(line.key.clone().unwrap_or_default(), &line.currency, &line.sums));
    }
    sums.retain(|_, sums| sums.impressed > 0);
    sums
}

/// The answer to `completion`.
pub(super) fn completion(truth: &Truth, by: &str) -> Expected {
    let columns = [
        "starts",
        "first_quartiles",
        "midpoints",
        "third_quartiles",
        "completes",
        "completion_percent",
        "skips",
        "errors",
        "is_conserved",
    ];
    let mut keys: BTreeMap<String, Sums> = BTreeMap::new();
    for ((key, _), sums) in summed(truth, by) {
        keys.entry(key).or_default().add(&sums);
    }
    let mut expected = Expected::of(&["key"], &columns);
    for (key, sums) in keys {
        let counts = [sums.impressed, sums.first_quartiles, sums.midpoints, sums.third_quartiles, sums.completes];
        let mut cells = counts.map(Cell::int).to_vec();
        cells.push(Cell::percent(sums.completes, sums.impressed));
        cells.extend([Cell::int(sums.skips), Cell::int(sums.errors), Cell::Bool(true)]);
        expected.row(vec![key], cells);
    }
    expected
}

/// The answer to `revenue`.
pub(super) fn revenue(truth: &Truth, by: &str) -> Expected {
    let mut expected = Expected::of(&["key", "currency"], &["impressions", "delivered", "revenue_micros"]);
    for ((key, currency), sums) in summed(truth, by) {
        let cells = vec![Cell::int(sums.impressed), Cell::int(sums.delivered), Cell::int(sums.revenue_micros)];
        expected.row(vec![key, currency], cells);
    }
    expected
}

/// The answer to `reach`.
pub(super) fn reach(truth: &Truth, by: &str) -> Expected {
    let columns = ["viewers", "impressions", "reach", "frequency_mean", "viewers_at_least"];
    let mut expected = Expected::of(&["id", "frequency"], &columns);
    for line in truth.reach.iter().filter(|line| line.by == by) {
        let reach: u64 = line.viewers.iter().map(|[_, viewers]| viewers).sum();
        let impressions: u64 = line.viewers.iter().map(|[frequency, viewers]| frequency * viewers).sum();
        let mut at_least = reach;
        for [frequency, viewers] in &line.viewers {
            let cells = vec![
                Cell::int(*viewers),
                Cell::int(frequency * viewers),
                Cell::int(reach),
                Cell::Hundredths(impressions.into(), reach.into()),
                Cell::int(at_least),
            ];
            expected.row(vec![line.id.to_string(), frequency.to_string()], cells);
            at_least -= viewers;
        }
    }
    expected
}

/// The answer to `conservation`.
pub(super) fn conservation(truth: &Truth, slots: &Slots) -> Expected {
    let columns = [
        "slots",
        "filled",
        "unfilled",
        "impressed",
        "released",
        "unsettled",
        "impressions",
        "revenue_micros",
        "is_conserved",
    ];
    let mut days: BTreeMap<&String, Sums> = BTreeMap::new();
    truth.days.iter().for_each(|line| days.entry(&line.day).or_default().add(&line.sums));
    let mut expected = Expected::of(&["date"], &columns);
    for (day, sums) in days {
        let of_day = slots.of("day", day);
        let (slots, filled) = of_day.map_or((0, 0), |counts| (counts.slots(), counts.filled()));
        let unsettled = sums.filled - sums.impressed - sums.released;
        let counts = [slots, filled, slots - filled, sums.impressed, sums.released, unsettled, sums.impressed];
        let mut cells = counts.map(Cell::int).to_vec();
        cells.extend([Cell::int(sums.revenue_micros), Cell::Bool(true)]);
        expected.row(vec![day.clone()], cells);
    }
    expected
}

/// A vendor that counts impressions: mostly a few more or fewer than the truth; one row it has not, and one nobody else has.
pub(super) struct Vendor {
    by: &'static str,
    ours: BTreeMap<(String, u32), Sums>,
    theirs: BTreeMap<(String, u32), u64>,
}

impl Vendor {
    pub(super) fn of(truth: &Truth, by: &'static str) -> Self {
        let id = |line: &DayLine| if by == "flight" { line.of.flight_id } else { line.of.creative_id };
        let mut ours: BTreeMap<_, Sums> = BTreeMap::new();
        for line in &truth.days {
            ours.entry((line.day.clone(), id(line))).or_default().add(&line.sums);
        }
        ours.retain(|_, sums| sums.impressed > 0);
        let counted = |(place, (key, sums)): (usize, (&(String, u32), &Sums))| {
            (key.clone(), (sums.impressed + place as u64 % 5).saturating_sub(2))
        };
        let mut theirs: BTreeMap<_, u64> =
            ours.iter().enumerate().filter(|(place, _)| *place != 1).map(counted).collect();
        let first_day = truth.days.first().map(|line| line.day.clone());
        theirs.extend(first_day.map(|day| ((day, u32::MAX), 7)));
        Self { by, ours, theirs }
    }

    /// As a CSV file.
    pub(super) fn csv(&self) -> String {
        let mut csv = String::from("date,id,count\n");
        for ((day, id), count) in &self.theirs {
            let _ = writeln!(csv, "{day},{id},{count}"); // into memory
        }
        csv
    }

    /// The answer to `discrepancy` of what of ours.
    pub(super) fn discrepancy(&self, count: &str) -> Expected {
        let days: BTreeSet<&String> = self.theirs.keys().map(|(day, _)| day).collect();
        let ids: BTreeSet<u32> = self.theirs.keys().map(|(_, id)| *id).collect();
        let of = |sums: &Sums| match count {
            "impressions" => sums.impressed,
            "delivered" => sums.delivered,
            _ => sums.completes,
        };
        let mut expected = Expected::of(&["date", "id"], &["ours", "theirs", "difference", "difference_percent"]);
        let keys: BTreeSet<&(String, u32)> = self.ours.keys().chain(self.theirs.keys()).collect();
        for key in keys.into_iter().filter(|(day, id)| days.contains(day) && ids.contains(id)) {
            let ours = self.ours.get(key).map_or(0, of);
            let theirs = self.theirs.get(key).copied().unwrap_or_default();
            let difference = i128::from(theirs) - i128::from(ours);
            let percent = if ours > 0 { Cell::percent(difference, ours) } else { Cell::Null };
            let cells = vec![Cell::int(ours), Cell::int(theirs), Cell::Int(difference), percent];
            expected.row(vec![key.0.clone(), key.1.to_string()], cells);
        }
        expected
    }

    pub(super) fn by(&self) -> &'static str {
        self.by
    }
}

/// How the events of a sampled break are asked for: in one of three ways, one after the other.
pub(super) fn asked_by(place: usize, line: &SessionLine) -> (&'static str, String) {
    match place % 3 {
        0 => ("break", line.break_id.clone()),
        1 => ("session", line.session.clone()),
        _ => ("opportunity", line.events[0].opportunity_id.clone()),
    }
}

/// The answer to `session`, asked so.
pub(super) fn session(line: &SessionLine, by: &str) -> Expected {
    let columns = ["break_id", "session", "slot_index", "title_id", "position", "deliveries", "error_code"];
    let mut expected = Expected::of(&["at", "event", "opportunity_id", "ad_id", "counts"], &columns);
    let is_asked = |opportunity: &String| by != "opportunity" || *opportunity == line.events[0].opportunity_id;
    for event in line.events.iter().filter(|event| is_asked(&event.opportunity_id)) {
        let of_slot = |text: &String| event.slot_index.map_or(Cell::Null, |_| Cell::text(text));
        let cells = vec![
            Cell::text(&line.break_id),
            Cell::text(&line.session),
            event.slot_index.map_or(Cell::Null, Cell::int),
            of_slot(&line.title_id),
            of_slot(&line.position),
            Cell::int(event.deliveries),
            event.error_code.map_or(Cell::Null, Cell::int),
        ];
        let ad_id = event.ad_id.to_string();
        let key = vec![instant(event.at_ms), event.event.clone(), event.opportunity_id.clone(), ad_id];
        expected.row(key.into_iter().chain([event.counts.to_string()]).collect(), cells);
    }
    expected
}
