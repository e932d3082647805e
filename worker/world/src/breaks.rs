//! What is decided in a break: which ad stands in each slot, or why none does.

use slotkeeper_core::{
    contract::BreakPosition,
    fact::Recording,
    id::{BreakId, SessionKey, ViewerKey},
    pod::UnfilledReason,
    time::UnixMillis,
};

use crate::{
    ads::Ads,
    dice::{Dice, In10000, running_sums},
    script::{Role, Script},
};

/// Once the capped flight's viewers have had enough, so many of its slots stay empty.
pub(crate) const CAPPED_AFTER_ONSET: In10000 = 8_500;
/// Of the slots that are filled, so many are sold by auction, and so many are ours.
const AUCTIONED: In10000 = 900;
const OURS: In10000 = 450;
/// By position, the share of the first slot that is filled; every further one is a little harder.
const FILLED: [In10000; 3] = [9_350, 9_120, 8_800];
const HARDER_BY: In10000 = 50;

/// About how many slots are filled by contracts.
pub(crate) fn guaranteed_in_10_000(auctions: bool) -> In10000 {
    let filled = FILLED[1] - HARDER_BY;
    filled * (10_000 - OURS - if auctions { AUCTIONED } else { 0 }) / 10_000
}

/// Why slots stay empty, and how often.
const REASONS: [(UnfilledReason, u64); 8] = [
    (UnfilledReason::NoEligibleDemand, 36),
    (UnfilledReason::CompetitiveSeparation, 16),
    (UnfilledReason::DurationExceeded, 13),
    (UnfilledReason::PacingThrottled, 11),
    (UnfilledReason::ContentUnsuitable, 9),
    (UnfilledReason::FrequencyCapped, 8),
    (UnfilledReason::AuctionUnavailable, 4),
    (UnfilledReason::ConsentDenied, 3),
];

pub(crate) const POSITIONS: [BreakPosition; 3] =
    [BreakPosition::Preroll, BreakPosition::Midroll, BreakPosition::Postroll];
const POSITION_WEIGHTS: [u64; 3] = [30, 60, 10];
/// By position, the weights of 1, 2, … 6 slots.
const SLOT_COUNTS: [[u64; 6]; 3] = [[50, 50, 0, 0, 0, 0], [0, 20, 30, 30, 12, 8], [60, 40, 0, 0, 0, 0]];

/// What was asked, by whom and when.
pub(crate) struct Occasion {
    pub(crate) break_id: BreakId,
    pub(crate) viewer: u64,
    pub(crate) viewer_key: ViewerKey,
    pub(crate) session: SessionKey,
    pub(crate) opened_at: UnixMillis,
    pub(crate) title: usize,
    pub(crate) position: usize,
    pub(crate) country: usize,
    pub(crate) device: &'static str,
    pub(crate) tier: &'static str,
    pub(crate) is_crawler: bool,
    pub(crate) plan_version: Option<u64>,
    /// How many slots were asked for; none when time was asked for, of which the decision made slots.
    pub(crate) asked_slots: Option<usize>,
}

/// One decision of a break. Mostly there is one.
#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "the time is named as everywhere")]
pub(crate) struct Decided {
    pub(crate) recording: Recording,
    pub(crate) decided_at: UnixMillis,
    pub(crate) slots: Vec<Slot>,
}

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The number of its ad.
    Filled(usize),
    Empty(UnfilledReason),
}

/// Decides slots, at one time after another.
pub(crate) struct Decider {
    positions: Vec<u64>,
    counts: [Vec<u64>; 3],
    reasons: Vec<u64>,
    /// The flights that are sold now, by their weights.
    sold: Vec<usize>,
    weights: Vec<u64>,
    auctions: bool,
    capped_flight: usize,
    has_had_enough: bool,
}

impl Decider {
    pub(crate) fn of(script: &Script, auctions: bool) -> Self {
        let is_capped = |flight: &crate::script::ScriptedFlight| flight.role == Role::Capped;
        Self {
            positions: running_sums(POSITION_WEIGHTS),
            counts: SLOT_COUNTS.map(running_sums),
            reasons: running_sums(REASONS.map(|(_, weight)| weight)),
            sold: vec![],
            weights: vec![],
            auctions,
            capped_flight: script.flights.iter().position(is_capped).unwrap_or(usize::MAX),
            has_had_enough: false,
        }
    }

    /// Sells from now on what is sold at `at`.
    pub(crate) fn move_to(&mut self, script: &Script, at: UnixMillis) {
        let sold = script.flights.iter().enumerate().filter(|(_, flight)| flight.is_sold_at(at));
        self.sold = sold.map(|(number, _)| number).collect();
        self.weights = running_sums(self.sold.iter().map(|number| script.flights[*number].weight));
        self.has_had_enough = at >= script.onset;
    }

    pub(crate) fn position(&self, dice: &mut Dice) -> usize {
        dice.by_weight(&self.positions)
    }

    pub(crate) fn slot_count(&self, dice: &mut Dice, position: usize) -> usize {
        1 + dice.by_weight(&self.counts[position])
    }

    /// Fills so many slots of a break, or leaves them empty.
    pub(crate) fn decide(&self, dice: &mut Dice, ads: &Ads, position: usize, count: usize) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(count);
        for place in 0..count {
            let slot = self.slot(dice, ads, position, place, &slots);
            slots.push(slot);
        }
        slots
    }

    fn slot(&self, dice: &mut Dice, ads: &Ads, position: usize, place: usize, before: &[Slot]) -> Slot {
        if !dice.chance(FILLED[position] - HARDER_BY * u32::try_from(place).unwrap_or_default()) {
            return Slot::Empty(self.reason(dice));
        }
        if dice.chance(OURS) || self.sold.is_empty() {
            return Slot::Filled(ad_of(dice, ads, ads.house));
        }
        if self.auctions && dice.chance(AUCTIONED) {
            let first = ads.all.len() - ads.offers.len();
            return Slot::Filled(first + dice.place(ads.offers.len()));
        }
        // No two ads of one advertiser in a break: some other flight may do instead.
        for _ in 0..4 {
            let flight = self.sold[dice.by_weight(&self.weights)];
            if flight == self.capped_flight && self.has_had_enough && dice.chance(CAPPED_AFTER_ONSET) {
                return Slot::Empty(UnfilledReason::FrequencyCapped);
            }
            let ad = ad_of(dice, ads, flight);
            let advertiser = |ad: usize| ads.all[ad].booking.advertiser_id;
            let is_near = |slot: &Slot| matches!(slot, Slot::Filled(other) if advertiser(*other) == advertiser(ad));
            if !before.iter().any(is_near) {
                return Slot::Filled(ad);
            }
        }
        Slot::Empty(UnfilledReason::CompetitiveSeparation)
    }

    fn reason(&self, dice: &mut Dice) -> UnfilledReason {
        match REASONS[dice.by_weight(&self.reasons)].0 {
            UnfilledReason::AuctionUnavailable if !self.auctions => UnfilledReason::NoEligibleDemand,
            reason => reason,
        }
    }
}

fn ad_of(dice: &mut Dice, ads: &Ads, flight: usize) -> usize {
    let (first, count) = ads.of_flight[flight];
    first + dice.place(count)
}
