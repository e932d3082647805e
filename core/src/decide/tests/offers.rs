//! What an auction's offers fill, and what they never take.

use super::*;
use crate::{
    api::PodRequest,
    auction::Offer,
    contract::Presentation,
    money::{Currency, Money},
};

/// An offer of so many milliseconds for the first slot, from an advertiser of its own unless two share a domain.
fn offer(domain: &str, creative: &str, duration_ms: u32, cpm_micros: i64) -> Offer {
    offer_for(0, domain, creative, duration_ms, cpm_micros)
}

fn offer_for(slot: u8, domain: &str, creative: &str, duration_ms: u32, cpm_micros: i64) -> Offer {
    let cpm = Money { micros: cpm_micros, currency: Currency::parse("USD").unwrap() };
    let ad = (creative.into(), vec![], Presentation::default());
    Offer::of((slot, PodPosition::Any), (domain, creative), cpm, (duration_ms, "unknown".into()), ad, vec![])
}

fn answered(offers: Vec<Offer>) -> Auction {
    Auction::Answered { offers, refused: vec![] }
}

fn decide_with(flights: Vec<FlightSource>, request: &BreakRequest, auction: &Auction, seed: u8) -> Pod {
    let bytes = plan_of(flights);
    let plan = Plan::verify(&bytes, &keys()).unwrap();
    let pod = decide(Some(&plan), &known(), &Occasion { auction, ..occasion(request, seed) });
    assert_eq!(pod.decision.decide_again(Some(&plan), &mut ()).as_ref(), Some(&pod), "decided again");
    pod
}

fn reasons(pod: &Pod) -> Vec<Result<FillReason, UnfilledReason>> {
    let reason = |slot: &Opportunity| match &slot.outcome {
        Outcome::Filled(fill) => Ok(fill.fill_reason),
        Outcome::Unfilled { unfilled_reason } => Err(*unfilled_reason),
    };
    pod.slots.iter().map(reason).collect()
}

#[test]
fn offers_stand_between_guaranteed_demand_and_our_own_promotions() {
    for seed in 0..50 {
        let promotions: Vec<_> = (10..20).map(|id| FlightSource { allocation: u32::MAX, ..house(id) }).collect();
        let flights = [vec![FlightSource { allocation: 1, ..flight(1) }], promotions].concat();
        let everywhere = (0..4).flat_map(|slot| {
            [offer_for(slot, "a.example", "a", 5_000, 10_000), offer_for(slot, "b.example", "b", 5_000, 1)]
        });
        let auction = answered(everywhere.collect());
        let pod = decide_with(flights, &request(4), &auction, seed);
        let mut reasons = reasons(&pod);
        reasons.sort_unstable();
        let [of, auctions, ours] = [FillReason::Guaranteed, FillReason::Auction, FillReason::HouseAd].map(Ok);
        assert_eq!(reasons, [of, auctions, auctions, ours], "seed {seed}");
    }
}

#[test]
fn the_dearest_offers_win_and_none_of_one_advertiser_or_video_twice() {
    let auction = answered(vec![
        offer("a.example", "a1", 20_000, 9_000_000),
        offer("a.example", "a2", 20_000, 8_000_000),
        offer_for(1, "a.example", "a1", 20_000, 9_000_000),
        offer_for(1, "b.example", "b", 20_000, 3_000_000),
        offer_for(1, "c.example", "c", 20_000, 2_000_000),
        offer_for(1, "d.example", "d", 40_000, 90_000_000), // does not fit
    ]);
    let pod = decide_with(vec![], &request(2), &auction, 1);
    let sold: Vec<_> = pod.slots.iter().map(|slot| slot.fill().unwrap().record_id).collect();
    let expected = [0, 3].map(|at: usize| auction.offers()[at].record.record_id());
    assert_eq!(sold, expected);
    assert!(pod.claims().next().is_none(), "no cap is booked on what an auction sells");
    assert_eq!(pod.slots[0].candidates, 6);
}

