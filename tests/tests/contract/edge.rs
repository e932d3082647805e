//! An edge under test with its collector, and the calls that tests make.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::Value;
use slotkeeper_core::{
    api::{BreakRequest, BreakResponse, SlotOutcome},
    beacon::{Batch, Beacon, Event},
    fact::Recording,
    keys::Purpose,
    plan::{FlightSource, TitleSource},
    pod::{Opportunity, UnfilledReason},
};
use tempfile::TempDir;

use crate::{collector::Collector, openapi, world};

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What goes wrong with the store that holds the caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// Every call fails at once.
    Error,
    /// No call ends within any budget.
    Hang,
    /// The next commit takes effect and then says that it failed.
    NextCommitIsAmbiguous,
}

/// A runtime that runs the edge.
pub(crate) trait Runtime: Sized + Send + Sync + 'static {
    /// The header in which the platform says the client's address.
    const CLIENT_ADDRESS: &'static str;
    /// Starts the edge with these settings over what `folder` holds.
    fn start(settings: &[(String, String)], folder: &std::path::Path) -> impl Future<Output = Self> + Send;
    /// One request.
    fn send(&self, request: Request<Bytes>) -> impl Future<Output = Response<Bytes>> + Send;
    /// From now on the store of the caps fails so; `None` heals it.
    fn strike(&self, fault: Option<StoreFault>) -> impl Future<Output = ()> + Send;
    /// Ends it as a power cut would.
    fn kill(self) -> impl Future<Output = ()> + Send;
}

/// The edge, its collector, its folder.
pub(crate) struct Edge<R> {
    pub(crate) runtime: R,
    pub(crate) collector: Collector,
    settings: Vec<(String, String)>,
    folder: TempDir,
    plan_version: AtomicU64,
}

impl<R: Runtime> Edge<R> {
    pub(crate) async fn start() -> Self {
        Self::start_with_settings(&[]).await
    }

