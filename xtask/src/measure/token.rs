//! How long a token is, which every player has to keep.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::Report;
use crate::build::Builder;

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let output = Command::new(builder.bench("token")?).output().context("cannot run the token program")?;
    let chars: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().context("it printed no number")?;
    report.figure("chars", chars, "characters");
    Ok(())
}
