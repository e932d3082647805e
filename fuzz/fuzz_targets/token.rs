//! A token as a client sends it: nothing panics, and nothing opens but what our keys sealed, unaltered.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slotkeeper_core::{
    keys::Keyring,
    time::UnixMillis,
    token::{TOKEN_CHARS, Token, TokenError},
};
use slotkeeper_fuzz::{NOW, keyrings, keys, seed, token_from};

fuzz_target!(init: seed("sealed", token_from(&[7; 32]).seal(&keys())), |bytes: &[u8]| {
    let keys = keys();
    if let Ok(text) = core::str::from_utf8(bytes)
        && let Ok(token) = Token::open(text, &keys, NOW)
    {
        let resealed = keyrings().iter().any(|keys| token.seal(keys) == text);
        assert!(resealed, "{text:?} opens to {token:?}, which seals to something else");
    }
    seal_and_alter(bytes, &keys);
});

/// Any content can be sealed; it opens to itself while it lives, and not at all once a character of it is another.
fn seal_and_alter(bytes: &[u8], keys: &Keyring) {
    let token = token_from(bytes);
    let sealed = token.seal(keys);
    assert_eq!(sealed.len(), TOKEN_CHARS);
    let last = UnixMillis(token.expires_at.0 - 1);
    assert_eq!(Token::open(&sealed, keys, last), Ok(token));
    assert_eq!(Token::open(&sealed, keys, token.expires_at), Err(TokenError::Expired(token.expires_at)));

    let at = usize::from(bytes.last().copied().unwrap_or_default()) % TOKEN_CHARS;
    let other = if sealed.as_bytes()[at] == b'A' { "B" } else { "A" };
    let mut altered = sealed.clone();
    altered.replace_range(at..=at, other);
    assert!(Token::open(&altered, keys, last).is_err(), "{altered} opens, and {sealed} was sealed");
}
