//! What a decision is: a pod of slots, each filled or unfilled, never both and never neither.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    caps::{Booking, Claim},
    contract::BreakPosition,
    decision::Decision,
    id::{AdId, BreakId, DecisionId, OpportunityId, RecordId, ViewerKey},
    time::UnixMillis,
};

/// Why an ad is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FillReason {
    /// A guaranteed flight.
    Guaranteed,
    /// The winner of an auction for a slot that guaranteed demand left.
    Auction,
    /// Our own promotion: no paying demand cleared.
    HouseAd,
}

impl FillReason {
    /// The name in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "guaranteed",
            Self::Auction => "auction",
            Self::HouseAd => "house_ad",
        }
    }
}

macro_rules! unfilled_reasons {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// Why a slot is empty. Ordered from the farthest from filling to the nearest.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum UnfilledReason {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl UnfilledReason {
            /// From the farthest to the nearest.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in JSON, SQL and on screen.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

unfilled_reasons! {
    /// There was no plan to decide from, or it was out of its validity.
    PlanUnavailable "plan_unavailable";
    /// Nothing sold matches the request.
    NoEligibleDemand "no_eligible_demand";
    /// Guaranteed demand left the slot, and the auction could not be asked.
    AuctionUnavailable "auction_unavailable";
    /// What matches needs what the viewer does not allow.
    ConsentDenied "consent_denied";
    /// What matches may not run in a title of this rating.
    ContentUnsuitable "content_unsuitable";
    /// What is suitable does not have a length that the slot takes, or is too long for what the others leave of the break.
    DurationExceeded "duration_exceeded";
    /// What fits is of an advertiser, category or creative of another slot, or of the break before.
    CompetitiveSeparation "competitive_separation";
    /// What may run is ahead of its plan and yields.
    PacingThrottled "pacing_throttled";
    /// What would run has a cap that could not be checked.
    CapCheckUnavailable "cap_check_unavailable";
    /// What would run has reached a cap of this viewer.
    FrequencyCapped "frequency_capped";
}

impl fmt::Display for UnfilledReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many candidates were eliminated for each reason. Serialises as a map of the reasons that occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eliminated {
    /// Found in the index, but dates or targeting do not match after all, or it is sold for another place in the pod.
    #[serde(skip_serializing_if = "is_zero")]
    pub no_eligible_demand: u16,
    /// Counts 1 if the auction could not be asked.
    #[serde(skip_serializing_if = "is_zero")]
    pub auction_unavailable: u16,
    /// See [`UnfilledReason::ConsentDenied`].
    #[serde(skip_serializing_if = "is_zero")]
    pub consent_denied: u16,
    /// See [`UnfilledReason::ContentUnsuitable`].
    #[serde(skip_serializing_if = "is_zero")]
    pub content_unsuitable: u16,
    /// See [`UnfilledReason::DurationExceeded`].
    #[serde(skip_serializing_if = "is_zero")]
    pub duration_exceeded: u16,
    /// See [`UnfilledReason::CompetitiveSeparation`].
    #[serde(skip_serializing_if = "is_zero")]
    pub competitive_separation: u16,
    /// See [`UnfilledReason::PacingThrottled`].
    #[serde(skip_serializing_if = "is_zero")]
    pub pacing_throttled: u16,
    /// See [`UnfilledReason::CapCheckUnavailable`].
    #[serde(skip_serializing_if = "is_zero")]
    pub cap_check_unavailable: u16,
    /// See [`UnfilledReason::FrequencyCapped`].
    #[serde(skip_serializing_if = "is_zero")]
    pub frequency_capped: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u16) -> bool {
    *count == 0
}

impl Eliminated {
    /// Counts one more candidate lost for `reason`. Losing the plan eliminates nobody: there were no candidates.
    pub fn count(&mut self, reason: UnfilledReason) {
        if let Some(counter) = self.counter(reason) {
            *counter = counter.saturating_add(1);
        }
    }

    /// The reason nearest to filling among those counted.
    pub fn nearest(&self) -> Option<UnfilledReason> {
        let mut counts = *self;
        UnfilledReason::ALL.iter().rev().copied().find(|reason| counts.counter(*reason).is_some_and(|n| *n > 0))
    }

    fn counter(&mut self, reason: UnfilledReason) -> Option<&mut u16> {
        match reason {
            UnfilledReason::PlanUnavailable => None,
            UnfilledReason::NoEligibleDemand => Some(&mut self.no_eligible_demand),
            UnfilledReason::AuctionUnavailable => Some(&mut self.auction_unavailable),
            UnfilledReason::ConsentDenied => Some(&mut self.consent_denied),
            UnfilledReason::ContentUnsuitable => Some(&mut self.content_unsuitable),
            UnfilledReason::DurationExceeded => Some(&mut self.duration_exceeded),
            UnfilledReason::CompetitiveSeparation => Some(&mut self.competitive_separation),
            UnfilledReason::PacingThrottled => Some(&mut self.pacing_throttled),
            UnfilledReason::CapCheckUnavailable => Some(&mut self.cap_check_unavailable),
            UnfilledReason::FrequencyCapped => Some(&mut self.frequency_capped),
        }
    }
}

/// An ad in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Why it is there.
    pub fill_reason: FillReason,
    /// The ad.
    pub ad_id: AdId,
    /// The ad as sold.
    pub record_id: RecordId,
    /// Whose it is.
    pub booking: Booking,
    /// Its length.
    pub duration_ms: u32,
    /// When its token and its claim die.
    pub expires_at: UnixMillis,
    /// The reservation against every cap that counts this showing; none if no cap does. It lives inside the fill, so there
    /// is no claim without a row.
    pub claim: Option<Claim>,
}

