//! What each signal allows, read as the specification. The strings are of the IAB's documents and of the test data of
//! the crate `iab_gpp` 0.1.2, which decodes them whole; those marked so are of our own making, bit by bit.

use std::{format, string::ToString as _, vec, vec::Vec};

use proptest::prelude::*;

use super::*;

/// Everything, nothing beyond the session, and the two between.
const ALL: Permissions = Permissions { identity: Identity::Profile, no_segments: false };
const NO_SEGMENTS: Permissions = Permissions { identity: Identity::Profile, no_segments: true };
const SESSION: Permissions = Permissions { identity: Identity::Session, no_segments: false };
const LEAST: Permissions = Permissions::LEAST;

/// Of the specification: consent to purposes 1, 2 and 3.
const PURPOSES_1_2_3: &str = "COvFyGBOvFyGBAbAAAENAPCAAOAAAAAAAAAAAEEUACCKAAA";
/// Consent to nothing.
const NO_PURPOSE: &str = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA";

/// A core string with these purposes consented to, and these claimed as legitimate interests. Of our own making.
fn tcf(consented: &[usize], legitimate: &[usize]) -> String {
    let mut bits = vec![0u8; 216];
    bits[4] = 1; // version 2
    for purpose in consented {
        bits[151 + purpose] = 1;
    }
    for purpose in legitimate {
        bits[175 + purpose] = 1;
    }
    text_of(&bits)
}

fn text_of(bits: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let sextet = |bits: &[u8]| bits.iter().chain(&[0; 6]).take(6).fold(0, |sum, bit| sum << 1 | usize::from(*bit));
    bits.chunks(6).map(|chunk| char::from(ALPHABET[sextet(chunk)])).collect()
}

/// A header that names these sections one by one. Of our own making.
fn header(ids: &[u16]) -> String {
    let number = |value: u32, bits: usize| (0..bits).rev().map(move |bit| u8::from(value >> bit & 1 == 1));
    let mut bits: Vec<u8> =
        number(3, 6).chain(number(1, 6)).chain(number(u32::try_from(ids.len()).unwrap(), 12)).collect();
    let mut last = 0;
    for id in ids {
        bits.push(0);
        bits.extend(fibonacci(id - last));
        last = *id;
    }
    text_of(&bits)
}

fn fibonacci(mut value: u16) -> Vec<u8> {
    let mut numbers = vec![1, 2];
    while numbers[numbers.len() - 1] <= value {
        numbers.push(numbers[numbers.len() - 2] + numbers[numbers.len() - 1]);
    }
    numbers.retain(|number| *number <= value);
    let mut bits = vec![0; numbers.len()];
    for (place, number) in numbers.iter().enumerate().rev() {
        if *number <= value {
            value -= number;
            bits[place] = 1;
        }
    }
    bits.push(1);
    bits
}

fn gdpr(applies: Option<bool>, tcf: Option<&str>) -> Permissions {
    Permissions::of(&Privacy { gdpr: applies, tcf: tcf.map(Into::into), ..Privacy::default() })
}

fn gpp(text: &str, sid: &[u16]) -> Permissions {
    Permissions::of(&Privacy { gpp: Some(text.into()), gpp_sid: sid.to_vec(), ..Privacy::default() })
}

#[test]
fn without_a_signal_everything_is_allowed() {
    assert_eq!(Permissions::of(&Privacy::default()), ALL);
    assert!(ALL.is_default());
}

#[test]
fn who_objects_is_remembered_for_a_session_only_and_is_in_no_segment() {
    for privacy in [Privacy { gpc: true, ..Privacy::default() }, Privacy { lmt: true, ..Privacy::default() }] {
        assert_eq!(Permissions::of(&privacy), LEAST, "{privacy:?}");
        let consented = Privacy { gdpr: Some(true), tcf: Some(tcf(&[1, 2, 3, 4], &[])), ..privacy };
        assert_eq!(Permissions::of(&consented), LEAST, "consent elsewhere does not outweigh an objection");
    }
}

