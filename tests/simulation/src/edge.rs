//! The platform under the edge: what `edge/spin` and `edge/cloudflare` are on their platforms, over the simulated world.
//!
//! Two layouts. *Shared*: several edges, one database behind a network, decisions made in the edge (as on Spin).
//! *Sharded*: the edges ask the shard of the viewer, a process with a database of its own (as on Cloudflare).

use std::{future::Future, pin::Pin, rc::Rc};

use slotkeeper_core::{
    auction::Auction,
    caps::{CapState, Settled, Transition, Viewer},
    decide::decide,
    fact::{FactBatch, Recording},
    id::ViewerKey,
    plan::Plan,
    time::UnixMillis,
};
use slotkeeper_edge::{
    Platform, Settings,
    answer::answer,
    auction::openrtb::Left,
    breaks::{Asked, decide_at, facts},
    outbox::{Shipped, ship},
    platform::{OriginError, PlanStored, store_call, within},
    settle::{Settling, settle_at},
    sql,
    sqlite::{Sqlite as _, Value, first_number},
    store::{Outbox as _, Store as _, StoreError},
};

use crate::{
    broken::Broken,
    faults::Fault,
    scheduler::Owner,
    store::StoreHandle,
    terms::MINUTE_MS,
    world::{Layout, World},
};

/// How long a process decides from its plan before it asks whether there is a newer one, where nothing else tells it.
const PLAN_FRESH_MS: u64 = 1_000;

/// What a call to another process comes to.
type Answered<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>>>>;

/// One request at one edge.
pub struct Edge {
    world: Rc<World>,
    process: usize,
    settings: Rc<Settings>,
    store: StoreHandle,
    carries_beacons: bool,
}

impl Edge {
    /// A request that process number `process` serves.
    pub fn new(world: &Rc<World>, process: usize, carries_beacons: bool) -> Self {
        let store = world.plan_store();
        Self {
            world: world.clone(),
            process,
            settings: world.settings(process),
            store: StoreHandle::new(world, store, process, false),
            carries_beacons,
        }
    }

    async fn plan_of_version(&self, version: Option<u64>) -> Option<Rc<[u8]>> {
        let kept = self.world.kept_plan(self.process);
        let wanted = match (self.world.layout, kept, version) {
            (_, Some((kept, bytes, _)), Some(wanted)) if kept == wanted => return Some(bytes),
            (Layout::Shared, Some((_, bytes, _)), None) => return Some(bytes),
            (Layout::Shared, None, None) => self.world.newest_plan()?,
            (_, _, Some(wanted)) => wanted,
            (Layout::Sharded, kept, None) => {
                let fresh = kept.filter(|kept| self.world.clock.now_ms().saturating_sub(kept.2) < PLAN_FRESH_MS);
                if let Some((_, bytes, _)) = fresh {
                    return Some(bytes);
                }
                match self.plan_in_force().await {
                    Ok(Some(version)) => version,
                    _ => return self.world.kept_plan(self.process).map(|(_, bytes, _)| bytes),
                }
            }
        };
        let deadline_ms = self.settings.store_deadline_ms;
        let loading = async {
            self.world.clock.sleep(self.world.rng.below(4)).await;
            if self.world.is_cut_from_store(self.process) {
                self.world.clock.sleep(deadline_ms * 2).await;
            }
            Ok(self.world.stored_plan(wanted))
        };
        let bytes = store_call(self.world.clock.sleep(deadline_ms), deadline_ms, loading).await.ok().flatten()?;
        self.world.keep_plan(self.process, wanted, bytes.clone());
        Some(bytes)
    }

