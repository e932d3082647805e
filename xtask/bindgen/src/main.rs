//! Turns a wasm file of ours into the wasm and JavaScript that a browser or a worker loads.
//!
//! This is `wasm-bindgen` as a library, so that `Cargo.lock` pins its version together with the crate's and nothing has
//! to be installed. It is a package of its own because it takes a minute to compile and `xtask` must not.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use wasm_bindgen_cli_support::Bindgen;

/// Writes `OUT_DIR/NAME.js` and `OUT_DIR/NAME_bg.wasm`, for the web with `NAME.d.ts`
#[derive(Parser)]
struct Arguments {
    /// Where the output will be loaded
    #[arg(long, value_enum)]
    target: Target,
    /// What cargo built for wasm32-unknown-unknown
    input: PathBuf,
    /// Where to write
    out_dir: PathBuf,
    /// What to call the output
    name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// A browser: an ES module that fetches its wasm
    Web,
    /// A Cloudflare-style worker: an ES module that imports its wasm
    Worker,
}

fn main() -> anyhow::Result<()> {
    let Arguments { target, input, out_dir, name } = Arguments::parse();
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&input).out_name(&name).remove_name_section(true).remove_producers_section(true);
    match target {
        // As a library, wasm-bindgen leaves out the default path of the wasm file unless told.
        Target::Web => bindgen.omit_default_module_path(false).web(true)?.typescript(true),
        // After a panic the worker makes itself a new wasm instance: for that it needs the abort handler and the reset.
        Target::Worker => {
            bindgen.module(true)?.typescript(false).reset_state_function(true).force_enable_abort_handler(true)
        }
    };
    bindgen.generate(&out_dir)
}
