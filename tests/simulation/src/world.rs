//! One small world: edges, stores, an origin, viewers; and what befalls them.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    rc::Rc,
};

use slotkeeper_core::{
    id::ViewerKey,
    keys::{Keyring, Pseudonyms, Purpose, Stitchers},
    time::UnixMillis,
};
use slotkeeper_edge::{
    Head, Reply, Route, Settings, outbox::Shipped, platform::OriginError, serve, sql, sqlite::Value,
};

use crate::{
    books,
    broken::Broken,
    clients,
    edge::{Edge, ship_shard},
    faults::{Fault, Faults},
    oracle::{Oracle, Shown},
    origin::{self, Origin, Posted},
    report::{Line, Outcome, Violation},
    rng::Rng,
    scheduler::{Owner, Scheduler},
    store::StoreDb,
    terms::{DAY_MS, Edition, FlightTerm, HOUR_MS, MINUTE_MS, Scope, Span, book, revise},
};

/// How far two clocks of a world are apart at most.
pub const SKEW_MS_MAX: u64 = 12 * MINUTE_MS;
/// When every world begins: 2026-11-22T00:00:00Z and something.
const BEGINNING_MS: u64 = 1_795_305_600_000;

/// How edges and stores lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Every edge uses one database over the network.
    Shared,
    /// Every shard of viewers is a process with its own.
    Sharded,
}

/// What to simulate.
#[derive(Clone)]
pub struct Plan {
    pub seed: u64,
    pub breaks: u64,
    pub faults: Vec<Fault>,
    pub broken: Option<Broken>,
    /// Only laws whose name begins so can be violated; empty for all.
    pub laws: String,
    pub is_traced: bool,
}

struct Process {
    settings: Rc<Settings>,
    ahead_ms: Cell<i64>,
    lives: Cell<u64>,
    is_up: Cell<bool>,
    cut_from_store_until: Cell<u64>,
    cut_from_origin_until: Cell<u64>,
    plan: RefCell<Option<KeptPlan>>,
}

/// What a fault of the whole world does.
type Does = Box<dyn Fn(&Rc<World>)>;

/// A plan's version, its bytes, and when it was fetched.
pub type KeptPlan = (u64, Rc<[u8]>, u64);

/// Everything there is.
pub struct World {
    pub clock: Rc<Scheduler>,
    pub rng: Rng,
    pub faults: Faults,
    pub broken: Option<Broken>,
    pub layout: Layout,
    pub edges: usize,
    pub lease_ms: u64,
    pub span_ms: u64,
    pub profiles: Vec<Profile>,
    pub stores: Vec<StoreDb>,
    pub origin: Origin,
    pub oracle: RefCell<Oracle>,
    processes: Vec<Process>,
    keys: Keyring,
    admin: String,
    session_ms: u64,
    editions: RefCell<Vec<Rc<Edition>>>,
    owners: BTreeMap<u32, (u32, u32)>,
    plan_bytes: RefCell<BTreeMap<u64, Rc<[u8]>>>,
    newest_plan: Cell<Option<u64>>,
    outage_until: Cell<u64>,
    is_shipping: RefCell<Vec<bool>>,
    hash: Cell<u64>,
    trace: Option<RefCell<Vec<Line>>>,
    laws: String,
    violation: RefCell<Option<Violation>>,
}

/// Somebody who watches.
pub struct Profile {
    pub id: String,
    pub viewer: ViewerKey,
    pub devices: u64,
}

/// What a client or the origin sends to an edge.
#[derive(Clone)]
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub body: Vec<u8>,
    pub whose: Option<ViewerKey>,
}

