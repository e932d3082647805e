//! The macros of VAST in a tracking URL: `[CACHEBUSTING]` and its like (IAB VAST 4.3, section 6, and the IAB's list of
//! macros), replaced by what is known.
//!
//! A known macro is always replaced: by its value, by `-1` if nobody here knows it, by `-2` if it is known and must not be
//! told. A word in brackets that is no macro of the list stays as it is. Values are percent-encoded down to the unreserved
//! characters of RFC 3986, so no value ends the part of the URL that it stands in. A URL that is encoded already has its
//! macros as `%5BNAME%5D`; they are replaced too.

use alloc::{
    borrow::Cow,
    string::{String, ToString as _},
};
use core::fmt::Write as _;

use crate::{beacon::Event, contract::BreakPosition, id::OpportunityId, time::UnixMillis};

/// What a macro may be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told<T> {
    /// This.
    Known(T),
    /// Nobody here knows: `-1`.
    #[default]
    Unknown,
    /// Somebody knows, and the viewer's choice or the law forbids to tell: `-2`.
    Withheld,
}

impl<T> From<Option<T>> for Told<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Self::Known)
    }
}

/// What is known when a URL is called. Start from [`Macros::of`], which knows what every event has.
#[derive(Clone, Copy, Debug)]
pub struct Macros<'a> {
    /// The slot: `[ADSERVINGID]`, and part of `[CACHEBUSTING]`.
    pub opportunity_id: OpportunityId,
    /// What happened: part of `[CACHEBUSTING]`.
    pub event: Event,
    /// When: `[TIMESTAMP]`.
    pub at: UnixMillis,
    /// The ad's place in its pod, from 1: `[PODSEQUENCE]`.
    pub pod_sequence: Told<u32>,
    /// The creative's registered id: `[UNIVERSALADID]`.
    pub universal_ad_id: Told<&'a str>,
    /// Where the break stands: `[BREAKPOSITION]`.
    pub break_position: Told<BreakPosition>,
    /// A VAST error code: `[ERRORCODE]`.
    pub error_code: Told<u16>,
    /// How far into the ad, in milliseconds: `[ADPLAYHEAD]`.
    pub ad_playhead_ms: Told<u64>,
    /// How far into the content, in milliseconds: `[CONTENTPLAYHEAD]` and `[MEDIAPLAYHEAD]`.
    pub content_playhead_ms: Told<u64>,
    /// The device's "limit ad tracking": `[LIMITADTRACKING]`.
    pub limit_ad_tracking: Told<bool>,
    /// Which privacy laws apply, as `gdpr,coppa`: `[REGULATIONS]`.
    pub regulations: Told<&'a str>,
    /// The TCF string: `[GDPRCONSENT]`.
    pub gdpr_consent: Told<&'a str>,
    /// The device's advertising id: `[IFA]`.
    pub ifa: Told<&'a str>,
    /// Its kind, as `rida`: `[IFATYPE]`.
    pub ifa_type: Told<&'a str>,
    /// The player's user agent: `[CLIENTUA]` and `[DEVICEUA]`.
    pub user_agent: Told<&'a str>,
    /// The device's address: `[DEVICEIP]`.
    pub device_ip: Told<&'a str>,
    /// Who calls: `[SERVERSIDE]`.
    pub caller: Told<Caller>,
}

/// Who calls a tracking URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The player.
    Client,
    /// A server, for a player.
    ServerForClient,
}

