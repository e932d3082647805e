use jiff::tz::TimeZone;
use rusqlite::{Connection, params};
use slotkeeper_books::ledger::{Did, Ledger, MakeGood, Mode, Operation, Status};
use slotkeeper_core::{id::FlightId, time::UnixMillis};
use slotkeeper_lake::file;
use tempfile::TempDir;

use super::*;
use crate::contracts::{BonusTerms, Contracts, Format, NotBonus};

const BOOKED: &str = r#"
[[advertisers]]
id = "aurora"
name = "Aurora"

[[campaigns]]
id = "roast"
advertiser = "aurora"
name = "Roast"

[[creatives]]
id = "roast-6"
advertiser = "aurora"
name = "Roast, 6 s"
duration_ms = 6000
media = [{ url = "https://cdn.example/roast.mp4", mime_type = "video/mp4", width = 640, height = 360, bitrate_kbps = 900 }]

[[flights]]
id = "november"
campaign = "roast"
class = "guaranteed"
start = 2026-11-01T00:00:00Z
end = 2026-12-01T00:00:00Z
committed_impressions = 30000
cpm = "24.99"
currency = "USD"
completion_threshold = "midpoint"
creatives = ["roast-6"]
caps = [{ limit = 3, per = "day" }]

[[flights]]
id = "december"
campaign = "roast"
class = "guaranteed"
start = 2026-11-15T00:00:00Z
end = 2026-12-24T00:00:00Z
committed_impressions = 1000
cpm = "10.00"
currency = "EUR"
completion_threshold = "start"
creatives = ["roast-6"]

[[flights]]
id = "promo"
campaign = "roast"
class = "house"
start = 2026-11-01T00:00:00Z
end = 2026-12-01T00:00:00Z
creatives = ["roast-6"]
"#;

/// As much of the lake's book as the books read.
const LAKE: &str = "
    CREATE TABLE lake_offset (one INTEGER PRIMARY KEY, consumed_seq INTEGER NOT NULL) STRICT;
    INSERT INTO lake_offset VALUES (1, 0);
    CREATE TABLE hours (hour_at_ms INTEGER PRIMARY KEY, raw_version INTEGER NOT NULL, folded_version INTEGER NOT NULL) STRICT;
    INSERT INTO hours VALUES (1793484000000, 2, 2); -- the last but one of October
    CREATE TABLE raw_files (name TEXT NOT NULL, first_seq INTEGER NOT NULL) STRICT;
    CREATE TABLE flight_totals (
        quarter_at_ms INTEGER NOT NULL, flight_id INTEGER NOT NULL, campaign_id INTEGER NOT NULL,
        advertiser_id INTEGER NOT NULL, currency TEXT NOT NULL, filled INTEGER NOT NULL, impressed INTEGER NOT NULL,
        released INTEGER NOT NULL, delivered INTEGER NOT NULL, completes INTEGER NOT NULL, revenue_micros INTEGER NOT NULL,
        PRIMARY KEY (quarter_at_ms, flight_id, advertiser_id, currency)) STRICT, WITHOUT ROWID;
    CREATE TABLE slot_totals (
        quarter_at_ms INTEGER NOT NULL PRIMARY KEY, slots INTEGER NOT NULL, filled INTEGER NOT NULL,
        unfilled INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

struct World {
    folder: TempDir,
    data: DataDir,
}

fn at(text: &str) -> UnixMillis {
    let at: jiff::Timestamp = text.parse().unwrap();
    UnixMillis(at.as_millisecond().try_into().unwrap())
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        Contracts::open(&data.contracts()).unwrap().import("c.toml", BOOKED, Format::Toml).unwrap();
        let world = Self { folder, data };
        world.lake().execute_batch(LAKE).unwrap();
        world
    }

    fn lake(&self) -> Connection {
        Connection::open(self.folder.path().join("lake.db")).unwrap()
    }

    fn flight_id(&self, slug: &str) -> FlightId {
        let booked = Contracts::open(&self.data.contracts()).unwrap().booked().unwrap();
        booked.flights.iter().find(|flight| flight.slug == slug).unwrap().flight_id
    }

    fn deliver(&self, flight: FlightId, when: &str, delivered: u64) {
        self.lake()
            .execute(
                "INSERT OR REPLACE INTO flight_totals VALUES (?1, ?2, 1, 1, 'USD', ?3, ?3, 0, ?3, ?3, 0)",
                params![at(when).0, flight.0, delivered],
            )
            .unwrap();
    }

    fn day(&self, date: &str, now: &str, provisional: bool) -> Result<ClosedDay, BooksError> {
        close_day(&self.data, date.parse().unwrap(), TimeZone::UTC, provisional, at(now), Mode::Write)
    }

    fn ledger(&self) -> Ledger {
        open_ledger(&self.data, None).unwrap()
    }

    fn november(&self, mode: Mode) -> Result<ClosedMonth, BooksError> {
        let month = Month::parse("2026-11", &TimeZone::UTC).unwrap();
        close_month(&self.data, &mut self.ledger(), &month, at("2026-12-02T00:00:00Z"), mode)
    }

    fn close(&self, month: &str, zone: &str, now: &str) -> ClosedMonth {
        let month = Month::parse(month, &TimeZone::get(zone).unwrap()).unwrap();
        close_month(&self.data, &mut self.ledger(), &month, at(now), Mode::Write).unwrap()
    }

    /// Lets the lake know of nothing before this hour.
    fn lake_begins(&self, hour: &str) {
        let hour = i64::try_from(at(hour).0).unwrap();
        let lake = self.lake();
        lake.execute("DELETE FROM hours WHERE hour_at_ms < ?1", [hour]).unwrap();
        lake.execute("DELETE FROM flight_totals WHERE quarter_at_ms < ?1", [hour]).unwrap();
        lake.execute("INSERT OR IGNORE INTO hours VALUES (?1, 1, 1)", [hour]).unwrap();
    }

    /// Books something else of a flight.
    fn edit(&self, flight: &str, from: &str, to: &str) {
        let (before, after) = BOOKED.split_once(&format!("id = \"{flight}\"")).unwrap();
        let text = format!("{before}id = \"{flight}\"{}", after.replacen(from, to, 1));
        Contracts::open(&self.data.contracts()).unwrap().import("c.toml", &text, Format::Toml).unwrap();
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join("lake").join(name)).unwrap()
    }
}

