//! Consent strings: whatever they hold, something is allowed or not, and no objection more allows more.
//!
//! The input is a byte of signals, then the sections in force in one byte each up to a line's end, then the TCF string and
//! the GPP string, a line each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slotkeeper_core::consent::{Permissions, Privacy};
use slotkeeper_fuzz::seed;

/// Of the IAB's documents: consent to purposes 1, 2 and 3; an opt-out under the US national section, with its GPC.
const SEED: &str = "\0\x02\x07\nCOvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA\nDBABLA~BVVVVVVVVWA.YA";

fuzz_target!(init: seed("everything", SEED), |bytes: &[u8]| {
    let Some((signals, rest)) = bytes.split_first() else { return };
    let mut lines = rest.splitn(3, |byte| *byte == b'\n');
    let gpp_sid = lines.next().unwrap_or_default().iter().map(|byte| u16::from(*byte)).collect();
    let mut text = || lines.next().and_then(|line| String::from_utf8(line.to_vec()).ok());
    let privacy = Privacy {
        gdpr: [None, Some(false), Some(true), Some(true)][usize::from(signals & 3)],
        tcf: text(),
        gpp: text(),
        gpp_sid,
        gpc: signals & 4 != 0,
        lmt: signals & 8 != 0,
    };
    let allowed = Permissions::of(&privacy);
    if privacy.gpc || privacy.lmt {
        assert_eq!(allowed, Permissions::LEAST, "{privacy:?}");
    }
    let applies = Permissions::of(&Privacy { gdpr: Some(true), ..privacy.clone() });
    let not_said = Permissions::of(&Privacy { gdpr: None, ..privacy });
    assert_eq!(applies.and(not_said), applies, "where the GDPR applies, more is allowed");
});
