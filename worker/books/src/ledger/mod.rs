//! The ledger of make-goods: what is owed to advertisers because a flight closed short, and what became of it.
//!
//! Double entry, append-only, per currency. An entry and its lines are written in one transaction, in balance or not at all; the
//! database itself refuses what does not balance and what changes or deletes (`schema_sqlite.sql`, `schema_postgres.sql`).
//! `docs/ledger.md` shows the accounts of every event.
//!
//! Where to start reading: `operation.rs`, what can happen; `state.rs`, what it moves.

mod account;
mod backend;
mod operation;
mod postgres;
mod rows;
mod sqlite;
mod state;
mod terms;
mod verify;

use std::{collections::BTreeMap, path::Path};

use slotkeeper_core::{id::FlightId, time::UnixMillis};

pub use self::{
    account::Account,
    backend::{Backend, Value},
    operation::{BonusFlight, Operation},
    postgres::PostgresBackend,
    rows::{Entry, MakeGood},
    sqlite::SqliteBackend,
    state::{Balances, State, Status},
    terms::Terms,
    verify::{Finding, verify},
};
use crate::flight::Flight;

/// Why the ledger could not be read or written. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite failed.
    #[error("ledger: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL failed.
    #[error("ledger: {}", in_full(.0))]
    Postgres(#[from] ::postgres::Error),
    /// A row does not say what it should.
    #[error("ledger: {table}.{column}: {reason}")]
    Unreadable {
        /// Of which table.
        table: &'static str,
        /// Which column.
        column: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Nothing is owed for this flight.
    #[error("flight {0}: it has no make-good; `slotkeeper close month` makes one of a flight that ended short")]
    NoMakeGood(FlightId),
    /// It cannot happen to this make-good as it stands.
    #[error("flight {flight}: {kind}: {reason}")]
    Refused {
        /// Whose.
        flight: String,
        /// What.
        kind: &'static str,
        /// Why.
        reason: String,
    },
    /// Something else was done under this key.
    #[error(
        "key {key:?}: flight {flight}: {kind} was done under it, with other values; another operation takes another key"
    )]
    KeyReused {
        /// Which.
        key: String,
        /// Whose.
        flight: String,
        /// What.
        kind: String,
    },
    /// A key as the ledger makes them.
    #[error("key {key:?}: keys that begin with `{kind}/` are the ledger's own; choose another")]
    KeyReserved {
        /// Which.
        key: String,
        /// What it begins with.
        kind: &'static str,
    },
    /// More money than 63 bits of micros hold.
    #[error("{impressions} impressions at a CPM of {cpm_micros} micros are more than 9,223,372,036,854,775,807 micros")]
    TooMuch {
        /// How many.
        impressions: u64,
        /// At which price.
        cpm_micros: i64,
    },
}

/// What the server said, which the library's own text leaves out.
fn in_full(error: &::postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned())
}

/// How a flight closed.
#[derive(Clone, Debug)]
pub struct Closing<'a> {
    /// Which.
    pub flight: &'a Flight,
    /// What it has delivered, as far as is known.
    pub delivered: u64,
}

/// What the bonus flights of a make-good have delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BonusDelivered {
    /// The flight that fell short.
    pub flight_id: FlightId,
    /// All of them together, of each no more than it was scheduled for.
    pub delivered: u64,
    /// What they are to deliver, together: of those that are over, what they did. So what a bonus flight lacks at its end is owed
    /// as if nothing had been scheduled for it.
    pub scheduled: u64,
}

/// How money is to make good what a flight fell short by.
#[derive(Clone, Copy, Debug)]
pub struct Remedy<'a> {
    /// The flight that fell short.
    pub flight_id: FlightId,
    /// What is done with so many impressions of it: [`Operation::Credit`] or [`Operation::InvoiceAdjustment`].
    pub operation: fn(u64) -> Operation,
    /// How many; without, what was done under the key before, or else all that are open.
    pub impressions: Option<u64>,
    /// What names this very operation; without, it is done each time.
    pub key: Option<&'a str>,
    /// What to remember with it.
    pub note: &'a str,
}

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// An entry was written.
    Posted,
    /// It was done before, under the same key.
    Repeated,
    /// There was nothing to do.
    Nothing,
}

