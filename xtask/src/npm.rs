//! What Node.js does for us besides running npm's tools: compressing.

use std::{iter::Sum, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// One file's sizes in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) raw: u64,
    pub(crate) gzip: u64,
    pub(crate) brotli: u64,
}

impl Sizes {
    /// Each with its name.
    pub(crate) fn forms(self) -> [(&'static str, u64); 3] {
        [("raw", self.raw), ("gzip", self.gzip), ("brotli", self.brotli)]
    }
}

/// Of files that are sent one by one.
impl Sum for Sizes {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            raw: sum.raw + one.raw,
            gzip: sum.gzip + one.gzip,
            brotli: sum.brotli + one.brotli,
        })
    }
}

/// The sizes of files, in their order, compressed with node's zlib.
pub(crate) fn sizes(files: &[PathBuf]) -> Result<Vec<Sizes>> {
    let output = Command::new("node")
        .args(["--input-type=module", "--eval", include_str!("../compress.mjs")])
        .arg("--")
        .args(files)
        .output()
        .context("cannot run node; install Node.js 20 or later (https://nodejs.org)")?;
    ensure!(output.status.success(), "cannot compress: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let sizes: Result<Vec<Sizes>> = text.lines().map(parse).collect();
    let sizes = sizes?;
    ensure!(sizes.len() == files.len(), "compressed {} of {} files", sizes.len(), files.len());
    Ok(sizes)
}

fn parse(line: &str) -> Result<Sizes> {
    let sizes: Value = serde_json::from_str(line)?;
    let size = |name: &str| sizes[name].as_u64().with_context(|| format!("no {name} in {line}"));
    Ok(Sizes { raw: size("raw")?, gzip: size("gzip")?, brotli: size("brotli")? })
}
