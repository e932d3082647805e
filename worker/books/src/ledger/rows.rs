//! The ledger's rows, read and written.

use std::collections::BTreeMap;

use slotkeeper_core::{
    id::{AdvertiserId, CampaignId, FlightId},
    money::{Currency, Money},
    time::UnixMillis,
};

use super::{
    Account, Balances, LedgerError, Operation, State, Status, Terms,
    backend::{Backend, Value},
};
use crate::flight::Flight;

/// A make-good as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakeGood {
    /// Its number.
    pub make_good_id: u64,
    /// The flight that fell short.
    pub flight_id: FlightId,
    /// Its id in the contracts file.
    pub flight: String,
    /// Its campaign.
    pub campaign_id: CampaignId,
    /// The campaign's id in the contracts file.
    pub campaign: String,
    /// To whom it is owed.
    pub advertiser_id: AdvertiserId,
    /// The advertiser's id in the contracts file.
    pub advertiser: String,
    /// Its terms when it was minted.
    pub minted: Terms,
    /// Its terms as amended since.
    pub terms: Terms,
    /// How many entries it has.
    pub seq: u64,
    /// When the last was written.
    pub last_at: UnixMillis,
    /// The last remedy that was chosen, in the words of AdCP.
    pub remedy: Option<String>,
    /// What became of it.
    pub status: Status,
    /// How it stands, in impressions.
    pub state: State,
    /// What its accounts hold.
    pub balances: Balances,
}

impl MakeGood {
    /// What is still owed, in micros of the CPM's currency.
    #[must_use]
    pub fn liability_micros(&self) -> i64 {
        -(self.held(Account::Pending) + self.held(Account::Scheduled))
    }

    /// What an account holds of it.
    #[must_use]
    pub fn held(&self, account: Account) -> i64 {
        self.balances.get(&account).copied().unwrap_or_default()
    }

    /// What the flight fell short by, as far as it is owed.
    #[must_use]
    pub fn shortfall(&self) -> u64 {
        self.state.shortfall(self.terms.committed)
    }

    /// What of that is not made good yet.
    #[must_use]
    pub fn open_impressions(&self) -> u64 {
        self.state.open_impressions(self.terms.committed)
    }

    /// What of that no bonus flight is to deliver.
    #[must_use]
    pub fn unscheduled_impressions(&self) -> u64 {
        self.open_impressions() - self.state.open_scheduled(self.terms.committed)
    }
}

/// Something that happened to a make-good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub entry_id: u64,
    /// The make-good's number.
    pub make_good_id: u64,
    /// The flight that fell short.
    pub flight_id: FlightId,
    /// Its id in the contracts file.
    pub flight: String,
    /// Its place among the entries of its make-good, from 1.
    pub seq: u64,
    /// When it was written.
    pub at: UnixMillis,
    /// What makes it happen only once.
    pub idempotency_key: String,
    /// What happened.
    pub request: Operation,
    /// Whatever was said about it.
    pub note: String,
    /// How the make-good stands after it.
    pub state: State,
    /// What became of it.
    pub status: String,
    /// What it moves, in micros: by account.
    pub lines: Vec<(Account, i64)>,
    /// Of this currency.
    pub currency: Currency,
}

const MAKE_GOODS: &str = "SELECT m.make_good_id, m.flight_id, m.flight, m.campaign_id, m.campaign, m.advertiser_id,
        m.advertiser, m.ended_at_ms, m.committed, m.cpm_micros, m.currency, e.seq, e.at_ms, e.remedy, e.status, e.delivered,
        e.scheduled, e.fulfilled, e.credited, e.invoice_adjusted, e.is_void
    FROM make_goods m LEFT JOIN ledger_entries e ON e.make_good_id = m.make_good_id
        AND e.seq = (SELECT max(seq) FROM ledger_entries l WHERE l.make_good_id = m.make_good_id)";