/// What a close did, and how each make-good stands that it was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Of each closing, in their order; `None` of a flight that owes nothing.
    pub flights: Vec<(Did, Option<MakeGood>)>,
    /// Of what bonus flights delivered, in their order.
    pub bonuses: Vec<(Did, MakeGood)>,
}

/// Whether what is done stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Write,
    /// It is done, looked at, and forgotten.
    DryRun,
}

/// A ledger.
pub struct Ledger {
    backend: Box<dyn Backend>,
}

impl Ledger {
    /// On this database.
    #[must_use]
    pub fn new(backend: Box<dyn Backend>) -> Self {
        Self { backend }
    }

    /// Behind `postgres://…`, or in the file at `path`, which is made if there is none.
    pub fn open(url: Option<&str>, path: &Path) -> Result<Self, LedgerError> {
        Ok(match url {
            Some(url) => Self::new(Box::new(PostgresBackend::connect(url)?)),
            None => Self::new(Box::new(SqliteBackend::open(path)?)),
        })
    }

    /// Books what flights closed short by, or what that has changed by since, and what bonus flights delivered: all of it in
    /// one transaction. Done again, it does nothing.
    pub fn close(
        &mut self,
        closings: &[Closing<'_>],
        bonuses: &[BonusDelivered],
        at: UnixMillis,
        mode: Mode,
    ) -> Result<Closed, LedgerError> {
        self.transaction(mode, |ledger| {
            let bonuses = bonuses.iter().map(|bonus| ledger.fulfil(bonus, at)).collect::<Result<_, _>>()?;
            let made: BTreeMap<_, _> = ledger.make_goods()?.into_iter().map(|one| (one.flight_id, one)).collect();
            let close = |closing: &Closing<'_>| match made.get(&closing.flight.flight_id) {
                Some(made) if !is_news(made, closing) => Ok((Did::Nothing, Some(made.clone()))),
                None if closing.delivered >= closing.flight.committed => Ok((Did::Nothing, None)),
                _ => ledger.close_one(closing, at),
            };
            let flights = closings.iter().map(close).collect::<Result<_, _>>()?;
            Ok(Closed { flights, bonuses })
        })
    }

    /// The first hour that any close saw in the lake; `None` if none saw any.
    pub fn lake_began_at(&mut self) -> Result<Option<UnixMillis>, LedgerError> {
        rows::lake_began_at(self.backend.as_mut())
    }

    /// Remembers the first hour that is in the lake, unless an earlier one was.
    pub fn note_lake(&mut self, begins_at: UnixMillis, at: UnixMillis) -> Result<(), LedgerError> {
        self.transaction(Mode::Write, |ledger| match ledger.lake_began_at()? {
            Some(before) if before <= begins_at => Ok(()),
            _ => rows::insert_lake(ledger.backend.as_mut(), begins_at, at),
        })
    }

    /// Does something with a flight's make-good, once: under a key that was used for it before, it does nothing. A key that begins with
    /// an operation's name and `/` is refused, as the ledger makes such keys: but for those of `schedule` and `void`, which it makes none
    /// of, for themselves.
    pub fn apply(
        &mut self,
        flight_id: FlightId,
        operation: &Operation,
        key: &str,
        note: &str,
        at: UnixMillis,
        mode: Mode,
    ) -> Result<(Did, MakeGood), LedgerError> {
        let is_own = matches!(operation, Operation::Schedule { .. } | Operation::Void);
        match Operation::kind_of_key(key) {
            Some(kind) if !(is_own && kind == operation.kind()) => {
                Err(LedgerError::KeyReserved { key: key.into(), kind })
            }
            _ => self.transaction(mode, |ledger| ledger.apply_one(flight_id, operation, Some(key), note, at)),
        }
    }

