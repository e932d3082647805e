//! The journal of every call the guest makes, so that tests can count round trips.

use std::collections::VecDeque;

use super::fault::{Fault, Op};

/// Calls kept; beyond it the oldest are forgotten, so that a long measurement does not eat the memory.
const CALLS_MAX: usize = 65_536;

/// Characters of a key kept; enough to know a statement by its first words.
const KEY_CHARS_MAX: usize = 100;

/// A call the guest made to a back end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it did.
    pub op: Op,
    /// What it did it to, cut to 100 characters: see [`Op`] for what the key of each kind is.
    pub key: String,
    /// The fault that struck it, if any.
    pub fault: Option<Fault>,
}

#[derive(Default)]
pub(super) struct Journal(VecDeque<Call>);

impl Journal {
    pub(super) fn note(&mut self, op: Op, key: &str, fault: Option<Fault>) {
        if self.0.len() == CALLS_MAX {
            self.0.pop_front();
        }
        let key = key.chars().take(KEY_CHARS_MAX).collect();
        self.0.push_back(Call { op, key, fault });
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.0.iter().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_calls_are_forgotten_and_long_keys_are_cut() {
        let mut journal = Journal::default();
        journal.note(Op::KvGet, "first", None);
        for _ in 0..CALLS_MAX {
            journal.note(Op::KvSet, &"é".repeat(KEY_CHARS_MAX + 1), None);
        }
        let calls = journal.calls();
        assert_eq!(calls.len(), CALLS_MAX);
        assert_eq!(calls[0].op, Op::KvSet);
        assert_eq!(calls[0].key.chars().count(), KEY_CHARS_MAX);
    }
}
