use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::id::{BreakId, BreakStem, OpportunityId, SessionKey};

const HOUR_MS: u64 = 3_600_000;
const LEASE_MS: u64 = HOUR_MS;

fn booking(flight: u32) -> Booking {
    Booking {
        advertiser_id: AdvertiserId(1),
        campaign_id: CampaignId(flight / 10),
        flight_id: FlightId(flight),
        creative_id: CreativeId(flight),
    }
}

fn break_id(seed: u8) -> BreakId {
    BreakId([seed; 16])
}

fn slot(number: u8) -> OpportunityId {
    OpportunityId::mint(break_id(number), 0, UnixMillis(0))
}

/// Confirmed, and its lease is over.
fn shown(flight: u32, at: u64) -> Claim {
    Claim {
        opportunity_id: slot(9),
        booking: booking(flight),
        session: None,
        state: ClaimState::Confirmed,
        at: UnixMillis(at),
        lease_until: UnixMillis(0),
        counts_until: UnixMillis(u64::MAX),
    }
}

fn reserved(number: u8, flight: u32, at: u64) -> Claim {
    Claim {
        opportunity_id: slot(number),
        state: ClaimState::Reserved,
        lease_until: UnixMillis(at + LEASE_MS),
        counts_until: UnixMillis(at + HOUR_MS),
        ..shown(flight, at)
    }
}

fn viewer(claims: Vec<Claim>) -> Viewer {
    claims.into_iter().fold(Viewer::default(), |mut viewer, claim| {
        viewer.add(claim);
        viewer
    })
}

fn showing(flight: u32) -> Showing {
    Showing { booking: booking(flight), flight_starts_at: UnixMillis(0), break_stem: BreakStem([0; 9]), session: None }
}

fn hourly(scope: CapScope, limit: u32) -> Cap {
    Cap { scope, limit, window: Window::Rolling { ms: HOUR_MS } }
}

#[test]
fn a_cap_counts_its_scope_within_its_window_and_nothing_else() {
    let viewer = viewer(vec![shown(10, 1_000), shown(11, 2_000)]);
    let verdict = |cap: Cap, flight| viewer.allows(&[cap], &showing(flight), UnixMillis(3_000));
    assert_eq!(verdict(hourly(CapScope::Flight, 1), 10), Err(Declined::Capped));
    assert_eq!(verdict(hourly(CapScope::Flight, 1), 12), Ok(()));
    assert_eq!(verdict(hourly(CapScope::Creative, 1), 11), Err(Declined::Capped));
    assert_eq!(verdict(hourly(CapScope::Campaign, 2), 12), Err(Declined::Capped), "10 and 11 are its campaign's");
    assert_eq!(verdict(hourly(CapScope::Campaign, 2), 20), Ok(()));
    assert_eq!(verdict(hourly(CapScope::Advertiser, 2), 20), Err(Declined::Capped));
    assert_eq!(verdict(hourly(CapScope::Flight, 0), 99), Err(Declined::Capped), "a limit of 0 allows none");
}

#[test]
fn a_showing_leaves_a_rolling_window_exactly_when_the_window_has_passed() {
    let viewer = viewer(vec![shown(10, 5_000)]);
    let cap = [hourly(CapScope::Flight, 1)];
    let at = |now| viewer.allows(&cap, &showing(10), UnixMillis(now));
    assert_eq!(at(4_000), Err(Declined::Capped), "a claim from a clock ahead of ours counts");
    assert_eq!(at(5_000 + HOUR_MS - 1), Err(Declined::Capped));
    assert_eq!(at(5_000 + HOUR_MS), Ok(()));
}

#[test]
fn a_reserved_claim_counts_in_every_window_until_its_lease_is_over() {
    let minute = [Cap { scope: CapScope::Flight, limit: 1, window: Window::Rolling { ms: 60_000 } }];
    let mut viewer = viewer(vec![reserved(1, 10, 0)]);
    let at = |viewer: &Viewer, now| viewer.allows(&minute, &showing(10), UnixMillis(now));
    assert_eq!(at(&viewer, 60_000), Err(Declined::Capped), "it may be shown now");
    assert_eq!(at(&viewer, LEASE_MS - 1), Err(Declined::Capped));
    assert_eq!(at(&viewer, LEASE_MS), Ok(()), "it cannot be shown any more");

    let (settled, _) = viewer.settle(slot(1), Transition::Confirm { at: UnixMillis(600_000) }, UnixMillis(700_000));
    assert_eq!(settled, Settled::Confirmed { at: UnixMillis(600_000) });
    assert_eq!(at(&viewer, 659_999), Err(Declined::Capped), "its minute began when it was shown");
    assert_eq!(at(&viewer, 660_000), Ok(()));
}

