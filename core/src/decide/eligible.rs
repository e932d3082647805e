//! What may run in a break at all, whatever its slots are: dates and times, targeting, exclusions, consent, suitability.
//!
//! A flight that may not run has one reason, the farthest from filling of those that are true: it was not sold for this
//! break (`no_eligible_demand`), it needs what the viewer does not allow (`consent_denied`), or it must not run in this
//! title (`content_unsuitable`).

use alloc::vec::Vec;

use super::Occasion;
use crate::{
    consent::Identity,
    contract::Rating,
    plan::{ANY_VALUE, Dimension, FlightRecord, Plan, attribute},
    pod::UnfilledReason,
};

/// What a break says of itself, as flights ask for it.
pub(super) struct Eligibility<'a> {
    plan: &'a Plan<'a>,
    occasion: &'a Occasion<'a>,
    /// The bit of the title's rating; of a title that is not known, every bit: only what may run anywhere suits it.
    rating: u16,
    /// All that flights may target. Of a viewer whose segments must not be used, any segment matches here.
    targetable: Vec<u64>,
    /// What is known of the viewer and of the break's place, for exclusions.
    of_viewing: Vec<u64>,
    /// What is known of the title, for exclusions. Of one that is not known, any genre.
    of_title: Vec<u64>,
}

impl<'a> Eligibility<'a> {
    pub(super) fn of(plan: &'a Plan<'a>, occasion: &'a Occasion<'a>) -> Self {
        let title = attribute(Dimension::Title, &occasion.request.title_id);
        let known = plan.title(title);
        let (rating, genres) = known.unwrap_or((Rating::EVERY, &[]));
        let mut of_title: Vec<u64> = core::iter::once(title).chain(genres.iter().map(|genre| genre.get())).collect();
        let of_viewing = viewing_attributes(occasion);
        let mut targetable = of_viewing.clone();
        targetable.extend(&of_title);
        if occasion.permissions.no_segments {
            targetable.push(attribute(Dimension::Segment, ANY_VALUE));
        }
        if known.is_none() {
            of_title.push(attribute(Dimension::Genre, ANY_VALUE));
        }
        Self { plan, occasion, rating, targetable, of_viewing, of_title }
    }

    /// What flights may target of this break; the plan's index is asked for these.
    pub(super) fn attributes(&self) -> &[u64] {
        &self.targetable
    }

    /// Whether `flight` may run in this break; if not, the reason farthest from filling.
    pub(super) fn check(&self, flight: &FlightRecord) -> Result<(), UnfilledReason> {
        let now = self.occasion.now;
        let is_sold_for_this = flight.runs_at(now)
            && self.plan.airs_at(flight, now)
            && self.plan.targets(flight, &self.targetable)
            && !self.plan.excludes(flight, &self.of_viewing);
        if !is_sold_for_this {
            return Err(UnfilledReason::NoEligibleDemand);
        }
        if !self.is_allowed(flight) {
            return Err(UnfilledReason::ConsentDenied);
        }
        let is_suitable = flight.ratings.get() & self.rating == self.rating
            && flight.excluded_ratings.get() & self.rating == 0
            && !self.plan.excludes(flight, &self.of_title);
        if is_suitable { Ok(()) } else { Err(UnfilledReason::ContentUnsuitable) }
    }

    /// Whether the viewer allows what it takes to keep this flight's terms: their segments, where it targets or excludes
    /// by any, and to be recognised in another session, where a cap counts its showings for longer than one.
    fn is_allowed(&self, flight: &FlightRecord) -> bool {
        let permissions = self.occasion.permissions;
        let needs_identity = permissions.identity == Identity::Session && flight.horizon().crosses_sessions;
        let needs_segments = permissions.no_segments && self.plan.asks_for_segments(flight);
        !needs_identity && !needs_segments
    }
}

fn viewing_attributes(occasion: &Occasion<'_>) -> Vec<u64> {
    let request = occasion.request;
    // A region of ISO 3166-2 begins with its country.
    let country_of_region = request.region.as_deref().and_then(|region| Some(region.split_once('-')?.0));
    let given = [
        (Dimension::Position, Some(request.position.as_str())),
        (Dimension::Tier, request.tier.as_deref()),
        (Dimension::Country, request.country.as_deref().or(country_of_region)),
        (Dimension::Region, request.region.as_deref()),
        (Dimension::Device, request.device.as_deref()),
    ];
    let of_request = given.into_iter().filter_map(|(dimension, value)| Some(attribute(dimension, value?)));
    let segments: &[_] = if occasion.permissions.no_segments { &[] } else { &request.segments };
    of_request.chain(segments.iter().map(|segment| attribute(Dimension::Segment, segment))).collect()
}
