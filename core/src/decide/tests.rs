//! What a decision must do, read as the specification.

use std::{format, string::ToString, vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::{
    api::{SlotRequest, Tracking},
    auction::Auction,
    caps::{Cap, CapScope, Viewer, Window},
    consent::Permissions,
    contract::{BreakPosition, Rating},
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId, RecordId},
    keys::Keyring,
    plan::{AdSource, FlightSource, PlanSource, Targeting, TitleSource, build},
};

mod offers;
mod pods;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const DAY_MS: u64 = 24 * 3_600_000;

fn keys() -> Keyring {
    Keyring::parse(&format!("1:{:064x}", 7)).unwrap()
}

fn flight(id: u32) -> FlightSource {
    FlightSource {
        flight_id: FlightId(id),
        campaign_id: CampaignId(id),
        advertiser_id: AdvertiserId(id),
        class: DemandClass::Guaranteed,
        starts_at: NOW.minus_ms(DAY_MS),
        ends_at: NOW.plus_ms(DAY_MS),
        allocation: 100,
        caps: vec![],
        ratings: vec![],
        category: None,
        targeting: Targeting::default(),
        ads: vec![ad(id, 15_000)],
        ..FlightSource::default()
    }
}

fn ad(id: u32, duration_ms: u32) -> AdSource {
    AdSource {
        ad_id: AdId(id),
        creative_id: CreativeId(id),
        record_id: RecordId([1; 8]),
        caps: vec![],
        duration_ms,
        universal_ad_id: "unknown".into(),
        name: format!("ad {id}"),
        media: vec![],
        ..AdSource::default()
    }
}

fn daily(limit: u32) -> Cap {
    Cap { scope: CapScope::Campaign, limit, window: Window::Rolling { ms: DAY_MS } }
}

fn house(id: u32) -> FlightSource {
    FlightSource { class: DemandClass::House, ..flight(id) }
}

fn plan_of(flights: Vec<FlightSource>) -> Vec<u8> {
    build(&source_of(flights), &keys()).unwrap()
}

fn source_of(flights: Vec<FlightSource>) -> PlanSource {
    let title = |id: &str, rating, genre: &str| TitleSource {
        title_id: id.into(),
        rating,
        genres: vec![genre.to_string()],
        ..TitleSource::default()
    };
    PlanSource {
        version: 3,
        created_at: NOW,
        valid_from: NOW.minus_ms(DAY_MS),
        valid_until: NOW.plus_ms(DAY_MS),
        lease_ms: 7_200_000,
        titles: vec![title("film", Rating::TvPg, "drama"), title("cartoon", Rating::TvY, "kids")],
        flights,
    }
}

fn request(slots: usize) -> BreakRequest {
    BreakRequest {
        request_id: "r".into(),
        profile_id: "p".into(),
        session_id: None,
        title_id: "film".into(),
        position: BreakPosition::Preroll,
        slots: vec![SlotRequest { max_duration_ms: 30_000, ..SlotRequest::default() }; slots],
        max_duration_ms: None,
        tier: None,
        country: None,
        device: None,
        tracking: Tracking::Token,
        ..BreakRequest::default()
    }
}

fn decide_at(plan: &[u8], caps: &CapState, request: &BreakRequest, seed: u8) -> Pod {
    let plan = Plan::verify(plan, &keys()).unwrap();
    decide(Some(&plan), caps, &occasion(request, seed))
}

fn occasion(request: &BreakRequest, seed: u8) -> Occasion<'_> {
    let (break_id, viewer) = (BreakId([seed; 16]), ViewerKey([2; 16]));
    Occasion {
        request,
        break_id,
        viewer,
        session: None,
        permissions: Permissions::default(),
        invalid_traffic: None,
        auction: &Auction::NotAsked,
        opened_at: NOW,
        now: NOW,
    }
}

fn known() -> CapState {
    CapState::Known(Viewer::default())
}

/// Each slot as the flight that filled it, or the reason why none did.
fn outcomes(pod: &Pod) -> Vec<Result<u32, UnfilledReason>> {
    let outcome = |slot: &Opportunity| match &slot.outcome {
        Outcome::Filled(fill) => Ok(fill.booking.flight_id.0),
        Outcome::Unfilled { unfilled_reason } => Err(*unfilled_reason),
    };
    pod.slots.iter().map(outcome).collect()
}