impl World {
    fn new(plan: &Plan) -> Rc<Self> {
        let rng = Rng::new(plan.seed);
        let layout = if rng.chance(0.6) { Layout::Shared } else { Layout::Sharded };
        let edges = rng.index(4) + 1;
        let shards = if layout == Layout::Sharded { rng.index(5) + 1 } else { 0 };
        let span_ms = *rng.pick(&[HOUR_MS, 3 * HOUR_MS, 9 * HOUR_MS, 30 * HOUR_MS, 80 * HOUR_MS]);
        let luck = *rng.pick(&[0.0, 0.3, 1.0, 1.0, 1.0, 3.0]);
        let faults = Faults::new(&plan.faults, luck, plan.seed);
        let start_ms = BEGINNING_MS + rng.below(DAY_MS);
        let keys =
            Keyring::parse(&format!("3:{:064x},1:{:064x}", plan.seed + 7, 9)).unwrap_or_else(|error| panic!("{error}"));
        let pseudonyms = Pseudonyms::parse(&format!("{:064x}", plan.seed)).unwrap_or_else(|| unreachable!("64 digits"));
        let is_skewed = faults.strikes(Fault::ClockSkew);
        let process = |number: usize| Process {
            settings: Rc::new(Settings {
                requests_per_minute: 0, // one address stands for all clients here
                keys: keys.clone(),
                pseudonyms: pseudonyms.clone(),
                origin_url: "http://origin".into(),
                public_url: None,
                stitchers: Stitchers::default(),
                edge_id: format!("edge-{number}"),
                store_deadline_ms: 250,
                decision_deadline_ms: 600,
                answer_deadline_ms: 1_000,
                origin_deadline_ms: 2_000,
                demo_hls_url: None,
                auction: None,
            }),
            ahead_ms: Cell::new(if is_skewed { minutes(&rng, 4) } else { 0 }),
            lives: Cell::new(0),
            is_up: Cell::new(true),
            cut_from_store_until: Cell::new(0),
            cut_from_origin_until: Cell::new(0),
            plan: RefCell::default(),
        };
        let processes: Vec<Process> = (0..edges + shards).map(process).collect();
        let profiles = (0..rng.between(20, 200)).map(|n| {
            let id = format!("profile-{n}");
            Profile { viewer: pseudonyms.viewer(&id), id, devices: rng.between(1, 4) }
        });
        let profiles = profiles.collect();
        let flights = book(&rng, start_ms, span_ms);
        let owners = flights.iter().map(|flight| (flight.flight, (flight.campaign, flight.advertiser))).collect();
        let lease_ms = rng.log_between(10 * MINUTE_MS, 6 * HOUR_MS);
        let valid_ms = if rng.chance(0.9) { span_ms + 3 * DAY_MS } else { span_ms / 2 + rng.below(span_ms) };
        let edition = Edition::new(1, lease_ms, flights, (start_ms - 2 * HOUR_MS, start_ms + valid_ms), &keys);
        let world = Rc::new(Self {
            clock: Rc::new(Scheduler::new(plan.seed, start_ms)),
            faults,
            broken: plan.broken,
            layout,
            edges,
            lease_ms,
            span_ms,
            profiles,
            // Shared: the one store. Sharded: one a shard, and the plan keeper's.
            stores: (0..=shards).map(StoreDb::new).collect(),
            origin: Origin::default(),
            oracle: RefCell::default(),
            processes,
            admin: format!("Bearer {}", keys.bearer(Purpose::Admin)),
            keys,
            session_ms: rng.log_between(30 * MINUTE_MS, 20 * HOUR_MS),
            editions: RefCell::default(),
            owners,
            plan_bytes: RefCell::default(),
            newest_plan: Cell::default(),
            outage_until: Cell::new(0),
            is_shipping: RefCell::new(vec![false; shards + 1]),
            hash: Cell::new(plan.seed),
            trace: plan.is_traced.then(RefCell::default),
            laws: plan.laws.clone(),
            violation: RefCell::default(),
            rng,
        });
        world.add_edition(edition.clone());
        world.store_plan(1, edition.bytes);
        world.set_newest_plan(1);
        let put = world.stores[world.plan_store()].execute(sql::PUT_PLAN_IN_FORCE, &[Value::Integer(1)]);
        put.unwrap_or_else(|error| panic!("the first plan: {error}"));
        if world.broken == Some(Broken::DoubleFold) {
            origin::earn_twice(&world);
        }
        world
    }

    fn add_edition(&self, edition: Edition) {
        self.origin.register(&edition.records);
        self.editions.borrow_mut().push(Rc::new(edition));
    }

    // What is sold.

    pub fn edition(&self, version: u64) -> Option<Rc<Edition>> {
        self.editions.borrow().iter().find(|edition| edition.version == version).cloned()
    }

    pub fn editions(&self) -> Vec<Rc<Edition>> {
        self.editions.borrow().clone()
    }

    pub fn flight(&self, version: u64, flight: u32) -> Option<Rc<FlightTerm>> {
        self.edition(version)?.flight(flight).cloned()
    }

