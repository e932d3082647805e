//! How much of the competition each flight gets: its allocation, made anew with every plan. `docs/pacing.md` says the rule in
//! words.

use std::collections::BTreeMap;

use slotkeeper_books::{
    Flight, SlotQuarter, Span,
    pacing::{Curve, DAY_MS, Delivered, ON_TRACK_MILLIONTHS, daily::zone_name, pace},
};
use slotkeeper_core::{contract::DemandClass, id::FlightId, time::UnixMillis};

use crate::{books, contracts::BookedFlight};

/// What a plan is made from besides the bookings: what became of the plans before.
#[derive(Clone, Debug, Default)]
pub struct Feedback {
    /// Of each flight, the impressions that passed its threshold.
    pub delivered: BTreeMap<FlightId, u64>,
    /// The slots of the last weeks, which say when people watch; may be empty.
    pub slots: Vec<SlotQuarter>,
    /// Whether that is old, so that what it says of who is behind is not to be acted on.
    pub is_stale: bool,
}

/// How hard the pacing index pulls, all in millionths.
#[derive(Clone, Copy, Debug)]
struct Gain {
    /// How much of what the index says is done at once. The rest is done by the plans that follow, unless it was noise, or the
    /// echo of what is on its way already.
    damping: u64,
    /// The least that a flight's rate is multiplied by.
    least: u64,
    /// The most.
    most: u64,
}

const GAIN: Gain = Gain { damping: 500_000, least: 500_000, most: 2_000_000 };

/// Makes the allocations of one plan.
pub(super) struct Allocator<'a> {
    feedback: &'a Feedback,
    /// Those of the last plan, if they are to stay.
    frozen: BTreeMap<FlightId, u32>,
    curves: BTreeMap<String, Curve>,
    now: UnixMillis,
}

impl<'a> Allocator<'a> {
    /// For a plan made now. While the feedback is stale, flights keep what they had in the `last` plan.
    pub(super) fn new(feedback: &'a Feedback, last: BTreeMap<FlightId, u32>, now: UnixMillis) -> Self {
        let frozen = if feedback.is_stale { last } else { BTreeMap::new() };
        Self { feedback, frozen, curves: BTreeMap::new(), now }
    }

    /// The allocation of a flight: of a house flight its weight as booked.
    pub(super) fn allocation(&mut self, flight: &BookedFlight) -> u32 {
        if flight.class == DemandClass::House {
            return flight.weight.unwrap_or(1);
        }
        if let Some(frozen) = self.frozen.get(&flight.flight_id) {
            return *frozen;
        }
        let flight = books::flight(flight, self.now);
        let zone = flight.time_zone.clone();
        let slots = &self.feedback.slots;
        let curve = self.curves.entry(zone_name(&zone)).or_insert_with(|| Curve::learned(zone, slots));
        let delivered = self.feedback.delivered.get(&flight.flight_id).copied().unwrap_or(0);
        allocation(&flight, delivered, curve, self.now, GAIN)
    }
}

/// The allocation of a guaranteed flight after `delivered` impressions passed its threshold: the daily rate that would just
/// deliver the rest of what was promised, as high as the audience is now, corrected by how far the flight is behind or ahead.
/// Rounded up, at least 1; 0 once all is delivered: it stops (`pacing_throttled`).
///
/// The time that remains counts from the flight's start if that is still to come, and is never less than a mean day: with an hour
/// left, the rest of a day's promise must not turn into a rate of twenty-four days' worth, which would push aside every flight that
/// still has a chance, for one that has not.
fn allocation(flight: &Flight, delivered: u64, curve: &Curve, now: UnixMillis, gain: Gain) -> u32 {
    let missing = u128::from(flight.committed.saturating_sub(delivered));
    let from = now.max(flight.starts_at);
    let mean_day = Curve::even(flight.time_zone.clone()).weight_of(Span { from, until: from.plus_ms(DAY_MS) });
    let to_come = curve.weight_of(Span { from, until: flight.ends_at }).max(mean_day);
    let shaped_day = u128::from(curve.weight_at(from)) * u128::from(DAY_MS);
    let known = Delivered { total: delivered, recent_days: vec![] };
    let correction = correction(pace(flight, &known, curve, now).index_millionths, gain);
    // Below 2^40 impressions, 2^48 weight of a day, 2^21 of correction; what is more saturates.
    let rate = missing.saturating_mul(shaped_day).saturating_mul(correction.into());
    let per_day = rate.div_ceil(to_come.saturating_mul(ON_TRACK_MILLIONTHS.into()));
    u32::try_from(per_day).unwrap_or(u32::MAX)
}