#[test]
fn where_the_gdpr_applies_each_purpose_is_asked_for() {
    let cases: [(&str, Option<bool>, Option<String>, Permissions); 14] = [
        ("no string", Some(true), None, LEAST),
        ("an empty string", Some(true), Some(String::new()), LEAST),
        ("not base64url", Some(true), Some("C*".into()), LEAST),
        ("version 1", Some(true), Some("BOEFEAyOEFEAyAHABDENAI4AAAB9vABAASA".into()), LEAST),
        ("cut off before its purposes end", Some(true), Some(tcf(&[1, 2, 3, 4], &[])[..33].into()), LEAST),
        ("consent to nothing", Some(true), Some(NO_PURPOSE.into()), LEAST),
        ("1, 2 and 3", Some(true), Some(PURPOSES_1_2_3.into()), NO_SEGMENTS),
        ("1, 2, 3 and 4", Some(true), Some(tcf(&[1, 2, 3, 4], &[])), ALL),
        ("1, and 2 by legitimate interest", Some(true), Some(tcf(&[1, 3, 4], &[2])), ALL),
        ("1 by legitimate interest, which it cannot be", Some(true), Some(tcf(&[2, 3, 4], &[1])), SESSION),
        ("2, 3 and 4", Some(true), Some(tcf(&[2, 3, 4], &[])), SESSION),
        (
            "1, 2, and 3 and 4 by legitimate interest, which they cannot be",
            Some(true),
            Some(tcf(&[1, 2], &[3, 4])),
            NO_SEGMENTS,
        ),
        ("nothing, but the GDPR does not apply", Some(false), Some(NO_PURPOSE.into()), ALL),
        ("nothing, and nobody says that the GDPR applies", None, Some(NO_PURPOSE.into()), ALL),
    ];
    for (name, applies, text, expected) in cases {
        assert_eq!(gdpr(applies, text.as_deref()), expected, "{name}");
    }
    let with_segments = format!("{PURPOSES_1_2_3}.IFoEUQQgAIQwgIwQABAEAAAAOIAACAIAAAAQ.ZAAgH9794ulA");
    assert_eq!(gdpr(Some(true), Some(&with_segments)), NO_SEGMENTS, "other segments change nothing");
}

#[test]
fn a_section_of_the_gpp_counts_where_it_is_in_force() {
    let consent = format!("DBABM~{PURPOSES_1_2_3}");
    assert_eq!(gpp(&consent, &[2]), NO_SEGMENTS, "section 2 in force is the GDPR in force");
    assert_eq!(gpp(&consent, &[]), NO_SEGMENTS, "no section named: all that there are");
    assert_eq!(gpp(&consent, &[7]), LEAST, "the section in force did not come");
    let no_gdpr = |sid: &[u16]| {
        let gpp = Some(format!("DBABM~{NO_PURPOSE}"));
        Permissions::of(&Privacy { gdpr: Some(false), gpp, gpp_sid: sid.to_vec(), ..Privacy::default() })
    };
    assert_eq!((no_gdpr(&[]), no_gdpr(&[2])), (ALL, LEAST), "what is named to be in force is");
    let in_force = |tcf: Option<&str>, gpp: Option<String>| {
        Permissions::of(&Privacy { tcf: tcf.map(Into::into), gpp, gpp_sid: vec![2], ..Privacy::default() })
    };
    assert_eq!(in_force(None, None), LEAST);
    assert_eq!(in_force(Some(PURPOSES_1_2_3), None), NO_SEGMENTS, "it may come by itself");
    assert_eq!(in_force(Some(NO_PURPOSE), Some(consent)), LEAST, "what comes twice must be allowed twice");
}

#[test]
fn opting_out_under_a_us_law_is_an_objection() {
    let cases: [(&str, u16, Permissions); 19] = [
        ("DBABLA~BAAAAAAAAQA", 7, ALL),
        ("DBABLA~BVVVVVVVVWA", 7, LEAST),
        ("DBABLA~CAAAAAAAAAWA.Q", 7, ALL),
        ("DBABLA~BAAAAAAAAQA.YA", 7, LEAST), // Global Privacy Control in a segment of its own
        ("DBABLA~DAAAAAAAAQA", 7, LEAST),    // of a version that is not known
        ("DBABLA~BAA", 7, LEAST),            // cut off
        ("DBABBg~BAAAAACA", 8, ALL),
        ("DBABBg~BVVVVVVY", 8, LEAST),
        ("DBABBg~BVqqqqpY.YA", 8, LEAST),
        ("DBABBg~BVqqqqpY.QA", 8, ALL), // asked, and did not opt out
        ("DBABRg~BAAAABA", 9, ALL),
        ("DBABRg~BVVVVWY", 9, LEAST),
        ("DBABJg~BAAAAEA", 10, ALL),
        ("DBABJg~BVVVVVg", 10, LEAST),
        ("DBABFg~BAAAAAQA", 11, ALL),
        ("DBABFg~BVVVVVmA", 11, LEAST),
        ("DBABVg~BAAAAAEA", 12, ALL),
        ("DBABTA~1YNN", 6, ALL),
        ("DBABTA~1YYN", 6, LEAST),
    ];
    for (text, section, expected) in cases {
        assert_eq!(gpp(text, &[section]), expected, "{text}");
        assert_eq!(gpp(text, &[]), expected, "{text}, no section named");
    }
}

#[test]
fn of_every_us_section_the_opt_outs_are_read_and_the_notices_are_not() {
    // Of the sections' documents: version, notices, then the opt-outs of sale, sharing and targeted advertising.
    let notices = |section: u16| match section {
        7 => (6, 3),
        11 | 18 => (4, 2),
        _ => (3, 2),
    };
    for section in 7..=23u16 {
        let (notices, opt_outs) = notices(section);
        let with = |place: Option<usize>| {
            let mut bits = vec![0u8; 120];
            bits[5] = 1; // version 1
            for pair in 0..40 {
                bits[6 + pair * 2..8 + pair * 2].copy_from_slice(&[1, 0]); // did not opt out, was given no notice
            }
            if let Some(place) = place {
                bits[6 + place * 2..8 + place * 2].copy_from_slice(&[0, 1]);
            }
            gpp(&format!("{}~{}", header(&[section]), text_of(&bits)), &[section])
        };
        assert_eq!(with(None), ALL, "section {section}");
        for place in 0..notices + opt_outs + 2 {
            let expected = if (notices..notices + opt_outs).contains(&place) { LEAST } else { ALL };
            assert_eq!(with(Some(place)), expected, "section {section}, field {place} after the version");
        }
    }
}

