//! The secrets of an installation and their rotation: which step comes next, and when it may be taken.
//!
//! A rotation takes four steps, so that nothing is ever refused that was sealed in good faith:
//!
//! | step | what the keyring says after it | may be taken when |
//! | --- | --- | --- |
//! | [`Step::Add`] | the new key verifies, the old one mints | at any time |
//! | [`Step::Promote`] | the new key mints, the old one verifies | every edge and the origin accept the new key |
//! | [`Step::Confirm`] | the same; the old key's last hours are counted from here | none of them mints with the old key |
//! | [`Step::Retire`] | the old key is gone | [`RETIRE_AFTER_MS`] after that |
//!
//! After the first, second and last step the keyring has changed, and edges and origin are to be configured with it.
//! They need not change at one moment: what neighbouring keyrings mint, each of them verifies.

mod file;
mod probe;

use slotkeeper_core::{
    id::REQUEST_TIME_SKEW_MS_MAX,
    keys::{KEYS_MAX, KeyId},
    receipt::RECEIPT_LIFE_MS,
    time::UnixMillis,
    token::LIFE_MS_MAX,
};

pub use file::{FileError, KeysFile};
pub use probe::{Finding, Question, ask_all};

/// The longest life of a token, which may be dated ahead by [`REQUEST_TIME_SKEW_MS_MAX`].
const TOKEN_LIFE_MS_MAX: u64 = LIFE_MS_MAX + REQUEST_TIME_SKEW_MS_MAX;

/// How long after the last use of a key something it sealed may still come: a token, or a receipt with the rows of a break,
/// which lives longer; and an hour for an edge that was not heard, and for clocks.
pub const RETIRE_AFTER_MS: u64 =
    (if RECEIPT_LIFE_MS > TOKEN_LIFE_MS_MAX { RECEIPT_LIFE_MS } else { TOKEN_LIFE_MS_MAX }) + 3_600_000;

/// What a key is for, at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Seals, signs and authenticates.
    Minting,
    /// Verifies already, and will mint.
    Next,
    /// Has minted; some edge may not know yet that it no longer does.
    Former,
    /// Nobody mints with it any more; what it sealed dies.
    Retiring,
}

impl Role {
    const ALL: [Self; 4] = [Self::Minting, Self::Next, Self::Former, Self::Retiring];

    /// The role's name in the keys file and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minting => "minting",
            Self::Next => "next",
            Self::Former => "former",
            Self::Retiring => "retiring",
        }
    }
}

/// A secret with what it is for. Says nothing of the secret when printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Names it in the clear.
    pub id: KeyId,
    /// 64 hexadecimal digits.
    secret: String,
    /// What it is for.
    pub role: Role,
    /// Since when, where that is known.
    pub since: Option<UnixMillis>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// All keys of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new key, which only verifies.
    Add,
    /// The key `next` mints from now on, and the one that did only verifies.
    Promote {
        /// The key that will mint.
        next: KeyId,
    },
    /// Nobody mints with the former key any more.
    Confirm {
        /// The key that everybody mints with.
        minting: KeyId,
    },
    /// The key goes.
    Retire {
        /// Which.
        retiring: KeyId,
        /// Not before this.
        not_before: UnixMillis,
    },
}

/// Why a step cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Ids are from 0 to 15, and a keyring holds few.
    #[error("the keyring holds {0} keys already, of at most {KEYS_MAX}; take out by hand the ones you no longer need")]
    Full(usize),
}

impl Keys {
    /// The keys, in any order.
    pub fn all(&self) -> &[Key] {
        &self.0
    }

    /// The text of the keyring that edges and origin are configured with: the minting key first.
    pub fn keyring(&self) -> String {
        self.keyring_led_by(Role::Minting)
    }

    /// The keyring in which the next key mints already: to ask who would accept it.
    pub fn keyring_of_next(&self) -> String {
        self.keyring_led_by(Role::Next)
    }

    fn keyring_led_by(&self, first: Role) -> String {
        let mut keys: Vec<&Key> = self.0.iter().collect();
        keys.sort_by_key(|key| key.role != first); // stable
        keys.iter().map(|key| format!("{}:{}", key.id, key.secret)).collect::<Vec<_>>().join(",")
    }

    fn of(&self, role: Role) -> Option<&Key> {
        self.0.iter().find(|key| key.role == role)
    }

    /// The step that this rotation has come to; [`Step::Add`] begins the next one.
    pub fn next_step(&self) -> Step {
        if let Some(key) = self.of(Role::Retiring) {
            let not_before = key.since.map_or(UnixMillis(u64::MAX), |since| since.plus_ms(RETIRE_AFTER_MS));
            return Step::Retire { retiring: key.id, not_before };
        }
        match (self.of(Role::Former), self.of(Role::Next), self.of(Role::Minting)) {
            (Some(_), _, Some(minting)) => Step::Confirm { minting: minting.id },
            (_, Some(next), _) => Step::Promote { next: next.id },
            _ => Step::Add,
        }
    }

