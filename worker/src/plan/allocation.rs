//! How much of the competition each flight gets: its allocation, made anew with every plan.

use slotkeeper_core::{contract::DemandClass, time::UnixMillis};

use crate::contracts::BookedFlight;

const DAY_MS: u64 = 24 * 3_600_000;

/// The allocation of `flight` after `delivered` impressions passed its threshold.
///
/// A guaranteed flight gets the daily rate that would just deliver the rest of what was promised: what remains, divided
/// by the days that remain, rounded up, at least 1; so a flight behind its plan gains on the others by itself. 0 once
/// all is delivered: it stops (`pacing_throttled`). The days that remain count from the flight's start if that is still
/// to come, and are never less than one: with an hour left, the rest of a day's promise must not turn into a rate of
/// twenty-four days' worth, which would push aside every flight that still has a chance, for one that has not.
///
/// A house flight gets its weight as booked.
pub fn allocation(flight: &BookedFlight, delivered: u64, now: UnixMillis) -> u32 {
    if flight.class == DemandClass::House {
        return flight.weight.unwrap_or(1);
    }
    let remaining = flight.committed_impressions.unwrap_or(0).saturating_sub(delivered);
    let remaining_ms = flight.ends_at.since_ms(now.max(flight.starts_at)).max(DAY_MS);
    let per_day = (u128::from(remaining) * u128::from(DAY_MS)).div_ceil(u128::from(remaining_ms));
    u32::try_from(per_day).unwrap_or(u32::MAX)
}

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
    use crate::contracts::Frequency;

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
            ads: vec![],
        }
    }

    #[test]
    fn a_flight_is_allotted_the_daily_rate_that_still_delivers_it() {
        let at = |day: u64| START.plus_ms(day * DAY_MS);
        let cases = [
            ("on its first day", 1_000, 10, 0, at(0), 100),
            ("half way, on track", 1_000, 10, 500, at(5), 100),
            ("half way, behind", 1_000, 10, 100, at(5), 180),
            ("rounded up", 1_001, 10, 0, at(0), 101),
            ("before it starts", 1_000, 10, 0, START.minus_ms(90 * DAY_MS), 100),
            ("in its last hour, not multiplied", 1_000, 10, 900, at(10).minus_ms(3_600_000), 100),
            ("one left, weeks to go", 1_000, 100, 999, at(0), 1),
            ("delivered: it stops", 1_000, 10, 1_000, at(5), 0),
            ("over-delivered: it stops", 1_000, 10, 1_007, at(5), 0),
            ("more than a plan can say", u64::MAX, 1, 0, at(0), u32::MAX),
        ];
        for (case, committed, days, delivered, now, expected) in cases {
            assert_eq!(allocation(&flight(committed, days), delivered, now), expected, "{case}");
        }
    }

    #[test]
    fn a_house_flight_is_allotted_its_weight() {
        let house = BookedFlight { class: DemandClass::House, weight: Some(7), ..flight(1, 1) };
        assert_eq!(allocation(&house, 1_000, START), 7);
    }
}
