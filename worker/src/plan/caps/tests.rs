//! The calendar's windows against what a calendar says.

use jiff::civil::Weekday;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> UnixMillis {
    UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond().try_into().unwrap())
}

fn shown(at: UnixMillis) -> String {
    timestamp(at).to_string()
}

/// The windows current during a day from `now`, as (from, began at), without repetition.
fn turns(unit: Unit, count: u32, zone: &str, now: &str) -> Vec<(String, String)> {
    let now = at(now);
    let zone = TimeZone::get(zone).unwrap();
    let calendar = calendar(unit, count, &zone, (now.minus_ms(600_000), now.plus_ms(DAY_MS)));
    assert!(calendar.is_sound());
    let mut turns: Vec<_> = calendar.turns.iter().map(|turn| (shown(turn.from), shown(turn.began_at))).collect();
    turns.dedup();
    turns
}

fn begins(unit: Unit, count: u32, zone: &str, now: &str) -> Vec<String> {
    turns(unit, count, zone, now).into_iter().map(|(_, began_at)| began_at).collect()
}

#[test]
fn a_day_begins_at_its_midnight_however_long_the_one_before_was() {
    let cases: [(&str, &str, &[&str]); 9] = [
        ("UTC", "2026-11-22T12:00:00Z", &["2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"]),
        // Clocks forward: a day of 23 hours, then back: one of 25.
        ("America/New_York", "2026-03-08T06:00:00Z", &["2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"]),
        ("America/New_York", "2026-11-01T12:00:00Z", &["2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"]),
        ("America/New_York", "2026-10-31T12:00:00Z", &["2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z"]),
        // Half hours, and three quarters of one.
        (
            "Asia/Kolkata",
            "2026-11-22T18:35:00Z",
            &["2026-11-21T18:30:00Z", "2026-11-22T18:30:00Z", "2026-11-23T18:30:00Z"],
        ),
        ("Asia/Kathmandu", "2026-11-22T12:00:00Z", &["2026-11-21T18:15:00Z", "2026-11-22T18:15:00Z"]),
        // Midnight does not exist: the day begins at one.
        ("America/Sao_Paulo", "2018-11-04T12:00:00Z", &["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]),
        ("Asia/Beirut", "2022-03-26T23:00:00Z", &["2022-03-26T22:00:00Z", "2022-03-27T21:00:00Z"]),
        // A day that does not exist: Samoa went from the 29th to the 31st of December.
        ("Pacific/Apia", "2011-12-30T05:00:00Z", &["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"]),
    ];
    for (zone, now, expected) in cases {
        let found = begins(Unit::Day, 1, zone, now);
        assert!(expected.iter().all(|begin| found.contains(&(*begin).into())), "{zone} {now}: {found:?}");
    }
    // The night that Havana has twice begins the first time.
    let havana = begins(Unit::Day, 1, "America/Havana", "2026-11-01T04:30:00Z");
    assert_eq!(havana[..1], ["2026-11-01T04:00:00Z"], "{havana:?}");
}

#[test]
fn a_plan_made_just_before_midnight_knows_both_midnights_to_come() {
    let found = begins(Unit::Day, 1, "Europe/Oslo", "2026-03-28T22:59:59Z");
    assert_eq!(
        found,
        ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"],
        "a day of 23 hours between"
    );
}

#[test]
fn weeks_begin_on_monday_and_months_on_the_first() {
    // A Sunday; Monday's midnight in Tokyo is 15:00 in Greenwich.
    assert_eq!(
        begins(Unit::Week, 1, "Asia/Tokyo", "2026-11-22T14:00:00Z"),
        ["2026-11-15T15:00:00Z", "2026-11-22T15:00:00Z"]
    );
    assert_eq!(begins(Unit::Week, 2, "Asia/Tokyo", "2026-11-22T16:00:00Z"), ["2026-11-15T15:00:00Z"]);
    assert_eq!(begins(Unit::Month, 1, "UTC", "2028-02-29T12:00:00Z"), ["2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"]);
    assert_eq!(begins(Unit::Month, 3, "UTC", "2026-03-31T12:00:00Z"), ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]);
    assert_eq!(begins(Unit::Month, 12, "UTC", "2026-11-22T12:00:00Z"), ["2025-12-01T00:00:00Z"]);
}

#[test]
fn several_days_move_on_at_every_midnight() {
    assert_eq!(
        turns(Unit::Day, 3, "UTC", "2026-11-22T12:00:00Z"),
        [
            ("2026-11-22T00:00:00Z".into(), "2026-11-20T00:00:00Z".into()),
            ("2026-11-23T00:00:00Z".into(), "2026-11-21T00:00:00Z".into())
        ]
    );
}

#[test]
fn a_minimum_gap_is_one_showing_within_it_and_counts_what_it_is_booked_on() {
    let frequency = Frequency { min_gap: Some("45m".parse().unwrap()), ..Frequency::default() };
    for own in [CapScope::Advertiser, CapScope::Campaign, CapScope::Flight] {
        let caps = caps(&frequency, own, (UnixMillis(0), UnixMillis(1)));
        assert_eq!(caps, [Cap { scope: own, limit: 1, window: Window::Rolling { ms: 2_700_000 } }]);
    }
}

#[test]
fn no_zone_has_set_its_clocks_back_by_more_than_a_window_allows_for() {
    let since = at("1970-01-01T00:00:00Z");
    for zone in jiff::tz::db().available() {
        let zone = TimeZone::get(zone.as_str()).unwrap();
        for change in zone
            .following(timestamp(since))
            .take_while(|change| change.timestamp() < timestamp(at("2038-01-01T00:00:00Z")))
        {
            let before = zone.to_offset(change.timestamp() - 1.second()).seconds();
            let back_ms = i64::from(before - change.offset().seconds()) * 1_000;
            assert!(back_ms <= SET_BACK_MS_MAX.try_into().unwrap(), "{zone:?} at {}", change.timestamp());
        }
    }
}

const ZONES: [&str; 14] = [
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "America/Scoresbysund",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Gaza",
    "Africa/Cairo",
    "Europe/Oslo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
];

/// The window that is current at `now`: counted back day by day from the first instant of today, as a person would.
fn naive_began_at(unit: Unit, count: u32, zone: &TimeZone, now: UnixMillis) -> UnixMillis {
    let mut today = timestamp(now).to_zoned(zone.clone()).start_of_day().unwrap();
    let begins_unit = |day: &jiff::Zoned| match unit {
        Unit::Day => true,
        Unit::Week => day.weekday() == Weekday::Monday,
        Unit::Month => day.day() == 1,
    };
    let mut units = 0;
    loop {
        units += u32::from(begins_unit(&today));
        if units == count {
            return UnixMillis(today.timestamp().as_millisecond().try_into().unwrap());
        }
        today = today.yesterday().unwrap().start_of_day().unwrap();
    }
}

proptest! {
    #[test]
    fn the_window_at_any_moment_of_a_plan_is_the_calendars(
        made_at in 631_152_000_000u64..2_145_916_800_000, // 1990 to 2038
        zone in prop::sample::select(&ZONES[..]),
        unit in prop::sample::select(&[Unit::Day, Unit::Week, Unit::Month][..]),
        count in 1u32..5,
        moments in prop::collection::vec(0u64..DAY_MS + 600_000, 1..20),
    ) {
        let zone = TimeZone::get(zone).unwrap();
        let validity = (UnixMillis(made_at).minus_ms(600_000), UnixMillis(made_at).plus_ms(DAY_MS));
        let calendar = calendar(unit, count, &zone, validity);
        prop_assert!(calendar.is_sound());
        for moment in moments {
            let now = validity.0.plus_ms(moment);
            let began_at = calendar.began_at(now);
            prop_assert_eq!(began_at, naive_began_at(unit, count, &zone, now), "at {}", shown(now));
            prop_assert!(now.since_ms(began_at) < calendar.longest_ms, "at {}", shown(now));
        }
    }
}
