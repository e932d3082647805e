//! What has become of a fill: `filled = impressed + released + expired + open`, at any instant.
//!
//! What beacons say of it is in the view `fill_states`; what the clock says is here. So each of the four is defined once.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde::Serialize;
use slotkeeper_core::time::UnixMillis;

/// A fill's state at the instant that the SQL `now` gives, over the columns of `fill_states` (here `s`).
///
/// `impressed`: its ad began to play. `released`: it was reported not to play (`error` or `notUsed`), and never began.
/// `expired`: nothing was reported, and its token is dead. `open`: the rest, which may yet become any of the others.
pub(crate) fn fill_state(now: &str) -> String {
    format!("coalesce(s.settled, CASE WHEN s.expires_at_ms <= {now} THEN 'expired' ELSE 'open' END)")
}

/// How many fills are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FillStates {
    /// At this instant.
    pub at_ms: u64,
    /// Began to play.
    pub impressed: u64,
    /// Reported not to play.
    pub released: u64,
    /// Nothing was reported before the token died.
    pub expired: u64,
    /// May yet play.
    pub open: u64,
}

impl FillStates {
    /// Counts all of them.
    pub fn count(db: &Connection, now: UnixMillis) -> rusqlite::Result<Self> {
        let sql = format!("SELECT {} AS state, count(*) FROM fill_states s GROUP BY state", fill_state("?1"));
        let counts: BTreeMap<String, u64> = db
            .prepare_cached(&sql)?
            .query_map([now.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let of = |state| counts.get(state).copied().unwrap_or(0);
        Ok(Self {
            at_ms: now.0,
            impressed: of("impressed"),
            released: of("released"),
            expired: of("expired"),
            open: of("open"),
        })
    }

    /// All of them together, which is what is filled.
    pub fn total(&self) -> u64 {
        self.impressed + self.released + self.expired + self.open
    }
}
