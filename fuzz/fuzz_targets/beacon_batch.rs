//! A body of `POST /v1/beacons`: what is read is within its bounds, and reads the same once written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slotkeeper_core::beacon::{AGE_MS_MAX, BATCH_BEACONS_MAX, Batch, SESSION_ID_BYTES_MAX};
use slotkeeper_fuzz::{keys, seed, token_from};

fuzz_target!(init: seed("sealed", sealed()), |body: &[u8]| {
    let Ok(text) = core::str::from_utf8(body) else { return };
    let Ok(batch) = Batch::parse(text) else { return };
    assert!((1..=BATCH_BEACONS_MAX).contains(&batch.beacons.len()));
    assert!((1..=SESSION_ID_BYTES_MAX).contains(&batch.session_id.len()));
    assert!(batch.beacons.iter().all(|beacon| beacon.age_ms <= AGE_MS_MAX));
    assert_eq!(Batch::parse(&batch.to_text()).as_ref(), Ok(&batch));
});

fn sealed() -> String {
    let token = token_from(&[7; 32]).seal(&keys());
    format!("sk1 s-1 3\n{token} start 20\n{token} midpoint 4000\n")
}
