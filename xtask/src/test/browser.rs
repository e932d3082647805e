//! The product's pages in a real browser, on a stack of their own: free ports, a fresh data folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use xtask::workspace::on_path;

use super::counts::Counts;
use crate::{
    build::Builder,
    http::claim_port,
    setup,
    stack::{Place, Programs, Runtime, Stack},
};

/// The parts that need a browser.
pub(super) const PARTS: [&str; 3] = ["browser", "spin-smoke", "engines"];
const FOLDER: &str = "tests/browser";
/// Takes the edge's store and the origin away, so it runs after the others, and where the store can be taken away.
const OUTAGE: &str = "outage.test.mjs";

pub(super) fn all(builder: &Builder<'_>) -> Result<Counts> {
    let mut counts = Counts::default();
    for runtime in [Runtime::Cloudflare, Runtime::SpinHost] {
        counts += on(builder, runtime)?;
    }
    Ok(counts)
}

pub(super) fn spin_smoke(builder: &Builder<'_>) -> Result<Counts> {
    if on_path(&["spin"]).is_none() {
        println!("SKIPPED: spin is not on PATH; the Spin component was run on the wasmtime host only");
        return Ok(Counts::one_skipped());
    }
    on(builder, Runtime::Spin)
}

fn on(builder: &Builder<'_>, runtime: Runtime) -> Result<Counts> {
    let workspace = builder.workspace;
    let tests = tests(&workspace.root.join(FOLDER))?;
    let programs = Programs::build(builder, runtime)?;
    let data = own_folder(&workspace.target.join("test"), runtime)?;
    let place = Place {
        data: data.clone(),
        contracts: &[],
        origin_port: claim_port(0, "")?,
        edge_port: claim_port(0, "")?,
        redis_port: None,
    };
    println!("-- edge: {}", runtime.name());
    let mut stack = Stack::start(workspace, &programs, runtime, &place)?;
    let browser = setup::browser().context("there is no browser; `cargo xtask setup` installs one")?;
    let (outage, others): (Vec<_>, Vec<_>) = tests.into_iter().partition(|path| path.ends_with(OUTAGE));
    let mut rounds = vec![others];
    if runtime == Runtime::SpinHost {
        rounds.push(outage);
    }
    let mut counts = Counts::default();
    for tests in rounds {
        let [origin, edge] = stack.process_ids();
        let mut command = Command::new("node");
        command
            .args(["--test", "--test-reporter=spec"])
            .args(tests)
            .env("ORIGIN_URL", format!("http://{}", stack.origin_address))
            .env("EDGE_URL", format!("http://{}", stack.edge_address))
            .env("ORIGIN_PID", origin.to_string())
            .env("EDGE_PID", edge.to_string())
            .env("EDGE_RUNTIME", runtime.name())
            .env("CARGO_TARGET_DIR", &workspace.target)
            .env("CHROMIUM", &browser)
            .current_dir(&workspace.root);
        counts += Counts::of_run(&mut command, Counts::of_node)?;
    }
    stack.check()?; // a program that died under the tests is a failure, whatever they say
    stack.stop();
    if counts.failed == 0 {
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    } else {
        println!("-- logs and data of this run: {}", data.display());
    }
    Ok(counts)
}

/// A folder that no other run has, in this target folder or in a container that shares it: two would share databases.
fn own_folder(parent: &Path, runtime: Runtime) -> Result<PathBuf> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let folder = parent.join(format!("{}-{}-{}", runtime.name(), process::id(), began.as_nanos()));
    fs::create_dir_all(parent)?;
    fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

fn tests(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut tests = paths?;
    tests.retain(|path| path.to_string_lossy().ends_with(".test.mjs"));
    tests.sort();
    ensure!(!tests.is_empty(), "there is no *.test.mjs in {}", folder.display());
    Ok(tests)
}