    /// Whether any cap of the plan counts showings of a flight.
    pub fn is_counted(&self, version: u64, flight: u32) -> bool {
        self.editions.borrow().iter().any(|edition| edition.version == version && edition.counted.contains(&flight))
    }

    pub fn is_same_thing(&self, scope: Scope, one: &Shown, other: &Shown) -> bool {
        let owner = |shown: &Shown| self.owners.get(&shown.flight).copied().unwrap_or_default();
        match scope {
            Scope::Creative => one.creative == other.creative,
            Scope::Flight => one.flight == other.flight,
            Scope::Campaign => owner(one).0 == owner(other).0,
            Scope::Advertiser => owner(one).1 == owner(other).1,
        }
    }

    /// Whether some cap still counts a showing that began at `at`.
    pub fn counts_still(&self, shown: &Shown, at: u64, now: u64) -> bool {
        let Some(edition) = self.edition(shown.edition) else { return false };
        edition.flights.iter().any(|flight| {
            flight.caps.iter().any(|cap| {
                let counts = flight.ads.iter().any(|ad| {
                    let by = Shown { flight: flight.flight, creative: ad.creative, ..shown.clone() };
                    self.is_same_thing(cap.scope, shown, &by)
                });
                counts
                    && match cap.span {
                        Span::Break => false,
                        Span::Session => at + DAY_MS > now,
                        Span::Rolling { ms } => at + ms > now,
                        Span::Days { days, ahead_ms } => (at + ahead_ms) / DAY_MS + days > (now + ahead_ms) / DAY_MS,
                        Span::Lifetime => true,
                    }
            })
        })
    }

    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// The session that a device of a profile is in now.
    pub fn session_id(&self, profile: usize, device: u64) -> String {
        format!("{profile}-{device}-{}", self.clock.now_ms() / self.session_ms)
    }

    // Processes.

    pub fn settings(&self, process: usize) -> Rc<Settings> {
        self.processes[process].settings.clone()
    }

    /// What a process takes the time to be.
    pub fn clock_of(&self, process: usize) -> UnixMillis {
        UnixMillis(self.clock.now_ms().saturating_add_signed(self.processes[process].ahead_ms.get()))
    }

    pub fn lives(&self, process: usize) -> u64 {
        self.processes[process].lives.get()
    }

    pub fn is_up(&self, process: usize) -> bool {
        self.processes[process].is_up.get()
    }

    pub fn is_cut_from_store(&self, process: usize) -> bool {
        let now = self.clock.now_ms();
        !self.faults.are_over() && now < self.outage_until.get().max(self.processes[process].cut_from_store_until.get())
    }

    /// Everything a process was doing ends; it starts again soon.
    pub fn crash(self: &Rc<Self>, number: usize) {
        let process = &self.processes[number];
        if self.faults.are_over() || !process.is_up.replace(false) {
            return;
        }
        process.lives.set(process.lives.get() + 1);
        *process.plan.borrow_mut() = None;
        let ended = self.clock.kill(Owner::Process(number));
        self.note(None, "crash", number as u64, || format!("process {number} dies, {ended} tasks with it"));
        let later = self.clone();
        self.clock.after(self.rng.log_between(20, 5_000), move || {
            later.processes[number].is_up.set(true);
            if let Some(store) = number.checked_sub(later.edges) {
                later.outbox_is_empty(store);
                later.outbox_has_grown(store);
            }
        });
    }

    /// The store and the process of a viewer's shard.
    pub fn shard_of(&self, bucket: u16) -> (usize, usize) {
        let shard = usize::from(bucket) % (self.stores.len() - 1).max(1);
        (shard, self.edges + shard)
    }

    /// The store that a viewer's state is in.
    pub fn store_of(&self, viewer: ViewerKey) -> &StoreDb {
        match self.layout {
            Layout::Shared => &self.stores[0],
            Layout::Sharded => &self.stores[self.shard_of(viewer.bucket()).0],
        }
    }

    // Plans.

    /// The store that says which plan is in force.
    pub fn plan_store(&self) -> usize {
        self.stores.len() - 1
    }

    pub fn kept_plan(&self, process: usize) -> Option<KeptPlan> {
        self.processes[process].plan.borrow().clone()
    }

    pub fn keep_plan(&self, process: usize, version: u64, bytes: Rc<[u8]>) {
        *self.processes[process].plan.borrow_mut() = Some((version, bytes, self.clock.now_ms()));
    }

