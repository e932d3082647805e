//! Breaks a second while the store fails, and how long a break takes while it hangs: on the Spin component's host of this
//! repository, which can be told to break its store. The origin is well; rows go straight to it.

use std::{thread, time::Duration};

use anyhow::Result;
use rustix::process::Signal;

use super::{
    Report,
    load::{Load, rounded},
};
use crate::{
    build::Builder,
    http::claim_port,
    stack::{Place, Programs, Runtime, Stack},
    stamp::clear,
};

const BREAKS: u32 = 1_000;
/// Each of them waits for the deadlines.
const HANGING_BREAKS: u32 = 64;

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let program = builder.bench("load")?;
    let programs = Programs::build(builder, Runtime::SpinHost)?;
    let data = builder.workspace.target.join("measure").join("outage");
    clear(&data)?;
    let place = Place {
        data,
        contracts: &[],
        origin_port: claim_port(0, "")?,
        edge_port: claim_port(0, "")?,
        redis_port: None,
    };
    let mut stack = Stack::start(builder.workspace, &programs, Runtime::SpinHost, &place)?;
    let load = Load::on(&program, stack.edge_address);
    load.run("/v1/breaks", BREAKS / 2, Some(&body("warm-up")))?;
    let well = load.run("/v1/breaks", BREAKS, Some(&body("well")))?;

    let strike = |signal| {
        stack.signal_edge(signal)?;
        thread::sleep(Duration::from_millis(200)); // until it is taken
        Ok::<_, anyhow::Error>(())
    };
    strike(Signal::USR1)?;
    let failing = load.run("/v1/breaks", BREAKS, Some(&body("failing")))?;
    strike(Signal::USR2)?;
    let hanging = load.run("/v1/breaks", HANGING_BREAKS, Some(&body("hanging")))?;
    stack.check()?;
    stack.stop();

    let while_well = "the same edge while its store is well";
    let compared =
        |name: &str, value, unit, well| report.compared(name, rounded(value), unit, while_well, rounded(well));
    compared("store_fails.breaks_per_s", &failing["per_s"], "1/s", &well["per_s"]);
    compared("store_fails.break_p99_ms", &failing["p99_ms"], "ms", &well["p99_ms"]);
    compared("store_hangs.break_p50_ms", &hanging["p50_ms"], "ms", &well["p50_ms"]);
    compared("store_hangs.break_p99_ms", &hanging["p99_ms"], "ms", &well["p99_ms"]);
    Ok(())
}

/// A break that has uncapped demand.
fn body(run: &str) -> String {
    let slots = [r#"{"max_duration_ms":30000}"#; 3].join(",");
    format!(
        r#"{{"request_id":"{run}-{{n}}","profile_id":"profile-{{profile}}","title_id":"the-lighthouse","position":"midroll","slots":[{slots}]}}"#
    )
}
