//! `slotkeeper`: the origin's one program.

#![warn(clippy::print_stdout, clippy::print_stderr, reason = "they panic when nobody reads")]

mod commands;
mod table;

use std::process::ExitCode;

use clap::Parser;
use slotkeeper::tell;

fn main() -> ExitCode {
    match commands::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            tell!("slotkeeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}
