//! The JSON that the pages read: `/api/v1/…` and `/healthz`.
//!
//! | path | answer |
//! | --- | --- |
//! | `GET /api/v1/slots?limit=50&after=CURSOR` | [`slots::Page`]: slots, newest first |
//! | `GET /api/v1/slots/stream` | server-sent events: `slot` with one [`slots::Slot`] whenever it or its impression changes; `resync` when the client should read the page again |
//! | `GET /api/v1/slots/{opportunity_id}/explain` | [`Explanation`]: why a slot is what it is, decided again |
//! | `GET /api/v1/summary` | [`summary::Summary`]: totals, and the proof that no slot is lost |
//! | `GET /api/v1/config` | `{"edge_url": …}`: the first edge, for the demo page; null without one |
//! | `GET /v1/questions` | [`questions::Listed`] for each question that is shipped |
//! | `GET /v1/questions/{name}?param=value` | [`slotkeeper_query::print::Json`], or CSV: the answer, bounded in rows and time |
//! | `GET /healthz` | [`health::OriginHealth`] |
//! | `GET /metrics` | the same and more, for Prometheus: [`metrics`] |
//!
//! Errors have the one shape of [`slotkeeper_core::api::ErrorResponse`].

pub mod health;
pub mod metrics;
pub mod pages;
pub mod questions;
pub mod slots;
pub mod stream;
pub mod summary;

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    routing::get,
};
use serde::Deserialize;
use serde_json::json;
use slotkeeper_core::{id::OpportunityId, keys::KeyId};
use tokio::sync::{Semaphore, watch};

use crate::{
    edges::{Edge, EdgesSeen},
    error::ApiError,
    explain::{Explanation, explain},
    fold::Progress,
    replay::{ReplayError, Replayer},
    trackers::TrackerProgress,
};
use slots::{Cursor, PAGE_SLOTS_DEFAULT, PAGE_SLOTS_MAX, Page, SlotReader};
use stream::Feed;
use summary::{Summary, SummaryReader};

/// How many reads may run or wait for a database at once; each holds a thread.
pub const READS_MAX: usize = 32;

/// What the API reads from.
#[derive(Clone)]
pub struct Api {
    /// The folded slots.
    pub slots: Arc<Mutex<SlotReader>>,
    /// The totals.
    pub summary: Arc<Mutex<SummaryReader>>,
    /// What decides stored slots again.
    pub replayer: Arc<Mutex<Replayer>>,
    /// Room for reads of all three, [`READS_MAX`].
    pub reads: Arc<Semaphore>,
    /// What changes.
    pub feed: Feed,
    /// What answers questions.
    pub questions: questions::Asker,
    /// Turns true when the origin stops, so that streams end.
    pub stop: watch::Receiver<bool>,
    /// How far the log reaches.
    pub durable_seq: watch::Receiver<u64>,
    /// How far it is folded.
    pub fold: watch::Receiver<Progress>,
    /// What the collector counts.
    pub collector: metrics::CollectorMetrics,
    /// How calling vendors goes; absent where it is off.
    pub trackers: Option<watch::Receiver<TrackerProgress>>,
    /// The key that this origin mints with.
    pub minting_key_id: KeyId,
    /// As configured.
    pub edges: Arc<[Edge]>,
    /// As last seen.
    pub edges_seen: EdgesSeen,
}

