//! Ad breaks a second on each edge, beside a handler of the same program that touches nothing; and how often a break
//! goes to each store.

use anyhow::{Context as _, Result};

use super::{
    Report,
    load::{Load, rounded},
};
use crate::{
    build::Builder,
    http::claim_port,
    stack::{Place, Programs, Runtime, Stack, Store},
    stamp::clear,
};

const HELLOS: u32 = 20_000;
const BREAKS: u32 = 4_000;
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
        let programs = Programs::build(builder, runtime)?;
        let data = builder.workspace.target.join("measure").join(edge);
        clear(&data)?;
        let (origin_port, edge_port) = (claim_port(0, "")?, claim_port(0, "")?);
        let redis_port = (store == Store::Redis).then(|| claim_port(0, "")).transpose()?;
        let place = Place { data, contracts: &[], origin_port, edge_port, redis_port };
        let mut stack = Stack::start(builder.workspace, &programs, runtime, &place)?;
        let load = Load::on(&program, stack.edge_address);
        load.run("/v1/hello", WARM_UP, None)?;
        let hello = load.run("/v1/hello", HELLOS, None)?;
        load.run("/v1/breaks", WARM_UP, Some(&body("warm-up")))?;
        let breaks = load.run("/v1/breaks", BREAKS, Some(&body("load")))?;
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

/// A break of six slots in a title of the demo; every request a break of its own, for one profile after another.
fn body(run: &str) -> String {
    let slot = r#"{"max_duration_ms":30000}"#;
    let slots = [slot; 6].join(",");
    format!(
        r#"{{"request_id":"{run}-{{n}}","profile_id":"profile-{{profile}}","title_id":"the-lighthouse","position":"midroll","slots":[{slots}]}}"#
    )
}
