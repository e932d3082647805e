//! Eligibility as sold: every dimension, and the reason where it is not met.

use super::*;
use crate::{consent::Identity, plan::Span};

/// A change of a flight as booked, a change of what is asked, and what becomes of the one slot.
type Case = (&'static str, fn(&mut FlightSource), fn(&mut BreakRequest), Result<u32, UnfilledReason>);

const NO_DEMAND: Result<u32, UnfilledReason> = Err(UnfilledReason::NoEligibleDemand);
const UNSUITABLE: Result<u32, UnfilledReason> = Err(UnfilledReason::ContentUnsuitable);
const DENIED: Result<u32, UnfilledReason> = Err(UnfilledReason::ConsentDenied);
const ANYTHING: Permissions = Permissions { identity: Identity::Profile, no_segments: false };
const NO_SEGMENTS: Permissions = Permissions { identity: Identity::Profile, no_segments: true };
const SESSION: Permissions = Permissions { identity: Identity::Session, no_segments: false };

fn allowing(permissions: Permissions, flights: Vec<FlightSource>, asked: &BreakRequest) -> Pod {
    let bytes = plan_of(flights);
    let plan = Plan::verify(&bytes, &keys()).unwrap();
    let session = Some(crate::id::SessionKey([3; 8]));
    decide(Some(&plan), &known(), &Occasion { session, permissions, ..occasion(asked, 1) })
}

fn each(permissions: Permissions, cases: &[Case]) {
    for (name, book, ask, expected) in cases {
        let (mut booked, mut asked) = (flight(1), request(1));
        book(&mut booked);
        ask(&mut asked);
        assert_eq!(outcomes(&allowing(permissions, vec![booked], &asked))[0], *expected, "{name}");
    }
}

fn list(values: &[&str]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[test]
fn a_flight_airs_only_at_its_times() {
    let span =
        |from: u64, until: u64| Span { from: NOW.plus_ms(from).minus_ms(100), until: NOW.plus_ms(until).minus_ms(100) };
    let cases = [
        (vec![], Ok(1)),
        (vec![span(0, 200)], Ok(1)),
        (vec![span(100, 200)], Ok(1)),
        (vec![span(101, 200)], NO_DEMAND),
        (vec![span(0, 100)], NO_DEMAND),
        (vec![span(0, 50), span(90, 101)], Ok(1)),
        (vec![span(0, 50), span(101, 150)], NO_DEMAND),
    ];
    for (airs, expected) in cases {
        assert_eq!(one(vec![FlightSource { airs: airs.clone(), ..flight(1) }]), expected, "{airs:?}");
    }
}

#[test]
fn a_flight_is_shown_to_whom_it_is_sold_for() {
    each(
        ANYTHING,
        &[
            ("the country", |f| f.targeting.countries = list(&["US"]), |r| r.country = Some("US".into()), Ok(1)),
            (
                "another country",
                |f| f.targeting.countries = list(&["US"]),
                |r| r.country = Some("CA".into()),
                NO_DEMAND,
            ),
            ("no country given", |f| f.targeting.countries = list(&["US"]), |_| {}, NO_DEMAND),
            (
                "a region says its country",
                |f| f.targeting.countries = list(&["US"]),
                |r| r.region = Some("US-CA".into()),
                Ok(1),
            ),
            (
                "the country as given, not the region's",
                |f| f.targeting.countries = list(&["US"]),
                |r| (r.country, r.region) = (Some("CA".into()), Some("US-CA".into())),
                NO_DEMAND,
            ),
            (
                "the region",
                |f| f.targeting.regions = list(&["US-NY", "US-CA"]),
                |r| r.region = Some("US-CA".into()),
                Ok(1),
            ),
            (
                "another region",
                |f| f.targeting.regions = list(&["US-NY"]),
                |r| r.region = Some("US-CA".into()),
                NO_DEMAND,
            ),
            (
                "a country is not its region",
                |f| f.targeting.regions = list(&["US-NY"]),
                |r| r.country = Some("US".into()),
                NO_DEMAND,
            ),
            ("the device", |f| f.targeting.devices = list(&["tv"]), |r| r.device = Some("tv".into()), Ok(1)),
            ("another device", |f| f.targeting.devices = list(&["tv"]), |r| r.device = Some("web".into()), NO_DEMAND),
            ("a segment", |f| f.targeting.segments = list(&["a", "b"]), |r| r.segments = list(&["x", "b"]), Ok(1)),
            ("no such segment", |f| f.targeting.segments = list(&["a"]), |r| r.segments = list(&["b"]), NO_DEMAND),
            ("no segments given", |f| f.targeting.segments = list(&["a"]), |_| {}, NO_DEMAND),
            (
                "all dimensions must match",
                |f| (f.targeting.segments, f.targeting.devices) = (list(&["a"]), list(&["tv"])),
                |r| (r.segments, r.device) = (list(&["a"]), Some("web".into())),
                NO_DEMAND,
            ),
            (
                "a value of another dimension",
                |f| f.targeting.segments = list(&["tv"]),
                |r| r.device = Some("tv".into()),
                NO_DEMAND,
            ),
        ],
    );
}

#[test]
fn one_match_excludes() {
    each(
        ANYTHING,
        &[
            ("none", |f| f.exclusion.segments = list(&["a"]), |r| r.segments = list(&["b"]), Ok(1)),
            (
                "of a segment",
                |f| f.exclusion.segments = list(&["z", "a"]),
                |r| r.segments = list(&["b", "a"]),
                NO_DEMAND,
            ),
            ("of a country", |f| f.exclusion.countries = list(&["US"]), |r| r.country = Some("US".into()), NO_DEMAND),
            (
                "of a region's country",
                |f| f.exclusion.countries = list(&["US"]),
                |r| r.region = Some("US-CA".into()),
                NO_DEMAND,
            ),
            ("of a region", |f| f.exclusion.regions = list(&["US-CA"]), |r| r.region = Some("US-CA".into()), NO_DEMAND),
            ("of a device", |f| f.exclusion.devices = list(&["web"]), |r| r.device = Some("web".into()), NO_DEMAND),
            ("of a tier", |f| f.exclusion.tiers = list(&["kids"]), |r| r.tier = Some("kids".into()), NO_DEMAND),
            ("of a position", |f| f.exclusion.positions = list(&["preroll"]), |_| {}, NO_DEMAND),
            ("of the title", |f| f.exclusion.titles = list(&["film"]), |_| {}, UNSUITABLE),
            ("of another title", |f| f.exclusion.titles = list(&["cartoon"]), |_| {}, Ok(1)),
            ("of its genre", |f| f.exclusion.genres = list(&["kids", "drama"]), |_| {}, UNSUITABLE),
            ("of another genre", |f| f.exclusion.genres = list(&["kids"]), |_| {}, Ok(1)),
            ("of its rating", |f| f.exclusion.ratings = vec![Rating::TvPg], |_| {}, UNSUITABLE),
            ("of another rating", |f| f.exclusion.ratings = vec![Rating::TvY], |_| {}, Ok(1)),
            (
                "targeted and excluded",
                |f| (f.targeting.devices, f.exclusion.devices) = (list(&["tv"]), list(&["tv"])),
                |r| r.device = Some("tv".into()),
                NO_DEMAND,
            ),
        ],
    );
}

#[test]
fn of_a_title_that_is_not_known_the_worst_is_assumed() {
    let unknown: fn(&mut BreakRequest) = |r| r.title_id = "nobody knows it".into();
    each(
        ANYTHING,
        &[
            ("anything goes", |_| {}, unknown, Ok(1)),
            ("a rating is excluded", |f| f.exclusion.ratings = vec![Rating::TvMa], unknown, UNSUITABLE),
            ("a genre is excluded", |f| f.exclusion.genres = list(&["kids"]), unknown, UNSUITABLE),
            ("another title is excluded", |f| f.exclusion.titles = list(&["film"]), unknown, Ok(1)),
            ("a genre is targeted", |f| f.targeting.genres = list(&["kids"]), unknown, NO_DEMAND),
        ],
    );
}

#[test]
fn without_permission_segments_are_not_looked_at_and_what_needs_them_is_declined() {
    let with: fn(&mut BreakRequest) = |r| r.segments = list(&["a"]);
    each(
        NO_SEGMENTS,
        &[
            ("no segments wanted", |_| {}, with, Ok(1)),
            ("a segment that is given", |f| f.targeting.segments = list(&["a"]), with, DENIED),
            (
                "a segment that is not given, which nobody may know",
                |f| f.targeting.segments = list(&["z"]),
                with,
                DENIED,
            ),
            ("none given at all", |f| f.targeting.segments = list(&["z"]), |_| {}, DENIED),
            (
                "and a dimension that matches",
                |f| (f.targeting.segments, f.targeting.positions) = (list(&["z"]), list(&["preroll"])),
                with,
                DENIED,
            ),
            (
                "and a dimension that does not match",
                |f| (f.targeting.segments, f.targeting.positions) = (list(&["a"]), list(&["postroll"])),
                with,
                NO_DEMAND,
            ),
            (
                "excluded by a segment that is given, which does not tell",
                |f| f.exclusion.segments = list(&["a"]),
                with,
                DENIED,
            ),
            ("excluded by a segment, which nobody may know", |f| f.exclusion.segments = list(&["z"]), with, DENIED),
            ("capped over days", |f| f.caps = vec![daily(1)], with, Ok(1)),
        ],
    );
}

#[test]
fn who_must_not_be_recognised_gets_nothing_that_a_longer_cap_counts() {
    let turn = crate::caps::Turn { from: NOW.minus_ms(1), began_at: NOW.minus_ms(1) };
    let calendar = crate::caps::Calendar { turns: [turn; crate::caps::CALENDAR_TURNS], longest_ms: DAY_MS };
    let windows = [
        (Window::Break, Ok(1)),
        (Window::Session, Ok(1)),
        (Window::Rolling { ms: 1 }, DENIED),
        (Window::Calendar(calendar), DENIED),
        (Window::Lifetime, DENIED),
    ];
    for (window, expected) in windows {
        let capped = FlightSource { caps: vec![Cap { window, ..daily(5) }], ..flight(1) };
        assert_eq!(outcomes(&allowing(SESSION, vec![capped.clone()], &request(1)))[0], expected, "{window:?}");
        assert_eq!(outcomes(&allowing(ANYTHING, vec![capped], &request(1)))[0], Ok(1), "{window:?}");
    }
    // A cap of the campaign, carried by another of its flights, counts this one's showings too.
    let uncapped = FlightSource { campaign_id: CampaignId(9), ..flight(1) };
    let sibling = FlightSource { campaign_id: CampaignId(9), caps: vec![daily(5)], ends_at: NOW, ..flight(2) };
    let pod = allowing(SESSION, vec![uncapped.clone(), sibling], &request(1));
    assert_eq!((outcomes(&pod)[0], pod.slots[0].eliminated.consent_denied), (DENIED, 1));
    assert_eq!(outcomes(&allowing(SESSION, vec![uncapped], &request(1)))[0], Ok(1));
    // A cap of one creative binds its flight as a whole.
    let mut of_creative = flight(1);
    of_creative.ads[0].caps = vec![Cap { scope: CapScope::Creative, ..daily(5) }];
    assert_eq!(outcomes(&allowing(SESSION, vec![of_creative], &request(1)))[0], DENIED);
}

#[test]
fn the_reason_is_the_farthest_from_filling_of_those_that_are_true() {
    let mut all_at_once = flight(1);
    all_at_once.targeting.devices = list(&["tv"]);
    all_at_once.caps = vec![daily(5)];
    all_at_once.exclusion.genres = list(&["drama"]);
    let mut asked = request(1);
    assert_eq!(outcomes(&allowing(SESSION, vec![all_at_once.clone()], &asked))[0], NO_DEMAND);
    asked.device = Some("tv".into());
    assert_eq!(outcomes(&allowing(SESSION, vec![all_at_once.clone()], &asked))[0], DENIED);
    assert_eq!(outcomes(&allowing(ANYTHING, vec![all_at_once.clone()], &asked))[0], UNSUITABLE);
    all_at_once.exclusion.genres.clear();
    assert_eq!(outcomes(&allowing(ANYTHING, vec![all_at_once], &asked))[0], Ok(1));
}

#[test]
fn the_index_finds_regions_and_segments_however_many_others_there_are() {
    let mut flights: Vec<FlightSource> = (1..=2_000)
        .map(|id| {
            let mut other = flight(id);
            let of = if id % 2 == 0 { &mut other.targeting.segments } else { &mut other.targeting.regions };
            *of = vec![format!("v{}", id % 500)];
            other
        })
        .collect();
    flights.push(house(5_000));
    let mut asked = request(1);
    (asked.segments, asked.region) = (list(&["v8", "v10"]), Some("v7".into()));
    let pod = allowing(ANYTHING, flights.clone(), &asked);
    assert_eq!(pod.slots[0].candidates, 13, "four of each value, and the house ad");
    assert!(outcomes(&pod)[0].is_ok_and(|flight| [7, 8, 10].contains(&(flight % 500))));
    // Who allows no segments still gets the rest, and the row says how many wanted what was not allowed.
    let pod = allowing(NO_SEGMENTS, flights, &asked);
    assert_eq!(outcomes(&pod)[0].map(|flight| flight % 500), Ok(7));
    assert_eq!(pod.slots[0].eliminated.consent_denied, 1_000);
}
