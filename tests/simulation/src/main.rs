//! Runs worlds by seed until a law does not hold or there are no more.

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use slotkeeper_simulation::{
    broken::Broken,
    faults::Fault,
    report::{Outcome, Summary, violation_text},
    world::{Plan, run},
};

/// Simulates worlds of edges, stores, viewers and an origin, and checks the laws in each
#[derive(Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Options {
    /// How many worlds
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first one's seed
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// How many breaks are opened in a world, about
    #[arg(long, default_value_t = BREAKS)]
    breaks: u64,
    /// Which faults there are: `all`, `none`, or names separated by commas
    #[arg(long, default_value = "all")]
    faults: String,
    /// Simulates a known-bad variant, which a law must catch; `list` names them, `each` tries all
    #[arg(long = "break", value_name = "NAME")]
    broken: Option<String>,
    /// Lets only laws be violated whose name begins so: which law sees what
    #[arg(long, default_value = "")]
    law: String,
    /// Prints everything that happens; for one seed
    #[arg(long)]
    trace: bool,
}

/// How many breaks a world has: about three times as many slots.
const BREAKS: u64 = 380;
/// How many lines of a trace are shown around a violation.
const TRACE_LINES: usize = 60;
/// How many worlds a known-bad variant may survive.
const SEEDS_UNTIL_CAUGHT: u64 = 50;

/// So many worlds are enough for every law to be checked and every fault to strike.
const SEEDS_THAT_REACH_ALL: u64 = 25;

fn main() -> ExitCode {
    match perform(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all laws held; of known-bad variants tried each, whether all were caught.
fn perform(options: &Options) -> Result<bool> {
    let faults = faults(&options.faults)?;
    let plan = |broken| Plan {
        seed: options.first_seed,
        breaks: options.breaks,
        faults: faults.clone(),
        broken,
        laws: options.law.clone(),
        is_traced: options.trace,
    };
    match options.broken.as_deref() {
        None => Ok(simulate(options, &plan(None))),
        Some("list") => {
            for broken in Broken::ALL {
                println!("{:<28} {}", broken.name(), broken.about());
            }
            Ok(true)
        }
        Some("each") => Ok(try_each(options, &plan)),
        Some(name) => {
            let known = Broken::ALL.iter().find(|broken| broken.name() == name);
            let broken = *known.with_context(|| format!("no known-bad variant is named {name:?}; see --break list"))?;
            Ok(simulate(options, &plan(Some(broken))))
        }
    }
}

/// Every known-bad variant must be caught within a bounded number of worlds.
fn try_each(options: &Options, plan: &(dyn Fn(Option<Broken>) -> Plan + Sync)) -> bool {
    let next = AtomicUsize::new(0);
    let caught = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while let Some(broken) = Broken::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = (0..SEEDS_UNTIL_CAUGHT).find_map(|n| {
                        let seed = options.first_seed + n;
                        run(&Plan { seed, ..plan(Some(*broken)) }).violation.map(|violation| (n + 1, violation))
                    });
                    let name = broken.name();
                    if let Some((seeds, violation)) = found {
                        let what: String = violation.what.chars().take(160).collect();
                        println!("{name:<28} caught in world {seeds:>2} by law {}: {what}", violation.law);
                        *caught.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    } else {
                        println!("{name:<28} NOT CAUGHT in {SEEDS_UNTIL_CAUGHT} worlds");
                    }
                }
            });
        }
    });
    let caught = caught.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{caught} of {} known-bad variants caught", Broken::ALL.len());
    caught == Broken::ALL.len()
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn faults(text: &str) -> Result<Vec<Fault>> {
    match text {
        "all" => Ok(Fault::ALL.to_vec()),
        "none" => Ok(Vec::new()),
        names => names
            .split(',')
            .map(|name| {
                let known = Fault::ALL.iter().find(|fault| fault.name() == name.trim());
                let all = || Fault::ALL.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(", ");
                known.copied().with_context(|| format!("no fault is named {name:?}; there are all, none, {}", all()))
            })
            .collect(),
    }
}

/// Runs worlds on every core. Whether no law was violated; the violation with the least seed is told. In many worlds with
/// all faults, every law must have been checked and every fault have struck, or nothing was shown.
fn simulate(options: &Options, plan: &Plan) -> bool {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let stop_at = AtomicU64::new(u64::MAX);
    let shared = Mutex::new((Summary::default(), None::<Outcome>, Instant::now()));
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let seed = plan.seed + n;
                    if n >= options.seeds || seed > stop_at.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run(&Plan { seed, ..plan.clone() });
                    if options.trace {
                        outcome.trace.iter().for_each(|(_, line)| println!("{line}"));
                    }
                    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    shared.0.add(&outcome);
                    if shared.2.elapsed().as_secs() >= 2 {
                        shared.2 = Instant::now();
                        eprintln!("{} of {} seeds, {:.0?}", shared.0.seeds, options.seeds, began.elapsed());
                    }
                    if outcome.violation.is_some() {
                        stop_at.fetch_min(seed, Ordering::Relaxed);
                        if shared.1.as_ref().is_none_or(|first| seed < first.seed) {
                            shared.1 = Some(outcome);
                        }
                    }
                }
            });
        }
    });
    let (summary, violated, _) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{}", summary.text(began.elapsed()));
    let Some(outcome) = violated else {
        println!("no law was violated");
        let is_meant_to_reach_all = summary.seeds >= SEEDS_THAT_REACH_ALL && plan.faults.len() == Fault::ALL.len();
        let missed = if is_meant_to_reach_all { summary.never_reached() } else { Vec::new() };
        for what in &missed {
            println!("but {what}");
        }
        return missed.is_empty();
    };
    let again = run(&Plan { seed: outcome.seed, is_traced: true, ..plan.clone() });
    println!("{}", violation_text(&again, &command(options, outcome.seed), TRACE_LINES));
    if again.hash != outcome.hash {
        println!("and the seed did not replay as it ran: {:016x} is not {:016x}", again.hash, outcome.hash);
    }
    false
}

fn command(options: &Options, seed: u64) -> String {
    let mut words = vec![format!("cargo xtask simulate --seeds 1 --first-seed {seed}")];
    if options.breaks != BREAKS {
        words.push(format!("--breaks {}", options.breaks));
    }
    if options.faults != "all" {
        words.push(format!("--faults {}", options.faults));
    }
    if !options.law.is_empty() {
        words.push(format!("--law {:?}", options.law));
    }
    words.extend(options.broken.iter().map(|broken| format!("--break {broken}")));
    words.join(" ")
}
