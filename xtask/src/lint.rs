//! `cargo xtask lint` and `cargo xtask fmt`.

use std::process::Command;

use anyhow::Result;
use xtask::workspace::{Workspace, cargo};

use crate::{build::WASM, process::run};

pub(crate) fn format(workspace: &Workspace) -> Result<()> {
    run(Command::new(cargo()).args(["fmt", "--all"]).current_dir(&workspace.root))
}

pub(crate) fn check_format(workspace: &Workspace) -> Result<()> {
    run(Command::new(cargo()).args(["fmt", "--all", "--check"]).current_dir(&workspace.root))
}

/// Clippy natively, and for each wasm crate on its target. Returns how many runs that were.
pub(crate) fn clippy(workspace: &Workspace) -> Result<u64> {
    let clippy = |arguments: &[&str]| {
        let deny = ["--", "--deny", "warnings"];
        run(Command::new(cargo()).arg("clippy").args(arguments).args(deny).current_dir(&workspace.root))
    };
    clippy(&["--workspace", "--all-targets"])?;
    for (package, target) in WASM {
        clippy(&["--package", package, "--target", target])?;
    }
    Ok(1 + WASM.len() as u64)
}