impl Macros<'_> {
    /// What is known of every event; all else is unknown.
    pub fn of(opportunity_id: OpportunityId, event: Event, at: UnixMillis) -> Self {
        Self {
            opportunity_id,
            event,
            at,
            pod_sequence: Told::Unknown,
            universal_ad_id: Told::Unknown,
            break_position: Told::Unknown,
            error_code: Told::Unknown,
            ad_playhead_ms: Told::Unknown,
            content_playhead_ms: Told::Unknown,
            limit_ad_tracking: Told::Unknown,
            regulations: Told::Unknown,
            gdpr_consent: Told::Unknown,
            ifa: Told::Unknown,
            ifa_type: Told::Unknown,
            user_agent: Told::Unknown,
            device_ip: Told::Unknown,
            caller: Told::Unknown,
        }
    }

    /// `url` with every known macro replaced.
    pub fn fill(&self, url: &str) -> String {
        let mut filled = String::with_capacity(url.len() + 64);
        let mut rest = url;
        while let Some((before, name, after)) = next_macro(rest) {
            filled.push_str(before);
            match self.value(name) {
                Some(value) => encode(&value, &mut filled),
                None => filled.push_str(&rest[before.len()..rest.len() - after.len()]),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }

    /// The value of a macro of the list, not yet encoded; `None` of any other.
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = |value: Told<&'_ str>| told(value, str::to_string);
        let playhead = |value: Told<u64>| told(value, time_offset);
        Some(match name {
            "TIMESTAMP" => iso_8601(self.at).into(),
            "CACHEBUSTING" => self.cache_buster().into(),
            "ADSERVINGID" => self.opportunity_id.to_string().into(),
            "PODSEQUENCE" => told(self.pod_sequence, |number| number.to_string()),
            "UNIVERSALADID" => text(self.universal_ad_id),
            "BREAKPOSITION" => told(self.break_position, |position| match position {
                BreakPosition::Preroll => "1".into(),
                BreakPosition::Midroll => "2".into(),
                BreakPosition::Postroll => "3".into(),
            }),
            "ERRORCODE" => told(self.error_code, |code| code.to_string()),
            "ADPLAYHEAD" => playhead(self.ad_playhead_ms),
            "CONTENTPLAYHEAD" | "MEDIAPLAYHEAD" => playhead(self.content_playhead_ms),
            "LIMITADTRACKING" => told(self.limit_ad_tracking, |limited| u8::from(limited).to_string()),
            "REGULATIONS" => text(self.regulations),
            "GDPRCONSENT" => text(self.gdpr_consent),
            "IFA" => text(self.ifa),
            "IFATYPE" => text(self.ifa_type),
            "CLIENTUA" | "DEVICEUA" => text(self.user_agent),
            "DEVICEIP" => text(self.device_ip),
            "SERVERSIDE" => told(self.caller, |caller| match caller {
                Caller::Client => "0".into(),
                Caller::ServerForClient => "1".into(),
            }),
            other if NEVER_KNOWN.contains(&other) => UNKNOWN.into(),
            _ => return None,
        })
    }

    /// Eight digits that are the slot's and the event's, so that calling again is the same request.
    fn cache_buster(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.opportunity_id.0);
        hasher.update(&[self.event.code()]);
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        alloc::format!("{:08}", u64::from_le_bytes(first) % 100_000_000)
    }
}

const UNKNOWN: &str = "-1";
const WITHHELD: &str = "-2";

/// The macros of the IAB's list that speak of what nothing here knows.
const NEVER_KNOWN: &[&str] = &[
    "ADCATEGORIES",
    "ADCOUNT",
    "ADTYPE",
    "APIFRAMEWORKS",
    "APPBUNDLE",
    "ASSETURI",
    "BLOCKEDADCATEGORIES",
    "BREAKMAXADLENGTH",
    "BREAKMAXADS",
    "BREAKMAXDURATION",
    "BREAKMINADLENGTH",
    "BREAKMINDURATION",
    "CLICKPOS",
    "CLICKTYPE",
    "CONTENTCAT",
    "CONTENTID",
    "CONTENTURI",
    "DOMAIN",
    "EXTENSIONS",
    "INVENTORYSTATE",
    "LATLONG",
    "MEDIAMIME",
    "OMIDPARTNER",
    "PAGEURL",
    "PLACEMENTTYPE",
    "PLAYERCAPABILITIES",
    "PLAYERSIZE",
    "PLAYERSTATE",
    "REASON",
    "SERVERUA",
    "STOREID",
    "STOREURL",
    "TRANSACTIONID",
    "VASTVERSIONS",
    "VERIFICATIONVENDORS",
];

fn told<'a, T>(value: Told<T>, text: impl FnOnce(T) -> String) -> Cow<'a, str> {
    match value {
        Told::Known(value) => text(value).into(),
        Told::Unknown => UNKNOWN.into(),
        Told::Withheld => WITHHELD.into(),
    }
}

