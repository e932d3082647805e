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
    /// Months in which flights ended short of which no make-good is there.
    pub(super) months_missing: BTreeSet<String>,
}

impl<'a> Owed<'a> {
    /// A month is closed if the ledger has a make-good of a flight that ended in it: those of all others that ended short in it
    /// have to be there.
    pub(super) fn of(truth: &'a Truth, script: &'a Script, make_goods: &[MakeGood]) -> Self {
        let minted: BTreeSet<String> = make_goods.iter().map(|one| month(one.terms.ended_at.0)).collect();
        let scripted = |line: &FlightLine| script.flights.iter().find(|flight| flight.slug == line.slug);
        let short = truth.flights.iter().filter(|line| line.role != Role::House && line.shortfall > 0);
        let (short, missing): (Vec<_>, Vec<_>) = short
            .filter_map(|line| Some((line, scripted(line)?)))
            .partition(|(line, _)| minted.contains(&month(line.ends_at_ms)));
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