    /// Starts the edge with some settings of the test's own.
    pub(crate) async fn start_with_settings(own: &[(&str, &str)]) -> Self {
        let collector = Collector::start().await;
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&collector);
        for (name, value) in &mut settings {
            if let Some((_, own)) = own.iter().find(|(own, _)| own == name) {
                (*own).clone_into(value);
            }
        }
        let runtime = R::start(&settings, folder.path()).await;
        Self { runtime, collector, settings, folder, plan_version: AtomicU64::new(0) }
    }

    /// Starts the edge in a way of the test's own.
    pub(crate) async fn start_with(start: impl FnOnce(&[(String, String)], &std::path::Path) -> R) -> Self {
        let collector = Collector::start().await;
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&collector);
        let runtime = start(&settings, folder.path());
        Self { runtime, collector, settings, folder, plan_version: AtomicU64::new(0) }
    }

    /// Kills the edge and starts it again over the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.runtime.kill().await;
        let runtime = R::start(&self.settings, self.folder.path()).await;
        Self { runtime, ..self }
    }

    /// Kills the edge and starts it again over the same folder with some settings of the test's own.
    pub(crate) async fn reconfigured(mut self, own: &[(&str, &str)]) -> Self {
        for (name, value) in own {
            self.settings.retain(|(known, _)| known != name);
            self.settings.push(((*name).to_owned(), (*value).to_owned()));
        }
        self.restart().await
    }

    /// Sends a request and holds the response against the published description.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        self.call_from(&[], method, path, bearer, body).await
    }

    /// The same from a client whose address the platform says.
    pub(crate) async fn call_from(
        &self,
        addresses: &[&str],
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let headers: Vec<_> = addresses.iter().map(|address| (R::CLIENT_ADDRESS, *address)).collect();
        self.call_with(&headers, method, path, bearer, body).await
    }

    /// The same with headers of the test's own.
    pub(crate) async fn call_with(
        &self,
        headers: &[(&str, &str)],
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method.clone()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let response = self.runtime.send(request.body(body.into()).unwrap()).await;
        openapi::check(&method, path, &response);
        response
    }

    /// Puts a plan of these flights in force.
    pub(crate) async fn publish(&self, flights: Vec<FlightSource>) {
        self.publish_with(vec![], flights).await;
    }

    /// The same, with more titles than those there always are.
    pub(crate) async fn publish_with(&self, titles: Vec<TitleSource>, flights: Vec<FlightSource>) {
        let version = self.plan_version.fetch_add(1, Relaxed) + 1;
        let response = self.put_plan(world::plan_with(version, titles, flights, &world::keys())).await;
        assert_eq!(response.status(), 200, "{:?}", response.body());
        // A worker may decide from the plan it has for another second; a test does not want to wait for chance.
        self.until("the plan is in force", async || {
            let health = self.call(Method::GET, "/healthz", None, "").await;
            json(&health)["plan_version"] == version
        })
        .await;
    }

    pub(crate) async fn put_plan(&self, plan: Vec<u8>) -> Response<Bytes> {
        let bearer = world::keys().bearer(Purpose::Admin);
        self.call(Method::PUT, "/v1/plan", Some(&bearer), plan).await
    }

    /// Asks for a break.
    pub(crate) async fn ask(&self, request: &BreakRequest) -> Response<Bytes> {
        let body = serde_json::to_vec(request).unwrap();
        self.call(Method::POST, "/v1/breaks", None, body).await
    }

    /// Asks for a break that must be answered.
    pub(crate) async fn open(&self, request: &BreakRequest) -> BreakResponse {
        let response = self.ask(request).await;
        assert_eq!(response.status(), 200, "{:?}", response.body());
        serde_json::from_slice(response.body()).unwrap()
    }

    /// Posts a batch of beacons.
    pub(crate) async fn report(&self, session_id: &str, beacons: &[(&str, Event)]) -> Response<Bytes> {
        let beacons =
            beacons.iter().map(|(token, event)| Beacon { token, event: *event, age_ms: 40, detail: None }).collect();
        let batch = Batch { session_id, sequence: 1, lost: 0, beacons };
        self.call(Method::POST, "/v1/beacons", None, batch.to_text()).await
    }

    /// Asks the edge to ship its outbox; one that ships by itself says so.
    pub(crate) async fn ship(&self) -> Response<Bytes> {
        let bearer = world::keys().bearer(Purpose::Admin);
        self.call(Method::POST, "/v1/outbox/ship", Some(&bearer), "").await
    }

    /// The rows at the collector once there are `count` different ones, sorted by id; duplicates must be equal.
    pub(crate) async fn rows(&self, count: usize) -> Vec<(Recording, Opportunity)> {
        let mut changes = self.collector.changes();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let rows = self.distinct_rows();
                if rows.len() >= count {
                    return rows;
                }
                self.ship().await;
                let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
            }
        });
        let rows = waited.await.unwrap_or_else(|_| {
            panic!("{count} rows expected, {} came within {PATIENCE:?}", self.distinct_rows().len())
        });
        assert_eq!(rows.len(), count, "more rows than slots");
        rows
    }

    fn distinct_rows(&self) -> Vec<(Recording, Opportunity)> {
        let mut rows = self.collector.rows();
        rows.sort_by_key(|(recording, row)| (row.opportunity_id, *recording == Recording::Committed));
        rows.dedup();
        let mut ids: Vec<_> = rows.iter().map(|(_, row)| row.opportunity_id).collect();
        ids.dedup();
        assert_eq!(ids.len(), rows.len(), "two different rows for one slot: {rows:#?}");
        rows
    }

    /// Waits until `holds` does.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(waited.await.is_ok(), "within {PATIENCE:?}: {what}");
    }
}

fn settings(collector: &Collector) -> Vec<(String, String)> {
    let origin = format!("http://{}", collector.address);
    let settings = [
        ("keys", world::KEYS),
        ("pseudonym_key", world::PSEUDONYM_KEY),
        ("origin_url", &origin),
        ("edge_id", "under-test"),
        ("demo_hls_url", "https://media.example/hls"),
        // Generous, because tests share two cores: what is tested is what happens, not how fast.
        ("store_deadline_ms", "5000"),
        ("decision_deadline_ms", "15000"),
        ("answer_deadline_ms", "25000"),
        ("origin_deadline_ms", "5000"),
        // No test sends that many by accident, and the one that means to says how many.
        ("requests_per_minute", "0"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// A response's JSON.
pub(crate) fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).expect("JSON")
}

/// Each slot as the ad that filled it, or the reason why none did.
pub(crate) fn outcomes(response: &BreakResponse) -> Vec<Result<u32, UnfilledReason>> {
    let outcome = |slot: &slotkeeper_core::api::SlotResponse| match &slot.outcome {
        SlotOutcome::Filled { ad, .. } => Ok(ad.ad_id.0),
        SlotOutcome::Unfilled { unfilled_reason } => Err(*unfilled_reason),
    };
    response.slots.iter().map(outcome).collect()
}

/// The tokens of the filled slots.
pub(crate) fn tokens(response: &BreakResponse) -> Vec<String> {
    let token = |slot: &slotkeeper_core::api::SlotResponse| match &slot.outcome {
        SlotOutcome::Filled { token, .. } => Some(token.clone()),
        SlotOutcome::Unfilled { .. } => None,
    };
    response.slots.iter().filter_map(token).collect()
}
