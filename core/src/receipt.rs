//! Receipts: rows that travel in the answer to the player, sealed, because nobody else could take them.
//!
//! The player can neither read nor alter one, only post it. It holds facts like any other batch, so one that is posted
//! twice, or whose rows came another way after all, changes nothing.

use alloc::{string::String, vec::Vec};

use aes_siv::{KeyInit as _, siv::Aes128Siv};
use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::{
    fact::Fact,
    keys::{Keyring, Purpose},
    time::UnixMillis,
};

/// The longest receipt, in characters: a break of 16 slots of a viewer with as many claims as one may hold.
pub const RECEIPT_CHARS_MAX: usize = 160 * 1024;
/// How long after it was sealed a receipt is taken, in milliseconds: a week.
pub const RECEIPT_LIFE_MS: u64 = 7 * 24 * 3_600_000;

const FORMAT: u8 = 1;

/// Why a receipt was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not base64url, or of a format this build does not know.
    #[error("the receipt is not base64url of at most {RECEIPT_CHARS_MAX} characters in a known format")]
    Malformed,
    /// Sealed with a key that is not in force.
    #[error("the receipt's key {0} is not in force")]
    UnknownKey(u8),
    /// The seal does not hold: altered or made up.
    #[error("the receipt's seal does not hold")]
    Forged,
    /// Its life is over.
    #[error("the receipt expired at {} (Unix ms)", .0.0)]
    Expired(UnixMillis),
}

impl ReceiptError {
    /// The stable name of the refusal.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "receipt_malformed",
            Self::UnknownKey(_) => "receipt_key_unknown",
            Self::Forged => "receipt_forged",
            Self::Expired(_) => "receipt_expired",
        }
    }
}

/// Seals facts at `now`.
pub fn seal(facts: &[Fact], keys: &Keyring, now: UnixMillis) -> String {
    let (key_id, key) = keys.minting(Purpose::Receipt);
    let head = FORMAT << 4 | key_id;
    let mut plain = now.0.to_le_bytes().to_vec();
    plain.extend(serde_json::to_vec(facts).unwrap_or_else(|_| unreachable!("string keys only")));
    let sealed = Aes128Siv::new(&key.into())
        .encrypt([[head]], &plain)
        .unwrap_or_else(|_| unreachable!("what a break says is within what AES-SIV encrypts"));
    let mut bytes = Vec::with_capacity(1 + sealed.len());
    bytes.push(head);
    bytes.extend_from_slice(&sealed);
    Base64UrlUnpadded::encode_string(&bytes)
}

/// Opens a receipt that was posted at `now`.
pub fn open(text: &str, keys: &Keyring, now: UnixMillis) -> Result<Vec<Fact>, ReceiptError> {
    if text.len() > RECEIPT_CHARS_MAX {
        return Err(ReceiptError::Malformed);
    }
    let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|_| ReceiptError::Malformed)?;
    let (head, sealed) = bytes.split_first().ok_or(ReceiptError::Malformed)?;
    let (format, key_id) = (head >> 4, head & 0x0f);
    if format != FORMAT {
        return Err(ReceiptError::Malformed);
    }
    let key = keys.verifying(Purpose::Receipt, key_id).ok_or(ReceiptError::UnknownKey(key_id))?;
    let plain = Aes128Siv::new(&key.into()).decrypt([[*head]], sealed).map_err(|_| ReceiptError::Forged)?;
    let (sealed_at, facts) = plain.split_first_chunk().ok_or(ReceiptError::Malformed)?;
    let dies_at = UnixMillis(u64::from_le_bytes(*sealed_at)).plus_ms(RECEIPT_LIFE_MS);
    if dies_at <= now {
        return Err(ReceiptError::Expired(dies_at));
    }
    serde_json::from_slice(facts).map_err(|_| ReceiptError::Malformed)
}

#[cfg(test)]
mod tests {
    use std::{format, vec};

    use super::*;
    use crate::{
        beacon::Event,
        fact::BeaconFact,
        id::{AdId, OpportunityId, RecordId},
    };

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn keys(id: u8) -> Keyring {
        Keyring::parse(&format!("{id}:{:064x}", 0xfeed + u32::from(id))).unwrap()
    }

    fn facts() -> Vec<Fact> {
        vec![Fact::Beacon(BeaconFact {
            opportunity_id: OpportunityId([1; 16]),
            ad_id: AdId(1),
            record_id: RecordId([1; 8]),
            event: Event::Start,
            at: NOW,
            received_at: NOW,
            session: None,
            invalid_traffic: None,
            error_code: None,
            idle_s: None,
        })]
    }

    #[test]
    fn a_receipt_opens_to_what_was_sealed_until_its_life_is_over() {
        let text = seal(&facts(), &keys(1), NOW);
        assert_eq!(open(&text, &keys(1), NOW), Ok(facts()));
        let dies_at = NOW.plus_ms(RECEIPT_LIFE_MS);
        assert_eq!(open(&text, &keys(1), dies_at), Err(ReceiptError::Expired(dies_at)));
        assert_eq!(open(&text, &keys(2), NOW), Err(ReceiptError::UnknownKey(1)));
    }

    #[test]
    fn any_altered_bit_is_refused_and_nothing_panics() {
        let sealed = Base64UrlUnpadded::decode_vec(&seal(&facts(), &keys(1), NOW)).unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&Base64UrlUnpadded::encode_string(&altered), &keys(1), NOW).is_err(), "bit {bit}");
        }
        for odd in ["", "A", "EA", "====", "é", &"A".repeat(RECEIPT_CHARS_MAX + 1)] {
            assert!(open(odd, &keys(1), NOW).is_err());
        }
    }
}
