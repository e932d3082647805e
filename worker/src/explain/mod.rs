//! Explaining a stored slot: who else might have filled it, and why they did not.
//!
//! Nothing here says why; the decision is made again before a witness, who writes down what it is told.

mod candidates;
mod names;

use serde::Serialize;
use slotkeeper_core::{
    auction::Auction,
    caps::{CapState, Claim, ClaimState},
    consent::Permissions,
    decision::Decision,
    id::{DecisionId, OpportunityId},
    plan::PlanSource,
    pod::Pod,
    time::UnixMillis,
};

pub use candidates::{Candidate, CapCount, Fate};
pub use names::Named;

use crate::{
    fold::{Columns, Place},
    replay::{Difference, KeptPlan, ReplayError, Replayer, number, text},
};
use candidates::Hearing;
use names::Names;

/// Why a slot is what it is.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The row that stands for the slot.
    pub row: Row,
    /// The other rows of the slot, if there are any.
    pub superseded: Vec<Row>,
    /// What was asked.
    pub asked: Asked,
    /// Whom it was decided for.
    pub viewer: Viewer,
    /// What it was decided from.
    pub plan: Option<PlanShown>,
    /// Every flight that was looked at, as decided again: the winner, then those that lost, then those that might have stood
    /// here.
    pub candidates: Vec<Candidate>,
    /// How many flights of the plan require something that the request does not offer, and were not looked at.
    pub not_looked_at: usize,
    /// What an auction gave, if one was asked.
    pub auction: Auction,
    /// The outcome, decided again.
    pub replayed: Outcome,
    /// Where that differs from the row that stands: nowhere, or something is wrong.
    pub differences: Vec<Difference>,
}

impl Explanation {
    /// Whether deciding again gives the stored row.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

/// A stored row.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its key.
    pub opportunity_id: String,
    /// Its break.
    pub break_id: String,
    /// Its place in the break, from 0.
    pub slot_index: u64,
    /// Whether it stands.
    pub place: Place,
    /// `committed` or `uncommitted`.
    pub recording: String,
    /// What it was decided from.
    pub decision_id: String,
    /// The plan of that decision.
    pub plan_version: Option<u64>,
    /// When.
    pub decided_at_ms: u64,
    /// Why it is never billed, if it is not a viewer's.
    pub invalid_traffic: Option<String>,
    /// What became of the slot.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a slot.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// `filled` or `unfilled`.
    pub outcome: String,
    /// Why, in the one word of either.
    pub reason: String,
    /// What fills it.
    pub ad: Option<AdShown>,
}

/// An ad, by the names it has now.
#[derive(Debug, Serialize)]
pub struct AdShown {
    /// The pairing of creative and flight.
    pub ad_id: u64,
    /// The video.
    pub creative: Named,
    /// The contract.
    pub flight: Named,
    /// What it belongs to.
    pub campaign: Named,
    /// Who pays.
    pub advertiser: Named,
}

/// What was asked of the edge.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// What was watched.
    pub title_id: String,
    /// Where the break stood.
    pub position: &'static str,
    /// The longest ad that fits each slot; of a dynamic pod, the slots that it came to have.
    pub slots_ms: Vec<u32>,
    /// The most that all ads together might last.
    pub max_duration_ms: Option<u32>,
    /// As asked.
    pub tier: Option<String>,
    /// As asked.
    pub country: Option<String>,
    /// As asked.
    pub device: Option<String>,
    /// As asked.
    pub region: Option<String>,
    /// As asked, as far as the viewer allowed.
    pub segments: Vec<String>,
    /// Whether a viewing session was named.
    pub has_session: bool,
    /// What the viewer allowed.
    pub permissions: Permissions,
}

/// Whom it was decided for.
#[derive(Debug, Serialize)]
pub struct Viewer {
    /// The pseudonym.
    pub viewer: String,
    /// Their claims when the break was decided; null where the store could not say.
    pub claims: Option<Vec<ClaimShown>>,
}

/// A claim, as it was when the break was decided.
#[derive(Debug, Serialize)]
pub struct ClaimShown {
    /// The slot it was taken for.
    pub opportunity_id: String,
    /// `reserved` or `confirmed`.
    pub state: ClaimState,
    /// Of which creative …
    pub creative: Named,
    /// … in which flight …
    pub flight: Named,
    /// … of which campaign …
    pub campaign: Named,
    /// … of which advertiser.
    pub advertiser: Named,
    /// How long ago it was taken or, once confirmed, its ad began to play.
    pub age_ms: u64,
    /// How much longer its ad might still begin to play, if it had not.
    pub lease_left_ms: u64,
    /// How much longer a window could count it.
    pub counts_for_ms: u64,
}

/// The plan that was decided from.
#[derive(Debug, Serialize)]
pub struct PlanShown {
    /// Its number.
    pub version: u64,
    /// When it was made.
    pub created_at_ms: u64,
    /// How many flights it holds.
    pub flights: usize,
}

