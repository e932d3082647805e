//! What a platform gives the edge, besides HTTP.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
};

use slotkeeper_core::{
    caps::Settled,
    fact::{Fact, FactBatch},
    id::ViewerKey,
    time::UnixMillis,
};

use crate::{Settings, breaks::Asked, outbox::Shipped, settle::Settling, store::StoreError};

/// What became of a plan that was handed to the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanStored {
    /// It is the plan in force.
    Stored,
    /// It was already.
    AlreadyCurrent,
    /// A newer one is in force.
    Older {
        /// The version in force.
        current: u64,
    },
}

/// The origin did not confirm that facts are durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the origin did not take the facts: {0}")]
pub struct OriginError(pub String);

/// One request's access to clock, timer, plan, store and origin. One is made for every request.
#[expect(async_fn_in_trait, reason = "the edge is single-threaded wasm: no future needs to be Send")]
pub trait Platform {
    /// The platform's name, for the health page.
    const NAME: &'static str;

    /// What was configured.
    fn settings(&self) -> &Settings;

    /// The clock.
    fn now(&self) -> UnixMillis;

    /// Waits.
    async fn wait_ms(&self, ms: u64);

    /// The bytes of the plan of this version; without a version, of the newest plan within easy reach.
    async fn plan(&self, version: Option<u64>) -> Option<Rc<[u8]>>;

    /// Puts a verified plan in force if it is newer than the one in force; two racing calls cannot bring back the older.
    async fn store_plan(&self, version: u64, bytes: &[u8]) -> Result<PlanStored, StoreError>;

    /// The version of the plan in force, from where it is decided.
    async fn plan_in_force(&self) -> Result<Option<u64>, StoreError>;

    /// Decides a break where the viewer's state is (see [`crate::breaks::decide_at`]) and answers the response's JSON.
    async fn decide_at_store(&self, asked: &Asked) -> Result<Vec<u8>, StoreError>;

    /// Settles claims of one break where its viewer's state is (see [`crate::settle::settle_at`]).
    async fn settle_at_store(&self, settling: &Settling) -> Result<Vec<Settled>, StoreError>;

    /// Forgets a viewer where their state is (see [`crate::store::Store::forget`]).
    async fn forget_at_store(&self, viewer: ViewerKey) -> Result<(), StoreError>;

    /// Posts a batch of facts to the origin's collector; returns once they are durable there, or after `deadline_ms`.
    async fn post_facts(&self, batch: String, deadline_ms: u64) -> Result<(), OriginError>;

    /// Ships one load of the outbox; `None` where the platform's stores ship by themselves.
    async fn ship_outbox(&self) -> Option<Result<Shipped, StoreError>>;

    /// How many round trips to each store this request has made so far, by the store's name.
    fn store_trips(&self) -> Vec<(&'static str, u32)>;
}

/// Hands facts to the origin's collector; returns once they are durable there.
pub(crate) async fn hand_over(platform: &impl Platform, facts: Vec<Fact>) -> Result<(), OriginError> {
    if facts.is_empty() {
        return Ok(());
    }
    let batch = FactBatch { edge_id: platform.settings().edge_id.clone(), facts };
    let text = serde_json::to_string(&batch).map_err(|error| OriginError(error.to_string()))?;
    platform.post_facts(text, platform.settings().origin_deadline_ms).await
}

/// The outcome of `work` if it comes before `timer` ends.
pub async fn within<T>(timer: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut timer, mut work) = (pin!(timer), pin!(work));
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// The outcomes of all of `work`, done at once, in the order given.
pub async fn join_all<T>(work: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut work: Vec<_> = work.into_iter().map(|one| (Box::pin(one), None)).collect();
    poll_fn(|context| {
        for (one, done) in &mut work {
            if done.is_none()
                && let Poll::Ready(outcome) = one.as_mut().poll(context)
            {
                *done = Some(outcome);
            }
        }
        if work.iter().all(|(_, done)| done.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    work.into_iter().filter_map(|(_, done)| done).collect()
}

/// The outcome of a store call within `deadline_ms`.
pub async fn store_call<T>(
    timer: impl Future<Output = ()>,
    deadline_ms: u64,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    within(timer, call).await.unwrap_or(Err(StoreError::Deadline(deadline_ms)))
}
