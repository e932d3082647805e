//! Clock, plan, origin and store on Cloudflare-style workers.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use futures_util::StreamExt as _;
use slotkeeper_core::{caps::Settled, id::ViewerKey, keys::Purpose, plan::Plan, time::UnixMillis};
use slotkeeper_edge::{
    Platform, Settings,
    auction::Outbound,
    breaks::Asked,
    outbox::Shipped,
    platform::{OriginError, PlanStored, store_call, within},
    settings::SettingsError,
    settle::Settling,
    store::StoreError,
};
use worker::{
    Date, Delay, Env, Fetch, Headers, Method, Request, RequestInit, RequestRedirect, Response, Result,
    js_sys::Uint8Array,
};

/// How long a worker decides from its plan before it asks whether there is a newer one.
const PLAN_FRESH_MS: u64 = 1_000;
/// How many shards viewers are spread over, unless `SLOTKEEPER_SHARDS` says otherwise. It must never change: a viewer
/// in another shard is a viewer without claims.
const SHARDS_DEFAULT: u32 = 64;
const SHARDS_MAX: u32 = 1 << 16;

/// The header in which a shard tells how often it asked the plan keeper for one answer.
pub(crate) const PLAN_TRIPS: &str = "x-plan-trips";

/// What this isolate last heard from the plan keeper.
#[derive(Clone)]
struct Kept {
    /// The plan in force; `None` if there was none.
    plan: Option<(u64, Rc<[u8]>)>,
    checked_at: UnixMillis,
}

/// What a deployment chooses.
pub(crate) struct Deployment {
    /// What every platform has.
    pub(crate) settings: Settings,
    /// How many shards viewers are spread over.
    shards: u32,
}

thread_local! {
    /// Bindings do not change while an isolate lives.
    static DEPLOYMENT: RefCell<Option<Rc<Deployment>>> = const { RefCell::new(None) };
    /// Shared by the worker and the objects of this isolate.
    static PLAN: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// The deployment, read once an isolate. The binding of `edge_id` is `SLOTKEEPER_EDGE_ID`, and so on.
pub(crate) fn deployment(env: &Env) -> std::result::Result<Rc<Deployment>, SettingsError> {
    if let Some(deployment) = DEPLOYMENT.with_borrow(Clone::clone) {
        return Ok(deployment);
    }
    let settings = Settings::read(|name| binding(env, name))?;
    let shards = match binding(env, "shards").filter(|text| !text.trim().is_empty()) {
        None => SHARDS_DEFAULT,
        Some(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|shards| (1..=SHARDS_MAX).contains(shards))
            .ok_or(SettingsError::Invalid { name: "shards", expected: "must be a whole number from 1 to 65536" })?,
    };
    let deployment = Rc::new(Deployment { settings, shards });
    DEPLOYMENT.set(Some(deployment.clone()));
    Ok(deployment)
}

fn binding(env: &Env, name: &str) -> Option<String> {
    let name = format!("SLOTKEEPER_{}", name.to_ascii_uppercase());
    env.var(&name).map(|value| value.to_string()).ok()
}

pub(crate) fn now() -> UnixMillis {
    UnixMillis(Date::now().as_millis())
}

pub(crate) async fn wait_ms(ms: u64) {
    Delay::from(Duration::from_millis(ms)).await;
}

/// Posts facts to the origin; both the worker and the shards do.
pub(crate) async fn post_facts(
    settings: &Settings,
    batch: &str,
    deadline_ms: u64,
) -> std::result::Result<(), OriginError> {
    let failed = |error: worker::Error| OriginError(error.to_string());
    let url = format!("{}/v1/facts", settings.origin_url);
    let headers = Headers::new();
    headers.set("content-type", "application/json").map_err(failed)?;
    let bearer = format!("Bearer {}", settings.keys.bearer(Purpose::Collector));
    headers.set("authorization", &bearer).map_err(failed)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_headers(headers).with_body(Some(batch.into()));
    let request = Request::new_with_init(&url, &init).map_err(failed)?;
    match within(wait_ms(deadline_ms), Fetch::Request(request).send()).await {
        None => Err(OriginError(format!("no answer within {deadline_ms} ms"))),
        Some(Err(error)) => Err(failed(error)),
        Some(Ok(response)) if response.status_code() == 202 => Ok(()),
        Some(Ok(response)) => Err(OriginError(format!("it answered {}", response.status_code()))),
    }
}

/// Sends a request to neither store nor origin; the body of its answer, empty for a 204.
pub(crate) async fn send(outbound: Outbound) -> std::result::Result<Vec<u8>, String> {
    let failed = |error: worker::Error| error.to_string();
    let mut init = RequestInit::new();
    if let Some(body) = &outbound.body {
        let headers = Headers::new();
        headers.set("content-type", "application/json").map_err(failed)?;
        headers.set("x-openrtb-version", "2.6").map_err(failed)?;
        init.with_method(Method::Post).with_headers(headers).with_body(Some(body.as_str().into()));
    }
    init.with_redirect(RequestRedirect::Manual);
    let request = Request::new_with_init(&outbound.url, &init).map_err(failed)?;
    let mut response = Fetch::Request(request).send().await.map_err(failed)?;
    match response.status_code() {
        204 => return Ok(Vec::new()),
        200 => {}
        status => return Err(format!("it answered {status}")),
    }
    let (mut stream, mut body) = (response.stream().map_err(failed)?, Vec::new());
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk.map_err(failed)?);
        if body.len() > outbound.bytes_max {
            return Err(format!("its answer is longer than {} bytes", outbound.bytes_max));
        }
    }
    Ok(body)
}

