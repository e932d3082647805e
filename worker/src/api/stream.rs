//! Server-sent events: every slot that changes, as it changes.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::State,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::stream::{self, Stream};
use slotkeeper_core::id::OpportunityId;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Api, slots::SlotReader};
use crate::error::ApiError;

/// How many updates a slow client may be behind before it is told to read the page again.
const BEHIND_MAX: usize = 1_024;
/// How many slots may change at once before every client is told to read the page again.
const CHANGED_AT_ONCE_MAX: usize = 500;
/// How many clients may listen at once.
const LISTENERS_MAX: usize = 256;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What the clients are told.
#[derive(Clone, Debug)]
enum Update {
    /// A slot changed: its JSON.
    Slot(Arc<str>),
    /// Too much changed, or a slot went away: read the page again.
    Resync,
}

/// Where changes are told, and heard.
#[derive(Clone)]
pub struct Feed {
    updates: broadcast::Sender<Update>,
    reader: Arc<Mutex<SlotReader>>,
}

impl Feed {
    /// A feed that looks up what changed in `reader`. It needs one of its own, so that pages do not hold up the fold.
    pub fn new(reader: SlotReader) -> Self {
        Self { updates: broadcast::Sender::new(BEHIND_MAX), reader: Arc::new(Mutex::new(reader)) }
    }

    /// Tells all clients of what the fold has just committed.
    pub fn tell(&self, changed: &BTreeSet<OpportunityId>) {
        if self.updates.receiver_count() == 0 {
            return;
        }
        if changed.len() > CHANGED_AT_ONCE_MAX {
            let _ = self.updates.send(Update::Resync); // fails only when nobody listens any more
            return;
        }
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        for update in changed.iter().filter_map(|id| update(&reader, *id)) {
            let _ = self.updates.send(update);
        }
    }
}

/// What to tell of a slot: nothing while only its beacons have come.
fn update(reader: &SlotReader, id: OpportunityId) -> Option<Update> {
    match reader.slot(id) {
        Ok(Some(slot)) => serde_json::to_string(&slot).ok().map(|json| Update::Slot(json.into())),
        Ok(None) => reader.is_superseded(id).unwrap_or(true).then_some(Update::Resync),
        Err(_) => Some(Update::Resync),
    }
}

/// `GET /api/v1/slots/stream`.
pub(super) async fn stream(
    State(api): State<Api>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    if api.feed.updates.receiver_count() >= LISTENERS_MAX {
        return Err(ApiError::busy(
            "too_many_streams",
            format!("there are {LISTENERS_MAX} streams; read pages instead"),
        ));
    }
    let listening = (api.feed.updates.subscribe(), api.stop);
    let events = stream::unfold(listening, |(mut updates, mut stop)| async move {
        let update = tokio::select! {
            update = updates.recv() => update,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        let event = match update {
            Ok(Update::Slot(json)) => Event::default().event("slot").data(&*json),
            Ok(Update::Resync) | Err(RecvError::Lagged(_)) => Event::default().event("resync").data("{}"),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(event), (updates, stop)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}
