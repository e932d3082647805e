//! That nothing is allocated is no matter of counting: a crate without `std` has no way to, unless it or one that it is made of
//! names the crate `alloc`. So what the rules and the televisions' module are made of is listed here, and is read for that name.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{env, fs, path::Path, process::Command};

/// Each crate, where it lies, and the crates that it is made of.
const CRATES: [(&str, &str, &[&str]); 3] = [
    ("slotkeeper-beacon", "core/beacon", &[]),
    ("slotkeeper-sdk-core", "sdk/core", &["slotkeeper-beacon"]),
    ("slotkeeper-sdk-tv", "sdk/tv", &["slotkeeper-beacon", "slotkeeper-sdk-core"]),
];

#[test]
fn the_rules_and_the_televisions_module_are_made_of_nothing_else() {
    for (name, _, made_of) in CRATES {
        // As the module is compiled: without features that others ask for.
        let mut cargo = Command::new(env::var_os("CARGO").unwrap());
        cargo.args(["tree", "--offline", "--package", name, "--edges", "normal", "--prefix", "none"]);
        cargo.args(["--format", "{p} {f}", "--target", "wasm32v1-none"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        let mut found: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        found.sort_unstable();
        found.dedup();
        let expected: Vec<&str> = made_of.iter().copied().chain([name]).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn none_of_them_has_std_or_names_the_crate_that_allocates() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (name, folder, _) in CRATES {
        let source = workspace.join(folder).join("src");
        let root = fs::read_to_string(source.join("lib.rs")).unwrap();
        let is_without_std = ["#![no_std]", "#![cfg_attr(target_family = \"wasm\", no_std)]"];
        assert!(root.lines().any(|line| is_without_std.contains(&line)), "{name}");
        for entry in fs::read_dir(source).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let text = fs::read_to_string(&path).unwrap();
                let names_it = text.contains("extern crate alloc") || text.contains("global_allocator");
                assert!(!names_it, "{}", path.display());
            }
        }
    }
}
