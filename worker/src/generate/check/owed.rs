//! What is owed for the flights that ended short.

use std::collections::{BTreeMap, BTreeSet};

use slotkeeper_books::ledger::MakeGood;
use slotkeeper_query::Value;
use slotkeeper_world::{
    Script, Truth,
    script::{Role, ScriptedFlight},
    truth::FlightLine,
};

use super::{
    answers::{Cell, Expected},
    slots::day_of,
};

/// What of a make-good is held against the truth, in `ledger.db` as in the table for SQL.
pub(super) const COLUMNS: [&str; 9] = [
    "flight_id",
    "campaign",
    "advertiser",
    "committed",
    "delivered",
    "shortfall",
    "cpm_micros",
    "currency",
    "liability_micros",
];

/// The flights of which a make-good has to be there.
pub(super) struct Owed<'a> {
    short: Vec<(&'a FlightLine, &'a ScriptedFlight)>,
    /// Months in which flights ended short that nothing is expected of yet.
    pub(super) months_missing: BTreeSet<String>,
}

impl<'a> Owed<'a> {
    /// A close is about all that ended by the end of its month, in whichever time zone that is: so those of all flights that ended short
    /// by the last end of which there is one have to be there.
    pub(super) fn of(truth: &'a Truth, script: &'a Script, make_goods: &[MakeGood]) -> Self {
        Self::by(&truth.flights, script, make_goods.iter().map(|one| one.terms.ended_at.0).max())
    }

    fn by(flights: &'a [FlightLine], script: &'a Script, closed_at_ms: Option<u64>) -> Self {
        let scripted = |line: &FlightLine| script.flights.iter().find(|flight| flight.slug == line.slug);
        let short = flights.iter().filter(|line| line.role != Role::House && line.shortfall > 0);
        let (short, missing): (Vec<_>, Vec<_>) = short
            .filter_map(|line| Some((line, scripted(line)?)))
            .partition(|(line, _)| closed_at_ms.is_some_and(|closed_at_ms| line.ends_at_ms <= closed_at_ms));
        Self { short, months_missing: missing.iter().map(|(line, _)| month(line.ends_at_ms)).collect() }
    }

    pub(super) fn make_goods(&self) -> Expected {
        let mut expected = Expected::of(&["flight"], &COLUMNS);
        for (line, flight) in &self.short {
            let cells = vec![
                Cell::int(line.flight_id),
                Cell::text(&flight.campaign),
                Cell::text(&flight.advertiser),
                Cell::int(line.committed),
                Cell::int(line.delivered),
                Cell::int(line.shortfall),
                Cell::int(line.cpm_micros),
                Cell::text(&line.currency),
                Cell::int(line.liability_micros),
            ];
            expected.row(vec![line.slug.clone()], cells);
        }
        expected
    }

    /// The answer to `liability`, as long as nothing was made good.
    pub(super) fn liability(&self, by: &str) -> Expected {
        let mut sums: BTreeMap<(String, &String), [i128; 3]> = BTreeMap::new();
        for (line, flight) in &self.short {
            let key = match by {
                "advertiser" => &flight.advertiser,
                "campaign" => &flight.campaign,
                _ => &flight.slug,
            };
            let sum = sums.entry((key.clone(), &line.currency)).or_default();
            *sum = [sum[0] + 1, sum[1] + i128::from(line.shortfall), sum[2] + i128::from(line.liability_micros)];
        }
        let mut expected =
            Expected::of(&["key", "status", "currency"], &["make_goods", "shortfall", "liability_micros"]);
        for ((key, currency), sums) in sums {
            expected.row(vec![key, "pending".into(), currency.clone()], sums.map(Cell::Int).to_vec());
        }
        expected
    }
}

/// A row of `ledger.db`, with the flight before [`COLUMNS`].
pub(super) fn row(one: &MakeGood) -> Vec<Value> {
    let int = |value: u64| Value::Int(value.into());
    vec![
        Value::Text(one.flight.clone()),
        int(one.flight_id.0.into()),
        Value::Text(one.campaign.clone()),
        Value::Text(one.advertiser.clone()),
        int(one.terms.committed),
        int(one.state.delivered),
        int(one.shortfall()),
        Value::Int(one.terms.cpm().micros.into()),
        Value::Text(one.terms.cpm().currency.to_string()),
        Value::Int(one.liability_micros().into()),
    ]
}

/// The month (UTC) in which a flight ended that ends with this instant.
fn month(ended_at_ms: u64) -> String {
    day_of(ended_at_ms.saturating_sub(1)).chars().take(7).collect()
}

#[cfg(test)]
mod tests {
    use slotkeeper_world::Params;

    use super::*;

    #[test]
    fn a_flight_that_ended_after_the_last_that_is_owed_is_missing_though_it_be_of_the_same_month() {
        let params = Params {
            days: 1,
            slots: 1,
            seed: 1,
            start: "2026-10-01".parse().unwrap(),
            flights: 8,
            titles: 1,
            viewers: 100,
            decisions: false,
        };
        let script = Script::of(&params).unwrap();
        // In September, in the last hour of October in New York, and then.
        let ends = ["2026-09-30T23:00:00Z", "2026-11-01T03:30:00Z", "2026-11-01T04:30:00Z"];
        let at_ms = |text: &str| u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_millisecond()).unwrap();
        let line = |(flight, end): (&ScriptedFlight, &&str)| FlightLine {
            flight_id: 1,
            slug: flight.slug.clone(),
            role: Role::Steady,
            ends_at_ms: at_ms(end),
            committed: 2,
            delivered: 1,
            cpm_micros: 1,
            currency: "USD".into(),
            shortfall: 1,
            liability_micros: 1,
        };
        let flights: Vec<_> = script.flights.iter().zip(&ends).map(line).collect();
        let owed = |closed: Option<&str>| {
            let owed = Owed::by(&flights, &script, closed.map(at_ms));
            (owed.short.len(), owed.months_missing.into_iter().collect::<Vec<_>>())
        };
        assert_eq!(owed(None), (0, vec!["2026-09".into(), "2026-11".into()]));
        assert_eq!(owed(Some(ends[1])), (2, vec!["2026-11".into()]));
        assert_eq!(owed(Some(ends[2])), (3, vec![]));
    }
}
