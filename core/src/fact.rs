//! Facts: what the edge tells the origin. Appended, never changed; delivered at least once; folded by key.

use alloc::{boxed::Box, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    api::{CALLER_ID_BYTES_MAX, SLOTS_MAX},
    auction::{OFFERS_MAX, Offer},
    beacon::Event,
    contract::DemandClass,
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

impl Recording {
    /// The name in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Uncommitted => "uncommitted",
        }
    }
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

// What an edge can have sent: every fold refuses anything else, by these rules.

impl Opportunity {
    /// Whether the row agrees with itself and is within bounds.
    pub fn is_sound(&self) -> bool {
        let times_fit = self.decided_at <= UnixMillis::TAKEN_MAX
            && self.opportunity_id.opened_at() <= UnixMillis::TAKEN_MAX
            && self.plan_version.is_none_or(|version| i64::try_from(version).is_ok())
            && self.fill().is_none_or(|fill| {
                fill.expires_at <= UnixMillis::TAKEN_MAX
                    && fill.claim.is_none_or(|claim| claim.counts_until <= UnixMillis::TAKEN_MAX)
            });
        times_fit
            && usize::from(self.slot_index) < SLOTS_MAX
            && self.title_id.len() <= CALLER_ID_BYTES_MAX
            && self.opportunity_id
                == OpportunityId::mint(self.break_id, self.slot_index, self.opportunity_id.opened_at())
    }

    /// Half a BLAKE3 hash of all that the row says, and of how it came: what tells a duplicate from a rival.
    pub fn content_hash(&self, recording: Recording) -> [u8; 16] {
        let json = serde_json::to_vec(&OpportunityFact::Opportunity { recording, row: self })
            .unwrap_or_else(|_| unreachable!("a fact has string keys only"));
        let mut half = [0; 16];
        half.copy_from_slice(&blake3::hash(&json).as_bytes()[..16]);
        half
    }
}

/// [`Fact::Opportunity`] of a borrowed row; the same JSON.
#[derive(Serialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
enum OpportunityFact<'a> {
    Opportunity {
        recording: Recording,
        #[serde(flatten)]
        row: &'a Opportunity,
    },
}

impl BeaconFact {
    /// Whether an edge can have sent it.
    pub fn is_within_bounds(&self) -> bool {
        self.at <= UnixMillis::TAKEN_MAX
    }
}

impl ClientLoss {
    /// Whether an edge can have sent it: it says nothing where nothing was lost.
    pub fn is_within_bounds(&self) -> bool {
        self.lost > 0
    }
}

impl Decision {
    /// Whether an edge may have decided this. The claims are bounded by the shape they are read from.
    pub fn is_within_bounds(&self) -> bool {
        let given = [&self.asked.tier, &self.asked.country, &self.asked.region, &self.asked.device];
        let mut texts = given.into_iter().flatten().chain([&self.asked.title_id]);
        self.auction.offers().len() <= OFFERS_MAX
            && self.auction.offers().iter().all(is_an_auctions)
            && self.opened_at <= UnixMillis::TAKEN_MAX
            && self.decided_at <= UnixMillis::TAKEN_MAX
            && self.plan_version.is_none_or(|version| i64::try_from(version).is_ok())
            && (1..=SLOTS_MAX).contains(&self.asked.slots_max())
            && texts.all(|text| text.len() <= CALLER_ID_BYTES_MAX)
    }
}

/// Whether an offer is what an auction can sell: nothing that a contract does.
fn is_an_auctions(offer: &Offer) -> bool {
    offer.record.class == DemandClass::Auction && offer.record.flight_id.0 == 0 && offer.record.campaign_id.0 == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::BreakPosition,
        id::{BreakId, DecisionId, ViewerKey},
        pod::{Eliminated, Outcome, Search, UnfilledReason},
    };

    #[test]
    fn a_rows_hash_is_of_the_fact_as_it_is_sent() {
        let row = Opportunity {
            opportunity_id: OpportunityId::mint(BreakId([1; 16]), 0, UnixMillis(7)),
            break_id: BreakId([1; 16]),
            slot_index: 0,
            viewer: ViewerKey([2; 16]),
            title_id: "film".into(),
            position: BreakPosition::Preroll,
            max_duration_ms: 1,
            decided_at: UnixMillis(8),
            plan_version: None,
            decision_id: DecisionId([3; 16]),
            search: Search::Exact,
            invalid_traffic: None,
            outcome: Outcome::Unfilled { unfilled_reason: UnfilledReason::FrequencyCapped },
            candidates: 0,
            eliminated: Eliminated::default(),
        };
        for recording in [Recording::Committed, Recording::Uncommitted] {
            let fact = serde_json::to_vec(&Fact::Opportunity { recording, row: row.clone() }).unwrap();
            assert_eq!(row.content_hash(recording), blake3::hash(&fact).as_bytes()[..16]);
        }
    }
}
