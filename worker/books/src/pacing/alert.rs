//! What to do about a flight: a function of its index *and* of the time that is left. 0.6 with twenty days left has time, 0.6
//! with three days left is a five-alarm fire.

use slotkeeper_core::time::UnixMillis;

use super::DAY_MS;
use crate::flight::Flight;

/// What to do about a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alert {
    /// It is still to come.
    NotStarted,
    /// It began, and its index says nothing yet.
    Starting,
    /// Nothing.
    Ok,
    /// Far ahead of its promise: it will be done early, and takes from others until then.
    OverDelivering,
    /// Look again tomorrow.
    Watch,
    /// Something must change.
    AtRisk,
    /// It must change today.
    Critical,
    /// Over, with its promise kept.
    EndedFull,
    /// Over, and short: a make-good is owed.
    EndedShort,
}

impl Alert {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Starting => "starting",
            Self::Ok => "ok",
            Self::OverDelivering => "over_delivering",
            Self::Watch => "watch",
            Self::AtRisk => "at_risk",
            Self::Critical => "critical",
            Self::EndedFull => "ended_full",
            Self::EndedShort => "ended_short",
        }
    }
}

/// From this index on a flight is on track.
const ON_TRACK: u64 = 950_000;
/// Above this one it takes what others need.
const AHEAD: u64 = 1_200_000;
/// From this one on, a flight with some days left can be brought back by itself: the plan gives it more.
const BEHIND: u64 = 850_000;
/// Below this one, no plan brings it back in days.
const FAR_BEHIND: u64 = 600_000;
/// With no more than this left, every level is one worse.
const SOON_MS: u64 = 14 * DAY_MS;
/// With no more than this left, two worse.
const NOW_MS: u64 = 3 * DAY_MS;

pub(super) fn of(
    flight: &Flight,
    delivered: u64,
    index_millionths: Option<u64>,
    remaining_ms: u64,
    now: UnixMillis,
) -> Alert {
    if now < flight.starts_at {
        return Alert::NotStarted;
    }
    if now >= flight.ends_at {
        return if delivered >= flight.committed { Alert::EndedFull } else { Alert::EndedShort };
    }
    let Some(index) = index_millionths else { return Alert::Starting };
    if index > AHEAD {
        return Alert::OverDelivering;
    }
    if index >= ON_TRACK || delivered >= flight.committed {
        return Alert::Ok;
    }
    let by_index = u8::from(index < BEHIND) + u8::from(index < FAR_BEHIND);
    let by_time = u8::from(remaining_ms <= SOON_MS) + u8::from(remaining_ms <= NOW_MS);
    match by_index + by_time {
        0 => Alert::Ok,
        1 => Alert::Watch,
        2 => Alert::AtRisk,
        _ => Alert::Critical,
    }
}