    pub fn stored_plan(&self, version: u64) -> Option<Rc<[u8]>> {
        self.plan_bytes.borrow().get(&version).cloned()
    }

    pub fn store_plan(&self, version: u64, bytes: Rc<[u8]>) {
        self.plan_bytes.borrow_mut().insert(version, bytes);
    }

    pub fn newest_plan(&self) -> Option<u64> {
        self.newest_plan.get()
    }

    pub fn set_newest_plan(&self, version: u64) {
        self.newest_plan.set(Some(version));
    }

    // The network.

    /// Sends facts to the origin.
    pub fn post_to_origin(self: &Rc<Self>, process: usize, batch: String) -> Posted {
        let answer: Posted = self.clock.promise();
        let now = self.clock.now_ms();
        let faults = &self.faults;
        let is_cut = !faults.are_over() && now < self.processes[process].cut_from_origin_until.get();
        if is_cut || faults.strikes(Fault::PostLost) {
            return answer;
        }
        let mut way_ms = self.rng.between(1, 6);
        if faults.strikes(Fault::PostSlow) {
            way_ms += self.rng.log_between(50, 30_000);
        }
        let is_ack_lost = faults.strikes(Fault::AckLost);
        if faults.strikes(Fault::PostDoubled) {
            let (again, batch) = (self.clone(), batch.clone());
            let to_nobody: Posted = self.clock.promise();
            self.clock
                .after(way_ms + self.rng.log_between(1, 600_000), move || origin::receive(&again, batch, &to_nobody));
        }
        let (there, given) = (self.clone(), answer.clone());
        self.clock.after(way_ms, move || {
            let acknowledged: Posted = there.clock.promise();
            let (back, world) = (acknowledged.clone(), there.clone());
            there.clock.spawn(Owner::World, async move {
                let outcome: Result<(), OriginError> = back.await;
                world.clock.sleep(world.rng.between(1, 4)).await;
                if !is_ack_lost {
                    given.give(outcome);
                }
            });
            origin::receive(&there, batch, &acknowledged);
        });
        answer
    }

    /// Sends a request to an edge, and waits for its answer for a while.
    pub async fn call(self: &Rc<Self>, edge: usize, call: Call, patience_ms: u64) -> Option<Reply> {
        let answer = self.clock.promise::<Option<Reply>>();
        let faults = &self.faults;
        let mut way_ms = self.rng.between(1, 30);
        if faults.strikes(Fault::RequestSlow) {
            way_ms += self.rng.log_between(100, 20_000);
        }
        if faults.strikes(Fault::RequestDoubled) {
            let other = if self.rng.chance(0.5) { edge } else { self.rng.index(self.edges) };
            let to_nobody = self.clock.promise();
            self.deliver_after(way_ms + self.rng.log_between(1, 5_000), other, call.clone(), to_nobody);
        }
        if !faults.strikes(Fault::RequestLost) {
            self.deliver_after(way_ms, edge, call, answer.clone());
        }
        slotkeeper_edge::platform::within(self.clock.sleep(patience_ms), answer).await.flatten()
    }

    fn deliver_after(
        self: &Rc<Self>,
        ms: u64,
        edge: usize,
        call: Call,
        answer: crate::scheduler::Promise<Option<Reply>>,
    ) {
        let world = self.clone();
        self.clock.after(ms, move || {
            if !world.is_up(edge) {
                answer.give(None);
                return;
            }
            let there = world.clone();
            world.clock.spawn(Owner::Process(edge), async move {
                let reply = handle(&there, edge, &call).await;
                if !there.faults.strikes(Fault::ReplyLost) {
                    let back = there.clone();
                    let way_ms = there.rng.between(1, 30);
                    back.clock.after(way_ms, move || answer.give(Some(reply)));
                }
            });
        });
    }

    // Outboxes.

    /// Whoever ships a store's outbox looks at it soon.
    pub fn outbox_has_grown(self: &Rc<Self>, store: usize) {
        if std::mem::replace(&mut self.is_shipping.borrow_mut()[store], true) {
            return;
        }
        let world = self.clone();
        self.clock.after(self.rng.log_between(20, 20_000), move || match world.layout {
            Layout::Shared => world.clock.spawn(Owner::World, ask_to_ship(world.clone())),
            Layout::Sharded => {
                let process = world.edges + store;
                world.clock.spawn(Owner::Process(process), ship_shard(world.clone(), store, process));
            }
        });
    }

