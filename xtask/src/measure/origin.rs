//! What the origin accepts and what its books cost: facts accepted durably beside plain SQLite, and a made-up world from its
//! log to the lake's tables, with time, memory and bytes.
//!
//! Steps whose commands this build has not are skipped, and say so.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Report,
    load::rounded,
    told::{Told, bytes_of, rate, seconds, tables_of, tenths},
};
use crate::{
    build::Builder,
    http::{claim_port, loopback, wait_for_listener},
    origin::{Origin, Secrets},
    process::Process,
    stamp::clear,
};

/// Of a thousand facts each.
const BATCHES: u32 = 100;
const CONNECTIONS: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(30);

/// The same question of the facts as they came and of the counts by hour: how many slots each reason left empty.
const FROM_FACTS: &str = "SELECT unfilled_reason, count(*) FROM fct_ad_opportunities GROUP BY ALL ORDER BY ALL";
const FROM_HOURS: &str = "SELECT unfilled_reason, sum(slots) FROM agg_slots_hourly GROUP BY ALL ORDER BY ALL";
/// What folding is, said in SQL, without elections and prices: of each ad, how many of its slots began, and got to their ends.
const FOLD_IN_SQL: &str = "SELECT o.ad_id, count(*), count(s.event), count(c.event)
    FROM (SELECT DISTINCT opportunity_id, ad_id, record_id FROM raw_opportunities WHERE outcome = 'filled') o
    LEFT JOIN (SELECT DISTINCT opportunity_id, ad_id, record_id, event FROM raw_beacons
        WHERE event = 'start' AND invalid_traffic IS NULL) s USING (opportunity_id, ad_id, record_id)
    LEFT JOIN (SELECT DISTINCT opportunity_id, ad_id, record_id, event FROM raw_beacons
        WHERE event = 'complete' AND invalid_traffic IS NULL) c USING (opportunity_id, ad_id, record_id)
    GROUP BY 1 ORDER BY 1";

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let program = builder.origin()?;
    let folder = builder.workspace.target.join("measure").join("origin");
    clear(&folder)?;
    accept(builder, report, &program, &folder.join("accept"))?;
    world(report, &program, &folder.join("world"))?;
    clear(&folder) // a world is large
}

/// Facts a second that are durable when they are acknowledged, while the live fold works beside.
fn accept(builder: &Builder<'_>, report: &Report, program: &Path, data: &Path) -> Result<()> {
    let collect = builder.bench("collect")?;
    fs::create_dir_all(data)?;
    let secrets = Secrets::of(program, data)?;
    let listen = loopback(claim_port(0, "")?);
    let origin = Origin { program, data: data.into(), listen, secrets: &secrets };
    let mut serving = Process::start_logged("origin", &mut origin.serve_alone(), &data.join("origin.log"))?;
    wait_for_listener(listen, PATIENCE, || serving.check())?;
    let mut command = Command::new(collect);
    origin.give_secrets(&mut command);
    command.arg(listen.to_string()).args([BATCHES.to_string(), CONNECTIONS.to_string()]).arg(data.join("plain.db"));
    let told = Told::by(&mut command)?;
    serving.check()?;
    serving.stop();
    let measured: Value = serde_json::from_str(&told.output).context("collect answered no JSON")?;
    for kind in ["opportunities", "beacons"] {
        let of = &measured[kind];
        let beside = "the same rows in batches of 1,000 into a table of SQLite, fsynced";
        let name = format!("accept.{kind}_per_s");
        report.compared(&name, rounded(&of["per_s"]), "1/s", beside, rounded(&of["sqlite_per_s"]));
    }
    Ok(())
}

/// A world from nothing to its books.
fn world(report: &Report, program: &Path, data: &Path) -> Result<()> {
    let slots = report.slots;
    let run = |words: &[&str]| {
        let mut command = Command::new(program);
        Told::by(command.args(words).arg("--data").arg(data))
    };
    let has = |command: &str| {
        let help = Command::new(program).args([command, "--help"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let has = help.is_ok_and(|status| status.success());
        if !has {
            eprintln!("skipped: this build has no `slotkeeper {command}`");
        }
        has
    };
    let made = run(&["generate", "--slots", &slots.to_string()])?;
    let truth: Value = serde_json::from_slice(&fs::read(data.join("truth/truth.json"))?)?;
    let facts = truth["sent"]["facts"].as_u64().context("the truth says no facts")?;
    let per_s = |count: u64, told: &Told| rate(count, told.took);
    report.figure("world.slots", slots, "slots");
    report.figure("world.facts", facts, "facts");
    report.figure("generate.slots_per_s", per_s(slots, &made), "1/s");
    report.figure("generate.peak_rss_mb", made.rss_mb, "MB");
    report.figure("log.bytes_per_slot", bytes_of(&data.join("log.db"))? / slots, "bytes");
    let json = truth["sent"]["bytes"].as_u64().unwrap_or_default();
    report.figure("log.json_bytes_per_slot", json / slots, "bytes");

    if !has("lake") {
        return Ok(());
    }
    let advanced = run(&["lake", "advance"])?;
    report.figure("lake.advance_facts_per_s", per_s(facts, &advanced), "1/s");
    report.figure("lake.advance_s", seconds(advanced.took), "s");
    report.figure("lake.advance_peak_rss_mb", advanced.rss_mb, "MB");
    let lake = data.join("lake");
    for (name, table) in tables_of(data)? {
        report.figure(&format!("lake.{name}_bytes_per_slot"), tenths(bytes_of(&table)? * 10 / slots), "bytes");
    }
    report.figure("lake.bytes_per_slot", tenths(bytes_of(&lake)? * 10 / slots), "bytes");
    let again = run(&["lake", "advance"])?;
    report.figure("lake.advance_nothing_s", seconds(again.took), "s");
    run(&["generate", "--check"]).context("the lake is not what was decided to happen")?;

    if has("sql") {
        let (from_hours, from_facts) = (run(&["sql", FROM_HOURS])?, run(&["sql", FROM_FACTS])?);
        let beside = "the same question of fct_ad_opportunities";
        let compared = |name: &str, value, other| report.compared(name, value, "s", beside, other);
        compared("sql.unfilled_by_hour_counts_s", seconds(from_hours.took), seconds(from_facts.took));
        let in_sql = run(&["sql", FOLD_IN_SQL])?;
        let beside = "joining and counting the same Parquet in plain DuckDB, without elections, prices or tables";
        report.compared("lake.fold_s", seconds(advanced.took), "s", beside, seconds(in_sql.took));
        let beside = "that SQL in DuckDB";
        report.compared("lake.fold_peak_rss_mb", advanced.rss_mb, "MB", beside, in_sql.rss_mb);
    }
    if has("close") {
        let day = run(&["close", "day", "2026-10-15"])?;
        report.figure("close.day_s", seconds(day.took), "s");
        let month = run(&["close", "month", "2026-10"])?;
        report.figure("close.month_s", seconds(month.took), "s");
    }
    Ok(())
}
