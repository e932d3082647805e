//! What can be booked beside dates, prices and caps: where in a break, when, for whom, with what; and where titles break.

use proptest::prelude::*;
use slotkeeper_core::{
    api::{BreakRequest, PodRequest, SlotRequest},
    beacon::Event,
    contract::{
        BreakPosition, Category, Placement, PodPosition, Presentation, Rating, TitleBreak, Tracker, Verification,
    },
    keys::Keyring,
    plan::{AdSource, FlightSource, MediaSource, Plan, PlanSource, Span, Targeting},
    time::UnixMillis,
};

use super::*;
use crate::plan::{Feedback, MadePlan, make};

/// `SMALL`, with a second creative and a title, and more on each entry.
fn booked(creative: &str, flight: &str, title: &str) -> String {
    let second = "[[creatives]]\nid = \"w\"\nadvertiser = \"a\"\nname = \"W\"\nduration_ms = 9000\n\
                  media = [{ url = \"/m/w.webm\", mime_type = \"video/webm\", width = 640, height = 360 }]\n";
    let title = format!("[[titles]]\nid = \"t\"\nname = \"T\"\nrating = \"TV-PG\"\nduration_ms = 3600000\n{title}\n");
    let flight = if flight.contains("rotation") { flight.into() } else { format!("creatives = [\"v\"]\n{flight}") };
    SMALL.replacen("\n\n[[flights]]", &format!("\n{creative}\n{second}\n[[flights]]"), 1).replacen(
        "creatives = [\"v\"]",
        &flight,
        1,
    ) + &title
}

/// 15 January 2026, a Thursday, at 12:00 UTC.
const NOW: UnixMillis = UnixMillis(1_768_478_400_000);
const HOUR_MS: u64 = 3_600_000;

fn plan_of(world: &mut World, now: UnixMillis) -> MadePlan {
    let keys = Keyring::parse(&format!("1:{:064x}", 7)).unwrap();
    let made = make(&mut world.contracts, &Feedback::default(), Some("http://o/"), &keys, now).unwrap();
    assert!(Plan::verify(&made.bytes, &keys).is_ok());
    made
}

fn planned(text: &str) -> PlanSource {
    let mut world = World::new();
    world.import(text);
    assert!(world.import(text).iter().all(|(_, tally)| tally.written == 0), "booking it again changes nothing");
    plan_of(&mut world, NOW).source
}

fn flight_of(flight: &str) -> FlightSource {
    planned(&booked("", flight, "")).flights.remove(0)
}

fn ad_of(creative: &str) -> AdSource {
    planned(&booked(creative, "", "")).flights.remove(0).ads.remove(0)
}

#[test]
fn a_flight_says_what_it_is_sold_as_and_where_in_the_pod_it_stands() {
    let plain = flight_of("");
    assert_eq!((plain.placement, plain.pod_position), (Placement::Ad, PodPosition::Any));
    let bumper = flight_of("placement = \"bumper\"\npod_position = \"first\"");
    assert_eq!((bumper.placement, bumper.pod_position), (Placement::Bumper, PodPosition::First));
    let sponsor = flight_of("placement = \"sponsorship\"\npod_position = \"last\"");
    assert_eq!((sponsor.placement, sponsor.pod_position), (Placement::Sponsorship, PodPosition::Last));
}

#[test]
fn a_flight_names_whom_it_is_for_and_whom_it_is_not_for() {
    let flight = flight_of(
        "[flights.targeting]\nregions = [\"US-CA\", \"US-NY\"]\nsegments = [\"auto intenders\"]\n\
         [flights.exclude]\ntitles = [\"t\"]\ngenres = [\"horror\"]\nratings = [\"TV-MA\"]\npositions = [\"preroll\"]\n\
         tiers = [\"kids\"]\ncountries = [\"DE\"]\nregions = [\"US-TX\"]\ndevices = [\"phone\"]\nsegments = [\"no-ads\"]",
    );
    let list = |values: &[&str]| values.iter().copied().map(String::from).collect::<Vec<_>>();
    assert_eq!(
        flight.targeting,
        Targeting { regions: list(&["US-CA", "US-NY"]), segments: list(&["auto intenders"]), ..Targeting::default() }
    );
    let everything = Targeting {
        titles: list(&["t"]),
        genres: list(&["horror"]),
        positions: list(&["preroll"]),
        tiers: list(&["kids"]),
        countries: list(&["DE"]),
        devices: list(&["phone"]),
        regions: list(&["US-TX"]),
        segments: list(&["no-ads"]),
        ratings: vec![Rating::TvMa],
    };
    assert_eq!(flight.exclusion, everything);
}

