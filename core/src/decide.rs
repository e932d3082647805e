//! Deciding: which ad fills each slot of a break, and why the others do not.
//!
//! [`decide`] is a pure function of the plan, the viewer's cap state, the request, the clock and a seed, so a decision
//! can be made again, and explained, from what was recorded.
//!
//! Per break, the flights that may match are found through the plan's index, filtered by what does not depend on the
//! slot, and put in order: guaranteed before house, and within a class by lottery in proportion to what each flight
//! still needs. Per slot, the first of them that fits, is separate from what the pod already holds, is not ahead of its
//! plan, and keeps every cap, fills it.

mod eligible;

use alloc::{string::String, vec::Vec};

use self::eligible::Eligibility;
use crate::{
    api::BreakRequest,
    caps::{CapState, Claim, ClaimState, Declined, Showing},
    consent::Permissions,
    contract::DemandClass,
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
    /// A flight lost: before any slot, or in one. In each slot a candidate loses at most once.
    fn lost(&mut self, _slot_index: Option<u8>, _flight: FlightId, _reason: UnfilledReason) {}
    /// A flight filled a slot with one of its ads.
    fn won(&mut self, _slot_index: u8, _flight: FlightId, _ad: AdId) {}
    /// A flight was not looked at for a slot, because one before it had won. Told only if [`wants_all`](Self::wants_all).
    fn outranked(&mut self, _slot_index: u8, _flight: FlightId) {}
    /// Whether it wants to hear of those that were not looked at.
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
    let decision_id = decision.id();
    let Some(plan) = plan.filter(|plan| plan.is_valid_at(occasion.now)) else {
        let version = plan.map(Plan::version);
        let slots = (0..).zip(&occasion.request.slots).map(|(index, slot)| {
            let outcome = Outcome::Unfilled { unfilled_reason: UnfilledReason::PlanUnavailable };
            let of_plan = (version, decision_id);
            opportunity(occasion, of_plan, index, slot.max_duration_ms, outcome, 0, Eliminated::default())
        });
        return Pod { slots: slots.collect(), decision };
    };
    let field = Field::gather(plan, occasion, witness);
    let mut break_so_far = BreakSoFar {
        caps: caps.clone(),
        left_ms: occasion.request.max_duration_ms.unwrap_or(u32::MAX),
        shown: Vec::new(),
    };
    let slots = (0..).zip(&occasion.request.slots).map(|(index, slot)| {
        let mut eliminated = field.eliminated;
        let winner =
            field.fill(plan, &mut break_so_far, (index, slot.max_duration_ms), occasion, &mut eliminated, witness);
        let outcome = match winner {
            Some((flight, ad)) => Outcome::Filled(break_so_far.take(plan, flight, ad, occasion, index)),
            None => {
                Outcome::Unfilled { unfilled_reason: eliminated.nearest().unwrap_or(UnfilledReason::NoEligibleDemand) }
            }
        };
        let candidates = u16::try_from(field.considered).unwrap_or(u16::MAX);
        let of_plan = (Some(plan.version()), decision_id);
        opportunity(occasion, of_plan, index, slot.max_duration_ms, outcome, candidates, eliminated)
    });
    Pod { slots: slots.collect(), decision }
}

fn opportunity(
    occasion: &Occasion<'_>,
    (plan_version, decision_id): (Option<u64>, DecisionId),
    slot_index: u8,
    max_duration_ms: u32,
    outcome: Outcome,
    candidates: u16,
    eliminated: Eliminated,
) -> Opportunity {
    Opportunity {
        opportunity_id: OpportunityId::mint(occasion.break_id, slot_index, occasion.opened_at),
        break_id: occasion.break_id,
        slot_index,
        viewer: occasion.viewer,
        title_id: String::from(&*occasion.request.title_id),
        position: occasion.request.position,
        max_duration_ms,
        decided_at: occasion.now,
        plan_version,
        decision_id,
        search: Search::Exact,
        invalid_traffic: occasion.invalid_traffic,
        outcome,
        candidates,
        eliminated,
    }
}

/// The flights that compete in a break, best first, and what became of those that cannot.
struct Field<'a> {
    competing: Vec<&'a FlightRecord>,
    considered: usize,
    eliminated: Eliminated,
}

