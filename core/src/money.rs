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
}