/// The plan: what this isolate has if it is fresh, else what the plan keeper has; and while the keeper cannot be asked,
/// still what this isolate has, which is valid for as long as it says. Counts the calls it makes.
pub(crate) async fn plan(
    env: &Env,
    deadline_ms: u64,
    trips: &Cell<u32>,
) -> std::result::Result<Option<Rc<[u8]>>, StoreError> {
    let kept = PLAN.with_borrow(Clone::clone);
    if let Some(kept) = &kept
        && now().0.abs_diff(kept.checked_at.0) < PLAN_FRESH_MS
    {
        return Ok(kept.plan.as_ref().map(|(_, bytes)| bytes.clone()));
    }
    trips.set(trips.get() + 1);
    let have = kept.and_then(|kept| kept.plan).map_or(0, |(version, _)| version);
    let asked = store_call(wait_ms(deadline_ms), deadline_ms, newer_plan(env, have)).await;
    // What another request of this isolate has heard meanwhile stays, unless this is newer still.
    PLAN.with_borrow_mut(|kept| {
        let known = kept.take().and_then(|kept| kept.plan);
        let (newer, checked_at) = match asked {
            Ok(newer) => (newer, Some(now())),
            Err(error) if known.is_none() => return Err(error),
            Err(_) => (None, None),
        };
        let plan = match (known, newer) {
            (Some(known), Some(newer)) if newer.0 <= known.0 => Some(known),
            (known, newer) => newer.or(known),
        };
        let bytes = plan.as_ref().map(|(_, bytes)| bytes.clone());
        *kept = Some(Kept { plan, checked_at: checked_at.unwrap_or_default() });
        Ok(bytes)
    })
}

/// Asks the plan keeper for a plan newer than version `have`.
async fn newer_plan(env: &Env, have: u64) -> std::result::Result<Option<(u64, Rc<[u8]>)>, StoreError> {
    let mut response = call(env, "PLAN", "plan", &format!("/newer-than/{have}"), &[]).await.map_err(failed)?;
    match response.status_code() {
        200 => {
            let bytes: Rc<[u8]> = response.bytes().await.map_err(failed)?.into();
            let version = Plan::open(&bytes).map_err(failed)?.version();
            Ok(Some((version, bytes)))
        }
        204 => Ok(None),
        status => Err(failed(format!("the plan keeper answered {status}"))),
    }
}

/// One call to a Durable Object.
pub(crate) async fn call(env: &Env, binding: &str, name: &str, path: &str, body: &[u8]) -> Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(Uint8Array::from(body).into()));
    let request = Request::new_with_init(&format!("http://object{path}"), &init)?;
    env.durable_object(binding)?.get_by_name(name)?.fetch_with_request(request).await
}

pub(crate) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// One request at the worker that listens.
pub(crate) struct Cloudflare {
    env: Env,
    deployment: Rc<Deployment>,
    shard_trips: Cell<u32>,
    plan_trips: Cell<u32>,
}

impl Cloudflare {
    pub(crate) fn new(env: Env, deployment: Rc<Deployment>) -> Self {
        Self { env, deployment, shard_trips: Cell::new(0), plan_trips: Cell::new(0) }
    }

