//! Facts: what the edge tells the origin. Appended, never changed; delivered at least once; folded by key.

use alloc::{boxed::Box, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    beacon::Event,
    decision::Decision,
    id::{AdId, OpportunityId, RecordId, SessionKey},
    pod::{InvalidTraffic, Opportunity},
    time::UnixMillis,
};

/// The most facts in one batch.
pub const BATCH_FACTS_MAX: usize = 1_000;
/// The largest batch, in bytes.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How a row came to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// By the outbox, committed together with its claims.
    Committed,
    /// Straight from the decision, because the commit could not be made or its outcome is not known. Carries no claim.
    ///
    /// If a commit of the same break turns out to have landed, the rows of this decision stand, and none of the other's: most
    /// often it is what the viewer was answered. Not so when the edge answered 503 after all and a retry was committed: once
    /// an ad of any of a break's decisions is reported to have begun to play, the rows of that decision stand.
    Uncommitted,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// A slot existed.
    Opportunity {
        /// How the row came.
        recording: Recording,
        /// The row.
        #[serde(flatten)]
        row: Opportunity,
    },
    /// A break was decided: what its rows were decided from. Comes before them, in the same batch.
    Decision(Box<Decision>),
    /// A client reported an event, with a valid token.
    Beacon(BeaconFact),
    /// A client has lost beacons to its own bounds. Comes with a beacon of the same batch, and only if any were lost.
    ClientLoss(ClientLoss),
}

/// A verified beacon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeaconFact {
    /// The slot it speaks of.
    pub opportunity_id: OpportunityId,
    /// The ad that played, from the token.
    pub ad_id: AdId,
    /// The ad as sold, from the token.
    pub record_id: RecordId,
    /// What happened.
    pub event: Event,
    /// When, by the edge's clock: the arrival less the age the client gave. Of a `start` that confirmed a claim, the
    /// time from which the claim counts.
    pub at: UnixMillis,
    /// When the edge received it.
    pub received_at: UnixMillis,
    /// The client's session, as a pseudonym, if it came from the SDK rather than from a pixel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionKey>,
    /// If whoever reported it is not a viewer's player: it is kept, and proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_traffic: Option<InvalidTraffic>,
    /// Of an `error`, VAST's code for what went wrong, if the player said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<u16>,
    /// Of anything else, how many seconds before it the viewer last touched anything, if the player said so: who has touched
    /// nothing for hours may have turned the screen off, and left the player on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_s: Option<u32>,
}

/// What one session has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientLoss {
    /// The client's session, as a pseudonym.
    pub session: SessionKey,
    /// How many beacons it had lost by then, from its begin on; at least one.
    pub lost: u32,
}

/// What the edge sends at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactBatch {
    /// Which edge, for the origin's health page.
    pub edge_id: String,
    /// In the order they happened there.
    pub facts: Vec<Fact>,
}
