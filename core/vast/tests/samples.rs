//! What is made of sample documents: ours, and the IAB's published ones, every one of them. Those are not in this
//! repository; where they are not to be found, their test says so and passes.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use slotkeeper_vast::verdict;

/// File, code of what is wrong (`-`: nothing), what it is good for.
const OURS: &str = include_str!("../samples/expected.txt");
const IAB: &str = include_str!("iab_samples.txt");

/// The folder of the IAB's samples: what `SLOTKEEPER_VAST_SAMPLES` names, or `shared/data/vast-samples` beside this
/// repository or a folder above it.
fn iab_samples() -> Result<PathBuf, String> {
    if let Some(folder) = env::var_os("SLOTKEEPER_VAST_SAMPLES").map(PathBuf::from) {
        return Ok(folder);
    }
    let above = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = above.ancestors().map(|folder| folder.join("shared/data/vast-samples")).find(|folder| folder.is_dir());
    found.ok_or_else(|| "SLOTKEEPER_VAST_SAMPLES is not set, and no folder above has shared/data/vast-samples".into())
}

/// Holds what is made of all samples of a folder against a table.
fn compare(folder: &Path, table: &str) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "xml"));
    files.sort();
    let line = |file: &PathBuf| {
        let verdict = verdict(&fs::read(file).expect("a sample"));
        let code = verdict.code().map_or_else(|| "-".into(), |code| code.to_string());
        format!("{}  {code}  {verdict}", file.file_name().unwrap_or_default().to_string_lossy())
    };
    let found: Vec<String> = files.iter().map(line).collect();
    let expected: Vec<&str> = table.lines().collect();
    for line in found.iter().filter(|line| !expected.contains(&line.as_str())) {
        println!("not in the table: {line}");
    }
    for line in expected.iter().filter(|line| !found.contains(&String::from(**line))) {
        println!("only in the table: {line}");
    }
    assert!(expected == found, "{} samples, {} in the table", found.len(), expected.len());
}

#[test]
fn every_sample_of_ours_is_parsed_or_refused_as_the_table_says() {
    compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("samples"), OURS);
}

#[test]
fn every_iab_sample_is_parsed_or_refused_as_the_table_says() {
    match iab_samples() {
        Ok(folder) => compare(&folder, IAB),
        Err(why) => eprintln!("skipped: {why}"),
    }
}
