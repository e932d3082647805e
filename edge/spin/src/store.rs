//! The store that a deployment chose: Spin's own SQLite, or Redis.

use slotkeeper_core::{
    id::{BreakId, OpportunityId, ViewerKey},
    time::UnixMillis,
};
use slotkeeper_edge::store::{Commit, Committed, Holder, NewState, Store, StoreError, View};

use crate::{redis::SpinRedis, sqlite::SpinSqlite};

/// One request's use of the store.
pub(crate) enum SpinStore {
    /// For one node: nothing else to run.
    Sqlite(SpinSqlite),
    /// For any number of nodes.
    Redis(SpinRedis),
}

impl SpinStore {
    /// The version of the plan in force.
    pub(crate) async fn plan_in_force(&self) -> Result<Option<u64>, StoreError> {
        match self {
            Self::Sqlite(store) => store.plan_in_force().await,
            Self::Redis(store) => store.plan_in_force().await,
        }
    }

    /// Puts a plan in force unless a newer one is, and answers which is.
    pub(crate) async fn put_plan_in_force(&self, version: u64) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.put_plan_in_force(version).await,
            Self::Redis(store) => store.put_plan_in_force(version).await,
        }
    }

    /// What it is called, and how many calls this request has made.
    pub(crate) fn trips(&self) -> (&'static str, u32) {
        match self {
            Self::Sqlite(store) => ("sqlite", store.trips()),
            Self::Redis(store) => ("redis", store.trips()),
        }
    }
}

impl Store for SpinStore {
    async fn view(&self, viewer: ViewerKey, break_id: BreakId) -> Result<View, StoreError> {
        match self {
            Self::Sqlite(store) => store.view(viewer, break_id).await,
            Self::Redis(store) => store.view(viewer, break_id).await,
        }
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        match self {
            Self::Sqlite(store) => store.commit(commit).await,
            Self::Redis(store) => store.commit(commit).await,
        }
    }

    async fn holder(&self, slot: OpportunityId) -> Result<Option<Holder>, StoreError> {
        match self {
            Self::Sqlite(store) => store.holder(slot).await,
            Self::Redis(store) => store.holder(slot).await,
        }
    }

    async fn settle(&self, viewer: ViewerKey, new_state: &NewState) -> Result<Committed, StoreError> {
        match self {
            Self::Sqlite(store) => store.settle(viewer, new_state).await,
            Self::Redis(store) => store.settle(viewer, new_state).await,
        }
    }

    async fn forget(&self, viewer: ViewerKey, now: UnixMillis) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.forget(viewer, now).await,
            Self::Redis(store) => store.forget(viewer, now).await,
        }
    }
}
