//! Closing a month.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{civil::Date, tz::TimeZone};
use slotkeeper_books::{
    Deliveries as _, Flight, LakeTotals, Span,
    ledger::{BonusDelivered, Closing, Did, Ledger, MakeGood, Mode},
    pacing::daily::days,
};
use slotkeeper_core::{contract::DemandClass, id::FlightId, money::Currency, time::UnixMillis};

use super::{BooksError, NotReady, bonus::book_scheduled, export, flights, ready::ready_up_to};
use crate::{clock, contracts::Contracts, data_dir::DataDir, dims};

/// How long after a flight's end its last ads may still begin to play: their tokens live that long.
pub(super) const LAST_ADS_MS: u64 = 2 * 3_600_000;

/// A month of the reporting time zone.
#[derive(Clone, Debug)]
pub struct Month {
    /// `YYYY-MM`.
    pub name: String,
    /// From the midnight that begins it to the one that ends it.
    pub span: Span,
}

/// What the close of a month says of one flight.
#[derive(Clone, Debug)]
pub struct MonthLine {
    /// Which.
    pub flight: Flight,
    /// What it has delivered.
    pub delivered: u64,
    /// What the close did.
    pub did: Did,
    /// What is owed for it; `None` if nothing ever was.
    pub make_good: Option<MakeGood>,
}

/// A month as it was closed.
#[derive(Debug)]
pub struct ClosedMonth {
    /// Which.
    pub month: Month,
    /// Of each guaranteed flight that ended in it, in the order of their numbers.
    pub lines: Vec<MonthLine>,
    /// Of each make-good, of whatever month, that bonus flights deliver.
    pub bonuses: Vec<(Did, MakeGood)>,
}

impl Month {
    /// Reads `YYYY-MM`.
    pub fn parse(name: &str, time_zone: &TimeZone) -> Result<Self, BooksError> {
        let no_month = |reason: String| BooksError::NoSuchTime(format!("month {name:?}: {reason}"));
        let is_shaped = name.len() == 7 && name.as_bytes()[4] == b'-';
        let first: Date = format!("{name}-01").parse().map_err(|_| no_month("it must be as 2026-11".into()))?;
        if !is_shaped {
            return Err(no_month("it must be as 2026-11".into()));
        }
        let span = days(first, first.last_of_month().tomorrow(), time_zone).map_err(no_month)?;
        Ok(Self { name: name.into(), span })
    }
}

impl ClosedMonth {
    /// What is owed for the flights of this month, of each currency, in micros.
    #[must_use]
    pub fn liability(&self) -> BTreeMap<Currency, i128> {
        let mut all = BTreeMap::new();
        for make_good in self.lines.iter().filter_map(|line| line.make_good.as_ref()) {
            *all.entry(make_good.terms.cpm().currency).or_default() += i128::from(make_good.liability_micros());
        }
        all
    }
}

/// Closes a month: a make-good for every guaranteed flight that ended short in it, or what has changed of that since; and what
/// bonus flights have delivered by now. All of it in one transaction of the ledger, so a close is done or was never begun.
pub fn close_month(
    data: &DataDir,
    ledger: &mut Ledger,
    month: &Month,
    now: UnixMillis,
    mode: Mode,
) -> Result<ClosedMonth, BooksError> {
    let over_at = month.span.until.plus_ms(LAST_ADS_MS);
    if now < over_at {
        return Err(NotReady::NotOver { what: format!("month {}", month.name), ends_at: clock::shown(over_at) }.into());
    }
    let _lock = data.lock_books()?;
    let lake = ready_up_to(data, over_at)?;
    let mut contracts = Contracts::open(&data.contracts())?;
    if mode == Mode::Write && !book_scheduled(&mut contracts, ledger)?.is_empty() {
        dims::export(data)?;
    }
    let all = flights(&contracts.booked()?);
    let delivered = LakeTotals(&lake).delivered(UnixMillis(i64::MAX.unsigned_abs()))?;
    let bonuses = bonuses(data, ledger, &all, &delivered, now)?;
    let bonus_flights: BTreeSet<String> = ledger.bonus_flights()?.into_iter().map(|(_, bonus)| bonus.flight).collect();
    let ended = |flight: &&Flight| {
        flight.class == DemandClass::Guaranteed
            && month.span.from < flight.ends_at
            && flight.ends_at <= month.span.until
            && !bonus_flights.contains(&flight.slug) // what one of these lacks is owed for the flight that it makes good
    };
    let of = |flight: &Flight| delivered.get(&flight.flight_id).copied().unwrap_or_default();
    let closings: Vec<Closing<'_>> =
        all.iter().filter(ended).map(|flight| Closing { flight, delivered: of(flight) }).collect();
    let closed = ledger.close(&closings, &bonuses, now, mode)?;
    if mode == Mode::Write {
        export::export_ledger(data, ledger)?;
    }
    let line = |(closing, (did, make_good)): (&Closing<'_>, _)| MonthLine {
        flight: closing.flight.clone(),
        delivered: closing.delivered,
        did,
        make_good,
    };
    let lines = closings.iter().zip(closed.flights).map(line).collect();
    Ok(ClosedMonth { month: month.clone(), lines, bonuses: closed.bonuses })
}

/// What the bonus flights of each make-good have delivered, each no more than it was scheduled for.
fn bonuses(
    data: &DataDir,
    ledger: &mut Ledger,
    flights: &[Flight],
    delivered: &BTreeMap<FlightId, u64>,
    now: UnixMillis,
) -> Result<Vec<BonusDelivered>, BooksError> {
    let booked: BTreeMap<&str, &Flight> = flights.iter().map(|flight| (flight.slug.as_str(), flight)).collect();
    let mut sums: BTreeMap<FlightId, BonusDelivered> = BTreeMap::new();
    for (flight_id, bonus) in ledger.bonus_flights()? {
        let flight = booked.get(bonus.flight.as_str());
        let delivered = flight.and_then(|flight| delivered.get(&flight.flight_id)).copied().unwrap_or_default();
        let delivered = delivered.min(bonus.impressions);
        // By its end as booked now: whoever needs it no more ends it there.
        let ends_at = flight.map_or(bonus.ends_at, |flight| flight.ends_at);
        let is_over = is_all_counted(data, ends_at.plus_ms(LAST_ADS_MS), now)?;
        let sum = sums.entry(flight_id).or_insert(BonusDelivered { flight_id, delivered: 0, scheduled: 0 });
        sum.delivered += delivered;
        sum.scheduled += if is_over { delivered } else { bonus.impressions };
    }
    Ok(sums.into_values().collect())
}

/// Whether an instant is over and all that came before it is counted.
fn is_all_counted(data: &DataDir, instant: UnixMillis, now: UnixMillis) -> Result<bool, BooksError> {
    if now < instant {
        return Ok(false);
    }
    match ready_up_to(data, instant) {
        Ok(_) => Ok(true),
        Err(BooksError::NotReady(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
