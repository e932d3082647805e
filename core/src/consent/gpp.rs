//! The Global Privacy Platform of the IAB Tech Lab: a header that names sections, and the sections.
//!
//! The header and the numbers of the sections are those of the "Global Privacy Platform String" 1.0 ("Consent String
//! Specification" and "Section Information"); the fields of a section are those of its own document under `Sections`.
//! Of each section only the beginning is read, up to its opt-outs: the lists behind it can stand for far more than their
//! own length, and nothing here is decided by them.

use alloc::vec::Vec;

use super::{Permissions, Privacy, bits::Bits, tcf};

const HEADER_TYPE: u32 = 3;
const HEADER_VERSION: u32 = 1;
/// The most sections in one string; fewer than thirty are defined.
const SECTIONS_IN_STRING_MAX: usize = 64;

const TCF_EU: u16 = 2;
const US_PRIVACY: u16 = 6;
const US_NATIONAL: u16 = 7;
/// With Virginia, Colorado, Connecticut, Florida, Montana, Oregon, Texas, Delaware, Nebraska, New Hampshire, New Jersey
/// and Tennessee up to …
const CALIFORNIA: u16 = 8;
/// … the last that is read here.
const MINNESOTA: u16 = 23;
const UTAH: u16 = 11;
const IOWA: u16 = 18;

const OPTED_OUT: u32 = 1;
/// A value of two bits that is not defined.
const UNDEFINED: u32 = 3;

/// What the GPP of a request allows. The sections in force are those that the request names; if it names none, all that
/// the string has. What is in force and is absent, unreadable or unknown here allows nothing.
pub(super) fn permissions(privacy: &Privacy) -> Permissions {
    let read = privacy.gpp.as_deref().map(sections);
    let in_force: Vec<u16> = match (&read, privacy.gpp_sid.is_empty()) {
        (None, true) => return Permissions::default(),
        (Some(None), _) => return Permissions::LEAST,
        (Some(Some(sections)), true) => sections.iter().map(|(id, _)| *id).collect(),
        (_, false) => privacy.gpp_sid.clone(),
    };
    let sections = read.flatten().unwrap_or_default();
    let text_of = |id| sections.iter().find(|(known, _)| *known == id).map(|(_, text)| *text);
    let of = |id: u16| match id {
        // It may come by itself, as well as in the GPP; what both have must be allowed by both, and by one at least.
        TCF_EU => match (text_of(id), privacy.tcf.as_deref()) {
            (Some(one), Some(other)) => tcf::permissions(Some(one)).and(tcf::permissions(Some(other))),
            (one, other) => tcf::permissions(one.or(other)),
        },
        _ if text_of(id).and_then(|text| is_opted_out(id, text)) == Some(false) => Permissions::default(),
        _ => Permissions::LEAST,
    };
    // Who says that the GDPR does not apply is not asked for its section that happens to be in the string.
    let counts = |id: &u16| *id != TCF_EU || !privacy.gpp_sid.is_empty() || privacy.gdpr != Some(false);
    in_force.into_iter().filter(counts).map(of).fold(Permissions::default(), Permissions::and)
}

/// The sections of a string by their ids; nothing if it cannot be read.
fn sections(text: &str) -> Option<Vec<(u16, &str)>> {
    let mut parts = text.split('~');
    let ids = header(parts.next()?)?;
    let texts: Vec<&str> = parts.take(SECTIONS_IN_STRING_MAX + 1).collect();
    (ids.len() == texts.len()).then(|| ids.into_iter().zip(texts).collect())
}

/// The ids of the sections: 12 bits say how many entries, each one id or a run of them, counted from the one before.
fn header(text: &str) -> Option<Vec<u16>> {
    let mut bits = Bits::of(text);
    if bits.take(6)? != HEADER_TYPE || bits.take(6)? != HEADER_VERSION {
        return None;
    }
    let entries = bits.take(12)?;
    let (mut ids, mut last) = (Vec::new(), 0u32);
    for _ in 0..entries {
        let is_run = bits.take(1)? == 1;
        let first = last.checked_add(bits.take_fibonacci()?)?;
        last = if is_run { first.checked_add(bits.take_fibonacci()?)? } else { first };
        for id in first..=last {
            if ids.len() >= SECTIONS_IN_STRING_MAX {
                return None;
            }
            ids.push(u16::try_from(id).ok()?);
        }
    }
    Some(ids)
}

/// Whether a section of a US law says that its viewer has opted out of the sale or the sharing of their data or of
/// targeted advertising; nothing if it cannot be read.
fn is_opted_out(id: u16, text: &str) -> Option<bool> {
    // Where the opt-outs stand, in bits, and how many of two bits each there are on end: behind the version (6 bits) and
    // the notices, of two bits each. They are of sale, sharing and targeted advertising, as far as the law knows them.
    let (versions, at, count) = match id {
        US_PRIVACY => return us_privacy(text),
        US_NATIONAL => (1..=2, 18, 3),
        UTAH | IOWA => (1..=1, 14, 2), // one notice more, of sensitive data
        CALIFORNIA..=MINNESOTA => (1..=1, 12, 2),
        _ => return None,
    };
    let mut segments = text.split('.');
    let mut core = Bits::of(segments.next()?);
    if !versions.contains(&core.take(6)?) {
        return None;
    }
    core.skip(at - 6);
    let mut is_out = false;
    for _ in 0..count {
        match core.take(2)? {
            OPTED_OUT => is_out = true,
            UNDEFINED => return None,
            _ => {}
        }
    }
    for segment in segments.take(2) {
        let mut bits = Bits::of(segment);
        is_out |= bits.take(2)? == 1 && bits.take(1)? == 1; // the segment of Global Privacy Control
    }
    Some(is_out)
}

/// The "US Privacy String": version, notice given, opted out of sale, covered by the LSPA.
fn us_privacy(text: &str) -> Option<bool> {
    match text.as_bytes() {
        [b'1', b'Y' | b'N' | b'-', sale, b'Y' | b'N' | b'-'] => match sale.to_ascii_uppercase() {
            b'Y' => Some(true),
            b'N' | b'-' => Some(false),
            _ => None,
        },
        _ => None,
    }
}
