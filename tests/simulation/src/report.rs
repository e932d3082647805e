//! What came of the worlds: sums for people, and everything about the one in which a law did not hold.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use slotkeeper_core::id::ViewerKey;

use crate::{faults::Fault, oracle::Tally, terms::DAY_MS};

/// A line of a trace, and whose it is.
pub type Line = (Option<ViewerKey>, String);

/// A law that does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    pub law: &'static str,
    pub whose: Option<ViewerKey>,
    pub what: String,
    pub step: u64,
}

/// What came of one world.
pub struct Outcome {
    pub seed: u64,
    /// Of all that happened: the same for the same seed.
    pub hash: u64,
    pub steps: u64,
    pub simulated_ms: u64,
    pub began_ms: u64,
    pub tally: Tally,
    pub entries: u64,
    pub faults: Vec<u64>,
    pub checks: BTreeMap<&'static str, u64>,
    pub violation: Option<Violation>,
    pub trace: Vec<Line>,
}

/// What came of many.
#[derive(Default)]
pub struct Summary {
    pub seeds: u64,
    pub hash: u64,
    steps: u64,
    simulated_ms: u64,
    tally: Tally,
    entries: u64,
    faults: Vec<u64>,
    checks: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// Adds one world. The order in which they come does not matter.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.hash ^= outcome.hash;
        self.steps += outcome.steps;
        self.simulated_ms += outcome.simulated_ms.saturating_sub(outcome.began_ms);
        self.entries += outcome.entries;
        self.tally.breaks += outcome.tally.breaks;
        self.tally.answers += outcome.tally.answers;
        self.tally.degraded += outcome.tally.degraded;
        self.tally.receipts += outcome.tally.receipts;
        self.tally.slots += outcome.tally.slots;
        self.tally.filled += outcome.tally.filled;
        self.tally.beacons += outcome.tally.beacons;
        self.tally.refused += outcome.tally.refused;
        self.tally.impressions += outcome.tally.impressions;
        self.tally.claims += outcome.tally.claims;
        self.tally.rows_lost_with_their_viewer += outcome.tally.rows_lost_with_their_viewer;
        self.faults.resize(outcome.faults.len(), 0);
        for (sum, count) in self.faults.iter_mut().zip(&outcome.faults) {
            *sum += count;
        }
        for (law, count) in &outcome.checks {
            *self.checks.entry(law).or_default() += count;
        }
    }

    /// For people.
    pub fn text(&self, took: Duration) -> String {
        let tally = &self.tally;
        let mut text = String::new();
        let seconds = took.as_secs_f64();
        let _ = writeln!(
            text,
            "{} seeds in {seconds:.1} s ({} a minute), {} days simulated, {} steps, hash {:016x}",
            self.seeds,
            u128::from(self.seeds) * 60_000 / took.as_millis().max(1),
            self.simulated_ms / DAY_MS,
            self.steps,
            self.hash
        );
        let _ = writeln!(
            text,
            "{} breaks, {} answers ({} without a commit, {} with a receipt), {} slots: {} filled, {} unfilled; \
             {} more rows never came, because the viewer with their receipt did not",
            tally.breaks,
            tally.answers,
            tally.degraded,
            tally.receipts,
            tally.slots,
            tally.filled,
            tally.slots - tally.filled,
            tally.rows_lost_with_their_viewer
        );
        let _ = writeln!(
            text,
            "{} claims, {} beacons ({} refused), {} impressions, {} batches logged",
            tally.claims, tally.beacons, tally.refused, tally.impressions, self.entries
        );
        let _ = writeln!(text, "\nfaults");
        for (fault, count) in Fault::ALL.iter().zip(&self.faults) {
            let _ = writeln!(text, "  {count:>10}  {}", fault.name());
        }
        let _ = writeln!(text, "\nlaws, and how often each was checked");
        for (law, count) in &self.checks {
            let _ = writeln!(text, "  {count:>10}  {law}");
        }
        text
    }

    /// The laws that were never checked, and the faults that never struck.
    pub fn never_reached(&self) -> Vec<String> {
        let is_checked = |number: &&str| self.checks.keys().any(|law| law.split(' ').next() == Some(*number));
        let laws = ["1", "2", "3", "4", "5", "6", "8", "9", "10", "plans", "acknowledged"];
        let unchecked =
            laws.iter().filter(|number| !is_checked(number)).map(|number| format!("law {number} was never checked"));
        let unstruck = Fault::ALL.iter().zip(&self.faults).filter(|(_, count)| **count == 0);
        unchecked.chain(unstruck.map(|(fault, _)| format!("the fault {} never struck", fault.name()))).collect()
    }
}

/// The law, the place and the way there, and how to see it again.
pub fn violation_text(outcome: &Outcome, command: &str, lines_max: usize) -> String {
    let Some(violation) = &outcome.violation else { return String::new() };
    let mut text = String::new();
    let _ = writeln!(text, "VIOLATION of law {} in seed {} at step {}", violation.law, outcome.seed, violation.step);
    let _ = writeln!(text, "  {}", violation.what);
    if let Some(whose) = violation.whose {
        let _ = writeln!(text, "  viewer {whose}");
    }
    let matters = |(whose, _): &&Line| whose.is_none() || violation.whose.is_none() || *whose == violation.whose;
    let lines: Vec<&String> = outcome.trace.iter().filter(matters).map(|(_, line)| line).collect();
    let skipped = lines.len().saturating_sub(lines_max);
    if skipped > 0 {
        let _ = writeln!(text, "  … {skipped} lines before; `--trace` shows all");
    }
    for line in &lines[skipped..] {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(text, "replay: {command}");
    text
}
