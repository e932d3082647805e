//! `slotkeeper keys`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Print fresh secrets for an origin and its edges, as environment variables
    New,
}

impl Keys {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self::New = self;
        println!("SLOTKEEPER_KEYS=1:{}", secret()?);
        println!("SLOTKEEPER_PSEUDONYM_KEY={}", secret()?);
        Ok(ExitCode::SUCCESS)
    }
}

/// 32 random bytes in hexadecimal.
fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("asking the system for random bytes")?;
    Ok(blake3::Hash::from_bytes(bytes).to_hex().to_string())
}
