//! Frequency caps: what a viewer has been promised not to exceed.
//!
//! A viewer's cap state is the list of live [`Claim`]s, one for each capped fill. Every limit (per creative, campaign or
//! advertiser, over any window) is a count over that list, so all cap rules live in [`Viewer::allows`], and a store needs
//! to know only one: *replace this viewer's list if nobody else has meanwhile*. One claim reserves against every cap of
//! its ad at once.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::{
    id::{AdvertiserId, CampaignId, CreativeId, FlightId, OpportunityId},
    time::UnixMillis,
};

/// The most live claims one viewer may hold. A viewer past it gets no more capped ads until some claims end.
pub const CLAIMS_MAX: usize = 512;

/// The most caps one flight may carry.
pub const CAPS_PER_FLIGHT_MAX: usize = 8;

/// How long claims under a lifetime cap are kept after the flight's end, in milliseconds: 62 days. A flight that is
/// extended by no more than this keeps counting what was shown before.
pub const LIFETIME_GRACE_MS: u64 = 62 * 24 * 3_600_000;

/// What a cap counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapScope {
    /// Showings of the one creative, wherever it is booked.
    Creative,
    /// Showings of the flight.
    Flight,
    /// Showings of any flight of the campaign.
    Campaign,
    /// Showings of anything of the advertiser.
    Advertiser,
}

/// Over which time a cap counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The `ms` milliseconds before the decision, wherever that falls in the calendar.
    Rolling {
        /// Length in milliseconds; more than 0.
        ms: u64,
    },
    /// From the flight's start to its end.
    Lifetime,
}

/// A limit on showings to one viewer: at most `limit` claims in `scope` within `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// What is counted.
    pub scope: CapScope,
    /// How many are allowed; 0 allows none.
    pub limit: u32,
    /// Over which time.
    pub window: Window,
}

/// Whose showing a claim counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// Who buys.
    pub advertiser_id: AdvertiserId,
    /// What they buy.
    pub campaign_id: CampaignId,
    /// The contract.
    pub flight_id: FlightId,
    /// The video.
    pub creative_id: CreativeId,
}

/// A reservation against every cap that counts one showing, taken together with the fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The slot it was taken for; no claim exists without that slot's row.
    pub opportunity_id: OpportunityId,
    /// What it counts against.
    pub booking: Booking,
    /// When it was taken.
    pub at: UnixMillis,
    /// When the last window it could count in has passed, and it may be forgotten.
    pub counts_until: UnixMillis,
}

impl Claim {
    /// Whether this claim counts against `cap` as carried by `booking`, at `now`.
    ///
    /// A claim from the future (another edge's clock runs ahead) counts: that errs towards showing less.
    fn counts(&self, cap: &Cap, booking: &Booking, flight_starts_at: UnixMillis, now: UnixMillis) -> bool {
        let same = match cap.scope {
            CapScope::Creative => self.booking.creative_id == booking.creative_id,
            CapScope::Flight => self.booking.flight_id == booking.flight_id,
            CapScope::Campaign => self.booking.campaign_id == booking.campaign_id,
            CapScope::Advertiser => self.booking.advertiser_id == booking.advertiser_id,
        };
        same && match cap.window {
            Window::Rolling { ms } => self.at.plus_ms(ms) > now,
            Window::Lifetime => self.at >= flight_starts_at,
        }
    }
}

/// What one viewer has been shown, as far as any cap still cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Viewer {
    claims: Vec<Claim>,
}

/// What is known of a viewer's caps when a decision is made.
#[derive(Clone, Debug)]
pub enum CapState {
    /// The store answered.
    Known(Viewer),
    /// Missing, slow, ambiguous or unreadable: capped candidates are declined, the others compete.
    Unavailable,
}

/// A viewer's stored state could not be read back, so no cap of theirs can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a viewer's state of {len} bytes is not a list of at most {CLAIMS_MAX} claims of {size} bytes", size = size_of::<Record>())]
pub struct UnreadableViewer {
    /// How long the stored bytes were.
    pub len: usize,
}

/// Why a claim could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// A cap is reached.
    Capped,
    /// The viewer already holds [`CLAIMS_MAX`] live claims.
    Full,
}

impl Viewer {
    /// The live claims, oldest first.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// Whether one more showing of `booking` at `now` keeps every one of `caps`, which a flight carries that began at
    /// `flight_starts_at`.
    pub fn allows(
        &self,
        caps: &[Cap],
        booking: &Booking,
        flight_starts_at: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), Declined> {
        if self.claims.len() >= CLAIMS_MAX {
            return Err(Declined::Full);
        }
        for cap in caps {
            let live = self.claims.iter().filter(|claim| claim.counts(cap, booking, flight_starts_at, now)).count();
            if live >= cap.limit as usize {
                return Err(Declined::Capped);
            }
        }
        Ok(())
    }

