//! `slotkeeper trackers`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use slotkeeper::{
    clock,
    data_dir::DataDir,
    log::SqliteLog,
    say,
    trackers::{Retried, TrackerReport},
};

use super::Data;
use crate::table;

#[derive(Subcommand)]
pub(crate) enum Trackers {
    /// Show for each vendor how many calls wait, were answered, were given up
    Status(Status),
    /// Show calls that were given up, and why
    Dead(Dead),
    /// Put calls that were given up back into the queue: a `serve` makes them within a second
    Retry(Retry),
}

#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    data: Data,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Dead {
    #[command(flatten)]
    data: Data,
    /// Of this vendor only
    #[arg(long, value_name = "HOST")]
    vendor: Option<String>,
    /// The newest so many
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    which: Which,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Their numbers, as `dead` shows them
    #[arg(value_name = "NUMBER")]
    firings: Vec<i64>,
    /// All of this vendor
    #[arg(long, value_name = "HOST")]
    vendor: Option<String>,
    /// All there are
    #[arg(long)]
    all: bool,
}

impl Trackers {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Status(status) => status.run(),
            Self::Dead(dead) => dead.run(),
            Self::Retry(retry) => retry.run(),
        }
    }
}

fn open(data: &DataDir) -> anyhow::Result<TrackerReport> {
    TrackerReport::open(&data.trackers())?.context("there is no trackers.db yet; `slotkeeper serve` makes it")
}

impl Status {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let status = open(&data)?.status()?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&status)?);
            return Ok(ExitCode::SUCCESS);
        }
        let logged = SqliteLog::last_seq_at(&data.log())?;
        say!("the log is read to entry {} of {logged}", status.offset);
        say!(
            "{} events wait for the start of their ad, {} for their ad",
            status.held_for_start,
            status.held_for_record
        );
        let rows: Vec<_> = status
            .vendors
            .into_iter()
            .map(|vendor| {
                let numbers = [vendor.queued, vendor.failing, vendor.delivered, vendor.dead, vendor.cut_off];
                let [queued, failing, delivered, dead, cut_off] = numbers.map(|number| number.to_string());
                let last_failure = vendor.last_failure.unwrap_or_else(|| "-".into());
                [vendor.vendor, queued, failing, delivered, dead, cut_off, last_failure]
            })
            .collect();
        table::print(["vendor", "queued", "failing", "delivered", "dead", "cut off", "because"], &rows);
        Ok(ExitCode::SUCCESS)
    }
}

impl Dead {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let letters = open(&data)?.dead(self.vendor.as_deref(), self.limit)?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&letters)?);
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<_> = letters
            .into_iter()
            .map(|letter| {
                let (number, attempts) = (letter.firing_id.to_string(), letter.attempts.to_string());
                let died_at = clock::shown(letter.died_at);
                [
                    number,
                    died_at,
                    letter.vendor,
                    letter.opportunity_id,
                    letter.event,
                    attempts,
                    letter.reason,
                    letter.url,
                ]
            })
            .collect();
        table::print(["number", "given up", "vendor", "opportunity", "event", "attempts", "because", "url"], &rows);
        Ok(ExitCode::SUCCESS)
    }
}

impl Retry {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        open(&data)?;
        let which = match (self.which.vendor, self.which.all) {
            (Some(vendor), _) => Retried::Vendor(vendor),
            (None, true) => Retried::All,
            (None, false) => Retried::Firings(self.which.firings),
        };
        let back = TrackerReport::retry(&data.trackers(), &which, clock::now())?;
        say!("{back} calls are back in the queue");
        Ok(ExitCode::SUCCESS)
    }
}
