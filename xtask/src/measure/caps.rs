//! What a cap check adds to a break: the same break with three capped ads and with three uncapped ones, in turn, on one
//! edge in one run.

use anyhow::Result;
use serde_json::Value;

use super::{
    Report,
    load::{Load, break_in, rounded, start},
};
use crate::{
    build::Builder,
    stack::{Runtime, Store},
};

const CONTRACTS: &str = "xtask/bench/contracts.toml";
/// Each title is measured so many times, in turn, so that what else the machine does falls on both.
const ROUNDS: u32 = 4;
const BREAKS: u32 = 1_000;
/// All of them are filled, in either title.
const SLOTS: usize = 3;

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let program = builder.bench("load")?;
    for runtime in [Runtime::of_spin_component(), Runtime::Cloudflare] {
        let folder = format!("caps-{}", runtime.name());
        let mut stack = start(builder, &folder, runtime, Store::Sqlite, &[CONTRACTS])?;
        let load = Load::on(&program, stack.edge_address);
        for title in ["with-caps", "without-caps"] {
            load.run("/v1/breaks", BREAKS / 2, Some(&break_in(title, SLOTS, "warm-up")))?;
        }
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let of = |title| load.run("/v1/breaks", BREAKS, Some(&break_in(title, SLOTS, &format!("round-{round}"))));
            with.push(of("with-caps")?);
            without.push(of("without-caps")?);
        }
        stack.check()?;
        stack.stop();
        let edge = if runtime == Runtime::Cloudflare { "cloudflare" } else { "spin" };
        let other = format!("the same break without caps, run by {}", runtime.name());
        for (what, key, unit) in [("break_p50_ms", "p50_ms", "ms"), ("breaks_per_s", "per_s", "1/s")] {
            let name = format!("{edge}.{what}");
            report.compared(&name, rounded(&mean(&with, key)), unit, &other, rounded(&mean(&without, key)));
        }
    }
    Ok(())
}

fn mean(rounds: &[Value], key: &str) -> Value {
    let sum: f64 = rounds.iter().filter_map(|round| round[key].as_f64()).sum();
    (sum / f64::from(ROUNDS)).into()
}
