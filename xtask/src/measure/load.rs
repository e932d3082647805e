//! Putting a load on an edge.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::process::show;

const CONNECTIONS: u32 = 16;

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
