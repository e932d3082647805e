//! A viewer's claims: taken with a fill, settled by its first beacons, forgotten when nothing can count them any more.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::{Booking, CLOCKS_APART_MS_MAX, Cap, Window};
use crate::{
    id::{AdvertiserId, BreakStem, CampaignId, CreativeId, FlightId, OpportunityId, SessionKey},
    time::UnixMillis,
};

/// The most claims one viewer may hold. A viewer past it gets no more capped ads until some claims end.
pub const CLAIMS_MAX: usize = 512;

/// How far a claim is from being forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimState {
    /// Taken with the fill; its ad may begin to play until the lease is over.
    #[default]
    Reserved,
    /// Its ad began to play.
    Confirmed,
}

/// A reservation against every cap that counts one showing, taken together with the fill.
///
/// One that is released is no more in its viewer's list, and so no token can confirm it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The slot it was taken for; no claim exists without that slot's row.
    pub opportunity_id: OpportunityId,
    /// What it counts against.
    pub booking: Booking,
    /// The viewing session, if the caller named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionKey>,
    /// Reserved or confirmed. In a row, always reserved: it tells how the claim was taken.
    #[serde(default)]
    pub state: ClaimState,
    /// When it was taken; once confirmed, when its ad began to play.
    pub at: UnixMillis,
    /// When its token dies: what is not confirmed by then has expired.
    #[serde(default)]
    pub lease_until: UnixMillis,
    /// When the last window that can count a showing at `at` has passed.
    pub counts_until: UnixMillis,
}

/// What would be shown, as far as caps see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Showing {
    /// Of whom.
    pub booking: Booking,
    /// When its flight began.
    pub flight_starts_at: UnixMillis,
    /// In which break.
    pub break_stem: BreakStem,
    /// In which session.
    pub session: Option<SessionKey>,
}

impl Claim {
    /// Whether this claim counts against `cap` as carried by the flight of `showing`, at `now`.
    ///
    /// A claim from the future (another edge's clock runs ahead) counts: that errs towards showing less.
    pub(crate) fn counts(&self, cap: &Cap, showing: &Showing, now: UnixMillis) -> bool {
        let may_yet_play = self.state == ClaimState::Reserved && self.lease_until > now;
        self.booking.is_same(cap.scope, &showing.booking)
            && match cap.window {
                Window::Break => self.opportunity_id.break_stem() == showing.break_stem,
                Window::Session => self.session == showing.session,
                Window::Rolling { ms } => may_yet_play || self.at.plus_ms(ms) > now,
                Window::Calendar(calendar) => may_yet_play || self.at >= calendar.began_at(now),
                Window::Lifetime => may_yet_play || self.at >= showing.flight_starts_at,
            }
    }

    /// Whether nothing can count it or settle it any more. A confirmed claim outlives its lease's windows, so that a beacon
    /// that comes twice finds what the first one did.
    fn is_over(&self, now: UnixMillis) -> bool {
        self.forgotten_at() <= now
    }

    /// One that is reserved goes with its lease, by whatever clock: gone, it cannot begin to play any more.
    fn forgotten_at(&self) -> UnixMillis {
        match self.state {
            ClaimState::Reserved => self.lease_until,
            ClaimState::Confirmed => self.lease_until.max(self.counts_until).plus_ms(CLOCKS_APART_MS_MAX),
        }
    }
}

/// What a beacon does to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// `start`: the ad began to play at this time.
    Confirm {
        /// As reported.
        at: UnixMillis,
    },
    /// `error` or `notUsed` before any start: it will not play.
    Release,
}

/// What a claim is after a [`Transition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// Its ad began to play: by this beacon or by one before.
    Confirmed {
        /// When, as the claim counts it.
        at: UnixMillis,
    },
    /// It is gone: released by this beacon or by one before, or expired. Its token is dead.
    Gone,
}

/// What one viewer has been shown or may yet be, as far as any cap still cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Viewer {
    claims: Vec<Claim>,
}

/// What is known of a viewer's caps when a decision is made.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// A cap counts within a session, and the caller named none.
    NoSession,
}

impl Viewer {
    /// The claims, oldest first.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// Whether one more showing at `now` keeps every one of `caps`, which its flight carries.
    pub fn allows(&self, caps: &[Cap], showing: &Showing, now: UnixMillis) -> Result<(), Declined> {
        if self.claims.len() >= CLAIMS_MAX {
            return Err(Declined::Full);
        }
        for cap in caps {
            if cap.window == Window::Session && showing.session.is_none() {
                return Err(Declined::NoSession);
            }
            if self.live(cap, showing, now) >= cap.limit as usize {
                return Err(Declined::Capped);
            }
        }
        Ok(())
    }

