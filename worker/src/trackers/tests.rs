use slotkeeper_core::{
    beacon::Event,
    contract::{DemandClass, RegistryRecord, Tracker},
    fact::{BeaconFact, Fact, FactBatch},
    id::{AdId, AdvertiserId, BreakId, CampaignId, CreativeId, FlightId, OpportunityId},
    impression::Quartile,
    money::{Currency, Money},
};

use super::{queue::Queue, queue::Vendors, verdict::Verdict, *};
use crate::{
    contracts::Contracts,
    data_dir::DataDir,
    log::{Received, SqliteLog},
};

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const QUARTILES: [Event; 5] =
    [Event::Start, Event::FirstQuartile, Event::Midpoint, Event::ThirdQuartile, Event::Complete];

/// An ad with two vendors' trackers on its start, one on every other event.
fn record(n: u32) -> RegistryRecord {
    let tracker = |event: Event, host: &str| Tracker {
        event,
        url: format!("http://{host}.example/{event}?cb=[CACHEBUSTING]&id=[ADSERVINGID]&ua=[CLIENTUA]"),
    };
    let mut trackers: Vec<Tracker> = Event::ALL.iter().map(|event| tracker(*event, "alpha")).collect();
    trackers.push(tracker(Event::Start, "beta"));
    RegistryRecord {
        ad_id: AdId(n),
        creative_id: CreativeId(n),
        flight_id: FlightId(n),
        campaign_id: CampaignId(n),
        advertiser_id: AdvertiserId(n),
        class: DemandClass::Guaranteed,
        cpm: Money { micros: 18_333_333, currency: Currency::parse("USD").unwrap() },
        completion_threshold: Quartile::Midpoint,
        starts_at: NOW,
        ends_at: NOW.plus_ms(1_000_000_000),
        duration_ms: 6_000,
        universal_ad_id: "unknown".into(),
        trackers,
    }
}

fn slot(n: u32) -> OpportunityId {
    OpportunityId::mint(BreakId((u128::from(n) << 64).to_be_bytes()), 0, NOW)
}

fn beacon(n: u32, record: &RegistryRecord, event: Event) -> BeaconFact {
    BeaconFact {
        opportunity_id: slot(n),
        ad_id: record.ad_id,
        record_id: record.record_id(),
        event,
        at: NOW.plus_ms(10),
        received_at: NOW.plus_ms(20),
        session: None,
        invalid_traffic: None,
        error_code: None,
        idle_s: None,
    }
}

struct World {
    folder: tempfile::TempDir,
    log: SqliteLog,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        drop(Contracts::open(&folder.path().join("contracts.db")).unwrap());
        let log = SqliteLog::open(&folder.path().join("log.db")).unwrap();
        let world = Self { folder, log };
        world.register(&record(1));
        world
    }

    fn data(&self) -> DataDir {
        DataDir::open(self.folder.path()).unwrap()
    }

    fn register(&self, record: &RegistryRecord) {
        let db = Connection::open(self.data().contracts()).unwrap();
        let row = [record.record_id().to_string(), record.canonical_json()];
        db.execute("INSERT INTO registry (record_id, record) VALUES (?1, ?2)", row).unwrap();
    }

    fn store(&self, limits: Limits) -> Store {
        let registry = Registry::open(&self.data().contracts()).unwrap();
        Store::open(&self.data().trackers(), registry, &self.log, limits).unwrap()
    }

    fn log(&mut self, beacons: Vec<BeaconFact>) {
        let batch = FactBatch { edge_id: "e".into(), facts: beacons.into_iter().map(Fact::Beacon).collect() };
        self.log.append(&[Received { at: NOW, bytes: serde_json::to_vec(&batch).unwrap() }]).unwrap();
    }

    fn play(&mut self, n: u32, events: &[Event]) {
        self.log(events.iter().map(|event| beacon(n, &record(1), *event)).collect());
    }

    fn queue(&self) -> Queue {
        Queue::new(connect(&self.data().trackers()).unwrap())
    }
}

/// Reads all of the log; how many calls that asked for.
fn read(store: &mut Store, world: &World, now: UnixMillis) -> usize {
    let mut fired = 0;
    loop {
        let step = store.consume(&world.log, now).unwrap();
        fired += step.fired;
        if step.entries == 0 {
            return fired;
        }
    }
}

