//! The Transparency and Consent Framework of IAB Europe, version 2: the core segment of its string.
//!
//! The places of the fields are those of IAB Tech Lab, "Consent string and vendor list formats v2", "The core string".

use super::{Identity, Permissions, bits::Bits};

const VERSION: u32 = 2;
/// `PurposesConsent`, 24 bits, after the version (6), two times (36 each), the CMP and its version (12 each), the screen
/// (6), the language (12), the vendor list's version (12), the policy's (6), two flags and the special features (12).
const PURPOSES_CONSENT_AT: usize = 152;
const PURPOSES: usize = 24;

/// To store and read what is kept of a viewer; to choose ads by limited data, which is where frequency caps belong; to
/// make a profile; to choose ads by it.
const STORE: usize = 1;
const SELECT_BASIC_ADS: usize = 2;
const MAKE_PROFILES: usize = 3;
const SELECT_PERSONALISED_ADS: usize = 4;

/// What a TCF string allows where the GDPR applies. Without one, or with one that cannot be read, nothing.
pub(super) fn permissions(text: Option<&str>) -> Permissions {
    text.and_then(read).unwrap_or(Permissions::LEAST)
}

fn read(text: &str) -> Option<Permissions> {
    let core = text.split('.').next()?; // other segments tell of vendors and of the publisher's own purposes
    let mut bits = Bits::of(core);
    if bits.take(6)? != VERSION {
        return None;
    }
    bits.skip(PURPOSES_CONSENT_AT - 6);
    let (consented, legitimate) = (bits.take(PURPOSES)?, bits.take(PURPOSES)?);
    let has = |purposes: u32, purpose: usize| purposes >> (PURPOSES - purpose) & 1 == 1;
    let may_remember = has(consented, STORE) && (has(consented, SELECT_BASIC_ADS) || has(legitimate, SELECT_BASIC_ADS));
    Some(Permissions {
        identity: if may_remember { Identity::Profile } else { Identity::Session },
        no_segments: !(has(consented, MAKE_PROFILES) && has(consented, SELECT_PERSONALISED_ADS)),
    })
}