/// What a flight's rate is multiplied by, in millionths: 1 on track, more behind, less ahead. Part of the way to one over the
/// index, within bounds.
fn correction(index_millionths: Option<u64>, gain: Gain) -> u64 {
    let Some(index) = index_millionths else { return ON_TRACK_MILLIONTHS };
    let one = i128::from(ON_TRACK_MILLIONTHS);
    let inverse = one * one / i128::from(index.max(1));
    let damped = one + (inverse - one) * i128::from(gain.damping) / one;
    u64::try_from(damped.clamp(gain.least.into(), gain.most.into())).unwrap_or(ON_TRACK_MILLIONTHS)
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use slotkeeper_core::{
        contract::{Placement, PodPosition},
        id::{AdvertiserId, CampaignId, FlightId},
        impression::Quartile,
        money::{Currency, Money},
        plan::Targeting,
    };

    use super::*;
    use crate::contracts::{Frequency, Pause};

    const START: UnixMillis = UnixMillis(1_795_000_000_000);

    fn flight(committed: u64, days: u64) -> BookedFlight {
        BookedFlight {
            flight_id: FlightId(1),
            slug: "f".into(),
            campaign_id: CampaignId(1),
            campaign: "c".into(),
            advertiser_id: AdvertiserId(1),
            advertiser: "a".into(),
            advertiser_name: "A".into(),
            category: None,
            class: DemandClass::Guaranteed,
            starts_at: START,
            ends_at: START.plus_ms(days * DAY_MS),
            committed_impressions: Some(committed),
            cpm: Money { micros: 1, currency: Currency::parse("USD").unwrap() },
            completion_threshold: Quartile::Start,
            weight: None,
            frequency: Frequency::default(),
            campaign_frequency: Frequency::default(),
            advertiser_frequency: Frequency::default(),
            ratings: vec![],
            targeting: Targeting::default(),
            exclusion: Targeting::default(),
            dayparts: vec![],
            placement: Placement::Ad,
            pod_position: PodPosition::Any,
            paused: false,
            pauses: vec![],
            ads: vec![],
        }
    }

    fn allotted(flight: &BookedFlight, delivered: u64, now: UnixMillis) -> u32 {
        let feedback = Feedback { delivered: BTreeMap::from([(flight.flight_id, delivered)]), ..Feedback::default() };
        Allocator::new(&feedback, BTreeMap::new(), now).allocation(flight)
    }

    #[test]
    fn a_flight_that_goes_on_after_a_pause_is_not_behind_by_it() {
        let at = |day: u64| START.plus_ms(day * DAY_MS);
        let mut resumed = flight(1_000, 10);
        assert_eq!(allotted(&resumed, 400, at(7)), 275, "600 in three days, and far behind");
        resumed.pauses = vec![Pause { from: at(2), until: Some(at(7)) }];
        assert_eq!(allotted(&resumed, 400, at(7)), 200, "400 in two days of five: on track");
    }

    #[test]
    fn a_flight_is_allotted_the_daily_rate_that_still_delivers_it_corrected_by_its_index() {
        let at = |day: u64| START.plus_ms(day * DAY_MS);
        let cases = [
            ("on its first day", 1_000, 10, 0, at(0), 100),
            ("half way, on track", 1_000, 10, 500, at(5), 100),
            ("half way, a little behind: 120, times 1.125", 1_000, 10, 400, at(5), 135),
            ("half way, far behind: 180, doubled", 1_000, 10, 100, at(5), 360),
            ("half way, ahead: 60, times 0.81", 1_000, 10, 800, at(5), 33),
            ("rounded up", 1_001, 10, 0, at(0), 101),
            ("before it starts", 1_000, 10, 0, START.minus_ms(90 * DAY_MS), 100),
            ("in its last hour, on track, not multiplied", 1_000, 10, 996, at(10).minus_ms(3_600_000), 4),
            ("one left, weeks to go", 1_000, 100, 999, at(0), 1),
            ("delivered: it stops", 1_000, 10, 1_000, at(5), 0),
            ("over-delivered: it stops", 1_000, 10, 1_007, at(5), 0),
            ("more than a plan can say", u64::MAX, 1, 0, at(0), u32::MAX),
        ];
        for (case, committed, days, delivered, now, expected) in cases {
            assert_eq!(allotted(&flight(committed, days), delivered, now), expected, "{case}");
        }
    }

    #[test]
    fn the_index_pulls_half_way_and_never_by_more_than_a_factor_of_two() {
        for (index, expected) in [
            (None, 1_000_000),
            (Some(1_000_000), 1_000_000),
            (Some(800_000), 1_125_000),
            (Some(500_000), 1_500_000),
            (Some(333_333), 2_000_000),
            (Some(0), 2_000_000),
            (Some(2_000_000), 750_000),
            (Some(u64::MAX), 500_000),
        ] {
            assert_eq!(correction(index, GAIN), expected, "{index:?}");
        }
    }

    #[test]
    fn a_flight_gets_more_when_more_people_watch_on_its_own_clock() {
        let evening = |at: UnixMillis| if (18..23).contains(&(at.0 / 3_600_000 % 24)) { 100 } else { 10 };
        let begin = UnixMillis(START.0 / DAY_MS * DAY_MS);
        let quarters = (1..=28 * 96).map(|back| begin.minus_ms(back * 900_000));
        let slots = quarters.rev().map(|at| SlotQuarter { at, slots: evening(at) }).collect();
        let feedback = Feedback { slots, ..Feedback::default() };
        let booked = flight(1_000_000, 10);
        let of = |hour: u64| {
            let now = begin.plus_ms(DAY_MS + hour * 3_600_000);
            let paced = Feedback { delivered: BTreeMap::from([(FlightId(1), 100_000)]), ..feedback.clone() };
            Allocator::new(&paced, BTreeMap::new(), now).allocation(&booked)
        };
        assert!(of(20) > of(4) * 5, "{} {}", of(20), of(4));
    }

    #[test]
    fn while_what_is_delivered_is_not_known_flights_keep_what_they_had() {
        let now = START.plus_ms(5 * DAY_MS);
        let stale = Feedback { is_stale: true, ..Feedback::default() };
        let last = BTreeMap::from([(FlightId(1), 77)]);
        let booked = flight(1_000, 10);
        assert_eq!(Allocator::new(&stale, last.clone(), now).allocation(&booked), 77);
        assert_eq!(Allocator::new(&stale, BTreeMap::new(), now).allocation(&booked), 400, "it was in no plan yet");
        let fresh = Feedback { is_stale: false, ..stale };
        assert_eq!(Allocator::new(&fresh, last, now).allocation(&booked), 400);
    }

    #[test]
    fn a_house_flight_is_allotted_its_weight() {
        let house = BookedFlight { class: DemandClass::House, weight: Some(7), ..flight(1, 1) };
        assert_eq!(allotted(&house, 1_000, START), 7);
    }
}