/// Every make-good, or one flight's. One that was inserted and has no entry yet stands as a flight does that delivered all.
pub(super) fn make_goods(backend: &mut dyn Backend, of: Option<FlightId>) -> Result<Vec<MakeGood>, LedgerError> {
    let sums: Vec<String> =
        Account::ALL.iter().map(|account| format!("CAST(sum({}) AS BIGINT)", account.column())).collect();
    let sums = format!("SELECT make_good_id, {} FROM ledger_entries", sums.join(", "));
    let amendments =
        "SELECT make_good_id, request, fulfilled, credited, invoice_adjusted FROM ledger_entries WHERE kind = 'amend'";
    let (rows, sums, amended) = match of {
        Some(flight) => {
            let rows =
                backend.query(&format!("{MAKE_GOODS} WHERE m.flight_id = $1"), &[Value::count(flight.0.into())])?;
            let Some(row) = rows.first() else { return Ok(vec![]) };
            let one = format!("{sums} WHERE make_good_id = $1 GROUP BY make_good_id");
            let sums = backend.query(&one, &[row[0].clone()])?;
            let one = format!("{amendments} AND make_good_id = $1 ORDER BY entry_id");
            let amended = backend.query(&one, &[row[0].clone()])?;
            (rows, sums, amended)
        }
        None => (
            backend.query(&format!("{MAKE_GOODS} ORDER BY m.flight_id"), &[])?,
            backend.query(&format!("{sums} GROUP BY make_good_id"), &[])?,
            backend.query(&format!("{amendments} ORDER BY entry_id"), &[])?,
        ),
    };
    let mut balances: BTreeMap<u64, Balances> = BTreeMap::new();
    for sum in &sums {
        let mut sum = Reader::of("ledger_entries", sum);
        balances.insert(sum.count("make_good_id")?, sum.lines()?.into_iter().collect());
    }
    let mut all: Vec<MakeGood> = rows.iter().map(|row| make_good(row, &mut balances)).collect::<Result<_, _>>()?;
    amend(&mut all, &amended)?;
    for make_good in all.iter_mut().filter(|one| one.seq > 0) {
        make_good.status = make_good.state.status(make_good.terms.committed);
    }
    Ok(all)
}

/// Brings the terms up to date.
fn amend(all: &mut [MakeGood], amended: &[Vec<Value>]) -> Result<(), LedgerError> {
    let mut of: BTreeMap<u64, &mut MakeGood> = all.iter_mut().map(|one| (one.make_good_id, one)).collect();
    for row in amended {
        let mut row = Reader::of("ledger_entries", row);
        let make_good = of.get_mut(&row.count("make_good_id")?);
        let request = row.request()?;
        let (fulfilled, credited) = (row.count("fulfilled")?, row.count("credited")?);
        let stood = State { fulfilled, credited, invoice_adjusted: row.count("invoice_adjusted")?, ..State::default() };
        if let Some(make_good) = make_good {
            request.amend(&mut make_good.terms, &stood);
        }
    }
    Ok(())
}

fn make_good(row: &[Value], balances: &mut BTreeMap<u64, Balances>) -> Result<MakeGood, LedgerError> {
    let mut row = Reader::of("make_goods", row);
    let make_good_id = row.count("make_good_id")?;
    let (flight_id, flight) = (FlightId(row.number("flight_id")?), row.text("flight")?);
    let (campaign_id, campaign) = (CampaignId(row.number("campaign_id")?), row.text("campaign")?);
    let (advertiser_id, advertiser) = (AdvertiserId(row.number("advertiser_id")?), row.text("advertiser")?);
    let (ended_at, committed) = (UnixMillis(row.count("ended_at_ms")?), row.count("committed")?);
    let terms = Terms::new(committed, ended_at, Money { micros: row.int("cpm_micros")?, currency: row.currency()? });
    let mut make_good = MakeGood {
        make_good_id,
        flight_id,
        flight,
        campaign_id,
        campaign,
        advertiser_id,
        advertiser,
        minted: terms.clone(),
        terms,
        seq: 0,
        last_at: UnixMillis(0),
        remedy: None,
        status: Status::Pending,
        state: State::default(),
        balances: balances.remove(&make_good_id).unwrap_or_default(),
    };
    let Some(seq) = row.count_or_null("seq")? else {
        make_good.state.delivered = committed; // and is about to be told otherwise
        return Ok(make_good);
    };
    make_good.seq = seq;
    make_good.last_at = UnixMillis(row.count("at_ms")?);
    make_good.remedy = row.text_or_null("remedy")?;
    let _status = row.text("status")?; // follows from the rest; `verify` compares
    make_good.state = row.state()?;
    Ok(make_good)
}

