//! Runs a Spin component from its wasm file as a server on loopback, until it gets SIGINT or SIGTERM.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use slotkeeper_tests::{Component, Fault, Op, Reuse, SpinHost, World, cache_folder};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a Spin component from its wasm file as a server on loopback.
///
/// To watch the component without its store: after SIGUSR1 every call to SQLite fails, after SIGUSR2 none is answered,
/// after SIGHUP all is well again.
#[derive(Parser)]
struct Arguments {
    /// The component, built for wasm32-wasip2
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "127.0.0.1:PORT", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The folder of its SQLite and key-value stores
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// A variable of the component; may be given several times. Secrets are better given as Spin takes them, in the
    /// environment, as `SPIN_VARIABLE_NAME`
    #[arg(long = "variable", value_name = "KEY=VALUE", value_parser = key_and_value)]
    variables: Vec<(String, String)>,
    /// Where compiled code is kept [default: cwasm in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

fn key_and_value(argument: &str) -> Result<(String, String), String> {
    match argument.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("{argument} is not of the form KEY=VALUE")),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.listen.ip().is_loopback(), "{} is not a loopback address", arguments.listen);
    // From here on the signals end the server in order, even while it starts.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut fail = signal(SignalKind::user_defined1())?;
    let mut hang = signal(SignalKind::user_defined2())?;
    let mut heal = signal(SignalKind::hangup())?;

    let world = World::new(&arguments.state)?;
    world.inherit_output();
    world.allow_loopback();
    for (name, value) in std::env::vars() {
        if let Some(name) = name.strip_prefix("SPIN_VARIABLE_") {
            world.set_variable(name.to_lowercase(), value);
        }
    }
    for (key, value) in arguments.variables {
        world.set_variable(key, value);
    }
    let component = Component::load(&arguments.wasm, arguments.cache.unwrap_or_else(cache_folder))?;
    let host = SpinHost::new(&component, &world, Reuse::SPIN);
    let listener =
        TcpListener::bind(arguments.listen).await.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let serving = host.serve(listener)?;
    println!("listening on {}", serving.url(""));

    loop {
        let fault = tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = fail.recv() => Some(Fault::Error("disk I/O error")),
            _ = hang.recv() => Some(Fault::Hang(Duration::from_hours(1))),
            _ = heal.recv() => None,
        };
        world.clear_faults();
        if let Some(fault) = fault {
            world.inject([Op::SqlOpen, Op::SqlExecute], "*", u32::MAX, fault);
        }
    }
    drop(serving);
    host.stop().await;
    Ok(())
}