#[test]
fn a_flight_airs_in_its_dayparts_by_the_clocks_of_its_zone() {
    let span = |from: u64, until: u64| Span { from: NOW.plus_ms(from * HOUR_MS), until: NOW.plus_ms(until * HOUR_MS) };
    let evenings = "time_zone = \"America/New_York\"\n[[flights.dayparts]]\nfrom = \"18:00\"\nuntil = \"24:00\"";
    let airs = flight_of(evenings).airs;
    assert!(airs.contains(&span(11, 17)), "18:00 in New York is 23:00 UTC: {airs:?}");
    assert!(flight_of("").airs.is_empty(), "always");
    let fridays = "[[flights.dayparts]]\ndays = [\"fri\"]\nfrom = \"06:00\"\nuntil = \"08:00\"";
    assert_eq!(flight_of(fridays).airs, [span(18, 20)]);
}

#[test]
fn a_flight_that_does_not_air_while_the_plan_is_valid_is_in_it_for_its_caps_and_never_on() {
    let mondays = "[[flights.dayparts]]\ndays = [\"mon\"]\nfrom = \"06:00\"\nuntil = \"08:00\"";
    let mut world = World::new();
    world.import(&booked("", mondays, ""));
    // Its caps may count what other flights of its campaign show meanwhile.
    let never = Span { from: UnixMillis(0), until: UnixMillis(1) };
    assert_eq!(plan_of(&mut world, NOW).source.flights[0].airs, [never]);
    let tomorrow_is_monday = plan_of(&mut world, NOW.plus_ms(3 * 24 * HOUR_MS)).source.flights.remove(0).airs;
    assert!(tomorrow_is_monday.len() == 1 && tomorrow_is_monday != [never], "{tomorrow_is_monday:?}");
}

#[test]
fn creatives_are_shown_alike_or_each_with_its_weight() {
    let weights = |flight: &str| -> Vec<(String, u32)> {
        flight_of(flight).ads.into_iter().map(|ad| (ad.name, ad.weight)).collect()
    };
    assert_eq!(weights(""), [("V".into(), 1)]);
    let rotation = "rotation = [{ creative = \"v\", weight = 3 }, { creative = \"w\", weight = 1000 }]";
    assert_eq!(weights(rotation), [("V".into(), 3), ("W".into(), 1000)]);
    let mut world = World::new();
    world.import(&booked("", rotation, ""));
    let lighter = world.import(&booked("", &rotation.replace('3', "2"), ""));
    assert_eq!(lighter.map(|(_, tally)| tally.written), [0, 0, 0, 1, 0]);
    world.import(&booked("", "", ""));
    let ads = world.contracts.booked().unwrap().flights.remove(0).ads;
    assert_eq!(ads.iter().map(|ad| (ad.creative.as_str(), ad.weight)).collect::<Vec<_>>(), [("v", 1)]);
}