    /// Takes `step`, which is the one that [`next_step`](Self::next_step) has named. `secret` is of use to the first.
    pub fn take(&mut self, step: Step, secret: String, now: UnixMillis) -> Result<(), StepError> {
        match step {
            Step::Add => {
                let unused = self.unused_id().filter(|_| self.0.len() < KEYS_MAX);
                let id = unused.ok_or(StepError::Full(self.0.len()))?;
                self.0.push(Key { id, secret, role: Role::Next, since: Some(now) });
            }
            Step::Promote { .. } => {
                self.turn(Role::Minting, Role::Former, now);
                self.turn(Role::Next, Role::Minting, now);
            }
            Step::Confirm { .. } => self.turn(Role::Former, Role::Retiring, now),
            Step::Retire { .. } => self.0.retain(|key| key.role != Role::Retiring),
        }
        Ok(())
    }

    fn turn(&mut self, from: Role, to: Role, now: UnixMillis) {
        for key in self.0.iter_mut().filter(|key| key.role == from) {
            (key.role, key.since) = (to, Some(now));
        }
    }

    /// The id after the minting one, round the corner: so that an id comes again as late as it can.
    fn unused_id(&self) -> Option<KeyId> {
        let last = self.of(Role::Minting).map_or(0, |key| key.id);
        (1..16).map(|step| (last + step) % 16).find(|id| self.0.iter().all(|key| key.id != *id))
    }
}

#[cfg(test)]
mod tests {
    use slotkeeper_core::{
        id::{AdId, BreakId, OpportunityId, RecordId},
        keys::{Keyring, Purpose},
        token::{EventClass, Token, TokenError},
    };

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn secret(n: u8) -> String {
        format!("{n:02x}").repeat(32)
    }

    fn first() -> Keys {
        Keys(vec![Key { id: 1, secret: secret(1), role: Role::Minting, since: None }])
    }

    /// The keyrings that a rotation goes through, and its steps.
    fn rotation() -> (Vec<Keyring>, Vec<Step>) {
        let mut keys = first();
        let (mut keyrings, mut steps) = (vec![Keyring::parse(&keys.keyring()).unwrap()], Vec::new());
        for _ in 0..4 {
            let step = keys.next_step();
            keys.take(step, secret(2), NOW).unwrap();
            steps.push(step);
            keyrings.push(Keyring::parse(&keys.keyring()).unwrap());
        }
        assert_eq!(keys.next_step(), Step::Add, "and the next one can begin");
        (keyrings, steps)
    }

    fn token(keys: &Keyring) -> String {
        let opportunity_id = OpportunityId::mint(BreakId([3; 16]), 0, NOW);
        let (ad_id, record_id, class) = (AdId(1), RecordId([1; 8]), EventClass::Any);
        Token { opportunity_id, ad_id, record_id, class, holds_claim: true, expires_at: NOW.plus_ms(7_200_000) }
            .seal(keys)
    }

    #[test]
    fn a_rotation_adds_promotes_confirms_and_retires() {
        let (keyrings, steps) = rotation();
        let not_before = NOW.plus_ms(RETIRE_AFTER_MS);
        let expected = [
            Step::Add,
            Step::Promote { next: 2 },
            Step::Confirm { minting: 2 },
            Step::Retire { retiring: 1, not_before },
        ];
        assert_eq!(steps, expected);
        let minting: Vec<KeyId> = keyrings.iter().map(|keys| keys.minting(Purpose::Token).0).collect();
        assert_eq!(minting, [1, 1, 2, 2, 2]);
    }

    #[test]
    fn neighbouring_keyrings_accept_each_others_bearers_tokens_and_nothing_breaks_on_the_way() {
        let (keyrings, _) = rotation();
        for pair in keyrings.windows(2) {
            for (sender, receiver) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                for purpose in [Purpose::Admin, Purpose::Collector] {
                    assert!(receiver.accepts_bearer(purpose, &sender.bearer(purpose)));
                }
                assert!(Token::open(&token(sender), receiver, NOW).is_ok());
            }
        }
    }

    #[test]
    fn a_token_opens_until_its_key_is_retired_which_is_after_the_longest_life() {
        let (keyrings, _) = rotation();
        let old = token(&keyrings[0]);
        for keys in &keyrings[..4] {
            assert!(Token::open(&old, keys, NOW).is_ok());
        }
        assert_eq!(Token::open(&old, &keyrings[4], NOW), Err(TokenError::UnknownKey(1)));
        const { assert!(RETIRE_AFTER_MS > TOKEN_LIFE_MS_MAX && RETIRE_AFTER_MS > RECEIPT_LIFE_MS) };
    }

    #[test]
    fn ids_go_round_and_never_meet_a_key_in_use() {
        let mut keys = first();
        for n in 0..40 {
            let step = keys.next_step();
            keys.take(step, secret(n), NOW).unwrap();
            Keyring::parse(&keys.keyring()).unwrap();
        }
        let mut full =
            Keys((0..5).map(|id| Key { id, secret: secret(id), role: Role::Minting, since: None }).collect());
        assert_eq!(full.take(Step::Add, secret(9), NOW), Err(StepError::Full(5)));
    }

    #[test]
    fn a_key_does_not_show_its_secret() {
        assert!(!format!("{:?}", first()).contains("0101"));
    }
}
