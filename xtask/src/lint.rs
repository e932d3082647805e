//! `cargo xtask lint` and `cargo xtask fmt`.

use anyhow::Result;
use xtask::workspace::Workspace;

use crate::{
    build::{WASM, Wasm},
    process::run,
};

/// A workspace of its own.
const FUZZ: [&str; 2] = ["--manifest-path", "fuzz/Cargo.toml"];

pub(crate) fn format(workspace: &Workspace) -> Result<()> {
    run(workspace.cargo("fmt").arg("--all"))?;
    run(workspace.cargo("fmt").args(FUZZ))
}

pub(crate) fn check_format(workspace: &Workspace) -> Result<()> {
    run(workspace.cargo("fmt").args(["--all", "--check"]))?;
    run(workspace.cargo("fmt").args(FUZZ).arg("--check"))
}

/// Clippy natively, and for each wasm crate on its target. Returns how many runs that were.
pub(crate) fn clippy(workspace: &Workspace) -> Result<u64> {
    let clippy = |arguments: &[&str]| {
        let deny = ["--", "--deny", "warnings"];
        run(workspace.cargo("clippy").args(arguments).args(deny))
    };
    clippy(&["--workspace", "--all-targets"])?;
    for Wasm { package, target, .. } in WASM {
        clippy(&["--package", package, "--target", target])?;
    }
    Ok(1 + WASM.len() as u64)
}
