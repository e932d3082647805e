//! A product to measure, and a load on its edge.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    build::Builder,
    http::claim_port,
    process::show,
    stack::{Place, Programs, Runtime, Stack, Store},
    stamp::clear,
};

const CONNECTIONS: u32 = 16;

/// Starts a product from nothing, in the folder of this name. `contracts` are sold besides the demo.
pub(super) fn start(
    builder: &Builder<'_>,
    folder: &str,
    runtime: Runtime,
    store: Store,
    contracts: &'static [&'static str],
) -> Result<Stack> {
    let programs = Programs::build(builder, runtime)?;
    let data = builder.workspace.target.join("measure").join(folder);
    clear(&data)?;
    let (origin_port, edge_port) = (claim_port(0, "")?, claim_port(0, "")?);
    let redis_port = (store == Store::Redis).then(|| claim_port(0, "")).transpose()?;
    let place = Place { data, contracts, origin_port, edge_port, redis_port };
    Stack::start(builder.workspace, &programs, runtime, &place)
}

/// A break of so many slots in a title; every request a break of its own, for one profile after another.
pub(super) fn break_in(title: &str, slots: usize, run: &str) -> String {
    let slots = vec![r#"{"max_duration_ms":30000}"#; slots].join(",");
    format!(
        r#"{{"request_id":"{run}-{title}-{{n}}","profile_id":"{title}-{{profile}}","title_id":"{title}","position":"midroll","slots":[{slots}]}}"#
    )
}

/// A title of the demo.
pub(super) const TITLE: &str = "the-lighthouse";

/// A load on one edge.
pub(super) struct Load<'a> {
    program: &'a Path,
    url: String,
}

impl<'a> Load<'a> {
    /// On the edge at this address.
    pub(super) fn on(program: &'a Path, edge: SocketAddr) -> Self {
        Self { program, url: format!("http://{edge}") }
    }

    /// So many requests to a path, with [`CONNECTIONS`] at once: what the load generator reports.
    pub(super) fn run(&self, path: &str, requests: u32, body: Option<&str>) -> Result<Value> {
        let mut command = Command::new(self.program);
        command.arg(format!("{}{path}", self.url)).args([CONNECTIONS.to_string(), requests.to_string()]);
        command.args(body);
        show(&command);
        let output = command.output()?;
        ensure!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr).trim());
        serde_json::from_slice(&output.stdout).context("the load generator answered no JSON")
    }
}

/// Three significant places are more than a shared machine can promise.
pub(super) fn rounded(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) if number >= 100.0 => number.round().into(),
        Some(number) => ((number * 1000.0).round() / 1000.0).into(),
        None => value.clone(),
    }
}
