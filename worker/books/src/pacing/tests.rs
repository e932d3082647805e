use super::{
    daily::{DailyRow, ReportedDay, daily, target_of_day},
    store,
    test_support::{Told, at, flight, zone},
    *,
};
use crate::deliveries::{FlightQuarter, QUARTER_MS, SlotQuarter};

fn even() -> Curve {
    Curve::even(zone("UTC"))
}

fn stands(flight: &Flight, total: u64, now: &str) -> Pace {
    pace(flight, &Delivered { total, recent_days: vec![] }, &even(), at(now))
}

#[test]
fn the_even_target_follows_the_time_that_has_passed() {
    let month = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 30_000, "UTC");
    let midday = flight("2026-11-01T12:00:00Z", "2026-11-03T18:00:00Z", 5_400, "UTC");
    let none = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 0, "UTC");
    let odd = flight("2026-11-01T00:00:00Z", "2026-11-04T00:00:00Z", 10, "UTC");
    for (case, flight, now, target) in [
        ("before it starts", &month, "2026-10-01T00:00:00Z", 0),
        ("at its start", &month, "2026-11-01T00:00:00Z", 0),
        ("after a day of thirty", &month, "2026-11-02T00:00:00Z", 1_000),
        ("in the middle of a day", &month, "2026-11-02T06:00:00Z", 1_250),
        ("at its end", &month, "2026-12-01T00:00:00Z", 30_000),
        ("after its end", &month, "2027-01-01T00:00:00Z", 30_000),
        ("begun at noon", &midday, "2026-11-02T00:00:00Z", 1_200),
        ("ending at six", &midday, "2026-11-03T00:00:00Z", 3_600),
        ("nothing promised", &none, "2026-11-15T00:00:00Z", 0),
        ("a third of ten", &odd, "2026-11-02T00:00:00Z", 3),
        ("two thirds of ten", &odd, "2026-11-03T00:00:00Z", 7),
    ] {
        let stands = stands(flight, 0, now);
        assert_eq!((stands.target_even, stands.target_shaped), (target, target), "{case}");
    }
}

#[test]
fn days_of_23_and_25_hours_and_months_of_every_length_add_up_to_what_was_promised() {
    for (start, end, zone_name, days) in [
        ("2026-03-01T00:00:00-05:00", "2026-04-01T00:00:00-04:00", "America/New_York", 31),
        ("2026-10-25T00:00:00+02:00", "2026-11-01T00:00:00+01:00", "Europe/Berlin", 7),
        ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "UTC", 28),
        ("2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z", "UTC", 29),
        ("2026-04-01T00:00:00+05:45", "2026-05-01T00:00:00+05:45", "Asia/Kathmandu", 30),
        ("2026-04-01T13:20:00+05:30", "2026-05-01T07:10:00+05:30", "Asia/Kolkata", 31),
    ] {
        let flight = flight(start, end, 1_000_003, zone_name);
        let first = daily::date_of(flight.starts_at, &flight.time_zone);
        let curve = learned(zone_name);
        for curve in [&Curve::even(zone(zone_name)), &curve] {
            let targets: Vec<u64> = first
                .series(jiff::Span::new().days(1))
                .take(days)
                .map(|date| ReportedDay::new(date, zone(zone_name), UnixMillis(u64::MAX)).unwrap().span)
                .map(|day| target_of_day(&flight, curve, day))
                .collect();
            assert_eq!(targets.iter().sum::<u64>(), 1_000_003, "{start}: {targets:?}");
            assert!(targets.iter().all(|target| *target > 0));
        }
    }
    let spring = flight("2026-03-01T00:00:00-05:00", "2026-04-01T00:00:00-04:00", 743_000, "America/New_York");
    let of = |date: &str| {
        let day = ReportedDay::new(date.parse().unwrap(), zone("America/New_York"), UnixMillis(u64::MAX)).unwrap();
        target_of_day(&spring, &Curve::even(zone("America/New_York")), day.span)
    };
    assert_eq!((of("2026-03-07"), of("2026-03-08"), of("2026-03-09")), (24_000, 23_000, 24_000));
}