impl Api {
    /// The routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/api/v1/slots", get(slots_page))
            .route("/api/v1/slots/stream", get(stream::stream))
            .route("/api/v1/slots/{opportunity_id}/explain", get(explained))
            .route("/api/v1/summary", get(totals))
            .route("/api/v1/config", get(config))
            .route("/v1/questions", get(questions::list))
            .route("/v1/questions/{name}", get(questions::answer))
            .route("/healthz", get(health::health))
            .route("/metrics", get(metrics::metrics))
            .with_state(self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotsQuery {
    #[serde(default = "default_limit")]
    limit: usize,
    after: Option<String>,
}

fn default_limit() -> usize {
    PAGE_SLOTS_DEFAULT
}

async fn slots_page(
    State(api): State<Api>,
    query: Result<Query<SlotsQuery>, QueryRejection>,
) -> Result<Json<Page>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::field("query", rejection.body_text()))?;
    if !(1..=PAGE_SLOTS_MAX).contains(&query.limit) {
        return Err(ApiError::field("limit", format!("{}; it must be from 1 to {PAGE_SLOTS_MAX}", query.limit)));
    }
    let after = query.after.as_deref().map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|odd| ApiError::field("after", format!("{odd}; send `next` of the page before")))?;
    let page = read(&api.reads, &api.slots, move |slots| slots.page(query.limit, after.as_ref())).await?;
    Ok(Json(page))
}

async fn explained(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Explanation>, ApiError> {
    let odd = |error| ApiError::field("opportunity_id", format!("{id:?}: {error}; it must be a UUID"));
    let id: OpportunityId = id.parse().map_err(odd)?;
    read(&api.reads, &api.replayer, move |replayer| explain(replayer, id)).await.map(Json)
}

impl From<ReplayError> for ApiError {
    fn from(error: ReplayError) -> Self {
        let (status, code) = match &error {
            ReplayError::Database(cause) => return Self::internal(cause),
            ReplayError::UnknownOpportunity(_) => (StatusCode::NOT_FOUND, "unknown_opportunity"),
            ReplayError::UnknownDecision { .. } => (StatusCode::GONE, "unknown_decision"),
            ReplayError::UnknownPlan(_) => (StatusCode::GONE, "unknown_plan"),
            ReplayError::AlteredDecision { .. } => (StatusCode::CONFLICT, "altered_decision"),
            ReplayError::OtherDecision { .. } => (StatusCode::CONFLICT, "other_decision"),
            ReplayError::UnreadablePlan { .. } => (StatusCode::CONFLICT, "unreadable_plan"),
        };
        Self::new(status, code, error.to_string())
    }
}

async fn totals(State(api): State<Api>) -> Result<Json<Summary>, ApiError> {
    read(&api.reads, &api.summary, SummaryReader::summary).await.map(Json)
}

async fn config(State(api): State<Api>) -> Json<serde_json::Value> {
    Json(json!({ "edge_url": api.edges.first().map(|edge| &edge.url) }))
}

/// Reads from a database on a thread where waiting is allowed, if not too many wait already.
async fn read<R, T, E>(
    room: &Arc<Semaphore>,
    reader: &Arc<Mutex<R>>,
    read: impl FnOnce(&mut R) -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    R: Send + 'static,
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    let place = Arc::clone(room).try_acquire_owned();
    let place = place.map_err(|_| ApiError::busy("too_many_reads", "too many reads wait already; ask again later"))?;
    let reader = Arc::clone(reader);
    let outcome = tokio::task::spawn_blocking(move || {
        let _place = place; // until the read has ended, whether or not the client still waits for it
        read(&mut reader.lock().unwrap_or_else(PoisonError::into_inner))
    });
    let outcome = outcome.await;
    outcome.map_err(|panic| ApiError::internal(&panic))?.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use axum::{
        http::{StatusCode, header},
        response::IntoResponse as _,
    };

    use super::*;

    #[tokio::test]
    async fn a_read_too_many_is_asked_to_come_back() {
        let (room, database) = (Arc::new(Semaphore::new(1)), Arc::new(Mutex::new(())));
        let (done, busy) = std::sync::mpsc::channel();
        let waiting = {
            let (room, database) = (Arc::clone(&room), Arc::clone(&database));
            tokio::spawn(async move { read(&room, &database, move |()| Ok::<_, ApiError>(busy.recv().unwrap())).await })
        };
        while room.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = read(&room, &database, |()| Ok::<_, ApiError>(2)).await.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
        done.send(1).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), 1);
        assert_eq!(read(&room, &database, |()| Ok::<_, ApiError>(3)).await.unwrap(), 3);
    }
}
