//! `slotkeeper ledger`.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::json;
use slotkeeper::{
    books::{self, export_ledger},
    clock, contracts,
    data_dir::DataDir,
    say, tell,
};
use slotkeeper_books::ledger::{self, Did, Entry, Ledger as Book, MakeGood, Mode, Operation, verify};
use slotkeeper_core::{money::Money, time::UnixMillis};

use super::{
    Data,
    close::{amount, done, owed},
};
use crate::table;

/// What the program ends with when the ledger is not what its entries come to.
const BROKEN: u8 = 3;
/// What is said of an error in writing the files for SQL.
pub(super) const BOOKED: &str = "it is booked, do not do it again; only its files for SQL were not written: the next `slotkeeper close month` writes them";

#[derive(Subcommand)]
pub(crate) enum Ledger {
    /// Make every entry again and compare. Ends with 3 if anything is not as it follows
    Verify(Verify),
    /// Show what is owed for every flight that fell short, or all that happened to one
    Show(Show),
    /// Print every line of every entry, for a finance system
    Export(Export),
    /// Let a bonus flight deliver what a flight fell short by, and book that flight (in AdCP `additional_delivery`)
    Schedule(Schedule),
    /// Say that an advertiser was credited (in AdCP `credit`)
    Credit(Remedy),
    /// Say that an invoice was adjusted (in AdCP `invoice_adjustment`)
    InvoiceAdjustment(Remedy),
    /// Say that a make-good was never owed. It cannot be undone
    Void(Void),
}

/// Which ledger.
#[derive(Args)]
pub(crate) struct LedgerAt {
    #[command(flatten)]
    data: Data,
    /// The ledger, if it is not in the data folder: `postgres://USER@HOST/DATABASE`. Plain TCP or a socket: this build speaks no
    /// TLS to it
    #[arg(long, env = "SLOTKEEPER_LEDGER", hide_env_values = true, value_name = "URL")]
    ledger: Option<String>,
}

impl LedgerAt {
    pub(super) fn open(self, mode: Mode) -> anyhow::Result<(DataDir, Book)> {
        let data = DataDir::open(self.data.data)?;
        let url = self.ledger.as_deref();
        if let Some(url) = url {
            let is_one = url.starts_with("postgres://") || url.starts_with("postgresql://");
            anyhow::ensure!(is_one, "--ledger must be a URL such as postgres://finance@10.0.0.7/ledger");
        }
        // What is only looked at makes no file.
        let in_memory = url.is_none() && mode == Mode::DryRun && !data.ledger().exists();
        let ledger = if in_memory { Book::open(None, ":memory:".as_ref())? } else { books::open_ledger(&data, url)? };
        Ok((data, ledger))
    }
}

#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    at: LedgerAt,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Show {
    /// The flight that fell short: its id in the contracts file
    flight: Option<String>,
    #[command(flatten)]
    at: LedgerAt,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    at: LedgerAt,
    /// How
    #[arg(long, default_value = "csv")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Csv,
    Json,
}

#[derive(Args)]
pub(crate) struct Schedule {
    /// The flight that fell short: its id in the contracts file
    flight: String,
    #[command(flatten)]
    at: LedgerAt,
    /// When the bonus flight begins: an instant, or a date in the flight's time zone
    #[arg(long, value_name = "INSTANT")]
    from: String,
    /// When it ends: an instant, or a date, at whose beginning it does
    #[arg(long, value_name = "INSTANT")]
    until: String,
    /// How many impressions it delivers; without, all that is open and not scheduled
    #[arg(long, value_name = "COUNT")]
    impressions: Option<u64>,
    #[command(flatten)]
    said: Said,
}

#[derive(Args)]
pub(crate) struct Remedy {
    /// The flight that fell short: its id in the contracts file
    flight: String,
    #[command(flatten)]
    at: LedgerAt,
    /// How many impressions of the shortfall; without, all that are open
    #[arg(long, value_name = "COUNT")]
    impressions: Option<u64>,
    /// Something that names this very operation, such as a credit note's number: under the same key it is done once
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    said: Said,
}