/// Four weeks of slots: on weekends three times as many as on other days, in the evening ten times as many as at night.
fn slots(zone_name: &str) -> Vec<SlotQuarter> {
    let begin = at("2026-02-01T00:00:00Z");
    let slots = |at: UnixMillis| {
        let local = curve::timestamp(at).to_zoned(zone(zone_name));
        let weekend = if local.weekday().to_monday_one_offset() >= 6 { 3 } else { 1 };
        if (18..23).contains(&local.hour()) { 100 * weekend } else { 10 * weekend }
    };
    (0..28 * 96).map(|n| begin.plus_ms(n * QUARTER_MS)).map(|at| SlotQuarter { at, slots: slots(at) }).collect()
}

fn learned(zone_name: &str) -> Curve {
    Curve::learned(zone(zone_name), &slots(zone_name))
}

#[test]
fn the_curve_follows_the_audience_of_the_flights_own_clock_and_is_even_where_little_is_known() {
    let curve = learned("America/New_York");
    assert!(curve.is_learned());
    let evening = curve.weight_at(at("2026-06-02T20:00:00-04:00"));
    let night = curve.weight_at(at("2026-06-02T04:00:00-04:00"));
    let sunday_evening = curve.weight_at(at("2026-06-07T20:00:00-04:00"));
    assert!(evening.abs_diff(night * 10) <= 10, "{evening} {night}");
    assert!(sunday_evening.abs_diff(evening * 3) <= 3, "{sunday_evening} {evening}");

    let some = slots("UTC");
    assert!(!Curve::learned(zone("UTC"), &[]).is_learned());
    assert!(!Curve::learned(zone("UTC"), &some[..3 * 96]).is_learned(), "three days are no week");
    let few: Vec<_> = some.iter().map(|one| SlotQuarter { slots: 1, ..*one }).collect();
    assert!(!Curve::learned(zone("UTC"), &few).is_learned(), "2,688 slots");
    assert_eq!(Curve::learned(zone("UTC"), &few), even());

    let only_noon: Vec<_> = some
        .iter()
        .map(|one| SlotQuarter { slots: if one.at.0 / 3_600_000 % 24 == 12 { 1_000 } else { 0 }, ..*one })
        .collect();
    let noon = Curve::learned(zone("UTC"), &only_noon);
    assert_eq!(noon.weight_at(at("2026-06-02T03:00:00Z")), 50, "no hour is worth nothing");
}

#[test]
fn ten_days_of_history_weigh_a_weekday_seen_twice_no_more_than_one_seen_once() {
    let flat: Vec<_> = slots("UTC")[..10 * 96].iter().map(|one| SlotQuarter { slots: 50, ..*one }).collect();
    let curve = Curve::learned(zone("UTC"), &flat);
    assert!(curve.is_learned());
    let weights: Vec<u64> = (0..168).map(|hour| curve.weight_at(UnixMillis(hour * 3_600_000))).collect();
    assert!(weights.iter().all(|weight| *weight == 1_000), "{weights:?}");
}

#[test]
fn what_a_span_weighs_is_the_sum_of_what_its_quarters_weigh_across_changes_of_the_clock() {
    for zone_name in ["America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"] {
        let curve = learned(zone_name);
        let from = at("2026-03-01T00:00:00Z");
        let until = at("2026-12-01T00:00:00Z");
        let mut sum = 0;
        let mut quarter = from;
        while quarter < until {
            sum += u128::from(curve.weight_at(quarter)) * u128::from(QUARTER_MS);
            quarter = quarter.plus_ms(QUARTER_MS);
        }
        assert_eq!(curve.weight_of(Span { from, until }), sum, "{zone_name}");
        let middle = from.plus_ms(1_234_567_890);
        let parts = curve.weight_of(Span { from, until: middle }) + curve.weight_of(Span { from: middle, until });
        assert_eq!(parts, sum);
        assert_eq!(curve.weight_of(Span { from: until, until: from }), 0);
    }
}

