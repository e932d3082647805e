//! Secrets and what is derived from them.
//!
//! A [`Keyring`] holds one or more 32-byte secrets by key id. The first one mints; all of them verify, so keys rotate
//! with overlap. Each purpose gets a key of its own (BLAKE3 key derivation), so a token key never authenticates a plan.

use alloc::{string::String, vec::Vec};
use core::fmt::Write as _;

use crate::id::{BreakId, SessionKey, ViewerKey};

/// The most keys a keyring may hold: two generations of overlap on either side of the current one.
pub const KEYS_MAX: usize = 5;

/// A small number that names a secret, carried in the clear by whatever it protects. Less than 16.
pub type KeyId = u8;

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Sealing tokens.
    Token,
    /// Authenticating plans.
    Plan,
    /// The edge's calls to the origin's collector.
    Collector,
    /// The origin's calls to the edge: publishing a plan, asking for the outbox.
    Admin,
    /// Sealing rows that travel in an answer.
    Receipt,
}

impl Purpose {
    fn context(self) -> &'static str {
        match self {
            Self::Token => "slotkeeper 2026-11 token",
            Self::Plan => "slotkeeper 2026-11 plan",
            Self::Collector => "slotkeeper 2026-11 collector bearer",
            Self::Admin => "slotkeeper 2026-11 admin bearer",
            Self::Receipt => "slotkeeper 2026-11 receipt",
        }
    }
}

/// Why a keyring's text was refused. Never holds the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Not `id:hex`.
    #[error("key {position} of the keyring is not ID:HEX, with ID from 0 to 15 and HEX of 64 hexadecimal digits")]
    Malformed {
        /// Counted from 1.
        position: usize,
    },
    /// Two keys with one id.
    #[error("key id {0} stands twice in the keyring; give each key an id of its own")]
    Repeated(KeyId),
    /// None, or more than [`KEYS_MAX`].
    #[error("the keyring holds {0} keys; it needs 1 to {KEYS_MAX}")]
    Count(usize),
}

/// The secrets in force, newest first.
#[derive(Clone)]
pub struct Keyring(Vec<(KeyId, [u8; 32])>);

impl Keyring {
    /// Reads `ID:HEX[,ID:HEX…]`, the minting key first.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keys: Vec<(KeyId, [u8; 32])> = Vec::new();
        for (index, entry) in text.trim().split(',').enumerate() {
            let malformed = KeyringError::Malformed { position: index + 1 };
            let (id, hex) = entry.trim().split_once(':').ok_or(malformed.clone())?;
            let id: KeyId = id.parse().ok().filter(|id| *id < 16).ok_or(malformed.clone())?;
            let secret = hex_bytes(hex).ok_or(malformed)?;
            if keys.iter().any(|(known, _)| *known == id) {
                return Err(KeyringError::Repeated(id));
            }
            keys.push((id, secret));
        }
        match keys.len() {
            1..=KEYS_MAX => Ok(Self(keys)),
            n => Err(KeyringError::Count(n)),
        }
    }

    /// The key to mint with: its id and the key derived for `purpose`.
    pub fn minting(&self, purpose: Purpose) -> (KeyId, [u8; 32]) {
        let (id, secret) = &self.0[0]; // parse() refuses an empty keyring
        (*id, blake3::derive_key(purpose.context(), secret))
    }

    /// The key derived for `purpose` under `id`, if that key is still in force.
    pub fn verifying(&self, purpose: Purpose, id: KeyId) -> Option<[u8; 32]> {
        let (_, secret) = self.0.iter().find(|(known, _)| *known == id)?;
        Some(blake3::derive_key(purpose.context(), secret))
    }

    /// The bearer to send on calls of this purpose: `ID.HEX`.
    pub fn bearer(&self, purpose: Purpose) -> String {
        let (id, key) = self.minting(purpose);
        let mut text = String::new();
        let _ = write!(text, "{id}.{}", blake3::Hash::from_bytes(key).to_hex());
        text
    }

    /// Whether `bearer` is one that a key in force would send. Compares in constant time.
    pub fn accepts_bearer(&self, purpose: Purpose, bearer: &str) -> bool {
        let Some((id, hex)) = bearer.split_once('.') else { return false };
        let Some(key) = id.parse().ok().and_then(|id| self.verifying(purpose, id)) else { return false };
        // blake3::Hash compares in constant time.
        hex_bytes(hex).is_some_and(|sent| blake3::Hash::from_bytes(key) == blake3::Hash::from_bytes(sent))
    }
}

