//! Third-party trackers: what is booked for an accepted event is called, once each, whatever happens to the origin and to
//! the vendors. The vendors here are stand-ins, which do wrong what vendors do wrong.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
};
use reqwest::Client;
use rusqlite::Connection;
use serde_json::Value;
use slotkeeper::contracts::Contracts;
use slotkeeper_core::{
    beacon::Event,
    contract::{RegistryRecord, Tracker},
    fact::{BeaconFact, Fact},
    id::{BreakId, OpportunityId},
};
use support::{
    Origin, PATIENCE, batch, eventually,
    facts::{QUARTILES, record},
    get, post, program,
};
use tokio::net::TcpListener;

const ACCEPTED: reqwest::StatusCode = reqwest::StatusCode::ACCEPTED;

/// A vendor's server that counts how often each URL is called, and answers as it is told.
#[derive(Clone)]
struct Vendor {
    address: SocketAddr,
    calls: Arc<Mutex<BTreeMap<String, Vec<Instant>>>>,
    status: Arc<AtomicU16>,
    /// Sent with every answer.
    headers: Arc<Mutex<HeaderMap>>,
    delay: Duration,
}

impl Vendor {
    async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), Duration::ZERO).await
    }

    async fn at(address: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let vendor = Self {
            address: listener.local_addr().unwrap(),
            calls: Arc::default(),
            status: Arc::new(AtomicU16::new(200)),
            headers: Arc::default(),
            delay,
        };
        let routes = Router::new().fallback(answer).with_state(vendor.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        vendor
    }

    fn answers(&self, status: u16) {
        self.status.store(status, SeqCst);
    }

    fn says(&self, name: header::HeaderName, value: &str) {
        self.headers.lock().unwrap().insert(name, value.parse().unwrap());
    }

    /// How often each URL was called.
    fn counts(&self) -> BTreeMap<String, usize> {
        self.calls.lock().unwrap().iter().map(|(url, calls)| (url.clone(), calls.len())).collect()
    }

    fn total(&self) -> usize {
        self.counts().values().sum()
    }

    fn tracker(&self, event: Event) -> Tracker {
        tracker(event, &format!("http://{}", self.address))
    }
}

fn tracker(event: Event, base: &str) -> Tracker {
    Tracker { event, url: format!("{base}/{event}?id=[ADSERVINGID]&cb=[CACHEBUSTING]") }
}

async fn answer(State(vendor): State<Vendor>, url: Uri) -> (StatusCode, HeaderMap) {
    let status = StatusCode::from_u16(vendor.status.load(SeqCst)).unwrap();
    let headers = vendor.headers.lock().unwrap().clone();
    vendor.calls.lock().unwrap().entry(url.to_string()).or_default().push(Instant::now());
    tokio::time::sleep(vendor.delay).await;
    (status, headers)
}

/// A listener that nobody must reach.
async fn forbidden(address: &str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let (address, reached) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&reached);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, SeqCst);
        }
    });
    (address, reached)
}

struct World {
    folder: tempfile::TempDir,
    sold: RegistryRecord,
    options: Vec<String>,
    client: Client,
}

