//! Whether a ledger says what follows from its own entries: every one is made again, from the first.

use std::collections::BTreeMap;

use super::{
    LedgerError,
    rows::{Entry, MakeGood},
    state::{Balances, State, balances, lines},
    terms::Terms,
};

/// Something that is not as it follows from the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose make-good.
    pub flight: String,
    /// In which entry, if it is in one.
    pub entry_id: Option<u64>,
    /// What is wrong.
    pub message: String,
}

/// How a make-good stands as far as its entries were made again.
struct Again<'a> {
    recorded: &'a MakeGood,
    terms: Terms,
    state: State,
    balances: Balances,
    seq: u64,
}

/// Makes every entry again, from the first, and says where they or the make-goods say something else.
pub fn verify(make_goods: &[MakeGood], entries: &[Entry]) -> Result<Vec<Finding>, LedgerError> {
    let mut findings = vec![];
    let mut all: BTreeMap<u64, Again<'_>> = make_goods.iter().map(|one| (one.make_good_id, Again::new(one))).collect();
    for entry in entries {
        let mut found = |message: String| {
            findings.push(Finding { flight: entry.flight.clone(), entry_id: Some(entry.entry_id), message });
        };
        let sum: i128 = entry.lines.iter().map(|(_, micros)| i128::from(*micros)).sum();
        if sum != 0 {
            found(format!("its lines add up to {sum} micros, not 0"));
        }
        match all.get_mut(&entry.make_good_id) {
            Some(again) => again.follow(entry)?.into_iter().for_each(found),
            None => found("it is of no make-good".into()),
        }
    }
    for again in all.values() {
        let recorded = again.recorded;
        let mut found = |message: &str| {
            findings.push(Finding { flight: recorded.flight.clone(), entry_id: None, message: message.into() });
        };
        if recorded.seq == 0 {
            found("it has no entry");
        } else if (&again.state, &again.balances) != (&recorded.state, &recorded.balances) {
            found("its last entry or the sum of its lines is not what its entries come to");
        }
        if recorded.liability_micros() < 0 {
            found("less than nothing is owed");
        }
    }
    Ok(findings)
}

impl<'a> Again<'a> {
    fn new(recorded: &'a MakeGood) -> Self {
        let terms = recorded.minted.clone();
        let state = State { delivered: terms.committed, ..State::default() };
        Self { recorded, terms, state, balances: Balances::new(), seq: 0 }
    }

    /// Makes an entry again. Returns what it should have said.
    fn follow(&mut self, entry: &Entry) -> Result<Vec<String>, LedgerError> {
        let mut wrong = vec![];
        self.seq += 1;
        if entry.seq != self.seq {
            wrong.push(format!("its place is {}, and {} comes next", entry.seq, self.seq));
        }
        let after = match entry.request.after(&self.recorded.flight, self.terms.committed, &self.state) {
            Ok(after) => after,
            Err(LedgerError::Refused { reason, .. }) => {
                wrong.push(format!("it could not have happened: {reason}"));
                entry.state.clone()
            }
            Err(error) => return Err(error),
        };
        let mut terms = self.terms.clone();
        entry.request.amend(&mut terms, &self.state);
        if after != entry.state {
            wrong.push(format!("it says {:?}, and {after:?} follows", entry.state));
        }
        if after.status(terms.committed).as_str() != entry.status {
            wrong.push(format!(
                "its status is {}, and {} follows",
                entry.status,
                after.status(terms.committed).as_str()
            ));
        }
        let now = balances(&terms, &self.balances, &self.state, &after)?;
        let moved = lines(&self.balances, &now);
        if moved != entry.lines {
            wrong.push(format!("its lines are {:?}, and {moved:?} follow", entry.lines));
        }
        (self.terms, self.state, self.balances) = (terms, after, now);
        Ok(wrong)
    }
}