#[test]
fn an_ad_carries_what_a_player_shows_calls_and_tells() {
    let creative = r#"
click_through = "/landing"
skip_after_ms = 5000
categories = [{ authority = "https://iabtechlab.com/x", code = "Automotive" }]
verifications = [{ vendor = "v.example-omid", url = "https://v.example/omid.js", parameters = "a=1&b=2" }]
mezzanine = { url = "/m/v.mov", mime_type = "video/quicktime", width = 3840, height = 2160, bitrate_kbps = 200000 }

[[creatives.trackers]]
event = "start"
url = "https://t.example/start?cb=[CACHEBUSTING]"
by = "player"

[[creatives.trackers]]
event = "complete"
url = "https://t.example/complete"
"#;
    let mut world = World::new();
    world.import(&booked(creative, "", ""));
    let made = plan_of(&mut world, NOW).source;
    let ad = &made.flights[0].ads[0];
    let expected = Presentation {
        advertiser: Some("A".into()),
        categories: vec![Category { authority: "https://iabtechlab.com/x".into(), code: "Automotive".into() }],
        click_through: Some("http://o/landing".into()),
        skip_after_ms: Some(5_000),
        trackers: vec![Tracker { event: Event::Start, url: "https://t.example/start?cb=[CACHEBUSTING]".into() }],
        verifications: vec![Verification {
            vendor: "v.example-omid".into(),
            url: "https://v.example/omid.js".into(),
            parameters: Some("a=1&b=2".into()),
        }],
        mezzanine: Some(MediaSource {
            url: "http://o/m/v.mov".into(),
            mime_type: "video/quicktime".into(),
            width: 3840,
            height: 2160,
            bitrate_kbps: Some(200_000),
            codecs: None,
        }),
    };
    assert_eq!(ad.presentation, expected);
    let mut registry = world.contracts.db().prepare("SELECT record FROM registry WHERE record_id = ?1").unwrap();
    let record: String = registry.query_row([ad.record_id.to_string()], |row| row.get(0)).unwrap();
    let record: slotkeeper_core::contract::RegistryRecord = serde_json::from_str(&record).unwrap();
    let called = vec![Tracker { event: Event::Complete, url: "https://t.example/complete".into() }];
    assert_eq!(record.trackers, called, "what the origin calls is as sold, in the record");
}

#[test]
fn an_ad_without_more_says_whose_it_is() {
    let presentation = ad_of("").presentation;
    assert_eq!(presentation, Presentation { advertiser: Some("A".into()), ..Presentation::default() });
}

#[test]
fn a_file_says_its_bitrate_and_codecs_and_may_be_a_playlist() {
    let playlist = "media = [{ url = \"/m/v.m3u8\", mime_type = \"application/vnd.apple.mpegurl\", width = 1920, \
                    height = 1080, bitrate_kbps = 4500, codecs = \"avc1.640028, mp4a.40.2\" }]";
    let text = booked("", "", "");
    let at = text.find("media = ").unwrap();
    let line = &text[at..at + text[at..].find('\n').unwrap()];
    let media = planned(&text.replacen(line, playlist, 1)).flights.remove(0).ads.remove(0).media;
    let expected = MediaSource {
        url: "http://o/m/v.m3u8".into(),
        mime_type: "application/vnd.apple.mpegurl".into(),
        width: 1920,
        height: 1080,
        bitrate_kbps: Some(4_500),
        codecs: Some("avc1.640028, mp4a.40.2".into()),
    };
    assert_eq!(media, [expected]);
}

#[test]
fn a_title_says_where_it_breaks_and_what_for() {
    let title = r#"
[[titles.breaks]]
position = "preroll"
slots = [{ max_duration_ms = 6000, placement = "bumper" }, { max_duration_ms = 30000, min_duration_ms = 10000 }]

[[titles.breaks]]
position = "midroll"
at_ms = 750000
pod = { duration_ms = 120000, max_ads = 6, min_ad_ms = 10000, max_ad_ms = 60000, durations_ms = [15000, 30000], min_cpm_per_second = "0.5" }

[[titles.breaks]]
position = "postroll"
slots = [{ max_duration_ms = 15000, durations_ms = [15000] }]
"#;
    let made = planned(&booked("", "", title)).titles.remove(0);
    assert_eq!(made.duration_ms, Some(3_600_000));
    let slot = |max_duration_ms| SlotRequest { max_duration_ms, ..SlotRequest::default() };
    let expected = [
        TitleBreak {
            slots: vec![
                SlotRequest { placement: Placement::Bumper, ..slot(6_000) },
                SlotRequest { min_duration_ms: 10_000, ..slot(30_000) },
            ],
            ..TitleBreak::default()
        },
        TitleBreak {
            position: BreakPosition::Midroll,
            at_ms: 750_000,
            pod: Some(PodRequest {
                duration_ms: 120_000,
                max_ads: 6,
                min_ad_ms: 10_000,
                max_ad_ms: 60_000,
                durations_ms: vec![15_000, 30_000],
                min_cpm_micros_per_second: 500_000,
            }),
            ..TitleBreak::default()
        },
        TitleBreak {
            position: BreakPosition::Postroll,
            slots: vec![SlotRequest { durations_ms: vec![15_000], ..slot(15_000) }],
            ..TitleBreak::default()
        },
    ];
    assert_eq!(made.breaks, expected);
}

