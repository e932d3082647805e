//! Shipping the outbox: facts go to the origin at least once, and are deleted only when it has them.

use serde::{Deserialize, Serialize};
use slotkeeper_core::time::UnixMillis;

use crate::{
    Platform, Reply, Settings,
    platform::OriginError,
    store::{Outbox, OutboxEntry, StoreError},
};

/// What one load carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipped {
    /// How many entries the origin took.
    pub shipped: u64,
    /// How many are left.
    pub left: u64,
}

/// Ships one load from `store`: reads the oldest entries, posts them, deletes them once they are durable.
///
/// A crash before the deletion ships them again, which the origin folds away.
pub async fn ship(
    store: &impl Outbox,
    settings: &Settings,
    now: UnixMillis,
    post: impl AsyncFnOnce(String) -> Result<(), OriginError>,
) -> Result<Shipped, StoreError> {
    let entries = store.outbox().await?;
    let Some(last) = entries.last() else { return Ok(Shipped { shipped: 0, left: 0 }) };
    let sequence = last.sequence;
    post(batch(&entries, &settings.edge_id)).await.map_err(|error| StoreError::Failed(error.to_string()))?;
    let left = store.acknowledge(sequence, now).await?;
    Ok(Shipped { shipped: entries.len() as u64, left })
}

/// One batch of all entries, joined as text: they are JSON arrays already.
fn batch(entries: &[OutboxEntry], edge_id: &str) -> String {
    let facts: Vec<&str> =
        entries.iter().map(|entry| entry.facts.trim_start_matches('[').trim_end_matches(']')).collect();
    let edge_id = serde_json::Value::from(edge_id);
    format!(r#"{{"edge_id":{edge_id},"facts":[{}]}}"#, facts.join(","))
}

/// `POST /v1/outbox/ship`: the origin asks for what is there, on platforms that cannot wake up by themselves.
pub(crate) async fn ship_on_request(platform: &impl Platform) -> Reply {
    match platform.ship_outbox().await {
        Some(Ok(shipped)) => Reply::json(200, &shipped),
        Some(Err(error)) => Reply::error(503, "outbox_not_shipped", None, error.to_string()),
        None => Reply::error(404, "ships_by_itself", None, "this edge ships its outbox by itself".into()),
    }
}
