//! What the program says of what it books.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{fs, path::Path};

use slotkeeper::{
    books::{flights, open_ledger},
    clock,
    contracts::{Contracts, Format},
    data_dir::DataDir,
};
use slotkeeper_books::ledger::{Closing, Mode};
use support::program;

/// Runs `slotkeeper ledger`. Whether it went well, and what it said on both its outputs.
fn ledger(data: &Path, words: &[&str]) -> (bool, String, String) {
    let output = program().arg("ledger").args(words).arg("--data").arg(data).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.success(), out, err)
}

#[test]
fn a_remedy_books_nothing_while_the_lake_is_away_and_says_that_it_booked_when_only_the_files_failed() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let mut contracts = Contracts::open(&data.contracts()).unwrap();
    contracts.import("contracts.toml", include_str!("../demo/contracts.toml"), Format::Toml).unwrap();
    let booked = flights(&contracts.booked().unwrap(), clock::now());
    let flight = booked.iter().find(|flight| flight.committed > 10).unwrap();
    let mut book = open_ledger(&data, None).unwrap();
    book.close(&[Closing { flight, delivered: flight.committed - 10 }], &[], clock::now(), Mode::Write).unwrap();

    fs::write(data.lake_place(), "no place").unwrap();
    for remedy in [&["credit", &flight.slug, "--impressions", "4"][..], &["void", &flight.slug]] {
        let (went_well, out, _) = ledger(folder.path(), remedy);
        assert!(!went_well && out.is_empty(), "{out}");
        let (went_well, _, err) = ledger(folder.path(), &[remedy, &["--dry-run"]].concat());
        assert!(went_well, "{err}");
    }
    assert_eq!(book.entries().unwrap().len(), 1, "the mint");
    fs::remove_file(data.lake_place()).unwrap();

    fs::create_dir_all(data.lake()).unwrap();
    fs::write(data.lake().join("makegoods"), "in the way").unwrap();
    let (went_well, out, err) = ledger(folder.path(), &["credit", &flight.slug, "--impressions", "4"]);
    assert!(!went_well && out.starts_with("credit: posted"), "{out}");
    assert!(err.contains("it is booked, do not do it again") && err.contains("makegoods"), "{err}");
    assert_eq!(book.entries().unwrap().len(), 2);
}