const ENTRIES: &str = "SELECT e.entry_id, e.make_good_id, m.flight_id, m.flight, m.currency, e.seq, e.at_ms,
        e.idempotency_key, e.request, e.note, e.status, e.delivered, e.scheduled, e.fulfilled, e.credited,
        e.invoice_adjusted, e.is_void, e.expense_micros, e.pending_micros, e.scheduled_micros, e.additional_delivery_micros,
        e.credit_micros, e.invoice_adjustment_micros, e.over_remedied_micros
    FROM ledger_entries e JOIN make_goods m ON m.make_good_id = e.make_good_id";

/// Every entry, in the order in which they were written.
pub(super) fn entries(backend: &mut dyn Backend) -> Result<Vec<Entry>, LedgerError> {
    let rows = backend.query(&format!("{ENTRIES} ORDER BY e.entry_id"), &[])?;
    rows.iter().map(|row| entry(row)).collect()
}

/// The entry that was written under a key.
pub(super) fn entry_of_key(backend: &mut dyn Backend, key: &str) -> Result<Option<Entry>, LedgerError> {
    let rows = backend.query(&format!("{ENTRIES} WHERE e.idempotency_key = $1"), &[Value::text(key)])?;
    rows.first().map(|row| entry(row)).transpose()
}

fn entry(row: &[Value]) -> Result<Entry, LedgerError> {
    let mut row = Reader::of("ledger_entries", row);
    Ok(Entry {
        entry_id: row.count("entry_id")?,
        make_good_id: row.count("make_good_id")?,
        flight_id: FlightId(row.number("flight_id")?),
        flight: row.text("flight")?,
        currency: row.currency()?,
        seq: row.count("seq")?,
        at: UnixMillis(row.count("at_ms")?),
        idempotency_key: row.text("idempotency_key")?,
        request: row.request()?,
        note: row.text("note")?,
        status: row.text("status")?,
        state: row.state()?,
        lines: row.lines()?,
    })
}

pub(super) fn insert_make_good(backend: &mut dyn Backend, flight: &Flight) -> Result<(), LedgerError> {
    backend.execute(
        "INSERT INTO make_goods (flight_id, flight, campaign_id, campaign, advertiser_id, advertiser, ended_at_ms, committed,
             cpm_micros, currency)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            Value::count(flight.flight_id.0.into()),
            Value::text(&flight.slug),
            Value::count(flight.campaign_id.0.into()),
            Value::text(&flight.campaign),
            Value::count(flight.advertiser_id.0.into()),
            Value::text(&flight.advertiser),
            Value::count(flight.ends_at.0),
            Value::count(flight.committed),
            Value::Int(flight.cpm.micros),
            Value::text(flight.cpm.currency.as_str()),
        ],
    )
}

/// Writes an entry after which its make-good stands as `after`.
pub(super) fn insert_entry(
    backend: &mut dyn Backend,
    after: &MakeGood,
    operation: &Operation,
    key: &str,
    note: &str,
    lines: &[(Account, i64)],
) -> Result<(), LedgerError> {
    let next = backend.query("SELECT coalesce(max(entry_id), 0) + 1 FROM ledger_entries", &[])?;
    let entry_id = next.first().map_or(Value::Null, |row| row[0].clone());
    let state = &after.state;
    let request = serde_json::to_string(operation).unwrap_or_else(|_| unreachable!("plain values with string keys"));
    let moves = |account| lines.iter().find(|(of, _)| *of == account).map_or(0, |(_, micros)| *micros);
    let moves = Account::ALL.map(|account| Value::Int(moves(account)));
    let mut values = vec![
        entry_id,
        Value::count(after.make_good_id),
        Value::count(after.seq),
        Value::count(after.last_at.0),
        Value::text(operation.kind()),
        Value::text(key),
        Value::text(request),
        Value::text(note),
        Value::count(state.delivered),
        Value::count(state.scheduled),
        Value::count(state.fulfilled),
        Value::count(state.credited),
        Value::count(state.invoice_adjusted),
        Value::Int(state.is_void.into()),
        after.remedy.clone().map_or(Value::Null, Value::Text),
        Value::text(after.status.as_str()),
    ];
    values.extend(moves);
    backend.execute(
        "INSERT INTO ledger_entries (entry_id, make_good_id, seq, at_ms, kind, idempotency_key, request, note, delivered,
             scheduled, fulfilled, credited, invoice_adjusted, is_void, remedy, status, expense_micros, pending_micros,
             scheduled_micros, additional_delivery_micros, credit_micros, invoice_adjustment_micros, over_remedied_micros)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)",
        &values,
    )
}