#[derive(Args)]
pub(crate) struct Void {
    /// The flight that did not fall short: its id in the contracts file
    flight: String,
    #[command(flatten)]
    at: LedgerAt,
    #[command(flatten)]
    said: Said,
}

#[derive(Args)]
struct Said {
    /// What to remember with it
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    /// Show what would become of it, and write nothing
    #[arg(long)]
    dry_run: bool,
}

impl Said {
    fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { Mode::Write }
    }
}

impl Ledger {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Verify(verify) => verify.run(),
            Self::Show(show) => show.run(),
            Self::Export(export) => export.run(),
            Self::Schedule(schedule) => schedule.run(),
            Self::Credit(remedy) => remedy.run(|impressions| Operation::Credit { impressions }),
            Self::InvoiceAdjustment(remedy) => remedy.run(|impressions| Operation::InvoiceAdjustment { impressions }),
            Self::Void(void) => void.run(),
        }
    }
}

/// The make-good of the flight of this id.
fn find(ledger: &mut Book, flight: &str) -> anyhow::Result<MakeGood> {
    of_flight(ledger.make_goods()?, flight)
}

fn of_flight(all: Vec<MakeGood>, flight: &str) -> anyhow::Result<MakeGood> {
    let found = all.into_iter().find(|one| one.flight == flight);
    found.with_context(|| {
        format!("flight {flight:?} has no make-good; `slotkeeper ledger show` lists those that have, `slotkeeper close month` makes them")
    })
}

