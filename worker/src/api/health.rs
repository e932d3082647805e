//! How the origin is.

use axum::{Json, extract::State};
use serde::Serialize;
use slotkeeper_core::keys::KeyId;

use super::Api;
use crate::{edges::EdgeSeen, trackers::TrackerProgress};

/// `GET /healthz`.
#[derive(Debug, Serialize)]
pub struct OriginHealth {
    /// `ok`, or `degraded` while the fold fails.
    pub status: &'static str,
    /// How many batches are durable.
    pub log_seq: u64,
    /// How many of them are folded.
    pub fold_offset: u64,
    /// How many are not.
    pub fold_lag: u64,
    /// Why the fold does not go on, if so.
    pub fold_error: Option<String>,
    /// How calling vendors goes; null where it is off.
    pub trackers: Option<TrackerProgress>,
    /// The key that this origin mints with.
    pub minting_key_id: KeyId,
    /// The edges, as last seen.
    pub edges: Vec<EdgeSeen>,
}

pub(super) async fn health(State(api): State<Api>) -> Json<OriginHealth> {
    let log_seq = *api.durable_seq.borrow();
    let fold = api.fold.borrow().clone();
    Json(OriginHealth {
        status: if fold.error.is_none() { "ok" } else { "degraded" },
        log_seq,
        fold_offset: fold.consumed_seq,
        fold_lag: log_seq.saturating_sub(fold.consumed_seq),
        fold_error: fold.error,
        trackers: api.trackers.as_ref().map(|trackers| trackers.borrow().clone()),
        minting_key_id: api.minting_key_id,
        edges: api.edges_seen.all(),
    })
}
