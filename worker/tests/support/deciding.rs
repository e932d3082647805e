//! A small edge in the test's own process: it decides with the real core, keeps a store of the real shape, and logs its
//! facts as the collector would.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, params};
use slotkeeper::{
    contracts::Contracts,
    data_dir::DataDir,
    fold::Fold,
    log::{Log as _, Received, SqliteLog},
    plan,
    registry::Registry,
};
use slotkeeper_core::{
    api::{BreakRequest, PodRequest, SlotRequest, Tracking},
    auction::Auction,
    beacon::Event,
    caps::{CapState, Settled, Transition, Viewer},
    consent::Permissions,
    contract::BreakPosition,
    decide::{Occasion, decide},
    decision::Decision,
    fact::{BeaconFact, Fact, FactBatch, Recording},
    id::{BreakId, OpportunityId, ViewerKey},
    keys::Pseudonyms,
    plan::Plan,
    pod::{InvalidTraffic, Opportunity, Pod},
    time::UnixMillis,
};

use super::keyring;

pub(crate) const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/contracts.toml");
pub(crate) const EDGE_ID: &str = "edge-1";

const STORE: &str = "
    CREATE TABLE viewer_states(
       viewer BLOB PRIMARY KEY, version INTEGER NOT NULL, state BLOB NOT NULL, keep_until INTEGER NOT NULL);
    CREATE TABLE breaks(
       break_id BLOB PRIMARY KEY, viewer BLOB NOT NULL, answer BLOB NOT NULL, remember_until INTEGER NOT NULL);
    CREATE TABLE outbox(sequence INTEGER PRIMARY KEY AUTOINCREMENT, facts TEXT NOT NULL);";

