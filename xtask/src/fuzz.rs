//! `cargo xtask fuzz`: LLVM's fuzzer on everything that reads bytes from outside (`fuzz/`).
//!
//! It builds with the toolchain in use. cargo-fuzz wants a nightly one because of the address sanitizer, which code
//! without `unsafe` has little to show; the coverage by which the fuzzer finds its way is a pass that stable has too.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use xtask::workspace::{Workspace, on_path};

use crate::{
    process::{Process, run, show},
    stamp::clear,
};

/// What cargo-fuzz 0.13 passes for a build without a sanitizer, but `--cfg fuzzing`: what is tested is what is shipped.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// How long one input may take before it counts as a finding: nothing here should take a hundredth of that.
const INPUT_SECONDS_MAX: u32 = 5;
/// How much memory a target may take, in MiB.
const MEMORY_MIB_MAX: u32 = 1_024;

#[derive(Args)]
pub(crate) struct Options {
    /// Which targets [default: all]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long to run each
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u32,
    /// Lists the targets and ends
    #[arg(long)]
    list: bool,
    /// Runs the one TARGET on this input only: how a finding is looked at again
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

/// Whether nothing was found.
pub(crate) fn fuzz(workspace: &Workspace, options: &Options) -> Result<bool> {
    let all = targets(workspace)?;
    if options.list {
        println!("{}", all.join("\n"));
        return Ok(true);
    }
    if let Some(odd) = options.targets.iter().find(|target| !all.contains(target)) {
        bail!("there is no fuzz target {odd:?}; there are {}", all.join(", "));
    }
    let chosen = if options.targets.is_empty() { all } else { options.targets.clone() };
    let programs = build(workspace)?;
    if let Some(input) = &options.replay {
        ensure!(options.targets.len() == 1, "--replay needs the one TARGET that the input is for");
        return run(Command::new(programs.join(&chosen[0])).arg(input)).map(|()| true);
    }
    let mut found = Vec::new();
    for target in chosen {
        if !run_target(workspace, &programs, &target, options.seconds, Corpus::Kept)? {
            found.push(target);
        }
    }
    if !found.is_empty() {
        eprintln!("found something: {}", found.join(", "));
    }
    Ok(found.is_empty())
}

/// The names of all targets, in order.
pub(crate) fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let name = |path: PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    let mut targets: Vec<String> = paths?.into_iter().filter(is_source).filter_map(name).collect();
    targets.sort();
    Ok(targets)
}

/// Builds all targets; the folder of their programs.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    ensure!(
        env::var_os("CXX").is_some() || on_path(&["c++", "g++", "clang++"]).is_some(),
        "there is no C++ compiler on PATH, which the fuzzer itself is compiled with; install one (Debian: `apt-get \
         install g++`), or set CXX"
    );
    let host = host()?;
    let mut command = workspace.cargo("build");
    command.args(["--manifest-path", "fuzz/Cargo.toml", "--release", "--bins", "--target", &host]);
    // With a target named, build scripts are left alone. A folder of its own, because everything is compiled otherwise.
    command.env("CARGO_TARGET_DIR", folder(workspace)).env_remove("RUSTFLAGS");
    run(command.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}")))?;
    Ok(folder(workspace).join(host).join("release"))
}

/// What a run starts from, besides the committed seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Corpus {
    /// What all runs before have found worth keeping, so that each goes on where the last one ended.
    Kept,
    /// Nothing, so that a run takes no longer than it is told.
    Fresh,
}

/// Runs one target for a while. Says what was found, where it lies, and how to look at it again.
pub(crate) fn run_target(
    workspace: &Workspace,
    programs: &Path,
    target: &str,
    seconds: u32,
    corpus: Corpus,
) -> Result<bool> {
    let corpus = match corpus {
        Corpus::Kept => folder(workspace).join("corpus").join(target),
        Corpus::Fresh => {
            let corpus = folder(workspace).join("fresh").join(target);
            clear(&corpus)?;
            corpus
        }
    };
    let artifacts = folder(workspace).join("artifacts").join(target);
    let log = folder(workspace).join(target).with_extension("log");
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let known = files(&artifacts)?;
    let mut command = Command::new(programs.join(target));
    // What is found to be worth keeping goes to the first folder, which is ours; the other holds what is committed.
    command.arg(&corpus).args(Some(workspace.root.join("fuzz/corpus").join(target)).filter(|seeds| seeds.is_dir()));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}")).arg(argument("-artifact_prefix=", &artifacts.join("")));
    command.env("FUZZ_SEEDS", &corpus);
    show(&command);
    let status = Process::start_logged(target, &mut command, &log)?.wait()?;
    let report = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
    println!("{target}: {}", summary(&report).unwrap_or("it ended without a summary"));
    if status.success() {
        return Ok(true);
    }
    println!("{target} failed ({status}); all it said: {}", log.display());
    cause(&report).for_each(|line| println!("  {line}"));
    for artifact in files(&artifacts)?.into_iter().filter(|file| !known.contains(file)) {
        println!("  the input: {}", artifact.display());
        println!("  again:     cargo xtask fuzz {target} --replay {}", artifact.display());
    }
    Ok(false)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("fuzz")
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn argument(name: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(name);
    argument.push(path);
    argument
}

/// The triple this machine's programs are compiled for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(Into::into).context("rustc -vV names no host")
}

/// `Done 1406829 runs in 9 second(s)`.
fn summary(report: &str) -> Option<&str> {
    report.lines().rev().find(|line| line.starts_with("Done ") || line.starts_with("SUMMARY: "))
}

/// What went wrong: the panic with its message, or else what the fuzzer calls it.
fn cause(report: &str) -> impl Iterator<Item = &str> {
    let is_cause = |line: &&str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
    report.lines().skip_while(move |line| !is_cause(line)).take_while(|line| !line.starts_with("note: ")).take(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_in_a_line() {
        assert_eq!(summary("#2\tINITED\nDone 7 runs in 1 second(s)\nstat::x: 3"), Some("Done 7 runs in 1 second(s)"));
        assert_eq!(
            summary("thread panicked at src\nSUMMARY: libFuzzer: deadly signal\n"),
            Some("SUMMARY: libFuzzer: deadly signal")
        );
        assert_eq!(summary("nothing"), None);
        let report = "#2 INITED\nthread panicked at src:1:\na slot was lost\nnote: run with RUST_BACKTRACE\n==1== ERROR: libFuzzer";
        assert_eq!(cause(report).collect::<Vec<_>>(), ["thread panicked at src:1:", "a slot was lost"]);
    }
}
