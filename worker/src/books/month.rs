//! Closing a month.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{civil::Date, tz::TimeZone};
use rusqlite::Connection;
use slotkeeper_books::{
    Deliveries as _, Flight, LakeTotals, Span,
    ledger::{BonusDelivered, BonusFlight, Closing, Did, Ledger, MakeGood, Mode},
    pacing::daily::days,
};
use slotkeeper_core::{contract::DemandClass, id::FlightId, money::Currency, time::UnixMillis};

use super::{BooksError, NotReady, bonus::book_scheduled, export, flights, known::Known, ready};
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

/// A flight that a close left as it was.
#[derive(Clone, Debug)]
pub struct LeftAlone {
    /// Which.
    pub flight: Flight,
    /// Why.
    pub why: WhyLeft,
    /// What is owed for it, as before.
    pub make_good: Option<MakeGood>,
}

/// Why a close left a flight as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyLeft {
    /// The lake has lost some of its time: what it delivered then is not known any more.
    NotKnown,
    /// That of a bonus flight of its.
    BonusNotKnown,
    /// Its end was moved, and it is not over by now, or not all counted.
    NotOver,
}

impl WhyLeft {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotKnown => "it began before what the lake still knows",
            Self::BonusNotKnown => "a bonus flight of it began before what the lake still knows",
            Self::NotOver => "its end was moved, and it is not over or not all counted",
        }
    }
}

/// A month as it was closed.
#[derive(Debug)]
pub struct ClosedMonth {
    /// Which.
    pub month: Month,
    /// Of each guaranteed flight that ended in it, in the order of their numbers.
    pub lines: Vec<MonthLine>,
    /// Of each other flight for which something was booked: it ended before, or has a make-good.
    pub others: Vec<MonthLine>,
    /// Flights that this close was about and that it left as they were.
    pub left: Vec<LeftAlone>,
    /// Of each make-good, of whatever month, that bonus flights deliver.
    pub bonuses: Vec<(Did, MakeGood)>,
    /// Whether the files for SQL were written. It is booked either way.
    pub exported: Result<(), BooksError>,
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

    /// Whether a flight ended in it.
    fn has_end_of(&self, flight: &Flight) -> bool {
        self.span.from < flight.ends_at && flight.ends_at <= self.span.until
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

/// Closes a month: a make-good for every guaranteed flight that ended short in it, or before it and was not seen to; what has changed
/// of every make-good since, of whatever month; and what bonus flights have delivered by now. All of it in one transaction of the
/// ledger, so a close is done or was never begun.
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
    let lake = ready::ready_up_to(data, over_at)?;
    let shelf = export::shelf(data, mode)?;
    let mut contracts = Contracts::open(&data.contracts())?;
    if mode == Mode::Write {
        book_scheduled(&mut contracts, ledger)?;
        dims::export(data)?; // also what a process booked that died then
    }
    let measuring = Measuring::of(data, &lake, flights(&contracts.booked()?, now), ledger, now, mode)?;
    let (bonuses, mut left) = measuring.bonuses()?;
    let (closings, not_measured) = measuring.closings(month)?;
    left.extend(not_measured);
    let closed = ledger.close(&closings, &bonuses, now, mode)?;
    let exported = export::export_ledger(shelf.as_ref(), ledger);
    let line = |(closing, (did, make_good)): (&Closing<'_>, _)| MonthLine {
        flight: closing.flight.clone(),
        delivered: closing.delivered,
        did,
        make_good,
    };
    let all = closings.iter().zip(closed.flights).map(line);
    let (lines, mut others): (Vec<_>, Vec<_>) = all.partition(|line| month.has_end_of(&line.flight));
    others.retain(|line| line.did == Did::Posted);
    Ok(ClosedMonth { month: month.clone(), lines, others, left, bonuses: closed.bonuses, exported })
}

/// What a close measures by: of the lake one moment, so that what is said to be all counted is what was counted.
pub(super) struct Measuring<'a> {
    data: &'a DataDir,
    lake: &'a Connection,
    now: UnixMillis,
    flights: Vec<Flight>,
    delivered: BTreeMap<FlightId, u64>,
    known: Known,
    make_goods: BTreeMap<FlightId, MakeGood>,
    bonus_flights: Vec<(FlightId, BonusFlight)>,
}

