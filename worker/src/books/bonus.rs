//! Bonus flights: scheduled in the ledger, and booked as any flight is.

use slotkeeper_books::ledger::{BonusFlight, Ledger, LedgerError, MakeGood, Mode, Operation};
use slotkeeper_core::{id::FlightId, time::UnixMillis};

use super::{
    BooksError,
    export::{export_ledger, shelf},
};
use crate::{
    contracts::{BonusTerms, Contracts},
    data_dir::DataDir,
    dims,
};

/// The longest id there is.
const SLUG_BYTES_MAX: usize = 64;

/// What is wanted of a bonus flight.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// How much it delivers; without, all that is open and not scheduled.
    pub impressions: Option<u64>,
    /// Its first instant, and the one after its last.
    pub span: (UnixMillis, UnixMillis),
    /// What to remember with it.
    pub note: &'a str,
}

/// A bonus flight that was scheduled.
#[derive(Debug)]
pub struct Scheduled {
    /// Which.
    pub bonus: BonusFlight,
    /// How the make-good stands.
    pub make_good: MakeGood,
    /// Whether the files for SQL were written. It is booked either way.
    pub exported: Result<(), BooksError>,
}

/// Schedules a bonus flight for what a flight fell short by, as far as nothing is scheduled for it, or for some of that; and
/// books it.
///
/// First the ledger, then the booking: of a process that dies between the two, [`book_scheduled`] books what is missing.
pub fn schedule(
    data: &DataDir,
    ledger: &mut Ledger,
    flight_id: FlightId,
    wanted: &Wanted<'_>,
    now: UnixMillis,
    mode: Mode,
) -> Result<Scheduled, BooksError> {
    let _lock = data.lock_books()?;
    let shelf = shelf(data, mode)?;
    let mut contracts = Contracts::open(&data.contracts())?;
    if mode == Mode::Write {
        book_scheduled(&mut contracts, ledger)?;
    }
    let make_good = ledger.make_good(flight_id)?.ok_or(LedgerError::NoMakeGood(flight_id))?;
    let before = ledger.bonus_flights()?.into_iter().filter(|(of, _)| *of == flight_id).count();
    // What the ledger has is never taken back, so no id that somebody else has.
    let booked = contracts.booked()?;
    let is_free = |id: &String| booked.flights.iter().all(|flight| flight.slug != *id);
    let mut ids = (before + 1..).map(|nth| bonus_id(&make_good.flight, flight_id, nth));
    let bonus = BonusFlight {
        flight: ids.find(is_free).unwrap_or_default(),
        impressions: wanted.impressions.unwrap_or_else(|| make_good.unscheduled_impressions()),
        starts_at: wanted.span.0,
        ends_at: wanted.span.1,
    };
    let operation = Operation::Schedule { bonus: bonus.clone() };
    let (_, make_good) =
        ledger.apply(flight_id, &operation, &format!("schedule/{}", bonus.flight), wanted.note, now, mode)?;
    let mut exported = Ok(());
    if mode == Mode::Write {
        book_scheduled(&mut contracts, ledger)?;
        exported = dims::export(data).map_err(BooksError::from).and_then(|()| export_ledger(shelf.as_ref(), ledger));
    }
    Ok(Scheduled { bonus, make_good, exported })
}

/// Books every bonus flight that the ledger has and the bookings have not; returns their ids.
pub fn book_scheduled(contracts: &mut Contracts, ledger: &mut Ledger) -> Result<Vec<String>, BooksError> {
    let mut booked = vec![];
    for (of, bonus) in ledger.bonus_flights()? {
        let BonusFlight { flight, impressions, starts_at, ends_at } = &bonus;
        let terms = BonusTerms { flight, impressions: *impressions, starts_at: *starts_at, ends_at: *ends_at };
        if contracts.book_bonus(of, &terms)? {
            booked.push(flight.clone());
        }
    }
    Ok(booked)
}

/// `<flight>-makegood`, then `<flight>-makegood-2`. With the flight's number for its id where that is too long.
fn bonus_id(flight: &str, flight_id: FlightId, nth: usize) -> String {
    let nth = if nth == 1 { String::new() } else { format!("-{nth}") };
    let id = format!("{flight}-makegood{nth}");
    if id.len() <= SLUG_BYTES_MAX { id } else { format!("flight-{flight_id}-makegood{nth}") }
}
