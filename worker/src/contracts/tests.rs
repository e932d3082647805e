//! What an import must do, and what it must refuse.

use slotkeeper_core::time::UnixMillis;

use super::*;

mod terms;

const DEMO: &str = include_str!("../../demo/contracts.toml");

struct World {
    _folder: tempfile::TempDir,
    contracts: Contracts,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let contracts = Contracts::open(&folder.path().join("contracts.db")).unwrap();
        Self { _folder: folder, contracts }
    }

    fn import(&mut self, text: &str) -> Imported {
        self.contracts.import("c.toml", text, Format::Toml).unwrap()
    }

    fn faults(&mut self, text: &str, format: Format) -> Vec<String> {
        let file = if format == Format::Toml { "c.toml" } else { "c.json" };
        match self.contracts.import(file, text, format) {
            Err(ImportError::Invalid(invalid)) => invalid.faults,
            other => panic!("{other:?}"),
        }
    }
}

const SMALL: &str = r#"
[[advertisers]]
id = "a"
name = "A"

[[campaigns]]
id = "c"
advertiser = "a"
name = "C"

[[creatives]]
id = "v"
advertiser = "a"
name = "V"
duration_ms = 6000
media = [{ url = "/m/v.webm", mime_type = "video/webm", width = 640, height = 360 }]

[[flights]]
id = "f"
campaign = "c"
class = "guaranteed"
start = "2026-01-01"
end = 2026-02-01
committed_impressions = 1000
cpm = "25.00"
currency = "USD"
completion_threshold = "complete"
creatives = ["v"]
"#;

#[test]
fn importing_again_changes_nothing_and_keeps_the_numbers() {
    let mut world = World::new();
    let first = world.import(DEMO);
    assert_eq!(first.map(|(_, tally)| tally.written), [5, 5, 6, 5, 3]);
    let before = serde_json::to_string(&world.contracts.booked().unwrap()).unwrap();
    let second = world.import(DEMO);
    assert_eq!(second.map(|(_, tally)| (tally.in_file, tally.written)), [(5, 0), (5, 0), (6, 0), (5, 0), (3, 0)]);
    assert_eq!(serde_json::to_string(&world.contracts.booked().unwrap()).unwrap(), before);
}

#[test]
fn an_import_changes_what_it_names_and_leaves_the_rest() {
    let mut world = World::new();
    world.import(SMALL);
    let booked = world.import(&SMALL.replace("committed_impressions = 1000", "committed_impressions = 2000"));
    assert_eq!(booked.map(|(_, tally)| tally.written), [0, 0, 0, 1, 0]);
    world.import("[[advertisers]]\nid = \"b\"\nname = \"B\"\n");
    let flights = world.contracts.booked().unwrap().flights;
    assert_eq!((flights.len(), flights[0].flight_id.0, flights[0].committed_impressions), (1, 1, Some(2000)));
}

#[test]
fn a_creative_taken_out_of_its_flight_keeps_its_number_for_when_it_returns() {
    let mut world = World::new();
    let second = SMALL.replace(
        "[[flights]]",
        "[[creatives]]\nid = \"w\"\nadvertiser = \"a\"\nname = \"W\"\n\
        duration_ms = 1\nmedia = [{ url = \"/w\", mime_type = \"a/b\", width = 1, height = 1 }]\n\n[[flights]]",
    );
    let ads = |world: &World| -> Vec<(u32, String)> {
        let flights = world.contracts.booked().unwrap().flights;
        flights[0].ads.iter().map(|ad| (ad.ad_id.0, ad.creative.clone())).collect()
    };
    world.import(&second.replace("[\"v\"]", "[\"v\", \"w\"]"));
    assert_eq!(ads(&world), [(1, "v".into()), (2, "w".into())]);
    world.import(&second.replace("[\"v\"]", "[\"w\"]"));
    assert_eq!(ads(&world), [(2, "w".into())]);
    world.import(&second);
    assert_eq!(ads(&world), [(1, "v".into())]);
}