#[test]
fn a_day_is_closed_for_sql_too_and_again_to_the_same_bytes() {
    let world = World::new();
    let november = world.flight_id("november");
    world.deliver(november, "2026-11-20T20:00:00Z", 500);
    let closed = world.day("2026-11-20", "2026-11-21T02:00:00Z", false).unwrap();
    let flights: Vec<&str> = closed.rows.iter().map(|row| row.flight.as_str()).collect();
    assert_eq!(flights, ["november", "december"], "a house flight promises nothing");
    assert_eq!((closed.rows[0].delivered_on_day, closed.rows[0].target_shaped), (500, 20_000));
    assert_eq!(closed.rows[0].alert, "critical");
    let name = "campaign_pacing_daily/date=2026-11-20/part.parquet";
    let bytes = world.bytes(name);
    let rows = file::read(&CAMPAIGN_PACING_DAILY, bytes::Bytes::from(bytes.clone())).unwrap();
    assert_eq!((rows.len(), rows.column("flight").text(1)), (2, Some("december")));
    assert_eq!(rows.column("pacing_index_millionths").int(0), Some(25_000));
    assert_eq!(world.day("2026-11-20", "2026-11-25T00:00:00Z", false).unwrap().rows, closed.rows);
    assert_eq!(world.bytes(name), bytes);
}

#[test]
fn what_is_read_for_a_close_is_of_one_moment_whatever_becomes_of_the_lake_meanwhile() {
    let world = World::new();
    world.lake().execute_batch("PRAGMA journal_mode = WAL").unwrap();
    world.deliver(world.flight_id("november"), "2026-11-20T20:00:00Z", 500);
    let ready = ready::ready_up_to(&world.data, at("2026-11-21T00:00:00Z")).unwrap();
    // As `slotkeeper lake rebuild` begins.
    world
        .lake()
        .execute_batch("DELETE FROM flight_totals; DELETE FROM hours; UPDATE lake_offset SET consumed_seq = 0")
        .unwrap();
    let delivered = "SELECT coalesce(sum(delivered), 0) FROM flight_totals";
    assert_eq!(ready.query_row(delivered, [], |row| row.get(0)), Ok(500));
    assert_eq!(world.lake().query_row(delivered, [], |row| row.get(0)), Ok(0), "whoever asks now is told so");
}

