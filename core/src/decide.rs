//! Deciding: which ad fills each slot of a break, and why the others do not.
//!
//! [`decide`] is a pure function of the plan, the viewer's cap state, the request, the clock and a seed, so a decision
//! can be made again, and explained, from what was recorded.
//!
//! Per break, the flights that may match are found through the plan's index and filtered by what does not depend on the
//! pod. Each ad of the others draws a ticket in the break's lottery, in proportion to what its flight still needs and to
//! its share among the flight's ads. An ad is worth its length times its ticket, and the pod is the one worth most: of
//! guaranteed demand first, then of promotions. So among ads of one length the lottery alone decides; for one slot, a
//! flight wins in proportion to the seconds it still needs; and a pod is filled to the second rather than left short.
//!
//! What may stand together (lengths, the break's time, competitive separation, positions, creatives, caps) binds the pod
//! as a whole, in whatever order it is played.

mod eligible;
mod field;
mod lottery;
mod search;
mod shape;
mod verdict;

use alloc::{string::String, vec::Vec};

pub use self::search::{Effort, LOOKS_MAX, Worth};
use self::{
    field::{Field, OfferRecord},
    shape::Shape,
    verdict::Verdicts,
};
use crate::{
    api::BreakRequest,
    auction::Auction,
    caps::{CapState, Claim, ClaimState, Showing},
    consent::Permissions,
    contract::{DemandClass, PodPosition},
    decision::Decision,
    id::{AdId, BreakId, DecisionId, FlightId, OpportunityId, SessionKey, ViewerKey},
    plan::{AdRecord, FlightRecord, Plan},
    pod::{Eliminated, Fill, FillReason, InvalidTraffic, Opportunity, Outcome, Pod, Search, UnfilledReason},
    time::UnixMillis,
};

/// What a decision is about, apart from the plan and the caps.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// What was asked; validated.
    pub request: &'a BreakRequest,
    /// The break's identity; also the seed of its lottery.
    pub break_id: BreakId,
    /// Who watches.
    pub viewer: ViewerKey,
    /// In which viewing session, if the caller named one.
    pub session: Option<SessionKey>,
    /// What the viewer allows.
    pub permissions: Permissions,
    /// If the request is not a viewer's.
    pub invalid_traffic: Option<InvalidTraffic>,
    /// What an auction gave.
    pub auction: &'a Auction,
    /// When the break opened: the time in its opportunity ids.
    pub opened_at: UnixMillis,
    /// The clock.
    pub now: UnixMillis,
}

impl Occasion<'_> {
    fn showing(&self, flight: &FlightRecord, ad: &AdRecord) -> Showing {
        Showing {
            booking: flight.booking(ad),
            flight_starts_at: flight.starts_at(),
            break_stem: self.break_id.stem(),
            session: self.session,
        }
    }
}

/// Told of what happens to every candidate while a break is decided; `()` is told and forgets. What it does not override
/// costs nothing.
pub trait Witness {
    /// A flight lost: before any slot, or in one, beside the ads that the pod holds in the others. In each slot a
    /// candidate loses at most once, for the reason nearest to filling among its ads'.
    fn lost(&mut self, _slot_index: Option<u8>, _flight: FlightId, _reason: UnfilledReason) {}
    /// A flight filled a slot with one of its ads.
    fn won(&mut self, _slot_index: u8, _flight: FlightId, _ad: AdId) {}
    /// A flight might have stood in a slot, and the pod is worth more without. Told only if [`wants_all`](Self::wants_all).
    fn outranked(&mut self, _slot_index: u8, _flight: FlightId) {}
    /// The pod was found. Told once, unless there was no plan.
    fn searched(&mut self, _effort: &Effort) {}
    /// Whether it wants to hear of those that might have stood in a slot.
    fn wants_all(&self) -> bool {
        false
    }
}

impl Witness for () {}

/// Decides every slot of a break. Without a plan, or with one out of its validity, every slot is honestly empty.
pub fn decide(plan: Option<&Plan<'_>>, caps: &CapState, occasion: &Occasion<'_>) -> Pod {
    decide_before(plan, caps, occasion, &mut ())
}

/// [`decide`] before a witness, who changes nothing.
pub fn decide_before(
    plan: Option<&Plan<'_>>,
    caps: &CapState,
    occasion: &Occasion<'_>,
    witness: &mut impl Witness,
) -> Pod {
    let decision = Decision::of(plan, caps, occasion);
    let scribe = Scribe { occasion, plan_version: plan.map(Plan::version), decision_id: decision.id() };
    let slots = match plan.filter(|plan| plan.is_valid_at(occasion.now)) {
        Some(plan) => decide_from(plan, caps, &scribe, witness),
        None => scribe.without_plan(),
    };
    Pod { decision, slots }
}

