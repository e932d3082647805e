//! Breaks a second while the store fails, and how long a break takes while it hangs: on the Spin component's host of this
//! repository, which can be told to break its store. The origin is well; rows go straight to it.

use std::{thread, time::Duration};

use anyhow::Result;
use rustix::process::Signal;

use super::{
    Report,
    load::{Load, TITLE, break_in, rounded, start},
};
use crate::{
    build::Builder,
    stack::{Runtime, Store},
};

const BREAKS: u32 = 1_000;
/// One of them has uncapped demand.
const SLOTS: usize = 3;
/// Each of them waits for the deadlines.
const HANGING_BREAKS: u32 = 64;

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let program = builder.bench("load")?;
    let mut stack = start(builder, "outage", Runtime::SpinHost, Store::Sqlite, &[])?;
    let load = Load::on(&program, stack.edge_address);
    load.run("/v1/breaks", BREAKS / 2, Some(&break_in(TITLE, SLOTS, "warm-up")))?;
    let well = load.run("/v1/breaks", BREAKS, Some(&break_in(TITLE, SLOTS, "well")))?;

    let strike = |signal| {
        stack.signal_edge(signal)?;
        thread::sleep(Duration::from_millis(200)); // until it is taken
        Ok::<_, anyhow::Error>(())
    };
    strike(Signal::USR1)?;
    let failing = load.run("/v1/breaks", BREAKS, Some(&break_in(TITLE, SLOTS, "failing")))?;
    strike(Signal::USR2)?;
    let hanging = load.run("/v1/breaks", HANGING_BREAKS, Some(&break_in(TITLE, SLOTS, "hanging")))?;
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