impl Verify {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (_, mut ledger) = self.at.open(Mode::DryRun)?;
        let (make_goods, entries) = ledger.all()?;
        let findings = verify(&make_goods, &entries)?;
        let entries = entries.len();
        if self.json {
            let one = |finding: &slotkeeper_books::ledger::Finding| json!({ "flight": finding.flight, "entry_id": finding.entry_id, "message": finding.message });
            let all: Vec<_> = findings.iter().map(one).collect();
            say!("{}", serde_json::to_string_pretty(&json!({ "entries": entries, "findings": all }))?);
        } else {
            for finding in &findings {
                let entry = finding.entry_id.map_or_else(String::new, |id| format!(" entry {id}:"));
                say!("flight {}:{entry} {}", finding.flight, finding.message);
            }
            let verdict =
                if findings.is_empty() { "the ledger is what its entries come to" } else { "the ledger is broken" };
            say!("made {entries} entries again: {} findings; {verdict}", findings.len());
        }
        Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
    }
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (_, mut ledger) = self.at.open(Mode::DryRun)?;
        let Some(flight) = &self.flight else {
            let all = ledger.make_goods()?;
            if self.json {
                say!("{}", serde_json::to_string_pretty(&all.iter().map(make_good_json).collect::<Vec<_>>())?);
            } else {
                print_all(&all);
            }
            return Ok(ExitCode::SUCCESS);
        };
        let (make_goods, mut entries) = ledger.all()?;
        let make_good = of_flight(make_goods, flight)?;
        entries.retain(|entry| entry.make_good_id == make_good.make_good_id);
        if self.json {
            let mut json = make_good_json(&make_good);
            json["entries"] = entries.iter().map(entry_json).collect();
            say!("{}", serde_json::to_string_pretty(&json)?);
        } else {
            print_one(&make_good, &entries);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_all(all: &[MakeGood]) {
    let row = |one: &MakeGood| {
        [
            one.flight.clone(),
            one.advertiser.clone(),
            one.terms.committed.to_string(),
            one.state.delivered.to_string(),
            one.shortfall().to_string(),
            one.open_impressions().to_string(),
            owed(one),
            one.remedy.clone().unwrap_or_else(|| "-".into()),
            one.status.as_str().into(),
        ]
    };
    let heads = ["flight", "advertiser", "committed", "delivered", "shortfall", "open", "owed", "remedy", "status"];
    table::print(heads, &all.iter().map(row).collect::<Vec<_>>());
    let mut sums = std::collections::BTreeMap::<_, i128>::new();
    for one in all {
        *sums.entry(one.terms.cpm().currency).or_default() += i128::from(one.liability_micros());
    }
    for (currency, micros) in sums {
        say!("owed: {}", amount(micros, currency.as_str()));
    }
}

fn print_one(make_good: &MakeGood, entries: &[Entry]) {
    let currency = make_good.terms.cpm().currency;
    print_all(std::slice::from_ref(make_good));
    say!("\nIts accounts, debits above zero and credits below:\n");
    let account = |(account, micros): (&slotkeeper_books::ledger::Account, &i64)| {
        [account.as_str().to_owned(), amount((*micros).into(), currency.as_str())]
    };
    table::print(["account", "holds"], &make_good.balances.iter().map(account).collect::<Vec<_>>());
    say!("\nWhat happened:\n");
    let row = |entry: &Entry| {
        let lines: Vec<String> = entry
            .lines
            .iter()
            .map(|(account, micros)| format!("{} {}", account.as_str(), amount((*micros).into(), currency.as_str())))
            .collect();
        let note = entry.note.clone();
        [entry.entry_id.to_string(), clock::shown(entry.at), what(entry), lines.join(", "), entry.status.clone(), note]
    };
    table::print(["entry", "at", "what", "moves", "then", "note"], &entries.iter().map(row).collect::<Vec<_>>());
}

/// What happened, with the terms if it was about them.
fn what(entry: &Entry) -> String {
    match &entry.request {
        Operation::Amend { committed, cpm_micros, .. } => {
            let cpm = super::contracts::money(Money { micros: *cpm_micros, currency: entry.currency });
            format!("amend to {committed} at {cpm}")
        }
        request => request.kind().into(),
    }
}

fn make_good_json(one: &MakeGood) -> serde_json::Value {
    json!({
        "make_good_id": one.make_good_id,
        "flight_id": one.flight_id.0,
        "flight": one.flight,
        "campaign": one.campaign,
        "advertiser": one.advertiser,
        "ended_at": clock::shown(one.terms.ended_at),
        "committed": one.terms.committed,
        "delivered": one.state.delivered,
        "shortfall": one.shortfall(),
        "open_impressions": one.open_impressions(),
        "scheduled": one.state.scheduled,
        "fulfilled": one.state.fulfilled,
        "credited": one.state.credited,
        "invoice_adjusted": one.state.invoice_adjusted,
        "cpm_micros": one.terms.cpm().micros,
        "currency": one.terms.cpm().currency.as_str(),
        "remedy": one.remedy,
        "status": one.status.as_str(),
        "liability_micros": one.liability_micros(),
        "balances_micros": one.balances.iter().map(|(account, micros)| (account.as_str().to_owned(), json!(micros)))
            .collect::<serde_json::Map<_, _>>(),
    })
}

fn entry_json(entry: &Entry) -> serde_json::Value {
    let line = |(account, micros): &(slotkeeper_books::ledger::Account, i64)| json!({ "account": account.as_str(), "amount_micros": micros });
    json!({
        "entry_id": entry.entry_id,
        "make_good_id": entry.make_good_id,
        "flight": entry.flight,
        "seq": entry.seq,
        "at": clock::shown(entry.at),
        "request": entry.request,
        "idempotency_key": entry.idempotency_key,
        "note": entry.note,
        "status": entry.status,
        "currency": entry.currency.as_str(),
        "lines": entry.lines.iter().map(line).collect::<Vec<_>>(),
    })
}

impl Export {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (_, mut ledger) = self.at.open(Mode::DryRun)?;
        let entries = ledger.entries()?;
        match self.format {
            Format::Json => {
                say!("{}", serde_json::to_string_pretty(&entries.iter().map(entry_json).collect::<Vec<_>>())?);
            }
            Format::Csv => {
                say!("entry_id,at,kind,flight,status,account,currency,amount_micros,note");
                for entry in &entries {
                    for (account, micros) in &entry.lines {
                        say!(
                            "{},{},{},{},{},{},{},{micros},{}",
                            entry.entry_id,
                            clock::shown(entry.at),
                            entry.request.kind(),
                            quoted(&entry.flight),
                            entry.status,
                            account.as_str(),
                            entry.currency,
                            quoted(&entry.note)
                        );
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A field of CSV as RFC 4180 has it. One that a spreadsheet would take for a formula is text.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.into();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

impl Schedule {
    fn run(self) -> anyhow::Result<ExitCode> {
        let mode = self.said.mode();
        let (data, mut ledger) = self.at.open(mode)?;
        let make_good = find(&mut ledger, &self.flight)?;
        let booked = contracts::Contracts::open(&data.contracts())?.booked()?;
        let flight = booked.flights.iter().find(|flight| flight.flight_id == make_good.flight_id);
        let zone = flight.map_or(TimeZone::UTC, |flight| flight.frequency.zone());
        let span = (point("--from", &self.from, &zone)?, point("--until", &self.until, &zone)?);
        let wanted = books::Wanted { impressions: self.impressions, span, note: &self.said.note };
        let scheduled = books::schedule(&data, &mut ledger, make_good.flight_id, &wanted, clock::now(), mode)?;
        let bonus = &scheduled.bonus;
        say!(
            "{}: {} impressions from {} until {}, at no price{}",
            bonus.flight,
            bonus.impressions,
            clock::shown(bonus.starts_at),
            clock::shown(bonus.ends_at),
            if mode == Mode::DryRun { "; nothing was written" } else { "; booked, and in the next plan" }
        );
        print_all(&[scheduled.make_good]);
        scheduled.exported.context(BOOKED)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// An instant, or the beginning of a date.
fn point(argument: &str, text: &str, zone: &TimeZone) -> anyhow::Result<UnixMillis> {
    let at = match (text.parse::<Timestamp>(), text.parse::<Date>()) {
        (Ok(at), _) => at,
        (_, Ok(date)) => date.to_zoned(zone.clone())?.timestamp(),
        _ => bail!("{argument} {text:?} must be a date such as 2026-12-01 or an instant such as 2026-12-01T00:00:00Z"),
    };
    let millis = u64::try_from(at.as_millisecond()).with_context(|| format!("{argument} {text:?} is before 1970"))?;
    Ok(UnixMillis(millis))
}

impl Remedy {
    fn run(self, operation: fn(u64) -> Operation) -> anyhow::Result<ExitCode> {
        let mode = self.said.mode();
        let (data, mut ledger) = self.at.open(mode)?;
        let _lock = data.lock_books()?;
        let shelf = books::shelf(&data, mode)?;
        let flight_id = find(&mut ledger, &self.flight)?.flight_id;
        let (impressions, key, note) = (self.impressions, self.key.as_deref(), self.said.note.as_str());
        let remedy = ledger::Remedy { flight_id, operation, impressions, key, note };
        let done = ledger.remedy(&remedy, clock::now(), mode)?;
        told(operation(1).kind(), done, mode);
        export_ledger(shelf.as_ref(), &mut ledger).context(BOOKED)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Void {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (data, mut ledger) = self.at.open(self.said.mode())?;
        let _lock = data.lock_books()?;
        let mode = self.said.mode();
        let shelf = books::shelf(&data, mode)?;
        let flight_id = find(&mut ledger, &self.flight)?.flight_id;
        let key = format!("void/{flight_id}");
        let done = ledger.apply(flight_id, &Operation::Void, &key, &self.said.note, clock::now(), mode)?;
        told(Operation::Void.kind(), done, mode);
        export_ledger(shelf.as_ref(), &mut ledger).context(BOOKED)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what was done: before its files for SQL are written, as it is done whatever becomes of them.
fn told(kind: &str, (did, after): (Did, MakeGood), mode: Mode) {
    if did == Did::Repeated {
        tell!("slotkeeper: it was done before, under the same key; nothing was written");
    }
    say!("{kind}: {}", if mode == Mode::DryRun { "nothing was written" } else { done(did) });
    print_all(&[after]);
}
