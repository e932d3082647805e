//! What the documents claim, as far as a program can check it. There is no chore here, only tests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The tests that a document names, by file: `` `path.rs`: `one`, `another` ``.
fn named_tests(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut file = None;
    let mut before = "";
    for (place, piece) in text.split('`').enumerate() {
        let is_code = place % 2 == 1;
        if !is_code {
            before = piece;
        } else if Path::new(piece).extension().is_some_and(|kind| kind == "rs") {
            file = Some(piece);
        } else if let Some(file) = file.filter(|_| matches!(before.trim(), ":" | ",")) {
            named.entry(file.into()).or_default().push(piece.into());
        } else {
            file = None;
        }
    }
    named
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let named = named_tests(&read("docs/threat-model.md"));
    let mut count = 0;
    for (file, tests) in &named {
        let source = read(file);
        for test in tests {
            count += 1;
            assert!(source.contains(&format!("fn {test}")), "docs/threat-model.md names {test}, which {file} lacks");
        }
    }
    assert!(count > 40, "only {count} found: has the way they are written changed?");
}

#[test]
fn every_fuzz_target_that_the_threat_model_names_exists() {
    let text = read("docs/threat-model.md");
    let pieces: Vec<&str> = text.split('`').collect();
    let (mut is_listed, mut count) = (false, 0);
    for (before, code) in pieces.iter().zip(&pieces[1..]).step_by(2) {
        is_listed = before.ends_with("fuzz ") || (is_listed && *before == ", ");
        if is_listed {
            count += 1;
            let target = format!("fuzz/fuzz_targets/{code}.rs");
            assert!(root().join(&target).is_file(), "docs/threat-model.md names {code}, and there is no {target}");
        }
    }
    assert!(count > 8, "only {count} found: has the way they are written changed?");
}

#[test]
fn the_spin_component_may_call_its_origin_its_redis_and_its_auction_only() {
    let manifest = read("spin.toml");
    let allowed: Vec<&str> = manifest.lines().filter(|line| line.starts_with("allowed_outbound_hosts")).collect();
    assert_eq!(allowed, [r#"allowed_outbound_hosts = ["{{ origin_url }}", "{{ redis_url }}", "{{ auction_url }}"]"#]);
}
