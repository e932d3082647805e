//! Tokens: the opaque bytes a client carries to report on one opportunity.
//!
//! 48 bytes, 64 characters of base64url:
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | format version (4 bits) and key id (4 bits), in the clear and authenticated |
//! | 16 | the synthetic initialisation vector of AES-SIV (RFC 5297): authenticates all of it, needs no nonce |
//! | 31 | sealed: opportunity id 16, ad id 4, registry record id 8, event class and whether a claim is held 1, life in seconds 2 |
//!
//! The expiry is the opportunity id's own time plus the life, so a token outlives its opening by at most 18 hours.

use alloc::{string::String, vec::Vec};

use aes_siv::{KeyInit as _, siv::Aes128Siv};
use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::{
    beacon::Event,
    id::{AdId, OpportunityId, RecordId},
    keys::{Keyring, Purpose},
    time::UnixMillis,
};

/// The length of every token.
pub const TOKEN_CHARS: usize = 64;
const TOKEN_BYTES: usize = 48;
const SEALED_BYTES: usize = 31;
/// In the byte of the event class.
const HOLDS_CLAIM: u8 = 0x80;
const FORMAT: u8 = 1;

/// The longest life a token can carry, in milliseconds.
pub const LIFE_MS_MAX: u64 = u16::MAX as u64 * 1000;

/// What a token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// Any event, named beside the token: what the SDK carries.
    Any,
    /// This event only: what a tracking pixel carries.
    Only(Event),
}

impl EventClass {
    fn code(self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Only(event) => event.code(),
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        if code == 0 { Some(Self::Any) } else { Event::from_code(code).map(Self::Only) }
    }
}

/// What a token says once it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The slot.
    pub opportunity_id: OpportunityId,
    /// The ad that filled it.
    pub ad_id: AdId,
    /// The ad as sold.
    pub record_id: RecordId,
    /// Which events it may report.
    pub class: EventClass,
    /// Whether the fill holds a claim against a cap, which the first beacons settle.
    pub holds_claim: bool,
    /// When it dies. Kept in whole seconds after the opportunity's time, rounded up.
    pub expires_at: UnixMillis,
}

/// Why a token was refused. The client learns no more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not 64 characters of base64url, or of a format this build does not know.
    #[error("the token is not {TOKEN_CHARS} characters of base64url in a known format")]
    Malformed,
    /// Sealed with a key that is not in force.
    #[error("the token's key {0} is not in force")]
    UnknownKey(u8),
    /// The seal does not hold: altered or made up.
    #[error("the token's seal does not hold")]
    Forged,
    /// Its life is over.
    #[error("the token expired at {} (Unix ms)", .0.0)]
    Expired(UnixMillis),
}

impl TokenError {
    /// The stable name of the refusal, for answers and counters.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::UnknownKey(_) => "token_key_unknown",
            Self::Forged => "token_forged",
            Self::Expired(_) => "token_expired",
        }
    }
}

impl Token {
    /// Seals this token with the minting key of `keys`.
    #[must_use]
    pub fn seal(&self, keys: &Keyring) -> String {
        let (key_id, key) = keys.minting(Purpose::Token);
        let head = FORMAT << 4 | key_id;
        let life_s = self.expires_at.since_ms(self.opportunity_id.opened_at()).div_ceil(1000);
        let mut plain = [0; SEALED_BYTES];
        plain[..16].copy_from_slice(&self.opportunity_id.0);
        plain[16..20].copy_from_slice(&self.ad_id.0.to_le_bytes());
        plain[20..28].copy_from_slice(&self.record_id.0);
        plain[28] = self.class.code() | if self.holds_claim { HOLDS_CLAIM } else { 0 };
        plain[29..].copy_from_slice(&u16::try_from(life_s).unwrap_or(u16::MAX).to_le_bytes());
        let sealed = Aes128Siv::new(&key.into())
            .encrypt([[head]], &plain)
            .unwrap_or_else(|_| unreachable!("31 bytes are within what AES-SIV encrypts"));
        let mut bytes = [0; TOKEN_BYTES];
        bytes[0] = head;
        bytes[1..].copy_from_slice(&sealed);
        Base64UrlUnpadded::encode_string(&bytes)
    }