impl<'a> Measuring<'a> {
    pub(super) fn of(
        data: &'a DataDir,
        lake: &'a Connection,
        flights: Vec<Flight>,
        ledger: &mut Ledger,
        now: UnixMillis,
        mode: Mode,
    ) -> Result<Self, BooksError> {
        Ok(Self {
            data,
            lake,
            now,
            flights,
            delivered: LakeTotals(lake).delivered(UnixMillis(i64::MAX.unsigned_abs()))?,
            known: Known::look(data, lake, ledger, now, mode)?,
            make_goods: ledger.make_goods()?.into_iter().map(|one| (one.flight_id, one)).collect(),
            bonus_flights: ledger.bonus_flights()?,
        })
    }

    fn delivered(&self, flight: &Flight) -> u64 {
        self.delivered.get(&flight.flight_id).copied().unwrap_or_default()
    }

    fn left(&self, flight: &Flight, why: WhyLeft) -> LeftAlone {
        LeftAlone { flight: flight.clone(), why, make_good: self.make_goods.get(&flight.flight_id).cloned() }
    }

    /// The flights that a close of this month is about, as far as they can be measured; and those that cannot.
    ///
    /// All that ended by the month's end, in whichever month: months of other time zones leave gaps, ends are moved, and invalid traffic
    /// is taken out of a flight that seemed full. And all that have a make-good, whenever they end by now.
    fn closings(&self, month: &Month) -> Result<(Vec<Closing<'_>>, Vec<LeftAlone>), BooksError> {
        // What a bonus flight lacks is owed for the flight that it makes good.
        let bonus: BTreeSet<&str> = self.bonus_flights.iter().map(|(_, bonus)| bonus.flight.as_str()).collect();
        let (mut closings, mut left) = (vec![], vec![]);
        for flight in &self.flights {
            let is_owed = self.make_goods.contains_key(&flight.flight_id);
            let has_ended = flight.ends_at <= month.span.until;
            let is_short = self.delivered(flight) < flight.committed;
            let is_late = has_ended && is_short && !self.known.begins_after(flight);
            let is_meant = is_owed || is_late || month.has_end_of(flight);
            if flight.class != DemandClass::Guaranteed || bonus.contains(flight.slug.as_str()) || !is_meant {
                continue;
            }
            if !self.known.covers(flight) {
                left.push(self.left(flight, WhyLeft::NotKnown));
            } else if !has_ended && !self.is_all_counted(flight.ends_at.plus_ms(LAST_ADS_MS))? {
                left.push(self.left(flight, WhyLeft::NotOver));
            } else {
                closings.push(Closing { flight, delivered: self.delivered(flight) });
            }
        }
        Ok((closings, left))
    }

    /// What the bonus flights of each make-good have delivered, each no more than it was scheduled for; and the flights of which
    /// that is not known of all.
    pub(super) fn bonuses(&self) -> Result<(Vec<BonusDelivered>, Vec<LeftAlone>), BooksError> {
        let booked: BTreeMap<&str, &Flight> =
            self.flights.iter().map(|flight| (flight.slug.as_str(), flight)).collect();
        let mut sums: BTreeMap<FlightId, BonusDelivered> = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        for (flight_id, bonus) in &self.bonus_flights {
            let flight = booked.get(bonus.flight.as_str());
            if flight.is_some_and(|flight| !self.known.covers(flight)) {
                unknown.insert(*flight_id);
            }
            let delivered = flight.map_or(0, |flight| self.delivered(flight)).min(bonus.impressions);
            // By its end as booked now: whoever needs it no more ends it there.
            let ends_at = flight.map_or(bonus.ends_at, |flight| flight.ends_at);
            let is_over = self.is_all_counted(ends_at.plus_ms(LAST_ADS_MS))?;
            let none = BonusDelivered { flight_id: *flight_id, delivered: 0, scheduled: 0 };
            let sum = sums.entry(*flight_id).or_insert(none);
            sum.delivered += delivered;
            sum.scheduled += if is_over { delivered } else { bonus.impressions };
        }
        sums.retain(|flight_id, _| !unknown.contains(flight_id));
        let of_unknown = self.flights.iter().filter(|flight| unknown.contains(&flight.flight_id));
        let left = of_unknown.map(|flight| self.left(flight, WhyLeft::BonusNotKnown)).collect();
        Ok((sums.into_values().collect(), left))
    }

    /// Whether an instant is over and all that came before it is counted.
    fn is_all_counted(&self, instant: UnixMillis) -> Result<bool, BooksError> {
        if self.now < instant {
            return Ok(false);
        }
        match ready::check(self.data, self.lake, instant) {
            Ok(()) => Ok(true),
            Err(BooksError::NotReady(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