/// Explains the slot that `id` names: the row that stands for it, also where `id` is that of another of its rows; or, where another
/// decision of its break stands that has no such slot, the first of those that were superseded.
pub fn explain(replayer: &mut Replayer, id: OpportunityId) -> Result<Explanation, ReplayError> {
    let rows = replayer.rows_of(id)?;
    let (place, standing) = rows.first().ok_or(ReplayError::UnknownOpportunity(id))?;
    let (decision, slot_index) = decision_of(replayer, standing)?;
    let plan = decision.plan_version.map(|version| replayer.plan(version)).transpose()?;

    let mut hearing = Hearing::of(slot_index);
    let pod = Replayer::decide(&decision, plan.as_deref(), &mut hearing)?;
    let again = pod.slots.get(usize::from(slot_index)).ok_or_else(|| other_decision(standing))?;
    let differences = replayer.differences(standing, again)?;

    let names = Names::of(replayer.contracts());
    let replayed_columns = replayer.columns(standing, again)?;
    let candidates = hearing.candidates(&decision, &pod, plan.as_deref().map(|plan| &plan.source), &names)?;
    let flights = plan.as_deref().map_or(0, |plan: &KeptPlan| plan.source.flights.len());
    Ok(Explanation {
        not_looked_at: flights.saturating_sub(candidates.len()),
        row: row(&names, *place, standing)?,
        superseded: rows[1..].iter().map(|(place, columns)| row(&names, *place, columns)).collect::<Result<_, _>>()?,
        asked: asked(&decision, &pod),
        viewer: viewer(&names, &decision)?,
        plan: plan.as_deref().map(|plan| plan_shown(&plan.source)),
        candidates,
        auction: decision.auction.clone(),
        replayed: outcome(&names, &replayed_columns)?,
        differences,
    })
}

/// The decision that a row names is not the row's.
fn other_decision(row: &Columns) -> ReplayError {
    ReplayError::OtherDecision {
        slot: text(row, "opportunity_id").into(),
        decision_id: text(row, "decision_id").into(),
    }
}

/// What a stored row was decided from, and its place in that; an error where the two do not belong together.
fn decision_of(replayer: &Replayer, row: &Columns) -> Result<(Decision, u8), ReplayError> {
    let slot = text(row, "opportunity_id");
    let named = text(row, "decision_id");
    let unknown = || ReplayError::UnknownDecision { slot: slot.into(), decision_id: named.into() };
    let decision_id: DecisionId = named.parse().map_err(|_| unknown())?;
    let decision = replayer.decision(decision_id, slot)?;
    let index = number(row, "slot_index").and_then(|index| u8::try_from(index).ok()).unwrap_or(u8::MAX);
    if decision.break_id.to_string() != text(row, "break_id") || usize::from(index) >= decision.asked.slots_max() {
        return Err(other_decision(row));
    }
    Ok((decision, index))
}

fn row(names: &Names<'_>, place: Place, row: &Columns) -> rusqlite::Result<Row> {
    Ok(Row {
        opportunity_id: text(row, "opportunity_id").into(),
        break_id: text(row, "break_id").into(),
        slot_index: number(row, "slot_index").unwrap_or_default(),
        place,
        recording: text(row, "recording").into(),
        decision_id: text(row, "decision_id").into(),
        plan_version: number(row, "plan_version"),
        decided_at_ms: number(row, "decided_at_ms").unwrap_or_default(),
        invalid_traffic: Some(text(row, "invalid_traffic")).filter(|why| !why.is_empty()).map(Into::into),
        outcome: outcome(names, row)?,
    })
}

fn outcome(names: &Names<'_>, row: &Columns) -> rusqlite::Result<Outcome> {
    let id = |column| number(row, column).and_then(|id| u32::try_from(id).ok()).unwrap_or_default();
    let ad = |ad_id| {
        Ok::<_, rusqlite::Error>(AdShown {
            ad_id,
            creative: names.creative(id("creative_id"))?,
            flight: names.flight(id("flight_id"))?,
            campaign: names.campaign(id("campaign_id"))?,
            advertiser: names.advertiser(id("advertiser_id"))?,
        })
    };
    let filled = text(row, "outcome") == "filled";
    Ok(Outcome {
        outcome: text(row, "outcome").into(),
        reason: text(row, if filled { "fill_reason" } else { "unfilled_reason" }).into(),
        ad: number(row, "ad_id").map(ad).transpose()?,
    })
}

fn asked(decision: &Decision, pod: &Pod) -> Asked {
    Asked {
        title_id: decision.asked.title_id.clone(),
        position: decision.asked.position.as_str(),
        slots_ms: pod.slots.iter().map(|slot| slot.max_duration_ms).collect(),
        max_duration_ms: decision.asked.max_duration_ms,
        tier: decision.asked.tier.clone(),
        country: decision.asked.country.clone(),
        device: decision.asked.device.clone(),
        region: decision.asked.region.clone(),
        segments: decision.asked.segments.clone(),
        has_session: decision.session.is_some(),
        permissions: decision.permissions,
    }
}

fn viewer(names: &Names<'_>, decision: &Decision) -> rusqlite::Result<Viewer> {
    let now = decision.decided_at;
    let claims = match &decision.caps {
        CapState::Known(viewer) => {
            Some(viewer.claims().iter().map(|claim| claim_shown(names, claim, now)).collect::<Result<_, _>>()?)
        }
        CapState::Unavailable => None,
    };
    Ok(Viewer { viewer: decision.viewer.to_string(), claims })
}

fn claim_shown(names: &Names<'_>, claim: &Claim, now: UnixMillis) -> rusqlite::Result<ClaimShown> {
    let booking = claim.booking;
    Ok(ClaimShown {
        opportunity_id: claim.opportunity_id.to_string(),
        state: claim.state,
        creative: names.creative(booking.creative_id.0)?,
        flight: names.flight(booking.flight_id.0)?,
        campaign: names.campaign(booking.campaign_id.0)?,
        advertiser: names.advertiser(booking.advertiser_id.0)?,
        age_ms: now.since_ms(claim.at),
        lease_left_ms: claim.lease_until.since_ms(now),
        counts_for_ms: claim.counts_until.since_ms(now),
    })
}

fn plan_shown(source: &PlanSource) -> PlanShown {
    PlanShown { version: source.version, created_at_ms: source.created_at.0, flights: source.flights.len() }
}
