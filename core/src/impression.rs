//! Folding beacons into impressions.
//!
//! The state of an impression is a join-semilattice: a set of events seen, for each the earliest time it was seen, the longest
//! that the viewer was idle and the least error code. Joining is associative, commutative and idempotent, so the order of
//! beacons, duplicates and replays cannot change a fold.

use serde::{Deserialize, Serialize};

use crate::{
    beacon::Event,
    contract::{DemandClass, RegistryRecord},
    fact::BeaconFact,
    money::{Currency, Money},
    time::UnixMillis,
};

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

impl Viewability {
    /// The name in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewable => "viewable",
            Self::NotViewable => "not_viewable",
            Self::Undetermined => "undetermined",
        }
    }
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

/// Whether an ad could be seen, as whoever played it measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Viewability {
    /// At least half of its pixels were in view for two seconds on end.
    Viewable,
    /// They were not.
    NotViewable,
    /// Nobody could tell.
    Undetermined,
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
    /// The longest that the viewer had touched nothing when any event happened, in seconds, if any said so.
    idle_s: Option<u32>,
    /// The least VAST code of its errors, if any said one: 900, "undefined", says the least.
    error_code: Option<u16>,
}

impl Impression {
    /// The state that one beacon proves.
    #[must_use]
    pub fn of(event: Event, at: UnixMillis) -> Self {
        let mut state = Self { seen: 1 << event.code(), ..Self::default() };
        state.first_seen[usize::from(event.code())] = at;
        state
    }

    /// The state that one verified beacon proves.
    #[must_use]
    pub fn proved_by(beacon: &BeaconFact) -> Self {
        Self::of(beacon.event, beacon.at).told(beacon.idle_s, beacon.error_code)
    }

    /// The same state, with what was said beside its events.
    #[must_use]
    pub fn told(self, idle_s: Option<u32>, error_code: Option<u16>) -> Self {
        self.join(Self { idle_s, error_code, ..Self::default() })
    }

    /// The least state that both prove: everything seen by either, each at its earliest time.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let mut joined = Self {
            seen: self.seen | other.seen,
            idle_s: self.idle_s.max(other.idle_s),
            error_code: self.error_code.into_iter().chain(other.error_code).min(),
            ..Self::default()
        };
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

    /// The longest that the viewer had touched nothing, in seconds, if a player said so.
    pub fn idle_s(&self) -> Option<u32> {
        self.idle_s
    }

    /// What went wrong, as VAST's code, if a player said one; of several the least.
    pub fn error_code(&self) -> Option<u16> {
        self.error_code
    }

    /// Whether it could be seen, if a player said so; of contrary reports the one that says most.
    pub fn viewability(&self) -> Option<Viewability> {
        let said = [
            (Event::Viewable, Viewability::Viewable),
            (Event::NotViewable, Viewability::NotViewable),
            (Event::ViewUndetermined, Viewability::Undetermined),
        ];
        said.into_iter().find(|(event, _)| self.at(*event).is_some()).map(|(_, viewability)| viewability)
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

/// What an impression is worth, under the terms it was sold on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worth {
    /// Whether it counts as delivered.
    pub threshold_passed: bool,
    /// What is recognised of it, in micros of its currency.
    pub recognized_revenue_micros: i64,
    /// Its currency; none while its terms are not known.
    pub currency: Option<Currency>,
}

impl Worth {
    /// Revenue is recognised once the contract's threshold is passed, for what was sold and asked for by a viewer's player
    /// only. As a function of the state it only ever grows, and it does not depend on how often it is asked.
    pub fn of(state: &Impression, record: Option<&RegistryRecord>, is_valid: bool) -> Self {
        let Some(record) = record else { return Self::default() };
        let threshold_passed = is_valid && state.passes(record.completion_threshold);
        let earns = threshold_passed && record.class != DemandClass::House;
        Self {
            threshold_passed,
            recognized_revenue_micros: if earns { Money::per_impression(record.cpm).micros } else { 0 },
            currency: Some(record.cpm.currency),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn fold(beacons: &[(Event, u64)]) -> Impression {
        let state = |(event, at): &(Event, u64)| Impression::of(*event, UnixMillis(*at));
        beacons.iter().map(state).fold(Impression::default(), Impression::join)
    }

    #[test]
    fn an_ad_was_viewable_if_any_report_says_so_and_unknown_without_one() {
        use Event::{NotViewable, Start, ViewUndetermined, Viewable};
        let cases: [(&[Event], _); 5] = [
            (&[Start], None),
            (&[ViewUndetermined], Some(Viewability::Undetermined)),
            (&[NotViewable], Some(Viewability::NotViewable)),
            (&[ViewUndetermined, NotViewable], Some(Viewability::NotViewable)),
            (&[NotViewable, Viewable, ViewUndetermined], Some(Viewability::Viewable)),
        ];
        for (events, expected) in cases {
            let state = fold(&events.iter().map(|event| (*event, 1)).collect::<Vec<_>>());
            assert_eq!(state.viewability(), expected, "{events:?}");
        }
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

    /// States of single beacons, with what is said beside them.
    fn states() -> impl Strategy<Value = Vec<Impression>> {
        let said = (prop::option::of(0u32..100), prop::option::of(100u16..1000));
        let state = (prop::sample::select(Event::ALL), 0u64..100, said);
        let state =
            state.prop_map(|(event, at, (idle_s, code))| Impression::of(event, UnixMillis(at)).told(idle_s, code));
        prop::collection::vec(state, 0..30)
    }

    proptest! {
        #[test]
        fn order_duplicates_and_replays_change_nothing(states in states(), seed in any::<u64>()) {
            let fold = |states: &[Impression]| states.iter().copied().fold(Impression::default(), Impression::join);
            let once = fold(&states);
            prop_assert_eq!(once.idle_s(), states.iter().filter_map(Impression::idle_s).max());
            prop_assert_eq!(once.error_code(), states.iter().filter_map(Impression::error_code).min());
            let mut shuffled = states.clone();
            shuffled.extend_from_slice(&states);
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
