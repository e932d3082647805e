//! `cargo xtask simulate`: worlds by seed, as `tests/simulation` makes them. What follows is its own command line.

use anyhow::Result;
use clap::Args;
use xtask::workspace::Workspace;

use crate::{
    build::{Builder, Native},
    process::Process,
};

#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// `--seeds N`, `--first-seed S`, `--breaks N`, `--faults LIST|all|none`, `--break NAME|list|each`, `--trace`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<String>,
}

/// Whether every law held.
pub(crate) fn simulate(workspace: &Workspace, options: &Options) -> Result<bool> {
    run(&Builder::new(workspace, Native::Release), &options.options)
}

/// Builds the simulator, optimised, and runs it.
pub(crate) fn run(builder: &Builder<'_>, options: &[impl AsRef<str>]) -> Result<bool> {
    let program = builder.simulation()?;
    let mut command = std::process::Command::new(program);
    command.args(options.iter().map(AsRef::as_ref));
    Ok(Process::start("the simulation", &mut command)?.wait()?.success())
}
