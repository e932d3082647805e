//! When a flight with dayparts airs.

use jiff::civil::Weekday;
use proptest::prelude::*;

use super::*;
use crate::contracts::TimeOfDay;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn daypart(days: &[Day], from: &str, until: &str) -> Daypart {
    Daypart { days: days.to_vec(), from: from.parse().unwrap(), until: until.parse().unwrap() }
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> UnixMillis {
    UnixMillis(u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap())
}

/// The spans of the day that begins at `from` and ends at `until`, as text.
fn aired(dayparts: &[Daypart], zone: &TimeZone, from: &str, until: &str) -> Vec<String> {
    let (from, until) = (at(from), at(until));
    let told = |at: UnixMillis| Timestamp::from_millisecond(millis(at)).unwrap().to_string();
    airs(dayparts, zone, (from, until))
        .into_iter()
        .filter(|span| span.until > from && span.from < until)
        .map(|span| format!("{} {}", told(span.from), told(span.until)))
        .collect()
}

#[test]
fn an_evening_is_the_evening_of_the_flights_zone() {
    let prime_time = [daypart(&Day::ALL, "18:00", "23:30")];
    // From midnight to midnight in New York, five hours behind UTC.
    let aired = aired(&prime_time, &zone("America/New_York"), "2026-01-15T05:00:00Z", "2026-01-16T05:00:00Z");
    assert_eq!(aired, ["2026-01-15T23:00:00Z 2026-01-16T04:30:00Z"]);
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    let friday_night = [daypart(&[Day::Fri], "22:00", "02:00")];
    let days = |first: u32, end: u32| {
        let (from, until) = (format!("2026-01-{first}T00:00:00Z"), format!("2026-01-{end}T00:00:00Z"));
        aired(&friday_night, &TimeZone::UTC, &from, &until)
    };
    assert_eq!(days(15, 18), ["2026-01-16T22:00:00Z 2026-01-17T02:00:00Z"], "the 16th was a Friday");
    assert_eq!(days(17, 18), ["2026-01-17T00:00:00Z 2026-01-17T02:00:00Z"], "what is left of it on Saturday");
    assert!(days(18, 20).is_empty());
}

#[test]
fn on_the_night_that_clocks_skip_an_hour_it_is_in_no_daypart() {
    // In New York, 8 March 2026: after 01:59:59 EST (UTC-5) comes 03:00:00 EDT (UTC-4), at 07:00 UTC.
    let night = |from, until| {
        let dayparts = [daypart(&Day::ALL, from, until)];
        aired(&dayparts, &zone("America/New_York"), "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z")
    };
    assert_eq!(night("01:00", "04:00"), ["2026-03-08T06:00:00Z 2026-03-08T08:00:00Z"], "two hours, not three");
    assert_eq!(night("01:00", "02:30"), ["2026-03-08T06:00:00Z 2026-03-08T07:00:00Z"]);
    assert_eq!(night("02:00", "03:00"), [] as [&str; 0]);
    assert_eq!(night("18:00", "24:00"), ["2026-03-08T22:00:00Z 2026-03-09T04:00:00Z"], "the evening is EDT");
}

#[test]
fn on_the_night_that_clocks_show_an_hour_twice_it_airs_twice() {
    // In New York, 1 November 2026: after 01:59:59 EDT (UTC-4) comes 01:00:00 EST (UTC-5), at 06:00 UTC.
    let night = |from, until| {
        let dayparts = [daypart(&Day::ALL, from, until)];
        aired(&dayparts, &zone("America/New_York"), "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z")
    };
    assert_eq!(night("01:00", "04:00"), ["2026-11-01T05:00:00Z 2026-11-01T09:00:00Z"], "four hours, not three");
    assert_eq!(
        night("00:30", "01:30"),
        ["2026-11-01T04:30:00Z 2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z 2026-11-01T06:30:00Z"]
    );
    assert_eq!(night("18:00", "24:00"), ["2026-11-01T23:00:00Z 2026-11-02T05:00:00Z"], "the evening is EST");
}

#[test]
fn spans_stay_the_same_from_plan_to_plan_within_a_day() {
    let dayparts = [daypart(&Day::ALL, "07:00", "09:15"), daypart(&[Day::Mon], "22:00", "02:00")];
    let made_at = |hour: u64| {
        let now = at("2026-01-19T00:10:00Z").plus_ms(hour * HOUR); // a Monday
        airs(&dayparts, &zone("Europe/Oslo"), (now, now.plus_ms(23 * HOUR)))
    };
    assert!((1..=23).all(|hour| made_at(hour) == made_at(1)));
}

#[test]
fn dayparts_that_touch_or_overlap_are_one_span() {
    let dayparts = [
        daypart(&Day::ALL, "10:00", "12:00"),
        daypart(&Day::ALL, "12:00", "13:00"),
        daypart(&Day::ALL, "11:00", "11:30"),
    ];
    let aired = aired(&dayparts, &TimeZone::UTC, "2026-01-15T00:00:00Z", "2026-01-16T00:00:00Z");
    assert_eq!(aired, ["2026-01-15T10:00:00Z 2026-01-15T13:00:00Z"]);
}

/// What the spans must say, by the calendar: whether a clock on the wall shows a time in one of the dayparts.
fn is_on(dayparts: &[Daypart], zone: &TimeZone, at: UnixMillis) -> bool {
    let local = zone.to_datetime(Timestamp::from_millisecond(millis(at)).unwrap());
    let minute = u16::try_from(local.hour()).unwrap() * 60 + u16::try_from(local.minute()).unwrap();
    let day = |weekday: Weekday| Day::ALL[usize::try_from(weekday.to_monday_zero_offset()).unwrap()];
    let (today, yesterday) = (day(local.weekday()), day(local.weekday().previous()));
    dayparts.iter().any(|daypart| {
        let (from, until) = (daypart.from.minutes, daypart.until.minutes);
        let same_day = daypart.days.contains(&today) && from <= minute && (minute < until || until <= from);
        let since_yesterday = daypart.days.contains(&yesterday) && until <= from && minute < until;
        same_day || since_yesterday
    })
}

fn any_daypart() -> impl Strategy<Value = Daypart> {
    let minutes = |end: u16| (0..end).prop_map(|minutes| TimeOfDay { minutes });
    (proptest::sample::subsequence(Day::ALL.to_vec(), 1..=7), minutes(1_440), minutes(1_441))
        .prop_map(|(days, from, until)| Daypart { days, from, until })
}

/// Mostly few, so that there are hours at which nothing airs.
fn dayparts_of_a_flight() -> impl Strategy<Value = Vec<Daypart>> {
    prop_oneof![
        4 => proptest::collection::vec(any_daypart(), 1..=2),
        1 => proptest::collection::vec(any_daypart(), 32),
    ]
}

/// Instants within two days of one at which some of these zones set their clocks, or anywhere.
fn any_instant() -> impl Strategy<Value = UnixMillis> {
    static SET: [&str; 4] =
        ["2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z", "2026-10-03T15:30:00Z", "2011-12-30T10:00:00Z"];
    let near = (proptest::sample::select(&SET[..]), 0..4 * 24 * 60_u64);
    prop_oneof![
        near.prop_map(|(set, minutes)| at(set).minus_ms(48 * HOUR).plus_ms(minutes * MINUTE)),
        (1_262_304_000..2_200_000_000_u64).prop_map(|seconds| UnixMillis(seconds * 1_000)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Lord Howe sets its clocks by half an hour, Samoa once left out a whole day.
    #[test]
    fn spans_say_what_a_clock_on_the_wall_says_and_are_in_order_apart_and_few(
        dayparts in dayparts_of_a_flight(),
        zone_name in proptest::sample::select(
            &["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"][..]),
        from in any_instant(),
        length_ms in 1..27 * HOUR,
    ) {
        let (zone, until) = (zone(zone_name), from.plus_ms(length_ms));
        let spans = airs(&dayparts, &zone, (from, until));
        prop_assert!(spans.len() <= 256, "{}", spans.len());
        prop_assert!(spans.iter().all(|span| span.from < span.until));
        prop_assert!(spans.windows(2).all(|pair| pair[0].until < pair[1].from));
        let day = 24 * HOUR;
        let (first, end) = (from.0 / day * day, until.0.div_ceil(day) * day);
        prop_assert!(spans.iter().all(|span| first <= span.from.0 && span.until.0 <= end));
        let ends = spans.iter().flat_map(|span| [span.from, span.until.minus_ms(1), span.until]);
        let minutes = (0..length_ms / (7 * MINUTE)).map(|n| from.plus_ms(n * 7 * MINUTE));
        for at in minutes.chain(ends).filter(|at| first <= at.0 && at.0 < end) {
            let airs = spans.iter().any(|span| span.from <= at && at < span.until);
            prop_assert_eq!(airs, is_on(&dayparts, &zone, at), "{:?}", at);
        }
    }
}