#[test]
fn the_index_is_what_was_delivered_over_what_was_due_and_says_nothing_too_early() {
    let month = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 30_000, "UTC");
    let tiny = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 10, "UTC");
    let none = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 0, "UTC");
    for (case, flight, delivered, now, index) in [
        ("before it starts", &month, 0, "2026-10-31T23:00:00Z", None),
        ("one impression in its first minute", &month, 1, "2026-11-01T00:01:00Z", None),
        ("a flood in its first hour", &month, 5_000, "2026-11-01T00:59:59Z", None),
        ("after an hour and a quarter", &month, 52, "2026-11-01T01:15:00Z", Some(998_400)),
        ("on track", &month, 10_000, "2026-11-11T00:00:00Z", Some(1_000_000)),
        ("behind", &month, 6_000, "2026-11-11T00:00:00Z", Some(600_000)),
        ("nothing at all", &month, 0, "2026-11-11T00:00:00Z", Some(0)),
        ("far ahead", &month, 30_000, "2026-11-11T00:00:00Z", Some(3_000_000)),
        ("at its end", &month, 29_999, "2026-12-01T00:00:00Z", Some(999_966)),
        ("late beacons after its end", &month, 30_000, "2026-12-09T00:00:00Z", Some(1_000_000)),
        ("a tiny one, before half is due", &tiny, 9, "2026-11-15T00:00:00Z", None),
        ("a tiny one, then", &tiny, 9, "2026-11-16T00:00:00Z", Some(1_800_000)),
        ("a tiny one, at its end", &tiny, 9, "2026-12-01T00:00:00Z", Some(900_000)),
        ("nothing promised", &none, 5, "2026-11-16T00:00:00Z", None),
        ("nothing promised, at its end", &none, 5, "2026-12-16T00:00:00Z", None),
    ] {
        assert_eq!(stands(flight, delivered, now).index_millionths, index, "{case}");
    }
    let bounds = flight_of_bounds();
    assert_eq!(stands(&bounds, u64::MAX, "2030-01-01T00:00:00Z").delivered, u64::MAX, "no panic");
}

fn flight_of_bounds() -> Flight {
    flight("1971-01-01T00:00:00Z", "2200-01-01T00:00:00Z", u64::MAX, "Europe/Berlin")
}

#[test]
fn a_shaped_target_asks_little_at_night_and_the_index_with_it() {
    let curve = learned("UTC");
    let week = flight("2026-06-01T00:00:00Z", "2026-06-08T00:00:00Z", 100_000, "UTC");
    let by = |now: &str| pace(&week, &Delivered { total: 5_000, recent_days: vec![] }, &curve, at(now));
    let afternoon = by("2026-06-01T18:00:00Z");
    let midnight = by("2026-06-02T00:00:00Z");
    assert!(afternoon.target_shaped < afternoon.target_even / 3, "{afternoon:?}");
    assert!(midnight.target_shaped > afternoon.target_shaped * 3);
    assert!(afternoon.index_millionths > midnight.index_millionths);
    assert_eq!(by("2026-06-08T00:00:00Z").target_shaped, 100_000);
}

#[test]
fn in_an_agreed_pause_nothing_is_expected_and_after_it_the_rest_of_the_time_carries_all() {
    let mut paused = flight("2026-11-01T00:00:00Z", "2026-11-11T00:00:00Z", 1_000, "UTC");
    paused.paused = vec![Span { from: at("2026-11-03T00:00:00Z"), until: at("2026-11-08T00:00:00Z") }];
    for (now, target) in [
        ("2026-11-02T00:00:00Z", 200),
        ("2026-11-03T00:00:00Z", 400),
        ("2026-11-05T12:00:00Z", 400),
        ("2026-11-08T00:00:00Z", 400),
        ("2026-11-09T00:00:00Z", 600),
        ("2026-11-11T00:00:00Z", 1_000),
    ] {
        assert_eq!(stands(&paused, 0, now).target_even, target, "{now}");
    }
    paused.paused = vec![paused.span()];
    let all_of_it = stands(&paused, 0, "2026-11-05T00:00:00Z");
    assert_eq!((all_of_it.target_even, all_of_it.index_millionths), (0, None));
    assert_eq!(
        stands(&paused, 0, "2026-11-11T00:00:00Z").index_millionths,
        Some(0),
        "at the end it is owed all the same"
    );
}