#[test]
fn a_day_that_is_not_over_or_not_all_counted_is_closed_only_if_it_may_be_provisional() {
    let refused = |world: &World, now: &str| match world.day("2026-11-20", now, false) {
        Err(BooksError::NotReady(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let world = World::new();
    assert!(matches!(refused(&world, "2026-11-21T01:59:59Z"), NotReady::NotOver { .. }));
    assert!(world.day("2026-11-20", "2026-11-21T01:59:59Z", true).unwrap().rows[0].is_provisional, "ads still play");
    let (midnight, after) = (at("2026-11-21T00:00:00Z"), "2026-11-21T03:00:00Z");

    let log = Connection::open(world.data.log()).unwrap();
    log.execute_batch("CREATE TABLE entries (seq INTEGER PRIMARY KEY, received_at_ms INTEGER, batch BLOB)").unwrap();
    log.execute(
        "INSERT INTO entries VALUES (1, ?1, x''), (2, ?2, x'')",
        [midnight.0 - 1, midnight.plus_ms(2 * 3_600_000).0],
    )
    .unwrap();
    assert!(matches!(refused(&world, after), NotReady::NotInLake { consumed: 0, logged: 2, .. }));
    world.lake().execute("UPDATE lake_offset SET consumed_seq = 1", []).unwrap();
    world.day("2026-11-20", after, false).unwrap(); // what came after the day is of no matter to it

    world.lake().execute("INSERT INTO hours VALUES (?1, 2, 1)", [midnight.0 - 3_600_000]).unwrap();
    assert!(matches!(refused(&world, after), NotReady::NotFolded { hours: 1, .. }));
    assert!(world.day("2026-11-20", after, true).unwrap().rows[0].is_provisional);
    world.lake().execute("UPDATE hours SET folded_version = 2", []).unwrap();
    assert!(!world.day("2026-11-20", after, true).unwrap().rows[0].is_provisional, "it is all counted now");

    std::fs::remove_file(world.folder.path().join("lake.db")).unwrap();
    assert_eq!(refused(&world, after), NotReady::NoLake);
}

#[test]
fn a_month_owes_what_its_flights_fell_short_by_and_closing_it_again_changes_nothing() {
    let world = World::new();
    let november = world.flight_id("november");
    world.deliver(november, "2026-11-20T20:00:00Z", 29_000);
    let dry = world.november(Mode::DryRun).unwrap();
    assert_eq!(dry.lines.len(), 1, "december ends later, and the promo promises nothing");
    assert_eq!(world.ledger().make_goods().unwrap(), []);

    let closed = world.november(Mode::Write).unwrap();
    let line = &closed.lines[0];
    assert_eq!((line.did, line.delivered, line.flight.committed), (Did::Posted, 29_000, 30_000));
    // 1,000 at a CPM of 24.99
    assert_eq!(closed.liability().into_values().collect::<Vec<_>>(), [24_990_000]);
    let bytes = world.bytes("makegoods/part.parquet");
    let rows = file::read(&MAKEGOODS, bytes::Bytes::from(bytes.clone())).unwrap();
    assert_eq!(
        (rows.column("liability_micros").int(0), rows.column("status").text(0)),
        (Some(24_990_000), Some("pending"))
    );
    let lines = file::read(&MAKEGOOD_LEDGER, bytes::Bytes::from(world.bytes("makegood_ledger/part.parquet"))).unwrap();
    let amounts: Vec<_> = (0..lines.len()).filter_map(|row| lines.column("amount_micros").int(row)).collect();
    assert_eq!((amounts.len(), amounts.iter().sum::<i64>()), (2, 0));

    let again = world.november(Mode::Write).unwrap();
    assert_eq!((again.lines[0].did, &again.lines[0].make_good), (Did::Nothing, &line.make_good));
    assert_eq!(world.bytes("makegoods/part.parquet"), bytes);

    world.deliver(november, "2026-11-30T23:45:00Z", 400);
    let late = world.november(Mode::Write).unwrap();
    assert_eq!(late.liability().into_values().collect::<Vec<_>>(), [14_994_000], "late beacons");
}

#[test]
fn a_month_is_not_closed_while_its_last_ads_may_play() {
    let world = World::new();
    let month = Month::parse("2026-11", &TimeZone::UTC).unwrap();
    let close = |now: &str| close_month(&world.data, &mut world.ledger(), &month, at(now), Mode::Write);
    let not_over = close("2026-12-01T01:59:59Z");
    assert!(matches!(not_over, Err(BooksError::NotReady(NotReady::NotOver { .. }))), "{not_over:?}");
    close("2026-12-01T02:00:00Z").unwrap();
    let berlin = Month::parse("2026-11", &TimeZone::get("Europe/Berlin").unwrap()).unwrap();
    assert_eq!(berlin.span.until, at("2026-11-30T23:00:00Z"));
    for name in ["2026-13", "2026-1", "2026-11-01", "november", ""] {
        assert!(matches!(Month::parse(name, &TimeZone::UTC), Err(BooksError::NoSuchTime(_))), "{name}");
    }
}

#[test]
fn a_bonus_flight_is_booked_at_no_price_and_what_it_delivers_settles_the_make_good() {
    let world = World::new();
    let november = world.flight_id("november");
    world.deliver(november, "2026-11-20T20:00:00Z", 29_000);
    world.november(Mode::Write).unwrap();
    let span = (at("2026-12-01T00:00:00Z"), at("2026-12-08T00:00:00Z"));
    let wanted = Wanted { impressions: None, span, note: "agreed" };
    let now = at("2026-12-02T00:00:00Z");
    let scheduled = schedule(&world.data, &mut world.ledger(), november, &wanted, now, Mode::Write).unwrap();
    assert_eq!((scheduled.bonus.flight.as_str(), scheduled.bonus.impressions), ("november-makegood", 1_000));
    assert_eq!(scheduled.make_good.status, Status::Scheduled);

    let booked = Contracts::open(&world.data.contracts()).unwrap().booked().unwrap();
    let bonus = booked.flights.iter().find(|flight| flight.slug == "november-makegood").unwrap();
    let short = booked.flights.iter().find(|flight| flight.slug == "november").unwrap();
    assert_eq!((bonus.cpm.micros, bonus.cpm.currency), (0, short.cpm.currency), "what it delivers is no revenue again");
    assert_eq!((bonus.committed_impressions, bonus.starts_at, bonus.ends_at), (Some(1_000), span.0, span.1));
    assert_eq!((&bonus.frequency, bonus.completion_threshold), (&short.frequency, short.completion_threshold));
    assert_eq!((bonus.ads.len(), &bonus.ads[0].creative), (1, &short.ads[0].creative));

    let again =
        schedule(&world.data, &mut world.ledger(), november, &wanted, now, Mode::Write).unwrap_err().to_string();
    assert!(again.contains("impressions: 0; 0 are open and not scheduled"), "{again}");

    world.deliver(bonus.flight_id, "2026-12-01T12:00:00Z", 600);
    let closed = world.november(Mode::Write).unwrap();
    assert_eq!((closed.bonuses[0].0, closed.bonuses[0].1.liability_micros()), (Did::Posted, 9_996_000));
    world.deliver(bonus.flight_id, "2026-12-01T12:00:00Z", 1_007);
    let closed = world.november(Mode::Write).unwrap();
    assert_eq!((closed.bonuses[0].1.status, closed.bonuses[0].1.liability_micros()), (Status::Fulfilled, 0));
    let december = Month::parse("2026-12", &TimeZone::UTC).unwrap();
    let closed =
        close_month(&world.data, &mut world.ledger(), &december, at("2027-01-02T00:00:00Z"), Mode::Write).unwrap();
    let flights: Vec<&str> = closed.lines.iter().map(|line| line.flight.slug.as_str()).collect();
    assert_eq!(flights, ["december"], "a bonus flight owes nothing of its own");
    world.deliver(bonus.flight_id, "2026-12-01T12:00:00Z", 900);
    let closed =
        close_month(&world.data, &mut world.ledger(), &december, at("2027-01-02T00:00:00Z"), Mode::Write).unwrap();
    let bonus = &closed.bonuses[0].1;
    assert_eq!(
        (bonus.status, bonus.unscheduled_impressions()),
        (Status::Pending, 100),
        "it is over, and lacks a hundred"
    );
    assert_eq!(world.ledger().verify().unwrap(), []);
}

#[test]
fn a_bonus_flight_that_was_scheduled_by_a_process_that_died_is_booked_by_the_next() {
    let world = World::new();
    let november = world.flight_id("november");
    world.november(Mode::Write).unwrap();
    let bonus = slotkeeper_books::ledger::BonusFlight {
        flight: "november-makegood".into(),
        impressions: 30_000,
        starts_at: at("2026-12-01T00:00:00Z"),
        ends_at: at("2026-12-08T00:00:00Z"),
    };
    let now = at("2026-12-02T00:00:00Z");
    world.ledger().apply(november, &Operation::Schedule { bonus }, "k", "", now, Mode::Write).unwrap();
    world.november(Mode::Write).unwrap();
    let booked = Contracts::open(&world.data.contracts()).unwrap().booked().unwrap();
    assert_eq!(booked.flights.iter().filter(|flight| flight.slug == "november-makegood").count(), 1);
}

#[test]
fn a_bonus_flight_takes_no_other_flights_id() {
    let world = World::new();
    let november = world.flight_id("november");
    let mut contracts = Contracts::open(&world.data.contracts()).unwrap();
    let (starts_at, ends_at) = (at("2026-12-01T00:00:00Z"), at("2026-12-08T00:00:00Z"));
    let terms = |flight| BonusTerms { flight, impressions: 5, starts_at, ends_at };
    assert!(matches!(contracts.book_bonus(november, &terms("december")), Err(NotBonus::IdTaken(_))));
    assert!(matches!(contracts.book_bonus(FlightId(99), &terms("b")), Err(NotBonus::NotBooked(_))));
    assert!(contracts.book_bonus(november, &terms("b")).unwrap());
    assert!(!contracts.book_bonus(november, &terms("b")).unwrap(), "twice is once");
    contracts.db().execute("UPDATE flights SET cpm_micros = 1 WHERE slug = 'b'", []).unwrap();
    assert!(matches!(contracts.book_bonus(november, &terms("b")), Err(NotBonus::IdTaken(_))), "it would earn twice");
}

fn schedule_a_week(world: &World, impressions: u64) -> Scheduled {
    let wanted = Wanted {
        impressions: Some(impressions),
        span: (at("2026-12-03T00:00:00Z"), at("2026-12-10T00:00:00Z")),
        note: "",
    };
    let (november, now) = (world.flight_id("november"), at("2026-12-02T00:00:00Z"));
    schedule(&world.data, &mut world.ledger(), november, &wanted, now, Mode::Write).unwrap()
}

#[test]
fn a_bonus_flight_that_is_ended_early_blocks_no_close_and_owes_what_it_lacks() {
    let world = World::new();
    world.november(Mode::Write).unwrap();
    assert_eq!(schedule_a_week(&world, 500).make_good.unscheduled_impressions(), 29_500);
    let ended = i64::try_from(at("2026-12-04T00:00:00Z").0).unwrap();
    let mut contracts = Contracts::open(&world.data.contracts()).unwrap();
    contracts.db().execute("UPDATE flights SET ends_at_ms = ?1 WHERE slug = 'november-makegood'", [ended]).unwrap();
    world.deliver(world.flight_id("november-makegood"), "2026-12-03T12:00:00Z", 200);
    let month = Month::parse("2026-11", &TimeZone::UTC).unwrap();
    let close = |now| close_month(&world.data, &mut world.ledger(), &month, at(now), Mode::Write).unwrap().bonuses;
    assert_eq!(close("2026-12-04T01:00:00Z")[0].1.unscheduled_impressions(), 29_500, "its last ads may still play");
    assert_eq!(close("2026-12-04T02:00:00Z")[0].1.unscheduled_impressions(), 29_800);
    assert_eq!(world.ledger().verify().unwrap(), []);
}

#[test]
fn what_a_bonus_flight_lacks_is_owed_again_only_once_all_of_it_is_counted() {
    let world = World::new();
    world.november(Mode::Write).unwrap();
    schedule_a_week(&world, 500);
    let month = Month::parse("2026-11", &TimeZone::UTC).unwrap();
    let close = || {
        let now = at("2026-12-20T00:00:00Z");
        close_month(&world.data, &mut world.ledger(), &month, now, Mode::Write).unwrap().bonuses
    };
    let hour = i64::try_from(at("2026-12-09T23:00:00Z").0).unwrap();
    world.lake().execute("INSERT INTO hours VALUES (?1, 2, 1)", [hour]).unwrap();
    assert_eq!(close()[0].1.unscheduled_impressions(), 29_500, "an hour of it is not folded");
    world.lake().execute("UPDATE hours SET folded_version = 2", []).unwrap();
    assert_eq!(close()[0].1.unscheduled_impressions(), 30_000);
}

#[test]
fn what_a_close_takes_for_all_counted_is_what_it_counted_whatever_is_folded_meanwhile() {
    let world = World::new();
    world.lake().execute_batch("PRAGMA journal_mode = WAL").unwrap();
    world.november(Mode::Write).unwrap();
    schedule_a_week(&world, 500);
    let hour = i64::try_from(at("2026-12-09T23:00:00Z").0).unwrap();
    world.lake().execute("INSERT INTO hours VALUES (?1, 2, 1)", [hour]).unwrap();
    let (now, mut ledger) = (at("2026-12-20T00:00:00Z"), world.ledger());
    let lake = ready::open(&world.data).unwrap();
    let booked = flights(&Contracts::open(&world.data.contracts()).unwrap().booked().unwrap(), now);
    let measuring = month::Measuring::of(&world.data, &lake, booked, &mut ledger, now, Mode::DryRun).unwrap();
    world.deliver(world.flight_id("november-makegood"), "2026-12-09T23:00:00Z", 500);
    world.lake().execute("UPDATE hours SET folded_version = 2", []).unwrap();
    let bonus = &measuring.bonuses().unwrap().0[0];
    assert_eq!((bonus.delivered, bonus.scheduled), (0, 500), "neither delivered nor over, as the hour was not folded");
}

#[test]
fn nothing_is_closed_while_a_break_of_it_is_counted_in_a_later_hour_too() {
    let world = World::new();
    let apart = "CREATE TABLE breaks_apart (hour_at_ms INTEGER NOT NULL, break_key INTEGER NOT NULL) STRICT";
    world.lake().execute_batch(apart).unwrap();
    let [within, later] =
        ["2026-11-30T20:00:00Z", "2026-12-01T10:00:00Z"].map(|hour| i64::try_from(at(hour).0).unwrap());
    world.lake().execute("INSERT INTO hours VALUES (?1, 1, 1), (?2, 2, 1)", [within, later]).unwrap();
    world.lake().execute("INSERT INTO breaks_apart VALUES (?1, 7), (?2, 8)", [within, later]).unwrap();
    world.november(Mode::DryRun).unwrap(); // they share none
    world.lake().execute("INSERT INTO breaks_apart VALUES (?1, 7)", [later]).unwrap();
    let refused = world.november(Mode::Write).unwrap_err();
    assert!(matches!(refused, BooksError::NotReady(NotReady::NotFolded { hours: 1, .. })), "{refused}");
    world.lake().execute("UPDATE hours SET folded_version = raw_version", []).unwrap();
    world.november(Mode::Write).unwrap();
}

#[test]
fn nothing_is_booked_while_the_lakes_store_is_away() {
    let world = World::new();
    let place = world.folder.path().join("lake.place");
    let away = || std::fs::write(&place, "no place").unwrap();
    away();
    assert!(matches!(world.november(Mode::Write), Err(BooksError::Place(_))));
    assert_eq!(world.ledger().make_goods().unwrap(), []);
    world.november(Mode::DryRun).unwrap();
    std::fs::remove_file(&place).unwrap();
    world.november(Mode::Write).unwrap();
    away();
    let span = (at("2026-12-03T00:00:00Z"), at("2026-12-10T00:00:00Z"));
    let wanted = Wanted { impressions: None, span, note: "" };
    let november = world.flight_id("november");
    let scheduled = schedule(&world.data, &mut world.ledger(), november, &wanted, span.0, Mode::Write);
    assert!(matches!(scheduled, Err(BooksError::Place(_))));
    assert_eq!(world.ledger().bonus_flights().unwrap(), []);
}

#[test]
fn what_is_booked_is_said_though_its_files_for_sql_cannot_be_written() {
    let world = World::new();
    let lake = world.folder.path().join("lake");
    std::fs::create_dir_all(&lake).unwrap();
    std::fs::write(lake.join("makegoods"), "in the way").unwrap();
    let closed = world.november(Mode::Write).unwrap();
    assert!(matches!(closed.exported, Err(BooksError::Place(_))), "{:?}", closed.exported);
    assert_eq!((closed.lines[0].did, world.ledger().make_goods().unwrap().len()), (Did::Posted, 1));
    let scheduled = schedule_a_week(&world, 500);
    assert!(matches!(scheduled.exported, Err(BooksError::Place(_))), "{:?}", scheduled.exported);
    std::fs::remove_file(lake.join("makegoods")).unwrap();
    std::fs::remove_dir_all(lake.join("dim_campaign_flights")).unwrap(); // as of a process that died before it wrote them
    world.november(Mode::Write).unwrap().exported.unwrap();
    assert!(!world.bytes("makegoods/part.parquet").is_empty());
    assert!(!world.bytes("dim_campaign_flights/part.parquet").is_empty());
}

#[test]
fn a_bonus_flight_whose_id_is_taken_gets_the_next() {
    let world = World::new();
    let taken = BOOKED.replace("id = \"december\"", "id = \"november-makegood\"");
    Contracts::open(&world.data.contracts()).unwrap().import("c.toml", &taken, Format::Toml).unwrap();
    world.november(Mode::Write).unwrap();
    assert_eq!(schedule_a_week(&world, 5).bonus.flight, "november-makegood-2");
    world.november(Mode::Write).unwrap();
}

#[test]
fn of_two_closes_at_once_the_second_is_told() {
    let world = World::new();
    let lock = world.data.lock_books().unwrap();
    let told = world.november(Mode::Write).unwrap_err();
    assert!(matches!(told, BooksError::DataDir(DataDirError::BooksInUse(_))), "{told}");
    drop(lock);
    world.november(Mode::Write).unwrap();
}

/// What a close says: of flights of the month, of others, and of those that it left.
fn said(closed: &ClosedMonth) -> [Vec<(String, Option<i64>)>; 3] {
    let owed = |flight: &Flight, make_good: &Option<MakeGood>| {
        (flight.slug.clone(), make_good.as_ref().map(MakeGood::liability_micros))
    };
    let lines = |lines: &[MonthLine]| lines.iter().map(|line| owed(&line.flight, &line.make_good)).collect();
    let left = closed.left.iter().map(|left| owed(&left.flight, &left.make_good)).collect();
    [lines(&closed.lines), lines(&closed.others), left]
}

fn one(flight: &str, owed: impl Into<Option<i64>>) -> Vec<(String, Option<i64>)> {
    vec![(flight.into(), owed.into())]
}

const JANUARY: &str = "2027-01-02T00:00:00Z";

#[test]
fn what_is_taken_out_of_a_flight_of_an_earlier_month_is_owed_by_the_next_close_and_late_beacons_are_too() {
    let world = World::new();
    let november = world.flight_id("november");
    world.deliver(november, "2026-11-20T20:00:00Z", 30_000);
    assert_eq!(said(&world.november(Mode::Write).unwrap()), [one("november", None), vec![], vec![]]);
    world.deliver(november, "2026-11-20T20:00:00Z", 29_000); // invalid traffic
    let december = || said(&world.close("2026-12", "UTC", JANUARY));
    let ten_euros = || one("december", 10_000_000);
    assert_eq!(december(), [ten_euros(), one("november", 24_990_000), vec![]]);
    assert_eq!(december(), [ten_euros(), vec![], vec![]], "nothing new is not told again");
    world.deliver(november, "2026-11-20T20:00:00Z", 29_600);
    assert_eq!(december(), [ten_euros(), one("november", 9_996_000), vec![]]);
    assert_eq!(world.ledger().verify().unwrap(), []);
}

#[test]
fn a_flight_that_ends_between_months_of_two_time_zones_is_owed_by_the_second() {
    let world = World::new();
    let berlin = world.close("2026-11", "Europe/Berlin", "2026-12-02T00:00:00Z");
    assert_eq!(said(&berlin), [vec![], vec![], vec![]], "it ends an hour after November in Berlin");
    let new_york = world.close("2026-12", "America/New_York", JANUARY);
    assert_eq!(said(&new_york)[1], one("november", 749_700_000), "and before December in New York");
}

#[test]
fn other_terms_that_were_booked_after_the_mint_hold_from_the_next_close_on() {
    let world = World::new();
    world.deliver(world.flight_id("november"), "2026-11-20T20:00:00Z", 29_000);
    world.november(Mode::Write).unwrap();
    world.edit("november", "cpm = \"24.99\"", "cpm = \"10.00\"");
    world.edit("november", "committed_impressions = 30000", "committed_impressions = 31000");
    let closed = world.close("2026-12", "UTC", JANUARY);
    assert_eq!(
        said(&closed)[1],
        one("november", 49_980_000),
        "the second edit is of the file, and took back the first"
    );
    world.edit("november", "cpm = \"24.99\"", "cpm = \"10.00\"");
    assert_eq!(said(&world.close("2026-12", "UTC", JANUARY))[1], one("november", 10_000_000));
    let rows = file::read(&MAKEGOODS, bytes::Bytes::from(world.bytes("makegoods/part.parquet"))).unwrap();
    assert_eq!((rows.column("committed").int(0), rows.column("cpm_micros").int(0)), (Some(30_000), Some(10_000_000)));
    assert_eq!(world.ledger().verify().unwrap(), []);
}

#[test]
fn a_flight_whose_end_was_moved_out_owes_what_it_did_until_it_is_over() {
    let world = World::new();
    let november = world.flight_id("november");
    world.deliver(november, "2026-11-20T20:00:00Z", 29_000);
    world.november(Mode::Write).unwrap();
    world.edit("november", "end = 2026-12-01T00:00:00Z", "end = 2026-12-20T00:00:00Z");
    world.deliver(november, "2026-12-01T20:00:00Z", 100);
    let closed = world.november(Mode::Write).unwrap();
    assert_eq!(said(&closed), [vec![], vec![], one("november", 24_990_000)]);
    assert_eq!(closed.left[0].why, WhyLeft::NotOver);
    let closed = world.close("2026-12", "UTC", JANUARY);
    assert_eq!(said(&closed)[0][0], ("november".to_owned(), Some(22_491_000)));
    assert_eq!(closed.lines[0].make_good.as_ref().unwrap().terms.ended_at, at("2026-12-20T00:00:00Z"));
    assert_eq!(world.ledger().verify().unwrap(), []);
}

#[test]
fn what_a_lake_has_lost_is_not_read_as_nothing() {
    let world = World::new();
    let november = world.flight_id("november");
    world.lake_begins("2026-10-31T22:00:00Z");
    world.deliver(november, "2026-11-20T20:00:00Z", 29_000);
    world.november(Mode::Write).unwrap();
    schedule_a_week(&world, 600);
    world.deliver(world.flight_id("november-makegood"), "2026-12-03T12:00:00Z", 600);
    assert_eq!(said(&world.close("2026-11", "UTC", "2026-12-11T00:00:00Z"))[0], one("november", 9_996_000));
    let before = world.ledger().all().unwrap();

    world.lake_begins("2026-12-05T00:00:00Z"); // made anew from another log
    let closed = world.close("2026-12", "UTC", JANUARY);
    let left: Vec<_> = closed.left.iter().map(|left| (left.flight.slug.as_str(), left.why)).collect();
    let expected =
        [("november", WhyLeft::BonusNotKnown), ("november", WhyLeft::NotKnown), ("december", WhyLeft::NotKnown)];
    assert_eq!(left, expected);
    assert_eq!((said(&closed)[0].len(), said(&closed)[1].len(), closed.bonuses.len()), (0, 0, 0));
    assert_eq!(world.ledger().all().unwrap(), before);

    world.lake_begins("2026-10-31T22:00:00Z"); // a backup of it is back
    world.deliver(november, "2026-11-20T20:00:00Z", 29_000);
    world.deliver(world.flight_id("november-makegood"), "2026-12-03T12:00:00Z", 600);
    assert_eq!(said(&world.close("2026-12", "UTC", JANUARY)), [one("december", 10_000_000), vec![], vec![]]);
}

#[test]
fn a_flight_that_was_over_before_there_was_a_lake_is_owed_only_if_its_month_is_closed() {
    let world = World::new();
    world.lake_begins("2026-12-05T00:00:00Z");
    assert_eq!(said(&world.close("2026-12", "UTC", JANUARY)), [one("december", 10_000_000), vec![], vec![]]);
    assert_eq!(said(&world.november(Mode::Write).unwrap())[0], one("november", 749_700_000));
}

#[test]
fn a_lake_without_the_beginning_of_a_shortened_log_knows_no_more_than_the_log() {
    let world = World::new();
    world.lake_begins("2026-11-02T00:00:00Z");
    let log = Connection::open(world.data.log()).unwrap();
    log.execute_batch("CREATE TABLE entries (seq INTEGER PRIMARY KEY, received_at_ms INTEGER, batch BLOB)").unwrap();
    log.execute_batch("INSERT INTO entries VALUES (5, 1, x'')").unwrap();
    world.lake().execute_batch("UPDATE lake_offset SET consumed_seq = 5").unwrap();
    world.lake().execute_batch("INSERT INTO raw_files VALUES ('5-5', 5)").unwrap();
    let closed = world.november(Mode::Write).unwrap();
    assert_eq!(said(&closed), [vec![], vec![], one("november", None)]);
    world.lake().execute_batch("INSERT INTO raw_files VALUES ('1-4', 1)").unwrap(); // it has what the log dropped
    assert_eq!(said(&world.november(Mode::Write).unwrap())[0], one("november", 749_700_000));
}

#[test]
fn nothing_is_due_while_a_flight_is_paused_and_all_of_it_is_owed() {
    let world = World::new();
    let november = world.flight_id("november");
    let day = |date: &str| {
        let next: jiff::civil::Date = date.parse().unwrap();
        let now = format!("{}T02:00:00Z", next.tomorrow().unwrap());
        let row = world.day(date, &now, false).unwrap().rows.remove(0);
        assert_eq!(row.flight, "november");
        (row.target_even, row.target_even_of_day)
    };
    let pause = |is_paused: bool, when: &str| {
        let sql = "INSERT INTO history (dimension, id, valid_from_ms, content)
                   SELECT dimension, id, ?2, json_set(content, '$.is_paused', ?3) FROM history
                   WHERE dimension = 'dim_campaign_flights' AND id = CAST(?1 AS TEXT) ORDER BY seq DESC LIMIT 1";
        let mut contracts = Contracts::open(&world.data.contracts()).unwrap();
        contracts.db().execute(sql, params![november.0, at(when).0, is_paused]).unwrap();
    };
    assert_eq!(day("2026-11-10"), (10_000, 1_000));
    pause(true, "2026-11-06T00:00:00Z");
    assert_eq!(day("2026-11-05"), (5_000, 1_000), "nobody knew then");
    let within = (6_000, 0); // five days of the twenty-five that are left
    assert_eq!(day("2026-11-10"), within);
    pause(false, "2026-11-16T00:00:00Z");
    assert_eq!(day("2026-11-10"), within, "what came later changes nothing");
    assert_eq!(day("2026-11-20"), (15_000, 1_500), "ten days of twenty");
    assert_eq!(day("2026-11-30"), (30_000, 1_500));
    world.deliver(november, "2026-11-20T20:00:00Z", 15_000);
    assert_eq!(
        said(&world.november(Mode::Write).unwrap())[0],
        one("november", 374_850_000),
        "it was promised all the same"
    );
}