#[test]
fn an_ad_whose_vast_a_third_party_serves_is_booked_and_in_no_plan_yet() {
    let others = SMALL.replacen("duration_ms = 6000\n", "vast = \"https://ads.example/tag\"\n", 1).replacen(
        "media = [{ url = \"/m/v.webm\", mime_type = \"video/webm\", width = 640, height = 360 }]\n",
        "",
        1,
    );
    let mut world = World::new();
    world.import(&others);
    assert!(world.import(&others).iter().all(|(_, tally)| tally.written == 0));
    let booked = world.contracts.booked().unwrap();
    let ad = &booked.flights[0].ads[0];
    assert_eq!((ad.vast.as_deref(), ad.duration_ms, ad.media.len()), (Some("https://ads.example/tag"), 0, 0));
    let made = plan_of(&mut world, NOW);
    assert_eq!((made.source.flights.len(), made.unresolved), (0, vec!["v".to_owned()]));
    world.import(SMALL);
    let made = plan_of(&mut world, NOW);
    assert_eq!((made.source.flights[0].ads[0].duration_ms, made.unresolved.len()), (6_000, 0), "it has files again");
}

#[test]
fn a_flight_stays_in_the_plan_for_as_long_as_a_token_of_its_last_moment_lives() {
    let mut world = World::new();
    world.import(SMALL);
    let end = UnixMillis(1_769_904_000_000); // 1 February
    let lease_ms = 2 * HOUR_MS;
    assert!(plan_of(&mut world, end.minus_ms(1)).source.flights[0].allocation > 0);
    for after_ms in [0, 1, lease_ms - 1] {
        let flight = plan_of(&mut world, end.plus_ms(after_ms)).source.flights.remove(0);
        assert_eq!((flight.allocation, flight.ends_at), (0, end));
    }
    assert!(plan_of(&mut world, end.plus_ms(lease_ms)).source.flights.is_empty());
}

#[test]
fn a_daypart_that_has_just_ended_stays_in_the_plan_as_long() {
    let mut world = World::new();
    // Until midnight on Wednesday, at which UTC's day ends as well.
    world.import(&booked("", "[[flights.dayparts]]\ndays = [\"wed\"]\nfrom = \"20:00\"\nuntil = \"24:00\"", ""));
    let midnight = UnixMillis(1_768_435_200_000);
    let airs =
        |world: &mut World, hours: u64| plan_of(world, midnight.plus_ms(hours * HOUR_MS)).source.flights.remove(0).airs;
    assert!(airs(&mut world, 1)[0].until >= midnight);
    assert!(airs(&mut world, 12)[0].until < midnight, "the span that never comes again");
}

/// Each of `cases` has lines, in the file that `text` makes of them, and the fault that is told of them.
fn refused(cases: &[(String, &str)], text: impl Fn(&str) -> String) {
    for (lines, expected) in cases {
        let faults = World::new().faults(&text(lines), Format::Toml);
        let at = faults.iter().find(|fault| fault.contains(expected));
        let at = at.unwrap_or_else(|| panic!("{expected}: {faults:.200?}"));
        let mut place = at.split(':').skip(1).map(str::parse::<usize>);
        assert!(matches!((place.next(), place.next()), (Some(Ok(1..)), Some(Ok(1..)))), "{at}");
    }
}