/// The outcome of one slot with these flights.
fn one(flights: Vec<FlightSource>) -> Result<u32, UnfilledReason> {
    outcomes(&decide_at(&plan_of(flights), &known(), &request(1), 1))[0]
}

#[test]
fn every_reason_is_given_exactly_when_it_is_true() {
    use UnfilledReason::{ContentUnsuitable, DurationExceeded, FrequencyCapped, NoEligibleDemand, PacingThrottled};
    type Case = (&'static str, fn(&mut FlightSource), Result<u32, UnfilledReason>);
    let cases: [Case; 11] = [
        ("as it is", |_| {}, Ok(1)),
        ("ended", |f| f.ends_at = NOW, Err(NoEligibleDemand)),
        ("not yet begun", |f| f.starts_at = NOW.plus_ms(1), Err(NoEligibleDemand)),
        ("of another genre", |f| f.targeting.genres = vec!["kids".into()], Err(NoEligibleDemand)),
        ("of this genre", |f| f.targeting.genres = vec!["kids".into(), "drama".into()], Ok(1)),
        ("for a tier not given", |f| f.targeting.tiers = vec!["basic".into()], Err(NoEligibleDemand)),
        ("for children only", |f| f.ratings = vec![Rating::TvY], Err(ContentUnsuitable)),
        ("for this rating", |f| f.ratings = vec![Rating::TvY, Rating::TvPg], Ok(1)),
        ("too long", |f| f.ads[0].duration_ms = 30_001, Err(DurationExceeded)),
        ("ahead of its plan", |f| f.allocation = 0, Err(PacingThrottled)),
        ("capped at nothing", |f| f.caps = vec![daily(0)], Err(FrequencyCapped)),
    ];
    for (name, change, expected) in cases {
        let mut changed = flight(1);
        change(&mut changed);
        assert_eq!(one(vec![changed]), expected, "a flight {name}");
    }
    assert_eq!(one(vec![]), Err(NoEligibleDemand));
}

mod eligible;

#[test]
fn the_row_says_the_reason_nearest_to_filling_and_counts_them_all() {
    let mut too_long = flight(1);
    too_long.ads[0].duration_ms = 60_000;
    let mut capped = flight(2);
    capped.caps = vec![daily(0)];
    let mut ended = flight(3);
    ended.ends_at = NOW;
    let pod = decide_at(&plan_of(vec![too_long, capped, ended]), &known(), &request(1), 1);
    assert_eq!(outcomes(&pod), [Err(UnfilledReason::FrequencyCapped)]);
    let counts = pod.slots[0].eliminated;
    assert_eq!((counts.duration_exceeded, counts.frequency_capped, counts.no_eligible_demand), (1, 1, 1));
    assert_eq!(pod.slots[0].candidates, 3);
}

#[test]
fn advertisers_categories_and_creatives_are_kept_apart_within_a_pod() {
    let mut rival = flight(2);
    rival.category = Some("cars".into());
    let mut other_rival = flight(3);
    other_rival.category = Some("cars".into());
    let mut same_advertiser = flight(4);
    same_advertiser.advertiser_id = AdvertiserId(2);
    let pod = decide_at(&plan_of(vec![rival, other_rival, same_advertiser]), &known(), &request(3), 5);
    let filled: Vec<u32> = outcomes(&pod).into_iter().filter_map(Result::ok).collect();
    assert!(!(filled.contains(&2) && filled.contains(&3)), "{filled:?}");
    assert!(!(filled.contains(&2) && filled.contains(&4)), "{filled:?}");
    assert_eq!(pod.slots[2].outcome, Outcome::Unfilled { unfilled_reason: UnfilledReason::CompetitiveSeparation });
}

#[test]
fn house_ads_are_the_floor_and_never_repeat_a_creative() {
    let mut promos = house(9);
    promos.ads = vec![ad(90, 10_000), ad(91, 10_000)];
    let pod = decide_at(&plan_of(vec![promos, flight(1)]), &known(), &request(4), 1);
    assert_eq!(outcomes(&pod), [Ok(1), Ok(9), Ok(9), Err(UnfilledReason::CompetitiveSeparation)]);
    let reasons: Vec<_> = pod.slots[..3].iter().map(|slot| slot.fill().unwrap().fill_reason).collect();
    assert_eq!(reasons, [FillReason::Guaranteed, FillReason::HouseAd, FillReason::HouseAd]);
    assert_ne!(pod.slots[1].fill().unwrap().ad_id, pod.slots[2].fill().unwrap().ad_id);
}

#[test]
fn the_break_as_a_whole_is_bounded_too() {
    let mut asked = request(2);
    asked.max_duration_ms = Some(20_000);
    let pod = decide_at(&plan_of(vec![flight(1), flight(2)]), &known(), &asked, 1);
    assert!(outcomes(&pod)[0].is_ok());
    assert_eq!(outcomes(&pod)[1], Err(UnfilledReason::DurationExceeded));
}

#[test]
fn when_caps_cannot_be_checked_only_uncapped_demand_competes() {
    let mut capped = flight(1);
    capped.caps = vec![daily(9)];
    let plan = plan_of(vec![capped, flight(2)]);
    let pod = decide_at(&plan, &CapState::Unavailable, &request(2), 1);
    assert_eq!(outcomes(&pod), [Ok(2), Err(UnfilledReason::CapCheckUnavailable)]);
    assert_eq!(pod.claims().count(), 0);
}

#[test]
fn a_pod_counts_its_own_claims_against_the_caps() {
    let mut promo = house(1);
    promo.ads = vec![ad(1, 5_000), ad(2, 5_000), ad(3, 5_000)];
    promo.caps = vec![daily(2)];
    let pod = decide_at(&plan_of(vec![promo]), &known(), &request(3), 1);
    assert_eq!(outcomes(&pod), [Ok(1), Ok(1), Err(UnfilledReason::FrequencyCapped)]);
    assert_eq!(pod.claims().count(), 2);
}

#[test]
fn a_cap_of_the_campaign_counts_what_its_other_flights_show() {
    let mut uncapped = flight(1);
    uncapped.campaign_id = CampaignId(7);
    uncapped.advertiser_id = AdvertiserId(7);
    let mut capped = flight(2);
    capped.campaign_id = CampaignId(7);
    capped.advertiser_id = AdvertiserId(7);
    capped.caps = vec![daily(1)];
    // Only the uncapped flight fits now; its showing must be held, for the day that the other's cap counts.
    capped.ads[0].duration_ms = 30_001;
    let pod = decide_at(&plan_of(vec![uncapped.clone(), capped.clone()]), &known(), &request(1), 1);
    let held = *pod.claims().next().unwrap();
    assert_eq!((held.booking.flight_id, held.counts_until), (FlightId(1), NOW.plus_ms(DAY_MS)));

    let mut viewer = Viewer::default();
    viewer.add(held);
    capped.ads[0].duration_ms = 15_000;
    let both = plan_of(vec![uncapped.clone(), capped]);
    let only_capped_fits = |seed| outcomes(&decide_at(&both, &CapState::Known(viewer.clone()), &request(1), seed))[0];
    assert!((0..20).all(|seed| only_capped_fits(seed) == Ok(1)), "the capped flight has had its campaign's one");
    let unknown = decide_at(&both, &CapState::Unavailable, &request(1), 1);
    assert_eq!(
        outcomes(&unknown),
        [Err(UnfilledReason::CapCheckUnavailable)],
        "what a cap counts is not shown uncounted"
    );
}

#[test]
fn a_capped_creative_leaves_its_flights_others_in_play() {
    let mut two = house(1);
    two.ads = vec![ad(1, 5_000), ad(2, 5_000)];
    two.caps = vec![Cap { scope: CapScope::Creative, ..daily(1) }];
    let plan = plan_of(vec![two]);
    let first = decide_at(&plan, &known(), &request(1), 1);
    let mut viewer = Viewer::default();
    viewer.add(*first.claims().next().unwrap());
    for seed in 0..20 {
        let again = decide_at(&plan, &CapState::Known(viewer.clone()), &request(1), seed);
        assert_ne!(again.slots[0].fill().unwrap().ad_id, first.slots[0].fill().unwrap().ad_id);
    }
}

#[test]
fn a_cap_of_one_creative_binds_it_wherever_it_is_booked_and_no_other() {
    let once = Cap { scope: CapScope::Creative, ..daily(1) };
    let both = |creative: u32, caps: &[Cap]| AdSource {
        creative_id: CreativeId(creative),
        caps: caps.to_vec(),
        ..ad(0, 5_000)
    };
    let (mut first, mut second) = (house(1), house(2));
    first.ads = vec![AdSource { ad_id: AdId(1), ..both(1, &[once]) }, AdSource { ad_id: AdId(2), ..both(2, &[]) }];
    second.ads = vec![AdSource { ad_id: AdId(3), ..both(1, &[once]) }];
    let decided = |flights: Vec<FlightSource>, viewer: &Viewer, seed| {
        let pod = decide_at(&plan_of(flights), &CapState::Known(viewer.clone()), &request(1), seed);
        (outcomes(&pod)[0], pod)
    };
    let (shown, pod) = decided(vec![second.clone()], &Viewer::default(), 1);
    assert!(shown.is_ok());
    let mut viewer = Viewer::default();
    viewer.add(*pod.claims().next().unwrap());
    for seed in 0..20 {
        let (_, again) = decided(vec![first.clone(), second.clone()], &viewer, seed);
        assert_eq!(again.slots[0].fill().unwrap().ad_id, AdId(2), "the one creative that is not capped");
    }
    assert_eq!(decided(vec![second], &viewer, 1).0, Err(UnfilledReason::FrequencyCapped));
}

#[test]
fn no_ad_is_under_more_caps_than_are_checked() {
    let (mut flight, cap) = (flight(1), daily(1));
    flight.caps = vec![cap; 15];
    flight.ads[0].caps = vec![cap; 2];
    let source = |flight: FlightSource| PlanSource { flights: vec![flight], ..source_of(vec![]) };
    let refused = build(&source(flight.clone()), &keys()).unwrap_err().to_string();
    assert!(refused.contains("flight 1, ad 1: caps: 17 is more than the 16"), "{refused}");
    flight.ads[0].caps.pop();
    assert!(build(&source(flight), &keys()).is_ok());
}

#[test]
fn without_a_valid_plan_every_slot_says_so() {
    let asked = request(2);
    let occasion = |now| Occasion {
        request: &asked,
        break_id: BreakId([1; 16]),
        viewer: ViewerKey([2; 16]),
        session: None,
        permissions: Permissions::default(),
        invalid_traffic: None,
        auction: &Auction::NotAsked,
        opened_at: now,
        now,
    };
    let bytes = plan_of(vec![flight(1)]);
    let plan = Plan::open(&bytes).unwrap();
    let unavailable = [Err(UnfilledReason::PlanUnavailable); 2];
    assert_eq!(outcomes(&decide(None, &known(), &occasion(NOW))), unavailable);
    assert_eq!(outcomes(&decide(Some(&plan), &known(), &occasion(plan.valid_until()))), unavailable);
    assert!(outcomes(&decide(Some(&plan), &known(), &occasion(NOW)))[0].is_ok());
}

#[test]
fn an_unknown_title_gets_only_what_may_run_anywhere() {
    let mut mild = flight(1);
    mild.ratings = vec![Rating::TvY, Rating::TvG];
    let mut asked = request(2);
    asked.title_id = "nobody knows it".into();
    let pod = decide_at(&plan_of(vec![mild, flight(2)]), &known(), &asked, 1);
    assert_eq!(outcomes(&pod), [Ok(2), Err(UnfilledReason::CompetitiveSeparation)]);
    assert_eq!(pod.slots[0].eliminated.content_unsuitable, 1);
}

#[test]
fn flights_win_in_proportion_to_what_they_still_need() {
    let mut hungry = flight(1);
    hungry.allocation = 300;
    let bytes = plan_of(vec![hungry, flight(2)]);
    let plan = Plan::open(&bytes).unwrap();
    let asked = request(1);
    let wins = (0..4_000u32).filter(|seed| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&seed.to_le_bytes());
        let occasion = Occasion {
            session: None,
            permissions: Permissions::default(),
            invalid_traffic: None,
            auction: &Auction::NotAsked,
            request: &asked,
            break_id: BreakId(*blake3::hash(&id).as_bytes().first_chunk().unwrap()),
            viewer: ViewerKey::default(),
            opened_at: NOW,
            now: NOW,
        };
        outcomes(&decide(Some(&plan), &known(), &occasion)) == [Ok(1)]
    });
    // 3000 expected; four standard deviations are 110.
    let wins = wins.count();
    assert!((2_890..=3_110).contains(&wins), "{wins} of 4000");
}

