//! `slotkeeper retention`.

use std::process::ExitCode;

use clap::Args;
use slotkeeper::{
    clock,
    data_dir::DataDir,
    retention::{Dropped, drop_old, look},
    say, tell,
};

use super::Data;

#[derive(Args)]
pub(crate) struct Retention {
    #[command(flatten)]
    data: Data,
    /// Entries of the log that came longer ago are dropped, once fold, trackers and lake have them
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..))]
    log_days: u64,
    /// Say what would be dropped, and drop nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Retention {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(&self.data.data)?;
        let progress = |what: &str| tell!("slotkeeper: {what}");
        let dropped = if self.dry_run {
            look(&data, self.log_days, clock::now())?
        } else {
            drop_old(&data, self.log_days, clock::now(), &progress)?
        };
        if self.json {
            say!("{}", serde_json::to_string_pretty(&dropped)?);
        } else {
            print(&dropped, self.dry_run);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(dropped: &Dropped, dry_run: bool) {
    let done = if dry_run { "would be dropped" } else { "dropped" };
    say!("{} entries {done}; the log begins at entry {}", dropped.entries, dropped.first_kept_seq);
    if let Some(by) = dropped.held_back_by {
        say!("{} more are old enough and stay, for {by}", dropped.held_back);
    }
    if dropped.entries > 0 && !dropped.given_back && !dry_run {
        say!("their room is used for what comes; to make log.db smaller, run this once while nobody serves");
    }
}