fn many(one: &str, count: usize) -> String {
    vec![one; count].join(", ")
}

#[test]
fn a_flights_terms_are_refused_with_field_value_and_bound() {
    let daypart = |fields: &str| format!("dayparts = [{{ {fields} }}]");
    let cases: Vec<(String, &str)> = vec![
        ("placement = \"pre\"".into(), "flights[0].placement: \"pre\" must be one of ad, bumper, sponsorship"),
        ("pod_position = 1".into(), "flights[0].pod_position: 1 must be one of any, first, last"),
        ("rotation = []\ncreatives = []".into(), "flights[0].creatives: a flight needs at least one creative"),
        (
            "creatives = [\"v\"]\nrotation = [{ creative = \"v\", weight = 1 }]".into(),
            "flights[0].rotation: a list of 1; `creatives` says already what the flight shows",
        ),
        (
            "rotation = [{ creative = \"v\", weight = 1001 }]".into(),
            "flights[0].rotation[0].weight: 1001 must be a whole number from 1 to 1000",
        ),
        (
            "rotation = [{ creative = \"v\", weight = 0 }]".into(),
            "flights[0].rotation[0].weight: 0 must be a whole number from 1 to 1000",
        ),
        ("rotation = [{ creative = \"v\" }]".into(), "flights[0].rotation[0].weight: is missing"),
        (
            "rotation = [{ creative = \"x\", weight = 1 }]".into(),
            "flights[0].rotation[0].creative: there is no creative \"x\"",
        ),
        (
            "rotation = [{ creative = \"v\", weight = 1 }, { creative = \"v\", weight = 2 }]".into(),
            "flights[0].rotation[1].creative: \"v\" stands already in flights[0].rotation[0].creative",
        ),
        (
            "targeting = { regions = [\"california\"] }".into(),
            "flights[0].targeting.regions[0]: \"california\" must be a code of ISO 3166-2 such as \"US-CA\"",
        ),
        (
            "targeting = { ratings = [\"TV-MA\"] }".into(),
            "flights[0].targeting.ratings: is not a field here; there are titles, genres",
        ),
        (
            "exclude = { titles = [\"x\"] }".into(),
            "flights[0].exclude.titles[0]: there is no title \"x\", neither in this file nor booked",
        ),
        ("exclude = { ratings = [\"X\"] }".into(), "flights[0].exclude.ratings[0]: \"X\" must be one of TV-Y,"),
        ("exclude = { tags = [\"x\"] }".into(), "flights[0].exclude.tags: is not a field here; there are titles"),
        (
            daypart("from = \"18:00\", until = \"24:01\""),
            "flights[0].dayparts[0].until: \"24:01\" must be a time of day from \"00:00\" to \"24:00\"",
        ),
        (daypart("from = 18:00:00, until = \"20:00\""), "flights[0].dayparts[0].from: 18:00:00 must be a time of day"),
        (daypart("from = \"24:00\", until = \"02:00\""), "flights[0].dayparts[0].from: \"24:00\" is when a day ends"),
        (
            daypart("days = [\"monday\"], from = \"18:00\", until = \"20:00\""),
            "flights[0].dayparts[0].days[0]: \"monday\" must be one of mon, tue, wed, thu, fri, sat, sun",
        ),
        (daypart("from = \"18:00\""), "flights[0].dayparts[0].until: is missing"),
        (
            format!("dayparts = [{}]", many("{ from = \"18:00\", until = \"20:00\" }", 33)),
            "flights[0].dayparts: 33 entries; there may be 32",
        ),
    ];
    refused(&cases, |lines| {
        let names_creatives = lines.contains("creatives");
        let as_booked = "creatives = [\"v\"]";
        if names_creatives { booked("", "", "").replacen(as_booked, lines, 1) } else { booked("", lines, "") }
    });
}