/// What a viewer may be known by. Pseudonyms of two kinds, or of two ids, have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy<'a> {
    /// The profile: from session to session.
    Profile(&'a str),
    /// The session: nothing links it to another.
    Session(&'a str),
    /// The request: nothing links it to anything.
    Request(&'a str),
}

impl<'a> KnownBy<'a> {
    /// What the hashes of viewer, break and session begin with, and the id.
    fn contexts(self) -> ([&'static [u8]; 3], &'a [u8]) {
        match self {
            Self::Profile(id) => ([b"viewer", b"break", b"session"], id.as_bytes()),
            Self::Session(id) => ([b"session's viewer", b"session's break", b"session's session"], id.as_bytes()),
            Self::Request(id) => ([b"request's viewer", b"request's break", b"request's session"], id.as_bytes()),
        }
    }
}

/// Turns a `profile_id` into the pseudonym under which a viewer is stored.
///
/// It has a secret of its own, which does not rotate: with another secret every viewer would look new, and every cap
/// would start again from zero.
#[derive(Clone)]
pub struct Pseudonyms([u8; 32]);

impl Pseudonyms {
    /// Reads the secret: 64 hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let secret = hex_bytes(hex.trim())?;
        Some(Self(blake3::derive_key("slotkeeper 2026-11 pseudonym", &secret)))
    }

    /// The viewer's pseudonym: the same for the same profile, meaningless without the secret.
    pub fn viewer(&self, profile_id: &str) -> ViewerKey {
        self.viewer_known_by(KnownBy::Profile(profile_id))
    }

    /// The identity of a break: the same for every retry of one request by one profile. Begins with the viewer's bucket.
    pub fn break_id(&self, profile_id: &str, request_id: &str) -> BreakId {
        self.break_known_by(KnownBy::Profile(profile_id), request_id)
    }

    /// A viewing session's pseudonym: the same for the same session of the same profile.
    pub fn session(&self, profile_id: &str, session_id: &str) -> SessionKey {
        self.session_known_by(KnownBy::Profile(profile_id), session_id)
    }

    /// The pseudonym of a viewer who may be known by this, and by nothing else.
    pub fn viewer_known_by(&self, known_by: KnownBy<'_>) -> ViewerKey {
        let ([viewer, ..], id) = known_by.contexts();
        ViewerKey(self.hash16(&[viewer, id]))
    }

    /// The identity of such a viewer's break: the same for every retry of one request. Begins with the viewer's bucket.
    pub fn break_known_by(&self, known_by: KnownBy<'_>, request_id: &str) -> BreakId {
        let ([_, of_break, _], id) = known_by.contexts();
        let mut hash = self.hash16(&[of_break, id, request_id.as_bytes()]);
        hash[..2].copy_from_slice(&self.viewer_known_by(known_by).0[..2]);
        BreakId(hash)
    }

    /// The pseudonym of such a viewer's session.
    pub fn session_known_by(&self, known_by: KnownBy<'_>, session_id: &str) -> SessionKey {
        let ([.., session], id) = known_by.contexts();
        let mut key = [0; 8];
        key.copy_from_slice(&self.hash16(&[session, id, session_id.as_bytes()])[..8]);
        SessionKey(key)
    }

    /// The pseudonym of the session that a client reports in. It has nothing in common with that of the breaks it asked for:
    /// who reports does not say who watches.
    pub fn reporting_session(&self, session_id: &str) -> SessionKey {
        let mut key = [0; 8];
        key.copy_from_slice(&self.hash16(&[b"reporting session", session_id.as_bytes()])[..8]);
        SessionKey(key)
    }

    fn hash16(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let mut out = [0; 16];
        hasher.finalize_xof().fill(&mut out);
        out
    }
}

/// Those who ask and report for viewers' devices: named by the deployment, each with a secret of its own.
#[derive(Clone, Default)]
pub struct Stitchers(Vec<(String, [u8; 32])>);

/// The most stitchers that a deployment may name.
pub const STITCHERS_MAX: usize = 64;

impl Stitchers {
    /// Reads `NAME:HEX[,NAME:HEX…]`, each secret of 64 hexadecimal digits; each name once, and without a dot.
    pub fn parse(text: &str) -> Option<Self> {
        let mut all: Vec<(String, [u8; 32])> = Vec::new();
        for entry in text.trim().split(',') {
            let (name, hex) = entry.trim().split_once(':')?;
            let is_new = !name.is_empty() && !name.contains('.') && all.iter().all(|(known, _)| known != name);
            all.push((Some(name).filter(|_| is_new)?.into(), hex_bytes(hex)?));
        }
        Some(Self(all)).filter(|stitchers| stitchers.0.len() <= STITCHERS_MAX)
    }

    /// Whether `bearer`, `NAME.HEX`, is that of one of them. Compares in constant time.
    pub fn accept(&self, bearer: &str) -> bool {
        let Some((name, hex)) = bearer.split_once('.') else { return false };
        let Some((_, secret)) = self.0.iter().find(|(known, _)| known == name) else { return false };
        hex_bytes(hex).is_some_and(|sent| blake3::Hash::from_bytes(*secret) == blake3::Hash::from_bytes(sent))
    }
}

fn hex_bytes(hex: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(hex.as_bytes()).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    const A: &str = "1:00000000000000000000000000000000000000000000000000000000000000aa";
    const B: &str = "2:00000000000000000000000000000000000000000000000000000000000000bb";

    #[test]
    fn the_first_key_mints_and_every_key_verifies() {
        let before = Keyring::parse(A).unwrap();
        let during = Keyring::parse(&format!("{B},{A}")).unwrap();
        assert!(during.accepts_bearer(Purpose::Admin, &before.bearer(Purpose::Admin)));
        assert!(!before.accepts_bearer(Purpose::Admin, &during.bearer(Purpose::Admin)), "key 2 is unknown there");
        assert!(!during.accepts_bearer(Purpose::Admin, &before.bearer(Purpose::Collector)), "purposes are apart");
        assert_eq!(during.minting(Purpose::Token).0, 2);
    }

    #[test]
    fn a_bad_keyring_is_refused_with_the_position_of_the_fault() {
        let refused = |text: &str| Keyring::parse(text).err().unwrap();
        assert_eq!(refused(""), KeyringError::Malformed { position: 1 });
        assert_eq!(refused(&format!("{A},2:zz")), KeyringError::Malformed { position: 2 });
        assert_eq!(refused(&A.replace("1:", "16:")), KeyringError::Malformed { position: 1 });
        assert_eq!(refused(&format!("{A},{A}")), KeyringError::Repeated(1));
        for bearer in ["", "1", "1.", "1.aa", "99.aa", "x.y"] {
            assert!(!Keyring::parse(A).unwrap().accepts_bearer(Purpose::Admin, bearer), "{bearer}");
        }
    }

    #[test]
    fn a_stitcher_is_known_by_its_name_and_its_own_secret() {
        let [one, two] = ["ab", "cd"].map(|byte| byte.repeat(32));
        let stitchers = Stitchers::parse(&format!("one:{one}, two:{two}")).unwrap();
        assert!(stitchers.accept(&format!("one.{one}")) && stitchers.accept(&format!("two.{two}")));
        let refused =
            [format!("one.{two}"), format!("three.{one}"), format!("one.{}", &one[2..]), one.clone(), String::new()];
        assert!(refused.iter().all(|bearer: &String| !stitchers.accept(bearer)));
        assert!(!Stitchers::default().accept(&format!("one.{one}")));
        let malformed =
            ["", "one", "one:ab", &format!("a.b:{one}"), &format!(":{one}"), &format!("one:{one},one:{two}")];
        assert!(malformed.iter().all(|text| Stitchers::parse(text).is_none()));
    }

    #[test]
    fn without_the_secret_a_pseudonym_can_neither_be_made_nor_recognised() {
        let [ours, guessed] = ["ab", "ac"].map(|byte| Pseudonyms::parse(&byte.repeat(32)).unwrap());
        assert_ne!(ours.viewer("profile-1"), guessed.viewer("profile-1"));
        assert_ne!(ours.session("profile-1", "s"), guessed.session("profile-1", "s"));
        assert_ne!(ours.reporting_session("s"), guessed.reporting_session("s"));
        assert_ne!(ours.reporting_session("s"), ours.session("", "s"));
        assert_ne!(ours.viewer("profile-1").0[..], blake3::hash(b"profile-1").as_bytes()[..16], "it is keyed");
    }

    #[test]
    fn pseudonyms_do_not_collide_by_concatenation() {
        let p = Pseudonyms::parse(&"ab".repeat(32)).unwrap();
        assert_eq!(p.viewer("x"), p.viewer("x"));
        assert_ne!(p.break_id("ab", "c").0[2..], p.break_id("a", "bc").0[2..]);
        assert_eq!(p.break_id("ab", "c").0[..2], p.viewer("ab").0[..2]);
        assert_ne!(p.session("ab", "c"), p.session("a", "bc"));
    }

    #[test]
    fn a_viewer_who_is_known_by_their_session_has_nothing_in_common_with_their_profile() {
        let p = Pseudonyms::parse(&"ab".repeat(32)).unwrap();
        let known_by = [KnownBy::Profile("x"), KnownBy::Session("x"), KnownBy::Request("x"), KnownBy::Session("y")];
        for (place, one) in known_by.into_iter().enumerate() {
            assert_eq!(p.break_known_by(one, "r").0[..2], p.viewer_known_by(one).0[..2], "{one:?} leads to its shard");
            for other in &known_by[place + 1..] {
                assert_ne!(p.viewer_known_by(one), p.viewer_known_by(*other));
                assert_ne!(p.break_known_by(one, "r").0[2..], p.break_known_by(*other, "r").0[2..]);
                assert_ne!(p.session_known_by(one, "s"), p.session_known_by(*other, "s"));
            }
        }
        assert_eq!(p.viewer_known_by(KnownBy::Profile("x")), p.viewer("x"), "as it always was");
    }
}