    /// How many claims count against `cap`, as carried by the flight of `showing`, at `now`.
    pub fn live(&self, cap: &Cap, showing: &Showing, now: UnixMillis) -> usize {
        self.claims.iter().filter(|claim| claim.counts(cap, showing, now)).count()
    }

    /// Adds a claim that [`allows`](Self::allows) has just let pass.
    pub fn add(&mut self, claim: Claim) {
        debug_assert!(self.claims.len() < CLAIMS_MAX, "allows() was not asked first");
        self.claims.push(claim);
    }

    /// Settles the claim of one slot, and says whether the list has changed by it. The first of two contrary beacons
    /// decides: what began to play is not released, and what was released cannot begin to play.
    pub fn settle(&mut self, slot: OpportunityId, transition: Transition, now: UnixMillis) -> (Settled, bool) {
        let Some(place) = self.claims.iter().position(|claim| claim.opportunity_id == slot) else {
            return (Settled::Gone, false);
        };
        let claim = &mut self.claims[place];
        match (claim.state, transition) {
            (ClaimState::Confirmed, _) => (Settled::Confirmed { at: claim.at }, false),
            (ClaimState::Reserved, Transition::Release) => {
                self.claims.remove(place);
                (Settled::Gone, true)
            }
            (ClaimState::Reserved, Transition::Confirm { at }) => {
                // Not before it was taken, whatever the client says; and its windows begin when it was shown.
                let shown_at = at.min(now).max(claim.at);
                claim.counts_until = claim.counts_until.plus_ms(shown_at.since_ms(claim.at));
                claim.at = shown_at;
                claim.state = ClaimState::Confirmed;
                (Settled::Confirmed { at: shown_at }, true)
            }
        }
    }

    /// Drops the claims that no window can count any more and no beacon can settle.
    pub fn forget_ended(&mut self, now: UnixMillis) {
        self.claims.retain(|claim| !claim.is_over(now));
    }

    /// When the whole state may be forgotten: not before any claim of it.
    pub fn keep_until(&self) -> UnixMillis {
        // As if all were confirmed at the last moment: a state is kept rather too long.
        let longest = |claim: &Claim| claim.lease_until.max(claim.counts_until).plus_ms(CLOCKS_APART_MS_MAX);
        self.claims.iter().map(longest).max().unwrap_or_default()
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
        let claims = records.iter().map(|record| Claim::try_from(record).map_err(|()| unreadable));
        Ok(Self { claims: claims.collect::<Result<_, _>>()? })
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
    /// Meaningful if `has_session`.
    session: [u8; 8],
    at: U64,
    lease_until: U64,
    counts_until: U64,
    /// 0 reserved, 1 confirmed.
    state: u8,
    has_session: u8,
}

impl From<&Claim> for Record {
    fn from(claim: &Claim) -> Self {
        Self {
            opportunity_id: claim.opportunity_id.0,
            advertiser_id: claim.booking.advertiser_id.0.into(),
            campaign_id: claim.booking.campaign_id.0.into(),
            flight_id: claim.booking.flight_id.0.into(),
            creative_id: claim.booking.creative_id.0.into(),
            session: claim.session.unwrap_or_default().0,
            at: claim.at.0.into(),
            lease_until: claim.lease_until.0.into(),
            counts_until: claim.counts_until.0.into(),
            state: u8::from(claim.state == ClaimState::Confirmed),
            has_session: claim.session.is_some().into(),
        }
    }
}

impl TryFrom<&Record> for Claim {
    type Error = ();

    fn try_from(record: &Record) -> Result<Self, ()> {
        Ok(Self {
            opportunity_id: OpportunityId(record.opportunity_id),
            booking: Booking {
                advertiser_id: AdvertiserId(record.advertiser_id.get()),
                campaign_id: CampaignId(record.campaign_id.get()),
                flight_id: FlightId(record.flight_id.get()),
                creative_id: CreativeId(record.creative_id.get()),
            },
            session: match record.has_session {
                0 => None,
                1 => Some(SessionKey(record.session)),
                _ => return Err(()),
            },
            state: match record.state {
                0 => ClaimState::Reserved,
                1 => ClaimState::Confirmed,
                _ => return Err(()),
            },
            at: UnixMillis(record.at.get()),
            lease_until: UnixMillis(record.lease_until.get()),
            counts_until: UnixMillis(record.counts_until.get()),
        })
    }
}