#[test]
fn guaranteed_demand_gives_way_to_no_price() {
    let long = FlightSource { ads: vec![ad(1, 30_000)], allocation: 1, ..flight(1) };
    let asked = BreakRequest { max_duration_ms: Some(30_000), ..request(2) };
    let auction =
        answered(vec![offer("a.example", "a", 15_000, i64::MAX / 2), offer_for(1, "b.example", "b", 15_000, i64::MAX)]);
    for seed in 0..50 {
        let pod = decide_with(vec![long.clone()], &asked, &auction, seed);
        assert!(reasons(&pod).contains(&Ok(FillReason::Guaranteed)), "seed {seed}");
    }
}

#[test]
fn the_time_that_is_left_of_a_dynamic_pod_is_sold_for_what_all_of_it_brings() {
    let pod = PodRequest { duration_ms: 60_000, max_ads: 4, ..PodRequest::default() };
    let asked = BreakRequest { slots: vec![], pod: Some(pod), ..request(1) };
    // 45 s are left beside the flight's 15: one long ad, or two that bring more together.
    let auction = answered(vec![
        offer("long.example", "l", 45_000, 5_000_000),
        offer("a.example", "a", 20_000, 3_000_000),
        offer("b.example", "b", 25_000, 3_000_000),
    ]);
    let pod = decide_with(vec![flight(1)], &asked, &auction, 3);
    let durations: Vec<_> = pod.slots.iter().map(|slot| slot.fill().map(|fill| fill.duration_ms)).collect();
    assert_eq!(durations.len(), 3);
    assert_eq!(durations.iter().flatten().sum::<u32>(), 60_000);
}

#[test]
fn an_auction_that_was_not_reached_is_said_where_nothing_is_nearer_to_filling() {
    let auction = Auction::Unavailable { why: "no answer within 200 ms".into() };
    let pod = decide_with(vec![flight(1)], &request(1), &auction, 1);
    assert_eq!(reasons(&pod), [Ok(FillReason::Guaranteed)]);
    assert_eq!(pod.slots[0].eliminated.auction_unavailable, 0, "it was not wanted");
    let pod = decide_with(vec![], &request(1), &auction, 1);
    assert_eq!(reasons(&pod), [Err(UnfilledReason::AuctionUnavailable)]);
    let pod = decide_with(vec![flight(1)], &request(2), &auction, 1);
    assert_eq!(reasons(&pod)[1], Err(UnfilledReason::CompetitiveSeparation));
    assert_eq!(pod.slots[1].eliminated.auction_unavailable, 1);
    let pod = decide_with(vec![], &request(1), &answered(vec![]), 1);
    assert_eq!(reasons(&pod), [Err(UnfilledReason::NoEligibleDemand)]);
}

#[test]
fn a_break_that_is_a_millisecond_too_short_for_two_ads_is_decided_like_any_other() {
    // The price of time at which the two exchange is then as high as it can be.
    let one = FlightSource { ads: vec![ad(1, 15_000)], allocation: u32::MAX, ..flight(1) };
    let two = FlightSource { ads: vec![ad(2, 15_001)], allocation: u32::MAX, ..flight(2) };
    let promotion = FlightSource { ads: vec![ad(3, 15_000)], ..house(3) };
    let asked = BreakRequest { max_duration_ms: Some(30_000), ..request(2) };
    for seed in 0..100 {
        let pod = decide_with(vec![one.clone(), two.clone(), promotion.clone()], &asked, &Auction::NotAsked, seed);
        assert_eq!(pod.slots[0].search, crate::pod::Search::Exact);
        assert!(reasons(&pod).contains(&Ok(FillReason::Guaranteed)));
    }
}

#[test]
fn an_offer_for_one_slot_stands_in_no_other_and_none_returns_from_the_break_before() {
    let first = [offer("a.example", "a", 20_000, 20_000_000), offer("b.example", "b", 20_000, 18_000_000)];
    let pod = decide_with(vec![], &request(2), &answered(first.to_vec()), 1);
    assert_eq!(reasons(&pod), [Ok(FillReason::Auction), Err(UnfilledReason::NoEligibleDemand)]);
    let asked = BreakRequest { previous_ads: vec![first[0].record.ad_id], ..request(1) };
    let pod = decide_with(vec![], &asked, &answered(first.to_vec()), 1);
    assert_eq!(pod.slots[0].fill().unwrap().record_id, first[1].record.record_id());
}