impl World {
    /// An ad with these trackers, and an origin that may call these vendors though they are on this machine.
    fn new(trackers: Vec<Tracker>, vendors: &[&Vendor], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sold = RegistryRecord { trackers, ..record(1) };
        register(folder.path(), &sold);
        let mut all: Vec<String> = ["--publish-every", "0"].map(String::from).into();
        for vendor in vendors {
            all.extend(["--allow-private".into(), vendor.address.to_string()]);
        }
        all.extend(options.iter().map(|option| (*option).to_owned()));
        Self { folder, sold, options: all, client: Client::new() }
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    fn start(&self) -> Origin {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        Origin::start(self.data(), &options)
    }

    fn beacon(&self, slot: OpportunityId, event: Event) -> Fact {
        let at = slot.opened_at().plus_ms(1_000);
        Fact::Beacon(BeaconFact {
            opportunity_id: slot,
            ad_id: self.sold.ad_id,
            record_id: self.sold.record_id(),
            event,
            at,
            received_at: at,
            session: None,
            invalid_traffic: None,
            error_code: None,
            idle_s: None,
        })
    }

    fn played(&self, slot: OpportunityId) -> Vec<u8> {
        batch(QUARTILES.iter().map(|event| self.beacon(slot, *event)).collect())
    }

    async fn tell(&self, origin: &Origin, body: Vec<u8>) {
        assert_eq!(post(&self.client, &origin.url, body).await.unwrap(), ACCEPTED);
    }

    fn db(&self) -> Connection {
        Connection::open(self.data().join("trackers.db")).unwrap()
    }

    /// What `slotkeeper trackers …` says.
    fn ask(&self, more: &[&str]) -> String {
        let output = program().arg("trackers").args(more).arg("--data").arg(self.data()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn dead(&self) -> Vec<Value> {
        serde_json::from_str(&self.ask(&["dead", "--json"])).unwrap()
    }
}

fn register(data: &Path, sold: &RegistryRecord) {
    drop(Contracts::open(&data.join("contracts.db")).unwrap());
    let db = Connection::open(data.join("contracts.db")).unwrap();
    let row = [sold.record_id().to_string(), sold.canonical_json()];
    db.execute("INSERT INTO registry (record_id, record) VALUES (?1, ?2)", row).unwrap();
}

/// A slot that opened just now.
fn slot(n: u32) -> OpportunityId {
    OpportunityId::mint(BreakId((u128::from(n) << 64).to_be_bytes()), 0, slotkeeper::clock::now())
}

/// Waits until everything in the log is read and everything that was asked for is settled.
async fn settled(origin: &Origin) {
    let url = format!("{}/healthz", origin.url);
    eventually(async || {
        let health = get(&url).await;
        health["trackers"]["offset"] == health["log_seq"] && health["trackers"]["queued"] == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_url_is_called_once_whatever_is_sent_again_read_again_or_folded_again() {
    let (alpha, beta) = (Vendor::start().await, Vendor::start().await);
    let mut trackers: Vec<Tracker> = QUARTILES.iter().map(|event| alpha.tracker(*event)).collect();
    trackers.extend([beta.tracker(Event::Start), beta.tracker(Event::Complete), beta.tracker(Event::Skip)]);
    let world = World::new(trackers, &[&alpha, &beta], &[]);
    let slots: Vec<_> = (1..=40).map(slot).collect();
    let expected = slots.len() * 7;
    let is_once_each = || {
        let counts: Vec<usize> = alpha.counts().into_values().chain(beta.counts().into_values()).collect();
        assert!(counts.iter().all(|count| *count == 1), "{:?} {:?}", alpha.counts(), beta.counts());
        assert_eq!(counts.len(), expected);
    };

    let origin = world.start();
    for slot in &slots {
        world.tell(&origin, world.played(*slot)).await;
        world.tell(&origin, batch(vec![world.beacon(*slot, Event::Complete); 3])).await;
    }
    assert!(origin.terminate().success(), "while calls are under way");
    let origin = world.start();
    for slot in &slots {
        world.tell(&origin, world.played(*slot)).await;
    }
    settled(&origin).await;
    is_once_each();
    assert!(origin.terminate().success());

    for file in ["fold.db", "fold.db-wal", "fold.db-shm"] {
        let _ = std::fs::remove_file(world.data().join(file));
    }
    world.db().execute("UPDATE consumed SET seq = 0, entry_hash = NULL", []).unwrap();
    let origin = world.start();
    origin.folded().await;
    settled(&origin).await;
    world.tell(&origin, world.played(slots[0])).await;
    settled(&origin).await;
    is_once_each();
    let status: Value = serde_json::from_str(&world.ask(&["status", "--json"])).unwrap();
    let delivered: u64 = status["vendors"].as_array().unwrap().iter().filter_map(|one| one["delivered"].as_u64()).sum();
    assert_eq!(delivered, expected as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_call_and_repeats_only_those_that_were_being_made() {
    const CRASHES: usize = 6;
    let vendor = Vendor::at("127.0.0.1:0".parse().unwrap(), Duration::from_millis(3)).await;
    let trackers = QUARTILES.iter().map(|event| vendor.tracker(*event)).collect();
    let world = World::new(trackers, &[&vendor], &["--vendor-rate", "100000"]);
    let mut acknowledged = Vec::new();
    let mut cut_off: BTreeMap<String, usize> = BTreeMap::new();
    let mut number = 0;
    for crash in 0..CRASHES {
        let origin = Arc::new(Mutex::new(world.start()));
        let url = origin.lock().unwrap().url.clone();
        let enough = vendor.total() + 20 + 37 * crash;
        let killer = {
            let (origin, vendor) = (Arc::clone(&origin), vendor.clone());
            tokio::spawn(async move {
                let deadline = Instant::now() + PATIENCE;
                while vendor.total() < enough && Instant::now() < deadline {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                origin.lock().unwrap().kill();
            })
        };
        while !killer.is_finished() {
            if acknowledged.len() * QUARTILES.len() > vendor.total() + 500 {
                tokio::time::sleep(Duration::from_millis(1)).await; // enough waits already
                continue;
            }
            number += 1;
            let slot = slot(number);
            if let Ok(status) = post(&world.client, &url, world.played(slot)).await {
                assert_eq!(status, ACCEPTED);
                acknowledged.push(slot);
            }
        }
        killer.await.unwrap();
        let db = world.db();
        let mut sending = db.prepare("SELECT url FROM queue WHERE sending = 1").unwrap();
        for url in sending.query_map([], |row| row.get::<_, String>(0)).unwrap() {
            *cut_off.entry(url.unwrap()).or_default() += 1;
        }
    }
    let origin = world.start();
    settled(&origin).await;
    let counts = vendor.counts();
    for slot in &acknowledged {
        for event in QUARTILES {
            let called = counts.keys().any(|url| url.starts_with(&format!("/{event}?id={slot}&")));
            assert!(called, "{event} of {slot} was lost");
        }
    }
    for (url, count) in &counts {
        let may = 1 + cut_off.get(&format!("http://{}{url}", vendor.address)).copied().unwrap_or(0);
        assert!(*count <= may, "{url} was called {count} times, and {may} may be");
    }
    assert!(!cut_off.is_empty(), "no crash met a call");
    let status: Value = serde_json::from_str(&world.ask(&["status", "--json"])).unwrap();
    assert_eq!(status["vendors"][0]["cut_off"], cut_off.values().sum::<usize>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_was_down_gets_every_call_once_it_is_up_and_another_gets_its_own_meanwhile() {
    let up = Vendor::start().await;
    let down = Vendor::start().await;
    down.answers(503);
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap(); // and closed at once
    let trackers =
        vec![up.tracker(Event::Start), down.tracker(Event::Start), tracker(Event::Start, &format!("http://{nobody}"))];
    let allowed = nobody.to_string();
    // A call waits about three times as long as its vendor has been down: so it is not down for long here.
    let options = ["--tracker-backoff-ms", "5", "--tracker-attempts", "100", "--allow-private", &allowed];
    let world = World::new(trackers, &[&up, &down], &options);
    let origin = world.start();
    for n in 1..=10 {
        world.tell(&origin, batch(vec![world.beacon(slot(n), Event::Start)])).await;
    }
    eventually(async || up.total() == 10 && down.total() >= 2).await;
    let status: Value = serde_json::from_str(&world.ask(&["status", "--json"])).unwrap();
    let waiting = |name: &str| {
        let vendors = status["vendors"].as_array().unwrap();
        vendors.iter().find(|one| one["vendor"] == name).unwrap()["queued"].as_u64().unwrap()
    };
    assert_eq!((waiting(&down.address.to_string()), waiting(&allowed)), (10, 10));
    down.answers(204);
    let back = Vendor::at(nobody, Duration::ZERO).await;
    settled(&origin).await;
    assert_eq!((down.counts().len(), back.counts().len(), up.total()), (10, 10, 10));
    assert!(back.counts().values().all(|count| *count == 1));
    assert_eq!(world.dead(), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_has_too_much_is_called_again_when_it_says() {
    let vendor = Vendor::start().await;
    vendor.answers(429);
    vendor.says(header::RETRY_AFTER, "2");
    let world = World::new(vec![vendor.tracker(Event::Start)], &[&vendor], &["--tracker-backoff-ms", "1"]);
    let origin = world.start();
    world.tell(&origin, batch(vec![world.beacon(slot(1), Event::Start)])).await;
    eventually(async || vendor.total() == 1).await;
    vendor.answers(200);
    world.tell(&origin, batch(vec![world.beacon(slot(2), Event::Start)])).await; // it waits too
    settled(&origin).await;
    let calls: Vec<Instant> = vendor.calls.lock().unwrap().values().flatten().copied().collect();
    let (first, last) = (*calls.iter().min().unwrap(), *calls.iter().max().unwrap());
    assert_eq!(calls.len(), 3);
    let early = calls.iter().filter(|at| at.duration_since(first) < Duration::from_millis(1_900)).count();
    assert_eq!(early, 1, "{:?}", last.duration_since(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_vendor_keeps_nobody_waiting_but_its_own_calls() {
    let fast = Vendor::start().await;
    let slow = Vendor::at("127.0.0.1:0".parse().unwrap(), Duration::from_mins(1)).await;
    let trackers = vec![slow.tracker(Event::Start), fast.tracker(Event::Start)];
    let world = World::new(trackers, &[&fast, &slow], &["--trackers-at-once", "6", "--vendor-at-once", "3"]);
    let origin = world.start();
    let begun = Instant::now();
    let beacons = (1..=100).map(|n| world.beacon(slot(n), Event::Start)).collect();
    world.tell(&origin, batch(beacons)).await;
    eventually(async || fast.total() == 100).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "it waited for a call to the slow one: {:?}", begun.elapsed());
    assert_eq!(slow.total(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_is_a_dead_letter_with_its_reason_and_can_be_made_again() {
    let vendor = Vendor::start().await;
    vendor.answers(404);
    let broken = Vendor::start().await;
    broken.answers(500);
    let trackers = vec![vendor.tracker(Event::Start), broken.tracker(Event::Start)];
    let options = ["--tracker-backoff-ms", "1", "--tracker-attempts", "3"];
    let world = World::new(trackers, &[&vendor, &broken], &options);
    let origin = world.start();
    world.tell(&origin, batch(vec![world.beacon(slot(1), Event::Start)])).await;
    settled(&origin).await;
    let dead = world.dead();
    let reasons: BTreeSet<&str> = dead.iter().filter_map(|letter| letter["reason"].as_str()).collect();
    assert_eq!(reasons, BTreeSet::from(["answered 404", "given up after 3 attempts: answered 500"]));
    assert_eq!((vendor.total(), broken.total()), (1, 3));
    assert!(world.ask(&["dead", "--vendor", &vendor.address.to_string()]).contains("answered 404"));
    vendor.answers(200);
    broken.answers(200);
    let number = dead.iter().find(|letter| letter["reason"] == "answered 404").unwrap()["firing_id"].to_string();
    assert_eq!(world.ask(&["retry", &number]), "1 calls are back in the queue\n");
    eventually(async || vendor.total() == 2).await;
    assert_eq!(world.ask(&["retry", "--all"]), "1 calls are back in the queue\n");
    eventually(async || broken.total() == 4).await;
    settled(&origin).await;
    assert_eq!(world.dead(), [] as [Value; 0]);
    assert_eq!(world.ask(&["retry", "--all"]), "0 calls are back in the queue\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ever_sent_to_an_address_that_is_not_public() {
    let (v4, reached) = forbidden("127.0.0.1:0").await;
    let (v6, reached_by_v6) = forbidden("[::1]:0").await;
    let away = Vendor::start().await;
    away.answers(302);
    away.says(header::LOCATION, &format!("http://{v4}/internal"));
    let (port, port_v6) = (v4.port(), v6.port());
    let bases = [
        format!("http://127.0.0.1:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://0.0.0.0:{port}"),
        format!("http://[::1]:{port_v6}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        "http://10.0.0.1".into(),
        "http://169.254.169.254".into(),
    ];
    let mut trackers: Vec<Tracker> = bases.iter().map(|base| tracker(Event::Start, base)).collect();
    trackers.push(away.tracker(Event::Start));
    let world = World::new(trackers, &[&away], &[]);
    let origin = world.start();
    world.tell(&origin, batch(vec![world.beacon(slot(1), Event::Start)])).await;
    settled(&origin).await;
    let dead = world.dead();
    assert_eq!((dead.len(), away.total()), (bases.len() + 1, 1));
    for letter in &dead {
        assert!(letter["reason"].as_str().unwrap().contains("which is not public"), "{letter}");
        assert_eq!(letter["attempts"], 1, "it is no use to try again");
    }
    assert_eq!((reached.load(SeqCst), reached_by_v6.load(SeqCst)), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_redirect_is_tried_again_without_calling_whoever_redirected_twice() {
    let (first, second) = (Vendor::start().await, Vendor::start().await);
    first.answers(302);
    first.says(header::LOCATION, &format!("http://{}/landed", second.address));
    second.answers(503);
    let world = World::new(vec![first.tracker(Event::Start)], &[&first, &second], &["--tracker-backoff-ms", "50"]);
    let origin = world.start();
    world.tell(&origin, batch(vec![world.beacon(slot(1), Event::Start)])).await;
    eventually(async || second.total() == 2).await;
    second.answers(200);
    settled(&origin).await;
    assert_eq!((first.total(), second.counts().len()), (1, 1));
    assert_eq!(world.dead(), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_trackers_nobody_is_called_until_it_is_left_out_again() {
    let vendor = Vendor::start().await;
    let world = World::new(vec![vendor.tracker(Event::Start)], &[&vendor], &[]);
    assert!(world.start().terminate().success(), "it begins trackers.db");
    let mut quiet = world.options.clone();
    quiet.push("--no-trackers".into());
    let origin = Origin::start(world.data(), &quiet.iter().map(String::as_str).collect::<Vec<_>>());
    world.tell(&origin, batch(vec![world.beacon(slot(1), Event::Start)])).await;
    origin.folded().await;
    assert_eq!(get(&format!("{}/healthz", origin.url)).await["trackers"], Value::Null);
    assert!(origin.terminate().success());
    assert_eq!(vendor.total(), 0);
    let origin = world.start();
    settled(&origin).await;
    assert_eq!(vendor.total(), 1);
}
