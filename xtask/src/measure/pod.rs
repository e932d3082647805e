//! The best pod against the greedy's, by slots and eligible creatives: what both are worth, what finding them takes, and
//! the instructions of one decision. A table on standard error, the figures on standard output.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Report, decide::instructions};
use crate::{build::Builder, process::show};

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let program = builder.bench("pod")?;
    let folder = builder.workspace.target.join("measure");
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(&program);
    command.arg("table");
    show(&command);
    let output = command.output().context("cannot run the pods")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("slots  eligible  exact  greedy best  greedy/best  nodes  looks (max)     µs (max)        instructions");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let row: Value = serde_json::from_str(line)?;
        let (slots, eligible) = (&row["slots"], &row["eligible"]);
        let once = ["once".to_owned(), slots.to_string(), eligible.to_string()];
        let counted = instructions(&program, &once, &folder, "measured_decide")?;
        eprintln!(
            "{:>5}  {:>8}  {:>5}  {:>11}  {:>11}  {:>5}  {:>6} ({:>6})  {:>5} ({:>5})  {counted:>12}",
            slots,
            eligible,
            row["exact_of_200"],
            row["greedy_is_best_of_200"],
            row["greedy_worth_of_best"],
            row["nodes_mean"],
            row["looks_median"],
            row["looks_max"],
            row["micros_median"],
            row["micros_max"],
        );
        let units = [
            ("exact_of_200", "breaks"),
            ("greedy_worth_of_best", "ratio"),
            ("nodes_mean", "nodes"),
            ("micros_median", "us"),
            ("micros_max", "us"),
        ];
        for (name, unit) in units {
            report.figure(&format!("{name}.{slots}x{eligible}"), row[name].clone(), unit);
        }
        report.figure(&format!("instructions.{slots}x{eligible}"), counted, "instructions");
    }
    Ok(())
}
