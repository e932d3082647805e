//! What was delivered, by the quarter of an hour: all that the books know of the world.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use slotkeeper_core::{id::FlightId, time::UnixMillis};

use crate::flight::Span;

/// The quarter of an hour by which everything is counted: the finest step between the time zones there are.
pub const QUARTER_MS: u64 = 15 * 60_000;

/// What a flight delivered of the breaks that opened in one quarter of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlightQuarter {
    /// Its first instant.
    pub at: UnixMillis,
    /// Whose.
    pub flight_id: FlightId,
    /// Impressions past the contract's threshold, of valid traffic.
    pub delivered: u64,
}

/// How many slots the breaks had that opened in one quarter of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotQuarter {
    /// Its first instant.
    pub at: UnixMillis,
    /// Filled or not.
    pub slots: u64,
}

/// What was delivered cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("deliveries: {0}")]
pub struct DeliveriesError(#[from] pub rusqlite::Error);

/// Where what was delivered is read.
pub trait Deliveries {
    /// What each flight delivered of breaks that opened before `until`, whenever that was.
    fn delivered(&self, until: UnixMillis) -> Result<BTreeMap<FlightId, u64>, DeliveriesError>;

    /// Every quarter of an hour that begins in `span` in which a flight delivered something, in the order of time.
    fn flight_quarters(&self, span: Span, visit: &mut dyn FnMut(FlightQuarter)) -> Result<(), DeliveriesError>;

    /// Every quarter of an hour that begins in `span` in which there were slots, in the order of time.
    fn slot_quarters(&self, span: Span, visit: &mut dyn FnMut(SlotQuarter)) -> Result<(), DeliveriesError>;
}

/// The totals that the lake keeps: tables `flight_totals` and `slot_totals` of `lake.db`.
pub struct LakeTotals<'a>(pub &'a Connection);

impl Deliveries for LakeTotals<'_> {
    fn delivered(&self, until: UnixMillis) -> Result<BTreeMap<FlightId, u64>, DeliveriesError> {
        let all = self
            .0
            .prepare_cached(
                "SELECT flight_id, sum(delivered) FROM flight_totals
                 WHERE quarter_at_ms < ?1 AND flight_id <> 0 GROUP BY flight_id",
            )?
            .query_map([until.0], |row| Ok((FlightId(row.get(0)?), row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(all)
    }

    fn flight_quarters(&self, span: Span, visit: &mut dyn FnMut(FlightQuarter)) -> Result<(), DeliveriesError> {
        let mut statement = self.0.prepare_cached(
            "SELECT quarter_at_ms, flight_id, sum(delivered) FROM flight_totals
             WHERE quarter_at_ms >= ?1 AND quarter_at_ms < ?2 AND flight_id <> 0
             GROUP BY quarter_at_ms, flight_id ORDER BY quarter_at_ms, flight_id",
        )?;
        let mut rows = statement.query(params![span.from.0, span.until.0])?;
        while let Some(row) = rows.next()? {
            visit(FlightQuarter {
                at: UnixMillis(row.get(0)?),
                flight_id: FlightId(row.get(1)?),
                delivered: row.get(2)?,
            });
        }
        Ok(())
    }

    fn slot_quarters(&self, span: Span, visit: &mut dyn FnMut(SlotQuarter)) -> Result<(), DeliveriesError> {
        let mut statement = self.0.prepare_cached(
            "SELECT quarter_at_ms, slots FROM slot_totals
             WHERE quarter_at_ms >= ?1 AND quarter_at_ms < ?2 ORDER BY quarter_at_ms",
        )?;
        let mut rows = statement.query(params![span.from.0, span.until.0])?;
        while let Some(row) = rows.next()? {
            visit(SlotQuarter { at: UnixMillis(row.get(0)?), slots: row.get(1)? });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_by_flight_and_quarter_and_an_auctions_are_no_flights() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(crate::pacing::test_support::TOTALS).unwrap();
        for (quarter, flight, advertiser, delivered) in
            [(0, 0, 9, 50), (0, 1, 1, 3), (900_000, 1, 1, 4), (900_000, 2, 1, 5)]
        {
            db.execute(
                "INSERT INTO flight_totals VALUES (?1, ?2, 1, ?3, 'USD', 9, 9, 0, ?4, 0, 0)",
                params![quarter, flight, advertiser, delivered],
            )
            .unwrap();
        }
        db.execute("INSERT INTO slot_totals VALUES (900000, 12, 10, 2)", []).unwrap();
        let totals = LakeTotals(&db);
        let until = UnixMillis(900_001);
        assert_eq!(totals.delivered(until).unwrap(), BTreeMap::from([(FlightId(1), 7), (FlightId(2), 5)]));
        assert_eq!(totals.delivered(UnixMillis(900_000)).unwrap(), BTreeMap::from([(FlightId(1), 3)]));
        let mut seen = vec![];
        let span = Span { from: UnixMillis(900_000), until };
        totals.flight_quarters(span, &mut |quarter| seen.push((quarter.flight_id.0, quarter.delivered))).unwrap();
        assert_eq!(seen, [(1, 4), (2, 5)]);
        let mut slots = vec![];
        totals.slot_quarters(span, &mut |quarter| slots.push((quarter.at.0, quarter.slots))).unwrap();
        assert_eq!(slots, [(900_000, 12)]);
    }
}
