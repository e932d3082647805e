//! `slotkeeper`: the origin's one program.

mod commands;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("slotkeeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}
