//! `slotkeeper backup` and `slotkeeper restore`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use slotkeeper::{
    backup::{Manifest, back_up, restore},
    clock, say, tell,
};

use super::Data;

#[derive(Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    data: Data,
    /// The folder to make; it appears once the backup is whole
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Print what it holds as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Restore {
    /// The folder of the backup
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// The data directory to make; it appears once all of it is restored
    #[arg(long, env = "SLOTKEEPER_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Print what it holds as JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let progress = |what: &str| tell!("slotkeeper: copying {what}");
        let manifest = back_up(&self.data.data, &self.to, clock::now(), &progress)?;
        print(&manifest, self.json, &format!("backed up to {}", self.to.display()))
    }
}

impl Restore {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let progress = |what: &str| tell!("slotkeeper: {what}");
        let manifest = restore(&self.from, &self.data, &progress)?;
        print(&manifest, self.json, &format!("restored to {}", self.data.display()))
    }
}

fn print(manifest: &Manifest, json: bool, done: &str) -> anyhow::Result<ExitCode> {
    if json {
        say!("{}", serde_json::to_string_pretty(manifest)?);
    } else {
        say!("{done}: {} files, {} bytes", manifest.files.len(), manifest.bytes());
    }
    Ok(ExitCode::SUCCESS)
}
