//! `slotkeeper plan`.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use slotkeeper::{
    clock,
    contracts::Contracts,
    data_dir::DataDir,
    edges::EdgeClient,
    plan::{EdgeReport, MakePlanError, Publisher, last_made},
    say,
};
use slotkeeper_core::plan::{FlightSource, PlanSource};

use super::{
    Data, Shared,
    contracts::{caps, say_unresolved},
    runtime,
};
use crate::table;

/// How long a `serve` beside this process may take to fold what was logged just now.
const FOLD_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Subcommand)]
pub(crate) enum Plan {
    /// Make a plan from what is booked and delivered, and push it to every edge. Fails if any edge does not take it
    Publish(Publish),
    /// Show what the plan that was made last holds
    Show(Show),
}

#[derive(Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    shared: Shared,
    /// How long to try again when an edge does not answer
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    retry_for: u64,
    /// Publish although the log is not folded, so that flights that are done may be sold again. (If it has not been for five
    /// minutes, flights keep the allocation of the last plan)
    #[arg(long)]
    force: bool,
}

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    data: Data,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Publish(publish) => publish.run(),
            Self::Show(show) => show.run(),
        }
    }
}

impl Publish {
    fn run(self) -> anyhow::Result<ExitCode> {
        let keys = self.shared.keyring()?;
        let edges = self.shared.edges();
        anyhow::ensure!(!edges.is_empty(), "no edge to publish to; give --edge or SLOTKEEPER_EDGES");
        let publisher = Publisher {
            data: DataDir::open(self.data.data)?,
            client: EdgeClient::new(&keys)?,
            keys,
            edges: edges.into(),
            public_url: self.shared.public_url()?,
        };
        let publication = runtime()?.block_on(async {
            let folded_to = if self.force { 0 } else { publisher.logged_and_folded(FOLD_PATIENCE).await? };
            publisher.publish(folded_to, Duration::from_secs(self.retry_for)).await
        });
        let publication = match publication {
            Err(error @ MakePlanError::NotFolded { .. }) => Err(error).context(
                "no plan is published; start `slotkeeper serve`, which folds the log, and try again when /healthz says \
                 fold_lag 0, or give --force",
            )?,
            outcome => outcome?,
        };
        say!("plan {}", publication.version);
        say_unresolved(&publication.unresolved);
        let rows: Vec<_> = publication.reports.iter().map(row).collect();
        table::print(["edge", "version before", "version after", "result"], &rows);
        let all_took_it = publication.reports.iter().all(|report| report.taken);
        Ok(if all_took_it { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn row(report: &EdgeReport) -> [String; 4] {
    let version = |version: Option<u64>| version.map_or_else(|| "-".into(), |version| version.to_string());
    let push = &report.push;
    [push.edge.name.clone(), version(push.before), version(push.after), report.result()]
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let mut contracts = Contracts::open(&data.contracts())?;
        let Some(plan) = last_made(&mut contracts)? else {
            anyhow::bail!("no plan was made yet; `slotkeeper plan publish` makes one");
        };
        if self.json {
            say!("{}", serde_json::to_string_pretty(&plan)?);
        } else {
            let booked = contracts.booked()?;
            let slug = |flight: &FlightSource| {
                let booked = booked.flights.iter().find(|booked| booked.flight_id == flight.flight_id);
                booked.map_or_else(|| flight.flight_id.to_string(), |booked| booked.slug.clone())
            };
            print_plan(&plan, slug);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_plan(plan: &PlanSource, slug: impl Fn(&FlightSource) -> String) {
    say!("plan {}, valid until {}, {} titles", plan.version, clock::shown(plan.valid_until), plan.titles.len());
    let row = |flight: &FlightSource| {
        let class = if flight.class == slotkeeper_core::contract::DemandClass::House { "house" } else { "guaranteed" };
        let ads: Vec<&str> = flight.ads.iter().map(|ad| ad.name.as_str()).collect();
        [slug(flight), class.into(), flight.allocation.to_string(), caps(&flight.caps), ads.join(", ")]
    };
    let rows: Vec<_> = plan.flights.iter().map(row).collect();
    table::print(["flight", "sold as", "allocation", "caps", "ads"], &rows);
}
