//! The product running: one edge, one origin, a published plan.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use rustix::process::Signal;
use xtask::{
    redis, spin, workerd,
    workspace::{Workspace, on_path},
};

use crate::{
    build::Builder,
    http::{loopback, wait_for, wait_for_listener},
    origin::{Edge, Origin, Secrets},
    process::Process,
};

const CONTRACTS: &str = "worker/demo/contracts.toml";
/// A component that was never compiled for this machine takes some seconds to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the edge runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// The Spin component, by `spin up`
    Spin,
    /// The Cloudflare worker, by workerd (from npm)
    Cloudflare,
    /// The Spin component, by a wasmtime host of this repository: the way to try it where `spin` is not installed
    SpinHost,
}

impl Runtime {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Cloudflare => "cloudflare",
            Self::SpinHost => "spin-host",
        }
    }

    /// Spin where it is installed, else workerd, which npm brings.
    pub(crate) fn usual() -> Self {
        if on_path(&["spin"]).is_some() { Self::Spin } else { Self::Cloudflare }
    }

    /// The Spin component on the best host there is.
    pub(crate) fn of_spin_component() -> Self {
        if on_path(&["spin"]).is_some() { Self::Spin } else { Self::SpinHost }
    }
}

/// Where an edge on Spin keeps claims, answers and rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// Spin's own SQLite
    #[default]
    Sqlite,
    /// A Redis server, started and ended with the edge
    Redis,
}

/// Everything that was built for one run.
pub(crate) struct Programs {
    origin: PathBuf,
    www: PathBuf,
    edge: EdgeProgram,
}

enum EdgeProgram {
    Spin { spin: PathBuf },
    Cloudflare { workerd: PathBuf },
    SpinHost { host: PathBuf, component: PathBuf },
}

impl Programs {
    pub(crate) fn build(builder: &Builder<'_>, runtime: Runtime) -> Result<Self> {
        let edge = match runtime {
            Runtime::Spin => {
                let spin = on_path(&["spin"]).context(
                    "spin is not on PATH; install it (https://spinframework.dev), or take `--edge spin-host` for the \
                     same component on a wasmtime host, or `--edge cloudflare`",
                )?;
                builder.spin()?;
                EdgeProgram::Spin { spin }
            }
            Runtime::Cloudflare => {
                builder.cloudflare()?;
                EdgeProgram::Cloudflare { workerd: builder.workspace.workerd()? }
            }
            Runtime::SpinHost => EdgeProgram::SpinHost { host: builder.spin_host()?, component: builder.spin()? },
        };
        Ok(Self { edge, origin: builder.origin()?, www: builder.www()? })
    }
}

/// Where a run keeps its data and listens.
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    /// What is sold besides the demo: contracts files, from the repository's root.
    pub(crate) contracts: &'static [&'static str],
    pub(crate) origin_port: u16,
    pub(crate) edge_port: u16,
    /// Of the edge's Redis, if its store is one.
    pub(crate) redis_port: Option<u16>,
}

/// A running product. Dropping it ends its programs.
pub(crate) struct Stack {
    // In the order in which they are ended: the edge has nowhere to send its rows without the others.
    edge: Process,
    origin: Process,
    redis: Option<Process>,
    pub(crate) edge_address: SocketAddr,
    pub(crate) origin_address: SocketAddr,
}

