//! `cargo xtask test`: every check there is, part by part, with a summary at the end.

mod browser;
mod counts;
mod parts;
mod sdk;

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use xtask::workspace::Workspace;

use self::{counts::Counts, parts::PARTS};
use crate::{
    build::{Builder, Native},
    process::{Interrupted, interrupted},
    setup::{self, Purpose},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Runs these parts only, in their usual order
    #[arg(long, value_name = "PART", num_args = 1.., value_parser = parts::names())]
    only: Vec<String>,
    /// Lists the parts and ends
    #[arg(long)]
    list: bool,
}

/// One part of the test run.
struct Part {
    name: &'static str,
    about: &'static str,
    run: fn(&Builder<'_>) -> Result<Counts>,
}

/// Whether everything passed.
pub(crate) fn test(workspace: &Workspace, options: &Options) -> Result<bool> {
    if options.list {
        for part in &PARTS {
            println!("{:<12} {}", part.name, part.about);
        }
        return Ok(true);
    }
    let chosen = |part: &&Part| options.only.is_empty() || options.only.iter().any(|name| name == part.name);
    let chosen: Vec<&Part> = PARTS.iter().filter(chosen).collect();
    let needs_browser = chosen.iter().any(|part| browser::PARTS.contains(&part.name));
    setup::run_for(workspace, if needs_browser { Purpose::Test } else { Purpose::Check })?;

    let builder = Builder::new(workspace, Native::WithTests);
    let mut rows = Vec::new();
    for part in chosen {
        println!("\n== {}: {}", part.name, part.about);
        let start = Instant::now();
        let counts = (part.run)(&builder).unwrap_or_else(|error| {
            eprintln!("FAILED: {}: {error:#}", part.name);
            Counts::one_failed()
        });
        if interrupted() {
            return Err(Interrupted.into());
        }
        rows.push((part.name, counts, start.elapsed()));
    }

    println!("\n{:<12} {:>8} {:>8} {:>8} {:>9}", "part", "passed", "failed", "skipped", "seconds");
    let mut total = Counts::default();
    for (name, counts, took) in rows {
        let Counts { passed, failed, skipped } = counts;
        println!("{name:<12} {passed:>8} {failed:>8} {skipped:>8} {:>9.1}", took.as_secs_f64());
        total += counts;
    }
    println!("\n{total}");
    Ok(total.failed == 0)
}
