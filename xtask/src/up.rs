//! `cargo xtask up`: the whole product on this machine, in the foreground.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use xtask::workspace::Workspace;

use crate::{
    build::{Builder, Native},
    http::{claim_port, loopback},
    process::interrupted,
    setup::{self, Purpose},
    stack::{Place, Programs, Runtime, Stack, Store},
};

/// Marks a data folder as ours, and says whether it is in use.
const LOCK: &str = "up.lock";
const POLL: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(crate) struct Options {
    /// What the edge runs on [default: spin where it is on PATH, else cloudflare]
    #[arg(long, value_enum, value_name = "RUNTIME")]
    edge: Option<Runtime>,
    /// Where an edge on Spin keeps its claims
    #[arg(long, value_enum, default_value_t, value_name = "STORE")]
    store: Store,
    /// Where the pages and the origin listen; 0 takes a free port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where the edge listens; 0 takes a free port
    #[arg(long, default_value_t = 3000)]
    edge_port: u16,
    /// Keeps keys, contracts, facts and caps between runs [default: `up` in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Empties the data folder first: new keys, nothing remembered
    #[arg(long)]
    fresh: bool,
    /// Runs an optimised origin
    #[arg(long)]
    release: bool,
}

pub(crate) fn up(workspace: &Workspace, options: Options) -> Result<()> {
    let runtime = options.edge.unwrap_or_else(Runtime::usual);
    let is_on_redis = options.store == Store::Redis;
    ensure!(
        !is_on_redis || runtime != Runtime::Cloudflare,
        "--store redis is for `--edge spin` and `--edge spin-host`; Cloudflare's workers keep claims in Durable Objects"
    );
    let data = options.data.unwrap_or_else(|| workspace.target.join("up"));
    // Looked at before the long part; the programs look again.
    let (origin_port, edge_port) = (claim_port(options.port, "--port")?, claim_port(options.edge_port, "--edge-port")?);
    ensure!(origin_port != edge_port, "--port and --edge-port are both {origin_port}; give each its own");
    let _lock = lock(&data, options.fresh)?;

    setup::run_for(workspace, Purpose::Up)?;
    let redis_port = if is_on_redis {
        setup::redis_server()?;
        Some(claim_port(0, "")?)
    } else {
        None
    };
    let native = if options.release { Native::Release } else { Native::Debug };
    let programs = Programs::build(&Builder::new(workspace, native), runtime)?;
    let place = Place { data, contracts: &[], origin_port, edge_port, redis_port };
    let mut stack = Stack::start(workspace, &programs, runtime, &place)?;

    println!();
    println!("  player     http://{}/player.html", stack.origin_address);
    println!("  as HLS     http://{}/hls.html", stack.origin_address);
    println!("  dashboard  http://{}/slots.html", stack.origin_address);
    println!("  edge       http://{} ({})", stack.edge_address, runtime.name());
    if let Some(port) = redis_port {
        println!("  redis      redis://{}", loopback(port));
    }
    println!("  books      --data {}", place.data.join("origin").display());
    println!("  logs       {}", place.data.join("{origin,edge}.log").display());
    println!();
    println!("Ctrl-C ends it.");
    while !interrupted() {
        stack.check()?;
        thread::sleep(POLL);
    }
    stack.stop();
    Ok(())
}

/// Makes the data folder and holds it for as long as the answer lives. A folder that holds anything and was not made here
/// is left alone, with or without `fresh`: once it were marked as ours, the next `--fresh` would empty it.
fn lock(data: &Path, fresh: bool) -> Result<File> {
    let path = data.join(LOCK);
    if data.exists() && !path.exists() {
        let mut entries = fs::read_dir(data).with_context(|| format!("cannot read {}", data.display()))?;
        ensure!(
            entries.next().is_none(),
            "{} was not made by `up` and is not empty; choose another --data",
            data.display()
        );
    }
    fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("another `up` uses {}; end it, or choose another --data", data.display())
        }
        Err(TryLockError::Error(error)) => return Err(error).context(format!("cannot lock {}", path.display())),
    }
    if fresh {
        for entry in fs::read_dir(data)? {
            let path = entry?.path();
            let emptied = if path.is_dir() { fs::remove_dir_all(&path) } else { remove_unless_lock(&path) };
            emptied.with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(file)
}

fn remove_unless_lock(path: &Path) -> std::io::Result<()> {
    if path.ends_with(LOCK) { Ok(()) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::clear;

    #[test]
    fn only_a_folder_that_up_made_is_used_or_emptied() {
        let folder = std::env::temp_dir().join(format!("xtask-up-{}", std::process::id()));
        clear(&folder).unwrap();
        let letter = folder.join("letter");
        fs::write(&letter, "dear").unwrap();
        for fresh in [false, true] {
            assert!(lock(&folder, fresh).unwrap_err().to_string().contains("was not made by `up`"), "fresh: {fresh}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "not marked as ours either");

        fs::remove_file(&letter).unwrap();
        let held = lock(&folder, false).unwrap();
        assert!(lock(&folder, true).unwrap_err().to_string().contains("another `up`"));
        drop(held);
        fs::write(&letter, "dear").unwrap();
        drop(lock(&folder, false).unwrap());
        assert!(letter.exists());
        drop(lock(&folder, true).unwrap());
        assert!(!letter.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