/// The first hour that a close saw in the lake.
pub(super) fn lake_began_at(backend: &mut dyn Backend) -> Result<Option<UnixMillis>, LedgerError> {
    let rows = backend.query("SELECT min(begins_at_ms) FROM lake_beginnings", &[])?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Reader::of("lake_beginnings", row).count_or_null("begins_at_ms")?.map(UnixMillis))
}

pub(super) fn insert_lake(backend: &mut dyn Backend, begins_at: UnixMillis, at: UnixMillis) -> Result<(), LedgerError> {
    let values = [Value::count(begins_at.0), Value::count(at.0)];
    backend.execute("INSERT INTO lake_beginnings (begins_at_ms, noted_at_ms) VALUES ($1, $2)", &values)
}

/// The columns of a row, one after the other.
struct Reader<'a> {
    table: &'static str,
    values: std::slice::Iter<'a, Value>,
}

impl<'a> Reader<'a> {
    fn of(table: &'static str, row: &'a [Value]) -> Self {
        Self { table, values: row.iter() }
    }

    fn unreadable(&self, column: &'static str, reason: impl Into<String>) -> LedgerError {
        LedgerError::Unreadable { table: self.table, column, reason: reason.into() }
    }

    fn text_or_null(&mut self, column: &'static str) -> Result<Option<String>, LedgerError> {
        match self.values.next() {
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(Value::Null) => Ok(None),
            _ => Err(self.unreadable(column, "not a text")),
        }
    }

    fn text(&mut self, column: &'static str) -> Result<String, LedgerError> {
        self.text_or_null(column)?.ok_or_else(|| self.unreadable(column, "no text"))
    }

    fn int_or_null(&mut self, column: &'static str) -> Result<Option<i64>, LedgerError> {
        match self.values.next() {
            Some(Value::Int(int)) => Ok(Some(*int)),
            Some(Value::Null) => Ok(None),
            _ => Err(self.unreadable(column, "not a whole number")),
        }
    }

    fn int(&mut self, column: &'static str) -> Result<i64, LedgerError> {
        self.int_or_null(column)?.ok_or_else(|| self.unreadable(column, "no number"))
    }

    fn count_or_null(&mut self, column: &'static str) -> Result<Option<u64>, LedgerError> {
        let int = self.int_or_null(column)?;
        int.map(u64::try_from).transpose().map_err(|_| self.unreadable(column, "below 0"))
    }

    fn count(&mut self, column: &'static str) -> Result<u64, LedgerError> {
        u64::try_from(self.int(column)?).map_err(|_| self.unreadable(column, "below 0"))
    }

    fn number(&mut self, column: &'static str) -> Result<u32, LedgerError> {
        u32::try_from(self.int(column)?).map_err(|_| self.unreadable(column, "not of 32 bits"))
    }

    fn currency(&mut self) -> Result<Currency, LedgerError> {
        let code = self.text("currency")?;
        Currency::parse(&code).ok_or_else(|| self.unreadable("currency", code))
    }

    fn request(&mut self) -> Result<Operation, LedgerError> {
        let text = self.text("request")?;
        serde_json::from_str(&text).map_err(|error| self.unreadable("request", error.to_string()))
    }

    /// What is moved or held, by account; without those on which nothing is.
    fn lines(&mut self) -> Result<Vec<(Account, i64)>, LedgerError> {
        let mut lines = vec![];
        for account in Account::ALL {
            let micros = self.int(account.column())?;
            if micros != 0 {
                lines.push((account, micros));
            }
        }
        Ok(lines)
    }

    fn state(&mut self) -> Result<State, LedgerError> {
        Ok(State {
            delivered: self.count("delivered")?,
            scheduled: self.count("scheduled")?,
            fulfilled: self.count("fulfilled")?,
            credited: self.count("credited")?,
            invoice_adjusted: self.count("invoice_adjusted")?,
            is_void: self.int("is_void")? != 0,
        })
    }
}