#[test]
fn a_bad_value_is_refused_with_file_line_column_field_value_and_bound() {
    let cases = [
        ("cpm = \"25.00\"", "cpm = \"-3.00\"", "c.toml:25:7: flights[0].cpm: \"-3.00\" must be text such as \"25.00\""),
        ("cpm = \"25.00\"", "cpm = 25.0", "c.toml:25:7: flights[0].cpm: 25.0 must be text"),
        (
            "end = 2026-02-01",
            "end = 2025-02-01",
            "c.toml:23:7: flights[0].end: 2025-02-01T00:00:00Z must be after the start, 2026-01-01T00:00:00Z",
        ),
        ("end = 2026-02-01\n", "", "c.toml:18:1: flights[0].end: is missing"),
        (
            "campaign = \"c\"",
            "campaign = \"d\"",
            "c.toml:20:12: flights[0].campaign: there is no campaign \"d\", neither in this file nor booked",
        ),
        ("[\"v\"]", "[\"v\", \"x\"]", "c.toml:28:19: flights[0].creatives[1]: there is no creative \"x\""),
        (
            "[\"v\"]",
            "[\"v\", \"v\"]",
            "c.toml:28:19: flights[0].creatives[1]: \"v\" stands already in flights[0].creatives[0]",
        ),
        (
            "currency = \"USD\"",
            "currency = \"usd\"",
            "c.toml:26:12: flights[0].currency: \"usd\" must be an ISO 4217 code",
        ),
        (
            "currency = \"USD\"",
            "currency = \"XXX\"",
            "c.toml:26:12: flights[0].currency: \"XXX\" is no currency; what is sold has one",
        ),
        (
            "name = \"C\"",
            "name = \"C\"\nbudget = 3",
            "c.toml:10:1: campaigns[0].budget: is not a field here; there are id, advertiser, name, category",
        ),
        (
            "duration_ms = 6000",
            "duration_ms = 0",
            "c.toml:15:15: creatives[0].duration_ms: 0 must be a whole number from 1 to 600000",
        ),
        ("id = \"a\"", "id = \"A\"", "c.toml:3:6: advertisers[0].id: \"A\" must be 1 to 64 of a-z"),
        (
            "[[advertisers]]",
            "[[advertiser]]",
            "c.toml:2:3: advertiser: is not a field here; there are advertisers, campaigns",
        ),
        (
            "committed_impressions = 1000",
            "committed_impressions = 0",
            "c.toml:24:25: flights[0].committed_impressions: 0 must be a whole number from 1",
        ),
        (
            "creatives = [\"v\"]",
            "creatives = [\"v\"]\ncaps = [{ scope = \"team\", limit = -1, per = \"1w\" }]",
            "c.toml:29:19: flights[0].caps[0].scope: \"team\" must be one of creative, flight",
        ),
        (
            "creatives = [\"v\"]",
            "creatives = [\"v\"]\ncaps = [{ limit = 1, per = \"1 day\" }]",
            "c.toml:29:28: flights[0].caps[0].per: \"1 day\" must be \"break\", \"session\", \"flight\", a calendar window",
        ),
        (
            "name = \"C\"",
            "name = \"C\"\nmin_gap = \"day\"",
            "c.toml:10:11: campaigns[0].min_gap: \"day\" must be minutes, hours or days of 24 hours up to 366d",
        ),
        (
            "creatives = [\"v\"]",
            "creatives = [\"v\"]\nweight = 2",
            "c.toml:29:1: flights[0].weight: 2; only house flights have a weight",
        ),
        (
            "creatives = [\"v\"]",
            "creatives = [\"v\"]\ntime_zone = \"Mars\"",
            "c.toml:29:13: flights[0].time_zone: \"Mars\" must be an IANA time zone",
        ),
        (
            "creatives = [\"v\"]",
            "creatives = [\"v\"]\ntargeting = { titles = [\"t\"] }",
            "c.toml:29:25: flights[0].targeting.titles[0]: there is no title \"t\"",
        ),
        ("name = \"A\"", "name = \"A", "c.toml:4:10: not TOML"),
    ];
    for (from, to, expected) in cases {
        assert!(SMALL.contains(from), "{from}");
        let faults = World::new().faults(&SMALL.replacen(from, to, 1), Format::Toml);
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{to}: {faults:#?}");
    }
}

#[test]
fn every_fault_of_a_file_is_told_at_once_and_nothing_is_booked() {
    let mut world = World::new();
    let bad = SMALL
        .replace("name = \"A\"", "name = \"\"")
        .replace("duration_ms = 6000", "duration_ms = \"6\"")
        .replace("class = \"guaranteed\"", "class = \"guaranteed\"\nratings = [\"TV-X\"]")
        .replace("cpm = \"25.00\"\n", "");
    let faults = world.faults(&bad, Format::Toml);
    let fields: Vec<&str> = faults.iter().map(|fault| fault.split(": ").nth(1).unwrap()).collect();
    for field in ["advertisers[0].name", "creatives[0].duration_ms", "flights[0].ratings[0]", "flights[0].cpm"] {
        assert!(fields.contains(&field), "{field} in {faults:#?}");
    }
    assert!(world.contracts.booked().unwrap().flights.is_empty());
}

#[test]
fn json_of_the_same_shape_is_booked_the_same_and_refused_the_same() {
    let json = r#"{
  "advertisers": [{ "id": "a", "name": "A" }],
  "campaigns": [{ "id": "c", "advertiser": "a", "name": "C" }],
  "creatives": [{ "id": "v", "advertiser": "a", "name": "V", "duration_ms": 6000,
    "media": [{ "url": "/m/v.webm", "mime_type": "video/webm", "width": 640, "height": 360 }] }],
  "flights": [{ "id": "f", "campaign": "c", "class": "guaranteed", "start": "2026-01-01", "end": "2026-02-01",
    "committed_impressions": 1000, "cpm": "25.00", "currency": "USD", "completion_threshold": "complete",
    "creatives": ["v"] }]
}"#;
    let (mut from_json, mut from_toml) = (World::new(), World::new());
    from_json.contracts.import("c.json", json, Format::Json).unwrap();
    from_toml.import(SMALL);
    let booked = |world: &World| serde_json::to_string(&world.contracts.booked().unwrap()).unwrap();
    assert_eq!(booked(&from_json), booked(&from_toml));

    let cases = [
        ("\"25.00\"", "-3", "c.json:7:43: flights[0].cpm: -3 must be text"),
        ("\"name\": \"C\"", "\"nam\\u0065\": \"C\", \"x\": null", "c.json:3:67: campaigns[0].x: is not a field here"),
        ("\"name\": \"C\"", "\"name\": \"C\", \"name\": \"D\"", "c.json:3:62: name: stands twice in one object"),
        ("[\"v\"]", "[\"v\", 1.5]", "c.json:8:24: flights[0].creatives[1]: 1.5 must be text"),
        ("\"f\",", "\"f\"", "c.json:6:27: not JSON"),
    ];
    for (from, to, expected) in cases {
        let faults = World::new().faults(&json.replacen(from, to, 1), Format::Json);
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{to}: {faults:#?}");
    }
    for depth in [50, 100_000] {
        let deep = format!("{{\"advertisers\": {}1{}}}", "[".repeat(depth), "]".repeat(depth));
        let faults = World::new().faults(&deep, Format::Json);
        assert!(faults.iter().any(|fault| fault.contains("nested deeper than 16")), "{faults:?}");
    }
}

#[test]
fn what_money_and_caps_hang_on_cannot_change_under_the_same_id() {
    let mut world = World::new();
    world.import(&format!("{SMALL}\n[[advertisers]]\nid = \"b\"\nname = \"B\"\n[[campaigns]]\nid = \"d\"\nadvertiser = \"a\"\nname = \"D\"\n"));
    let cases = [
        (
            ("advertiser = \"a\"\nname = \"C\"", "advertiser = \"b\"\nname = \"C\""),
            "campaigns[0].advertiser: \"b\": it is booked as \"a\"",
        ),
        (("campaign = \"c\"", "campaign = \"d\""), "flights[0].campaign: \"d\": it is booked as \"c\""),
        (("\"USD\"", "\"EUR\""), "flights[0].currency: \"EUR\": it is booked as \"USD\""),
    ];
    for ((from, to), expected) in cases {
        let faults = world.faults(&SMALL.replacen(from, to, 1), Format::Toml);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{to}: {faults:#?}");
    }
}

#[test]
fn a_flight_shows_only_creatives_of_its_own_advertiser() {
    let foreign = SMALL.replacen("id = \"v\"\nadvertiser = \"a\"", "id = \"v\"\nadvertiser = \"b\"", 1);
    let faults = World::new().faults(&format!("{foreign}\n[[advertisers]]\nid = \"b\"\nname = \"B\"\n"), Format::Toml);
    assert!(
        faults[0].contains("flights[0].creatives[0]: \"v\" is \"b\"'s; the flight's campaign is \"a\"'s"),
        "{faults:?}"
    );
}

/// `SMALL`, with something booked on its advertiser, campaign, creative and flight, in this order.
fn booked_on_each(lines: [&str; 4]) -> String {
    let [advertiser, campaign, creative, flight] = lines;
    SMALL
        .replacen("name = \"A\"", &format!("name = \"A\"\n{advertiser}"), 1)
        .replacen("name = \"C\"", &format!("name = \"C\"\n{campaign}"), 1)
        .replacen("name = \"V\"", &format!("name = \"V\"\n{creative}"), 1)
        .replacen("creatives = [\"v\"]", &format!("creatives = [\"v\"]\n{flight}"), 1)
}

#[test]
fn caps_are_booked_on_whatever_is_shown_and_count_that_unless_they_say_otherwise() {
    let mut world = World::new();
    let text = booked_on_each([
        "min_gap = \"10m\"",
        "time_zone = \"asia/kolkata\"\ncaps = [{ limit = 2, per = \"3 days\" }, { scope = \"flight\", limit = 1, per = \"break\" }]",
        "caps = [{ limit = 1, per = \"session\" }]",
        "caps = [{ scope = \"advertiser\", limit = 4, per = \"1d\" }]",
    ]);
    world.import(&text);
    let flight = world.contracts.booked().unwrap().flights.remove(0);
    let told = |frequency: &Frequency| frequency.caps.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(flight.advertiser_frequency.min_gap.unwrap().to_string(), "10m");
    assert_eq!(told(&flight.campaign_frequency), ["campaign 2/3 days", "flight 1/break"]);
    assert_eq!(flight.campaign_frequency.time_zone, "Asia/Kolkata");
    assert_eq!(told(&flight.frequency), ["advertiser 4/1d"]);
    assert_eq!(told(&flight.ads[0].frequency), ["creative 1/session"]);
    assert!(world.import(&text).iter().all(|(_, tally)| tally.written == 0));
    assert_eq!(world.import(SMALL).map(|(_, tally)| tally.written), [1, 1, 1, 1, 0], "what is taken out is gone");
}

#[test]
fn an_ad_under_more_caps_than_a_plan_holds_is_refused_with_the_sum() {
    let caps = |count| format!("caps = [{}]", ["{ limit = 9, per = \"day\" }"].repeat(count).join(", "));
    let (four, five) = (caps(4), caps(5));
    let full = booked_on_each([&five, &four, &caps(3), &format!("{four}\nmin_gap = \"1m\"")]);
    let sum = |carried: u32, of_creative: u32| {
        format!(
            "flight \"f\" would carry {carried} caps, its minimum gaps among them (5 of advertiser \"a\", 4 of campaign \"c\", \
             5 of flight \"f\", {of_creative} of creative \"v\"); an ad may be under 16"
        )
    };
    assert_eq!(World::new().faults(&full, Format::Toml), [format!("c.toml:32:8: flights[0].caps: {}", sum(17, 3))]);

    let mut world = World::new();
    world.import(&full.replacen(&caps(3), &caps(2), 1));
    let creative = SMALL.split("[[creatives]]").nth(1).unwrap().split("[[flights]]").next().unwrap();
    let creative = format!("[[creatives]]{}{five}", creative.trim_end().to_owned() + "\n");
    let faults = world.faults(&creative, Format::Toml);
    assert_eq!(faults, [format!("c.toml:7:8: creatives[0].caps: {}", sum(19, 5))], "by a later file, too");
}

#[test]
fn bookings_made_before_caps_had_words_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contracts.db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(SCHEMA).unwrap();
    let old = r#"[{"scope":"campaign","limit":3,"window":{"rolling":{"ms":86400000}}},
        {"scope":"flight","limit":1,"window":{"rolling":{"ms":5400000}}},{"scope":"campaign","limit":20,"window":"lifetime"}]"#;
    db.execute_batch(&format!(
        "INSERT INTO advertisers VALUES (7, 'a', 'A');
         INSERT INTO campaigns VALUES (8, 'c', 7, 'C', NULL);
         INSERT INTO creatives VALUES (9, 'v', 7, 'V', 6000, 'unknown', '[]');
         INSERT INTO flights VALUES (5, 'f', 8, 'house', 0, 9, NULL, 0, 'XXX', 'start', 1, '{old}', '[]', '{{}}', 0),
             (6, 'g', 8, 'house', 0, 9, NULL, 0, 'XXX', 'start', 1, '[]', '[]', '{{}}', 0);
         INSERT INTO ads VALUES (4, 5, 9, 1);"
    ))
    .unwrap();
    drop(db);
    for _ in 0..2 {
        let mut contracts = Contracts::open(&path).unwrap();
        let flights = contracts.booked().unwrap().flights;
        let caps: Vec<String> = flights[0].frequency.caps.iter().map(ToString::to_string).collect();
        assert_eq!(caps, ["campaign 3/1d", "flight 1/90m", "campaign 20/flight"]);
        assert_eq!(flights[1].frequency, Frequency::default());
        assert_eq!(flights[0].ads[0].ad_id.0, 4);
        let version: u32 = contracts.db().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, 5);
    }
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = Contracts::open(&path).err().unwrap().to_string();
    assert!(refused.contains("contracts.db is of version 99; this slotkeeper knows versions up to 5"), "{refused}");
}