    /// Nobody ships it any more.
    pub fn outbox_is_empty(&self, store: usize) {
        self.is_shipping.borrow_mut()[store] = false;
    }

    // What is seen.

    /// Something happened. It goes into the world's hash, and into the trace if there is one.
    pub fn note(&self, whose: Option<ViewerKey>, what: &'static str, number: u64, text: impl FnOnce() -> String) {
        let mut hasher = DefaultHasher::new();
        (self.hash.get(), self.clock.now_ms(), what, number).hash(&mut hasher);
        self.hash.set(hasher.finish());
        if let Some(trace) = &self.trace {
            let at = self.clock.now_ms() - BEGINNING_MS;
            let (hours, minutes, ms) = (at / HOUR_MS, at / MINUTE_MS % 60, at % MINUTE_MS);
            let line = format!(
                "{hours:>3}:{minutes:02}:{:02}.{:03} step {:<7} {what:<14} {}",
                ms / 1_000,
                ms % 1_000,
                self.clock.steps(),
                text()
            );
            trace.borrow_mut().push((whose, line));
        }
    }

    /// A law does not hold. The first one counts.
    pub fn violated(&self, law: &'static str, whose: Option<ViewerKey>, what: String) {
        if !law.starts_with(&self.laws) {
            return;
        }
        self.note(whose, "VIOLATION", 0, || format!("law {law}: {what}"));
        let step = self.clock.steps();
        self.violation.borrow_mut().get_or_insert(Violation { law, whose, what, step });
    }

    fn is_violated(&self) -> bool {
        self.violation.borrow().is_some()
    }
}

