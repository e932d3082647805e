//! `slotkeeper forget`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;
use slotkeeper::{
    clock,
    data_dir::DataDir,
    edges::{Edge, EdgeClient},
    forget::{Forgotten, forget, look},
    say, tell,
};
use slotkeeper_core::{
    id::ViewerKey,
    keys::{Keyring, Pseudonyms},
};

use super::{Data, runtime};

#[derive(Args)]
pub(crate) struct Forget {
    /// Whom: the `profile_id` that players ask with
    #[arg(required_unless_present = "viewer", conflicts_with = "viewer")]
    profile: Option<String>,
    /// Whom, where only the pseudonym is known: 32 hexadecimal digits
    #[arg(long, value_name = "KEY")]
    viewer: Option<ViewerKey>,
    #[command(flatten)]
    data: Data,
    /// The secret that makes pseudonyms of profiles, as the edges have it: 64 hexadecimal digits
    #[arg(long, env = "SLOTKEEPER_PSEUDONYM_KEY", hide_env_values = true, value_name = "HEX")]
    pseudonym_key: Option<String>,
    /// The keyring, to be known by the edges
    #[arg(long, env = "SLOTKEEPER_KEYS", hide_env_values = true, value_name = "KEYRING")]
    keys: Option<String>,
    /// An edge that is to forget the viewer too, [NAME=]URL; give it once for each edge
    #[arg(long = "edge", env = "SLOTKEEPER_EDGES", value_delimiter = ',', value_name = "[NAME=]URL")]
    edges: Vec<Edge>,
    /// Say what is there of the viewer, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// What was done, as JSON.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    #[serde(flatten)]
    forgotten: Forgotten,
    edges: Vec<EdgeReport>,
}

/// What an edge said.
#[derive(Serialize)]
struct EdgeReport {
    edge: String,
    forgotten: bool,
    error: Option<String>,
}

impl Forget {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(&self.data.data)?;
        let viewer = self.viewer()?;
        let progress = |what: &str| tell!("slotkeeper: {what}");
        if self.dry_run {
            let report = Report { dry_run: true, forgotten: look(&data, viewer, &progress)?, edges: vec![] };
            return self.print(&report);
        }
        // The edges first: what they still ship of the viewer afterwards is decided without their claims.
        let edges = self.tell_edges(viewer)?;
        let forgotten = forget(&data, viewer, clock::now(), &progress)?;
        self.print(&Report { dry_run: false, forgotten, edges })
    }

    fn viewer(&self) -> anyhow::Result<ViewerKey> {
        if let Some(viewer) = self.viewer {
            return Ok(viewer);
        }
        let key = self.pseudonym_key.as_deref().context(
            "--pseudonym-key (SLOTKEEPER_PSEUDONYM_KEY): it is needed to know a profile's viewer; or name the pseudonym with \
             --viewer",
        )?;
        let pseudonyms = Pseudonyms::parse(key)
            .context("--pseudonym-key (SLOTKEEPER_PSEUDONYM_KEY) must be 64 hexadecimal digits")?;
        Ok(pseudonyms.viewer(self.profile.as_deref().unwrap_or_default()))
    }

    fn tell_edges(&self, viewer: ViewerKey) -> anyhow::Result<Vec<EdgeReport>> {
        if self.edges.is_empty() {
            return Ok(vec![]);
        }
        let keys =
            self.keys.as_deref().context("--keys (SLOTKEEPER_KEYS): edges take the call from their origin only")?;
        let client = EdgeClient::new(&Keyring::parse(keys).context("--keys (SLOTKEEPER_KEYS)")?)?;
        let told = self.edges.iter().map(async |edge| {
            let error = client.forget(edge, viewer).await.err().map(|error| error.to_string());
            EdgeReport { edge: edge.name.clone(), forgotten: error.is_none(), error }
        });
        Ok(runtime()?.block_on(join_all(told)))
    }

    fn print(&self, report: &Report) -> anyhow::Result<ExitCode> {
        if self.json {
            say!("{}", serde_json::to_string_pretty(report)?);
        } else {
            print(report);
        }
        let missing: Vec<&str> =
            report.edges.iter().filter(|edge| !edge.forgotten).map(|edge| edge.edge.as_str()).collect();
        if missing.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        tell!("slotkeeper: {} still know the viewer; run this again, it does what is left", missing.join(", "));
        Ok(ExitCode::FAILURE)
    }
}

fn print(report: &Report) {
    let Forgotten { receipt_id, rows, decisions, beacons, losses, entries, breaks } = &report.forgotten;
    let there = format!(
        "{rows} rows of {breaks} breaks, {decisions} decisions, {beacons} beacons and {losses} losses in {entries} entries of the log"
    );
    match receipt_id {
        Some(receipt) => say!("forgotten, receipt {receipt}: {there}"),
        None if report.dry_run => say!("would be forgotten: {there}"),
        None => say!("nothing of this viewer is in the log"),
    }
    for edge in &report.edges {
        say!("{}: {}", edge.edge, edge.error.as_deref().unwrap_or("forgotten"));
    }
}
