//! `cargo xtask setup`: what the other chores need on this machine. Each step looks first, so a second run is quick.

use std::{env, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use xtask::{
    redis,
    workspace::{Workspace, on_path},
};

use crate::process::run;

/// The rustup targets of everything that runs as wasm.
const WASM_TARGETS: [&str; 3] = ["wasm32-wasip2", "wasm32-unknown-unknown", "wasm32v1-none"];
/// The names a Chromium goes by.
pub(crate) const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// A copy of the lock file that `node_modules` was installed from.
const NPM_STAMP: &str = "node_modules/.installed-package-lock.json";

/// What to prepare for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// `build` and `up`: wasm targets and npm tools
    Up,
    /// `lint` and `fmt`: wasm targets, rustfmt and clippy
    Lint,
    /// `test`, the parts without a browser: all of the above, and a Redis server
    Check,
    /// `test`: also a browser, and the old ones that televisions have
    Test,
    /// `measure`: also valgrind
    Measure,
}

/// Does what is missing, one line a step.
pub(crate) fn run_for(workspace: &Workspace, purpose: Purpose) -> Result<()> {
    for target in WASM_TARGETS {
        wasm_target(workspace, target)?;
    }
    if matches!(purpose, Purpose::Lint | Purpose::Check | Purpose::Test) {
        component(workspace, "rustfmt", "fmt")?;
        component(workspace, "clippy", "clippy")?;
    }
    if purpose != Purpose::Lint {
        npm_tools(workspace)?;
    }
    if matches!(purpose, Purpose::Check | Purpose::Test) {
        redis_server()?;
    }
    match purpose {
        Purpose::Up | Purpose::Lint | Purpose::Check => Ok(()),
        Purpose::Test => {
            browser_to_drive()?;
            old_engines(workspace)
        }
        Purpose::Measure => program("valgrind", &["valgrind"], "valgrind"),
    }
}

fn wasm_target(workspace: &Workspace, target: &str) -> Result<()> {
    // Asked of rustc, not of rustup, so that it also holds for a Rust that did not come with rustup.
    let answer = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .current_dir(&workspace.root)
        .output()
        .context("cannot run rustc: install Rust with rustup (https://rustup.rs)")?;
    let folder = String::from_utf8_lossy(&answer.stdout);
    if answer.status.success() && Path::new(folder.trim()).is_dir() {
        say(target, "there");
        return Ok(());
    }
    ensure!(
        on_path(&["rustup"]).is_some(),
        "the Rust in use has no standard library for {target}, and there is no rustup on PATH to add it; install the \
         target the way this Rust was installed"
    );
    say(target, "adding it with rustup");
    run(Command::new("rustup").args(["target", "add", target]).current_dir(&workspace.root))
}

/// A tool of the toolchain in use, which cargo calls as `cargo SUBCOMMAND`.
fn component(workspace: &Workspace, name: &str, subcommand: &str) -> Result<()> {
    let answer = workspace.cargo(subcommand).arg("--version").output().context("cannot run cargo")?;
    if answer.status.success() {
        say(name, "there");
        return Ok(());
    }
    ensure!(
        on_path(&["rustup"]).is_some(),
        "the Rust in use has no {name}, and there is no rustup on PATH to add it; install it the way this Rust was \
         installed"
    );
    say(name, "adding it with rustup");
    run(Command::new("rustup").args(["component", "add", name]).current_dir(&workspace.root))
}

/// The Chromiums of televisions' age. One that cannot be had is said and skipped; a wrong one is an error.
fn old_engines(workspace: &Workspace) -> Result<()> {
    let script = workspace.root.join("tests/engines/engines.mjs");
    run(Command::new("node").arg(script).arg(workspace.target.join("engines")))
}

/// The machine's own browser, or the one that `CHROMIUM` names.
pub(crate) fn browser_to_drive() -> Result<()> {
    let Some(given) = env::var_os("CHROMIUM") else { return program("browser", &BROWSERS, "chromium") };
    let path = Path::new(&given);
    ensure!(path.is_file(), "CHROMIUM is {}, which is not there; set it to a browser, or not at all", path.display());
    say("browser", &path.display().to_string());
    Ok(())
}

fn npm_tools(workspace: &Workspace) -> Result<()> {
    let wanted = fs::read(workspace.root.join("package-lock.json")).context("cannot read package-lock.json")?;
    let stamp = workspace.root.join(NPM_STAMP);
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        say("npm tools", "there");
        return Ok(());
    }
    ensure!(on_path(&["npm"]).is_some(), "npm is not on PATH; install Node.js 20 or later (https://nodejs.org)");
    say("npm tools", "installing them (npm ci)");
    run(Command::new("npm").args(["ci", "--no-progress"]).current_dir(&workspace.root))
        .context("npm could not install the tools of package-lock.json; is a package registry reachable?")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

/// The server of the production cap store.
pub(crate) fn redis_server() -> Result<()> {
    program("redis", &[redis::PROGRAM], redis::PROGRAM)
}

fn program(what: &str, names: &[&str], debian_package: &str) -> Result<()> {
    if let Some(path) = on_path(names) {
        say(what, &path.display().to_string());
        return Ok(());
    }
    let by_hand = format!("none of {} is on PATH; install one of them and try again", names.join(", "));
    if on_path(&["apt-get"]).is_none() {
        bail!("{what}: {by_hand}");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("{what}: {by_hand}: `sudo apt-get install {debian_package}`");
    }
    say(what, "installing it with apt-get");
    let apt =
        |arguments: &[&str]| run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    let install = ["install", "--yes", "--quiet", "--no-install-recommends", debian_package];
    if apt(&install).is_err() {
        apt(&["update", "--quiet"])?; // the package list may be too old, or missing
        apt(&install).with_context(|| format!("{what}: {by_hand}"))?;
    }
    ensure!(on_path(names).is_some(), "{what}: {by_hand}");
    Ok(())
}

fn say(what: &str, state: &str) {
    eprintln!("setup: {what}: {state}");
}

/// The browser for tests: `CHROMIUM` if it is set, else the first on `PATH`.
pub(crate) fn browser() -> Option<std::path::PathBuf> {
    env::var_os("CHROMIUM").map(Into::into).or_else(|| on_path(&BROWSERS))
}
