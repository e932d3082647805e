//! What can go wrong at a back end, and the rules that say when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// A kind of call that the guest makes to the world outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Opens a key-value store; the key is its label.
    KvOpen,
    /// Reads a value.
    KvGet,
    /// Writes a value.
    KvSet,
    /// Deletes a value.
    KvDelete,
    /// Asks whether there is a value.
    KvExists,
    /// Lists all keys; its own key is empty.
    KvGetKeys,
    /// Opens a SQLite connection; the key is the database's label.
    SqlOpen,
    /// Executes one statement; the key is its text, every run of white space as one space.
    SqlExecute,
    /// Reads a variable; the key is its name.
    VariableGet,
    /// Sends an HTTP request; the key is its method and URL, as in `GET http://127.0.0.1:8080/plan`.
    HttpSend,
    /// Opens a Redis connection; the key is its address.
    RedisOpen,
    /// Sends one Redis command; the key is its name and its arguments as text, with a space between two.
    RedisExecute,
}

impl Op {
    /// Whether this is a round trip to a store: the reads and writes, but not the opening of handles.
    pub fn is_round_trip(self) -> bool {
        match self {
            Op::KvGet | Op::KvSet | Op::KvDelete | Op::KvExists | Op::KvGetKeys | Op::SqlExecute | Op::RedisExecute => {
                true
            }
            Op::KvOpen | Op::SqlOpen | Op::VariableGet | Op::HttpSend | Op::RedisOpen => false,
        }
    }
}

/// One or several [`Op`]s, so that one rule can take a whole store down.
#[derive(Clone, Debug)]
pub struct Ops(Vec<Op>);

impl From<Op> for Ops {
    fn from(op: Op) -> Self {
        Ops(vec![op])
    }
}

impl<const N: usize> From<[Op; N]> for Ops {
    fn from(ops: [Op; N]) -> Self {
        Ops(ops.to_vec())
    }
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done and the guest gets an error with this text.
    Error(&'static str),
    /// The call waits this long and then does its work, even if the guest has stopped waiting by then: a commit that
    /// timed out may still land.
    Hang(Duration),
    /// The work is done, but the guest gets an error with this text.
    Ambiguous(&'static str),
    /// The guest traps inside the call, as if it had panicked: its instance and every request in it die.
    Trap,
}

/// A rule that was injected: counts the calls it has struck, so a test can tell that its fault happened at all.
#[derive(Clone, Debug)]
pub struct Injection(Arc<AtomicU32>);

impl Injection {
    /// How many calls the fault has struck so far.
    pub fn struck(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

struct Rule {
    ops: Ops,
    pattern: String,
    spared: u32,
    left: u32,
    fault: Fault,
    struck: Injection,
}

impl Rule {
    /// Counts a call that the rule is about; true if the fault strikes it.
    fn strikes(&mut self, op: Op, key: &str) -> bool {
        if self.left == 0 || !self.ops.0.contains(&op) || !matches(&self.pattern, key) {
            return false;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return false;
        }
        // `u32::MAX` times means for ever.
        if self.left != u32::MAX {
            self.left -= 1;
        }
        self.struck.0.fetch_add(1, Relaxed);
        true
    }
}

/// The injected rules, oldest first; the first one that strikes a call decides.
#[derive(Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn add(&mut self, ops: Ops, pattern: &str, spared: u32, times: u32, fault: Fault) -> Injection {
        let struck = Injection(Arc::default());
        self.0.push(Rule { ops, pattern: pattern.to_owned(), spared, left: times, fault, struck: struck.clone() });
        struck
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that strikes this call, if any.
    pub(super) fn strike(&mut self, op: Op, key: &str) -> Option<Fault> {
        let rule = self.0.iter_mut().find_map(|rule| rule.strikes(op, key).then_some(rule.fault));
        self.0.retain(|rule| rule.left > 0);
        rule
    }
}

/// Whether `key` is of the form `pattern`, where `*` stands for any text.
fn matches(pattern: &str, key: &str) -> bool {
    let Some((head, pattern)) = pattern.split_once('*') else {
        return pattern == key;
    };
    let Some(mut rest) = key.strip_prefix(head) else {
        return false;
    };
    let (middle, tail) = pattern.rsplit_once('*').unwrap_or(("", pattern));
    for part in middle.split('*') {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: Fault = Fault::Error("down");

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, key, expected) in [
            ("plan", "plan", true),
            ("plan", "plans", false),
            ("*", "", true),
            ("*", "anything", true),
            ("plan/*", "plan/7", true),
            ("plan/*", "plan", false),
            ("*7", "plan/7", true),
            ("*7", "plan/78", false),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("a**c", "abc", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} on {key}");
        }
    }

    #[test]
    fn a_rule_strikes_as_often_as_it_says_and_counts_it() {
        let mut rules = Rules::default();
        let injection = rules.add(Op::KvGet.into(), "*", 0, 2, ERROR);
        let struck = [(); 3].map(|()| rules.strike(Op::KvGet, "k"));
        assert_eq!(struck, [Some(ERROR), Some(ERROR), None]);
        assert_eq!(injection.struck(), 2);
    }

    #[test]
    fn a_rule_spares_the_first_calls_it_is_told_to() {
        let mut rules = Rules::default();
        rules.add(Op::SqlExecute.into(), "COMMIT", 1, 1, ERROR);
        assert_eq!(rules.strike(Op::SqlExecute, "BEGIN"), None);
        assert_eq!(rules.strike(Op::SqlExecute, "COMMIT"), None);
        assert_eq!(rules.strike(Op::SqlExecute, "COMMIT"), Some(ERROR));
    }

    #[test]
    fn a_rule_is_about_its_operations_and_keys_only() {
        let mut rules = Rules::default();
        rules.add([Op::KvGet, Op::KvSet].into(), "plan*", 0, u32::MAX, Fault::Trap);
        assert_eq!(rules.strike(Op::KvDelete, "plan"), None);
        assert_eq!(rules.strike(Op::KvSet, "registry"), None);
        for _ in 0..3 {
            assert_eq!(rules.strike(Op::KvSet, "plan"), Some(Fault::Trap));
        }
        rules.clear();
        assert_eq!(rules.strike(Op::KvSet, "plan"), None);
    }

    #[test]
    fn the_oldest_rule_decides() {
        let mut rules = Rules::default();
        rules.add(Op::KvGet.into(), "*", 0, 1, ERROR);
        rules.add(Op::KvGet.into(), "*", 0, 1, Fault::Trap);
        assert_eq!(rules.strike(Op::KvGet, "k"), Some(ERROR));
        assert_eq!(rules.strike(Op::KvGet, "k"), Some(Fault::Trap));
    }
}