#[test]
fn the_logarithm_is_right_to_five_digits() {
    for draw in [0, 1 << 32, 12_345 << 32, 1 << 62, 0x8000_0000_0000_0000, u64::MAX] {
        #[expect(clippy::cast_precision_loss)]
        let exact = -((((draw >> 32) + 1) as f64) / 4_294_967_296.0).log2();
        #[expect(clippy::cast_precision_loss)]
        let ours = lottery::neg_log2_q32(draw) as f64 / 4_294_967_296.0;
        assert!((exact - ours).abs() < 2e-5, "{draw:x}: {exact} {ours}");
    }
}

fn any_flight() -> impl Strategy<Value = FlightSource> {
    let scope =
        prop::sample::select(&[CapScope::Creative, CapScope::Flight, CapScope::Campaign, CapScope::Advertiser][..]);
    let shape =
        (any::<bool>(), 0u32..4, 0u32..3, 0u32..3, 5_000u32..40_000, 1usize..3, scope.clone(), (0u32..3, scope));
    shape.prop_map(|(paid, allocation, limit, advertiser, duration_ms, ads, scope, of_first)| FlightSource {
        class: if paid { DemandClass::Guaranteed } else { DemandClass::House },
        allocation,
        advertiser_id: AdvertiserId(advertiser),
        caps: if limit == 0 { vec![] } else { vec![Cap { scope, ..daily(limit) }] },
        ads: (0..ads)
            .map(|n| AdSource {
                // The first creative carries a cap of its own; the other does not.
                caps: if n == 0 && of_first.0 > 0 {
                    vec![Cap { scope: of_first.1, ..daily(of_first.0) }]
                } else {
                    vec![]
                },
                ..ad(u32::try_from(n).unwrap(), duration_ms)
            })
            .collect(),
        ..flight(0)
    })
}

