//! `slotkeeper audit`.

use std::process::ExitCode;

use clap::Args;
use slotkeeper::{
    audit::{EdgeStore, Options, REPLAYS_DEFAULT, Report, audit},
    data_dir::DataDir,
    say, tell,
};

use super::Data;

/// What the program ends with when a law is broken.
const BROKEN: u8 = 3;

#[derive(Args)]
pub(crate) struct Audit {
    #[command(flatten)]
    data: Data,
    /// The store of an edge: sqlite:FILE of Spin's SQLite, durable-objects:FOLDER of workerd's storage, `redis://HOST:PORT`
    /// of nodes that share one; give it once for each. Read only, also while the edge works
    #[arg(long = "edge-store", value_name = "STORE")]
    stores: Vec<EdgeStore>,
    /// How many decisions are made again: all, or a random sample if there are more
    #[arg(long, default_value_t = REPLAYS_DEFAULT, value_name = "COUNT")]
    replays: usize,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let report = audit(&Options {
            data: DataDir::open(self.data.data)?,
            stores: self.stores,
            replays_max: self.replays,
            progress: &|what| tell!("slotkeeper: {what}"),
        })?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print(&report);
        }
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
    }
}

fn print(report: &Report) {
    say!("audited {} batches of the log", report.log_seq);
    for law in &report.laws {
        let verdict = if law.found == 0 { "holds".into() } else { format!("{} findings", law.found) };
        say!("law {}  {verdict}  {} ({})", law.law, law.name, law.checked);
        for note in &law.notes {
            say!("       note: {note}");
        }
        for finding in &law.findings {
            say!("       {} {}: {}", finding.kind, finding.subject, finding.message);
        }
        let unlisted = law.found - law.findings.len() as u64;
        if unlisted > 0 {
            say!("       … and {unlisted} more");
        }
    }
    say!("{}", if report.is_clean() { "every law that was checked holds" } else { "a law is broken" });
}
