//! Instructions of one decision, counted by callgrind, with few and with many campaigns in the plan. The eligible ones
//! are the same, so the two counts should be too.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::Report;
use crate::{
    build::Builder,
    process::{run, show},
};

const CAMPAIGNS: [u32; 2] = [1_000, 10_000];

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let program = builder.bench("decide")?;
    let folder = builder.workspace.target.join("measure");
    fs::create_dir_all(&folder)?;
    let mut counts = Vec::new();
    for campaigns in CAMPAIGNS {
        let plan = folder.join(format!("{campaigns}.plan"));
        run(Command::new(&program).args(["plan", &campaigns.to_string()]).arg(&plan))?;
        let once = ["once".to_owned(), plan.display().to_string()];
        let of = |function| instructions(&program, &once, &folder, function);
        counts.push((campaigns, of("measured_decide")?, of("measured_open")?));
    }
    let (few, few_decide, few_open) = counts[0];
    for &(campaigns, decide, open) in &counts {
        if campaigns == few {
            report.figure(&format!("instructions.{campaigns}"), decide, "instructions");
            report.figure(&format!("open_instructions.{campaigns}"), open, "instructions");
        } else {
            let name = |what: &str, campaigns| format!("{what}.{campaigns}");
            let compared = |what: &str, value, other| {
                let other_name = format!("decide.{}", name(what, few));
                report.compared(&name(what, campaigns), value, "instructions", &other_name, other);
            };
            compared("instructions", decide, few_decide);
            compared("open_instructions", open, few_open);
        }
    }
    Ok(())
}

/// How many instructions one run of the program spends within `function` and what that calls.
pub(super) fn instructions(program: &Path, arguments: &[String], folder: &Path, function: &str) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--collect-atstart=no"]);
    command.arg(format!("--toggle-collect=*{function}*"));
    command.arg(format!("--callgrind-out-file={}", folder.join("callgrind.out").display()));
    command.arg(program).args(arguments);
    show(&command);
    let output = command.output().context("cannot run valgrind; `cargo xtask setup --for measure` installs it")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed ({}):\n{log}", output.status);
    let collected = log.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok());
    let collected: u64 = collected.with_context(|| format!("valgrind collected nothing:\n{log}"))?;
    ensure!(collected > 0, "valgrind met no function named {function}");
    Ok(collected)
}