impl<'a> Field<'a> {
    fn gather(plan: &Plan<'a>, occasion: &Occasion<'_>, witness: &mut impl Witness) -> Self {
        let eligibility = Eligibility::of(plan, occasion);
        let found = plan.candidates(eligibility.attributes());
        let mut eliminated = Eliminated::default();
        let mut ranked = Vec::with_capacity(found.len());
        for flight in found.iter().filter_map(|index| plan.flight(*index)) {
            match eligibility.check(flight) {
                Ok(()) => ranked.push((flight.class(), lottery_ticket(flight, occasion.break_id), flight)),
                Err(reason) => {
                    eliminated.count(reason);
                    witness.lost(None, flight.id(), reason);
                }
            }
        }
        ranked.sort_unstable_by_key(|(class, ticket, flight)| (*class, *ticket, flight.flight_id.get()));
        let competing = ranked.into_iter().map(|(_, _, flight)| flight).collect();
        Self { competing, considered: found.len(), eliminated }
    }

    /// The first competitor that may fill a slot. Counts why those before it may not.
    fn fill(
        &self,
        plan: &Plan<'a>,
        break_so_far: &mut BreakSoFar<'a>,
        (slot_index, slot_ms): (u8, u32),
        occasion: &Occasion<'_>,
        eliminated: &mut Eliminated,
        witness: &mut impl Witness,
    ) -> Option<(&'a FlightRecord, &'a AdRecord)> {
        let mut competing = self.competing.iter();
        let winner = competing.find_map(|flight| match break_so_far.admit(plan, flight, slot_ms, occasion) {
            Ok(ad) => Some((*flight, ad)),
            Err(reason) => {
                eliminated.count(reason);
                witness.lost(Some(slot_index), flight.id(), reason);
                None
            }
        });
        if let Some((flight, ad)) = winner {
            witness.won(slot_index, flight.id(), ad.ad_id());
        }
        if witness.wants_all() {
            competing.for_each(|flight| witness.outranked(slot_index, flight.id()));
        }
        winner
    }
}

/// What the slots decided so far leave to the next one.
struct BreakSoFar<'a> {
    /// Including the claims of this pod.
    caps: CapState,
    left_ms: u32,
    shown: Vec<(&'a FlightRecord, &'a AdRecord)>,
}

impl<'a> BreakSoFar<'a> {
    /// The ad that `flight` would show in a slot, or the first reason why none.
    fn admit(
        &self,
        plan: &Plan<'a>,
        flight: &FlightRecord,
        slot_ms: u32,
        occasion: &Occasion<'_>,
    ) -> Result<&'a AdRecord, UnfilledReason> {
        let ads = plan.ads(flight);
        let room_ms = slot_ms.min(self.left_ms);
        let mut fitting = ads.iter().filter(|ad| ad.duration_ms.get() <= room_ms).peekable();
        if fitting.peek().is_none() {
            return Err(UnfilledReason::DurationExceeded);
        }
        if !self.is_separate(flight) {
            return Err(UnfilledReason::CompetitiveSeparation);
        }
        let is_new = |ad: &&AdRecord| self.shown.iter().all(|(_, shown)| shown.creative_id != ad.creative_id);
        let mut fresh: Vec<&AdRecord> = fitting.filter(is_new).collect();
        if fresh.is_empty() {
            return Err(UnfilledReason::CompetitiveSeparation);
        }
        if flight.class() == DemandClass::Guaranteed && flight.allocation.get() == 0 {
            return Err(UnfilledReason::PacingThrottled);
        }
        self.keep_allowed(plan, flight, &mut fresh, occasion)?;
        pick(&fresh, occasion.break_id, flight).ok_or(UnfilledReason::CompetitiveSeparation)
    }

    /// Keeps the ads of `flight` that its caps and their own allow; the reason if there are none. A flight without caps
    /// of its own needs the viewer's state all the same when a cap of another flight counts its showings.
    fn keep_allowed(
        &self,
        plan: &Plan<'a>,
        flight: &FlightRecord,
        ads: &mut Vec<&'a AdRecord>,
        occasion: &Occasion<'_>,
    ) -> Result<(), UnfilledReason> {
        if flight.horizon().counts_until(occasion.now).is_none() {
            return Ok(()); // no cap of any flight counts it
        }
        let caps = plan.caps(flight);
        let CapState::Known(viewer) = &self.caps else { return Err(UnfilledReason::CapCheckUnavailable) };
        let mut reason = UnfilledReason::FrequencyCapped;
        let allowed = |ad: &AdRecord| {
            let showing = occasion.showing(flight, ad);
            viewer.allows(&caps, &showing, occasion.now)?;
            viewer.allows(&plan.caps_of_ad(ad), &showing, occasion.now)
        };
        ads.retain(|ad| match allowed(ad) {
            Ok(()) => true,
            Err(Declined::Capped) => false,
            Err(Declined::Full | Declined::NoSession) => {
                reason = UnfilledReason::CapCheckUnavailable;
                false
            }
        });
        if ads.is_empty() { Err(reason) } else { Ok(()) }
    }

    /// No two paid ads of one advertiser or of one category in a pod. House ads compete with nobody.
    fn is_separate(&self, flight: &FlightRecord) -> bool {
        let clashes = |(shown, _): &(&FlightRecord, &AdRecord)| {
            shown.class() == DemandClass::Guaranteed
                && (shown.advertiser_id == flight.advertiser_id
                    || (flight.category.get() != 0 && shown.category == flight.category))
        };
        flight.class() == DemandClass::House || !self.shown.iter().any(clashes)
    }

    /// Gives the slot to `ad` and takes its claim.
    fn take(
        &mut self,
        plan: &Plan<'a>,
        flight: &'a FlightRecord,
        ad: &'a AdRecord,
        occasion: &Occasion<'_>,
        slot_index: u8,
    ) -> Fill {
        let booking = flight.booking(ad);
        let expires_at = occasion.now.plus_ms(plan.lease_ms());
        let claim = flight.horizon().counts_until(occasion.now).map(|counts_until| Claim {
            opportunity_id: OpportunityId::mint(occasion.break_id, slot_index, occasion.opened_at),
            booking,
            session: occasion.session,
            state: ClaimState::Reserved,
            at: occasion.now,
            lease_until: expires_at,
            counts_until,
        });
        if let (CapState::Known(viewer), Some(claim)) = (&mut self.caps, claim) {
            viewer.add(claim);
        }
        self.left_ms = self.left_ms.saturating_sub(ad.duration_ms.get());
        self.shown.push((flight, ad));
        Fill {
            fill_reason: match flight.class() {
                DemandClass::Guaranteed => FillReason::Guaranteed,
                DemandClass::House => FillReason::HouseAd,
            },
            ad_id: ad.ad_id(),
            record_id: ad.record_id(),
            booking,
            duration_ms: ad.duration_ms.get(),
            expires_at,
            claim,
        }
    }
}