/// What became of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// An ad, explained.
    Filled(Fill),
    /// No ad, explained.
    Unfilled {
        /// The reason nearest to filling.
        unfilled_reason: UnfilledReason,
    },
}

/// How a pod was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// It is the best there is: every other was looked at or could not be better.
    #[default]
    Exact,
    /// It is good: the best found before looking at more would have taken too long.
    Greedy,
}

impl Search {
    /// The name in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Greedy => "greedy",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why what a client asks and reports is not billed: it is not a viewer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidTraffic {
    /// Its user agent names a crawler or another program that is no player.
    Crawler,
}

impl InvalidTraffic {
    /// The name in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crawler => "crawler",
        }
    }
}

/// The stored fact that a slot existed. One row a slot, always.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opportunity {
    /// Its key.
    pub opportunity_id: OpportunityId,
    /// The break it belongs to.
    pub break_id: BreakId,
    /// Its place in the break, from 0.
    pub slot_index: u8,
    /// Whose break, as a pseudonym.
    pub viewer: ViewerKey,
    /// What was watched.
    pub title_id: String,
    /// Where the break stood.
    pub position: BreakPosition,
    /// How long an ad could have been.
    pub max_duration_ms: u32,
    /// When it was decided.
    pub decided_at: UnixMillis,
    /// The plan decided from, if there was one.
    pub plan_version: Option<u64>,
    /// What it was decided from, all of it: see [`crate::decision::Decision`].
    #[serde(default)]
    pub decision_id: DecisionId,
    /// How its pod was found.
    #[serde(default, skip_serializing_if = "Search::is_default")]
    pub search: Search,
    /// If the request was not a viewer's: stored like any other, and never billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_traffic: Option<InvalidTraffic>,
    /// Filled or unfilled.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How many flights were looked at.
    pub candidates: u16,
    /// Why those lost that might not have stood in the slot, beside the ads that the pod holds in the others.
    pub eliminated: Eliminated,
}

impl Opportunity {
    /// The fill, if there is one.
    pub fn fill(&self) -> Option<&Fill> {
        match &self.outcome {
            Outcome::Filled(fill) => Some(fill),
            Outcome::Unfilled { .. } => None,
        }
    }
}

/// A decided break: one opportunity for every slot asked for, in order. Of a dynamic pod, one for every ad and, if time for
/// one more is left, one that is unfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// What it was decided from.
    pub decision: Decision,
    /// The slots.
    pub slots: Vec<Opportunity>,
}

impl Pod {
    /// The claims that this pod needs.
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.slots.iter().filter_map(|slot| slot.fill()?.claim.as_ref())
    }
}