/// The demo's bookings, a plan of them, and an edge that decides from it.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    /// Its clock.
    pub(crate) now: UnixMillis,
    /// Of whom the next breaks are.
    pub(crate) invalid_traffic: Option<InvalidTraffic>,
    plan: Vec<u8>,
    viewers: BTreeMap<ViewerKey, Viewer>,
    breaks: u32,
    /// What its players ask for instead of slots.
    pub(crate) pod: Option<PodRequest>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let mut contracts = Contracts::open(&data.contracts()).unwrap();
        contracts.import_file(Path::new(DEMO)).unwrap();
        let now = slotkeeper::clock::now();
        let made = plan::make(&mut contracts, &plan::Feedback::default(), Some("http://o"), &keyring(), now).unwrap();
        Connection::open(folder.path().join("store.db")).unwrap().execute_batch(STORE).unwrap();
        let world = Self {
            folder,
            now,
            invalid_traffic: None,
            plan: made.bytes,
            viewers: BTreeMap::new(),
            breaks: 0,
            pod: None,
        };
        world.fold();
        world
    }

    pub(crate) fn data(&self) -> DataDir {
        DataDir::open(self.folder.path()).unwrap()
    }

    /// The file of the edge's store.
    pub(crate) fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store.db")
    }

    /// A break as the demo's player asks for it, decided, committed and shipped.
    pub(crate) fn open(&mut self, profile: &str, position: BreakPosition, slots: usize) -> Pod {
        let (pod, occasion_facts) = self.decide(profile, position, slots);
        let viewer = self.viewers.entry(pod.decision.viewer).or_default();
        pod.claims().for_each(|claim| viewer.add(*claim));
        self.keep(pod.decision.viewer, Some(pod.decision.break_id));
        self.log(occasion_facts);
        pod
    }

    /// The same without a commit: decided, and forgotten.
    pub(crate) fn decide(&mut self, profile: &str, position: BreakPosition, slots: usize) -> (Pod, Vec<Fact>) {
        self.breaks += 1;
        let request = BreakRequest {
            request_id: format!("r{}", self.breaks),
            profile_id: profile.into(),
            session_id: None,
            title_id: "the-lighthouse".into(),
            position,
            slots: match self.pod {
                Some(_) => vec![],
                None => vec![SlotRequest { max_duration_ms: 10_000, ..SlotRequest::default() }; slots],
            },
            pod: self.pod.clone(),
            max_duration_ms: None,
            tier: None,
            country: None,
            device: Some("tv".into()),
            tracking: Tracking::Token,
            ..BreakRequest::default()
        };
        let pseudonyms = Pseudonyms::parse(&"9e".repeat(32)).unwrap();
        let viewer = pseudonyms.viewer(profile);
        let occasion = Occasion {
            request: &request,
            break_id: pseudonyms.break_id(profile, &request.request_id),
            viewer,
            session: None,
            permissions: Permissions::default(),
            invalid_traffic: self.invalid_traffic,
            auction: &Auction::NotAsked,
            opened_at: self.now,
            now: self.now,
        };
        let caps = CapState::Known(self.viewers.entry(viewer).or_default().clone());
        let pod = decide(Some(&Plan::open(&self.plan).unwrap()), &caps, &occasion);
        let facts = facts_of(&pod, Recording::Committed);
        (pod, facts)
    }

    /// The same break as the edge answers it when it does not hear from its store: later, and without the ads that caps count.
    pub(crate) fn without_store(&self, pod: &Pod) -> Pod {
        let decided_at = pod.decision.decided_at.plus_ms(500);
        let decision = Decision { caps: CapState::Unavailable, decided_at, ..pod.decision.clone() };
        decision.decide_again(Some(&Plan::open(&self.plan).unwrap()), &mut ()).expect("the plan it names")
    }

    /// The same break as the edge answers it without its store, had an auction given this.
    pub(crate) fn with_auction(&self, pod: &Pod, auction: Auction) -> Pod {
        let decision = Decision { auction, caps: CapState::Unavailable, ..pod.decision.clone() };
        decision.decide_again(Some(&Plan::open(&self.plan).unwrap()), &mut ()).expect("the plan it names")
    }

    /// Reports events of a slot, a second after each other, and settles its claim as the edge does.
    pub(crate) fn report(&mut self, row: &Opportunity, events: &[Event]) {
        let fill = row.fill().expect("a filled slot");
        for event in events {
            self.now = self.now.plus_ms(1_000);
            let transition = match event {
                Event::Start => Some(Transition::Confirm { at: self.now }),
                Event::Error | Event::NotUsed => Some(Transition::Release),
                _ => None,
            };
            if let (Some(transition), Some(_)) = (transition, fill.claim) {
                let viewer = self.viewers.entry(row.viewer).or_default();
                let (settled, _) = viewer.settle(row.opportunity_id, transition, self.now);
                assert!(*event != Event::Start || settled == Settled::Confirmed { at: self.now });
                self.keep(row.viewer, None);
            }
            self.log(vec![beacon(row, row.opportunity_id, *event, self.now)]);
        }
    }

    /// What the edge knows of a viewer.
    pub(crate) fn viewer(&self, viewer: ViewerKey) -> &Viewer {
        &self.viewers[&viewer]
    }

    /// The edge loses what it knows of a viewer.
    pub(crate) fn forget(&mut self, viewer: ViewerKey) -> Viewer {
        self.viewers.remove(&viewer).expect("a viewer who has seen something")
    }

    /// What was forgotten is back, beside what came since.
    pub(crate) fn restore(&mut self, viewer: ViewerKey, forgotten: &Viewer) {
        let known = self.viewers.entry(viewer).or_default();
        forgotten.claims().iter().for_each(|claim| known.add(*claim));
        self.keep(viewer, None);
    }

    fn keep(&self, viewer: ViewerKey, committed: Option<BreakId>) {
        let db = Connection::open(self.store()).unwrap();
        let state = &self.viewers[&viewer];
        let row = params![viewer.0, state.encode(), state.keep_until().0.cast_signed()];
        db.execute("INSERT OR REPLACE INTO viewer_states VALUES (?1, 1, ?2, ?3)", row).unwrap();
        if let Some(break_id) = committed {
            let until = self.now.plus_ms(7_200_000).0.cast_signed();
            db.execute("INSERT INTO breaks VALUES (?1, ?2, x'', ?3)", params![break_id.0, viewer.0, until]).unwrap();
        }
    }

    /// Logs facts, as the collector would.
    pub(crate) fn log(&self, facts: Vec<Fact>) {
        let batch = FactBatch { edge_id: EDGE_ID.into(), facts };
        let received = Received { at: self.now, bytes: serde_json::to_vec(&batch).unwrap() };
        SqliteLog::open(&self.data().log()).unwrap().append(&[received]).unwrap();
    }

    /// Folds what is logged.
    pub(crate) fn fold(&self) {
        let registry = Registry::open(&self.data().contracts()).unwrap();
        let log = SqliteLog::open(&self.data().log()).unwrap();
        Fold::open(&self.data().fold(), registry).unwrap().catch_up(&log).unwrap();
    }

    /// Changes a database behind everybody's back.
    pub(crate) fn tamper(&self, file: &str, sql: &str) {
        let db = Connection::open(self.folder.path().join(file)).unwrap();
        db.execute_batch(&format!("PRAGMA ignore_check_constraints = ON; {sql}")).unwrap();
    }
}

/// What a break tells the origin.
pub(crate) fn facts_of(pod: &Pod, recording: Recording) -> Vec<Fact> {
    let rows = pod.slots.iter().map(|row| Fact::Opportunity { recording, row: row.clone() });
    std::iter::once(Fact::Decision(Box::new(pod.decision.clone()))).chain(rows).collect()
}

/// A beacon with the token of `row`'s ad, for any slot.
pub(crate) fn beacon(row: &Opportunity, slot: OpportunityId, event: Event, at: UnixMillis) -> Fact {
    let fill = row.fill().expect("a filled slot");
    Fact::Beacon(BeaconFact {
        opportunity_id: slot,
        ad_id: fill.ad_id,
        record_id: fill.record_id,
        event,
        at,
        received_at: at,
        session: None,
        invalid_traffic: None,
        error_code: None,
        idle_s: (event != Event::Error).then_some(60),
    })
}
