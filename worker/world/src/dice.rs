//! Chance by a seed (SplitMix64). Integers only, so that no platform's rounding makes another world.

/// A chance of so many in ten thousand.
pub(crate) type In10000 = u32;

pub(crate) struct Dice(u64);

impl Dice {
    /// A sequence of its own for every seed and purpose.
    pub(crate) fn of(seed: u64, purpose: u64) -> Self {
        let mut dice = Self(seed ^ purpose.wrapping_mul(0xd134_2543_de82_ef95));
        dice.word();
        dice
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.word()) * u128::from(bound)) >> 64).unwrap_or_default()
    }

    /// From `from` up to, but not, `until`.
    pub(crate) fn between(&mut self, from: u64, until: u64) -> u64 {
        from + self.below(until - from)
    }

    pub(crate) fn chance(&mut self, in_10_000: In10000) -> bool {
        self.below(10_000) < u64::from(in_10_000)
    }

    /// A place in a list of at least one.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or_default()
    }

    /// One of a list of at least one, by weights given as running sums.
    pub(crate) fn by_weight(&mut self, running_sums: &[u64]) -> usize {
        let drawn = self.below(running_sums.last().copied().unwrap_or(1).max(1));
        running_sums.partition_point(|sum| *sum <= drawn)
    }

    /// A rank below `count`, of which small ones come more often: the chance falls as 1 / rank^(1/3). The square root is
    /// exact on every platform.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of ranks that are few"
    )]
    pub(crate) fn popular_rank(&mut self, count: u64) -> u64 {
        let share = (self.word() >> 11) as f64 / (1u64 << 53) as f64;
        ((share * share.sqrt() * count as f64) as u64).min(count - 1)
    }
}

/// Running sums of weights, for [`Dice::by_weight`].
pub(crate) fn running_sums(weights: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let mut sum = 0;
    let add = |weight| {
        sum += weight;
        sum
    };
    weights.into_iter().map(add).collect()
}
