//! What was last seen of every edge, for the health page.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use slotkeeper_core::time::UnixMillis;

use super::{Edge, EdgeError, Health};

/// One edge, as last seen.
#[derive(Clone, Debug, Serialize)]
pub struct EdgeSeen {
    /// As configured.
    pub name: String,
    /// As configured.
    pub url: String,
    /// What it said of itself, when it last answered.
    #[serde(flatten)]
    pub health: Option<Health>,
    /// When that was.
    pub seen_at_ms: Option<UnixMillis>,
    /// Why it has not answered since.
    pub error: Option<String>,
}

/// All configured edges, as last seen. Cheap to clone.
#[derive(Clone)]
pub struct EdgesSeen(Arc<Mutex<Vec<EdgeSeen>>>);

impl EdgesSeen {
    /// None of them seen yet.
    pub fn new(edges: &[Edge]) -> Self {
        let unseen = |edge: &Edge| EdgeSeen {
            name: edge.name.clone(),
            url: edge.url.clone(),
            health: None,
            seen_at_ms: None,
            error: None,
        };
        Self(Arc::new(Mutex::new(edges.iter().map(unseen).collect())))
    }

    /// Notes what came of asking `edge` how it is.
    pub fn note(&self, edge: &Edge, outcome: Result<Health, EdgeError>, now: UnixMillis) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = all.iter_mut().find(|seen| seen.name == edge.name && seen.url == edge.url) else { return };
        match outcome {
            Ok(health) => {
                seen.health = Some(health);
                seen.seen_at_ms = Some(now);
                seen.error = None;
            }
            Err(error) => seen.error = Some(error.to_string()),
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<EdgeSeen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