    /// The name of the object that a bucket of viewers is in.
    fn shard_of(&self, bucket: u16) -> String {
        format!("shard-{}", u32::from(bucket) % self.deployment.shards)
    }
}

impl Platform for Cloudflare {
    const NAME: &'static str = "cloudflare";

    fn settings(&self) -> &Settings {
        &self.deployment.settings
    }

    fn now(&self) -> UnixMillis {
        now()
    }

    async fn wait_ms(&self, ms: u64) {
        wait_ms(ms).await;
    }

    /// One plan is in force everywhere, so the version asked for makes no difference.
    async fn plan(&self, _version: Option<u64>) -> Option<Rc<[u8]>> {
        plan(&self.env, self.settings().store_deadline_ms, &self.plan_trips).await.ok().flatten()
    }

    async fn store_plan(&self, _version: u64, bytes: &[u8]) -> std::result::Result<PlanStored, StoreError> {
        let mut response = call(&self.env, "PLAN", "plan", "/put", bytes).await.map_err(failed)?;
        match response.status_code() {
            200 => Ok(PlanStored::Stored),
            208 => Ok(PlanStored::AlreadyCurrent),
            409 => {
                let current = response.text().await.map_err(failed)?;
                Ok(PlanStored::Older { current: current.parse().map_err(failed)? })
            }
            status => Err(failed(format!("the plan keeper answered {status}"))),
        }
    }

    async fn plan_in_force(&self) -> std::result::Result<Option<u64>, StoreError> {
        let bytes = plan(&self.env, self.settings().store_deadline_ms, &self.plan_trips).await?;
        Ok(bytes.and_then(|bytes| Plan::open(&bytes).ok().map(|plan| plan.version())))
    }

    async fn decide_at_store(&self, asked: &Asked) -> std::result::Result<Vec<u8>, StoreError> {
        let body = serde_json::to_vec(asked).map_err(failed)?;
        self.shard_trips.set(self.shard_trips.get() + 1);
        let mut response =
            call(&self.env, "SHARDS", &self.shard_of(asked.viewer.bucket()), "/decide", &body).await.map_err(failed)?;
        match response.status_code() {
            200 => {
                let plan_trips = response.headers().get(PLAN_TRIPS).ok().flatten();
                let plan_trips = plan_trips.and_then(|count| count.parse::<u32>().ok()).unwrap_or_default();
                self.plan_trips.set(self.plan_trips.get() + plan_trips);
                response.bytes().await.map_err(failed)
            }
            status => Err(failed(format!("the shard answered {status}"))),
        }
    }

    async fn settle_at_store(&self, settling: &Settling) -> std::result::Result<Vec<Settled>, StoreError> {
        let Some((slot, _)) = settling.beacons.first() else { return Ok(Vec::new()) };
        let body = serde_json::to_vec(settling).map_err(failed)?;
        self.shard_trips.set(self.shard_trips.get() + 1);
        let shard = self.shard_of(slot.bucket());
        let mut response = call(&self.env, "SHARDS", &shard, "/settle", &body).await.map_err(failed)?;
        match response.status_code() {
            200 => serde_json::from_slice(&response.bytes().await.map_err(failed)?).map_err(failed),
            status => Err(failed(format!("the shard answered {status}"))),
        }
    }

    async fn forget_at_store(&self, viewer: ViewerKey) -> std::result::Result<(), StoreError> {
        let body = serde_json::to_vec(&viewer).map_err(failed)?;
        self.shard_trips.set(self.shard_trips.get() + 1);
        let shard = self.shard_of(viewer.bucket());
        let response = call(&self.env, "SHARDS", &shard, "/forget", &body).await.map_err(failed)?;
        match response.status_code() {
            200 => Ok(()),
            status => Err(failed(format!("the shard answered {status}"))),
        }
    }

    async fn post_facts(&self, batch: String, deadline_ms: u64) -> std::result::Result<(), OriginError> {
        post_facts(self.settings(), &batch, deadline_ms).await
    }

    async fn ship_outbox(&self) -> Option<std::result::Result<Shipped, StoreError>> {
        None // every shard has an alarm of its own
    }

    fn store_trips(&self) -> Vec<(&'static str, u32)> {
        vec![("shard", self.shard_trips.get()), ("plan-keeper", self.plan_trips.get())]
    }
}
