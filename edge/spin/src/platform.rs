//! Clock, plan, origin and store on Spin.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use slotkeeper_core::{caps::Settled, keys::Purpose, plan::Plan, time::UnixMillis};
use slotkeeper_edge::{
    Platform, Settings,
    breaks::{Asked, decide_at},
    outbox::{Shipped, ship},
    platform::{OriginError, PlanStored, store_call, within},
    settings::SettingsError,
    settle::{Settling, settle_at},
    store::StoreError,
};
use spin_sdk::{
    http::{self, FullBody, IntoRequest as _},
    key_value, time, variables,
};

use crate::store::SpinSqlite;

/// Holds the version of the newest plan, for when the store cannot say which is in force.
const NEWEST_PLAN: &str = "plan/newest";

thread_local! {
    /// Variables do not change while an instance lives.
    static SETTINGS: RefCell<Option<Rc<Settings>>> = const { RefCell::new(None) };
    /// The plan decided from last, by version.
    static PLAN: RefCell<Option<(u64, Rc<[u8]>)>> = const { RefCell::new(None) };
}

/// The settings, read once an instance.
pub(crate) async fn settings() -> Result<Rc<Settings>, SettingsError> {
    if let Some(settings) = SETTINGS.with_borrow(Clone::clone) {
        return Ok(settings);
    }
    let mut values = Vec::new();
    for name in Settings::NAMES {
        values.push((name, variables::get(name).await.ok()));
    }
    let value_of = |name| values.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.clone());
    let settings = Rc::new(Settings::read(value_of)?);
    SETTINGS.set(Some(settings.clone()));
    Ok(settings)
}

/// One request on Spin.
pub(crate) struct Spin {
    settings: Rc<Settings>,
    sqlite: SpinSqlite,
    key_value_trips: Cell<u32>,
}

impl Spin {
    pub(crate) fn new(settings: Rc<Settings>) -> Self {
        let sqlite = SpinSqlite::new(settings.store_deadline_ms);
        Self { settings, sqlite, key_value_trips: Cell::new(0) }
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
        &self.settings
    }

    fn now(&self) -> UnixMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
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
                let deadline_ms = self.settings.store_deadline_ms;
                store_call(self.wait_ms(deadline_ms), deadline_ms, self.load_plan(version)).await.ok().flatten()
            }
        }
    }

    async fn store_plan(&self, version: u64, bytes: &[u8]) -> Result<PlanStored, StoreError> {
        let before = self.sqlite.plan_in_force().await?;
        match before {
            Some(current) if current > version => return Ok(PlanStored::Older { current }),
            Some(current) if current == version => return Ok(PlanStored::AlreadyCurrent),
            _ => {}
        }
        // The bytes first, then the pointer that decisions follow: a crash in between leaves bytes nobody asks for.
        let plans = self.plans().await?;
        plans.set(plan_key(version), bytes).await.map_err(failed)?;
        let current = self.sqlite.put_plan_in_force(version).await?;
        if current > version {
            return Ok(PlanStored::Older { current });
        }
        plans.set(NEWEST_PLAN, version.to_string()).await.map_err(failed)?;
        // The plan before stays: a decision that began under it may still ask for it.
        self.forget_plans_before(&plans, before.unwrap_or_default()).await;
        Ok(PlanStored::Stored)
    }

    async fn plan_in_force(&self) -> Result<Option<u64>, StoreError> {
        self.sqlite.plan_in_force().await
    }

    async fn decide_at_store(&self, asked: &Asked) -> Result<Vec<u8>, StoreError> {
        decide_at(&self.sqlite, async |version| self.plan(version).await, &self.settings, asked).await
    }

    async fn settle_at_store(&self, settling: &Settling) -> Result<Vec<Settled>, StoreError> {
        settle_at(&self.sqlite, settling).await
    }

    async fn post_facts(&self, batch: String, deadline_ms: u64) -> Result<(), OriginError> {
        let request = http::Request::<()>::post(format!("{}/v1/facts", self.settings.origin_url))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.settings.keys.bearer(Purpose::Collector)))
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
        let deadline_ms = self.settings.origin_deadline_ms;
        let post = async |batch| self.post_facts(batch, deadline_ms).await;
        Some(ship(&self.sqlite, &self.settings, self.now(), post).await)
    }

    fn store_trips(&self) -> Vec<(&'static str, u32)> {
        vec![("sqlite", self.sqlite.trips()), ("key-value", self.key_value_trips.get())]
    }
}

fn plan_key(version: u64) -> String {
    format!("plan/{version}")
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}
