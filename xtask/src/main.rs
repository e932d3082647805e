//! `cargo xtask`: every chore a developer does, in Rust.
//!
//! A subcommand is a file of its name. Whatever is started runs to its end or is ended with us (`process`); whatever is
//! built lies where cargo's target folder is (`xtask::workspace`). Nothing here is part of the product.

mod build;
mod crawlers;
#[cfg(test)]
mod documents;
mod engines;
mod fuzz;
mod http;
mod lint;
mod measure;
mod npm;
mod origin;
mod process;
mod remap;
mod setup;
mod simulate;
mod stack;
mod stamp;
mod test;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::workspace::Workspace;

use self::{
    build::{Artifact, Builder, Native},
    process::Interrupted,
    setup::Purpose,
};

/// Every chore a developer does
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Prepares this machine: wasm targets, rustfmt and clippy, npm tools, Redis and a browser for the tests
    Setup {
        /// What to prepare for
        #[arg(long = "for", value_enum, default_value_t = Purpose::Test)]
        purpose: Purpose,
    },
    /// Starts the product and prints the page to open; Ctrl-C ends it
    Up(up::Options),
    /// Runs every check: formatting, lints, builds, tests, browser, documentation, sizes
    Test(test::Options),
    /// Plays the SDK's scenarios on browsers of televisions' age
    Engines(engines::Options),
    /// Feeds everything that reads bytes from outside with what it does not expect
    Fuzz(fuzz::Options),
    /// Prints measurements, one JSON object a line
    Measure(measure::Options),
    /// Simulates edges, stores, viewers and the origin by seed, with faults, and checks the laws
    Simulate(simulate::Options),
    /// Renews the list of crawlers' user agents from the npm package that it is kept in
    Crawlers,
    /// Checks formatting and lints
    Lint,
    /// Formats the sources
    Fmt,
    /// Builds what is run, served or shipped, and prints where it is
    Build {
        /// What to build [default: everything]
        #[arg(value_enum)]
        artifacts: Vec<Artifact>,
        /// Optimises the native programs; wasm always is
        #[arg(long)]
        release: bool,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().chore) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<Interrupted>() => ExitCode::from(130), // what shells say of a program ended by Ctrl-C
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn perform(chore: Chore) -> Result<bool> {
    process::catch_signals()?;
    let workspace = &Workspace::find()?;
    match chore {
        Chore::Setup { purpose } => setup::run_for(workspace, purpose)?,
        Chore::Up(options) => up::up(workspace, options)?,
        Chore::Test(options) => return test::test(workspace, &options),
        Chore::Engines(options) => engines::engines(workspace, &options)?,
        Chore::Fuzz(options) => return fuzz::fuzz(workspace, &options),
        Chore::Measure(options) => measure::measure(workspace, &options)?,
        Chore::Simulate(options) => return simulate::simulate(workspace, &options),
        Chore::Crawlers => crawlers::renew(workspace)?,
        Chore::Lint => {
            setup::run_for(workspace, Purpose::Lint)?;
            lint::check_format(workspace)?;
            lint::clippy(workspace)?;
        }
        Chore::Fmt => lint::format(workspace)?,
        Chore::Build { artifacts, release } => {
            setup::run_for(workspace, Purpose::Up)?;
            let native = if release { Native::Release } else { Native::Debug };
            let artifacts = if artifacts.is_empty() { Artifact::ALL.to_vec() } else { artifacts };
            build::build(&Builder::new(workspace, native), &artifacts)?;
        }
    }
    Ok(true)
}