#[test]
fn all_caps_must_hold_at_once() {
    let viewer = viewer(vec![shown(10, 0)]);
    let caps = [hourly(CapScope::Flight, 5), Cap { scope: CapScope::Flight, limit: 1, window: Window::Lifetime }];
    assert_eq!(viewer.allows(&caps, &showing(10), UnixMillis(1)), Err(Declined::Capped));
    assert_eq!(viewer.allows(&caps[..1], &showing(10), UnixMillis(1)), Ok(()));
}

#[test]
fn a_session_cap_counts_its_session_and_is_not_guessed_without_one() {
    let cap = [Cap { scope: CapScope::Campaign, limit: 1, window: Window::Session }];
    let evening = SessionKey([1; 8]);
    let viewer = viewer(vec![Claim { session: Some(evening), ..shown(10, 0) }]);
    let within = |session| viewer.allows(&cap, &Showing { session, ..showing(10) }, UnixMillis(1));
    assert_eq!(within(Some(evening)), Err(Declined::Capped));
    assert_eq!(within(Some(SessionKey([2; 8]))), Ok(()));
    assert_eq!(within(None), Err(Declined::NoSession));
}

#[test]
fn a_break_cap_counts_its_break() {
    let cap = [Cap { scope: CapScope::Advertiser, limit: 1, window: Window::Break }];
    let viewer = viewer(vec![reserved(1, 10, 0)]);
    let within = |seed| {
        let showing = Showing { break_stem: break_id(seed).stem(), ..showing(20) };
        viewer.allows(&cap, &showing, UnixMillis(1))
    };
    assert_eq!(within(1), Err(Declined::Capped));
    assert_eq!(within(2), Ok(()), "another break of the same viewer");
}

#[test]
fn a_calendar_cap_counts_the_day_it_is_where_the_contract_says() {
    let midnight = |day: u64| UnixMillis(day * 24 * HOUR_MS + 5 * HOUR_MS); // five hours west of Greenwich
    let turn = |day| Turn { from: midnight(day), began_at: midnight(day) };
    let calendar = Calendar { turns: [turn(1), turn(2), turn(3), turn(3)], longest_ms: 25 * HOUR_MS };
    assert!(calendar.is_sound());
    let cap = [Cap { scope: CapScope::Flight, limit: 1, window: Window::Calendar(calendar) }];
    let viewer = viewer(vec![shown(10, midnight(2).0 - 1)]);
    let at = |now: UnixMillis| viewer.allows(&cap, &showing(10), now);
    assert_eq!(at(midnight(2).minus_ms(1)), Err(Declined::Capped));
    assert_eq!(at(midnight(2)), Ok(()), "a new day, a millisecond later");
    assert_eq!(at(midnight(3)), Ok(()));
    assert_eq!(at(UnixMillis(0)), Err(Declined::Capped), "before the first turn it counts as much as at the first");
    let backwards = Calendar { turns: [turn(2), turn(1), turn(3), turn(3)], ..calendar };
    assert!(!backwards.is_sound());
}

#[test]
fn a_lifetime_cap_counts_from_the_flights_start_even_after_its_end_was_moved() {
    let cap = [Cap { scope: CapScope::Flight, limit: 1, window: Window::Lifetime }];
    let horizon = Horizon::default().covering(&cap[0], UnixMillis(10_000));
    let counts_until = horizon.counts_until(UnixMillis(6_000)).unwrap();
    let mut viewer = viewer(vec![Claim { counts_until, ..shown(10, 6_000) }]);
    let extended_to = UnixMillis(10_000 + LIFETIME_GRACE_MS - 1);
    viewer.forget_ended(extended_to);
    let from = |starts_at| {
        let showing = Showing { flight_starts_at: UnixMillis(starts_at), ..showing(10) };
        viewer.allows(&cap, &showing, extended_to)
    };
    assert_eq!(from(5_000), Err(Declined::Capped));
    assert_eq!(from(6_001), Ok(()), "a later flight's own");
}

