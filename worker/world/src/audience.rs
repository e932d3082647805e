//! Who watches, where and on what.

use crate::dice::{Dice, running_sums};

/// A country: its share of the audience in hundredths, its clock, and its code.
pub(crate) struct Country {
    pub(crate) code: &'static str,
    pub(crate) region: Option<&'static str>,
    pub(crate) zone: &'static str,
    pub(crate) share: u64,
    /// Which edge is near.
    pub(crate) edge: u8,
}

const fn country(
    code: &'static str,
    region: Option<&'static str>,
    zone: &'static str,
    share: u64,
    edge: u8,
) -> Country {
    Country { code, region, zone, share, edge }
}

pub(crate) const COUNTRIES: [Country; 8] = [
    country("US", Some("US-NY"), "America/New_York", 24, 0),
    country("US", Some("US-IL"), "America/Chicago", 14, 0),
    country("US", Some("US-CA"), "America/Los_Angeles", 16, 0),
    country("GB", None, "Europe/London", 12, 1),
    country("DE", None, "Europe/Berlin", 12, 1),
    country("IN", None, "Asia/Kolkata", 10, 2),
    country("JP", None, "Asia/Tokyo", 6, 2),
    country("BR", None, "America/Sao_Paulo", 6, 0),
];

/// The edges' names.
pub(crate) const EDGES: [&str; 3] = ["edge-america", "edge-europe", "edge-asia"];

pub(crate) const DEVICES: [(&str, u64); 4] = [("tv", 62), ("phone", 16), ("web", 14), ("tablet", 8)];
const TIERS: [(&str, u64); 3] = [("basic", 70), ("standard", 24), ("premium", 6)];

pub(crate) struct Audience {
    /// Of each country, the number of its first viewer and how many there are.
    viewers: Vec<(u64, u64)>,
    devices: Vec<u64>,
    tiers: Vec<u64>,
}

impl Audience {
    pub(crate) fn of(viewers: u32) -> Self {
        let shares = running_sums(COUNTRIES.iter().map(|country| country.share));
        let at = |sum: u64| u64::from(viewers) * sum / shares[shares.len() - 1];
        let begins = std::iter::once(0).chain(shares.iter().copied());
        let viewers = begins.zip(&shares).map(|(begin, end)| (at(begin), (at(*end) - at(begin)).max(1))).collect();
        Self {
            viewers,
            devices: running_sums(DEVICES.map(|(_, weight)| weight)),
            tiers: running_sums(TIERS.map(|(_, weight)| weight)),
        }
    }

    /// The number of someone of this country; some watch more than others.
    pub(crate) fn viewer(&self, dice: &mut Dice, country: usize) -> u64 {
        let (first, count) = self.viewers[country];
        first + dice.popular_rank(count)
    }

    /// What this viewer pays for: always the same.
    pub(crate) fn tier(&self, viewer: u64) -> &'static str {
        TIERS[Dice::of(viewer, 7).by_weight(&self.tiers)].0
    }

    pub(crate) fn device(&self, dice: &mut Dice) -> &'static str {
        DEVICES[dice.by_weight(&self.devices)].0
    }
}
