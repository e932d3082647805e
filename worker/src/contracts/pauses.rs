//! When flights were set to `paused` and back, from the history of bookings.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde::Serialize;
use slotkeeper_core::time::UnixMillis;

/// A time in which a flight was not to be sold from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// When that was booked; the epoch if it was before there was a history.
    pub from: UnixMillis,
    /// When it was booked that it goes on; `None` while it does not.
    pub until: Option<UnixMillis>,
}

/// The pauses of every flight that had any, in the order of time.
pub(super) fn read(db: &Connection) -> rusqlite::Result<BTreeMap<u32, Vec<Pause>>> {
    let mut pauses: BTreeMap<u32, Vec<Pause>> = BTreeMap::new();
    let mut statement = db.prepare(
        "SELECT CAST(id AS INTEGER), valid_from_ms, json_extract(content, '$.is_paused') = 1 FROM history
         WHERE dimension = 'dim_campaign_flights' AND id IN (SELECT id FROM history
             WHERE dimension = 'dim_campaign_flights' AND json_extract(content, '$.is_paused') = 1)
         ORDER BY 1, seq",
    )?;
    let mut changes = statement.query([])?;
    while let Some(change) = changes.next()? {
        let (flight, at, is_paused): (u32, u64, bool) = (change.get(0)?, change.get(1)?, change.get(2)?);
        let of_flight = pauses.entry(flight).or_default();
        let open = of_flight.last_mut().filter(|pause| pause.until.is_none());
        match (open, is_paused) {
            (None, true) => of_flight.push(Pause { from: UnixMillis(at), until: None }),
            (Some(pause), false) => pause.until = Some(UnixMillis(at)),
            _ => {} // something else of it was booked
        }
    }
    Ok(pauses)
}