impl Stack {
    pub(crate) fn start(workspace: &Workspace, programs: &Programs, runtime: Runtime, place: &Place) -> Result<Self> {
        let data = &place.data;
        fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
        let (origin_address, edge_address) = (loopback(place.origin_port), loopback(place.edge_port));
        let secrets = Secrets::of(&programs.origin, data)?;
        let origin =
            Origin { program: &programs.origin, data: data.join("origin"), listen: origin_address, secrets: &secrets };
        let edge = Edge { name: runtime.name(), address: edge_address };

        fs::create_dir_all(&origin.data)?;
        for file in [CONTRACTS].iter().chain(place.contracts) {
            origin.import_contracts(&workspace.root.join(file))?;
        }
        let mut variables: Vec<_> = secrets.edge_variables().collect();
        variables.push(("origin_url".into(), format!("http://{origin_address}")));
        variables.push(("public_url".into(), format!("http://{edge_address}")));
        variables.push(("demo_hls_url".into(), format!("http://{origin_address}/media/hls")));
        variables.push(("edge_id".into(), edge.name.into()));
        let redis_address = place.redis_port.map(loopback);
        let redis = redis_address.map(|address| start_redis(address, &made(data.join("redis"))?)).transpose()?;
        if let Some(address) = redis_address {
            variables.push(("store".into(), "redis".into()));
            variables.push(("redis_url".into(), format!("redis://{address}")));
        }
        let mut command = edge_command(workspace, &programs.edge, data, edge_address, &variables)?;
        let mut stack = Self {
            edge: Process::start_logged("the edge", &mut command, &data.join("edge.log"))?,
            origin: Process::start_logged(
                "the origin",
                &mut origin.serve(&programs.www, &edge, redis_address),
                &data.join("origin.log"),
            )?,
            redis,
            edge_address,
            origin_address,
        };
        stack.wait_for_health(origin_address, |_| true)?;
        stack.wait_for_health(edge_address, |_| true)?;
        origin.publish_plan(&edge)?;
        stack.wait_for_health(edge_address, has_a_plan)?;
        Ok(stack)
    }

    fn wait_for_health(&mut self, address: SocketAddr, good: fn(&str) -> bool) -> Result<()> {
        wait_for(address, "/healthz", PATIENCE, good, || self.check())
    }

    /// An error if one of the programs has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.edge.check()?;
        self.origin.check()?;
        self.redis.iter_mut().try_for_each(Process::check)
    }

    /// The numbers of the origin's and the edge's process.
    pub(crate) fn process_ids(&self) -> [u32; 2] {
        [self.origin.id(), self.edge.id()]
    }

    /// Tells the edge's program something that it takes as a signal.
    pub(crate) fn signal_edge(&self, signal: Signal) -> Result<()> {
        self.edge.signal(signal)
    }

    /// Ends all programs.
    pub(crate) fn stop(&mut self) {
        self.edge.stop();
        self.origin.stop();
        self.redis.iter_mut().for_each(Process::stop);
    }
}

/// Starts a Redis server over what `data` holds, and waits until it listens.
fn start_redis(address: SocketAddr, data: &Path) -> Result<Process> {
    let mut command = Command::new(redis::PROGRAM);
    command.args(redis::arguments(address, data));
    let mut process = Process::start_logged("redis", &mut command, &data.join("redis.log"))?;
    wait_for_listener(address, PATIENCE, || process.check())?;
    Ok(process)
}

/// Whether the edge decides from a valid plan.
fn has_a_plan(health: &str) -> bool {
    health.contains(r#""status":"ok""#)
}

fn edge_command(
    workspace: &Workspace,
    program: &EdgeProgram,
    data: &Path,
    listen: SocketAddr,
    variables: &[(String, String)],
) -> Result<Command> {
    match program {
        EdgeProgram::Cloudflare { workerd } => {
            let config = workerd::install(workspace, &data.join("workerd"), listen, variables)?;
            let mut command = Command::new(workerd);
            command.arg("serve").arg(config);
            Ok(command)
        }
        EdgeProgram::SpinHost { host, component } => {
            let mut command = Command::new(host);
            command.arg("--wasm").arg(component).args(["--listen", &listen.to_string()]);
            command.arg("--state").arg(made(data.join("spin-host"))?);
            command.envs(spin_variables(variables));
            Ok(command)
        }
        EdgeProgram::Spin { spin: program } => {
            let mut command = Command::new(program);
            command.arg("up").arg("--from").arg(spin::manifest(workspace, data)?);
            command.args(["--listen", &listen.to_string()]).arg("--state-dir").arg(made(data.join("spin"))?);
            command.envs(spin_variables(variables));
            Ok(command)
        }
    }
}

/// Variables as Spin takes them. In the environment, because arguments can be seen by every user of the machine.
fn spin_variables(variables: &[(String, String)]) -> impl Iterator<Item = (String, &String)> {
    variables.iter().map(|(name, value)| (format!("SPIN_VARIABLE_{}", name.to_uppercase()), value))
}

fn made(folder: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
