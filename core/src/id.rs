//! Identifiers. All are opaque; one that must sort by time says so.

use alloc::string::String;
use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::UnixMillis;

/// How far a request id's own time may be from the edge's clock and still be taken for the break's time.
pub const REQUEST_TIME_SKEW_MS_MAX: u64 = 10 * 60 * 1000;

macro_rules! number_id {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

number_id! {
    /// Who buys. Numbered by the origin.
    AdvertiserId(u32);
    /// What they buy. Numbered by the origin.
    CampaignId(u32);
    /// The dated contract within a campaign. Numbered by the origin.
    FlightId(u32);
    /// One video ad. Numbered by the origin.
    CreativeId(u32);
    /// One creative as booked in one flight. Numbered by the origin.
    AdId(u32);
}

macro_rules! hex_id {
    ($($(#[$doc:meta])* $name:ident[$len:literal];)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 2 * $len];
                write_hex(&self.0, &mut digits);
                f.write_str(core::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;
            fn from_str(text: &str) -> Result<Self, MalformedId> {
                parse_hex(text.as_bytes()).map(Self).ok_or(MalformedId)
            }
        }

        text_serde!($name);
    )*};
}

macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

hex_id! {
    /// One ad break: its viewer's bucket and a keyed hash of profile and request id, so every retry of a request names the
    /// same break.
    BreakId[16];
    /// The pseudonym under which a viewer is stored; the `profile_id` itself never is.
    ViewerKey[16];
    /// A session, as a pseudonym: of one viewer, where it is theirs; or the one that a client reports in.
    SessionKey[8];
    /// The content address of what a decision was made from: the first 16 bytes of a BLAKE3 hash.
    DecisionId[16];
    /// The content address of a registry record: the first 8 bytes of the BLAKE3 hash of its canonical JSON.
    RecordId[8];
}

impl ViewerKey {
    /// The bucket a viewer is in, one of 65,536: all that an opportunity id tells of its viewer. Stores are sharded by it,
    /// so what is known of an opportunity is found without knowing the viewer.
    pub fn bucket(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }
}

/// The first 70 bits of a [`BreakId`], left-aligned: as much of it as its opportunity ids carry. Of two breaks that are
/// live at once, no two share it but by a chance of about one in a million at two billion slots a day; a store that meets
/// such a pair refuses the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BreakStem(pub [u8; 9]);

/// How many bits of a break id are behind its stem.
const BEHIND_STEM: u32 = 128 - 70;

impl BreakId {
    /// What its opportunity ids carry of it. Begins with its viewer's bucket.
    pub fn stem(&self) -> BreakStem {
        BreakStem::of(u128::from_be_bytes(self.0) >> BEHIND_STEM)
    }
}

impl BreakStem {
    /// `bits` is below 2^70.
    fn of(bits: u128) -> Self {
        let mut stem = [0; 9];
        stem.copy_from_slice(&(bits << 2).to_be_bytes()[7..]);
        Self(stem)
    }

    /// The least and the greatest break id with this stem.
    pub fn range(&self) -> (BreakId, BreakId) {
        let (mut least, mut greatest) = ([0; 16], [0xff; 16]);
        least[..9].copy_from_slice(&self.0);
        greatest[..9].copy_from_slice(&self.0);
        greatest[8] |= 0b11;
        (BreakId(least), BreakId(greatest))
    }
}

impl fmt::Display for BreakStem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text was not an identifier of the expected shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a well-formed identifier")]
pub struct MalformedId;

/// One slot of one break, and the key of its row: a UUID version 7 (RFC 9562), so it sorts by time.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpportunityId(pub [u8; 16]);

impl OpportunityId {
    /// The id of slot `slot_index` (below 16) of a break that opened at `opened_at`. Deterministic: a retry mints the same
    /// id, even where the memory of the first try cannot be reached.
    ///
    /// The 74 bits that RFC 9562 leaves free hold the break's stem and the slot's number: whoever holds an opportunity id
    /// finds the break, and with it whose it is, where that is remembered.
    #[must_use]
    pub fn mint(break_id: BreakId, slot_index: u8, opened_at: UnixMillis) -> Self {
        let stem = u128::from_be_bytes(break_id.0) >> BEHIND_STEM;
        let free = stem << 4 | u128::from(slot_index & 0x0f);
        let time = u128::from(opened_at.0 & 0xffff_ffff_ffff); // 48 bits of milliseconds last until the year 10889
        let (rand_a, rand_b) = (free >> 62, free & ((1 << 62) - 1));
        Self((time << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b).to_be_bytes())
    }

    /// The time in the id: when the break opened.
    pub fn opened_at(&self) -> UnixMillis {
        uuid_millis(&self.0)
    }

    /// The stem of the break it belongs to.
    pub fn break_stem(&self) -> BreakStem {
        let id = u128::from_be_bytes(self.0);
        let free = (id >> 64 & 0xfff) << 62 | id & ((1 << 62) - 1);
        BreakStem::of(free >> 4)
    }

    /// The slot's number in its break, from 0.
    pub fn slot_index(&self) -> u8 {
        self.0[15] & 0x0f
    }

    /// The bucket of its viewer: [`ViewerKey::bucket`].
    pub fn bucket(&self) -> u16 {
        let BreakStem(stem) = self.break_stem();
        u16::from_be_bytes([stem[0], stem[1]])
    }
}

/// When the break of `request_id` opened: the time inside the id when that is a UUID version 7 whose time is near
/// `now`, else `now`.
///
/// With such a request id, every try of one request agrees on the time, and so on the opportunity ids, with nothing
/// remembered. With any other id, retries agree only through the store's memory.
pub fn opened_at(request_id: &str, now: UnixMillis) -> UnixMillis {
    match parse_uuid(request_id) {
        Some(bytes) if bytes[6] >> 4 == 7 => {
            let at = uuid_millis(&bytes);
            if at.0.abs_diff(now.0) <= REQUEST_TIME_SKEW_MS_MAX { at } else { now }
        }
        _ => now,
    }
}

/// A request id for a request that came without one at `now`: a UUID version 7 of that time, and of a hash of `seed`, which
/// is all of the request. So what is asked twice within one millisecond is one break, and nothing random is needed.
pub fn mint_request_id(seed: &[u8], now: UnixMillis) -> String {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(seed).as_bytes()[..16]);
    alloc::format!("{}", OpportunityId::mint(BreakId(id), 0, now))
}

/// A request id for one break of one playback: the same for every try, whenever it is made. `playback` is what the player
/// calls itself, `asked` all that was asked.
pub fn playback_request_id(playback: &str, asked: &str) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(&(playback.len() as u64).to_le_bytes()); // so that no part of one can pass for a part of the other
    hash.update(playback.as_bytes());
    hash.update(asked.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    alloc::format!("hls-{}", BreakId(id))
}

impl fmt::Display for OpportunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 32];
        write_hex(&self.0, &mut digits);
        let mut text = [b'-'; 36];
        for (from, until, at) in [(0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)] {
            text[at..at + until - from].copy_from_slice(&digits[from..until]);
        }
        f.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for OpportunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpportunityId({self})")
    }
}

