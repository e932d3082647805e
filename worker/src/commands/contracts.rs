//! `slotkeeper contracts`.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use slotkeeper::{
    contracts::{self, BookedFlight},
    data_dir::DataDir,
    plan::delivered,
};
use slotkeeper_core::{
    caps::{Cap, CapScope, Window},
    id::FlightId,
    money::Money,
    time::UnixMillis,
};

use super::Data;
use crate::table;

#[derive(Subcommand)]
pub(crate) enum Contracts {
    /// Book what a file says: advertisers, campaigns, creatives, flights, titles. All of it or, if anything is wrong,
    /// none. What the file does not mention stays as it is
    Import(Import),
    /// Show the flights that are booked, with what is delivered of them
    List(List),
}

#[derive(Args)]
pub(crate) struct Import {
    #[command(flatten)]
    data: Data,
    /// TOML or JSON, by its extension
    file: PathBuf,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    data: Data,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Contracts {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Import(import) => import.run(),
            Self::List(list) => list.run(),
        }
    }
}

impl Import {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let mut contracts = contracts::Contracts::open(&data.contracts())?;
        match contracts.import_file(&self.file) {
            Ok(imported) => {
                let said: Vec<String> = imported
                    .iter()
                    .map(|(kind, tally)| format!("{} {kind} ({} new or changed)", tally.in_file, tally.written))
                    .collect();
                println!("booked: {}", said.join(", "));
                Ok(ExitCode::SUCCESS)
            }
            Err(contracts::ImportError::Invalid(invalid)) => {
                eprintln!("{invalid}");
                eprintln!("slotkeeper: nothing was booked");
                Ok(ExitCode::FAILURE)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let booked = contracts::Contracts::open(&data.contracts())?.booked()?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&booked)?);
            return Ok(ExitCode::SUCCESS);
        }
        let delivered = delivered(&data.fold())?;
        let rows: Vec<_> = booked.flights.iter().map(|flight| row(flight, &delivered)).collect();
        let heads = [
            "flight",
            "advertiser",
            "campaign",
            "sold as",
            "from",
            "until",
            "delivered",
            "CPM",
            "counts at",
            "caps",
            "state",
        ];
        table::print(heads, &rows);
        println!("{} flights, {} titles", booked.flights.len(), booked.titles.len());
        Ok(ExitCode::SUCCESS)
    }
}

fn row(flight: &BookedFlight, delivered: &BTreeMap<FlightId, u64>) -> [String; 11] {
    let delivered = delivered.get(&flight.flight_id).copied().unwrap_or(0);
    let (sold_as, of, cpm) = match flight.committed_impressions {
        Some(committed) => ("guaranteed", format!("{delivered} of {committed}"), money(flight.cpm)),
        None => ("house", delivered.to_string(), "-".into()),
    };
    [
        flight.slug.clone(),
        flight.advertiser.clone(),
        flight.campaign.clone(),
        sold_as.into(),
        instant(flight.starts_at),
        instant(flight.ends_at),
        of,
        cpm,
        flight.completion_threshold.as_str().into(),
        caps(&flight.caps),
        if flight.paused { "paused" } else { "booked" }.into(),
    ]
}

/// Caps as a contracts file says them: `campaign 3/1h`.
pub(crate) fn caps(caps: &[Cap]) -> String {
    let one = |cap: &Cap| {
        let scope = match cap.scope {
            CapScope::Creative => "creative",
            CapScope::Flight => "flight",
            CapScope::Campaign => "campaign",
            CapScope::Advertiser => "advertiser",
        };
        let window = match cap.window {
            Window::Break => "break".into(),
            Window::Session => "session".into(),
            Window::Calendar(_) => "calendar".into(),
            Window::Lifetime => "flight".into(),
            Window::Rolling { ms } if ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
            Window::Rolling { ms } if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
            Window::Rolling { ms } => format!("{}m", ms / 60_000),
        };
        format!("{scope} {}/{window}", cap.limit)
    };
    if caps.is_empty() { "none".into() } else { caps.iter().map(one).collect::<Vec<_>>().join(", ") }
}

fn money(money: Money) -> String {
    let (units, micros) = (money.micros / 1_000_000, money.micros % 1_000_000);
    let decimals = format!("{micros:06}");
    let decimals = format!("{:0<2}", decimals.trim_end_matches('0'));
    format!("{units}.{decimals} {}", money.currency)
}

pub(crate) fn instant(at: UnixMillis) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |at| at.to_string())
}
