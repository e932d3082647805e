//! `slotkeeper close`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use jiff::civil::Date;
use serde_json::json;
use slotkeeper::{
    books::{self, BooksError, ClosedMonth, LeftAlone, Month, MonthLine, NotReady},
    clock,
    data_dir::DataDir,
    say, tell,
};
use slotkeeper_books::{
    ledger::{Did, MakeGood, Mode},
    pacing::daily::DailyRow,
};
use slotkeeper_core::money::Money;

use super::{
    Data, contracts,
    ledger::{BOOKED, LedgerAt},
};
use crate::table;

/// What the program ends with when what is to be closed is not over or not all counted.
const NOT_READY: u8 = 4;

#[derive(Subcommand)]
pub(crate) enum Close {
    /// Say of every guaranteed flight how it stood at the end of a day, and keep it. Ends with 4 if the day is not over or not
    /// all counted
    Day(Day),
    /// Book what is owed for the guaranteed flights that ended short in a month or before it, what has changed of any make-good
    /// since, and what bonus flights delivered. Ends with 4 if the month is not over or not all counted
    Month(MonthArgs),
}

#[derive(Args)]
pub(crate) struct Day {
    /// YYYY-MM-DD
    date: Date,
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    how: How,
    /// Close it although it is not over or not all counted: as far as it is
    #[arg(long)]
    provisional: bool,
}

#[derive(Args)]
pub(crate) struct MonthArgs {
    /// YYYY-MM
    month: String,
    #[command(flatten)]
    at: LedgerAt,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
struct How {
    /// The reporting time zone, whose midnights count
    #[arg(long, env = "SLOTKEEPER_TIME_ZONE", default_value = "UTC", value_name = "ZONE")]
    time_zone: String,
    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl How {
    fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { Mode::Write }
    }
}

impl Close {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let outcome = match self {
            Self::Day(day) => day.run(),
            Self::Month(month) => month.run(),
        };
        match outcome {
            Err(error) if matches!(error.downcast_ref(), Some(BooksError::NotReady(_))) => {
                tell!("slotkeeper: {error}{}", advice(&error));
                Ok(ExitCode::from(NOT_READY))
            }
            outcome => outcome.map(|()| ExitCode::SUCCESS),
        }
    }
}

fn advice(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref() {
        Some(BooksError::NotReady(NotReady::NotInLake { .. } | NotReady::NotFolded { .. })) => {
            "; `slotkeeper lake` says how far the lake is; nothing was closed"
        }
        _ => "; nothing was closed",
    }
}

impl Day {
    fn run(self) -> anyhow::Result<()> {
        let data = DataDir::open(self.data.data)?;
        let zone = books::time_zone(&self.how.time_zone)?;
        let closed = books::close_day(&data, self.date, zone, self.provisional, clock::now(), self.how.mode())?;
        if self.how.json {
            say!("{}", serde_json::to_string_pretty(&closed.rows)?);
            return Ok(());
        }
        let heads = [
            "flight",
            "advertiser",
            "delivered",
            "that day",
            "due",
            "index",
            "days left",
            "needs a day",
            "will end at",
            "alert",
        ];
        table::print(heads, &closed.rows.iter().map(day_row).collect::<Vec<_>>());
        let provisional = if closed.rows.iter().any(|row| row.is_provisional) { ", provisionally" } else { "" };
        let written = if self.how.dry_run { "nothing was written" } else { "closed" };
        say!("day {} ({}): {} flights; {written}{provisional}", self.date, self.how.time_zone, closed.rows.len());
        Ok(())
    }
}

fn day_row(row: &DailyRow) -> [String; 10] {
    let projected = match (row.projected, row.projected_low, row.projected_high) {
        (Some(expected), Some(low), Some(high)) => format!("{expected} ({low} to {high})"),
        (Some(expected), ..) => expected.to_string(),
        _ => "-".into(),
    };
    [
        row.flight.clone(),
        row.advertiser.clone(),
        format!("{} of {}", row.delivered, row.committed),
        row.delivered_on_day.to_string(),
        row.target_shaped.to_string(),
        row.pacing_index_millionths.map_or_else(|| "-".into(), index),
        row.days_remaining.to_string(),
        row.required_per_day.to_string(),
        projected,
        row.alert.clone(),
    ]
}

/// Millionths as a number with three decimals, rounded down.
fn index(millionths: u64) -> String {
    format!("{}.{:03}", millionths / 1_000_000, millionths % 1_000_000 / 1_000)
}

