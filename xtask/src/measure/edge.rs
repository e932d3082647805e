//! Ad breaks a second on each edge, beside a handler of the same program that touches nothing; and how often a break
//! goes to each store.

use anyhow::{Context as _, Result};

use super::{
    Report,
    load::{Load, TITLE, break_in, rounded, start},
};
use crate::{
    build::Builder,
    stack::{Runtime, Store},
};

const HELLOS: u32 = 20_000;
const BREAKS: u32 = 4_000;
const SLOTS: usize = 6;
/// The first requests find an empty instance and cold caches.
const WARM_UP: u32 = 500;

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let program = builder.bench("load")?;
    // The component is the same on `spin` and on our host of it; which one ran is told beside the figure.
    let spin = Runtime::of_spin_component();
    for (edge, runtime, store) in [
        ("spin", spin, Store::Sqlite),
        ("spin_redis", spin, Store::Redis),
        ("cloudflare", Runtime::Cloudflare, Store::Sqlite),
    ] {
        let mut stack = start(builder, edge, runtime, store, &[])?;
        let load = Load::on(&program, stack.edge_address);
        load.run("/v1/hello", WARM_UP, None)?;
        let hello = load.run("/v1/hello", HELLOS, None)?;
        load.run("/v1/breaks", WARM_UP, Some(&break_in(TITLE, SLOTS, "warm-up")))?;
        let breaks = load.run("/v1/breaks", BREAKS, Some(&break_in(TITLE, SLOTS, "load")))?;
        stack.check()?;
        stack.stop();

        let other = format!("GET /v1/hello on the same edge, run by {}", runtime.name());
        for (what, key, unit) in
            [("breaks_per_s", "per_s", "1/s"), ("break_p50_ms", "p50_ms", "ms"), ("break_p99_ms", "p99_ms", "ms")]
        {
            report.compared(&format!("{edge}.{what}"), rounded(&breaks[key]), unit, &other, rounded(&hello[key]));
        }
        let trips = breaks["store_trips"].as_object().filter(|stores| !stores.is_empty());
        for (store, trips) in trips.context("the edge sent no x-slotkeeper-store-trips")? {
            report.figure(&format!("store_round_trips_per_break.{edge}.{store}"), rounded(trips), "round trips");
        }
    }
    Ok(())
}
