//! How often each viewer saw each ad.

use std::collections::BTreeMap;

use super::{AdKey, ReachLine};

/// A byte for each ad and viewer: few see one ad more than 255 times.
pub(super) struct Reach {
    seen: Vec<Vec<u8>>,
    /// What is beyond a byte.
    beyond: BTreeMap<(usize, u64), u64>,
    viewers: u64,
}

/// What impressions are counted by.
type Of = (&'static str, fn(&AdKey) -> u32);

const BY: [Of; 4] = [
    ("advertiser", |ad| ad.advertiser_id),
    ("campaign", |ad| ad.campaign_id),
    ("flight", |ad| ad.flight_id),
    ("creative", |ad| ad.creative_id),
];

impl Reach {
    pub(super) fn of(ads: usize, viewers: u32) -> Self {
        let viewers = u64::from(viewers) + 512; // every country has at least one
        let seen = vec![vec![0; usize::try_from(viewers).unwrap_or_default()]; ads];
        Self { seen, beyond: BTreeMap::new(), viewers }
    }

    pub(super) fn add(&mut self, ad: usize, viewer: u64) {
        let seen = &mut self.seen[ad][usize::try_from(viewer).unwrap_or_default()];
        match seen.checked_add(1) {
            Some(more) => *seen = more,
            None => *self.beyond.entry((ad, viewer)).or_default() += 1,
        }
    }

    /// Of everything that was seen at all, how many viewers saw it how often. `ads` are in the order in which they were added.
    pub(super) fn lines(&self, ads: &[AdKey]) -> Vec<ReachLine> {
        let mut lines = vec![];
        for (by, of) in BY {
            let mut parts: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for (place, ad) in ads.iter().enumerate() {
                parts.entry(of(ad)).or_default().push(place);
            }
            for (id, places) in parts {
                let viewers = self.spread(&places);
                if !viewers.is_empty() {
                    lines.push(ReachLine { by: by.into(), id, viewers });
                }
            }
        }
        lines
    }

    fn spread(&self, places: &[usize]) -> Vec<[u64; 2]> {
        let mut spread = BTreeMap::<u64, u64>::new();
        for viewer in 0..self.viewers {
            let index = usize::try_from(viewer).unwrap_or_default();
            let of = |place: &usize| match self.seen[*place][index] {
                u8::MAX => 255 + self.beyond.get(&(*place, viewer)).copied().unwrap_or(0),
                seen => u64::from(seen),
            };
            let frequency: u64 = places.iter().map(of).sum();
            if frequency > 0 {
                *spread.entry(frequency).or_default() += 1;
            }
        }
        spread.into_iter().map(|(frequency, viewers)| [frequency, viewers]).collect()
    }
}