    /// Adds a claim that [`allows`](Self::allows) has just let pass.
    pub fn add(&mut self, claim: Claim) {
        debug_assert!(self.claims.len() < CLAIMS_MAX, "allows() was not asked first");
        self.claims.push(claim);
    }

    /// Drops the claims that no window can count any more.
    pub fn forget_ended(&mut self, now: UnixMillis) {
        self.claims.retain(|claim| claim.counts_until > now);
    }

    /// When the whole state may be forgotten: the latest `counts_until`.
    pub fn keep_until(&self) -> UnixMillis {
        self.claims.iter().map(|claim| claim.counts_until).max().unwrap_or_default()
    }

    /// The stored form: fixed-size little-endian records, one a claim.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.claims.len() * size_of::<Record>());
        for claim in &self.claims {
            bytes.extend_from_slice(Record::from(claim).as_bytes());
        }
        bytes
    }

    /// Reads the stored form back. Anything odd is an error, never an empty list: an unreadable viewer is not a new one.
    pub fn decode(bytes: &[u8]) -> Result<Self, UnreadableViewer> {
        let unreadable = UnreadableViewer { len: bytes.len() };
        let records = <[Record]>::ref_from_bytes(bytes).map_err(|_| unreadable)?;
        if records.len() > CLAIMS_MAX {
            return Err(unreadable);
        }
        Ok(Self { claims: records.iter().map(Claim::from).collect() })
    }
}

/// How long a showing matters to caps: to those of its own flight and to those of every flight that shares its
/// campaign, advertiser or creative.
///
/// The longest of all that may count it, and so a property of the plan as a whole, not of the flight that is shown. When
/// a later plan lengthens a window, showings that were already forgotten do not come back: the longer window counts from
/// then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Horizon {
    /// The longest rolling window, in milliseconds; 0 if there is none.
    pub rolling_ms: u64,
    /// When the last lifetime cap, with its grace, is over; the epoch if there is none.
    pub lifetime_until: UnixMillis,
}

impl Horizon {
    /// The horizon that also covers `cap` as carried by a flight that ends at `flight_ends_at`.
    #[must_use]
    pub fn covering(self, cap: &Cap, flight_ends_at: UnixMillis) -> Self {
        match cap.window {
            Window::Rolling { ms } => Self { rolling_ms: self.rolling_ms.max(ms), ..self },
            Window::Lifetime => {
                let until = flight_ends_at.plus_ms(LIFETIME_GRACE_MS);
                Self { lifetime_until: self.lifetime_until.max(until), ..self }
            }
        }
    }

    /// The horizon that covers both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            rolling_ms: self.rolling_ms.max(other.rolling_ms),
            lifetime_until: self.lifetime_until.max(other.lifetime_until),
        }
    }

    /// Until when a showing at `now` counts, if any cap can count it at all.
    pub fn counts_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        let until = now.plus_ms(self.rolling_ms).max(self.lifetime_until);
        (until > now).then_some(until)
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Record {
    opportunity_id: [u8; 16],
    advertiser_id: U32,
    campaign_id: U32,
    flight_id: U32,
    creative_id: U32,
    at: U64,
    counts_until: U64,
}

impl From<&Claim> for Record {
    fn from(claim: &Claim) -> Self {
        Self {
            opportunity_id: claim.opportunity_id.0,
            advertiser_id: claim.booking.advertiser_id.0.into(),
            campaign_id: claim.booking.campaign_id.0.into(),
            flight_id: claim.booking.flight_id.0.into(),
            creative_id: claim.booking.creative_id.0.into(),
            at: claim.at.0.into(),
            counts_until: claim.counts_until.0.into(),
        }
    }
}

