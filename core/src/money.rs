//! Money: an integer count of micros (millionths) of a currency unit. No floats, one place that rounds.

use core::fmt;

use serde::{Deserialize, Serialize};

/// An ISO 4217 alphabetic code, such as `USD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "alloc::string::String", into = "alloc::string::String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// Reads a code of three capital ASCII letters.
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl TryFrom<alloc::string::String> for Currency {
    type Error = &'static str;
    fn try_from(code: alloc::string::String) -> Result<Self, Self::Error> {
        Self::parse(&code).ok_or("a currency is three capital letters (ISO 4217), such as USD")
    }
}

impl From<Currency> for alloc::string::String {
    fn from(currency: Currency) -> Self {
        currency.as_str().into()
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount in micros of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Millionths of the currency unit.
    pub micros: i64,
    /// Whose unit it is.
    pub currency: Currency,
}

impl Money {
    /// The price of one impression under a CPM (price of a thousand): `cpm / 1000`, rounded half up.
    ///
    /// This is the only place where an impression's price is rounded. A shortfall of many impressions must be priced
    /// from the CPM itself (`shortfall * cpm / 1000`), not from a sum of these.
    #[must_use]
    pub fn per_impression(cpm: Self) -> Self {
        Self { micros: (cpm.micros + 500).div_euclid(1000), currency: cpm.currency }
    }

    /// The price of `count` impressions under a CPM: `count * cpm / 1000`, one rounding, half up. `None` when it is past
    /// 63 bits.
    ///
    /// What a contract falls short by is priced by this: not from prices of single impressions, which are rounded each.
    #[must_use]
    pub fn of_impressions(count: u64, cpm: Self) -> Option<Self> {
        let thousandths = i128::from(count).checked_mul(i128::from(cpm.micros))?; // below 2^64 * 2^63: it always fits
        Self::of_ratio(thousandths, 1_000, cpm.currency)
    }

    /// So many micros over so many, one rounding, half up: what several lots at several prices come to. `None` when it is past 63
    /// bits, or over nothing.
    #[must_use]
    pub fn of_ratio(micros: i128, over: i128, currency: Currency) -> Option<Self> {
        if over <= 0 {
            return None;
        }
        let (whole, rest) = (micros.div_euclid(over), micros.rem_euclid(over));
        let rounded = whole + i128::from(rest >= over - rest);
        Some(Self { micros: i64::try_from(rounded).ok()?, currency })
    }

    /// The price of `count` impressions that come after `before` others of the same lot: what they add to the price of
    /// all. However a lot is split, the prices of its parts add up to the price of the lot, to the micro; a part may
    /// differ by a micro from what it would cost alone.
    #[must_use]
    pub fn of_next_impressions(before: u64, count: u64, cpm: Self) -> Option<Self> {
        let all = Self::of_impressions(before.checked_add(count)?, cpm)?;
        let first = Self::of_impressions(before, cpm)?;
        Some(Self { micros: all.micros.checked_sub(first.micros)?, currency: cpm.currency })
    }

    /// The sum, or `None` on overflow or when the currencies differ.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if self.currency != other.currency {
            return None;
        }
        Some(Self { micros: self.micros.checked_add(other.micros)?, currency: self.currency })
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn usd(micros: i64) -> Money {
        Money { micros, currency: Currency::parse("USD").unwrap() }
    }

    #[test]
    fn an_impression_costs_a_thousandth_of_the_cpm_rounded_half_up() {
        for (cpm, price) in [(25_000_000, 25_000), (1_499, 1), (1_500, 2), (499, 0), (500, 1), (0, 0)] {
            assert_eq!(Money::per_impression(usd(cpm)), usd(price), "cpm {cpm}");
        }
    }

    #[test]
    fn currencies_do_not_mix_and_sums_do_not_wrap() {
        let eur = Money { micros: 1, currency: Currency::parse("EUR").unwrap() };
        assert_eq!(usd(1).checked_add(eur), None);
        assert_eq!(usd(i64::MAX).checked_add(usd(1)), None);
        assert_eq!(usd(2).checked_add(usd(3)), Some(usd(5)));
        assert_eq!(Currency::parse("usd"), None);
    }

    #[test]
    fn a_shortfall_is_priced_from_the_cpm_with_one_rounding_half_up() {
        for (count, cpm, price) in [
            (0, 25_000_000, 0),
            (1, 1_499, 1),
            (1, 1_500, 2),
            (3, 333, 1),                   // a sum of three rounded prices would be 0
            (1_000_000, 1_499, 1_499_000), // and here 1,000,000
            (1_000_000_000_000, 1_000_000, 1_000_000_000_000_000),
        ] {
            assert_eq!(Money::of_impressions(count, usd(cpm)), Some(usd(price)), "{count} at {cpm}");
        }
        assert_eq!(Money::of_impressions(u64::MAX, usd(i64::MAX)), None);
        assert_eq!(Money::of_impressions(u64::MAX, usd(499)), Some(usd(9_204_925_292_781_066_256)));
        assert_eq!(Money::of_impressions(u64::MAX, usd(500)), None);
        assert_eq!(Money::of_next_impressions(u64::MAX, 1, usd(1)), None);
    }

    #[test]
    fn a_ratio_is_rounded_once_half_up_and_never_over_nothing() {
        let currency = Currency::parse("USD").unwrap();
        for (micros, over, rounded) in
            [(499, 1_000, 0), (500, 1_000, 1), (1_499, 1_000, 1), (1, 3, 0), (2, 3, 1), (5, 3, 2), (1, 1, 1)]
        {
            assert_eq!(Money::of_ratio(micros, over, currency), Some(usd(rounded)), "{micros} / {over}");
        }
        assert_eq!(Money::of_ratio(i128::MAX, i128::MAX, currency), Some(usd(1)));
        assert_eq!((Money::of_ratio(1, 0, currency), Money::of_ratio(i128::MAX, 1, currency)), (None, None));
    }

    proptest! {
        #[test]
        fn however_a_lot_is_split_its_parts_cost_what_it_costs(
            parts in prop::collection::vec(0_u64..5_000_000, 0..40),
            cpm in 0_i64..2_000_000_000,
        ) {
            let whole: u64 = parts.iter().sum();
            let mut before = 0;
            let mut prices = Vec::new();
            for part in parts {
                prices.push(Money::of_next_impressions(before, part, usd(cpm)).unwrap().micros);
                before += part;
            }
            prop_assert!(prices.iter().all(|price| *price >= 0));
            prop_assert_eq!(prices.iter().sum::<i64>(), Money::of_impressions(whole, usd(cpm)).unwrap().micros);
        }

        #[test]
        fn the_price_of_a_lot_is_the_exact_quotient_to_half_a_micro(count: u32, cpm in 0_i64..1_000_000_000_000) {
            if let Some(price) = Money::of_impressions(count.into(), usd(cpm)) {
                let error = i128::from(price.micros) * 1000 - i128::from(count) * i128::from(cpm);
                prop_assert!((-499..=500).contains(&error), "{error} thousandths");
            }
        }
    }
}
