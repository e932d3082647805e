//! Beacons: what a client says it played, and the text form in which the SDK posts them.
//!
//! A batch is plain text, so that `sendBeacon` carries it without a CORS preflight and a television formats it without
//! a JSON library:
//!
//! ```text
//! sk1 SESSION SEQUENCE
//! TOKEN EVENT AGE_MS
//! …
//! ```
//!
//! `AGE_MS` is how long before the sending the event happened, so a client's wrong clock does no harm.

use alloc::{string::String, vec::Vec};
use core::{
    fmt::{self, Write as _},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// The longest batch accepted, in bytes: what `sendBeacon` carries.
pub const BATCH_BYTES_MAX: usize = 65_536;
/// The most beacons in one batch.
pub const BATCH_BEACONS_MAX: usize = 500;
/// The longest session id, in bytes.
pub const SESSION_ID_BYTES_MAX: usize = 64;
/// The oldest event reported, in milliseconds: a week. Tokens expire long before.
pub const AGE_MS_MAX: u64 = 7 * 24 * 3_600_000;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal;)*) => {
        /// What happened to an ad, by its VAST 4.3 name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $text)] $name = $code,)*
        }

        impl Event {
            /// Every event.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The VAST name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The event of a code in a token.
            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

events! {
    /// The ad began to play: the impression.
    Start = 1 "start";
    /// A quarter has played.
    FirstQuartile = 2 "firstQuartile";
    /// Half has played.
    Midpoint = 3 "midpoint";
    /// Three quarters have played.
    ThirdQuartile = 4 "thirdQuartile";
    /// All of it has played.
    Complete = 5 "complete";
    /// The viewer paused.
    Pause = 6 "pause";
    /// The viewer resumed.
    Resume = 7 "resume";
    /// Sound off.
    Mute = 8 "mute";
    /// Sound on.
    Unmute = 9 "unmute";
    /// The viewer skipped the rest.
    Skip = 10 "skip";
    /// The ad could not be played (on).
    Error = 11 "error";
    /// The ad was delivered and will not be played.
    NotUsed = 12 "notUsed";
    /// The viewer followed the ad's link.
    ClickThrough = 13 "clickThrough";
}

impl Event {
    /// The code in tokens and bit masks, from 1.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Event {
    type Err = UnknownEvent;
    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.iter().copied().find(|event| event.as_str() == text).ok_or(UnknownEvent)
    }
}

/// Not the VAST name of an event that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event; expected a VAST 4.3 name such as start, midpoint or complete")]
pub struct UnknownEvent;

/// One line of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacon<'a> {
    /// The token as sent; not yet opened.
    pub token: &'a str,
    /// What happened.
    pub event: Event,
    /// How long before the sending, in milliseconds.
    pub age_ms: u64,
}

/// What the SDK posts at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The viewing session, chosen by the client.
    pub session_id: &'a str,
    /// The batch's number within the session; a resent batch keeps its number.
    pub sequence: u32,
    /// In the order sent.
    pub beacons: Vec<Beacon<'a>>,
}

/// Why a batch was refused: which line, which field, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {field} {expected}")]
pub struct MalformedBatch {
    /// Counted from 1.
    pub line: usize,
    /// The field's name.
    pub field: &'static str,
    /// What would have been right.
    pub expected: &'static str,
}