/// The first word in brackets: what is before it, the word, what is after it.
fn next_macro(url: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let (at, open) = opening(&url[from..])?;
        let name_at = from + at + open;
        let name_len = url[name_at..].bytes().take_while(u8::is_ascii_uppercase).count();
        let after = &url[name_at + name_len..];
        let close = [("]", 1), ("%5D", 3), ("%5d", 3)].into_iter().find(|(close, _)| after.starts_with(close));
        match close {
            Some((_, close)) if name_len > 0 => {
                return Some((&url[..from + at], &url[name_at..name_at + name_len], &after[close..]));
            }
            _ => from = name_at, // a bracket of something else; another may follow at once
        }
    }
}

/// Where the first opening bracket stands, plain or encoded, and how many bytes it has.
fn opening(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find_map(|at| match bytes[at..] {
        [b'[', ..] => Some((at, 1)),
        [b'%', b'5', b'B' | b'b', ..] => Some((at, 3)),
        _ => None,
    })
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}"); // writing to a String cannot fail
        }
    }
}

/// `HH:MM:SS.mmm`, as VAST writes offsets.
fn time_offset(ms: u64) -> String {
    let seconds = ms / 1000;
    alloc::format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, ms % 1000)
}

/// The last millisecond of the year 9999, past which ISO 8601 has no agreed form.
const LAST: u64 = 253_402_300_799_999;

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
fn iso_8601(at: UnixMillis) -> String {
    let ms = at.0.min(LAST);
    let (year, month, day) = civil(ms / 86_400_000);
    alloc::format!("{year:04}-{month:02}-{day:02}T{}Z", time_offset(ms % 86_400_000))
}