    /// Makes good by money what is open of a make-good, or some of it, once: under a key that was used for it before, it does
    /// nothing, however much is open by now. A key that begins with an operation's name and `/` is refused, as the ledger makes such.
    pub fn remedy(&mut self, remedy: &Remedy<'_>, at: UnixMillis, mode: Mode) -> Result<(Did, MakeGood), LedgerError> {
        if let Some(key) = remedy.key
            && let Some(kind) = Operation::kind_of_key(key)
        {
            return Err(LedgerError::KeyReserved { key: key.into(), kind });
        }
        self.transaction(mode, |ledger| ledger.remedy_one(remedy, at))
    }

    /// Every make-good as it stands, in the order of the flights' numbers.
    pub fn make_goods(&mut self) -> Result<Vec<MakeGood>, LedgerError> {
        rows::make_goods(self.backend.as_mut(), None)
    }

    /// How a flight's make-good stands.
    pub fn make_good(&mut self, flight_id: FlightId) -> Result<Option<MakeGood>, LedgerError> {
        Ok(rows::make_goods(self.backend.as_mut(), Some(flight_id))?.pop())
    }

    /// Every entry, in the order in which they were written.
    pub fn entries(&mut self) -> Result<Vec<Entry>, LedgerError> {
        rows::entries(self.backend.as_mut())
    }

    /// The bonus flights there are, each with the number of the flight that fell short.
    pub fn bonus_flights(&mut self) -> Result<Vec<(FlightId, BonusFlight)>, LedgerError> {
        let entries = self.entries()?;
        let of = |entry: Entry| match entry.request {
            Operation::Schedule { bonus } => Some((entry.flight_id, bonus)),
            _ => None,
        };
        Ok(entries.into_iter().filter_map(of).collect())
    }

    /// Every make-good as it stands and every entry, of one moment, whoever writes meanwhile.
    pub fn all(&mut self) -> Result<(Vec<MakeGood>, Vec<Entry>), LedgerError> {
        self.backend.begin_reading()?;
        let all = self.make_goods().and_then(|make_goods| Ok((make_goods, self.entries()?)));
        self.backend.rollback()?;
        all
    }

    /// Makes every entry again, from the first, and says where the tables say something else.
    pub fn verify(&mut self) -> Result<Vec<Finding>, LedgerError> {
        let (make_goods, entries) = self.all()?;
        verify(&make_goods, &entries)
    }

    fn close_one(&mut self, closing: &Closing<'_>, at: UnixMillis) -> Result<(Did, Option<MakeGood>), LedgerError> {
        let Closing { flight, delivered } = *closing;
        let Some(made) = self.make_good(flight.flight_id)? else {
            if delivered >= flight.committed {
                return Ok((Did::Nothing, None));
            }
            rows::insert_make_good(self.backend.as_mut(), flight)?;
            let mint = Operation::Mint { delivered };
            return self.apply_one(flight.flight_id, &mint, None, "", at).map(|(did, made)| (did, Some(made)));
        };
        let (amended, _) = self.amend(&made, flight, at)?;
        let (adjusted, made) = self.apply_one(flight.flight_id, &Operation::Adjust { delivered }, None, "", at)?;
        Ok((if amended == Did::Posted { amended } else { adjusted }, Some(made)))
    }

    /// Takes over what is booked by now: it is what both sides agreed.
    fn amend(&mut self, made: &MakeGood, flight: &Flight, at: UnixMillis) -> Result<(Did, MakeGood), LedgerError> {
        let (owed_in, booked_in) = (made.terms.cpm().currency, flight.cpm.currency);
        let amend =
            Operation::Amend { committed: flight.committed, cpm_micros: flight.cpm.micros, ended_at: flight.ends_at };
        if owed_in != booked_in {
            let reason = format!("currency: it is booked in {booked_in}, and its make-good is owed in {owed_in}");
            return Err(LedgerError::Refused { flight: made.flight.clone(), kind: amend.kind(), reason });
        }
        self.apply_one(flight.flight_id, &amend, None, "", at)
    }

    fn fulfil(&mut self, bonus: &BonusDelivered, at: UnixMillis) -> Result<(Did, MakeGood), LedgerError> {
        let fulfil = Operation::Fulfil { bonus_delivered: bonus.delivered, scheduled: bonus.scheduled };
        self.apply_one(bonus.flight_id, &fulfil, None, "", at)
    }