#[test]
fn the_first_of_two_contrary_beacons_decides() {
    let confirm = Transition::Confirm { at: UnixMillis(5) };
    let confirmed = Settled::Confirmed { at: UnixMillis(5) };
    let now = UnixMillis(10);
    let mut played = viewer(vec![reserved(1, 10, 0)]);
    assert_eq!(played.settle(slot(1), confirm, now), (confirmed, true));
    assert_eq!(played.settle(slot(1), Transition::Release, now), (confirmed, false), "it was shown");
    assert_eq!(played.settle(slot(1), confirm, now), (confirmed, false), "a beacon that comes again");

    let mut released = viewer(vec![reserved(1, 10, 0), reserved(2, 10, 0)]);
    assert_eq!(released.settle(slot(1), Transition::Release, now), (Settled::Gone, true));
    assert_eq!(released.settle(slot(1), confirm, now), (Settled::Gone, false), "its token is dead");
    assert_eq!(released.claims().len(), 1, "the other one's claim stays");
}

#[test]
fn a_claim_is_shown_no_earlier_than_taken_and_no_later_than_now() {
    let shown_at = |reported| {
        let mut viewer = viewer(vec![reserved(1, 10, 1_000)]);
        viewer.settle(slot(1), Transition::Confirm { at: UnixMillis(reported) }, UnixMillis(9_000));
        let claim = viewer.claims()[0];
        (claim.at.0, claim.counts_until.0 - claim.at.0)
    };
    assert_eq!(shown_at(0), (1_000, HOUR_MS));
    assert_eq!(shown_at(5_000), (5_000, HOUR_MS));
    assert_eq!(shown_at(99_000), (9_000, HOUR_MS));
}

#[test]
fn a_confirmed_claim_is_found_for_as_long_as_its_token_lives() {
    let mut short = reserved(1, 10, 0);
    short.counts_until = UnixMillis(1_000);
    let mut viewer = viewer(vec![short]);
    viewer.settle(slot(1), Transition::Confirm { at: UnixMillis(0) }, UnixMillis(1));
    viewer.forget_ended(UnixMillis(LEASE_MS - 1));
    let again = Transition::Confirm { at: UnixMillis(0) };
    let settled = viewer.settle(slot(1), again, UnixMillis(LEASE_MS - 1));
    assert_eq!(settled, (Settled::Confirmed { at: UnixMillis(0) }, false));
    viewer.forget_ended(UnixMillis(LEASE_MS + CLOCKS_APART_MS_MAX));
    assert!(viewer.claims().is_empty());
}

#[test]
fn an_edge_whose_clock_is_ahead_forgets_nothing_that_one_behind_still_counts() {
    let mut viewer = viewer(vec![Claim { counts_until: UnixMillis(HOUR_MS), ..shown(10, 0) }]);
    let behind = UnixMillis(HOUR_MS - 1);
    let ahead = behind.plus_ms(CLOCKS_APART_MS_MAX);
    viewer.forget_ended(ahead);
    assert!(viewer.keep_until() > ahead, "nor is the state forgotten as a whole");
    let cap = [hourly(CapScope::Flight, 1)];
    assert_eq!(viewer.allows(&cap, &showing(10), ahead), Ok(()));
    assert_eq!(viewer.allows(&cap, &showing(10), behind), Err(Declined::Capped));
}

#[test]
fn a_full_viewer_is_declined_and_an_unreadable_one_is_not_empty() {
    let full = viewer(vec![shown(1, 0); CLAIMS_MAX]);
    assert_eq!(full.allows(&[hourly(CapScope::Flight, 9999)], &showing(2), UnixMillis(0)), Err(Declined::Full));
    let stored = full.encode();
    assert_eq!(Viewer::decode(&stored).as_ref(), Ok(&full));
    assert!(Viewer::decode(&stored[1..]).is_err());
    assert!(Viewer::decode(&[&stored[..], &stored[..stored.len() / CLAIMS_MAX]].concat()).is_err());
    let mut odd = viewer(vec![shown(1, 0)]).encode();
    *odd.last_mut().unwrap() = 2;
    assert!(Viewer::decode(&odd).is_err());
    assert_eq!(Viewer::decode(&[]), Ok(Viewer::default()));
}