#[test]
fn a_flight_with_a_lifetime_cap_is_not_extended_past_what_its_caps_remember() {
    let capped = |per: &str, end: &str| {
        SMALL.replace("end = 2026-02-01", &format!("end = {end}")).replace(
            "creatives = [\"v\"]",
            &format!("creatives = [\"v\"]\ncaps = [{{ scope = \"flight\", limit = 3, per = \"{per}\" }}]"),
        )
    };
    let mut world = World::new();
    world.import(&capped("flight", "2026-02-01"));
    let faults = world.faults(&capped("flight", "2026-04-05"), Format::Toml);
    assert_eq!(
        faults,
        ["c.toml:23:7: flights[0].end: 2026-04-05T00:00:00Z: it is booked until 2026-02-01T00:00:00Z, and what a cap \
          per \"flight\" counts is kept until 2026-04-04T00:00:00Z; book a new flight"]
    );
    world.import(&capped("flight", "2026-04-04"));
    let of_the_campaign = booked_on_each(["", "caps = [{ limit = 3, per = \"flight\" }]", "", ""]);
    let faults = world.faults(&of_the_campaign.replace("end = 2026-02-01", "end = 2026-07-01"), Format::Toml);
    assert!(faults[0].contains("what a cap per \"flight\" counts is kept until 2026-06-05"), "{faults:?}");
    let mut rolling = World::new();
    rolling.import(&capped("30d", "2026-02-01"));
    rolling.import(&capped("30d", "2027-02-01"));
}