#[test]
fn what_goes_with_a_creative_is_refused_with_field_value_and_bound() {
    let tracker = |fields: &str| format!("trackers = [{{ {fields} }}]");
    let cases: Vec<(String, &str)> = vec![
        (
            "click_through = \"javascript:alert(1)\"".into(),
            "creatives[0].click_through: \"javascript:alert(1)\" must be an http(s) URL or a path",
        ),
        (format!("click_through = \"https://a.example/{}\"", "x".repeat(2_048)), "of at most 2048 bytes"),
        ("skip_after_ms = 6000".into(), "creatives[0].skip_after_ms: 6000 must be a whole number from 0 to 5999"),
        (
            "categories = [{ authority = \"iab\", code = \"1\" }]".into(),
            "creatives[0].categories[0].authority: \"iab\" must be an http(s) URL",
        ),
        ("categories = [{ authority = \"https://a.example\" }]".into(), "creatives[0].categories[0].code: is missing"),
        (
            format!("verifications = [{}]", many("{ vendor = \"v\", url = \"https://a.example\" }", 17)),
            "creatives[0].verifications: 17 entries; there may be 16",
        ),
        (
            tracker("event = \"impression\", url = \"https://a.example\""),
            "creatives[0].trackers[0].event: \"impression\" must be one of start, firstQuartile, midpoint",
        ),
        (
            tracker("event = \"start\", url = \"/t\""),
            "creatives[0].trackers[0].url: \"/t\" must be an http(s) URL such as",
        ),
        (
            tracker("event = \"start\", url = \"https://a.example\", by = \"us\""),
            "creatives[0].trackers[0].by: \"us\" must be one of server, player",
        ),
        (
            format!("trackers = [{}]", many("{ event = \"start\", url = \"https://a.example\" }", 33)),
            "creatives[0].trackers: 33 entries; there may be 32",
        ),
        (
            format!(
                "trackers = [{}]",
                many(&format!("{{ event = \"start\", url = \"https://a.example/{}\" }}", "x".repeat(2_000)), 17)
            ),
            " bytes with its categories, verifications and mezzanine, as JSON; a creative may have 32768",
        ),
        (
            "mezzanine = { url = \"/m\", mime_type = \"video/mp4\", width = 0, height = 1 }".into(),
            "creatives[0].mezzanine.width: 0 must be a whole number from 1 to 16384",
        ),
        ("vast = \"https://ads.example/tag\"".into(), "creatives[0].duration_ms: 6000; the VAST of `vast` says that"),
        ("vast = \"/tag\"".into(), "creatives[0].vast: \"/tag\" must be an http(s) URL such as"),
    ];
    refused(&cases, |lines| booked(lines, "", ""));
}

