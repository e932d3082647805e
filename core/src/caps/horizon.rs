//! How long a showing matters.

use super::{Cap, Window};
use crate::time::UnixMillis;

/// How long claims under a lifetime cap are kept after the flight's end, in milliseconds: 62 days. A flight that is
/// extended by no more than this keeps counting what was shown before.
pub const LIFETIME_GRACE_MS: u64 = 62 * 24 * 3_600_000;

/// The longest that a viewing session is remembered, in milliseconds: a day.
pub const SESSION_MS: u64 = 24 * 3_600_000;

/// How far two edges' clocks may be apart, in milliseconds: a quarter of an hour. An edge whose clock is ahead must not
/// forget what one whose clock is behind still has to count.
pub const CLOCKS_APART_MS_MAX: u64 = 15 * 60 * 1000;

/// How long a showing matters to caps: to those of its own flight and to those of every flight that shares its
/// campaign, advertiser or creative.
///
/// The longest of all that may count it, and so a property of the plan as a whole, not of the flight that is shown. When
/// a later plan lengthens a window, showings that were already forgotten do not come back: the longer window counts from
/// then on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Horizon {
    /// The longest window that moves with the clock, in milliseconds; 0 if there is none.
    pub rolling_ms: u64,
    /// When the last lifetime cap, with its grace, is over; the epoch if there is none.
    pub lifetime_until: UnixMillis,
    /// Whether a cap that counts it looks further back than one viewing session.
    pub crosses_sessions: bool,
}

impl Horizon {
    /// The horizon that also covers `cap` as carried by a flight that ends at `flight_ends_at`.
    #[must_use]
    pub fn covering(self, cap: &Cap, flight_ends_at: UnixMillis) -> Self {
        let crosses_sessions = self.crosses_sessions || !matches!(cap.window, Window::Break | Window::Session);
        let rolling = |ms: u64| Self { rolling_ms: self.rolling_ms.max(ms), crosses_sessions, ..self };
        match cap.window {
            Window::Break => rolling(1), // a claim is taken, and kept for as long as its lease
            Window::Session => rolling(SESSION_MS),
            Window::Rolling { ms } => rolling(ms),
            Window::Calendar(calendar) => rolling(calendar.longest_ms),
            Window::Lifetime => {
                let until = flight_ends_at.plus_ms(LIFETIME_GRACE_MS);
                Self { lifetime_until: self.lifetime_until.max(until), crosses_sessions, ..self }
            }
        }
    }

    /// The horizon that covers both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            rolling_ms: self.rolling_ms.max(other.rolling_ms),
            lifetime_until: self.lifetime_until.max(other.lifetime_until),
            crosses_sessions: self.crosses_sessions || other.crosses_sessions,
        }
    }

    /// Until when a showing at `now` counts, if any cap can count it at all.
    pub fn counts_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        let until = now.plus_ms(self.rolling_ms).max(self.lifetime_until);
        (until > now).then_some(until)
    }
}
