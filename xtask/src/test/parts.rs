//! The parts of a test run, in their order. A check that has no tests of its own counts as one.

use std::process::Command;

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use super::{Part, browser, counts::Counts, sdk};
use crate::{
    build::{Artifact, Builder, WASM, Wasm},
    engines,
    fuzz::{self as fuzzing, Corpus},
    lint, npm,
    process::run,
    simulate,
};

pub(super) const PARTS: [Part; 14] = [
    Part { name: "fmt", about: "the sources are formatted", run: fmt },
    Part { name: "clippy", about: "no warning, natively and for the wasm targets", run: clippy },
    Part { name: "build", about: "everything that is run, served or shipped builds", run: build },
    Part { name: "cargo-test", about: "unit tests, and the edge's contract tests on every platform", run: cargo_test },
    Part { name: "fuzz", about: "a few seconds of fuzzing for everything that reads bytes from outside", run: fuzz },
    Part {
        name: "simulation",
        about: "the laws hold in simulated worlds, and every known-bad variant is caught",
        run: simulation,
    },
    Part { name: "wasm-core", about: "the core builds for both wasm targets", run: wasm_core },
    Part {
        name: "browser",
        about: "the pages in a browser, on workerd and on the Spin component's host",
        run: browser::all,
    },
    Part {
        name: "spin-smoke",
        about: "the same in a browser on `spin up`, where spin is on PATH",
        run: browser::spin_smoke,
    },
    Part {
        name: "engines",
        about: "the SDK's scenarios on browsers of televisions' age: nothing lost, nothing invented",
        run: scenarios,
    },
    Part { name: "docs", about: "the documentation builds without a warning", run: docs },
    Part {
        name: "sdk-tv",
        about: "what televisions load is as old as they are, and counts as the native core does",
        run: sdk::tv,
    },
    Part { name: "sdk-package", about: "the SDK's npm package is what it says", run: sdk_package },
    Part { name: "sdk-size", about: "the SDK keeps within its size budget", run: sdk_size },
];

/// How long each fuzz target runs: long enough for a fresh mistake, `cargo xtask fuzz` is for the others.
const FUZZ_SECONDS: u32 = 5;
/// What each skin of the SDK may weigh on the wire: wasm and JavaScript together, brotli at its best, in bytes.
const SDK_WEB_BROTLI_BYTES_MAX: u64 = 16 * 1024;
const SDK_TV_BROTLI_BYTES_MAX: u64 = 6 * 1024;

pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(PARTS.iter().map(|part| part.name))
}

fn fmt(builder: &Builder<'_>) -> Result<Counts> {
    lint::check_format(builder.workspace)?;
    Ok(Counts::passed(1))
}

fn clippy(builder: &Builder<'_>) -> Result<Counts> {
    Ok(Counts::passed(lint::clippy(builder.workspace)?))
}

fn build(builder: &Builder<'_>) -> Result<Counts> {
    let mut counts = Counts::default();
    for artifact in Artifact::ALL {
        builder.build(artifact)?;
        counts.passed += 1;
    }
    Ok(counts)
}

fn cargo_test(builder: &Builder<'_>) -> Result<Counts> {
    // The contract tests run both edges as built.
    builder.spin()?;
    builder.cloudflare()?;
    let mut command = builder.workspace.cargo("test");
    Counts::of_run(command.args(["--workspace", "--no-fail-fast"]), Counts::of_libtest)
}

fn fuzz(builder: &Builder<'_>) -> Result<Counts> {
    let programs = fuzzing::build(builder.workspace)?;
    let mut counts = Counts::default();
    for target in fuzzing::targets(builder.workspace)? {
        let found_nothing = fuzzing::run_target(builder.workspace, &programs, &target, FUZZ_SECONDS, Corpus::Fresh)?;
        counts += if found_nothing { Counts::passed(1) } else { Counts::one_failed() };
    }
    Ok(counts)
}

/// A few worlds that must be sound, and as many as it takes of each that must not.
fn simulation(builder: &Builder<'_>) -> Result<Counts> {
    let runs = [["--seeds", "25"], ["--break", "each"]];
    let mut counts = Counts::default();
    for options in runs {
        counts += if simulate::run(builder, &options)? { Counts::passed(1) } else { Counts::one_failed() };
    }
    Ok(counts)
}

/// Alone, so with no more features of its dependencies than it asks for itself.
fn wasm_core(builder: &Builder<'_>) -> Result<Counts> {
    let targets = ["wasm32-unknown-unknown", "wasm32-wasip2"];
    for target in targets {
        run(builder.workspace.cargo("build").args(["--package", "slotkeeper-core", "--target", target]))?;
    }
    Ok(Counts::passed(targets.len() as u64))
}

fn scenarios(builder: &Builder<'_>) -> Result<Counts> {
    let mut counts = Counts::of_run(&mut engines::older(builder)?, Counts::of_node)?;
    counts += Counts::of_run(&mut engines::scenarios(builder)?, Counts::of_node)?;
    Ok(counts)
}

fn docs(builder: &Builder<'_>) -> Result<Counts> {
    let doc = |arguments: &[&str]| {
        run(builder.workspace.cargo("doc").arg("--no-deps").args(arguments).env("RUSTDOCFLAGS", "-D warnings"))
    };
    doc(&["--workspace"])?;
    for Wasm { package, target, .. } in WASM {
        doc(&["--package", package, "--target", target])?;
    }
    Ok(Counts::passed(1 + WASM.len() as u64))
}

fn sdk_package(builder: &Builder<'_>) -> Result<Counts> {
    builder.sdk()?;
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=spec", "tests/sdk/package.test.mjs"]).current_dir(&builder.workspace.root);
    Counts::of_run(&mut command, Counts::of_node)
}

fn sdk_size(builder: &Builder<'_>) -> Result<Counts> {
    let mut counts = Counts::default();
    let skins = [
        ("web", builder.sdk_web()?.paths(), SDK_WEB_BROTLI_BYTES_MAX),
        // Of wasm and its twin, a set loads one: the wasm, unless it is very old.
        ("tv", builder.sdk_tv()?.paths().into_iter().take(2).collect(), SDK_TV_BROTLI_BYTES_MAX),
    ];
    for (skin, files, bytes_max) in skins {
        let sizes = npm::sizes(&files)?;
        for (file, sizes) in files.iter().zip(&sizes) {
            println!("{}: {} bytes, {} with brotli", file.display(), sizes.raw, sizes.brotli);
        }
        let total: u64 = sizes.iter().map(|sizes| sizes.brotli).sum();
        println!("{skin}: {total} of {bytes_max} bytes");
        if total > bytes_max {
            println!(
                "FAILED: make the {skin} skin smaller, or raise its budget in xtask/src/test/parts.rs and say why"
            );
        }
        counts += if total > bytes_max { Counts::one_failed() } else { Counts::passed(1) };
    }
    Ok(counts)
}
