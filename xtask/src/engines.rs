//! `cargo xtask engines`: the SDK's scenarios on the browsers of televisions' age.

use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;
use xtask::workspace::Workspace;

use crate::{
    build::{Builder, Native},
    process::run,
    setup::{self, Purpose},
};

/// The program that runs them, below the root. It takes the same options, and says what they are.
const SCRIPT: &str = "tests/engines/run.mjs";
/// What is checked without them.
const OLDER: &str = "tests/engines/es5.test.mjs";

#[derive(Args)]
pub(crate) struct Options {
    /// Runs on these engines only, such as chromium-64
    #[arg(long, value_name = "NAME")]
    engine: Vec<String>,
    /// Runs these skins only: web, tv, tv-twin (without WebAssembly) or tv-oldest (without all that is newer than 2014)
    #[arg(long, value_name = "NAME")]
    skin: Vec<String>,
    /// Runs the scenarios with this in their name only
    #[arg(long, value_name = "TEXT")]
    scenario: Vec<String>,
    /// Runs each so often
    #[arg(long, value_name = "N")]
    times: Option<u32>,
    /// Runs so many at a time
    #[arg(long, value_name = "N")]
    jobs: Option<u32>,
    /// Names the scenarios, and runs none
    #[arg(long)]
    list: bool,
    /// Prints what each page was told and each batch that came
    #[arg(long)]
    verbose: bool,
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let named = [("engine", &self.engine), ("skin", &self.skin), ("scenario", &self.scenario)];
        let lists =
            named.into_iter().flat_map(|(name, values)| values.iter().map(move |value| format!("--{name}={value}")));
        let jobs = self.jobs.map(|jobs| format!("--jobs={jobs}"));
        let times = self.times.map(|times| format!("--times={times}"));
        let list = self.list.then(|| "--list".into());
        let verbose = self.verbose.then(|| "--verbose".into());
        lists.chain(times).chain(jobs).chain(list).chain(verbose).collect()
    }
}

/// The command that runs the scenarios of the SDK as built.
pub(crate) fn scenarios(builder: &Builder<'_>) -> Result<Command> {
    let sdk = builder.sdk()?;
    let mut command = node(builder.workspace);
    command.arg(SCRIPT).arg("--sdk").arg(sdk);
    Ok(command)
}

/// The command that holds the SDK as built against engines older than any of those.
pub(crate) fn older(builder: &Builder<'_>) -> Result<Command> {
    let sdk = builder.sdk()?;
    let mut command = node(builder.workspace);
    command.args(["--test", "--test-reporter=spec", OLDER]).env("SDK", sdk);
    Ok(command)
}

fn node(workspace: &Workspace) -> Command {
    let mut command = Command::new("node");
    command.env("CARGO_TARGET_DIR", &workspace.target).current_dir(&workspace.root);
    command
}

/// Runs what is chosen; an error if any of it fails.
pub(crate) fn engines(workspace: &Workspace, options: &Options) -> Result<()> {
    ensure!(options.jobs != Some(0), "--jobs 0 would run nothing");
    setup::run_for(workspace, Purpose::Test)?;
    run(scenarios(&Builder::new(workspace, Native::Debug))?.args(options.arguments()))
}
