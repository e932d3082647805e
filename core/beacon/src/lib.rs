//! The wire between a player and the edge: the events there are, and the text in which the SDK posts them.
//!
//! It is plain text, so that `sendBeacon` carries it without a CORS preflight and a television writes it without a JSON
//! library:
//!
//! ```text
//! sk1 SESSION SEQUENCE [LOST [HELD_MS]]
//! TOKEN EVENT AGE_MS [DETAIL]
//! …
//! ```
//!
//! * `SEQUENCE` numbers the batches of a session; a batch that is sent again keeps its number.
//! * `LOST` is how many beacons this session has lost to its bounds so far. Missing, it is 0.
//! * `HELD_MS` is how long the text lay written before it was sent: every age in it is that much greater. Missing, it is 0.
//! * `AGE_MS` is how long before the writing the event happened, so a client's wrong clock does no harm.
//! * `DETAIL` is a whole number: of an `error` its VAST code, of any other event the seconds since the viewer last touched
//!   anything (at most: since the session began). Missing, it is not known.
//!
//! **What this crate never does:** allocate, format, touch a clock. It is all that the client needs to know of the domain.

#![no_std]

mod event;
mod write;

pub use event::{Event, UnknownEvent};
pub use write::{Text, head, line};

/// The first word of every batch.
pub const VERSION: &str = "sk1";
/// The longest batch accepted, in bytes: what `sendBeacon` carries.
pub const BATCH_BYTES_MAX: usize = 65_536;
/// The most beacons in one batch.
pub const BATCH_BEACONS_MAX: usize = 500;
/// The longest session id, in bytes.
pub const SESSION_ID_BYTES_MAX: usize = 64;
/// The oldest event reported, in milliseconds: a week. Tokens expire long before.
pub const AGE_MS_MAX: u32 = 7 * 24 * 3_600_000;
/// The greatest detail of a beacon: more seconds than any session has, and more than any VAST error code.
pub const DETAIL_MAX: u32 = 9_999_999;
/// The longest line of a batch beside its token, in bytes: two or three spaces, the longest name, age and detail, a line end.
pub const LINE_BYTES_BESIDE_TOKEN_MAX: usize = 3 + 16 + 9 + 7 + 1;
/// The longest first line, in bytes.
pub const HEAD_BYTES_MAX: usize = VERSION.len() + 4 + SESSION_ID_BYTES_MAX + 10 + 10 + 10 + 1;

/// Whether a text may name a session: 1 to 64 letters, digits, hyphens or underscores.
pub fn is_session_id(text: &[u8]) -> bool {
    is_word(text, SESSION_ID_BYTES_MAX)
}

/// Whether a text is a word as tokens and session ids are, of 1 to this many bytes.
pub fn is_word(text: &[u8], bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.iter().all(|byte| is_word_byte(*byte))
}

/// A letter, a digit, a hyphen or an underscore: what tokens and session ids are made of.
pub fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}