impl<'a> Batch<'a> {
    /// Reads a batch. The whole is refused at the first fault: a client that sends half-right text is not ours.
    pub fn parse(text: &'a str) -> Result<Self, MalformedBatch> {
        let fault = |line, field, expected| MalformedBatch { line, field, expected };
        let mut lines = text.lines();
        let mut head = lines.next().unwrap_or_default().split(' ');
        if head.next() != Some("sk1") {
            return Err(fault(1, "version", "must be sk1"));
        }
        let session_id = head.next().filter(|id| is_session_id(id)).ok_or(fault(
            1,
            "session_id",
            "must be 1 to 64 letters, digits, hyphens or underscores",
        ))?;
        let sequence = head.next().and_then(|n| n.parse().ok()).filter(|_| head.next().is_none()).ok_or(fault(
            1,
            "sequence",
            "must be a whole number up to 4294967295, and the last field",
        ))?;
        let mut beacons = Vec::new();
        for (index, line) in lines.enumerate() {
            let at = index + 2;
            if beacons.len() == BATCH_BEACONS_MAX {
                return Err(fault(at, "beacons", "must be at most 500 in one batch"));
            }
            let mut fields = line.split(' ');
            let token = fields.next().unwrap_or_default();
            let event = fields.next().and_then(|name| name.parse().ok()).ok_or(fault(
                at,
                "event",
                "must be a VAST 4.3 event name after the token",
            ))?;
            let age_ms = fields
                .next()
                .and_then(|ms| ms.parse().ok())
                .filter(|ms| *ms <= AGE_MS_MAX && fields.next().is_none())
                .ok_or(fault(
                    at,
                    "age_ms",
                    "must be a whole number of milliseconds, at most a week, and the last field",
                ))?;
            beacons.push(Beacon { token, event, age_ms });
        }
        if beacons.is_empty() {
            return Err(fault(2, "beacons", "must be at least one"));
        }
        Ok(Self { session_id, sequence, beacons })
    }

    /// The text that [`parse`](Self::parse) reads.
    pub fn to_text(&self) -> String {
        let mut text = alloc::format!("sk1 {} {}\n", self.session_id, self.sequence);
        for Beacon { token, event, age_ms } in &self.beacons {
            let _ = writeln!(text, "{token} {event} {age_ms}"); // writing to a String cannot fail
        }
        text
    }
}

fn is_session_id(text: &str) -> bool {
    (1..=SESSION_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use std::{format, vec};

    use super::*;

    #[test]
    fn a_batch_reads_back_as_it_was_written() {
        let beacons = Event::ALL.iter().map(|event| Beacon { token: "tok", event: *event, age_ms: 7 }).collect();
        let batch = Batch { session_id: "s-1", sequence: 3, beacons };
        assert_eq!(Batch::parse(&batch.to_text()), Ok(batch));
    }

    #[test]
    fn a_malformed_batch_is_refused_by_line_and_field() {
        let cases = [
            ("", 1, "version"),
            ("sk2 s 1\n", 1, "version"),
            ("sk1 s/1 1\n", 1, "session_id"),
            ("sk1 s\n", 1, "sequence"),
            ("sk1 s 1 2\n", 1, "sequence"),
            ("sk1 s 1\n", 2, "beacons"),
            ("sk1 s 1\ntok begin 0\n", 2, "event"),
            ("sk1 s 1\ntok start 0\ntok start x\n", 3, "age_ms"),
            ("sk1 s 1\ntok start 0 0\n", 2, "age_ms"),
            ("sk1 s 1\ntok start 604800001\n", 2, "age_ms"),
        ];
        for (text, line, field) in cases {
            let fault = Batch::parse(text).unwrap_err();
            assert_eq!((fault.line, fault.field), (line, field), "{text:?}");
        }
        let many = format!("sk1 s 1\n{}", "t start 0\n".repeat(BATCH_BEACONS_MAX + 1));
        assert_eq!(Batch::parse(&many).unwrap_err().field, "beacons");
    }

    #[test]
    fn event_codes_and_names_are_one_to_one() {
        let codes: vec::Vec<_> = Event::ALL.iter().map(|event| Event::from_code(event.code())).collect();
        assert_eq!(codes, Event::ALL.iter().copied().map(Some).collect::<vec::Vec<_>>());
        assert!(Event::ALL.iter().all(|event| event.as_str().parse() == Ok(*event) && event.code() < 16));
        assert_eq!(Event::from_code(0), None);
    }
}