impl MonthArgs {
    fn run(self) -> anyhow::Result<()> {
        let (data, mut ledger) = self.at.open(self.how.mode())?;
        let month = Month::parse(&self.month, &books::time_zone(&self.how.time_zone)?)?;
        let closed = books::close_month(&data, &mut ledger, &month, clock::now(), self.how.mode())?;
        if self.how.json {
            say!("{}", serde_json::to_string_pretty(&month_json(&closed))?);
        } else {
            print_month(&closed, &self.how);
        }
        closed.exported.context(BOOKED)
    }
}

fn print_month(closed: &ClosedMonth, how: &How) {
    let month = &closed.month;
    table::print(
        ["flight", "advertiser", "committed", "delivered", "shortfall", "owed", "status", "this close"],
        &closed.lines.iter().chain(&closed.others).map(month_row).collect::<Vec<_>>(),
    );
    for left in &closed.left {
        let owed = left.make_good.as_ref().map_or_else(|| "no make-good".into(), |one| format!("{} owed", owed(one)));
        say!("{}: left as it was, with {owed}: {}", left.flight.slug, left.why.as_str());
    }
    for (did, make_good) in closed.bonuses.iter().filter(|(did, _)| *did == Did::Posted) {
        let owed = owed(make_good);
        let (flight, fulfilled) = (&make_good.flight, make_good.state.fulfilled);
        say!("{flight}: bonus flights delivered {fulfilled} impressions; {owed} owed ({})", done(*did));
    }
    for (currency, micros) in closed.liability() {
        say!("owed for flights that ended in {}: {}", month.name, amount(micros, currency.as_str()));
    }
    let written = if how.dry_run { "; nothing was written" } else { "" };
    let others = match closed.others.len() {
        0 => String::new(),
        count => format!("; something has changed of {count} others"),
    };
    let ended = closed.lines.len();
    say!("month {} ({}): {ended} flights ended{others}{written}", month.name, how.time_zone);
}

fn month_row(line: &MonthLine) -> [String; 8] {
    let MonthLine { flight, delivered, did, make_good } = line;
    [
        flight.slug.clone(),
        flight.advertiser.clone(),
        flight.committed.to_string(),
        delivered.to_string(),
        make_good.as_ref().map_or(0, MakeGood::shortfall).to_string(),
        make_good.as_ref().map_or_else(|| "-".into(), owed),
        make_good.as_ref().map_or("delivered", |one| one.status.as_str()).into(),
        done(*did).into(),
    ]
}

fn month_json(closed: &ClosedMonth) -> serde_json::Value {
    let line = |line: &MonthLine| {
        json!({
            "flight_id": line.flight.flight_id.0,
            "flight": line.flight.slug,
            "advertiser": line.flight.advertiser,
            "committed": line.flight.committed,
            "delivered": line.delivered,
            "shortfall": line.make_good.as_ref().map_or(0, MakeGood::shortfall),
            "liability_micros": line.make_good.as_ref().map_or(0, MakeGood::liability_micros),
            "currency": line.flight.cpm.currency.as_str(),
            "status": line.make_good.as_ref().map(|one| one.status.as_str()),
            "did": done(line.did),
        })
    };
    let left = |left: &LeftAlone| {
        json!({
            "flight_id": left.flight.flight_id.0,
            "flight": left.flight.slug,
            "why": left.why.as_str(),
            "liability_micros": left.make_good.as_ref().map(MakeGood::liability_micros),
        })
    };
    let total = |(currency, micros): (slotkeeper_core::money::Currency, i128)| {
        // A sum beyond 63 bits is text, as JSON readers have no such number.
        (currency.to_string(), i64::try_from(micros).map_or_else(|_| json!(micros.to_string()), |micros| json!(micros)))
    };
    json!({
        "month": closed.month.name,
        "flights": closed.lines.iter().map(line).collect::<Vec<_>>(),
        "others": closed.others.iter().map(line).collect::<Vec<_>>(),
        "left": closed.left.iter().map(left).collect::<Vec<_>>(),
        "liability_micros": closed.liability().into_iter().map(total).collect::<serde_json::Map<_, _>>(),
    })
}

/// What is owed of a make-good, with its currency.
pub(super) fn owed(make_good: &MakeGood) -> String {
    contracts::money(Money { micros: make_good.liability_micros(), currency: make_good.terms.cpm().currency })
}

/// An amount that may be a sum of many, or below zero.
pub(super) fn amount(micros: i128, currency: &str) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (units, micros) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let decimals = format!("{micros:06}");
    format!("{sign}{units}.{:0<2} {currency}", decimals.trim_end_matches('0'))
}

/// What was done, in words.
pub(super) fn done(did: Did) -> &'static str {
    match did {
        Did::Posted => "posted",
        Did::Repeated => "done before",
        Did::Nothing => "nothing new",
    }
}