    fn remedy_one(&mut self, remedy: &Remedy<'_>, at: UnixMillis) -> Result<(Did, MakeGood), LedgerError> {
        let Remedy { flight_id, operation, impressions, key, note } = *remedy;
        let before = self.make_good(flight_id)?.ok_or(LedgerError::NoMakeGood(flight_id))?;
        let open = before.open_impressions();
        let key =
            key.map_or_else(|| format!("{}/{flight_id}/{}", operation(open).kind(), before.seq + 1), String::from);
        let done = rows::entry_of_key(self.backend.as_mut(), &key)?.and_then(|entry| entry.request.impressions());
        let operation = operation(impressions.or(done).unwrap_or(open));
        self.apply_one(flight_id, &operation, Some(&key), note, at)
    }

    /// Without a key, it is something that follows from what is delivered: that is never done twice, as the second time nothing
    /// has changed.
    fn apply_one(
        &mut self,
        flight_id: FlightId,
        operation: &Operation,
        key: Option<&str>,
        note: &str,
        at: UnixMillis,
    ) -> Result<(Did, MakeGood), LedgerError> {
        let backend = self.backend.as_mut();
        let before = rows::make_goods(backend, Some(flight_id))?.pop().ok_or(LedgerError::NoMakeGood(flight_id))?;
        if let Some(key) = key
            && let Some(entry) = rows::entry_of_key(backend, key)?
        {
            if entry.flight_id == flight_id && entry.request == *operation {
                return Ok((Did::Repeated, before));
            }
            let (flight, kind) = (entry.flight, entry.request.kind().into());
            return Err(LedgerError::KeyReused { key: key.into(), flight, kind });
        }
        let after = operation.after(&before.flight, before.terms.committed, &before.state)?;
        let mut terms = before.terms.clone();
        operation.amend(&mut terms, &before.state);
        let committed = terms.committed;
        let is_news = match operation {
            Operation::Adjust { .. } => after.shortfall(committed) != before.state.shortfall(committed),
            Operation::Fulfil { .. } => after != before.state,
            Operation::Amend { .. } => terms != before.terms && !before.state.is_void, // what was never owed has no terms
            _ => true,
        };
        if !is_news {
            return Ok((Did::Nothing, before));
        }
        let balances = state::balances(&terms, &before.balances, &before.state, &after)?;
        let lines = state::lines(&before.balances, &balances);
        assert_eq!(
            lines.iter().map(|(_, micros)| i128::from(*micros)).sum::<i128>(),
            0,
            "an entry that does not balance"
        );
        let generated = format!("{}/{flight_id}/{}", operation.kind(), before.seq + 1);
        let after = MakeGood {
            seq: before.seq + 1,
            last_at: at,
            remedy: after.remedy_after(&before.state).map(String::from).or_else(|| before.remedy.clone()),
            status: after.status(committed),
            terms,
            state: after,
            balances,
            ..before
        };
        rows::insert_entry(backend, &after, operation, key.unwrap_or(&generated), note, &lines)?;
        Ok((Did::Posted, after))
    }

    fn transaction<T>(
        &mut self,
        mode: Mode,
        work: impl FnOnce(&mut Self) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.backend.begin()?;
        let outcome = work(self).and_then(|done| {
            if mode == Mode::Write {
                self.backend.commit()?;
            }
            Ok(done)
        });
        if outcome.is_err() || mode == Mode::DryRun {
            self.backend.rollback()?;
        }
        outcome
    }
}

/// Whether a close has anything to book of a make-good. Of most it has nothing, and a query for each would be all that it does.
fn is_news(made: &MakeGood, Closing { flight, delivered }: &Closing<'_>) -> bool {
    let Terms { committed, ended_at, .. } = made.terms;
    let has_other_terms = (committed, ended_at) != (flight.committed, flight.ends_at);
    let is_short_by = flight.committed.saturating_sub(*delivered);
    made.terms.cpm() != flight.cpm || !made.state.is_void && (has_other_terms || is_short_by != made.shortfall())
}