#[test]
fn a_string_of_several_sections_allows_what_all_in_force_allow() {
    // Three ids that are no run, each counted from the one before.
    let text = format!("{}~{PURPOSES_1_2_3}~1YYN~BAAAAACA", header(&[2, 6, 8]));
    assert_eq!(gpp(&text, &[2, 8]), NO_SEGMENTS);
    assert_eq!(gpp(&text, &[6]), LEAST);
    assert_eq!(gpp(&text, &[8]), ALL);
    assert_eq!(gpp(&text, &[]), LEAST);
    // Of the specification: sections 2 and 6.
    let published = "DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN";
    assert_eq!((gpp(published, &[2]), gpp(published, &[6])), (LEAST, ALL));
}

#[test]
fn a_gpp_string_that_cannot_be_read_allows_nothing() {
    let canada = "DBABDA~BPXuQIAPXuQIAAfKABENB-CgAAAAAAAAAAAAAAAA";
    for text in
        ["", "~", "DBAB", "DBABTA", "DBABTA~1YNN~1YNN", "DBABTA~2YNN", "DBABTA~1YN", "CBABTA~1YNN", "D*ABTA~1YNN"]
    {
        assert_eq!(gpp(text, &[6]), LEAST, "{text:?}");
        assert_eq!(gpp(text, &[]), LEAST, "{text:?}");
    }
    assert_eq!(gpp(canada, &[5]), LEAST, "a law that is not known here");
    assert_eq!(gpp(&format!("{}~AA", header(&[24])), &[24]), LEAST, "a section that is not known here");
    assert_eq!(gpp("DBABTA~1YNN", &[0]), LEAST, "not known which section is in force");
}

#[test]
fn consent_strings_have_a_bound_together() {
    let text = |len| Some("A".repeat(len));
    let privacy = |tcf, gpp, sections| Privacy { tcf, gpp, gpp_sid: vec![7; sections], ..Privacy::default() };
    let refused = |privacy: Privacy| privacy.validate().unwrap_err();
    assert_eq!(privacy(text(8 * 1024), None, 0).validate(), Ok(()));
    assert_eq!(privacy(text(4 * 1024), text(4 * 1024), 32).validate(), Ok(()));
    assert_eq!(
        refused(privacy(text(8_193), None, 0)).to_string(),
        "privacy.tcf: 8193 bytes; the TCF string and the GPP string have at most 8192 together"
    );
    assert_eq!(refused(privacy(text(8_192), text(1), 0)).field, "privacy.gpp");
    assert_eq!(refused(privacy(None, None, 33)).to_string(), "privacy.gpp_sid: 33 sections; at most 32");
}

fn near_consent() -> impl Strategy<Value = String> {
    let known = ["DBACNY~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA~1YNN", "DBABLA~BVVVVVVVVWA.YA", PURPOSES_1_2_3];
    let damaged = (prop::sample::select(known.to_vec()), any::<prop::sample::Index>(), any::<char>());
    prop_oneof![
        any::<String>(),
        "[A-Za-z0-9_~.-]{0,200}",
        "D[A-Z][A-Za-z0-9_-]{0,40}(~[A-Za-z0-9_.-]{0,30}){0,5}",
        damaged.prop_map(|(text, at, char)| {
            let mut chars: Vec<char> = text.chars().collect();
            let at = at.index(chars.len());
            chars[at] = char;
            chars.into_iter().collect()
        }),
    ]
}

proptest! {
    #[test]
    fn no_text_panics_and_no_signal_more_allows_more(
        tcf in prop::option::of(near_consent()), gpp in prop::option::of(near_consent()),
        gpp_sid in prop::collection::vec(0u16..30, 0..4), gdpr in any::<Option<bool>>(), gpc in any::<bool>(), lmt in any::<bool>(),
    ) {
        let privacy = Privacy { gdpr, tcf, gpp, gpp_sid, gpc, lmt };
        let allowed = Permissions::of(&privacy);
        prop_assert_eq!(allowed.and(Permissions::of(&Privacy { gpc: true, ..privacy.clone() })), LEAST);
        let strings_only = Permissions::of(&Privacy { gpc: false, lmt: false, ..privacy.clone() });
        prop_assert_eq!(allowed, if gpc || lmt { LEAST } else { strings_only });
        // Where the GDPR applies, no more is allowed than where it is not said to.
        let applies = Permissions::of(&Privacy { gdpr: Some(true), ..privacy.clone() });
        let not_said = Permissions::of(&Privacy { gdpr: None, ..privacy });
        prop_assert_eq!(applies.and(not_said), applies);
    }
}
