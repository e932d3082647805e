//! Clock, plan, origin and store on Spin.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http_body_util::BodyExt as _;
use slotkeeper_core::{caps::Settled, id::ViewerKey, keys::Purpose, plan::Plan, time::UnixMillis};
use slotkeeper_edge::{
    Platform, Settings,
    auction::{Outbound, auction, openrtb::Left},
    breaks::{Asked, decide_at},
    outbox::{Shipped, ship},
    platform::{OriginError, PlanStored, store_call, within},
    settings::SettingsError,
    settle::{Settling, settle_at},
    store::{Store as _, StoreError},
};
use spin_sdk::{
    http::{self, FullBody, IntoRequest as _},
    key_value, time, variables,
};

use crate::{
    redis::{Server, SpinRedis},
    sqlite::SpinSqlite,
    store::SpinStore,
};

/// Holds the version of the newest plan, for when the store cannot say which is in force.
const NEWEST_PLAN: &str = "plan/newest";

thread_local! {
    /// Variables do not change while an instance lives.
    static DEPLOYMENT: RefCell<Option<Rc<Deployment>>> = const { RefCell::new(None) };
    /// The plan decided from last, by version.
    static PLAN: RefCell<Option<(u64, Rc<[u8]>)>> = const { RefCell::new(None) };
}

/// What a deployment chooses.
pub(crate) struct Deployment {
    /// What every platform has.
    pub(crate) settings: Settings,
    /// `store`: `sqlite`, which needs no more to be said, or `redis`.
    redis: Option<Rc<Server>>,
}

/// The deployment, read once an instance.
pub(crate) async fn deployment() -> Result<Rc<Deployment>, SettingsError> {
    if let Some(deployment) = DEPLOYMENT.with_borrow(Clone::clone) {
        return Ok(deployment);
    }
    let mut values = Vec::new();
    for name in Settings::NAMES.into_iter().chain(["store"]).chain(Server::NAMES) {
        values.push((name, variable(name).await?));
    }
    let value_of = |name| values.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.clone());
    let redis = match value_of("store").as_deref().map(str::trim) {
        None | Some("" | "sqlite") => None,
        Some("redis") => Some(Rc::new(Server::read(value_of)?)),
        Some(_) => return Err(SettingsError::Invalid { name: "store", expected: "must be sqlite or redis" }),
    };
    let deployment = Rc::new(Deployment { settings: Settings::read(value_of)?, redis });
    DEPLOYMENT.set(Some(deployment.clone()));
    Ok(deployment)
}

/// A variable, if it is given. One that cannot be read might say otherwise than its default, such as where the claims are.
async fn variable(name: &'static str) -> Result<Option<String>, SettingsError> {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value)),
        Err(variables::Error::Undefined(_)) => Ok(None),
        Err(_) => Err(SettingsError::Invalid { name, expected: "could not be read" }),
    }
}

pub(crate) fn now() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// One request on Spin.
pub(crate) struct Spin {
    deployment: Rc<Deployment>,
    store: SpinStore,
    key_value_trips: Cell<u32>,
}

impl Spin {
    pub(crate) fn new(deployment: Rc<Deployment>) -> Self {
        let deadline_ms = deployment.settings.store_deadline_ms;
        let store = match &deployment.redis {
            None => SpinStore::Sqlite(SpinSqlite::new(deadline_ms)),
            Some(server) => SpinStore::Redis(SpinRedis::new(server.clone(), deadline_ms)),
        };
        Self { deployment, store, key_value_trips: Cell::new(0) }
    }

    /// The plan to decide from.
    ///
    /// Where nodes share a store, a plan may be in force whose bytes have not come to this node yet. Until they do, it
    /// decides from the newest that it has, which says itself how long it is valid.
    async fn plan_or_newest(&self, version: Option<u64>) -> Option<Rc<[u8]>> {
        match self.plan(version).await {
            None if self.deployment.redis.is_some() => self.plan(None).await,
            plan => plan,
        }
    }

    /// Opens Spin's key-value store and counts the trip that follows.
    async fn plans(&self) -> Result<key_value::Store, StoreError> {
        self.key_value_trips.set(self.key_value_trips.get() + 1);
        key_value::Store::open_default().await.map_err(failed)
    }

    async fn load_plan(&self, version: Option<u64>) -> Result<Option<Rc<[u8]>>, StoreError> {
        let plans = self.plans().await?;
        let version = match version {
            Some(version) => version,
            None => match plans.get(NEWEST_PLAN).await.map_err(failed)?.map(String::from_utf8) {
                Some(Ok(text)) => text.parse().map_err(failed)?,
                _ => return Ok(None),
            },
        };
        let Some(bytes) = plans.get(plan_key(version)).await.map_err(failed)? else { return Ok(None) };
        if Plan::open(&bytes).map(|plan| plan.version()) != Ok(version) {
            return Ok(None);
        }
        let bytes: Rc<[u8]> = bytes.into();
        PLAN.set(Some((version, bytes.clone())));
        Ok(Some(bytes))
    }

    /// Forgets the plans before `version`. Nothing depends on it, so a failure waits for the next plan.
    async fn forget_plans_before(&self, plans: &key_value::Store, version: u64) {
        let Ok(keys) = plans.get_keys().await.collect().await else { return };
        for key in keys {
            let old = key.strip_prefix("plan/").and_then(|text| text.parse::<u64>().ok()).is_some_and(|v| v < version);
            if old {
                let _ = plans.delete(&key).await;
            }
        }
    }
}

impl Platform for Spin {
    const NAME: &'static str = "spin";

