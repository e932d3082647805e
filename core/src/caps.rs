//! Frequency caps: what a viewer has been promised not to exceed.
//!
//! A viewer's cap state is the list of their [`Claim`]s, one for each capped fill. Every limit (per creative, flight,
//! campaign or advertiser, over any window) is a count over that list, so all cap rules live in [`Viewer::allows`], and a
//! store needs to know only one: *replace this viewer's list if nobody else has meanwhile*. One claim reserves against
//! every cap of its ad at once.
//!
//! **The law:** however showings and beacons are timed, within any window no more of what a cap counts *begin to play* than
//! its limit. Windows are measured by the edges' clocks: where two differ, a window is shorter by as much. That is why a claim that is still reserved counts in every window: its ad may be shown at any
//! moment until its lease is over.

mod horizon;
#[cfg(test)]
mod tests;
mod viewer;

use serde::{Deserialize, Serialize};

pub use horizon::{CLOCKS_APART_MS_MAX, Horizon, LIFETIME_GRACE_MS, SESSION_MS};
pub use viewer::{
    CLAIMS_MAX, CapState, Claim, ClaimState, Declined, Settled, Showing, Transition, UnreadableViewer, Viewer,
};

use crate::{
    id::{AdvertiserId, CampaignId, CreativeId, FlightId},
    time::UnixMillis,
};

/// The most caps one ad may be under: those that its flight carries, its campaign's and advertiser's included, and its own.
pub const CAPS_PER_FLIGHT_MAX: usize = 16;

/// What a cap counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Within one break.
    Break,
    /// Within one viewing session, as the caller names them; at most [`SESSION_MS`] long.
    Session,
    /// The `ms` milliseconds before the decision, wherever that falls in the calendar. With a limit of 1, the least time
    /// between two showings.
    Rolling {
        /// Length in milliseconds; more than 0.
        ms: u64,
    },
    /// The day, week or month it is where the contract was signed, or several of them up to now.
    Calendar(Calendar),
    /// From the flight's start to its end.
    Lifetime,
}

/// How many turns of its calendar a window carries: enough for a plan that is valid for two days.
pub const CALENDAR_TURNS: usize = 4;

/// When the windows of a calendar cap begin, for as long as the plan is valid. The origin computes it, so an edge needs
/// no time zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// The turns, earliest first; the last one is repeated where there are fewer.
    pub turns: [Turn; CALENDAR_TURNS],
    /// No window of this cap is longer, in milliseconds.
    pub longest_ms: u64,
}

/// A moment from which another window is the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// From this instant on, until the next turn …
    pub from: UnixMillis,
    /// … the current window is the one that began here.
    pub began_at: UnixMillis,
}

impl Calendar {
    /// When the window that is current at `now` began. Before the first turn, that is as long ago as the first turn's: a
    /// clock that is behind counts too much rather than too little.
    pub fn began_at(&self, now: UnixMillis) -> UnixMillis {
        let current = self.turns.iter().rev().find(|turn| turn.from <= now);
        current.unwrap_or(&self.turns[0]).began_at
    }

    /// Whether turns follow each other, and no window begins after the turn that makes it current or is longer than said.
    pub fn is_sound(&self) -> bool {
        self.turns.is_sorted_by_key(|turn| (turn.from, turn.began_at))
            && self.longest_ms > 0
            && self.turns.iter().all(|turn| turn.began_at <= turn.from)
    }
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

impl Booking {
    /// Whether `other` is the same thing, as `scope` sees it.
    pub fn is_same(&self, scope: CapScope, other: &Self) -> bool {
        match scope {
            CapScope::Creative => self.creative_id == other.creative_id,
            CapScope::Flight => self.flight_id == other.flight_id,
            CapScope::Campaign => self.campaign_id == other.campaign_id,
            CapScope::Advertiser => self.advertiser_id == other.advertiser_id,
        }
    }
}
