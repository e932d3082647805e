//! What every world is like, whatever its parameters.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Instant;

use proptest::prelude::*;
use slotkeeper_core::{
    fact::{BATCH_BYTES_MAX, BATCH_FACTS_MAX, Fact, FactBatch},
    time::UnixMillis,
};
use slotkeeper_world::{
    Params, Script, Sink, Sold, Truth, UnsoldAd, generate,
    truth::{HourLine, HourTruth, PlaceLine, QuarterLine, Sums},
};

/// Keeps what is written, or only how much.
#[derive(Default)]
struct Kept {
    keeps: bool,
    entries: Vec<(UnixMillis, Vec<u8>)>,
    hours: Vec<HourLine>,
    places: Vec<PlaceLine>,
    quarters: Vec<QuarterLine>,
}

impl Sink for Kept {
    type Error = UnsoldAd;

    fn entry(&mut self, at: UnixMillis, batch: Vec<u8>) -> Result<(), UnsoldAd> {
        if self.keeps {
            self.entries.push((at, batch));
        }
        Ok(())
    }

    fn hour(&mut self, hour: &HourTruth) -> Result<(), UnsoldAd> {
        if self.keeps {
            self.hours.extend(hour.slots.iter().cloned());
            self.places.extend(hour.places.iter().cloned());
            self.quarters.extend(hour.quarters.iter().cloned());
        }
        Ok(())
    }

    fn progress(&mut self, _: u64) -> Result<(), UnsoldAd> {
        Ok(())
    }
}

fn params(slots: u64, seed: u64) -> Params {
    Params {
        days: 3,
        slots,
        seed,
        start: "2026-10-30".parse().unwrap(),
        flights: 12,
        titles: 9,
        viewers: 400,
        decisions: true,
    }
}

fn world(params: &Params, keeps: bool) -> (Kept, Truth) {
    let mut kept = Kept { keeps, ..Kept::default() };
    let script = Script::of(params).unwrap();
    let truth = generate(params, &script, &Sold::numbered(&script, params.days), &mut kept).unwrap();
    (kept, truth)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_truth_agrees_with_itself_and_counts_what_is_sent(
        slots in 1u64..3_000, seed in any::<u64>(), days in 1u32..5, decisions in any::<bool>(), flights in 8u32..30,
    ) {
        let params = Params { days, decisions, flights, ..params(slots, seed) };
        let (kept, truth) = world(&params, true);
        prop_assert_eq!(truth.slots, slots);
        prop_assert_eq!(truth.slots, truth.filled + truth.unfilled);
        prop_assert_eq!(kept.hours.iter().map(|line| line.slots).sum::<u64>(), slots);
        prop_assert_eq!(kept.places.iter().map(|line| line.slots).sum::<u64>(), slots);
        prop_assert_eq!(kept.quarters.iter().map(|line| line.slots).sum::<u64>(), slots);
        prop_assert_eq!(truth.days.iter().map(|line| line.sums.filled).sum::<u64>(), truth.filled);
        for by in ["title", "position", "country", "device"] {
            let sum = |of: fn(&Sums) -> u64| {
                truth.watched.iter().filter(|line| line.by == by).map(|line| of(&line.sums)).sum::<u64>()
            };
            prop_assert_eq!(sum(|sums| sums.filled), truth.filled, "{}", by);
            let delivered: u64 = truth.days.iter().map(|line| line.sums.delivered).sum();
            prop_assert_eq!(sum(|sums| sums.delivered), delivered, "{}", by);
        }
        for by in ["advertiser", "campaign", "flight", "creative"] {
            let lines = truth.reach.iter().filter(|line| line.by == by).flat_map(|line| &line.viewers);
            let seen: u64 = lines.map(|[frequency, viewers]| frequency * viewers).sum();
            let impressed: u64 = truth.days.iter().map(|line| line.sums.impressed - line.sums.impressed_invalid).sum();
            prop_assert_eq!(seen, impressed, "{}", by);
        }
        for flight in &truth.flights {
            let of = |line: &QuarterLine| line.delivered.get(&flight.flight_id).copied().unwrap_or(0);
            prop_assert_eq!(kept.quarters.iter().map(of).sum::<u64>(), flight.delivered, "{}", flight.slug);
        }
        for line in &truth.days {
            let sums = line.sums;
            prop_assert!(sums.impressed + sums.released <= sums.filled, "{:?}", line);
            prop_assert!(sums.delivered + sums.impressed_invalid <= sums.impressed, "{:?}", line);
            prop_assert!(sums.completes <= sums.impressed && sums.completes_invalid <= sums.completes, "{:?}", line);
        }
        for line in &truth.creatives {
            prop_assert!(line.reached.windows(2).all(|pair| pair[0] >= pair[1]), "{:?}", line);
        }
        let (mut facts, mut rows, mut beacons, mut late, mut came_at) = (0, 0, 0, 0, UnixMillis(0));
        for (at, bytes) in &kept.entries {
            prop_assert!(bytes.len() <= BATCH_BYTES_MAX && *at >= came_at);
            came_at = *at;
            let batch: FactBatch = serde_json::from_slice(bytes).unwrap();
            prop_assert!(batch.facts.len() <= BATCH_FACTS_MAX);
            prop_assert!(serde_json::to_vec(&batch).unwrap() == *bytes, "it is the JSON that edges write");
            facts += batch.facts.len() as u64;
            for fact in &batch.facts {
                match fact {
                    Fact::Beacon(beacon) => {
                        prop_assert!(beacon.at <= beacon.received_at && beacon.received_at <= *at);
                        beacons += 1;
                        late += u64::from(beacon.received_at.since_ms(beacon.at) > 300_000);
                    }
                    Fact::Opportunity { .. } => rows += 1,
                    Fact::Decision(_) => prop_assert!(decisions),
                    Fact::ClientLoss(loss) => prop_assert!(loss.lost > 0),
                }
            }
        }
        let sent = &truth.sent;
        prop_assert_eq!((facts, beacons, late), (sent.facts, sent.beacons, sent.late_beacons));
        prop_assert!(rows >= sent.rows && rows <= sent.rows + sent.repeated);
    }
}

