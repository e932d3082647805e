//! Folding beacons into impressions.
//!
//! The state of an impression is a join-semilattice: a set of events seen, and for each the earliest time it was seen.
//! Joining is associative, commutative and idempotent, so the order of beacons, duplicates and replays cannot change a
//! fold.

use serde::{Deserialize, Serialize};

use crate::{beacon::Event, time::UnixMillis};

/// How much of an ad has provably played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Quartile {
    /// It began.
    #[serde(rename = "start")]
    Start,
    /// 25 %.
    #[serde(rename = "firstQuartile")]
    First,
    /// 50 %.
    #[serde(rename = "midpoint")]
    Midpoint,
    /// 75 %.
    #[serde(rename = "thirdQuartile")]
    Third,
    /// 100 %.
    #[serde(rename = "complete")]
    Complete,
}

impl Quartile {
    /// In playing order.
    pub const ALL: [Self; 5] = [Self::Start, Self::First, Self::Midpoint, Self::Third, Self::Complete];

    /// The beacon that proves it.
    pub fn event(self) -> Event {
        match self {
            Self::Start => Event::Start,
            Self::First => Event::FirstQuartile,
            Self::Midpoint => Event::Midpoint,
            Self::Third => Event::ThirdQuartile,
            Self::Complete => Event::Complete,
        }
    }

    /// The VAST name.
    pub fn as_str(self) -> &'static str {
        self.event().as_str()
    }

    /// The quartile of a VAST name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quartile| quartile.as_str() == name)
    }
}

/// One for every code, and one for none.
const EVENT_SLOTS: usize = Event::ALL.len() + 1;

/// What is known of one impression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impression {
    /// Bit `n` set: the event of code `n` was seen.
    seen: u32,
    /// By event code; meaningful where the bit is set.
    first_seen: [UnixMillis; EVENT_SLOTS],
}

impl Impression {
    /// The state that one beacon proves.
    #[must_use]
    pub fn of(event: Event, at: UnixMillis) -> Self {
        let mut state = Self { seen: 1 << event.code(), ..Self::default() };
        state.first_seen[usize::from(event.code())] = at;
        state
    }

    /// The least state that both prove: everything seen by either, each at its earliest time.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let mut joined = Self { seen: self.seen | other.seen, ..Self::default() };
        for event in Event::ALL {
            let earliest = match (self.at(*event), other.at(*event)) {
                (Some(a), Some(b)) => a.min(b),
                (a, b) => a.or(b).unwrap_or_default(),
            };
            joined.first_seen[usize::from(event.code())] = earliest;
        }
        joined
    }

    /// When `event` was first seen, if it was.
    pub fn at(&self, event: Event) -> Option<UnixMillis> {
        (self.seen >> event.code() & 1 == 1).then(|| self.first_seen[usize::from(event.code())])
    }

    /// The furthest quartile reached without a gap: a quartile counts only when all before it were seen, so
    /// `start ≥ firstQuartile ≥ … ≥ complete` holds over any set of impressions, at any moment.
    pub fn furthest(&self) -> Option<Quartile> {
        Quartile::ALL.into_iter().take_while(|quartile| self.at(quartile.event()).is_some()).last()
    }

    /// Whether the contract's completion threshold is passed, so the impression is billable. Never true, then false.
    pub fn passes(&self, threshold: Quartile) -> bool {
        self.furthest() >= Some(threshold)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn fold(beacons: &[(Event, u64)]) -> Impression {
        beacons
            .iter()
            .fold(Impression::default(), |state, (event, at)| state.join(Impression::of(*event, UnixMillis(*at))))
    }

    #[test]
    fn a_quartile_counts_only_without_a_gap_before_it() {
        use Event::{Complete, FirstQuartile, Midpoint, Start};
        let furthest = |events: &[Event]| fold(&events.iter().map(|event| (*event, 1)).collect::<Vec<_>>()).furthest();
        assert_eq!(furthest(&[]), None);
        assert_eq!(furthest(&[Complete]), None, "an ad that never started was not completed");
        assert_eq!(furthest(&[Start, Complete]), Some(Quartile::Start));
        assert_eq!(furthest(&[Midpoint, Start, FirstQuartile]), Some(Quartile::Midpoint));
        assert!(!fold(&[]).passes(Quartile::Start));
        assert!(fold(&[(Start, 1)]).passes(Quartile::Start));
    }

    fn beacons() -> impl Strategy<Value = Vec<(Event, u64)>> {
        prop::collection::vec((prop::sample::select(Event::ALL), 0u64..100), 0..30)
    }

    proptest! {
        #[test]
        fn order_duplicates_and_replays_change_nothing(beacons in beacons(), seed in any::<u64>()) {
            let once = fold(&beacons);
            let mut shuffled = beacons.clone();
            shuffled.extend_from_slice(&beacons);
            let len = shuffled.len().max(1) as u64;
            for index in 0..shuffled.len() {
                shuffled.swap(index, usize::try_from((seed ^ index as u64).wrapping_mul(0x9e37_79b9) % len).unwrap());
            }
            prop_assert_eq!(fold(&shuffled), once);
            prop_assert_eq!(once.join(once), once);
        }

        #[test]
        fn more_beacons_never_take_a_quartile_back(beacons in beacons(), cut in 0usize..30) {
            let earlier = fold(&beacons[..cut.min(beacons.len())]);
            prop_assert!(earlier.furthest() <= fold(&beacons).furthest());
        }
    }
}