    /// Lets `work` be done by the shard of a viewer. The call may be lost, fail either side of its effect, or be done
    /// after nobody waits for it any more.
    async fn at_shard<T: 'static>(
        &self,
        bucket: u16,
        work: impl FnOnce(Self, StoreHandle) -> Answered<T> + 'static,
    ) -> Result<T, StoreError> {
        let world = &self.world;
        let (store, process) = world.shard_of(bucket);
        let (rng, faults) = (&world.rng, &world.faults);
        let (mut to_ms, mut back_ms) = (rng.below(4), rng.below(4));
        let hangs = world.is_cut_from_store(self.process) || faults.strikes(Fault::StoreHangs);
        let fails = faults.strikes(Fault::StoreFails);
        let fails_after = faults.strikes(Fault::StoreFailsAfter);
        if faults.strikes(Fault::StoreSlow) {
            to_ms += rng.below(600);
            back_ms += rng.below(300);
        }
        if faults.strikes(Fault::StoreLate) {
            to_ms += rng.between(600, 20_000);
        }
        if faults.strikes(Fault::CrashInCall) {
            let doomed = world.clone();
            let dies = if rng.chance(0.5) { process } else { self.process };
            world.clock.after(to_ms + rng.below(4), move || doomed.crash(dies));
        }
        let answer = world.clock.promise::<Result<T, StoreError>>();
        if !hangs {
            let (given, doing) = (answer.clone(), world.clone());
            world.clock.after(to_ms, move || {
                let refused = fails || !doing.is_up(process);
                let there = doing.clone();
                let handled = async move {
                    let outcome = if refused {
                        Err(StoreError::Failed("simulated".into()))
                    } else {
                        let shard = Self::new(&there, process, false);
                        let handle = StoreHandle::new(&there, store, process, true);
                        work(shard, handle).await
                    };
                    let outcome = if fails_after { Err(StoreError::Failed("simulated".into())) } else { outcome };
                    there.clock.clone().after(back_ms, move || given.give(outcome));
                };
                doing.clock.spawn(Owner::Process(process), handled);
            });
        }
        answer.await
    }

    /// What no edge does: decides as if the viewer were new, and sends the rows straight to the origin.
    async fn decide_degraded_and_capped(&self, asked: &Asked) -> Result<Vec<u8>, StoreError> {
        let bytes = self.plan_of_version(None).await;
        let plan = bytes.as_deref().and_then(|bytes| Plan::open(bytes).ok());
        let pod = decide(plan.as_ref(), &CapState::Known(Viewer::default()), &asked.occasion(&Auction::NotAsked));
        let response = answer(&pod, plan.as_ref(), asked, &self.settings.keys);
        let facts = facts(pod, Recording::Uncommitted);
        let batch = FactBatch { edge_id: self.settings.edge_id.clone(), facts };
        let text = serde_json::to_string(&batch).unwrap_or_default();
        self.post_facts(text, 300).await.map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(serde_json::to_vec(&response).unwrap_or_default())
    }

    /// What a known-bad variant makes of a claim that is gone.
    fn misjudge(&self, settling: &Settling, settled: &mut [Settled]) {
        for (outcome, (slot, transition)) in settled.iter_mut().zip(&settling.beacons) {
            let Transition::Confirm { at } = transition else { continue };
            let lease_ends = slot.opened_at().plus_ms(self.world.lease_ms);
            let is_expired = lease_ends <= settling.now.plus_ms(12 * MINUTE_MS);
            let is_kept = match self.world.broken {
                Some(Broken::ReleaseKeepsToken) => !is_expired,
                Some(Broken::ExpiredLeaseConfirmed) => is_expired,
                _ => false,
            };
            if *outcome == Settled::Gone && is_kept {
                *outcome = Settled::Confirmed { at: (*at).min(settling.now) };
            }
        }
    }

    async fn ship_from(&self, store: &StoreHandle) -> Result<Shipped, StoreError> {
        let deadline_ms = self.settings.origin_deadline_ms;
        let post = async |batch| self.post_facts(batch, deadline_ms).await;
        if self.world.broken == Some(Broken::AckBeforePost) {
            let entries = store.outbox().await?;
            let Some(last) = entries.last() else { return Ok(Shipped { shipped: 0, left: 0 }) };
            let left = store.acknowledge(last.sequence, self.now()).await?;
            let facts: Vec<&str> = entries.iter().map(|entry| entry.facts.trim_matches(['[', ']'])).collect();
            let batch = format!(r#"{{"edge_id":"x","facts":[{}]}}"#, facts.join(","));
            post(batch).await.map_err(|error| StoreError::Failed(error.to_string()))?;
            return Ok(Shipped { shipped: entries.len() as u64, left });
        }
        ship(store, &self.settings, self.now(), post).await
    }
}

/// No auction is simulated.
async fn no_auction(_left: &[Left]) -> Auction {
    Auction::NotAsked
}

/// Ships loads of a shard's outbox until it is empty; what the alarm of a shard does.
pub async fn ship_shard(world: Rc<World>, store: usize, process: usize) {
    let mut pause_ms = 250;
    while world.stores[store].outbox_len() > 0 {
        let shard = Edge::new(&world, process, false);
        let handle = StoreHandle::new(&world, store, process, true);
        if shard.ship_from(&handle).await.is_ok() {
            pause_ms = 250;
        } else {
            world.clock.sleep(pause_ms).await;
            pause_ms = (pause_ms * 2).min(MINUTE_MS);
        }
    }
    world.outbox_is_empty(store);
}

