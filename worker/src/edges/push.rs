//! Pushing a plan to the edges: each is tried until it takes the plan, refuses it for good, or time is up.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{Edge, EdgeClient, EdgeError};

const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// What became of a plan at one edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The edge stored it.
    Stored,
    /// The edge had it already.
    AlreadyCurrent,
    /// The edge has a newer plan.
    Older,
    /// The edge did not take it; the last error.
    Failed(EdgeError),
}

/// One edge's part in a publication.
#[derive(Clone, Debug)]
pub struct PushReport {
    /// Which edge.
    pub edge: Edge,
    /// The plan it had; unknown if it did not answer.
    pub before: Option<u64>,
    /// The plan it has.
    pub after: Option<u64>,
    /// What became of the plan.
    pub outcome: PushOutcome,
}

/// Pushes a plan to all edges at once; every edge has `patience` to take it.
pub async fn push_all(client: &EdgeClient, edges: &[Edge], plan: &[u8], patience: Duration) -> Vec<PushReport> {
    join_all(edges.iter().map(|edge| push(client, edge, plan, patience))).await
}

/// Pushes a plan to one edge.
pub async fn push(client: &EdgeClient, edge: &Edge, plan: &[u8], patience: Duration) -> PushReport {
    let deadline = Instant::now() + patience;
    let version = |health: super::Health| health.plan_version;
    let mut before = client.health(edge).await.ok().map(version);
    let mut pause = BACK_OFF_MIN;
    let outcome = loop {
        let error = match client.put_plan(edge, plan).await {
            Ok(taken) if taken.status == "already_current" => break PushOutcome::AlreadyCurrent,
            Ok(_) => break PushOutcome::Stored,
            Err(error) => error,
        };
        if matches!(&error, EdgeError::Refused { code, .. } if code == "plan_older") {
            break PushOutcome::Older;
        }
        if !may_pass(&error) || Instant::now() + pause > deadline {
            break PushOutcome::Failed(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF_MAX);
        if before.is_none() {
            before = client.health(edge).await.ok().map(version);
        }
    };
    let after = client.health(edge).await.ok().and_then(version);
    PushReport { edge: edge.clone(), before: before.flatten(), after, outcome }
}

/// Whether trying again may help: nobody there, overload, or a fault of the edge's own; not a refusal of what was sent.
fn may_pass(error: &EdgeError) -> bool {
    match error {
        EdgeError::Unreachable(_) => true,
        EdgeError::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 429),
        EdgeError::Unreadable(_) => false,
    }
}
