//! What a make-good is measured by: the terms of its flight as they were when it was minted, and as both sides amended them since.
//!
//! What was made good is worth what it was worth when it was made good: a credit that was given does not grow with the price. What
//! is open is worth the price of today.

use slotkeeper_core::{
    money::{Currency, Money},
    time::UnixMillis,
};

use super::LedgerError;

/// How many impressions each remedy has made good: bonus flights, credits, adjusted invoices.
pub(super) type MadeGood = [u64; 3];

/// The terms of a flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What was promised.
    pub committed: u64,
    /// When the flight ended.
    pub ended_at: UnixMillis,
    currency: Currency,
    /// The prices of a thousand there were, each with what had been made good before it; the last is that of today.
    prices: Vec<(MadeGood, i64)>,
}

impl Terms {
    /// As they are at first.
    pub(super) fn new(committed: u64, ended_at: UnixMillis, cpm: Money) -> Self {
        Self { committed, ended_at, currency: cpm.currency, prices: vec![([0; 3], cpm.micros)] }
    }

    /// The price of a thousand.
    #[must_use]
    pub fn cpm(&self) -> Money {
        Money { micros: self.prices.last().map_or(0, |(_, micros)| *micros), currency: self.currency }
    }

    /// Amends them, when so many had been made good.
    pub(super) fn amend(&mut self, committed: u64, ended_at: UnixMillis, cpm_micros: i64, made_good: MadeGood) {
        (self.committed, self.ended_at) = (committed, ended_at);
        if cpm_micros == self.cpm().micros {
            return;
        }
        // What was made good at a price and taken back since will be made good at that of then. Prices came one after the other, so
        // only the last can be ahead of this.
        for (from, _) in self.prices.iter_mut().rev() {
            let least = std::array::from_fn(|remedy| from[remedy].min(made_good[remedy]));
            if *from == least {
                break;
            }
            *from = least;
        }
        while self.prices.last().is_some_and(|(from, _)| *from == made_good) {
            self.prices.pop();
        }
        self.prices.push((made_good, cpm_micros));
    }

    /// What is worth what was made good.
    pub(super) fn settled(&self, made_good: MadeGood) -> Result<i64, LedgerError> {
        self.settled_and(made_good, 0)
    }

    /// That, with so many more at the price of today.
    pub(super) fn settled_and(&self, made_good: MadeGood, open: u64) -> Result<i64, LedgerError> {
        let open_thousandths = i128::from(open) * i128::from(self.cpm().micros);
        let thousandths = self.thousandths(made_good).and_then(|settled| settled.checked_add(open_thousandths));
        self.rounded(thousandths, 1, sum(made_good) + u128::from(open))
    }

    /// What a shortfall is worth of which so many were made good: they at the price of their time, the rest at that of today. Of a
    /// shortfall that is less than what was made good, as much of that.
    pub(super) fn owed(&self, shortfall: u64, made_good: MadeGood) -> Result<i64, LedgerError> {
        let all = sum(made_good);
        match u64::try_from(u128::from(shortfall).saturating_sub(all)) {
            Ok(open) if u128::from(shortfall) >= all => self.settled_and(made_good, open),
            _ => {
                let part = self.thousandths(made_good).and_then(|settled| settled.checked_mul(shortfall.into()));
                self.rounded(part, all, all)
            }
        }
    }

    /// Thousandths of a micro: nothing is rounded yet. `None` past 127 bits.
    fn thousandths(&self, made_good: MadeGood) -> Option<i128> {
        let mut sum = 0_i128;
        for (index, (from, cpm_micros)) in self.prices.iter().enumerate() {
            for (remedy, count) in made_good.into_iter().enumerate() {
                let until = self.prices.get(index + 1).map_or(u64::MAX, |(from, _)| from[remedy]);
                let at_this_price = count.min(until).saturating_sub(from[remedy]);
                sum = sum.checked_add(i128::from(at_this_price) * i128::from(*cpm_micros))?;
            }
        }
        Some(sum)
    }

    fn rounded(&self, thousandths: Option<i128>, over: u128, impressions: u128) -> Result<i64, LedgerError> {
        let over = over.checked_mul(1_000).and_then(|over| i128::try_from(over).ok());
        let money = thousandths.zip(over).and_then(|(part, over)| Money::of_ratio(part, over, self.currency));
        let (impressions, cpm_micros) = (u64::try_from(impressions).unwrap_or(u64::MAX), self.cpm().micros);
        money.map(|money| money.micros).ok_or(LedgerError::TooMuch { impressions, cpm_micros })
    }
}

fn sum(made_good: MadeGood) -> u128 {
    made_good.into_iter().map(u128::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        let cpm = Money { micros: 1_000, currency: Currency::parse("USD").unwrap() };
        Terms::new(100, UnixMillis(0), cpm)
    }

    fn amended(mut terms: Terms, cpm_micros: i64, made_good: MadeGood) -> Terms {
        terms.amend(100, UnixMillis(0), cpm_micros, made_good);
        terms
    }

    #[test]
    fn what_was_made_good_keeps_its_price_and_what_is_open_has_that_of_today() {
        let twice = amended(terms(), 2_000, [10, 5, 0]);
        assert_eq!(twice.settled([10, 5, 0]).unwrap(), 15);
        assert_eq!(twice.settled([12, 5, 1]).unwrap(), 15 + 3 * 2);
        assert_eq!(twice.owed(100, [10, 5, 0]).unwrap(), 15 + 85 * 2);
        assert_eq!(twice.owed(15, [10, 5, 0]).unwrap(), 15);
        assert_eq!(twice.owed(5, [10, 5, 0]).unwrap(), 5, "a third of what was made good");
        assert_eq!(twice.owed(0, [10, 5, 0]).unwrap(), 0);
    }

    #[test]
    fn what_is_taken_back_before_an_amendment_is_made_good_again_at_the_new_price() {
        let twice = amended(terms(), 2_000, [10, 0, 0]);
        let thrice = amended(twice, 3_000, [4, 0, 0]);
        assert_eq!(thrice.settled([4, 0, 0]).unwrap(), 4);
        assert_eq!(thrice.settled([12, 0, 0]).unwrap(), 4 + 8 * 3);
    }

    #[test]
    fn prices_at_which_nothing_was_made_good_leave_nothing() {
        let all = (1..1_000).chain([1_000]).fold(terms(), |terms, cpm| amended(terms, cpm, [0; 3]));
        assert_eq!(all, terms());
    }
}