fn count(store: &Store, sql: &str) -> u64 {
    store.db.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn each_booked_url_is_called_for_once_however_often_its_event_comes_and_the_log_is_read() {
    let mut world = World::new();
    let mut store = world.store(Limits::default());
    world.play(1, &QUARTILES);
    world.play(1, &[Event::Start, Event::Start, Event::Complete]);
    world.play(1, &QUARTILES);
    assert_eq!(read(&mut store, &world, NOW), 6);
    world.play(2, &QUARTILES);
    assert_eq!(read(&mut store, &world, NOW), 6);
    store.read_seq = 0;
    assert_eq!(read(&mut store, &world, NOW), 0, "read again from its start");
    drop(store);
    let mut store = world.store(Limits::default());
    assert_eq!((store.read_seq(), read(&mut store, &world, NOW)), (3 + 1, 0), "opened again");
    assert_eq!(store.queued().unwrap(), 12);
    let url: String =
        store.db.query_row("SELECT url FROM queue WHERE vendor = 'beta.example'", [], |row| row.get(0)).unwrap();
    let (head, buster) = url.split_once("?cb=").unwrap();
    assert_eq!((head, &buster[8..]), ("http://beta.example/start", format!("&id={}&ua=-1", slot(1)).as_str()));
}

#[test]
fn without_a_start_only_errors_and_not_used_are_called_for_and_the_rest_waits_for_it() {
    let mut world = World::new();
    let mut store = world.store(Limits::default());
    world.play(1, &[Event::Complete, Event::FirstQuartile, Event::Pause, Event::Complete]);
    assert_eq!(read(&mut store, &world, NOW), 0);
    world.play(2, &[Event::Error, Event::NotUsed]);
    assert_eq!(read(&mut store, &world, NOW), 2);
    // A token of another ad in the same slot has not begun.
    let other = record(2);
    world.register(&other);
    world.log(vec![beacon(1, &other, Event::Start)]);
    assert_eq!(read(&mut store, &world, NOW), 2);
    world.play(1, &[Event::Start]);
    assert_eq!(read(&mut store, &world, NOW), 2 + 3, "start at two vendors, and the three that waited");
    world.play(1, &[Event::Midpoint, Event::Complete]);
    assert_eq!(read(&mut store, &world, NOW), 1);
    assert_eq!(count(&store, "SELECT count(*) FROM held"), 0);
}

#[test]
fn events_of_an_ad_that_is_not_known_yet_are_called_for_once_it_is() {
    let mut world = World::new();
    let mut store = world.store(Limits::default());
    let later = record(3);
    world.log(vec![beacon(1, &later, Event::Complete), beacon(1, &later, Event::Start)]);
    world.log(vec![beacon(2, &record(4), Event::Start)]);
    assert_eq!(read(&mut store, &world, NOW), 0);
    world.register(&later);
    assert_eq!(read(&mut store, &world, NOW), 3);
    assert_eq!(count(&store, "SELECT count(*) FROM held"), 1, "the other stays unknown and hides nobody");
}

#[test]
fn vendors_hear_what_went_wrong_if_the_player_said_it() {
    let mut world = World::new();
    let (mut known, mut later) = (record(1), record(3));
    for record in [&mut known, &mut later] {
        record.trackers = vec![Tracker { event: Event::Error, url: "http://alpha.example/?c=[ERRORCODE]".into() }];
    }
    world.register(&known);
    // What has to wait, too, in a database of a build that kept no codes.
    drop(world.store(Limits::default()));
    Connection::open(world.data().trackers())
        .unwrap()
        .execute_batch("ALTER TABLE held DROP COLUMN error_code")
        .unwrap();
    let mut store = world.store(Limits::default());
    let error = |n, record, error_code| BeaconFact { error_code, ..beacon(n, record, Event::Error) };
    world.log(vec![error(1, &known, Some(405)), error(2, &known, None), error(3, &later, Some(402))]);
    assert_eq!(read(&mut store, &world, NOW), 2);
    world.register(&later);
    assert_eq!(read(&mut store, &world, NOW), 1);
    let mut select = store.db.prepare("SELECT url FROM queue ORDER BY url").unwrap();
    let urls: Vec<String> = select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(urls, ["402", "405", "900"].map(|code| format!("http://alpha.example/?c={code}")));
}

#[test]
fn what_is_too_old_is_never_called_for_whether_or_not_it_is_remembered() {
    let mut world = World::new();
    let mut store = world.store(Limits::default());
    let age_max = Limits::default().age_max_ms();
    world.play(1, &QUARTILES);
    assert_eq!(read(&mut store, &world, NOW.plus_ms(age_max + 1)), 0);
    store.read_seq = 0;
    assert_eq!(read(&mut store, &world, NOW.plus_ms(age_max)), 6);
    let mut queue = world.queue();
    let jobs = queue.turn(&[], 100, &mut Vendors::new(), &Limits::default(), NOW.plus_ms(age_max)).unwrap();
    let done: Vec<_> = jobs.into_iter().map(|job| (job, Verdict::Delivered)).collect();
    queue.turn(&done, 0, &mut Vendors::new(), &Limits::default(), NOW).unwrap();
    let kept_for = age_max + REMEMBERED_LONGER_MS;
    store.forget(NOW.plus_ms(kept_for)).unwrap();
    assert_eq!(count(&store, "SELECT count(*) FROM firings"), 6);
    store.forget(NOW.plus_ms(kept_for + 1)).unwrap();
    assert_eq!(count(&store, "SELECT count(*) FROM firings"), 0);
    store.read_seq = 0;
    assert_eq!(read(&mut store, &world, NOW), 0, "forgotten, and not called for again though the clock is back");
}

#[test]
fn past_the_queues_bound_the_log_is_not_read_and_past_a_vendors_its_calls_are_dead_letters() {
    let mut world = World::new();
    let mut store = world.store(Limits { queue_max: 6, ..Limits::default() });
    world.play(1, &QUARTILES);
    let first = store.consume(&world.log, NOW).unwrap();
    world.play(2, &QUARTILES);
    let second = store.consume(&world.log, NOW).unwrap();
    assert_eq!((first.fired, second.full, second.entries, store.read_seq()), (6, true, 0, 1));
    drop(store);
    let mut store = world.store(Limits { vendor_queue_max: 5, ..Limits::default() });
    assert_eq!(read(&mut store, &world, NOW), 6);
    let dead = count(&store, "SELECT count(*) FROM dead_letters");
    assert_eq!((store.queued().unwrap(), dead), (5 + 2, 5), "alpha had 5 already, beta has room");
    let back = TrackerReport::retry(&world.data().trackers(), &Retried::All, NOW).unwrap();
    assert_eq!((back, store.queued().unwrap()), (5, 12));
    assert_eq!(count(&store, "SELECT sum(dead) FROM vendors"), 0);
    assert_eq!(count(&store, "SELECT count(*) FROM dead_letters"), 0);
}

#[test]
fn new_trackers_begin_at_the_logs_end_and_another_log_is_read_from_its_start_without_calling_twice() {
    let mut world = World::new();
    world.play(1, &QUARTILES);
    let mut store = world.store(Limits::default());
    assert_eq!((store.read_seq(), read(&mut store, &world, NOW)), (1, 0));
    world.play(2, &QUARTILES);
    assert_eq!(read(&mut store, &world, NOW), 6);
    drop(store);
    // A log restored from a backup, which has grown again: its second entry is another.
    drop(std::mem::replace(&mut world.log, SqliteLog::open(Path::new(":memory:")).unwrap()));
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(world.folder.path().join(format!("log.db{end}")));
    }
    world.log = SqliteLog::open(&world.data().log()).unwrap();
    world.play(2, &QUARTILES);
    world.play(3, &QUARTILES);
    let mut store = world.store(Limits::default());
    assert_eq!((store.read_seq(), read(&mut store, &world, NOW)), (0, 6), "those of slot 3");
}

