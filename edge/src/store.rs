//! The store behind the edge: one read, one commit; and the same for settling a claim.
//!
//! A store keeps, for each viewer, a versioned opaque state (their live claims), the answers already given, the plan's
//! current version, and an outbox of facts. It knows one rule: a commit that changes a viewer's state must have been
//! decided from the state as it is now. What the state means, and every cap, is the core's business.

use slotkeeper_core::{
    id::{BreakId, OpportunityId, ViewerKey},
    time::UnixMillis,
};

/// Everything a decision needs of the store, in one read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The version of the viewer's state; 0 if there is none.
    pub state_version: u64,
    /// The viewer's state; empty if there is none.
    pub state: Vec<u8>,
    /// The answer, if this break was answered before.
    pub answered: Option<Vec<u8>>,
    /// The version of the plan in force, if there is one.
    pub plan_version: Option<u64>,
}

/// A whole break, to be stored at once or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The break; it can be committed once.
    pub break_id: BreakId,
    /// Whose.
    pub viewer: ViewerKey,
    /// The viewer's new state, if the pod holds claims.
    pub new_state: Option<NewState>,
    /// What is answered, and will be answered again to a retry.
    pub answer: Vec<u8>,
    /// Until when the answer is remembered.
    pub remember_until: UnixMillis,
    /// The rows, as a JSON array of facts.
    pub facts: String,
}

/// A viewer's state after the claims of a pod, or after one was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewState {
    /// The version it was decided from.
    pub from_version: u64,
    /// The bytes.
    pub state: Vec<u8>,
    /// When all of it may be forgotten.
    pub keep_until: UnixMillis,
}

/// Whose claim a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The viewer.
    pub viewer: ViewerKey,
    /// The version of their state.
    pub state_version: u64,
    /// Their state; empty if there is none.
    pub state: Vec<u8>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is stored, whole.
    Yes,
    /// Nothing of it is stored: somebody else committed this break, or claims of this viewer, since the view.
    Lost,
}

/// A store call that failed; whether it took effect is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No answer within the deadline.
    #[error("the store did not answer within {0} ms")]
    Deadline(u64),
    /// The platform's own error.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// How often what lost a race is tried from a fresh view. Each loss means that another commit for the viewer went through,
/// so only a viewer with this many simultaneous calls ever meets the end of it.
pub(crate) const ATTEMPTS_MAX: usize = 32;

/// How many store failures are borne. The second try finds out whether the first one took effect after all.
const FAILURES_MAX: usize = 2;

/// Tries, at most `attempts` times, until a try is not lost to somebody else's commit; `None` says that it was. Each is
/// told its number, from 1.
pub(crate) async fn until_not_lost<T>(
    attempts: usize,
    mut attempt: impl AsyncFnMut(usize) -> Result<Option<T>, StoreError>,
) -> Result<T, StoreError> {
    let mut failures = 0;
    for number in 1..=attempts {
        match attempt(number).await {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => {}
            Err(error) => {
                failures += 1;
                if failures == FAILURES_MAX {
                    return Err(error);
                }
            }
        }
    }
    Err(StoreError::Failed(format!("the viewer's state changed in each of {attempts} attempts")))
}

/// Facts that the origin has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its place; entries are read and deleted in this order.
    pub sequence: u64,
    /// A JSON array of facts.
    pub facts: String,
}

/// The most entries shipped at once: with 17 facts each, at most one batch.
pub const OUTBOX_ENTRIES_MAX: usize = 50;

/// What every store does.
#[expect(async_fn_in_trait, reason = "the edge is single-threaded wasm: no future needs to be Send")]
pub trait Store {
    /// Reads all that a decision on this break needs.
    async fn view(&self, viewer: ViewerKey, break_id: BreakId) -> Result<View, StoreError>;

    /// Stores a break: state, answer and facts together, or nothing.
    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError>;

    /// Whose claim a slot may hold, and their state: what settling it needs, in one read. `None` if the slot's break was
    /// not committed here, or has been forgotten.
    async fn holder(&self, slot: OpportunityId) -> Result<Option<Holder>, StoreError>;

    /// Replaces a viewer's state, if it is still as it was.
    async fn settle(&self, viewer: ViewerKey, new_state: &NewState) -> Result<Committed, StoreError>;

    /// Forgets a viewer's state. Whatever was decided or is to be settled from it is lost, as to another commit.
    async fn forget(&self, viewer: ViewerKey, now: UnixMillis) -> Result<(), StoreError>;
}

/// The outbox of a store that ships by being asked, entry by entry.
#[expect(async_fn_in_trait, reason = "the edge is single-threaded wasm: no future needs to be Send")]
pub trait Outbox {
    /// The oldest unacknowledged facts, at most [`OUTBOX_ENTRIES_MAX`].
    async fn outbox(&self) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Deletes the outbox up to and including `sequence`, and whatever else has ended by `now`. Answers how many
    /// entries are left.
    async fn acknowledge(&self, sequence: u64, now: UnixMillis) -> Result<u64, StoreError>;
}
