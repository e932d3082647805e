//! What a plan made here must hold.

use std::sync::Mutex;

use slotkeeper_core::{
    api::{BreakRequest, SlotRequest, Tracking},
    auction::Auction,
    caps::{Cap, CapScope, CapState, Viewer, Window},
    consent::Permissions,
    contract::BreakPosition,
    decide::{Occasion, decide},
    id::{BreakId, RecordId, ViewerKey},
    plan::Plan,
    pod::Pod,
};

use super::*;
use crate::{contracts::Format, registry::Registry};

const DEMO: &str = include_str!("../../demo/contracts.toml");
const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

struct World {
    folder: tempfile::TempDir,
    contracts: Contracts,
    keys: Keyring,
}

impl World {
    fn demo() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut contracts = Contracts::open(&folder.path().join("contracts.db")).unwrap();
        contracts.import("demo.toml", DEMO, Format::Toml).unwrap();
        Self { folder, contracts, keys: Keyring::parse(&format!("1:{:064x}", 7)).unwrap() }
    }

    fn make(&mut self, now: UnixMillis) -> MadePlan {
        make(&mut self.contracts, &Feedback::default(), Some("http://origin"), &self.keys, now).unwrap()
    }
}

struct Audience {
    viewer: Viewer,
    bytes: Vec<u8>,
}

impl Audience {
    fn watch(&mut self, title: &str, position: BreakPosition, slots: usize, seed: u8) -> Vec<String> {
        let request = BreakRequest {
            session_id: None,
            request_id: "r".into(),
            profile_id: "p".into(),
            title_id: title.into(),
            position,
            slots: vec![SlotRequest { max_duration_ms: 10_000, ..SlotRequest::default() }; slots],
            max_duration_ms: None,
            tier: None,
            country: None,
            device: None,
            tracking: Tracking::Token,
            ..BreakRequest::default()
        };
        let occasion = Occasion {
            session: None,
            permissions: Permissions::default(),
            invalid_traffic: None,
            auction: &Auction::NotAsked,
            request: &request,
            break_id: BreakId([seed; 16]),
            viewer: ViewerKey::default(),
            opened_at: NOW,
            now: NOW,
        };
        let plan = Plan::open(&self.bytes).unwrap();
        let pod: Pod = decide(Some(&plan), &CapState::Known(self.viewer.clone()), &occasion);
        pod.claims().for_each(|claim| self.viewer.add(*claim));
        let told = pod.slots.iter().map(|slot| match (slot.fill(), &slot.outcome) {
            (Some(fill), _) => plan.ad(fill.ad_id).unwrap().name.to_owned(),
            (None, slotkeeper_core::pod::Outcome::Unfilled { unfilled_reason }) => unfilled_reason.to_string(),
            (None, _) => unreachable!(),
        });
        told.collect()
    }
}

#[test]
fn the_demo_shows_what_its_first_lines_say() {
    let mut world = World::demo();
    let bytes = world.make(NOW).bytes;
    for seed in 0..40 {
        let mut audience = Audience { viewer: Viewer::default(), bytes: bytes.clone() };
        let mut preroll = audience.watch("the-lighthouse", BreakPosition::Preroll, 2, seed);
        preroll.sort();
        assert_eq!(preroll, ["Aurora Coffee, 6 s", "Northwind Cars, 6 s"]);
        let midroll = audience.watch("the-lighthouse", BreakPosition::Midroll, 3, seed + 100);
        assert_eq!(
            (midroll[0].as_str(), &midroll[1][..5], midroll[2].as_str()),
            ("Fjord Travel, 6 s", "Promo", "frequency_capped")
        );
        let again = audience.watch("the-lighthouse", BreakPosition::Preroll, 2, seed + 200);
        assert_eq!(again, ["frequency_capped", "frequency_capped"]);
        let cartoon = audience.watch("pip-and-the-moon", BreakPosition::Midroll, 1, seed);
        assert_eq!(cartoon, ["content_unsuitable"]);
        let mut newcomer = Audience { viewer: Viewer::default(), bytes: bytes.clone() };
        let furnace = newcomer.watch("the-furnace", BreakPosition::Preroll, 2, seed);
        assert_eq!((furnace[0].as_str(), &furnace[1][..5]), ("Northwind Cars, 6 s", "Promo"));
    }
}

#[test]
fn versions_only_grow_whatever_the_clock_does() {
    let mut world = World::demo();
    let versions = [NOW, NOW, NOW.minus_ms(5_000), NOW.plus_ms(5_000)].map(|now| world.make(now).source.version);
    assert_eq!(versions, [NOW.0, NOW.0 + 1, NOW.0 + 2, NOW.0 + 5_000]);
    assert_eq!(last_made(&mut world.contracts).unwrap().unwrap().version, NOW.0 + 5_000);
    assert!(was_made_here(&mut world.contracts, NOW.0 + 1).unwrap());
    assert!(!was_made_here(&mut world.contracts, 7).unwrap());
}

