//! Flights that share a supply for ten days, with plans made from what was known an hour before: whether the rule settles.
//!
//! Pure and without randomness: the same in every run. The gain without its damping and its bounds must fail.

use jiff::tz::TimeZone;
use slotkeeper_books::QUARTER_MS;
use slotkeeper_core::{
    id::{AdvertiserId, CampaignId},
    money::{Currency, Money},
};

use super::*;

const DAYS: u64 = 10;
const STEPS: u64 = DAYS * 96;
/// How long after a slot it is known what became of it.
const DELAY_STEPS: usize = 4;
const START: UnixMillis = UnixMillis(1_795_046_400_000); // a Thursday's midnight

/// Without damping, and with no bound but what is far beyond any flight.
const UNBOUNDED: Gain = Gain { damping: 1_000_000, least: 1, most: 1_000_000_000_000 };

/// Slots of a quarter of an hour: ten times as many in the evening as at night.
fn supply(at: UnixMillis) -> u64 {
    match at.0 / 3_600_000 % 24 {
        18..23 => 10_000,
        8..18 => 4_000,
        _ => 1_000,
    }
}

fn curve() -> Curve {
    let quarters = (1..=28 * 96).rev().map(|back| START.minus_ms(back * QUARTER_MS));
    Curve::learned(TimeZone::UTC, &quarters.map(|at| SlotQuarter { at, slots: supply(at) }).collect::<Vec<_>>())
}

/// A flight, and the step before which it delivers nothing, whatever it is allotted: its creatives came late.
fn flights() -> Vec<(Flight, u64)> {
    let all: u64 = (0..STEPS).map(|step| supply(START.plus_ms(step * QUARTER_MS))).sum();
    let flight = |number: u32, percent: u64, first_day: u64| Flight {
        flight_id: FlightId(number),
        slug: format!("f{number}"),
        campaign_id: CampaignId(1),
        campaign: "c".into(),
        advertiser_id: AdvertiserId(1),
        advertiser: "a".into(),
        class: DemandClass::Guaranteed,
        starts_at: START.plus_ms(first_day * DAY_MS),
        ends_at: START.plus_ms(DAYS * DAY_MS),
        committed: all * percent / 100,
        cpm: Money { micros: 1, currency: Currency::parse("USD").unwrap() },
        time_zone: TimeZone::UTC,
        paused: vec![],
    };
    vec![
        (flight(1, 40, 0), 0),
        (flight(2, 25, 0), 0),
        (flight(3, 12, 0), 4 * 96),
        (flight(4, 10, 5), 0),
        (flight(5, 5, 0), 0),
    ]
}

/// What came of it.
struct Outcome {
    /// Of each flight, what it delivered of a thousand promised.
    delivered: Vec<u64>,
    /// The largest part of a quarter's supply, in thousandths, that the flight whose creatives came late took in any one.
    most_of_late: u64,
    /// The sum of all changes of all flights' parts of the supply from one quarter to the next, in thousandths.
    variation: u64,
}

fn simulate(gain: Gain) -> Outcome {
    let (flights, curve) = (flights(), curve());
    let mut delivered = vec![vec![0_u64]; flights.len()];
    let mut before = vec![0_u64; flights.len()];
    let (mut most_of_late, mut variation) = (0, 0);
    for step in 0..STEPS {
        let now = START.plus_ms(step * QUARTER_MS);
        let allotted: Vec<u64> = flights
            .iter()
            .zip(&delivered)
            .map(|((flight, able_from), delivered)| {
                let known = delivered[delivered.len().saturating_sub(1 + DELAY_STEPS)];
                let runs = flight.starts_at <= now && *able_from <= step;
                if runs { allocation(flight, known, &curve, now, gain).into() } else { 0 }
            })
            .collect();
        let all = allotted.iter().sum::<u64>().max(1);
        for (number, allotted) in allotted.iter().enumerate() {
            let total = delivered[number].last().copied().unwrap_or_default();
            delivered[number].push(total + supply(now) * allotted / all);
            let part = allotted * 1_000 / all;
            // Not counted: a flight's first step, and that of another that begins beside it.
            if step > 0 && flights.iter().all(|(flight, able_from)| flight.starts_at != now && *able_from != step) {
                variation += part.abs_diff(before[number]);
            }
            before[number] = part;
        }
        // Of what it may take on its last days beside flights that are done, nothing is to be said.
        if step < (DAYS - 2) * 96 {
            most_of_late = most_of_late.max(before[2]);
        }
    }
    let of_thousand = |(number, delivered): (usize, &Vec<u64>)| {
        delivered.last().copied().unwrap_or_default() * 1_000 / flights[number].0.committed
    };
    Outcome { delivered: delivered.iter().enumerate().map(of_thousand).collect(), most_of_late, variation }
}

#[test]
fn flights_that_share_a_supply_all_keep_their_promise_without_pushing_each_other_aside() {
    let outcome = simulate(GAIN);
    let Outcome { delivered, most_of_late, variation } = &outcome;
    println!("delivered {delivered:?} of 1,000, at most {most_of_late} for the late one, {variation} moved");
    assert!(is_settled(&outcome), "delivered {delivered:?}, most {most_of_late}, variation {variation}");
}

#[test]
fn without_its_bounds_and_damping_the_same_rule_fails_the_same_test() {
    for gain in [UNBOUNDED, Gain { damping: GAIN.damping, ..UNBOUNDED }] {
        let outcome = simulate(gain);
        let Outcome { delivered, most_of_late, variation } = &outcome;
        println!(
            "{gain:?}: delivered {delivered:?} of 1,000, at most {most_of_late} for the late one, {variation} moved"
        );
        assert!(!is_settled(&outcome), "{gain:?}");
    }
}

/// Everybody's promise kept but for a hundredth; a flight that is behind takes no more than half of the supply to catch up;
/// and no more than four times the supply changes hands in ten days.
fn is_settled(outcome: &Outcome) -> bool {
    outcome.delivered.iter().all(|delivered| *delivered >= 990)
        && outcome.most_of_late <= 500
        && outcome.variation <= 4_000
}
