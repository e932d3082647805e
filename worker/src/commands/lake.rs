//! `slotkeeper lake`.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use slotkeeper::{
    data_dir::DataDir,
    lake::{
        Advancing,
        mirror::{self, Wanted},
        place,
    },
    log::SqliteLog,
    say, tell,
};
use slotkeeper_lake::{Status as LakeStatus, Step};

use super::{Data, LakePlace};
use crate::table;

/// How often long work says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

#[derive(Subcommand)]
pub(crate) enum Lake {
    /// Write what has come to the log, and fold the hours it changes. `serve` does so every minute
    Advance(Work),
    /// Merge the files of hours that have many
    Compact(Work),
    /// Show what is in the lake, and what became of every fact
    Status(Status),
    /// Make the lake anew from the log, which must reach back to its first entry
    Rebuild(Work),
}

#[derive(Args)]
pub(crate) struct Work {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    place: LakePlace,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    data: Data,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Lake {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Advance(work) => work.advance(),
            Self::Compact(work) => work.compact(),
            Self::Status(status) => status.run(),
            Self::Rebuild(work) => work.rebuild(),
        }
    }
}

/// What was done.
#[derive(Default, serde::Serialize)]
struct Done {
    entries: u64,
    facts: u64,
    hours: u64,
    folded_rows: u64,
    files_merged: u64,
}

impl Done {
    fn add(&mut self, step: &Step) {
        self.entries += step.entries as u64;
        self.facts += step.facts;
        self.hours += step.hours as u64;
        self.folded_rows += step.folded_rows;
        self.files_merged += step.compacted as u64;
    }

    fn text(&self) -> String {
        let Self { entries, facts, hours, folded_rows, files_merged } = self;
        format!(
            "{entries} entries of the log written with {facts} facts; {hours} hours folded with {folded_rows} rows; \
             {files_merged} files merged"
        )
    }
}

impl Work {
    /// The directory, which has what a lake is made from.
    fn data(&self) -> anyhow::Result<DataDir> {
        let folder = &self.data.data;
        ensure!(folder.exists(), "{}: there is no such folder", folder.display());
        let data = DataDir::open(folder)?;
        ensure!(data.log().exists(), "{}: there is no log yet; `slotkeeper serve` makes it", data.log().display());
        ensure!(
            data.contracts().exists(),
            "{}: there are no contracts yet; `slotkeeper serve` or `slotkeeper contracts` makes them",
            data.contracts().display()
        );
        Ok(data)
    }

    fn advance(&self) -> anyhow::Result<ExitCode> {
        let data = self.data()?;
        if self.dry_run {
            let [entries, hours, crowded] = to_do(&data)?;
            return self.say_plan(entries, hours, crowded);
        }
        if let Some(url) = &self.place.url {
            place::choose(&data, url)?;
        }
        self.round(&data, Advancing::open(&data)?)
    }

    fn rebuild(&self) -> anyhow::Result<ExitCode> {
        let data = self.data()?;
        let _past = if self.dry_run { None } else { Some(data.lock_for_rewriting()?) };
        // Nobody shortens the log behind this.
        let first = SqliteLog::open_read_only(&data.log())?.first_seq()?;
        ensure!(
            first <= 1,
            "the log begins at entry {first}: what came before is in the lake alone, and would be lost"
        );
        if self.dry_run {
            let [_, hours, crowded] = to_do(&data)?;
            return self.say_plan(SqliteLog::last_seq_at(&data.log())?, hours, crowded);
        }
        if let Some(url) = &self.place.url {
            place::can_be(&data, url)?; // before what there is goes
            mirror::bring(&data, Wanted::Tables)?; // the books' files are carried from here
        }
        let mut advancing = Advancing::open(&data)?;
        advancing.clear()?;
        if let Some(url) = &self.place.url {
            drop(advancing);
            place::choose(&data, url)?;
            advancing = Advancing::open(&data)?;
        }
        self.round(&data, advancing)
    }

    fn compact(&self) -> anyhow::Result<ExitCode> {
        let data = self.data()?;
        if self.dry_run {
            let [_, _, crowded] = to_do(&data)?;
            return self.say_plan(0, 0, crowded);
        }
        let mut advancing = Advancing::open(&data)?;
        self.work(|| advancing.compact())
    }

    fn round(&self, data: &DataDir, mut advancing: Advancing) -> anyhow::Result<ExitCode> {
        slotkeeper::dims::export(data)?;
        let mut round = advancing.round()?;
        self.work(|| advancing.step(&mut round))
    }

    fn say_plan(&self, entries: u64, hours: u64, crowded: u64) -> anyhow::Result<ExitCode> {
        if self.json {
            let plan = serde_json::json!({ "entries": entries, "hours": hours, "tables_to_merge": crowded });
            say!("{}", serde_json::to_string_pretty(&plan)?);
        } else {
            say!(
                "would write {entries} entries of the log, fold {hours} hours and those that they change, and merge {crowded} \
                 tables of an hour"
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Steps until there is nothing more to do.
    fn work(&self, mut step: impl FnMut() -> Result<Step, slotkeeper::lake::AdvanceError>) -> anyhow::Result<ExitCode> {
        let (mut done, mut told) = (Done::default(), Instant::now());
        loop {
            let step = step()?;
            if step.found_nothing() {
                break;
            }
            done.add(&step);
            if told.elapsed() >= TELL_EVERY {
                tell!("slotkeeper: at entry {}: {}", step.consumed_seq, done.text());
                told = Instant::now();
            }
        }
        if self.json {
            say!("{}", serde_json::to_string_pretty(&done)?);
        } else {
            say!("{}", done.text());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// How many entries of the log are not in the lake, how many hours are to be folded, and how many hours' tables to be merged. Nothing is
/// written.
fn to_do(data: &DataDir) -> anyhow::Result<[u64; 3]> {
    let status = LakeStatus::read(&data.lake_db())?.unwrap_or_default();
    let entries = SqliteLog::last_seq_at(&data.log())?.saturating_sub(status.consumed_seq);
    Ok([entries, status.hours_to_fold, status.tables_to_merge])
}

impl Status {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let status =
            LakeStatus::read(&data.lake_db())?.context("there is no lake yet; `slotkeeper lake advance` makes it")?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&status)?);
            return Ok(ExitCode::SUCCESS);
        }
        let logged = SqliteLog::last_seq_at(&data.log())?;
        say!(
            "the log is in the lake to entry {} of {logged}; its files are in {}",
            status.consumed_seq,
            place::name(&data)?
        );
        say!("{} hours, of which {} are to be folded", status.hours, status.hours_to_fold);
        say!(
            "{} facts received = {} unique + {} duplicate + {} refused + {} decisions, losses or not folded yet; {} came late",
            status.received,
            status.unique,
            status.duplicate,
            status.refused,
            status.beside,
            status.late
        );
        if status.unknown_records > 0 {
            say!("{} ads as sold are not in the registry: what they earn is not known", status.unknown_records);
        }
        let rows: Vec<_> = status
            .raw
            .iter()
            .map(|raw| [raw.table.clone(), raw.files.to_string(), raw.rows.to_string(), raw.bytes.to_string()])
            .collect();
        table::print(["table", "files", "rows", "bytes"], &rows);
        Ok(ExitCode::SUCCESS)
    }
}
