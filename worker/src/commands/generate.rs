//! `slotkeeper generate`.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use slotkeeper::{
    data_dir::DataDir,
    generate::{self, TruthFolder, check::Report},
    say, tell,
};
use slotkeeper_world::{Params, Truth};

use super::Data;

/// Ends with this when books differ from the truth.
const DIFFERS: u8 = 3;

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Generate {
    #[command(flatten)]
    data: Data,
    /// How many days
    #[arg(long, default_value_t = 31, value_name = "N")]
    days: u32,
    /// How many slots exist in all of them
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    slots: u64,
    /// Another seed is another world; the same arguments are the same one, byte for byte
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// The first day, UTC
    #[arg(long, default_value = "2026-10-01", value_name = "DATE")]
    start: jiff::civil::Date,
    /// How many flights are booked
    #[arg(long, default_value_t = 24, value_name = "N")]
    flights: u32,
    /// How many titles there are
    #[arg(long, default_value_t = 200, value_name = "N")]
    titles: u32,
    /// How many people watch them [default: one for 20 slots, and at least 1,000]
    #[arg(long, value_name = "N")]
    viewers: Option<u32>,
    /// Leave out what breaks were decided from: a smaller log, without countries, devices and auctions
    #[arg(long)]
    no_decisions: bool,
    /// Make it without writing anything: how large it would be
    #[arg(long)]
    dry_run: bool,
    /// Make nothing: hold the books of a folder that has a world against its truth. Ends with 3 if they differ
    #[arg(long, conflicts_with_all = ["dry_run", "days", "slots", "seed", "start", "flights", "titles", "viewers", "no_decisions"])]
    check: bool,
    /// Print what was checked as JSON
    #[arg(long, requires = "check")]
    json: bool,
}

impl Generate {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if self.check {
            return check(&DataDir::open(self.data.data)?, self.json);
        }
        let viewers = (self.slots / 20).clamp(1_000, 200_000_000);
        let params = Params {
            days: self.days,
            slots: self.slots,
            seed: self.seed,
            start: self.start,
            flights: self.flights,
            titles: self.titles,
            viewers: self.viewers.unwrap_or(u32::try_from(viewers).unwrap_or(u32::MAX)),
            decisions: !self.no_decisions,
        };
        let mut bar = Bar::of(self.slots);
        let mut progress = |slots| bar.show(slots);
        let began = Instant::now();
        if self.dry_run {
            let truth = generate::dry_run(&params, &mut progress)?;
            bar.end();
            say_made(&truth, began.elapsed());
            say!("nothing was written");
            return Ok(ExitCode::SUCCESS);
        }
        let data = DataDir::open(self.data.data)?;
        let truth = generate::generate(&params, &data, &mut progress)?;
        bar.end();
        say_made(&truth, began.elapsed());
        say!("the truth is in {}", TruthFolder::of(&data).truth().display());
        Ok(ExitCode::SUCCESS)
    }
}

fn say_made(truth: &Truth, took: Duration) {
    let (slots, sent) = (truth.slots, &truth.sent);
    say!(
        "{slots} slots, {} filled; {} facts in {} batches of {} bytes of JSON",
        truth.filled,
        sent.facts,
        sent.batches,
        sent.bytes
    );
    let (per_s, per_slot) = (per_second(slots, took), sent.bytes / slots.max(1));
    say!("{per_slot} bytes of JSON a slot; {:.1} s, {per_s} slots a second", took.as_secs_f64());
}

fn check(data: &DataDir, json: bool) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::of(0);
    let report = generate::check::check(data, &mut |what| bar.tell(&format!("checking {what}")))?;
    bar.end();
    anyhow::ensure!(
        !report.checked.is_empty(),
        "{} has neither a fold.db nor a lake: run `slotkeeper serve` or `slotkeeper lake advance` first",
        data.path().display()
    );
    if json {
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        say_report(&report);
    }
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

fn say_report(report: &Report) {
    for checked in &report.checked {
        for difference in &checked.differences {
            say!("{}: {difference}", checked.books);
        }
        say!("{}: {} figures, {} differ", checked.books, checked.figures, checked.different);
    }
    for missing in &report.missing {
        say!("{}: not checked: {}", missing.books, missing.why);
    }
}

fn per_second(count: u64, took: Duration) -> u64 {
    let ms = took.as_millis().max(1);
    u64::try_from(u128::from(count) * 1_000 / ms).unwrap_or(u64::MAX)
}

/// How far it is: one line that is written over on a terminal, and a line now and then elsewhere.
struct Bar {
    all: u64,
    began: Instant,
    shown: Instant,
    is_terminal: bool,
}

impl Bar {
    fn of(all: u64) -> Self {
        let now = Instant::now();
        Self { all, began: now, shown: now, is_terminal: stderr().is_terminal() }
    }

    fn show(&mut self, done: u64) {
        if !self.is_due() {
            return;
        }
        let (percent, per_s) = (done * 100 / self.all.max(1), per_second(done, self.began.elapsed()));
        let left = (self.all - done.min(self.all)) / per_s.max(1);
        self.write(&format!("{done} of {} slots, {percent} %, {per_s} slots a second, {left} s left", self.all));
    }

    /// What is done now, if it is long since anything was told.
    fn tell(&mut self, what: &str) {
        if self.is_due() {
            self.write(what);
        }
    }

    fn is_due(&mut self) -> bool {
        let every = if self.is_terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        let is_due = self.shown.elapsed() >= every;
        if is_due {
            self.shown = Instant::now();
        }
        is_due
    }

    fn write(&self, text: &str) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r{text}\x1b[K"); // a terminal that has gone stops nothing
        } else {
            tell!("slotkeeper: {text}");
        }
    }

    fn end(&self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