/// Which of a flight's creatives: evenly, at random by break.
fn pick<'a>(fresh: &[&'a AdRecord], break_id: BreakId, flight: &FlightRecord) -> Option<&'a AdRecord> {
    let draw = random(break_id, u64::from(flight.flight_id.get()) | 1 << 32);
    let index = usize::try_from(draw % fresh.len().max(1) as u64).unwrap_or_default();
    fresh.get(index).copied()
}

/// A flight's ticket in the lottery of its class; the lowest wins. Each flight wins with a probability in proportion to
/// its allocation: the exponential variates of Efraimidis and Spirakis (2006), `-ln(u) / weight`, in integers so that
/// every platform draws the same. A throttled flight has the last ticket.
fn lottery_ticket(flight: &FlightRecord, break_id: BreakId) -> u64 {
    match u64::from(flight.allocation.get()) {
        0 => u64::MAX,
        weight => (neg_log2_q32(random(break_id, flight.flight_id.get().into())) << 20) / weight,
    }
}

/// `-log2((draw + 1) / 2^32)` of the draw's upper 32 bits, as fixed point with 32 fraction bits. At most 32 in value, so
/// it fits 38 bits.
fn neg_log2_q32(draw: u64) -> u64 {
    let u = (draw >> 32) + 1; // 1 ..= 2^32
    let whole = u.ilog2();
    // The mantissa in [1, 2) with 31 fraction bits; each squaring brings out one more bit of the logarithm.
    let mut mantissa = if whole <= 31 { u << (31 - whole) } else { 1 << 31 };
    let mut fraction = 0u64;
    for bit in (16..32).rev() {
        mantissa = (mantissa * mantissa) >> 31;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            fraction |= 1 << bit;
        }
    }
    (32 << 32) - ((u64::from(whole) << 32) | fraction)
}

/// 64 random bits, the same for the same break and `stream`: SplitMix64 (Steele, Lea and Flood 2014) over the break id,
/// which is itself the output of a keyed hash.
fn random(break_id: BreakId, stream: u64) -> u64 {
    let half = |bytes: &[u8]| bytes.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    let seed = half(&break_id.0[..8]) ^ half(&break_id.0[8..]).rotate_left(32);
    let mut word = seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests;