impl From<&Record> for Claim {
    fn from(record: &Record) -> Self {
        Self {
            opportunity_id: OpportunityId(record.opportunity_id),
            booking: Booking {
                advertiser_id: AdvertiserId(record.advertiser_id.get()),
                campaign_id: CampaignId(record.campaign_id.get()),
                flight_id: FlightId(record.flight_id.get()),
                creative_id: CreativeId(record.creative_id.get()),
            },
            at: UnixMillis(record.at.get()),
            counts_until: UnixMillis(record.counts_until.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn booking(flight: u32) -> Booking {
        Booking {
            advertiser_id: AdvertiserId(1),
            campaign_id: CampaignId(flight / 10),
            flight_id: FlightId(flight),
            creative_id: CreativeId(flight),
        }
    }

    fn claim(flight: u32, at: u64, counts_until: u64) -> Claim {
        Claim {
            opportunity_id: OpportunityId([9; 16]),
            booking: booking(flight),
            at: UnixMillis(at),
            counts_until: UnixMillis(counts_until),
        }
    }

    fn hourly(scope: CapScope, limit: u32) -> Cap {
        Cap { scope, limit, window: Window::Rolling { ms: HOUR_MS } }
    }

    #[test]
    fn a_cap_counts_its_scope_within_its_window_and_nothing_else() {
        let viewer = Viewer { claims: vec![claim(10, 1_000, u64::MAX), claim(11, 2_000, u64::MAX)] };
        let now = UnixMillis(3_000);
        let verdict = |cap: Cap, flight| viewer.allows(&[cap], &booking(flight), UnixMillis(0), now);
        assert_eq!(verdict(hourly(CapScope::Flight, 1), 10), Err(Declined::Capped));
        assert_eq!(verdict(hourly(CapScope::Flight, 1), 12), Ok(()));
        assert_eq!(verdict(hourly(CapScope::Campaign, 2), 12), Err(Declined::Capped), "10 and 11 are its campaign's");
        assert_eq!(verdict(hourly(CapScope::Campaign, 2), 20), Ok(()));
        assert_eq!(verdict(hourly(CapScope::Advertiser, 2), 20), Err(Declined::Capped));
        assert_eq!(verdict(hourly(CapScope::Flight, 0), 99), Err(Declined::Capped), "a limit of 0 allows none");
    }

    #[test]
    fn a_claim_leaves_a_rolling_window_exactly_when_the_window_has_passed() {
        let viewer = Viewer { claims: vec![claim(10, 5_000, u64::MAX)] };
        let cap = [hourly(CapScope::Flight, 1)];
        let at = |now| viewer.allows(&cap, &booking(10), UnixMillis(0), UnixMillis(now));
        assert_eq!(at(4_000), Err(Declined::Capped), "a claim from a clock ahead of ours counts");
        assert_eq!(at(5_000 + HOUR_MS - 1), Err(Declined::Capped));
        assert_eq!(at(5_000 + HOUR_MS), Ok(()));
    }

    #[test]
    fn all_caps_must_hold_at_once() {
        let viewer = Viewer { claims: vec![claim(10, 0, u64::MAX)] };
        let caps = [hourly(CapScope::Flight, 5), Cap { scope: CapScope::Flight, limit: 1, window: Window::Lifetime }];
        assert_eq!(viewer.allows(&caps, &booking(10), UnixMillis(0), UnixMillis(1)), Err(Declined::Capped));
        assert_eq!(viewer.allows(&caps[..1], &booking(10), UnixMillis(0), UnixMillis(1)), Ok(()));
    }

    #[test]
    fn a_lifetime_cap_counts_from_the_flights_start_even_after_its_end_was_moved() {
        let horizon = Horizon::default()
            .covering(&Cap { scope: CapScope::Flight, limit: 1, window: Window::Lifetime }, UnixMillis(10_000));
        let taken = claim(10, 6_000, horizon.counts_until(UnixMillis(6_000)).unwrap().0);
        let mut viewer = Viewer { claims: vec![taken] };
        let extended_to = UnixMillis(10_000 + LIFETIME_GRACE_MS - 1);
        viewer.forget_ended(extended_to);
        let cap = [Cap { scope: CapScope::Flight, limit: 1, window: Window::Lifetime }];
        assert_eq!(viewer.allows(&cap, &booking(10), UnixMillis(5_000), extended_to), Err(Declined::Capped));
        assert_eq!(viewer.allows(&cap, &booking(10), UnixMillis(6_001), extended_to), Ok(()), "a later flight's own");
    }

    #[test]
    fn a_full_viewer_is_declined_and_an_unreadable_one_is_not_empty() {
        let full = Viewer { claims: vec![claim(1, 0, 10); CLAIMS_MAX] };
        let verdict = full.allows(&[hourly(CapScope::Flight, 9999)], &booking(2), UnixMillis(0), UnixMillis(0));
        assert_eq!(verdict, Err(Declined::Full));
        assert_eq!(Viewer::decode(&full.encode()).as_ref(), Ok(&full));
        assert!(Viewer::decode(&[0; 49]).is_err());
        assert!(Viewer::decode(&vec![0; 48 * (CLAIMS_MAX + 1)]).is_err());
        assert_eq!(Viewer::decode(&[]), Ok(Viewer::default()));
    }

    proptest! {
        #[test]
        fn forgetting_ended_claims_never_changes_a_verdict(
            taken in prop::collection::vec((0u32..4, 0u64..HOUR_MS * 3), 0..20), limit in 0u32..5, now in 0u64..HOUR_MS * 5,
        ) {
            let cap = [hourly(CapScope::Flight, limit)];
            let claims = taken.iter().map(|(flight, at)| {
                let horizon = Horizon::default().covering(&cap[0], UnixMillis(0));
                claim(*flight, *at, horizon.counts_until(UnixMillis(*at)).unwrap().0)
            }).collect();
            let whole = Viewer { claims };
            let mut swept = whole.clone();
            swept.forget_ended(UnixMillis(now));
            for flight in 0..4 {
                prop_assert_eq!(
                    whole.allows(&cap, &booking(flight), UnixMillis(0), UnixMillis(now)),
                    swept.allows(&cap, &booking(flight), UnixMillis(0), UnixMillis(now))
                );
            }
            prop_assert_eq!(Viewer::decode(&whole.encode()).unwrap(), whole);
        }
    }
}