#[test]
fn a_titles_breaks_are_refused_with_field_value_and_bound() {
    let midroll =
        |at: &str| format!("[[titles.breaks]]\nposition = \"midroll\"\n{at}\nslots = [{{ max_duration_ms = 6000 }}]\n");
    let long = many("{ max_duration_ms = 600000, min_duration_ms = 1000 }", 16);
    let slots_of_midroll =
        |at: u32, slots: &str| format!("[[titles.breaks]]\nposition = \"midroll\"\nat_ms = {at}\nslots = [{slots}]\n");
    let preroll = "[[titles.breaks]]\nposition = \"preroll\"\n";
    let pod = |fields: &str| format!("{preroll}pod = {{ {fields} }}");
    let slots = |fields: &str| format!("{preroll}slots = [{{ {fields} }}]");
    let cases: Vec<(String, &str)> = vec![
        (preroll.into(), "titles[0].breaks[0].slots: a break has slots or a pod"),
        (
            format!("{}\nslots = [{{ max_duration_ms = 6000 }}]", pod("duration_ms = 9000, max_ads = 2")),
            "titles[0].breaks[0].pod: a break has either slots or a pod",
        ),
        (
            format!("{preroll}at_ms = 1\nslots = [{{ max_duration_ms = 6000 }}]"),
            "titles[0].breaks[0].at_ms: 1; only a midroll stands within its title",
        ),
        (midroll(""), "titles[0].breaks[0].at_ms: is missing"),
        (
            midroll("at_ms = 3600000"),
            "titles[0].breaks[0].at_ms: 3600000 must be less than the title's duration_ms, 3600000",
        ),
        (
            midroll("at_ms = 2000") + &midroll("at_ms = 2000"),
            "titles[0].breaks[1].position: a midroll at 2000 ms cannot stand after the break before it",
        ),
        (
            midroll("at_ms = 2000") + &slots("max_duration_ms = 6000"),
            "titles[0].breaks[1].position: a preroll cannot stand after the break before it",
        ),
        (
            (1..=65).map(|at| midroll(&format!("at_ms = {at}"))).collect(),
            "titles[0].breaks: 65 entries; there may be 64",
        ),
        (
            (1..=64).map(|at| slots_of_midroll(at, &long)).collect::<Vec<_>>().concat(),
            "bytes as JSON; a title's breaks may have 32768",
        ),
        (
            slots("max_duration_ms = 999"),
            "titles[0].breaks[0].slots[0].max_duration_ms: 999 must be a whole number from 1000 to 600000",
        ),
        (
            slots("max_duration_ms = 6000, min_duration_ms = 6001"),
            "titles[0].breaks[0].slots[0].min_duration_ms: 6001 must be a whole number from 0 to 6000",
        ),
        (
            slots("max_duration_ms = 6000, placement = \"ads\""),
            "titles[0].breaks[0].slots[0].placement: \"ads\" must be one of ad, bumper, sponsorship",
        ),
        (
            format!("{preroll}slots = [{}]", many("{ max_duration_ms = 6000 }", 17)),
            "titles[0].breaks[0].slots: 17 entries; there may be 16",
        ),
        (
            pod("duration_ms = 600001, max_ads = 17"),
            "titles[0].breaks[0].pod.duration_ms: 600001 must be a whole number from 1000 to 600000",
        ),
        (
            pod("duration_ms = 60000, max_ads = 17"),
            "titles[0].breaks[0].pod.max_ads: 17 must be a whole number from 1 to 16",
        ),
        (
            pod("duration_ms = 60000, max_ads = 2, max_ad_ms = 60001"),
            "titles[0].breaks[0].pod.max_ad_ms: 60001 must be a whole number from 1 to 60000",
        ),
        (
            pod("duration_ms = 60000, max_ads = 2, max_ad_ms = 6000, min_ad_ms = 6001"),
            "titles[0].breaks[0].pod.min_ad_ms: 6001 must be a whole number from 0 to 6000",
        ),
        (
            pod("duration_ms = 60000, max_ads = 2, durations_ms = [15]"),
            "titles[0].breaks[0].pod.durations_ms[0]: 15 must be a whole number from 1000 to 600000",
        ),
    ];
    refused(&cases, |lines| booked("", "", lines));
}

#[test]
fn bookings_made_before_pods_are_kept_and_mean_what_they_meant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contracts.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(SCHEMA).unwrap();
    db.execute_batch(include_str!("../migrations/1_frequency.sql")).unwrap();
    db.execute_batch(
        r#"PRAGMA user_version = 1;
         INSERT INTO advertisers (advertiser_id, slug, name) VALUES (7, 'a', 'A');
         INSERT INTO campaigns (campaign_id, slug, advertiser_id, name) VALUES (8, 'c', 7, 'C');
         INSERT INTO creatives (creative_id, slug, advertiser_id, name, duration_ms, universal_ad_id, media, caps)
             VALUES (9, 'v', 7, 'V', 6000, 'unknown',
                 '[{"url":"/m/v.webm","mime_type":"video/webm","width":640,"height":360}]',
                 '[{"scope":"creative","limit":2,"per":"day"}]');
         INSERT INTO flights VALUES (5, 'f', 8, 'house', 0, 1900000000000, NULL, 0, 'XXX', 'start', 3, '[]', '["TV-G"]',
             '{"titles":[],"genres":[],"positions":["midroll"],"tiers":[],"countries":[],"devices":[]}', 0, NULL, 'UTC');
         INSERT INTO ads VALUES (4, 5, 9, 1);
         INSERT INTO titles VALUES ('t', 'T', 'TV-PG', '["drama"]', 3600000);"#,
    )
    .unwrap();
    drop(db);
    let mut world = World { _folder: folder, contracts: Contracts::open(&path).unwrap() };
    let plan = plan_of(&mut world, NOW).source;
    let flight = &plan.flights[0];
    assert_eq!((flight.flight_id.0, flight.allocation, flight.ratings.as_slice()), (5, 3, [Rating::TvG].as_slice()));
    assert_eq!((flight.placement, flight.pod_position, flight.airs.len()), (Placement::Ad, PodPosition::Any, 0));
    assert_eq!(
        (flight.targeting.positions.as_slice(), flight.exclusion.is_empty()),
        (["midroll".into()].as_slice(), true)
    );
    let ad = &flight.ads[0];
    assert_eq!((ad.ad_id.0, ad.weight, ad.duration_ms, ad.caps.len()), (4, 1, 6_000, 1));
    assert_eq!(ad.presentation, Presentation { advertiser: Some("A".into()), ..Presentation::default() });
    assert_eq!((plan.titles[0].duration_ms, plan.titles[0].breaks.len()), (Some(3_600_000), 0));
    let version: u32 = world.contracts.db().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 5);
}