fn caps() -> impl Strategy<Value = Vec<Cap>> {
    let scope = prop::sample::select(vec![CapScope::Flight, CapScope::Campaign, CapScope::Advertiser]);
    let turn = |day: u64| Turn { from: UnixMillis(day * 2 * HOUR_MS), began_at: UnixMillis(day * 2 * HOUR_MS) };
    let window = prop_oneof![
        (1u64..4).prop_map(|half_hours| Window::Rolling { ms: half_hours * HOUR_MS / 2 }),
        Just(Window::Lifetime),
        Just(Window::Calendar(Calendar { turns: [turn(0), turn(1), turn(2), turn(3)], longest_ms: 24 * HOUR_MS })),
    ];
    prop::collection::vec((scope, 1u32..3, window), 1..4)
        .prop_map(|caps| caps.into_iter().map(|(scope, limit, window)| Cap { scope, limit, window }).collect())
}

/// What a viewer does next: asks for an ad of a flight, or reports on one of those they were given.
#[derive(Clone, Debug)]
enum Step {
    Ask { flight: u32 },
    Start { which: u8, ago_ms: u64 },
    Drop { which: u8 },
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        (0u32..3).prop_map(|flight| Step::Ask { flight }),
        (0u8..40, 0u64..HOUR_MS / 4).prop_map(|(which, ago_ms)| Step::Start { which, ago_ms }),
        (0u8..40).prop_map(|which| Step::Drop { which }),
    ];
    prop::collection::vec((0u64..HOUR_MS / 6, step), 1..120)
}

proptest! {
    /// The law itself, against a naive count of what began to play.
    #[test]
    fn no_window_ever_holds_more_showings_than_its_limit(caps in caps(), steps in steps()) {
        let mut viewer = Viewer::default();
        let (mut now, mut taken, mut begun) = (UnixMillis(0), 0u8, Vec::<(UnixMillis, u32)>::new());
        let horizon = caps.iter().fold(Horizon::default(), |h, cap| h.covering(cap, UnixMillis(100 * HOUR_MS)));
        for (wait_ms, step) in steps {
            now = now.plus_ms(wait_ms);
            match step {
                Step::Ask { flight } => {
                    viewer.forget_ended(now);
                    if taken < 200 && viewer.allows(&caps, &showing(flight), now).is_ok() {
                        taken += 1;
                        let counts_until = horizon.counts_until(now).unwrap();
                        viewer.add(Claim { counts_until, ..reserved(taken, flight, now.0) });
                    }
                }
                Step::Start { which, ago_ms } => {
                    let slot = slot(which);
                    let transition = Transition::Confirm { at: now.minus_ms(ago_ms) };
                    if let (Settled::Confirmed { at }, true) = viewer.settle(slot, transition, now) {
                        let claim = viewer.claims().iter().find(|claim| claim.opportunity_id == slot).unwrap();
                        begun.push((at, claim.booking.flight_id.0));
                    }
                }
                Step::Drop { which } => {
                    viewer.settle(slot(which), Transition::Release, now);
                }
            }
        }
        for (at, flight) in &begun {
            for cap in &caps {
                let same = |other: &u32| booking(*flight).is_same(cap.scope, &booking(*other));
                let from = match cap.window {
                    Window::Rolling { ms } => (at.0 + 1).saturating_sub(ms),
                    Window::Calendar(calendar) => calendar.began_at(*at).0,
                    _ => 0,
                };
                let within = begun.iter().filter(|(t, other)| from <= t.0 && t <= at && same(other)).count();
                prop_assert!(within <= cap.limit as usize, "{cap:?} holds {within} at {at:?}: {begun:?}");
            }
        }
    }

    #[test]
    fn forgetting_ended_claims_never_changes_a_verdict(
        taken in prop::collection::vec((0u32..4, 0u64..HOUR_MS * 3, any::<bool>()), 0..20),
        limit in 0u32..5, now in 0u64..HOUR_MS * 5,
    ) {
        let cap = [hourly(CapScope::Flight, limit)];
        let claims = taken.iter().map(|(flight, at, is_shown)| {
            let counts_until = Horizon::default().covering(&cap[0], UnixMillis(0)).counts_until(UnixMillis(*at)).unwrap();
            let state = if *is_shown { ClaimState::Confirmed } else { ClaimState::Reserved };
            Claim { state, counts_until, ..reserved(1, *flight, *at) }
        }).collect();
        let whole = viewer(claims);
        let mut swept = whole.clone();
        swept.forget_ended(UnixMillis(now));
        for flight in 0..4 {
            prop_assert_eq!(
                whole.allows(&cap, &showing(flight), UnixMillis(now)),
                swept.allows(&cap, &showing(flight), UnixMillis(now))
            );
        }
        prop_assert_eq!(Viewer::decode(&whole.encode()).unwrap(), whole);
    }
}
