//! Why, beside the ads that the pod holds, every other candidate does not stand in a slot.

use alloc::vec::Vec;
use core::ops::Range;

use super::{
    Row, Witness,
    field::{Contender, Field},
    shape::{Place, Shape},
};
use crate::{
    contract::{DemandClass, PodPosition},
    pod::{Eliminated, UnfilledReason},
};

/// What keeps each candidate out of each slot of a pod.
pub(super) struct Verdicts<'v, 'f> {
    field: &'v Field<'f>,
    shape: &'v Shape<'v>,
    rows: &'v [Row],
    /// The slots that hold an ad.
    held: Vec<(usize, &'v Contender<'f>)>,
    /// How long all ads of the pod last, and how many of them take a claim.
    used_ms: u32,
    claims: usize,
    /// For each contender, what stands in its way.
    company: Vec<Company>,
    /// The slots whose verdicts are in `alone`, and those of each flight with which no ad of the pod has to do: in slots
    /// alike they are alike. Of the other flights, nothing.
    alike: Option<Opening<'v>>,
    alone: Vec<Option<Verdict>>,
}

/// What a slot offers beside the ads in the others.
#[derive(Clone, Copy)]
struct Opening<'v> {
    place: Place<'v>,
    room_ms: u32,
    takes_claims: bool,
}

impl Opening<'_> {
    /// Whether the two are the same to what may stand anywhere.
    fn is_like(&self, other: &Self) -> bool {
        self.place.is_like(&other.place) && self.room_ms == other.room_ms && self.takes_claims == other.takes_claims
    }
}

/// What became of a flight in a slot that another fills or none.
#[derive(Clone, Copy)]
enum Verdict {
    Lost(UnfilledReason),
    /// One of its ads might have stood there.
    Outranked,
}

/// Slots, one bit each.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Company {
    /// Those that hold an ad that may not be in a pod with the contender.
    rivals: u32,
    /// Those that hold an ad that a cap may count together with it.
    relations: u32,
}

impl<'v, 'f> Verdicts<'v, 'f> {
    pub(super) fn of(field: &'v Field<'f>, shape: &'v Shape<'v>, rows: &'v [Row]) -> Self {
        let held: Vec<(usize, &Contender<'_>)> =
            rows.iter().enumerate().filter_map(|(at, row)| Some((at, &field.contenders[row.holds?]))).collect();
        let company = |contender: &Contender<'_>| {
            let mut company = Company::default();
            for (at, other) in &held {
                company.rivals |= u32::from(contender.clashes(other)) << (at % 32);
                company.relations |= u32::from(contender.is_related(other)) << (at % 32);
            }
            company
        };
        Self {
            field,
            shape,
            rows,
            used_ms: held.iter().map(|(_, contender)| contender.duration_ms).sum(),
            claims: held.iter().filter(|(_, contender)| contender.counts_until.is_some()).count(),
            company: field.contenders.iter().map(company).collect(),
            held,
            alike: None,
            alone: Vec::new(),
        }
    }

    /// Tells a witness what became of every candidate in one slot. How many lost for which reason, those that may not run
    /// in this break at all included.
    pub(super) fn tell(&mut self, slot_index: u8, witness: &mut impl Witness) -> Eliminated {
        let mut eliminated = self.field.eliminated;
        let slot = usize::from(slot_index);
        let Some(opening) = self.opening(slot) else { return eliminated };
        if !self.alike.is_some_and(|other| other.is_like(&opening)) {
            let alone = |(_, contenders): &(_, Range<usize>)| {
                let is_alone =
                    |at: usize| self.company[at] == Company::default() && self.field.contenders[at].is_anywhere();
                contenders.clone().all(is_alone).then(|| self.verdict(slot, opening, contenders))
            };
            self.alone = self.field.flights.iter().map(alone).collect();
            self.alike = Some(opening);
        }
        let winner = self.rows[slot].holds;
        let wants_all = witness.wants_all();
        for ((flight, contenders), alone) in self.field.flights.iter().zip(&self.alone) {
            let is_booked = flight.class() != DemandClass::Auction; // a witness hears of flights
            if let Some(winner) = winner.filter(|winner| contenders.contains(winner)) {
                if is_booked {
                    witness.won(slot_index, flight.id(), self.field.contenders[winner].ad.ad_id());
                }
                continue;
            }
            match alone.unwrap_or_else(|| self.verdict(slot, opening, contenders)) {
                Verdict::Lost(reason) => {
                    eliminated.count(reason);
                    if is_booked {
                        witness.lost(Some(slot_index), flight.id(), reason);
                    }
                }
                Verdict::Outranked if wants_all && is_booked => witness.outranked(slot_index, flight.id()),
                Verdict::Outranked => {}
            }
        }
        eliminated
    }