#[test]
fn the_required_rate_is_what_is_missing_over_what_is_left_but_never_a_multiple_of_it() {
    let month = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 30_000, "UTC");
    for (case, delivered, now, required, days) in [
        ("before it starts", 0, "2026-10-01T00:00:00Z", 1_000, 30),
        ("at its start", 0, "2026-11-01T00:00:00Z", 1_000, 30),
        ("behind", 5_000, "2026-11-11T00:00:00Z", 1_250, 20),
        ("half a day in", 0, "2026-11-01T12:00:00Z", 1_017, 30),
        ("its last hour", 29_000, "2026-11-30T23:00:00Z", 1_000, 1),
        ("done", 30_000, "2026-11-11T00:00:00Z", 0, 20),
        ("over", 10, "2026-12-01T00:00:00Z", 0, 0),
    ] {
        let stands = stands(&month, delivered, now);
        assert_eq!((stands.required_per_day, stands.days_remaining), (required, days), "{case}");
    }
    let across_midnight = flight("2026-11-01T12:00:00Z", "2026-11-02T01:00:00Z", 10, "UTC");
    assert_eq!(stands(&across_midnight, 0, "2026-11-01T23:00:00Z").days_remaining, 2, "two dates, two hours");
}

#[test]
fn an_alert_is_of_the_index_and_of_the_time_that_is_left() {
    let long = flight("2026-09-01T00:00:00Z", "2026-12-01T00:00:00Z", 91_000_000, "UTC");
    let (twenty, ten, three) = ("2026-11-11T00:00:00Z", "2026-11-21T00:00:00Z", "2026-11-28T00:00:00Z");
    for (index, now, alert) in [
        (100, twenty, Alert::Ok),
        (96, three, Alert::Ok),
        (90, twenty, Alert::Ok),
        (90, ten, Alert::Watch),
        (90, three, Alert::AtRisk),
        (60, twenty, Alert::Watch),
        (60, ten, Alert::AtRisk),
        (60, three, Alert::Critical),
        (59, twenty, Alert::AtRisk),
        (59, ten, Alert::Critical),
        (0, three, Alert::Critical),
        (121, twenty, Alert::OverDelivering),
        (120, three, Alert::Ok),
    ] {
        let due = stands(&long, 0, now).target_even;
        assert_eq!(stands(&long, due / 100 * index, now).alert, alert, "{index} % at {now}");
    }
    for (delivered, now, alert) in [
        (0, "2026-08-01T00:00:00Z", Alert::NotStarted),
        (9, "2026-09-01T00:20:00Z", Alert::Starting),
        (91_000_000, "2026-12-01T00:00:00Z", Alert::EndedFull),
        (90_999_999, "2026-12-01T00:00:00Z", Alert::EndedShort),
    ] {
        assert_eq!(stands(&long, delivered, now).alert, alert, "{now}");
    }
}

#[test]
fn the_projection_goes_on_as_in_the_last_days_and_is_as_wide_as_they_differ() {
    let month = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 30_000, "UTC");
    let project = |days: &[u64], now: &str| {
        let total = days.iter().sum();
        pace(&month, &Delivered { total, recent_days: days.to_vec() }, &even(), at(now)).projection
    };
    assert_eq!(project(&[], "2026-11-01T12:00:00Z"), None, "not a day yet");
    assert_eq!(project(&[800], "2026-11-02T00:00:00Z"), Some(Projection { expected: 24_000, interval: None }));
    let steady = Projection { expected: 24_000, interval: Some((24_000, 24_000)) };
    assert_eq!(project(&[800; 7], "2026-11-08T00:00:00Z"), Some(Projection { ..steady }));
    let uneven = project(&[700, 900, 700, 900, 800, 800, 800], "2026-11-08T00:00:00Z").unwrap();
    // s = 81.65, t = 1.440, sqrt(1/7 + 1/23) = 0.4317, times 23 days: 1,167
    assert_eq!(uneven, Projection { expected: 24_000, interval: Some((22_833, 25_167)) });
    let fast = project(&[1_500; 7], "2026-11-08T00:00:00Z").unwrap();
    assert_eq!(fast.expected, 30_000, "a flight that is done stops");
    assert_eq!(project(&[0; 7], "2026-11-08T00:00:00Z").unwrap().expected, 0);
    assert_eq!(project(&[800; 7], "2026-12-01T00:00:00Z"), None, "it is over");
}