impl FromStr for OpportunityId {
    type Err = MalformedId;
    fn from_str(text: &str) -> Result<Self, MalformedId> {
        parse_uuid(text).map(Self).ok_or(MalformedId)
    }
}

text_serde!(OpportunityId);

fn uuid_millis(bytes: &[u8; 16]) -> UnixMillis {
    UnixMillis(bytes[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte)))
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|dash| bytes[*dash] != b'-') {
        return None;
    }
    let mut digits = [0; 32];
    let mut all = bytes.iter().filter(|byte| **byte != b'-');
    for digit in &mut digits {
        *digit = *all.next()?;
    }
    parse_hex(&digits)
}

/// Two digits a byte. Written at once: a fold writes millions, and a formatter takes its time for each byte.
fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
}

fn parse_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(out)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn opportunity_ids_are_uuids_version_7_that_sort_by_time_and_repeat_exactly() {
        let at = UnixMillis(0x0193_4c2a_7d10);
        let id = OpportunityId::mint(BreakId([7; 16]), 2, at);
        assert_eq!(id, OpportunityId::mint(BreakId([7; 16]), 2, at));
        assert_ne!(id, OpportunityId::mint(BreakId([7; 16]), 3, at));
        assert_ne!(id, OpportunityId::mint(BreakId([8; 16]), 2, at));
        assert!(id < OpportunityId::mint(BreakId([0; 16]), 0, at.plus_ms(1)));
        assert_eq!(id.opened_at(), at);
        let text = id.to_string();
        assert_eq!((text.len(), &text[14..15]), (36, "7"));
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        assert_eq!(text.parse(), Ok(id));
        assert_eq!("no".parse::<OpportunityId>(), Err(MalformedId));
        assert_eq!("0193-c2a-7d10-----------------------".parse::<OpportunityId>(), Err(MalformedId));
    }

    #[test]
    fn an_opportunity_id_leads_to_its_break_and_its_viewers_bucket() {
        let break_id = BreakId(*b"0123456789abcdef");
        for slot in 0..16 {
            let id = OpportunityId::mint(break_id, slot, UnixMillis(1_795_000_000_000));
            assert_eq!(id.break_stem(), break_id.stem());
            assert_eq!(id.bucket(), ViewerKey(break_id.0).bucket());
            assert_eq!(id.slot_index(), slot);
        }
        let (least, greatest) = break_id.stem().range();
        assert!(least <= break_id && break_id <= greatest);
        assert_eq!((least.stem(), greatest.stem()), (break_id.stem(), break_id.stem()));
        let outside = BreakId((u128::from_be_bytes(greatest.0) + 1).to_be_bytes());
        assert_ne!(outside.stem(), break_id.stem());
    }

    #[test]
    fn a_request_id_dates_its_break_only_when_it_is_a_recent_uuid_7() {
        let at = UnixMillis(1_795_000_000_000);
        let id = OpportunityId::mint(BreakId([1; 16]), 0, at).to_string();
        assert_eq!(opened_at(&id, at.plus_ms(5_000)), at);
        let much_later = at.plus_ms(REQUEST_TIME_SKEW_MS_MAX + 1);
        assert_eq!(opened_at(&id, much_later), much_later);
        assert_eq!(opened_at("any text", at), at);
        let minted = mint_request_id(b"asked", at);
        assert_eq!(opened_at(&minted, at.plus_ms(5_000)), at);
        assert_eq!(minted, mint_request_id(b"asked", at));
        assert!(
            minted != mint_request_id(b"asked otherwise", at) && minted != mint_request_id(b"asked", at.plus_ms(1))
        );
        assert_eq!(opened_at(&id.replacen("-7", "-4", 1), at.plus_ms(9)), at.plus_ms(9));
    }
}