    fn opening(&self, slot: usize) -> Option<Opening<'v>> {
        let stands_there = self.rows[slot].holds.map(|holds| &self.field.contenders[holds]);
        let others_ms = self.used_ms - stands_there.map_or(0, |held| held.duration_ms);
        let claims = self.claims - usize::from(stands_there.is_some_and(|held| held.counts_until.is_some()));
        Some(Opening {
            place: *self.shape.places.get(slot).or(self.shape.places.first())?,
            room_ms: self.shape.time_ms.saturating_sub(others_ms),
            takes_claims: claims < self.field.claims_left,
        })
    }

    /// Of what keeps a flight's ads out of a slot, what is nearest to filling.
    fn verdict(&self, slot: usize, opening: Opening<'_>, contenders: &Range<usize>) -> Verdict {
        let mut nearest = UnfilledReason::NoEligibleDemand;
        for at in contenders.clone() {
            match self.reason(slot, opening, at) {
                Some(reason) => nearest = nearest.max(reason),
                None => return Verdict::Outranked,
            }
        }
        Verdict::Lost(nearest)
    }

    /// What keeps a contender out of a slot; nothing, if it might have stood there.
    fn reason(&self, slot: usize, opening: Opening<'_>, at: usize) -> Option<UnfilledReason> {
        let contender = &self.field.contenders[at];
        let is_of_slot = contender.may_stand_at(slot) && self.may_stand(slot, contender);
        if !opening.place.is_for(contender.placement, contender.position) || !is_of_slot {
            return Some(UnfilledReason::NoEligibleDemand);
        }
        if !opening.place.takes(contender.duration_ms, opening.room_ms) {
            return Some(UnfilledReason::DurationExceeded);
        }
        let elsewhere = !(1u32 << (slot % 32));
        let company = self.company[at];
        if contender.bar == Some(UnfilledReason::CompetitiveSeparation) || company.rivals & elsewhere != 0 {
            return Some(UnfilledReason::CompetitiveSeparation);
        }
        if contender.bar.is_some() || contender.counts_until.is_none() {
            return contender.bar;
        }
        if opening.takes_claims && company.relations & elsewhere == 0 {
            return None;
        }
        self.field.keeps_caps(contender, self.others(slot)).err()
    }

    /// Whether its position allows a contender in this slot of a dynamic pod. In the one that is left unfilled, it might
    /// have stood if nothing else has its position: the pod is put in order afterwards.
    fn may_stand(&self, slot: usize, contender: &Contender<'_>) -> bool {
        if self.shape.pod.is_none() || contender.position == PodPosition::Any {
            return true;
        }
        match (self.rows[slot].holds, contender.position) {
            (None, _) => !self.others(slot).any(|other| contender.wants_place_of(other)),
            (Some(_), PodPosition::First) => slot == 0,
            (Some(_), _) => slot + 1 == self.held.len(),
        }
    }

    fn others(&self, slot: usize) -> impl Iterator<Item = &'v Contender<'f>> + Clone {
        self.held.iter().filter(move |(at, _)| *at != slot).map(|(_, other)| *other)
    }
}
