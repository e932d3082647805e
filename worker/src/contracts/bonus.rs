//! Booking a bonus flight: one that delivers what another fell short by.

use rusqlite::{TransactionBehavior, named_params};
use slotkeeper_core::{id::FlightId, time::UnixMillis};

use super::Contracts;

/// What a bonus flight has of its own. All else it has of the flight that fell short: campaign, creatives, targeting, caps,
/// threshold, placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BonusTerms<'a> {
    /// Its id, as one in a contracts file.
    pub flight: &'a str,
    /// What it is to deliver.
    pub impressions: u64,
    /// First instant.
    pub starts_at: UnixMillis,
    /// The instant after the last.
    pub ends_at: UnixMillis,
}

/// Why a bonus flight was not booked.
#[derive(Debug, thiserror::Error)]
pub enum NotBonus {
    /// There is another flight of that name.
    #[error(
        "flight {0:?} is booked already, in another campaign or at a price; a bonus flight needs this id, and has none"
    )]
    IdTaken(String),
    /// The flight that fell short is not in these bookings.
    #[error("flight {0} is not booked here")]
    NotBooked(FlightId),
    /// The bookings cannot be written.
    #[error("contracts: {0}")]
    Database(#[from] rusqlite::Error),
}

impl Contracts {
    /// Books a bonus flight for `of`; whether it was not booked before. Who has edited one since, to end it early, has edited it.
    ///
    /// Its CPM is 0: what it delivers was paid for, and is counted, with the flight that fell short. With a price of its own its
    /// impressions would be recognised as revenue a second time, beside the make-good that they settle.
    pub fn book_bonus(&mut self, of: FlightId, bonus: &BonusTerms<'_>) -> Result<bool, NotBonus> {
        let commit = self.db().transaction_with_behavior(TransactionBehavior::Immediate)?;
        let terms = named_params! {
            ":of": of.0,
            ":slug": bonus.flight,
            ":committed": bonus.impressions,
            ":starts_at": bonus.starts_at.0,
            ":ends_at": bonus.ends_at.0,
        };
        let is_new = commit.execute(
            "INSERT INTO flights (slug, campaign_id, class, starts_at_ms, ends_at_ms, committed_impressions, cpm_micros,
                 currency, completion_threshold, weight, caps, min_gap, time_zone, ratings, targeting, paused, placement,
                 pod_position, exclusion, dayparts)
             SELECT :slug, campaign_id, 'guaranteed', :starts_at, :ends_at, :committed, 0, currency, completion_threshold, NULL,
                 caps, min_gap, time_zone, ratings, targeting, 0, placement, pod_position, exclusion, dayparts
             FROM flights WHERE flight_id = :of
             ON CONFLICT (slug) DO NOTHING",
            terms,
        )? > 0;
        let is_it = commit.query_row(
            "SELECT count(*) FROM flights bonus JOIN flights short USING (campaign_id)
             WHERE short.flight_id = :of AND bonus.slug = :slug AND bonus.cpm_micros = 0",
            named_params! { ":of": of.0, ":slug": bonus.flight },
            |row| row.get::<_, u32>(0),
        )? == 1;
        if !is_it {
            let exists = "SELECT EXISTS (SELECT 1 FROM flights WHERE flight_id = ?1)";
            let is_booked: bool = commit.query_row(exists, [of.0], |row| row.get(0))?;
            return Err(if is_booked { NotBonus::IdTaken(bonus.flight.into()) } else { NotBonus::NotBooked(of) });
        }
        if is_new {
            commit.execute(
                "INSERT INTO ads (flight_id, creative_id, booked, weight)
                 SELECT (SELECT flight_id FROM flights WHERE slug = ?1), creative_id, 1, weight
                 FROM ads WHERE flight_id = ?2 AND booked = 1 ORDER BY ad_id",
                (bonus.flight, of.0),
            )?;
        }
        commit.commit()?;
        Ok(is_new)
    }
}
