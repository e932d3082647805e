//! The collector: takes batches of facts from the edges, and acknowledges them once they are durable.
//!
//! It checks who sends, the size and the shape, and nothing of the meaning: what a fact is worth is the fold's to say,
//! and a batch that is durable can be folded again under better rules.

use std::time::Duration;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use serde::Serialize;
use slotkeeper_core::{
    api::CALLER_ID_BYTES_MAX,
    fact::{BATCH_BYTES_MAX, BATCH_FACTS_MAX, FactBatch},
    keys::{Keyring, Purpose},
};

use crate::{
    api::metrics::{BatchOutcome, CollectorMetrics},
    clock,
    error::ApiError,
    log::{LogWriter, Received},
};

/// Where edges send their batches.
pub(crate) const PATH: &str = "/v1/facts";
/// How long an edge may take to send its batch.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The answer to a batch: how many of its facts are durable now, which is all of them.
#[derive(Debug, Serialize)]
pub struct Accepted {
    /// The number of facts in the batch.
    pub accepted: usize,
}

#[derive(Clone)]
struct Collector {
    keys: Keyring,
    log: LogWriter,
    metrics: CollectorMetrics,
}

/// `POST /v1/facts`.
pub fn routes(keys: Keyring, log: LogWriter, metrics: CollectorMetrics) -> Router {
    Router::new().route(PATH, post(collect)).with_state(Collector { keys, log, metrics })
}

async fn collect(
    State(collector): State<Collector>,
    request: Request,
) -> Result<(StatusCode, Json<Accepted>), ApiError> {
    let outcome = append(&collector, request).await;
    if let Err(error) = &outcome {
        collector.metrics.count(if error.is_busy() { BatchOutcome::Busy } else { BatchOutcome::Refused });
    }
    Ok((StatusCode::ACCEPTED, Json(Accepted { accepted: outcome? })))
}

/// Makes a batch durable; returns how many facts it holds.
async fn append(collector: &Collector, request: Request) -> Result<usize, ApiError> {
    authenticate(&collector.keys, request.headers())?;
    let place = collector
        .log
        .reserve()
        .ok_or_else(|| ApiError::busy("collector_busy", "the log's queue is full; send the batch again later"))?;
    let bytes = body(request.into_body()).await?;
    let (accepted, length) = (check(&bytes)?, bytes.len());
    if accepted > 0 {
        place
            .append(Received { at: clock::now(), bytes: bytes.into() })
            .await
            .map_err(|error| ApiError::busy("log_unavailable", error.to_string()))?;
    }
    collector.metrics.accepted(accepted, length);
    Ok(accepted)
}

fn authenticate(keys: &Keyring, headers: &HeaderMap) -> Result<(), ApiError> {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if sent.is_some_and(|bearer| keys.accepts_bearer(Purpose::Collector, bearer)) {
        return Ok(());
    }
    let message = "send `Authorization: Bearer …` with the collector's bearer of a key in force";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message))
}

async fn body(body: Body) -> Result<Bytes, ApiError> {
    let read = axum::body::to_bytes(body, BATCH_BYTES_MAX);
    let bytes = tokio::time::timeout(BODY_TIMEOUT, read).await.map_err(|_| {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "too_slow", format!("the batch took longer than {BODY_TIMEOUT:?}"))
    })?;
    bytes.map_err(|_| {
        let message = format!("the batch is larger than {BATCH_BYTES_MAX} bytes, or its sending broke off");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", message)
    })
}

/// How many facts the batch holds, or why it is refused.
pub fn check(bytes: &[u8]) -> Result<usize, ApiError> {
    let batch: FactBatch = serde_json::from_slice(bytes).map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, "malformed", format!("not a batch of facts: {error}"))
    })?;
    let (facts, name) = (batch.facts.len(), batch.edge_id.as_bytes());
    if facts > BATCH_FACTS_MAX {
        return Err(ApiError::field("facts", format!("{facts} facts; a batch has at most {BATCH_FACTS_MAX}")));
    }
    if !(1..=CALLER_ID_BYTES_MAX).contains(&name.len()) || !name.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        let bound = format!("must be 1 to {CALLER_ID_BYTES_MAX} printable ASCII characters");
        return Err(ApiError::field("edge_id", format!("{:?}; it {bound}", batch.edge_id)));
    }
    Ok(facts)
}
