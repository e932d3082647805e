//! Shipping the outbox: facts go to the origin at least once, and are deleted only when it has them.

use serde::{Deserialize, Serialize};
use slotkeeper_core::{api::CALLER_ID_BYTES_MAX, fact::BATCH_BYTES_MAX, time::UnixMillis};

use crate::{
    Platform, Reply, Settings,
    platform::OriginError,
    store::{Outbox, OutboxEntry, StoreError},
};

/// What a batch has beside its facts: the edge's id, escaped, and some punctuation.
const FRAME_BYTES: usize = CALLER_ID_BYTES_MAX * 6 + 64;

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
    let mut entries = store.outbox().await?;
    entries.truncate(fitting(&entries));
    let Some(last) = entries.last() else { return Ok(Shipped { shipped: 0, left: 0 }) };
    let sequence = last.sequence;
    post(batch(&entries, &settings.edge_id)).await.map_err(|error| StoreError::Failed(error.to_string()))?;
    let left = store.acknowledge(sequence, now).await?;
    Ok(Shipped { shipped: entries.len() as u64, left })
}

/// How many of the oldest entries fit one batch: at least one, for what does not fit by itself must be said by the origin.
fn fitting(entries: &[OutboxEntry]) -> usize {
    let room = BATCH_BYTES_MAX - FRAME_BYTES;
    let mut bytes = 0;
    let fits = |entry: &&OutboxEntry| {
        bytes += entry.facts.len() + 1;
        bytes <= room
    };
    entries.iter().take_while(fits).count().max(1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_never_larger_than_the_origin_takes_and_never_empty() {
        let entry = |bytes: usize| OutboxEntry { sequence: 1, facts: format!("[{}]", "1".repeat(bytes)) };
        let third = BATCH_BYTES_MAX / 3;
        assert_eq!(fitting(&[entry(third), entry(third), entry(third), entry(1)]), 2);
        assert_eq!(fitting(&[entry(BATCH_BYTES_MAX), entry(1)]), 1);
        assert_eq!(fitting(&[]), 1, "of none, none is taken");
        let all: Vec<_> = (0..50).map(|_| entry(1_000)).collect();
        assert_eq!(fitting(&all), 50);
        assert!(batch(&all, &"\u{1}".repeat(CALLER_ID_BYTES_MAX)).len() <= BATCH_BYTES_MAX);
    }
}
