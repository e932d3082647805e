//! A body of `POST /v1/receipts`: nothing panics, and nothing opens but what our keys sealed, unaltered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slotkeeper_core::{
    fact::{Fact, Recording},
    receipt::{RECEIPT_CHARS_MAX, RECEIPT_LIFE_MS, ReceiptError, open, seal},
};
use slotkeeper_fuzz::{NOW, keys, pod, seed};

fuzz_target!(init: seed("sealed", seal(&facts(), &keys(), NOW)), |bytes: &[u8]| {
    let keys = keys();
    // Whoever has no key can send nothing that opens but what an edge has sealed, such as the seed.
    if let Ok(text) = core::str::from_utf8(bytes)
        && let Ok(opened) = open(text, &keys, NOW)
    {
        assert_eq!((opened, text), (facts(), seal(&facts(), &keys, NOW).as_str()), "made up, and yet it opens");
    }

    let sealed = seal(&facts(), &keys, NOW);
    assert!(sealed.len() <= RECEIPT_CHARS_MAX);
    let dies_at = NOW.plus_ms(RECEIPT_LIFE_MS);
    assert_eq!(open(&sealed, &keys, dies_at), Err(ReceiptError::Expired(dies_at)));
    let altered = altered(&sealed, bytes);
    assert!(altered == sealed || open(&altered, &keys, NOW).is_err(), "{altered} opens, and {sealed} was sealed");
});

/// `sealed` with a character of it replaced, or cut off there: as `bytes` say.
fn altered(sealed: &str, bytes: &[u8]) -> String {
    let place = bytes.iter().fold(0, |place, byte| (place * 31 + usize::from(*byte)) % sealed.len());
    let (before, from) = sealed.split_at(place);
    match bytes.first() {
        Some(byte) if byte.is_ascii_graphic() => format!("{before}{}{}", char::from(*byte), &from[1..]),
        _ => before.into(),
    }
}

fn facts() -> Vec<Fact> {
    let pod = pod();
    let row = |row: &_| Fact::Opportunity { recording: Recording::Uncommitted, row: Clone::clone(row) };
    let mut facts = vec![Fact::Decision(Box::new(pod.decision.clone()))];
    facts.extend(pod.slots.iter().map(row));
    facts
}
