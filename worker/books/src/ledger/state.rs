//! How a make-good stands, and what its accounts hold then. Pure.
//!
//! An entry's lines are what the accounts hold after it less what they held before, so no rounding is ever booked twice: what a
//! make-good is worth follows from its shortfall and its terms, and each part of it is what that part adds to the parts before.

use std::collections::BTreeMap;

use super::{
    LedgerError,
    account::Account,
    terms::{MadeGood, Terms},
};

/// How a make-good stands, in impressions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What the flight delivered.
    pub delivered: u64,
    /// What bonus flights are to deliver: of those that are over, what they did.
    pub scheduled: u64,
    /// What they delivered of that.
    pub fulfilled: u64,
    /// What was credited.
    pub credited: u64,
    /// What invoices were adjusted by.
    pub invoice_adjusted: u64,
    /// Whether it was never owed.
    pub is_void: bool,
}

/// What became of a make-good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Something of it is owed, and no bonus flight is to deliver that.
    Pending,
    /// Something of it is owed, and bonus flights are to deliver all of that.
    Scheduled,
    /// Nothing is owed any more: bonus flights, or late beacons of the flight itself, delivered all of it.
    Fulfilled,
    /// Nothing is owed any more, and money made up for some of it.
    Credited,
    /// It was never owed.
    Void,
}

impl Status {
    /// Its name in the tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Fulfilled => "fulfilled",
            Self::Credited => "credited",
            Self::Void => "void",
        }
    }
}

/// What each account holds of one make-good, in micros; those that hold nothing are left out.
pub type Balances = BTreeMap<Account, i64>;

impl State {
    /// What the flight fell short by, as far as it is owed.
    #[must_use]
    pub fn shortfall(&self, committed: u64) -> u64 {
        if self.is_void { 0 } else { committed.saturating_sub(self.delivered) }
    }

    /// What was made good.
    #[must_use]
    pub fn settled_impressions(&self) -> u64 {
        self.fulfilled + self.credited + self.invoice_adjusted
    }

    /// What each remedy made good.
    pub(super) fn made_good(&self) -> MadeGood {
        [self.fulfilled, self.credited, self.invoice_adjusted]
    }

    /// What is still owed.
    #[must_use]
    pub fn open_impressions(&self, committed: u64) -> u64 {
        self.shortfall(committed).saturating_sub(self.settled_impressions())
    }

    /// What of that bonus flights are to deliver.
    #[must_use]
    pub fn open_scheduled(&self, committed: u64) -> u64 {
        self.open_impressions(committed).min(self.scheduled.saturating_sub(self.fulfilled))
    }

    /// What became of it.
    #[must_use]
    pub fn status(&self, committed: u64) -> Status {
        let open = self.open_impressions(committed);
        if self.is_void {
            Status::Void
        } else if open > self.open_scheduled(committed) {
            Status::Pending
        } else if open > 0 {
            Status::Scheduled
        } else if self.credited + self.invoice_adjusted > 0 {
            Status::Credited
        } else {
            Status::Fulfilled
        }
    }

    /// The last remedy that was chosen, in the words of AdCP.
    #[must_use]
    pub fn remedy_after(&self, before: &Self) -> Option<&'static str> {
        if self.invoice_adjusted > before.invoice_adjusted {
            Some("invoice_adjustment")
        } else if self.credited > before.credited {
            Some("credit")
        } else if self.scheduled > before.scheduled {
            Some("additional_delivery")
        } else {
            None
        }
    }
}

/// What the accounts hold in state `after` under these terms, given what they held in `before`.
pub(super) fn balances(terms: &Terms, held: &Balances, before: &State, after: &State) -> Result<Balances, LedgerError> {
    let made_good = after.made_good();
    let owed = terms.owed(after.shortfall(terms.committed), made_good)?;
    let settled = terms.settled(made_good)?;
    let scheduled = terms.settled_and(made_good, after.open_scheduled(terms.committed))?;
    // The settled accounts take what the settled impressions add, each as it came.
    let mut balances = held.clone();
    let mut seen = before.made_good();
    for (remedy, account) in
        [Account::AdditionalDelivery, Account::Credit, Account::InvoiceAdjustment].into_iter().enumerate()
    {
        let first = terms.settled(seen)?;
        seen[remedy] = made_good[remedy];
        *balances.entry(account).or_default() -= terms.settled(seen)? - first;
    }
    let open = (owed - settled).max(0);
    let open_scheduled = (scheduled - settled).min(open);
    balances.insert(Account::Expense, owed);
    balances.insert(Account::Scheduled, -open_scheduled);
    balances.insert(Account::Pending, -(open - open_scheduled));
    balances.insert(Account::OverRemedied, (settled - owed).max(0));
    balances.retain(|_, micros| *micros != 0);
    Ok(balances)
}

/// What is to be booked to come from what the accounts held to what they are to hold.
pub(super) fn lines(held: &Balances, balances: &Balances) -> Vec<(Account, i64)> {
    let of = |balances: &Balances, account| balances.get(&account).copied().unwrap_or_default();
    let moved = Account::ALL.into_iter().map(|account| (account, of(balances, account) - of(held, account)));
    moved.filter(|(_, micros)| *micros != 0).collect()
}