#[test]
fn no_call_is_taken_out_without_being_marked_and_what_was_cut_off_is_due_again() {
    let mut world = World::new();
    let mut store = world.store(Limits::default());
    world.play(1, &QUARTILES);
    read(&mut store, &world, NOW);
    let (mut queue, mut vendors) = (world.queue(), Vendors::new());
    let jobs = queue.turn(&[], 4, &mut vendors, &Limits::default(), NOW).unwrap();
    assert_eq!((jobs.len(), count(&store, "SELECT count(*) FROM queue WHERE sending = 1")), (3, 3), "beta has but one");
    let more = queue.turn(&[], 9, &mut vendors, &Limits::default(), NOW).unwrap();
    assert_eq!(more.len(), 3, "what is being sent is not taken twice");
    let done = (jobs[0].clone(), Verdict::Delivered);
    queue.turn(&[done], 0, &mut vendors, &Limits::default(), NOW).unwrap();
    drop(queue);
    assert_eq!(world.queue().recover().unwrap(), 5);
    let again = world.queue().turn(&[], 9, &mut Vendors::new(), &Limits::default(), NOW).unwrap();
    assert!(again.len() == 5 && again.iter().all(|job| job.attempts == 2 && *job != jobs[0]));
    assert_eq!(count(&store, "SELECT sum(cut_off) FROM vendors"), 5);
    assert_eq!(count(&store, "SELECT count(*) FROM firings WHERE state = 'delivered'"), 1);
}

#[test]
fn room_is_shared_among_vendors() {
    let mut world = World::new();
    let mut store = world.store(Limits::default());
    for n in 0..20 {
        world.play(n, &QUARTILES);
    }
    read(&mut store, &world, NOW);
    let (mut queue, mut vendors) = (world.queue(), Vendors::new());
    let jobs = queue.turn(&[], 8, &mut vendors, &Limits::default(), NOW).unwrap();
    let of = |vendor: &str| jobs.iter().filter(|job| job.vendor == vendor).count();
    assert_eq!((of("alpha.example"), of("beta.example")), (4, 4), "although alpha has five times as many");
}

#[test]
fn what_waits_until_it_is_too_old_is_given_up_and_not_sent_late() {
    let mut world = World::new();
    let mut store = world.store(Limits::default());
    world.play(1, &QUARTILES);
    read(&mut store, &world, NOW);
    let end = NOW.plus_ms(Limits::default().age_max_ms());
    let late = world.queue().turn(&[], 9, &mut Vendors::new(), &Limits::default(), end).unwrap();
    assert_eq!(late, []);
    store.forget(end).unwrap();
    assert_eq!(store.queued().unwrap(), 0);
    let reasons = count(&store, "SELECT count(*) FROM dead_letters WHERE reason LIKE 'given up for its age: %'");
    assert_eq!(reasons, 6);
}