    fn settings(&self) -> &Settings {
        &self.deployment.settings
    }

    fn now(&self) -> UnixMillis {
        now()
    }

    async fn wait_ms(&self, ms: u64) {
        time::sleep(Duration::from_millis(ms)).await;
    }

    async fn plan(&self, version: Option<u64>) -> Option<Rc<[u8]>> {
        let kept = PLAN.with_borrow(Clone::clone);
        match (kept, version) {
            (Some((kept, bytes)), Some(wanted)) if kept == wanted => Some(bytes),
            (Some((_, bytes)), None) => Some(bytes),
            _ => {
                let deadline_ms = self.settings().store_deadline_ms;
                store_call(self.wait_ms(deadline_ms), deadline_ms, self.load_plan(version)).await.ok().flatten()
            }
        }
    }

    async fn store_plan(&self, version: u64, bytes: &[u8]) -> Result<PlanStored, StoreError> {
        let before = self.store.plan_in_force().await?;
        let plans = self.plans().await?;
        match before {
            Some(current) if current > version => return Ok(PlanStored::Older { current }),
            // In force, but perhaps by another node: then the bytes are not here yet.
            Some(current) if current == version && plans.exists(plan_key(version)).await.map_err(failed)? => {
                return Ok(PlanStored::AlreadyCurrent);
            }
            _ => {}
        }
        // The bytes first, then the pointer that decisions follow: a crash in between leaves bytes nobody asks for.
        plans.set(plan_key(version), bytes).await.map_err(failed)?;
        let current = self.store.put_plan_in_force(version).await?;
        if current > version {
            return Ok(PlanStored::Older { current });
        }
        plans.set(NEWEST_PLAN, version.to_string()).await.map_err(failed)?;
        // The plan before stays: a decision that began under it may still ask for it.
        self.forget_plans_before(&plans, before.unwrap_or_default()).await;
        Ok(PlanStored::Stored)
    }

    async fn plan_in_force(&self) -> Result<Option<u64>, StoreError> {
        self.store.plan_in_force().await
    }

    async fn decide_at_store(&self, asked: &Asked) -> Result<Vec<u8>, StoreError> {
        let plan = async |version| self.plan_or_newest(version).await;
        let offers = async |left: &[Left]| auction(asked, left, self.settings(), |ms| self.wait_ms(ms), send).await;
        decide_at(&self.store, plan, offers, self.settings(), asked).await
    }

    async fn settle_at_store(&self, settling: &Settling) -> Result<Vec<Settled>, StoreError> {
        settle_at(&self.store, settling).await
    }

    async fn forget_at_store(&self, viewer: ViewerKey) -> Result<(), StoreError> {
        self.store.forget(viewer, self.now()).await
    }

    async fn post_facts(&self, batch: String, deadline_ms: u64) -> Result<(), OriginError> {
        let request = http::Request::<()>::post(format!("{}/v1/facts", self.settings().origin_url))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.settings().keys.bearer(Purpose::Collector)))
            .body(FullBody::new(bytes::Bytes::from(batch)))
            .map_err(|error| OriginError(error.to_string()))?
            .into_request()
            .map_err(|error| OriginError(format!("{error:?}")))?;
        match within(self.wait_ms(deadline_ms), http::send(request)).await {
            None => Err(OriginError(format!("no answer within {deadline_ms} ms"))),
            Some(Err(error)) => Err(OriginError(format!("{error:?}"))),
            Some(Ok(response)) if response.status().as_u16() == 202 => Ok(()),
            Some(Ok(response)) => Err(OriginError(format!("it answered {}", response.status()))),
        }
    }

    async fn ship_outbox(&self) -> Option<Result<Shipped, StoreError>> {
        // The origin empties the outboxes in Redis by itself.
        let SpinStore::Sqlite(sqlite) = &self.store else { return None };
        let deadline_ms = self.settings().origin_deadline_ms;
        let post = async |batch| self.post_facts(batch, deadline_ms).await;
        Some(ship(sqlite, self.settings(), self.now(), post).await)
    }

    fn store_trips(&self) -> Vec<(&'static str, u32)> {
        vec![self.store.trips(), ("key-value", self.key_value_trips.get())]
    }
}

/// Sends a request to neither store nor origin; the body of its answer, empty for a 204.
async fn send(outbound: Outbound) -> Result<Vec<u8>, String> {
    let request = match outbound.body {
        Some(body) => http::Request::<()>::post(outbound.url)
            .header("content-type", "application/json")
            .header("x-openrtb-version", "2.6")
            .body(FullBody::new(bytes::Bytes::from(body))),
        None => http::Request::<()>::get(outbound.url).body(FullBody::new(bytes::Bytes::new())),
    };
    let request = request.map_err(|error| error.to_string())?.into_request().map_err(|error| format!("{error:?}"))?;
    let response = http::send(request).await.map_err(|error| format!("{error:?}"))?;
    match response.status().as_u16() {
        204 => return Ok(Vec::new()),
        200 => {}
        status => return Err(format!("it answered {status}")),
    }
    let (mut incoming, mut body) = (response.into_body(), Vec::new());
    while let Some(frame) = incoming.frame().await {
        body.extend_from_slice(&frame.map_err(|error| format!("{error:?}"))?.into_data().unwrap_or_default());
        if body.len() > outbound.bytes_max {
            return Err(format!("its answer is longer than {} bytes", outbound.bytes_max));
        }
    }
    Ok(body)
}

fn plan_key(version: u64) -> String {
    format!("plan/{version}")
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}