fn decide_from(plan: &Plan<'_>, caps: &CapState, scribe: &Scribe<'_>, witness: &mut impl Witness) -> Vec<Opportunity> {
    let occasion = scribe.occasion;
    let shape = Shape::of(occasion.request);
    let offers: Vec<OfferRecord> = occasion.auction.offers().iter().map(OfferRecord::of).collect();
    let field = Field::gather(plan, caps, &shape, occasion, &offers, witness);
    let found = search::best(&field, &shape);
    witness.searched(&found.effort);
    let rows = rows(&field, &shape, &found);
    let mut verdicts = Verdicts::of(&field, &shape, &rows);
    let candidates = u16::try_from(field.considered).unwrap_or(u16::MAX);
    let is_unasked = matches!(occasion.auction, Auction::Unavailable { .. });
    let slots = (0..).zip(&rows).map(|(index, row)| {
        let mut eliminated = verdicts.tell(index, witness);
        let holds = row.holds.map(|at| &field.contenders[at]);
        let is_wanted = shape.is_for_ads(index) && holds.is_none_or(|holds| holds.class != DemandClass::Guaranteed);
        if is_unasked && is_wanted {
            eliminated.count(UnfilledReason::AuctionUnavailable);
        }
        let outcome = match holds {
            Some(contender) => Outcome::Filled(scribe.fill(plan, contender, index)),
            None => {
                Outcome::Unfilled { unfilled_reason: eliminated.nearest().unwrap_or(UnfilledReason::NoEligibleDemand) }
            }
        };
        Opportunity { search: found.effort.search, candidates, eliminated, ..scribe.row(index, row.max_ms, outcome) }
    });
    slots.collect()
}

/// A slot of the pod that was found.
struct Row {
    max_ms: u32,
    /// Which of the field's contenders fills it.
    holds: Option<usize>,
}

/// The slots in playing order. Where the order is free, what is worth most comes first: a viewer may leave.
fn rows(field: &Field<'_>, shape: &Shape<'_>, found: &search::Found) -> Vec<Row> {
    let mut chosen = found.chosen.clone();
    let place = |at: usize| match field.contenders[at].position {
        PodPosition::First => 0,
        PodPosition::Any => 1,
        PodPosition::Last => 2,
    };
    chosen.sort_by_key(|(_, at)| (core::cmp::Reverse(field.contenders[*at].value), *at));
    if shape.pod.is_none() {
        let mut rows: Vec<Row> = shape.places.iter().map(|place| Row { max_ms: place.max_ms, holds: None }).collect();
        let mut taken: Vec<_> = found.groups.iter().map(|places| places.iter()).collect();
        for (group, at) in chosen {
            if let Some(row) = taken[group].next().and_then(|place| rows.get_mut(*place)) {
                row.holds = Some(at);
            }
        }
        return rows;
    }
    chosen.sort_by_key(|(_, at)| place(*at));
    let mut left_ms = shape.time_ms;
    let mut rows = Vec::with_capacity(chosen.len() + 1);
    for (_, at) in chosen {
        rows.push(Row { max_ms: shape.slot_ms(left_ms), holds: Some(at) });
        left_ms = left_ms.saturating_sub(field.contenders[at].duration_ms);
    }
    if shape.has_open_slot(rows.len(), left_ms) {
        rows.push(Row { max_ms: shape.slot_ms(left_ms), holds: None });
    }
    rows
}

/// Writes rows of one break.
struct Scribe<'a> {
    occasion: &'a Occasion<'a>,
    plan_version: Option<u64>,
    decision_id: DecisionId,
}

impl Scribe<'_> {
    fn row(&self, slot_index: u8, max_duration_ms: u32, outcome: Outcome) -> Opportunity {
        let occasion = self.occasion;
        Opportunity {
            opportunity_id: OpportunityId::mint(occasion.break_id, slot_index, occasion.opened_at),
            break_id: occasion.break_id,
            slot_index,
            viewer: occasion.viewer,
            title_id: String::from(&*occasion.request.title_id),
            position: occasion.request.position,
            max_duration_ms,
            decided_at: occasion.now,
            plan_version: self.plan_version,
            decision_id: self.decision_id,
            search: Search::Exact,
            invalid_traffic: occasion.invalid_traffic,
            outcome,
            candidates: 0,
            eliminated: Eliminated::default(),
        }
    }

    /// Every slot that was asked for; of a dynamic pod, one of its whole length.
    fn without_plan(&self) -> Vec<Opportunity> {
        let request = self.occasion.request;
        let lengths = request.slots.iter().map(|slot| slot.max_duration_ms);
        let lengths = lengths.chain(request.pod.as_ref().map(|pod| pod.duration_ms));
        let unavailable = Outcome::Unfilled { unfilled_reason: UnfilledReason::PlanUnavailable };
        (0..).zip(lengths).map(|(index, length_ms)| self.row(index, length_ms, unavailable.clone())).collect()
    }

    fn fill(&self, plan: &Plan<'_>, contender: &field::Contender<'_>, slot_index: u8) -> Fill {
        let occasion = self.occasion;
        let expires_at = occasion.now.plus_ms(plan.lease_ms());
        let claim = contender.counts_until.map(|counts_until| Claim {
            opportunity_id: OpportunityId::mint(occasion.break_id, slot_index, occasion.opened_at),
            booking: contender.booking,
            session: occasion.session,
            state: ClaimState::Reserved,
            at: occasion.now,
            lease_until: expires_at,
            counts_until,
        });
        Fill {
            fill_reason: match contender.class {
                DemandClass::Guaranteed => FillReason::Guaranteed,
                DemandClass::Auction => FillReason::Auction,
                DemandClass::House => FillReason::HouseAd,
            },
            ad_id: contender.ad.ad_id(),
            record_id: contender.ad.record_id(),
            booking: contender.booking,
            duration_ms: contender.duration_ms,
            expires_at,
            claim,
        }
    }
}

#[cfg(test)]
mod tests;