impl Platform for Edge {
    const NAME: &'static str = "simulation";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn now(&self) -> UnixMillis {
        self.world.clock_of(self.process)
    }

    async fn wait_ms(&self, ms: u64) {
        self.world.clock.sleep(ms).await;
    }

    async fn plan(&self, version: Option<u64>) -> Option<Rc<[u8]>> {
        self.plan_of_version(version).await
    }

    async fn store_plan(&self, version: u64, bytes: &[u8]) -> Result<PlanStored, StoreError> {
        let is_sound = self.world.broken != Some(Broken::PlanOlderWins);
        match self.plan_in_force().await? {
            Some(current) if current > version && is_sound => return Ok(PlanStored::Older { current }),
            Some(current) if current == version => return Ok(PlanStored::AlreadyCurrent),
            _ => {}
        }
        self.world.clock.sleep(self.world.rng.below(20)).await;
        self.world.store_plan(version, bytes.into());
        self.store.query(sql::PUT_PLAN_IN_FORCE, vec![Value::Integer(version)]).await?;
        let current = self.plan_in_force().await?.unwrap_or_default();
        if current > version {
            return Ok(PlanStored::Older { current });
        }
        self.world.set_newest_plan(version);
        Ok(PlanStored::Stored)
    }

    async fn plan_in_force(&self) -> Result<Option<u64>, StoreError> {
        Ok(first_number(&self.store.query(sql::PLAN_IN_FORCE, vec![]).await?))
    }

    async fn decide_at_store(&self, asked: &Asked) -> Result<Vec<u8>, StoreError> {
        let decided = match self.world.layout {
            Layout::Shared => {
                decide_at(&self.store, async |version| self.plan(version).await, no_auction, &self.settings, asked)
                    .await
            }
            Layout::Sharded => {
                let there = asked.clone();
                let decide_there = move |shard: Self, store: StoreHandle| -> Answered<Vec<u8>> {
                    Box::pin(async move {
                        decide_at(
                            &store,
                            async |version| shard.plan(version).await,
                            no_auction,
                            &shard.settings,
                            &there,
                        )
                        .await
                    })
                };
                self.at_shard(asked.viewer.bucket(), decide_there).await
            }
        };
        match decided {
            Err(_) if self.world.broken == Some(Broken::DegradedFillCapped) => {
                self.decide_degraded_and_capped(asked).await
            }
            decided => decided,
        }
    }

    async fn settle_at_store(&self, settling: &Settling) -> Result<Vec<Settled>, StoreError> {
        let mut settled = match (self.world.layout, settling.beacons.first()) {
            (Layout::Sharded, Some((slot, _))) => {
                let there = settling.clone();
                let settle_there = move |_: Self, store: StoreHandle| -> Answered<Vec<Settled>> {
                    Box::pin(async move { settle_at(&store, &there).await })
                };
                self.at_shard(slot.bucket(), settle_there).await?
            }
            _ => settle_at(&self.store, settling).await?,
        };
        self.misjudge(settling, &mut settled);
        Ok(settled)
    }

    async fn forget_at_store(&self, viewer: ViewerKey) -> Result<(), StoreError> {
        match self.world.layout {
            Layout::Shared => self.store.forget(viewer, self.now()).await,
            Layout::Sharded => {
                let forget_there = move |shard: Self, store: StoreHandle| -> Answered<()> {
                    Box::pin(async move { store.forget(viewer, shard.now()).await })
                };
                self.at_shard(viewer.bucket(), forget_there).await
            }
        }
    }

    async fn post_facts(&self, batch: String, deadline_ms: u64) -> Result<(), OriginError> {
        let posted = self.world.post_to_origin(self.process, batch);
        if self.carries_beacons && self.world.broken == Some(Broken::BeaconAckBeforeDurable) {
            return Ok(());
        }
        let late = || Err(OriginError(format!("no answer within {deadline_ms} ms")));
        within(self.world.clock.sleep(deadline_ms), posted).await.unwrap_or_else(late)
    }

    async fn ship_outbox(&self) -> Option<Result<Shipped, StoreError>> {
        match self.world.layout {
            Layout::Shared => Some(self.ship_from(&self.store).await),
            Layout::Sharded => None,
        }
    }

    fn store_trips(&self) -> Vec<(&'static str, u32)> {
        vec![("sqlite", self.store.trips())]
    }
}
