//! The command line: what can be asked of the origin, and with which settings.

mod ask;
mod audit;
mod backup;
mod close;
mod contracts;
mod explain;
mod forget;
mod generate;
mod keys;
mod lake;
mod ledger;
mod plan;
mod retention;
mod serve;
mod sql;
mod trackers;
mod vast;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use slotkeeper::edges::Edge;
use slotkeeper_core::keys::Keyring;

/// The origin of Slotkeeper, an ad server for streaming TV: it collects facts, keeps the books and publishes plans.
#[derive(Parser)]
#[command(name = "slotkeeper", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the origin: collector, fold, plan publisher, API and pages
    Serve(serve::Serve),
    /// Book contracts, and show what is booked
    #[command(subcommand)]
    Contracts(contracts::Contracts),
    /// Make plans and push them to the edges
    #[command(subcommand)]
    Plan(plan::Plan),
    /// Show why a stored slot is what it is: the candidates, why each lost, and the same decision made again. Ends with 3
    /// if that gives another outcome
    Explain(explain::Explain),
    /// Check the laws against what is stored: tables, log, bookings and, where given, the stores of the edges. Ends with 3
    /// if one is broken
    Audit(audit::Audit),
    /// Copy all state to a folder, also while the origin serves
    Backup(backup::Backup),
    /// Make a data directory of a backup, once every file of it is what was backed up
    Restore(backup::Restore),
    /// Ask a question that is shipped: fill, revenue, reach, what is owed… `--list` shows them
    Ask(ask::Ask),
    /// Ask the tables anything, in SQL
    Sql(sql::Sql),
    /// Make up a world of ad breaks in an empty folder, with its contracts, its log and the truth; or hold books against it
    Generate(generate::Generate),
    /// Keep the facts and the tables folded from them as Parquet by the hour
    #[command(subcommand)]
    Lake(lake::Lake),
    /// Close a day (how every flight stands) or a month (what is owed for those that fell short). Done again, the same
    #[command(subcommand)]
    Close(close::Close),
    /// Show what is owed for flights that fell short, and say what becomes of it
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Forget a viewer everywhere, and leave the books as they are. `serve` must not run meanwhile
    Forget(forget::Forget),
    /// Drop the log's oldest entries, once fold, trackers and lake have them
    Retention(retention::Retention),
    /// Show what became of the calls to vendors, and make those again that were given up
    #[command(subcommand)]
    Trackers(trackers::Trackers),
    /// Make secrets, and replace them
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Read VAST of other ad servers
    #[command(subcommand)]
    Vast(vast::Vast),
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Contracts(contracts) => contracts.run(),
            Command::Plan(plan) => plan.run(),
            Command::Explain(explain) => explain.run(),
            Command::Audit(audit) => audit.run(),
            Command::Backup(backup) => backup.run(),
            Command::Restore(restore) => restore.run(),
            Command::Ask(ask) => ask.run(),
            Command::Sql(sql) => sql.run(),
            Command::Generate(generate) => generate.run(),
            Command::Lake(lake) => lake.run(),
            Command::Close(close) => close.run(),
            Command::Ledger(ledger) => ledger.run(),
            Command::Forget(forget) => forget.run(),
            Command::Retention(retention) => retention.run(),
            Command::Trackers(trackers) => trackers.run(),
            Command::Keys(keys) => keys.run(),
            Command::Vast(vast) => vast.run(),
        }
    }
}

/// Where the state is.
#[derive(Args)]
pub(crate) struct Data {
    /// The folder that holds all state; made if there is none
    #[arg(long, env = "SLOTKEEPER_DATA", value_name = "DIR")]
    pub(crate) data: PathBuf,
}

/// Where the lake is.
#[derive(Args)]
pub(crate) struct LakePlace {
    /// The S3-compatible store that the lake's files are kept in from the first on; the environment says how to reach it, as for
    /// AWS's own tools. Every command finds them there; without, they are in the folder of all state
    #[arg(long = "lake", env = "SLOTKEEPER_LAKE", value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) url: Option<String>,
}

/// What is shared with the edges.
#[derive(Args)]
pub(crate) struct Shared {
    /// The keyring, ID:HEX[,ID:HEX…]; the first key signs, all verify. `slotkeeper keys new` makes one
    #[arg(long, env = "SLOTKEEPER_KEYS", hide_env_values = true, value_name = "KEYRING")]
    keys: String,

    /// An edge, [NAME=]URL; give it once for each edge. Plain HTTP only: this build speaks no TLS
    #[arg(long = "edge", env = "SLOTKEEPER_EDGES", value_delimiter = ',', value_name = "[NAME=]URL")]
    edges: Vec<Edge>,

    /// Where players reach this origin: prefixed to media that are booked as paths
    #[arg(long, env = "SLOTKEEPER_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
}

impl Shared {
    pub(crate) fn keyring(&self) -> anyhow::Result<Keyring> {
        Keyring::parse(&self.keys).context("--keys (SLOTKEEPER_KEYS)")
    }

    pub(crate) fn edges(&self) -> Vec<Edge> {
        self.edges.clone()
    }

    pub(crate) fn public_url(&self) -> anyhow::Result<Option<String>> {
        let Some(url) = &self.public_url else { return Ok(None) };
        let usable = url.starts_with("http://") || url.starts_with("https://");
        anyhow::ensure!(usable, "--public-url {url:?} must be a URL such as http://127.0.0.1:8080");
        Ok(Some(url.trim_end_matches('/').to_owned()))
    }
}

/// The runtime of the commands that talk to the network.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")
}