    /// Opens a token that a client sent at `now`.
    pub fn open(text: &str, keys: &Keyring, now: UnixMillis) -> Result<Self, TokenError> {
        let mut bytes = [0; TOKEN_BYTES];
        // 48 bytes are 64 characters with no bits left over, so every token has one spelling.
        if text.len() != TOKEN_CHARS || Base64UrlUnpadded::decode(text, &mut bytes).is_err() {
            return Err(TokenError::Malformed);
        }
        let (format, key_id) = (bytes[0] >> 4, bytes[0] & 0x0f);
        if format != FORMAT {
            return Err(TokenError::Malformed);
        }
        let key = keys.verifying(Purpose::Token, key_id).ok_or(TokenError::UnknownKey(key_id))?;
        let plain: Vec<u8> =
            Aes128Siv::new(&key.into()).decrypt([&bytes[..1]], &bytes[1..]).map_err(|_| TokenError::Forged)?;
        let plain: [u8; SEALED_BYTES] = plain.try_into().map_err(|_| TokenError::Forged)?;
        let token = Self::from_plain(&plain).ok_or(TokenError::Malformed)?;
        if token.expires_at <= now {
            return Err(TokenError::Expired(token.expires_at));
        }
        Ok(token)
    }

    fn from_plain(plain: &[u8; SEALED_BYTES]) -> Option<Self> {
        let opportunity_id = OpportunityId(plain[..16].try_into().ok()?);
        let life_s = u16::from_le_bytes(plain[29..].try_into().ok()?);
        Some(Self {
            opportunity_id,
            ad_id: AdId(u32::from_le_bytes(plain[16..20].try_into().ok()?)),
            record_id: RecordId(plain[20..28].try_into().ok()?),
            class: EventClass::from_code(plain[28] & !HOLDS_CLAIM)?,
            holds_claim: plain[28] & HOLDS_CLAIM != 0,
            expires_at: opportunity_id.opened_at().plus_ms(u64::from(life_s) * 1000),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{format, string::ToString};

    use proptest::prelude::*;

    use super::*;
    use crate::id::BreakId;

    const OPENED: UnixMillis = UnixMillis(1_795_000_000_000);

    fn keys(id: u8) -> Keyring {
        Keyring::parse(&format!("{id}:{:064x}", 0xfeed + u32::from(id))).unwrap()
    }

    fn token() -> Token {
        Token {
            opportunity_id: OpportunityId::mint(BreakId([3; 16]), 1, OPENED),
            ad_id: AdId(77),
            record_id: RecordId([5; 8]),
            class: EventClass::Any,
            holds_claim: true,
            expires_at: OPENED.plus_ms(7_200_000),
        }
    }

    #[test]
    fn a_token_is_64_characters_and_opens_to_what_was_sealed() {
        let text = token().seal(&keys(1));
        assert_eq!(text.len(), TOKEN_CHARS);
        assert_eq!(text, token().seal(&keys(1)), "sealing is deterministic");
        assert_eq!(Token::open(&text, &keys(1), OPENED), Ok(token()));
    }

    #[test]
    fn any_altered_bit_is_refused() {
        let text = token().seal(&keys(1));
        let bytes = Base64UrlUnpadded::decode_vec(&text).unwrap();
        for bit in 0..TOKEN_BYTES * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Token::open(&Base64UrlUnpadded::encode_string(&altered), &keys(1), OPENED).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_token_dies_on_the_second_and_another_key_never_opens_it() {
        let text = token().seal(&keys(1));
        let last = UnixMillis(token().expires_at.0 - 1);
        assert!(Token::open(&text, &keys(1), last).is_ok());
        let dead = token().expires_at;
        assert_eq!(Token::open(&text, &keys(1), dead), Err(TokenError::Expired(dead)));
        assert_eq!(Token::open(&text, &keys(2), OPENED), Err(TokenError::UnknownKey(1)));
        let same_id = Keyring::parse(&format!("1:{:064x}", 1)).unwrap();
        assert_eq!(Token::open(&text, &same_id, OPENED), Err(TokenError::Forged));
    }

    proptest! {
        #[test]
        fn every_token_opens_to_itself(slot in 0u8..16, ad in any::<u32>(), record in any::<[u8; 8]>(), code in 0..=Event::ViewUndetermined.code(), life_s in 1u64..65_536) {
            let token = Token {
                opportunity_id: OpportunityId::mint(BreakId([slot; 16]), slot, OPENED),
                ad_id: AdId(ad),
                record_id: RecordId(record),
                class: EventClass::from_code(code).unwrap(),
                holds_claim: ad % 2 == 0,
                expires_at: OPENED.plus_ms(life_s * 1000),
            };
            prop_assert_eq!(Token::open(&token.seal(&keys(4)), &keys(4), OPENED), Ok(token));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}", base in "[A-Za-z0-9_-]{64}") {
            prop_assert!(Token::open(&text, &keys(1), OPENED).is_err());
            prop_assert!(Token::open(&base, &keys(1), OPENED).is_err());
        }
    }

    #[test]
    fn refusals_say_what_and_never_more() {
        assert_eq!(TokenError::UnknownKey(3).to_string(), "the token's key 3 is not in force");
        assert_eq!(TokenError::Forged.code(), "token_forged");
    }
}