/// All but the one that leaves something out stand for themselves, after those before them.
#[test]
fn the_examples_of_the_book_can_be_booked() {
    let book = include_str!("../../../../docs/booking.md");
    let examples: Vec<&str> = book.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let whole: Vec<&str> = examples.into_iter().filter(|example| !example.contains("# …")).collect();
    let mut world = World::new();
    let imported = world.import(&whole.concat());
    assert_eq!(imported.map(|(_, tally)| tally.written), [1, 1, 5, 5, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What the edge takes as a request's is booked as a title's, and read as it was written. (A pod whose shortest ad is
    /// longer than its longest may be asked for, though nothing will fill it; booked, it is a mistake.)
    #[test]
    fn a_break_is_booked_if_and_only_if_the_edge_would_take_it_as_a_request(
        duration_ms in 960..1_200_u32, max_ads in 0..18_u8, min_ad_ms in 0..1_200_u32, max_ad_ms in 1..1_200_u32,
        only in proptest::collection::vec(998..1_020_u32, 0..18),
    ) {
        let pod = PodRequest {
            duration_ms, max_ads, min_ad_ms, max_ad_ms, durations_ms: only.clone(), min_cpm_micros_per_second: 0,
        };
        let pod_text = format!(
            "pod = {{ duration_ms = {duration_ms}, max_ads = {max_ads}, min_ad_ms = {min_ad_ms}, max_ad_ms = {max_ad_ms}, \
             durations_ms = {only:?} }}"
        );
        let slot = SlotRequest {
            max_duration_ms: duration_ms, min_duration_ms: min_ad_ms, durations_ms: only.clone(), placement: Placement::Ad,
        };
        let slot_text = format!(
            "slots = [{{ max_duration_ms = {duration_ms}, min_duration_ms = {min_ad_ms}, durations_ms = {only:?} }}]"
        );
        for (text, slots, pod) in [(pod_text, vec![], Some(pod)), (slot_text, vec![slot], None)] {
            let [request_id, profile_id, title_id] = ["r", "p", "t"].map(String::from);
            let expected = TitleBreak { slots, pod, ..TitleBreak::default() };
            let TitleBreak { position, slots, pod, .. } = expected.clone();
            let sensible = pod.is_none() || min_ad_ms <= max_ad_ms;
            let request = BreakRequest { request_id, profile_id, title_id, position, slots, pod, ..BreakRequest::default() };
            let mut contracts = Contracts::open(Path::new(":memory:")).unwrap();
            let text = booked("", "", &format!("[[titles.breaks]]\nposition = \"preroll\"\n{text}"));
            let imported = contracts.import("c.toml", &text, Format::Toml);
            prop_assert_eq!(imported.is_ok(), request.validate().is_ok() && sensible, "{:?}", imported);
            if imported.is_ok() {
                prop_assert_eq!(&contracts.booked().unwrap().titles[0].breaks, &[expected]);
            }
        }
    }
}