#[test]
fn what_a_plan_has_room_for_is_bounded_over_all_files_together() {
    let mut world = World::new();
    world.import(SMALL);
    let run = |world: &mut World, sql: &str| world.contracts.db().execute(sql, []).unwrap();
    run(
        &mut world,
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200000)
         INSERT INTO titles (title_id, name, rating, genres) SELECT 't' || n, 'T', 'TV-PG', '[]' FROM n",
    );
    let title = |id: &str| format!("[[titles]]\nid = \"{id}\"\nname = \"T\"\nrating = \"TV-PG\"\n");
    world.import(&title("t7"));
    let faults = world.faults(&(title("t8") + &title("u")), Format::Toml);
    let full = "a plan holds at most 200000 titles, with the 200000 booked before";
    assert_eq!(faults, [format!("c.toml:6:6: titles[1].id: \"u\": {full}")]);
    run(
        &mut world,
        "WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 50000)
         INSERT INTO flights (slug, campaign_id, class, starts_at_ms, ends_at_ms, committed_impressions, cpm_micros,
             currency, completion_threshold, weight, caps, ratings, targeting, paused)
         SELECT 'f' || n, campaign_id, class, starts_at_ms, ends_at_ms, committed_impressions, cpm_micros, currency,
             completion_threshold, weight, caps, ratings, targeting, paused FROM n, flights WHERE slug = 'f'",
    );
    world.import(SMALL);
    let another = SMALL.replace("id = \"f\"", "id = \"g\"");
    let faults = world.faults(&another, Format::Toml);
    let full = "a plan holds at most 50000 flights that are not paused, with the 50000 booked before";
    assert_eq!(faults, [format!("c.toml:19:6: flights[0].id: \"g\": {full}")]);
    run(&mut world, "UPDATE flights SET paused = 1 WHERE slug = 'f9'");
    world.import(&another);
}

#[test]
fn it_is_kept_when_a_flight_was_paused_and_when_it_went_on() {
    let mut world = World::new();
    let pauses = |world: &World| world.contracts.booked().unwrap().flights.remove(0).pauses;
    let clock = || UnixMillis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap());
    let paused = SMALL.replace("id = \"f\"", "id = \"f\"\npaused = true");
    world.import(SMALL);
    assert_eq!(pauses(&world), []);
    let before = clock();
    world.import(&paused);
    world.import(&paused.replace("25.00", "26.00"));
    let [Pause { from, until: None }] = pauses(&world)[..] else { panic!("{:?}", pauses(&world)) };
    assert!(before <= from && from <= clock());
    world.import(SMALL);
    let [Pause { from: same, until: Some(until) }] = pauses(&world)[..] else { panic!("{:?}", pauses(&world)) };
    assert!(same == from && from <= until && until <= clock());
    world.import(&paused);
    assert_eq!(pauses(&world).len(), 2);
}
