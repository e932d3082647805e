//! The television's files as they ship: what old engines can load, and that their rules are the native ones.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};

use super::counts::Counts;
use crate::{build::Builder, process::run};

/// The package's own, beside them, are another part's.
const FILES: [&str; 2] = ["tests/sdk/files.test.mjs", "tests/sdk/same.test.mjs"];

/// Writes what the native core gives for a script of random calls, and plays it against the wasm and against its twin.
pub(super) fn tv(builder: &Builder<'_>) -> Result<Counts> {
    let workspace = builder.workspace;
    let skin = builder.sdk_tv()?;
    let folder = workspace.target.join("test/sdk-tv");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let script = folder.join("script.jsonl");
    let mut write = workspace.cargo("run");
    run(write.args(["--quiet", "--package", "slotkeeper-sdk-tv", "--example", "script", "--"]).arg(&script))?;
    let mut command = Command::new("node");
    command
        .args(["--test", "--test-reporter=spec"])
        .args(FILES)
        .env("SDK_TV", &skin.folder)
        .env("SDK_SCRIPT", &script)
        .current_dir(&workspace.root);
    Counts::of_run(&mut command, Counts::of_node)
}