/// The Gregorian date of a day counted from 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // from 0000-03-01, so that a leap day is the last of its year
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::id::BreakId;

    const AT: UnixMillis = UnixMillis(1_795_000_000_127);

    fn macros() -> Macros<'static> {
        Macros::of(OpportunityId::mint(BreakId([1; 16]), 2, AT), Event::Midpoint, AT)
    }

    #[test]
    fn each_macro_has_its_form() {
        let all = Macros {
            pod_sequence: Told::Known(3),
            universal_ad_id: Told::Known("ad-id.org CNPA0484000H"),
            break_position: Told::Known(BreakPosition::Midroll),
            error_code: Told::Known(402),
            ad_playhead_ms: Told::Known(3_723_004),
            content_playhead_ms: Told::Withheld,
            limit_ad_tracking: Told::Known(true),
            regulations: Told::Known("gdpr,coppa"),
            gdpr_consent: Told::Known("CP_x.YA"),
            ifa: Told::Withheld,
            ifa_type: Told::Known("rida"),
            user_agent: Told::Known("Roku/DVP (12.5) & more"),
            device_ip: Told::Known("2001:db8::1"),
            caller: Told::Known(Caller::ServerForClient),
            ..macros()
        };
        for (name, value) in [
            ("TIMESTAMP", "2026-11-18T11%3A06%3A40.127Z"),
            ("ADSERVINGID", &all.opportunity_id.to_string()),
            ("PODSEQUENCE", "3"),
            ("UNIVERSALADID", "ad-id.org%20CNPA0484000H"),
            ("BREAKPOSITION", "2"),
            ("ERRORCODE", "402"),
            ("ADPLAYHEAD", "01%3A02%3A03.004"),
            ("MEDIAPLAYHEAD", "-2"),
            ("CONTENTPLAYHEAD", "-2"),
            ("LIMITADTRACKING", "1"),
            ("REGULATIONS", "gdpr%2Ccoppa"),
            ("GDPRCONSENT", "CP_x.YA"),
            ("IFA", "-2"),
            ("IFATYPE", "rida"),
            ("CLIENTUA", "Roku%2FDVP%20%2812.5%29%20%26%20more"),
            ("DEVICEIP", "2001%3Adb8%3A%3A1"),
            ("SERVERSIDE", "1"),
            ("PAGEURL", "-1"),
        ] {
            let filled = all.fill(&std::format!("https://v.example/t?a=[{name}]&b=%5b{name}%5D#c"));
            assert_eq!(filled, std::format!("https://v.example/t?a={value}&b={value}#c"), "{name}");
            let unknown = macros().fill(&std::format!("[{name}]"));
            assert!(unknown == "-1" || matches!(name, "TIMESTAMP" | "ADSERVINGID"), "{name}: {unknown}");
        }
    }

    #[test]
    fn a_cache_buster_is_eight_digits_the_same_for_a_retry_and_others_for_others() {
        let of =
            |event, slot| Macros::of(OpportunityId::mint(BreakId([1; 16]), slot, AT), event, AT).fill("[CACHEBUSTING]");
        let busters: std::collections::BTreeSet<_> =
            Event::ALL.iter().flat_map(|event| (0..8).map(|slot| of(*event, slot))).collect();
        assert_eq!(busters.len(), Event::ALL.len() * 8);
        assert!(busters.iter().all(|text| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit())));
        assert_eq!(of(Event::Start, 0), of(Event::Start, 0));
    }

    #[test]
    fn what_is_no_macro_stays_as_it_is() {
        for url in [
            "",
            "https://v.example/t?a=1",
            "[",
            "]",
            "[]",
            "[x]",
            "[timestamp]",
            "[NOSUCHMACRO]",
            "%%TIMESTAMP%%",
            "[TIME",
            "[TIMESTAMP",
            "TIMESTAMP]",
            "%5B%5D",
            "%5",
            "a[1]=b",
            "http://[2001:db8::1]/",
            "https://v.example/?ü=[ü]",
        ] {
            assert_eq!(macros().fill(url), url);
        }
        assert_eq!(macros().fill("[[IFA]]"), "[-1]");
        assert_eq!(macros().fill("[NO[IFA]"), "[NO-1");
        assert_eq!(macros().fill("[NOSUCH][IFA]"), "[NOSUCH]-1");
    }

    #[test]
    fn times_are_dated_as_the_calendar_has_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso_8601(UnixMillis(ms)), text);
        }
    }

    fn known() -> Vec<&'static str> {
        let mut names = std::vec![
            "TIMESTAMP",
            "CACHEBUSTING",
            "ADSERVINGID",
            "PODSEQUENCE",
            "UNIVERSALADID",
            "BREAKPOSITION",
            "ERRORCODE",
            "ADPLAYHEAD",
            "CONTENTPLAYHEAD",
            "MEDIAPLAYHEAD",
            "LIMITADTRACKING",
            "REGULATIONS",
            "GDPRCONSENT",
            "IFA",
            "IFATYPE",
            "CLIENTUA",
            "DEVICEUA",
            "DEVICEIP",
            "SERVERSIDE",
        ];
        names.extend(NEVER_KNOWN);
        names
    }

    /// Pieces that come near a macro, and real ones.
    fn url() -> impl Strategy<Value = String> {
        let near =
            prop::sample::select(std::vec!["[", "]", "%5B", "%5d", "%", "IFA", "[NOSUCH]", "?a=", "&", "#", "é"]);
        let real = prop::sample::select(known());
        let piece = prop_oneof![
            near.prop_map(String::from),
            real.clone().prop_map(|name| std::format!("[{name}]")),
            real.prop_map(|name| std::format!("%5b{name}%5D")),
            any::<String>(),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_known_macro_is_left_and_nothing_panics(url in url(), value: String, at: u64) {
            let macros = Macros {
                user_agent: Told::Known(&value),
                gdpr_consent: Told::Known(&value),
                at: UnixMillis(at),
                ..macros()
            };
            let filled = macros.fill(&url);
            // A value that joins what stood around it cannot make a macro: it has no bracket, and no bracket is taken away
            // but with its macro. Two brackets that never were a pair may hold a known name by chance.
            let mut rest = filled.as_str();
            while let Some((_, name, after)) = next_macro(rest) {
                prop_assert!(!known().contains(&name), "{name} is left in {filled}");
                rest = after;
            }
        }

        #[test]
        fn a_value_never_leaves_the_parameter_it_stands_in(value: String, withheld: bool) {
            let macros = Macros {
                user_agent: if withheld { Told::Withheld } else { Told::Known(&value) },
                ..macros()
            };
            let filled = macros.fill("https://v.example/t?ua=[CLIENTUA]&b=1");
            let inner = filled.strip_prefix("https://v.example/t?ua=").and_then(|rest| rest.strip_suffix("&b=1"));
            let inner = inner.expect("what was around it is still there");
            let harmless = |char: char| char.is_ascii_alphanumeric() || "-._~%".contains(char);
            prop_assert!(inner.chars().all(harmless), "{inner}");
        }
    }
}
