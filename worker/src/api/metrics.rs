//! `GET /metrics`: how the origin is, for Prometheus, in the OpenMetrics text format. What each means, and when to be called, is in
//! `docs/operations.md`.
//!
//! Counters are kept where things happen; everything else is read when it is asked for.

use std::{fmt, sync::atomic::AtomicU64};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

use super::Api;
use crate::error::ApiError;

/// What OpenMetrics text is.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PREFIX: &str = "slotkeeper";

/// What the collector counts. Cheap to clone; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct CollectorMetrics {
    batches: Family<BatchLabels, Counter>,
    facts: Counter,
    bytes: Counter,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchOutcome {
    /// It is durable.
    Accepted,
    /// It was not what a batch must be, or its sender may not send it: it is not in the log.
    Refused,
    /// The log had no room, or could not be written: its sender tries again.
    Busy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BatchLabels {
    outcome: BatchOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EdgeLabels {
    edge: String,
}

type Unsigned = Gauge<u64, AtomicU64>;

impl EncodeLabelValue for BatchOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Busy => "busy",
        }
        .encode(encoder)
    }
}

impl CollectorMetrics {
    /// Counts a batch of so many facts and bytes that is durable now.
    pub fn accepted(&self, facts: usize, bytes: usize) {
        self.count(BatchOutcome::Accepted);
        self.facts.inc_by(facts as u64);
        self.bytes.inc_by(bytes as u64);
    }

    /// Counts a batch.
    pub fn count(&self, outcome: BatchOutcome) {
        self.batches.get_or_create(&BatchLabels { outcome }).inc();
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "collector_batches",
            "Batches of facts that came, by what became of them",
            self.batches.clone(),
        );
        registry.register("collector_facts", "Facts made durable, duplicates included", self.facts.clone());
        registry.register("collector_bytes", "Bytes of batches made durable", self.bytes.clone());
    }
}

pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let mut text = String::new();
    encode(&mut text, &registry(&api)).map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

fn registry(api: &Api) -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register("build", "What runs", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
    api.collector.register(&mut registry);
    fold(api, &mut registry);
    trackers(api, &mut registry);
    edges(api, &mut registry);
    registry
}

fn fold(api: &Api, registry: &mut Registry) {
    let logged = *api.durable_seq.borrow();
    let fold = api.fold.borrow().clone();
    gauge(registry, "log_entries", "The log's last entry", logged);
    gauge(
        registry,
        "fold_lag_entries",
        "Entries of the log that are not folded yet",
        logged.saturating_sub(fold.consumed_seq),
    );
    gauge(registry, "fold_failing", "1 while the fold does not go on", u64::from(fold.error.is_some()));
}

fn trackers(api: &Api, registry: &mut Registry) {
    let Some(trackers) = &api.trackers else { return };
    let trackers = trackers.borrow().clone();
    let lag = api.durable_seq.borrow().saturating_sub(trackers.offset);
    gauge(registry, "trackers_lag_entries", "Entries of the log that no vendor was called for yet", lag);
    gauge(registry, "trackers_queued", "Calls to vendors that wait", trackers.queued);
    gauge(registry, "trackers_failing", "1 while no more is read", u64::from(trackers.error.is_some()));
}

fn edges(api: &Api, registry: &mut Registry) {
    let (up, seen, plan) =
        <(Family<EdgeLabels, Gauge>, Family<EdgeLabels, Unsigned>, Family<EdgeLabels, Unsigned>)>::default();
    for edge in api.edges_seen.all() {
        let labels = EdgeLabels { edge: edge.name };
        up.get_or_create(&labels).set(i64::from(edge.health.is_some() && edge.error.is_none()));
        seen.get_or_create(&labels).set(edge.seen_at_ms.map_or(0, |at| at.0 / 1000));
        plan.get_or_create(&labels).set(edge.health.and_then(|health| health.plan_version).unwrap_or(0));
    }
    registry.register("edge_up", "1 if the edge answered when it was last asked", up);
    registry.register("edge_seen_timestamp_seconds", "When the edge last answered; 0 is never", seen);
    registry.register("edge_plan_version", "The plan that the edge decides from; 0 is none", plan);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Unsigned::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counted_by_what_became_of_them() {
        let (collector, mut registry) = (CollectorMetrics::default(), Registry::with_prefix(PREFIX));
        collector.clone().register(&mut registry);
        collector.accepted(7, 900);
        collector.accepted(3, 100);
        collector.count(BatchOutcome::Busy);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "slotkeeper_collector_batches_total{outcome=\"accepted\"} 2",
            "slotkeeper_collector_batches_total{outcome=\"busy\"} 1",
            "slotkeeper_collector_facts_total 10",
            "slotkeeper_collector_bytes_total 1000",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }
}