#[test]
fn a_decision_is_told_before_its_rows_in_the_same_batch_and_by_its_address() {
    let (kept, truth) = world(&params(3_000, 4), true);
    let mut decisions = std::collections::BTreeSet::new();
    for (_, bytes) in &kept.entries {
        let batch: FactBatch = serde_json::from_slice(bytes).unwrap();
        let mut told = None;
        for fact in &batch.facts {
            match fact {
                Fact::Decision(decision) => {
                    decisions.insert(decision.id());
                    told = Some(decision.id());
                }
                Fact::Opportunity { row, .. } => assert_eq!(Some(row.decision_id), told),
                Fact::Beacon(_) | Fact::ClientLoss(_) => {}
            }
        }
    }
    assert_eq!(decisions.len() as u64, truth.sent.decisions);
}

#[test]
fn a_parameter_out_of_bounds_is_named_with_its_bound() {
    let refused = Script::of(&Params { flights: 2, ..params(1, 1) }).unwrap_err();
    assert_eq!(refused.to_string(), "flights: 2; it must be from 8 to 5000");
    let refused = Params { flights: 5_000, viewers: 429_497, ..params(1, 1) }.check().unwrap_err();
    let bound = "viewers × flights × 2 (bytes of memory): 4294970000; it must be from 1 to 4294967296";
    assert_eq!(refused.to_string(), bound);
    Params { flights: 5_000, viewers: 429_496, ..params(1, 1) }.check().unwrap();
}

/// `cargo test --release -p slotkeeper-world -- --ignored --nocapture` says how fast a world is made.
#[test]
#[ignore = "a measurement"]
fn how_fast() {
    for decisions in [true, false] {
        let began = Instant::now();
        let params = Params { decisions, ..params(300_000, 1) };
        let (_, truth) = world(&params, false);
        let seconds = began.elapsed().as_secs_f64();
        let per_s = 300_000.0 / seconds;
        println!("decisions {decisions}: {per_s:.0} slots/s, {} bytes/slot", truth.sent.bytes / truth.slots);
    }
}