fn numbered(flights: Vec<FlightSource>) -> Vec<FlightSource> {
    let renumber = |(id, mut flight): (u32, FlightSource)| {
        flight.flight_id = FlightId(id);
        flight.campaign_id = CampaignId(flight.advertiser_id.0 * 2 + id % 2);
        for (n, ad) in (0..).zip(&mut flight.ads) {
            (ad.ad_id, ad.creative_id) = (AdId(id * 10 + n), CreativeId(id * 10 + n));
        }
        flight
    };
    (1..).zip(flights).map(renumber).collect()
}

proptest! {
    #[test]
    fn any_decision_conserves_slots_keeps_caps_fits_and_repeats_exactly(
        flights in prop::collection::vec(any_flight(), 0..12), slots in 1usize..7, seed in any::<u8>(), breaks in 1u8..6,
    ) {
        let flights = numbered(flights);
        let plan = plan_of(flights.clone());
        let asked = request(slots);
        let mut viewer = Viewer::default();
        let mut shown: Vec<crate::caps::Booking> = vec![];
        for round in 0..breaks {
            let state = CapState::Known(viewer.clone());
            let pod = decide_at(&plan, &state, &asked, seed.wrapping_add(round));
            prop_assert_eq!(pod.slots.len(), slots);
            prop_assert_eq!(&pod, &decide_at(&plan, &state, &asked, seed.wrapping_add(round)));
            for fill in pod.slots.iter().filter_map(Opportunity::fill) {
                prop_assert!(fill.duration_ms <= 30_000);
                // Straight from what was shown, claims or not: the caps that the shown flight and ad carry still hold.
                shown.push(fill.booking);
                let flight = &flights[fill.booking.flight_id.0 as usize - 1];
                let ad = flight.ads.iter().find(|ad| ad.ad_id == fill.ad_id).unwrap();
                for cap in flight.caps.iter().chain(&ad.caps) {
                    let counted = shown.iter().filter(|past| match cap.scope {
                        CapScope::Creative => past.creative_id == fill.booking.creative_id,
                        CapScope::Flight => past.flight_id == fill.booking.flight_id,
                        CapScope::Campaign => past.campaign_id == fill.booking.campaign_id,
                        CapScope::Advertiser => past.advertiser_id == fill.booking.advertiser_id,
                    });
                    prop_assert!(counted.count() <= cap.limit as usize);
                }
            }
            pod.claims().for_each(|claim| viewer.add(*claim));
        }
    }

    #[test]
    fn a_damaged_plan_is_refused_and_never_panics(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut plan = plan_of(vec![flight(1), house(2)]);
        let at = at.index(plan.len());
        plan[at] ^= 1 << bit;
        prop_assert!(Plan::verify(&plan, &keys()).is_err());
        if let Ok(opened) = Plan::open(&plan) { // as a store that rots would hand it to us
            let asked = request(3);
            let occasion = Occasion { request: &asked, break_id: BreakId([1; 16]), viewer: ViewerKey::default(), session: None, permissions: Permissions::default(), invalid_traffic: None, auction: &Auction::NotAsked, opened_at: NOW, now: NOW };
            prop_assert_eq!(decide(Some(&opened), &known(), &occasion).slots.len(), 3);
        }
    }
}