#[test]
fn every_plan_is_kept_exactly_and_what_they_share_once() {
    let mut world = World::demo();
    let mut made = Vec::new();
    for n in 0..20u32 {
        let mut source = world.make(NOW.plus_ms(u64::from(n) * 60_000)).source;
        source.version += 1_000_000_000;
        for (k, flight) in (0..).zip(&mut source.flights) {
            flight.allocation = [0, 1, 63, 64, 8_191, 8_192, u32::MAX, 5][((n * 3 + k) % 8) as usize];
        }
        keep::keep(world.contracts.db(), &source).unwrap();
        made.push(source);
    }
    let db = world.contracts.db();
    for source in &made {
        assert_eq!(kept(db, source.version).unwrap().as_ref(), Some(source));
    }
    let contents: u64 = db.query_row("SELECT count(*) FROM plan_contents", [], |row| row.get(0)).unwrap();
    assert_eq!(contents, 1);
    assert_eq!(kept(db, 7).unwrap(), None);
}

#[test]
fn plans_past_their_age_or_the_bytes_they_may_have_are_dropped_oldest_first_and_never_the_newest() {
    let mut world = World::demo();
    let first = world.make(NOW).source;
    let count = |world: &mut World| -> u64 {
        world.contracts.db().query_row("SELECT count(*) FROM plans_kept", [], |row| row.get(0)).unwrap()
    };
    for n in 1..=5 {
        world.make(NOW.plus_ms(n * 60_000));
    }
    assert_eq!(count(&mut world), 6);
    let late = world.make(NOW.plus_ms(KEPT_MS + 2 * 60_000)).source;
    assert_eq!(count(&mut world), 5, "two are too old");
    assert_eq!(kept(world.contracts.db(), first.version).unwrap(), None);
    let last = PlanSource { version: late.version + 1, ..late };
    keep::keep_within(world.contracts.db(), &last, 1).unwrap();
    assert_eq!(count(&mut world), 1);
    assert_eq!(kept(world.contracts.db(), last.version).unwrap(), Some(last));
}

/// The figures of docs/operations.md: `cargo test -p slotkeeper --lib what_a_plan_takes -- --nocapture`.
#[test]
fn what_a_plan_takes_to_keep() {
    let mut world = World::demo();
    let mut source = world.make(NOW).source;
    let demo = keep::bytes(world.contracts.db()).unwrap();
    source.version += 1;
    keep::keep(world.contracts.db(), &source).unwrap();
    let more = keep::bytes(world.contracts.db()).unwrap() - demo;
    println!("demo: {demo} bytes once, {more} a plan");
    let template = source.flights.clone();
    source.flights = (0..10_000).filter_map(|_| template.first().cloned()).collect();
    let mut growth = vec![];
    let mut before = keep::bytes(world.contracts.db()).unwrap();
    for minute in 1..4u32 {
        source.version += 1;
        // A flight of up to a million impressions a day that delivers nothing for a minute: all allocations move.
        for (n, flight) in (1..).zip(&mut source.flights) {
            flight.allocation = n * 100 + (n * 100 * minute) / 14_400;
        }
        keep::keep(world.contracts.db(), &source).unwrap();
        let now = keep::bytes(world.contracts.db()).unwrap();
        growth.push(now - before);
        before = now;
    }
    println!("10,000 flights: {} bytes once, {:?} a plan", growth[0], &growth[1..]);
    assert!(more < 100 && growth[2] < 25_000, "{more} {growth:?}");
}

#[test]
fn every_ad_of_a_plan_has_its_record_in_the_registry_and_absolute_media() {
    let mut world = World::demo();
    let made = world.make(NOW);
    let mut registry = Registry::open(&world.folder.path().join("contracts.db")).unwrap();
    assert_eq!(made.source.flights.len(), 5);
    for (flight, ad) in made.source.flights.iter().flat_map(|flight| flight.ads.iter().map(move |ad| (flight, ad))) {
        let record = registry.get(ad.record_id).unwrap().unwrap();
        assert_eq!((record.ad_id, record.flight_id), (ad.ad_id, flight.flight_id));
        assert!(ad.media[0].url.starts_with("http://origin/media/"), "{}", ad.media[0].url);
    }
    assert!(registry.get(RecordId([9; 8])).unwrap().is_none());
    assert!(Plan::verify(&made.bytes, &world.keys).is_ok());
}

