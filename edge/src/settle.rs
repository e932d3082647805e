//! Settling claims: the first beacon of a capped fill confirms its claim or releases it, and says what the token is worth.
//!
//! The store is what decides between two contrary beacons, wherever and whenever they arrive: a claim is replaced like a
//! viewer's whole state, only by whoever saw it last. So a token whose claim was released is dead everywhere at once.

use serde::{Deserialize, Serialize};
use slotkeeper_core::{
    caps::{Settled, Transition, Viewer},
    id::{BreakStem, OpportunityId},
    time::UnixMillis,
};

use crate::store::{ATTEMPTS_MAX, Committed, NewState, Store, StoreError, until_not_lost};

/// What the beacons of one break ask of its claims. Serialisable, because a platform may settle elsewhere than it listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settling {
    /// In the order they were reported; all slots of one break, at least one.
    pub beacons: Vec<(OpportunityId, Transition)>,
    /// When they arrived.
    pub now: UnixMillis,
}

impl Settling {
    /// The break they belong to.
    pub fn stem(&self) -> Option<BreakStem> {
        Some(self.beacons.first()?.0.break_stem())
    }
}

/// Settles where the viewer's state is: what each claim is afterwards, in the order asked.
pub async fn settle_at(store: &impl Store, settling: &Settling) -> Result<Vec<Settled>, StoreError> {
    // Settling again what is settled changes nothing, so a failure is simply tried again.
    until_not_lost(ATTEMPTS_MAX, async |_| attempt_at(store, settling).await).await
}

/// `None` if somebody else changed the viewer's state meanwhile.
async fn attempt_at(store: &impl Store, settling: &Settling) -> Result<Option<Vec<Settled>>, StoreError> {
    let Some((first, _)) = settling.beacons.first() else { return Ok(Some(Vec::new())) };
    let Some(holder) = store.holder(*first).await? else {
        return Ok(Some(vec![Settled::Gone; settling.beacons.len()]));
    };
    let mut viewer = Viewer::decode(&holder.state).map_err(|error| StoreError::Failed(error.to_string()))?;
    let mut has_changed = false;
    let mut settle = |(slot, transition): &(OpportunityId, Transition)| {
        let (settled, changed) = viewer.settle(*slot, *transition, settling.now);
        has_changed |= changed;
        settled
    };
    let settled: Vec<Settled> = settling.beacons.iter().map(&mut settle).collect();
    if !has_changed {
        return Ok(Some(settled));
    }
    let new_state = NewState {
        from_version: holder.state_version,
        state: viewer.encode(),
        // A state without claims is kept like any other: forgotten at once, its version would begin again, and a commit
        // decided from the first one would not notice.
        keep_until: viewer.keep_until().max(settling.now),
    };
    Ok(match store.settle(holder.viewer, &new_state).await? {
        Committed::Yes => Some(settled),
        Committed::Lost => None,
    })
}
