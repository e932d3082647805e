//! What may run in a break at all, whatever its slots are: dates, targeting, suitability.

use alloc::vec::Vec;

use super::Occasion;
use crate::{
    api::BreakRequest,
    contract::Rating,
    plan::{Dimension, FlightRecord, Plan, attribute},
    pod::UnfilledReason,
};

/// What a break says of itself, as flights ask for it.
pub(super) struct Eligibility<'a> {
    plan: &'a Plan<'a>,
    occasion: &'a Occasion<'a>,
    /// The bit of the title's rating; of a title that is not known, every bit: only what may run anywhere suits it.
    rating: u16,
    attributes: Vec<u64>,
}

impl<'a> Eligibility<'a> {
    pub(super) fn of(plan: &'a Plan<'a>, occasion: &'a Occasion<'a>) -> Self {
        let title = attribute(Dimension::Title, &occasion.request.title_id);
        let (rating, genres) = plan.title(title).unwrap_or((Rating::EVERY, &[]));
        let mut attributes = request_attributes(occasion.request);
        attributes.push(title);
        attributes.extend(genres.iter().map(|genre| genre.get()));
        Self { plan, occasion, rating, attributes }
    }

    /// What flights may target of this break; the plan's index is asked for these.
    pub(super) fn attributes(&self) -> &[u64] {
        &self.attributes
    }

    /// Whether `flight` may run in this break; if not, the reason farthest from filling.
    pub(super) fn check(&self, flight: &FlightRecord) -> Result<(), UnfilledReason> {
        if !flight.runs_at(self.occasion.now) || !self.plan.targets(flight, &self.attributes) {
            return Err(UnfilledReason::NoEligibleDemand);
        }
        if flight.ratings.get() & self.rating != self.rating {
            return Err(UnfilledReason::ContentUnsuitable);
        }
        Ok(())
    }
}

fn request_attributes(request: &BreakRequest) -> Vec<u64> {
    let given = [
        (Dimension::Position, Some(request.position.as_str())),
        (Dimension::Tier, request.tier.as_deref()),
        (Dimension::Country, request.country.as_deref()),
        (Dimension::Device, request.device.as_deref()),
    ];
    given.into_iter().filter_map(|(dimension, value)| Some(attribute(dimension, value?))).collect()
}