#[test]
fn a_projection_over_a_weekend_expects_the_weekends_audience() {
    let curve = learned("UTC");
    let fortnight = flight("2026-06-01T00:00:00Z", "2026-06-15T00:00:00Z", 10_000_000, "UTC");
    // Friday's midnight: five weekdays of 1,000 each are behind, two weekends and a week are to come.
    let delivered = Delivered { total: 5_000, recent_days: vec![1_000; 5] };
    let projection = pace(&fortnight, &delivered, &curve, at("2026-06-06T00:00:00Z")).projection.unwrap();
    // ten weekdays and four days of weekends, three times each, but for roundings of weights
    assert!(projection.expected.abs_diff(22_000) < 50, "{projection:?}");
}

fn told() -> Told {
    let begin = at("2026-11-01T00:00:00Z");
    let quarter = |n: u64, delivered| FlightQuarter {
        at: begin.plus_ms(n * QUARTER_MS),
        flight_id: slotkeeper_core::id::FlightId(7),
        delivered,
    };
    Told { flights: (0..96 * 10).map(|n| quarter(n, 10)).collect(), slots: slots("UTC") }
}

#[test]
fn a_day_is_counted_from_midnight_to_midnight_of_the_reporting_zone() {
    let mut month = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 30_000, "UTC");
    let rows_of = |flight: &Flight, date: &str, zone_name: &str| {
        let day = ReportedDay::new(date.parse().unwrap(), zone(zone_name), UnixMillis(u64::MAX)).unwrap();
        daily(std::slice::from_ref(flight), &told(), &day).unwrap()
    };
    let row = |date: &str, zone_name: &str| rows_of(&month, date, zone_name).remove(0);
    let utc = row("2026-11-10", "UTC");
    assert_eq!(
        (utc.delivered, utc.delivered_on_day, utc.target_even, utc.target_even_of_day),
        (9_600, 960, 10_000, 1_000)
    );
    assert_eq!((utc.pacing_index_millionths, utc.alert.as_str()), (Some(960_000), "ok"));
    assert_eq!((utc.projected, utc.projected_low), (Some(28_800), Some(28_800)));
    let berlin = row("2026-11-10", "Europe/Berlin");
    assert_eq!((berlin.delivered, berlin.delivered_on_day), (9_560, 960), "its midnight is an hour earlier");
    let los_angeles = row("2026-10-31", "America/Los_Angeles");
    assert_eq!((los_angeles.delivered_on_day, los_angeles.delivered), (280, 280), "seven hours of it");
    assert!(rows_of(&month, "2026-10-31", "UTC").is_empty(), "before it starts");
    assert!(rows_of(&month, "2026-12-01", "UTC").is_empty(), "after its end");
    month.class = slotkeeper_core::contract::DemandClass::House;
    assert!(rows_of(&month, "2026-11-10", "UTC").is_empty(), "promises nothing");
}

#[test]
fn a_day_that_is_not_over_is_counted_to_the_last_whole_quarter_and_says_so() {
    let month = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 30_000, "UTC");
    let day = ReportedDay::new("2026-11-10".parse().unwrap(), zone("UTC"), at("2026-11-10T06:07:00Z")).unwrap();
    assert!(day.is_provisional());
    let row = daily(&[month], &told(), &day).unwrap().remove(0);
    assert_eq!((row.delivered_on_day, row.delivered, row.is_provisional), (240, 8_880, true));
}

#[test]
fn closing_a_day_twice_leaves_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = rusqlite::Connection::open(folder.path().join("pacing.db")).unwrap();
    db.execute_batch(store::SCHEMA).unwrap();
    let month = flight("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 30_000, "UTC");
    let day = ReportedDay::new("2026-11-10".parse().unwrap(), zone("UTC"), UnixMillis(u64::MAX)).unwrap();
    let rows: Vec<DailyRow> = daily(&[month], &told(), &day).unwrap();
    for _ in 0..2 {
        store::replace(&mut db, "2026-11-10", &rows).unwrap();
        assert_eq!(store::read(&db, "2026-11-10").unwrap(), rows);
    }
    store::replace(&mut db, "2026-11-09", &[]).unwrap();
    assert_eq!(store::read(&db, "2026-11-10").unwrap(), rows, "another day is another");
    store::replace(&mut db, "2026-11-10", &[]).unwrap();
    assert!(store::read(&db, "2026-11-10").unwrap().is_empty());
}