#[test]
fn the_index_finds_what_a_scan_would_find_however_many_others_there_are() {
    let mut flights: Vec<FlightSource> = (1..=3_000)
        .map(|id| {
            let mut other = flight(id);
            other.targeting.countries = vec![format!("C{}", id % 200)];
            other
        })
        .collect();
    flights.push(house(5_000));
    let plan = plan_of(flights);
    let mut asked = request(6);
    asked.country = Some("C7".into());
    let pod = decide_at(&plan, &known(), &asked, 1);
    assert_eq!(pod.slots[0].candidates, 16, "3000 / 200 and the house ad");
    assert!(outcomes(&pod).into_iter().all(|outcome| outcome.unwrap() % 200 == 7));
}

#[test]
fn a_recorded_decision_is_made_again_exactly_and_its_witness_hears_of_every_candidate() {
    #[derive(Default)]
    struct Heard(Vec<(u8, u32, Option<UnfilledReason>)>);
    impl Witness for Heard {
        fn lost(&mut self, slot: Option<u8>, flight: FlightId, reason: UnfilledReason) {
            self.0.push((slot.unwrap_or(99), flight.0, Some(reason)));
        }
        fn won(&mut self, slot: u8, flight: FlightId, _ad: AdId) {
            self.0.push((slot, flight.0, None));
        }
        fn outranked(&mut self, slot: u8, flight: FlightId) {
            self.0.push((slot, flight.0, None));
        }
        fn wants_all(&self) -> bool {
            true
        }
    }
    let mut capped = flight(2);
    capped.caps = vec![daily(0)];
    let mut ended = flight(3);
    ended.ends_at = NOW;
    let bytes = plan_of(vec![flight(1), capped, ended, house(4)]);
    let plan = Plan::verify(&bytes, &keys()).unwrap();
    let pod = decide_at(&bytes, &known(), &request(2), 1);
    assert!(pod.slots.iter().all(|slot| slot.decision_id == pod.decision.id()));

    let recorded: Decision = serde_json::from_str(&serde_json::to_string(&pod.decision).unwrap()).unwrap();
    let mut heard = Heard::default();
    assert_eq!(recorded.decide_again(Some(&plan), &mut heard), Some(pod.clone()));
    assert_eq!(recorded.decide_again(None, &mut ()), None, "another plan decides nothing");
    for slot in 0..2 {
        let mut of_slot: Vec<u32> =
            heard.0.iter().filter(|(at, ..)| *at == slot).map(|(_, flight, _)| *flight).collect();
        of_slot.sort_unstable();
        assert_eq!(of_slot, [1, 2, 4], "every competitor, once a slot");
    }
    assert!(heard.0.contains(&(99, 3, Some(UnfilledReason::NoEligibleDemand))));
    let mut altered = recorded;
    altered.asked.tier = Some("gold".into());
    assert_ne!(altered.id(), pod.decision.id());
}