#[test]
fn a_plan_has_the_caps_of_everything_an_ad_belongs_to() {
    let mut world = World::demo();
    let change = DEMO
        .replace("id = \"house\"\n", "id = \"house\"\nmin_gap = \"2m\"\n")
        .replace("id = \"house-promos\"\n", "id = \"house-promos\"\ncaps = [{ limit = 9, per = \"week\" }]\n")
        .replace("id = \"house-promo-a-6\"\n", "id = \"house-promo-a-6\"\ncaps = [{ limit = 1, per = \"day\" }]\n");
    world.contracts.import("demo.toml", &change, Format::Toml).unwrap();
    let made = world.make(NOW);
    let promos = made.source.flights.last().unwrap();
    let told = |caps: &[Cap]| caps.iter().map(|cap| (cap.scope, cap.limit, cap.window)).collect::<Vec<_>>();
    let [gap, weekly, own] = told(&promos.caps)[..] else { panic!("{:?}", promos.caps) };
    assert_eq!(gap, (CapScope::Advertiser, 1, Window::Rolling { ms: 120_000 }));
    assert!(matches!(weekly, (CapScope::Campaign, 9, Window::Calendar(_))), "{weekly:?}");
    assert_eq!(own, (CapScope::Flight, 1, Window::Rolling { ms: 300_000 }));
    assert!(matches!(told(&promos.ads[0].caps)[..], [(CapScope::Creative, 1, Window::Calendar(_))]));
    let other = told(&promos.ads[1].caps);
    assert_eq!(other, [(CapScope::Creative, 20, Window::Rolling { ms: 604_800_000 })], "the other promo has its own");
    assert!(Plan::verify(&made.bytes, &world.keys).is_ok());
}

#[test]
fn a_media_path_without_a_public_url_is_refused_and_makes_no_plan() {
    let mut world = World::demo();
    let refused = make(&mut world.contracts, &Feedback::default(), None, &world.keys, NOW).unwrap_err();
    assert!(refused.to_string().contains("--public-url"), "{refused}");
    assert!(last_made(&mut world.contracts).unwrap().is_none());
}

#[test]
fn a_flight_that_is_paused_or_over_is_left_out_and_a_delivered_one_yields() {
    let mut world = World::demo();
    let change = DEMO.replace("id = \"fjord-summer-1\"", "id = \"fjord-summer-1\"\npaused = true");
    world.contracts.import("demo.toml", &change, Format::Toml).unwrap();
    let aurora = world.contracts.booked().unwrap().flights[0].flight_id;
    let delivered = BTreeMap::from([(aurora, 1_000_000)]);
    let made =
        make(&mut world.contracts, &Feedback { delivered, ..Feedback::default() }, Some("http://o"), &world.keys, NOW)
            .unwrap();
    let allocations: Vec<u32> = made.source.flights.iter().map(|flight| flight.allocation).collect();
    assert_eq!(allocations.len(), 4, "fjord is paused");
    assert_eq!((allocations[0], allocations[3]), (0, 10), "aurora is delivered; the house ad has its weight");
    let after_all = UnixMillis(1_900_000_000_000);
    assert!(world.make(after_all).source.flights.is_empty(), "2030 has come");
}

#[test]
fn a_change_of_price_makes_a_new_record_and_keeps_the_old_one() {
    let mut world = World::demo();
    let before = world.make(NOW).source.flights[0].ads[0].clone();
    world.contracts.import("demo.toml", &DEMO.replace("25.00", "26.00"), Format::Toml).unwrap();
    let after = world.make(NOW).source.flights[0].ads[0].clone();
    assert_eq!(before.ad_id, after.ad_id);
    assert_ne!(before.record_id, after.record_id);
    let mut registry = Registry::open(&world.folder.path().join("contracts.db")).unwrap();
    assert_eq!(registry.get(before.record_id).unwrap().unwrap().cpm.micros, 25_000_000);
    assert_eq!(registry.get(after.record_id).unwrap().unwrap().cpm.micros, 26_000_000);
}

/// An import in another process that is not committed yet.
static IMPORTING: Mutex<Option<Connection>> = Mutex::new(None);

/// The other process commits while this one waits for it.
fn commit_what_is_imported(_: i32) -> bool {
    let importing = IMPORTING.lock().unwrap().take();
    importing.is_some_and(|db| db.execute_batch("COMMIT").is_ok())
}

#[test]
fn a_plan_waits_for_the_import_under_way_and_has_what_it_booked() {
    let mut world = World::demo();
    let importing = Connection::open(world.folder.path().join("contracts.db")).unwrap();
    importing.execute_batch("BEGIN IMMEDIATE; UPDATE flights SET paused = 1").unwrap();
    *IMPORTING.lock().unwrap() = Some(importing);
    world.contracts.db().busy_handler(Some(commit_what_is_imported)).unwrap();
    assert!(world.make(NOW).source.flights.is_empty(), "the plan is newer than the import that paused all flights");
}