/// Serves one request as an edge does, and shows the oracle both sides of it.
async fn handle(world: &Rc<World>, edge: usize, call: &Call) -> Reply {
    let settings = world.settings(edge);
    let head = Head {
        method: call.method,
        path: &call.path,
        query: "",
        base: "",
        origin: None,
        device_address: None,
        device_user_agent: None,
        authorization: Some(&world.admin),
        client_address: None,
        user_agent: None,
        sec_gpc: None,
    };
    let route = match Route::find(&head, &settings) {
        Ok(route) => route,
        Err(refusal) => return refusal,
    };
    let (asked_at, now) = (world.clock.now_ms(), world.clock_of(edge).0);
    let text = || std::str::from_utf8(&call.body).unwrap_or_default();
    let mut break_id = None;
    match &route {
        Route::Break { .. } => {
            if let Ok(request) = serde_json::from_slice::<slotkeeper_core::api::BreakRequest>(&call.body) {
                let id = settings.pseudonyms.break_id(&request.profile_id, &request.request_id);
                let viewer = settings.pseudonyms.viewer(&request.profile_id);
                world.oracle.borrow_mut().asked(id, viewer, &request);
                world.note(call.whose, "asked", edge as u64, || format!("edge {edge} break {id} {}", text()));
                break_id = Some(id);
            }
        }
        Route::Beacons => {
            world.oracle.borrow_mut().beacons_arrived(text(), now);
            world.note(call.whose, "beacons", edge as u64, || format!("edge {edge} {:?}", text()));
        }
        Route::Pixel { token, .. } => {
            world.oracle.borrow_mut().pixel_arrived(token, now);
            world.note(call.whose, "pixel", edge as u64, || format!("edge {edge} {token}"));
        }
        _ => world.note(call.whose, "request", edge as u64, || format!("edge {edge} {} {}", call.method, call.path)),
    }
    let in_force = world.oracle.borrow().in_force();
    let carries_beacons = matches!(route, Route::Beacons | Route::Pixel { .. });
    let platform = Edge::new(world, edge, carries_beacons);
    let reply = serve(&platform, head.client(&settings), route.clone(), &call.body).await;
    let took_ms = world.clock.now_ms() - asked_at;
    let mut oracle = world.oracle.borrow_mut();
    let number = reply
        .body
        .iter()
        .fold(u64::from(reply.status), |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    world.note(call.whose, "reply", number, || {
        let body = String::from_utf8_lossy(&reply.body);
        format!("edge {edge} after {took_ms} ms: {} {}", reply.status, body.chars().take(1_200).collect::<String>())
    });
    match (&route, reply.status) {
        (Route::Break { .. }, status) => {
            oracle.timed(world, "a break", took_ms, settings.answer_deadline_ms);
            match (status, break_id) {
                (200, Some(id)) => oracle.answered(world, id, &reply.body, in_force, now),
                _ => world.violated("1 conservation", call.whose, format!("a break is answered with {status}")),
            }
        }
        (Route::Beacons, status) => {
            oracle.timed(world, "a batch", took_ms, settings.decision_deadline_ms + settings.origin_deadline_ms);
            if status == 202 {
                oracle.beacons_acknowledged(world, text(), &reply.body, now);
            }
        }
        (Route::Pixel { token, .. }, 200) => oracle.pixel_acknowledged(world, token),
        (Route::Receipt, status) => {
            oracle.timed(world, "a receipt", took_ms, settings.origin_deadline_ms);
            if status == 202 {
                oracle.receipt_acknowledged(world, text().trim(), now);
            }
        }
        _ => {}
    }
    drop(oracle);
    reply
}

/// The origin asks the edges to ship until nothing is left.
async fn ask_to_ship(world: Rc<World>) {
    let mut pause_ms = 250;
    while world.stores[0].outbox_len() > 0 {
        let call = Call { method: "POST", path: "/v1/outbox/ship".into(), body: Vec::new(), whose: None };
        let edge = world.rng.index(world.edges);
        let reply = world.call(edge, call, 5_000).await.filter(|reply| reply.status == 200);
        let shipped = reply.and_then(|reply| serde_json::from_slice::<Shipped>(&reply.body).ok());
        if shipped.is_some_and(|shipped| shipped.left == 0 || shipped.shipped > 0) {
            pause_ms = 250;
        } else {
            world.clock.sleep(pause_ms).await;
            pause_ms = (pause_ms * 2).min(MINUTE_MS);
        }
    }
    world.outbox_is_empty(0);
}

fn minutes(rng: &Rng, most: u64) -> i64 {
    let ms = i64::try_from(rng.below(most * MINUTE_MS)).unwrap_or_default();
    if rng.chance(0.5) { ms } else { -ms }
}

/// Plans what befalls the whole world, around the moments at which somebody watches.
fn plan_faults(world: &Rc<World>, moments: &[u64]) {
    let near = |world: &World| (world.rng.pick(moments) + world.rng.below(60)).saturating_sub(world.rng.below(40));
    let at = |kind: Fault, does: Does| {
        let does = Rc::new(does);
        for _ in 0..world.faults.times(kind) {
            let (there, does) = (world.clone(), does.clone());
            world.clock.after(near(world), move || {
                if !there.faults.are_over() {
                    there.faults.count(kind);
                    there.note(None, "fault", kind as u64, || kind.name().into());
                    does(&there);
                }
            });
        }
    };
    let until = |world: &World| world.clock.now_ms() + world.rng.log_between(500, 20 * MINUTE_MS);
    at(Fault::StoreOutage, Box::new(move |world| world.outage_until.set(until(world))));
    at(
        Fault::StorePartition,
        Box::new(move |world| {
            world.processes[world.rng.index(world.edges)].cut_from_store_until.set(until(world));
        }),
    );
    at(
        Fault::OriginPartition,
        Box::new(move |world| {
            world.processes[world.rng.index(world.processes.len())].cut_from_origin_until.set(until(world));
        }),
    );
    at(Fault::EdgeCrash, Box::new(|world| world.crash(world.rng.index(world.processes.len()))));
    at(Fault::OriginCrash, Box::new(origin::crash));
    at(
        Fault::ClockStep,
        Box::new(|world| {
            world.processes[world.rng.index(world.edges)].ahead_ms.set(minutes(&world.rng, 5));
        }),
    );
    at(Fault::PlanChange, Box::new(|world| publish_next(world, 1)));
    at(Fault::PlanRace, Box::new(|world| publish_next(world, 2)));
    at(
        Fault::Rot,
        Box::new(|world| {
            let store = &world.stores[world.rng.index((world.stores.len() - 1).max(1))];
            if let Some(whose) = store.rot(world.rng.next()) {
                world.note(Some(whose), "rot", 0, || "the stored state is damaged".into());
            }
        }),
    );
}

/// Publishes so many new plans at once, and at times an old one again.
fn publish_next(world: &Rc<World>, count: usize) {
    let now = world.clock.now_ms();
    let mut versions = Vec::new();
    for _ in 0..count {
        let Some(last) = world.editions.borrow().last().cloned() else { return };
        let flights = revise(&world.rng, &last.flights);
        let valid = (now - 2 * HOUR_MS, now + world.span_ms + 3 * DAY_MS);
        let edition = Edition::new(last.version + 1, world.lease_ms, flights, valid, &world.keys);
        versions.push(edition.version);
        world.add_edition(edition);
    }
    if count > 1 {
        versions.push(world.rng.between(1, versions[0]));
    }
    for version in versions {
        for edge in 0..world.edges {
            world.clock.spawn(Owner::World, publish(world.clone(), version, edge));
        }
    }
}

async fn publish(world: Rc<World>, version: u64, edge: usize) {
    let Some(edition) = world.edition(version) else { return };
    for _ in 0..6 {
        world.clock.sleep(world.rng.below(300)).await;
        let call = Call { method: "PUT", path: "/v1/plan".into(), body: edition.bytes.to_vec(), whose: None };
        if world.call(edge, call, 5_000).await.is_some_and(|reply| reply.status < 500) {
            return;
        }
    }
}

/// Runs one world to its end, or to the first law that does not hold.
pub fn run(plan: &Plan) -> Outcome {
    let world = World::new(plan);
    let moments = clients::plan_viewing(&world, plan.breaks);
    plan_faults(&world, &moments);
    let last = moments.last().copied().unwrap_or_default();
    let ending = world.clone();
    world.clock.after(last + world.rng.log_between(MINUTE_MS, 12 * HOUR_MS), move || {
        ending.note(None, "faults-end", 0, String::new);
        ending.faults.end();
    });
    while !world.is_violated() && world.clock.step() {}
    if !world.is_violated() {
        books::close(&world);
    }
    let hash = world.hash.get();
    let oracle = world.oracle.borrow();
    Outcome {
        seed: plan.seed,
        hash,
        steps: world.clock.steps(),
        simulated_ms: world.clock.now_ms(),
        tally: oracle.tally,
        entries: world.origin.entries(),
        faults: world.faults.counts(),
        checks: oracle.checks().clone(),
        violation: world.violation.borrow().clone(),
        trace: world.trace.as_ref().map(|trace| trace.borrow().clone()).unwrap_or_default(),
        began_ms: BEGINNING_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(seed: u64) -> Plan {
        Plan { seed, breaks: 25, faults: Fault::ALL.to_vec(), broken: None, laws: String::new(), is_traced: false }
    }

    #[test]
    fn a_seed_replays_bit_for_bit() {
        for seed in 1..4 {
            let (first, again) = (run(&small(seed)), run(&Plan { is_traced: true, ..small(seed) }));
            assert_eq!((first.hash, first.steps), (again.hash, again.steps), "seed {seed}");
            assert!(first.violation.is_none(), "seed {seed}: {:?}", first.violation);
            assert_ne!(first.hash, run(&small(seed + 100)).hash);
        }
    }

    #[test]
    fn a_known_bad_variant_is_caught() {
        let caught = |seed| run(&Plan { broken: Some(Broken::AckBeforePost), ..small(seed) }).violation.is_some();
        assert!((1..20).any(caught));
    }

    #[test]
    fn an_answer_keeps_its_deadline_though_the_clock_is_set_back() {
        let world = World::new(&Plan { faults: Vec::new(), ..small(1) });
        world.outage_until.set(u64::MAX);
        for process in &world.processes {
            process.cut_from_origin_until.set(u64::MAX);
        }
        let back = world.clone();
        world.clock.after(300, move || back.processes[0].ahead_ms.set(-60_000));
        let body = br#"{"request_id":"r","profile_id":"p","title_id":"t","position":"preroll","slots":[{"max_duration_ms":30000}]}"#;
        let call = Call { method: "POST", path: "/v1/breaks".into(), body: body.to_vec(), whose: None };
        let there = world.clone();
        world.clock.spawn(Owner::World, async move {
            let reply = there.call(0, call, 60_000).await.expect("an answer");
            assert_eq!(reply.status, 200);
        });
        while world.clock.step() {}
        assert_eq!(world.oracle.borrow().tally.receipts, 1);
        assert!(!world.is_violated(), "{:?}", world.violation.borrow());
    }
}
