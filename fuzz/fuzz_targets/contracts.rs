//! A contracts file, TOML or (if it begins with a brace) JSON: it is refused with what is wrong, or it is booked, booking
//! it again changes nothing, and a plan can be made of it that the edges take.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use slotkeeper::{
    contracts::{Contracts, Format, ImportError},
    plan::{Feedback, make},
};
use slotkeeper_core::plan::Plan;
use slotkeeper_fuzz::{NOW, keys, seed};

fuzz_target!(init: seed("demo", include_str!("../../worker/demo/contracts.toml")), |bytes: &[u8]| {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let format = if text.starts_with('{') { Format::Json } else { Format::Toml };
    let mut contracts = Contracts::open(Path::new(":memory:")).expect("a database in memory");
    match contracts.import("fuzz", text, format) {
        Ok(_) => {}
        Err(ImportError::Invalid(invalid)) => {
            assert!(!invalid.faults.is_empty());
            let booked = contracts.booked().expect("nothing was booked");
            assert!(booked.flights.is_empty() && booked.titles.is_empty(), "it was refused and yet booked");
            return;
        }
        Err(error) => panic!("neither booked nor refused: {error}"),
    }
    let again = contracts.import("fuzz", text, format).expect("it was booked before");
    assert!(again.iter().all(|(_, tally)| tally.written == 0), "booking it again changed it: {again:?}");
    contracts.booked().expect("what is booked can be read");
    let made = make(&mut contracts, &Feedback::default(), Some("http://origin.example"), &keys(), NOW)
        .unwrap_or_else(|error| panic!("it was booked, and no plan can be made of it: {error}"));
    let plan = Plan::verify(&made.bytes, &keys()).expect("the edges take our plans");
    assert_eq!(plan.flight_count(), made.source.flights.len());
});
