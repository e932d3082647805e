//! `cargo xtask measure`: the figures that are published, one JSON object a line on standard output.
//!
//! A group is a file here with a function in [`GROUPS`].

mod caps;
mod decide;
mod edge;
mod load;
mod month;
mod origin;
mod outage;
mod pod;
mod sdk;
mod size;
mod token;
mod told;

use anyhow::Result;
use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Map, Value};
use xtask::workspace::Workspace;

use crate::{
    build::{Builder, Native},
    process::{Interrupted, interrupted},
    setup::{self, Purpose},
};

/// A group's name and what measures it.
type Group = (&'static str, fn(&Builder<'_>, &Report) -> Result<()>);

const GROUPS: [Group; 10] = [
    ("size", size::measure),
    ("sdk", sdk::measure),
    ("token", token::measure),
    ("decide", decide::measure),
    ("pod", pod::measure),
    ("edge", edge::measure),
    ("caps", caps::measure),
    ("outage", outage::measure),
    ("origin", origin::measure),
    ("month", month::measure),
];

#[derive(Args)]
pub(crate) struct Options {
    /// Which groups [default: all]
    #[arg(value_name = "GROUP", value_parser = PossibleValuesParser::new(GROUPS.map(|(name, _)| name)))]
    groups: Vec<String>,
    /// How many slots the world has that `origin` and `month` measure with
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    slots: u64,
}

pub(crate) fn measure(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::run_for(workspace, Purpose::Up)?;
    if options.groups.is_empty() || options.groups.iter().any(|group| group == "decide" || group == "pod") {
        setup::run_for(workspace, Purpose::Measure)?;
    }
    if options.groups.is_empty() || options.groups.iter().any(|group| group == "edge") {
        setup::redis_server()?;
    }
    let builder = Builder::new(workspace, Native::Release);
    for (name, measure) in GROUPS {
        if options.groups.is_empty() || options.groups.iter().any(|group| group == name) {
            measure(&builder, &Report { group: name, slots: options.slots })?;
        }
        if interrupted() {
            return Err(Interrupted.into());
        }
    }
    Ok(())
}

/// Where a group puts its figures.
struct Report {
    group: &'static str,
    /// Of a made-up world.
    slots: u64,
}

impl Report {
    /// One figure.
    fn figure(&self, name: &str, value: impl Into<Value>, unit: &str) {
        self.line(name, value.into(), unit, None);
    }

    /// One figure beside another of the same unit, measured in the same run.
    fn compared(&self, name: &str, value: impl Into<Value>, unit: &str, other: &str, other_value: impl Into<Value>) {
        let vs = [("name", Value::from(other)), ("value", other_value.into())];
        self.line(name, value.into(), unit, Some(vs.map(|(key, value)| (key.into(), value)).into_iter().collect()));
    }

    fn line(&self, name: &str, value: Value, unit: &str, vs: Option<Map<String, Value>>) {
        let mut line = Map::new();
        line.insert("group".into(), self.group.into());
        line.insert("name".into(), format!("{}.{name}", self.group).into());
        line.insert("value".into(), value);
        line.insert("unit".into(), unit.into());
        if let Some(vs) = vs {
            line.insert("vs".into(), vs.into());
        }
        println!("{}", Value::Object(line));
    }
}
