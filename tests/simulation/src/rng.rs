//! Random numbers that a seed repeats: SplitMix64 (Steele, Lea and Flood 2014).

use std::cell::Cell;

/// A stream of random numbers.
#[derive(Debug)]
pub struct Rng(Cell<u64>);

impl Rng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed ^ 0x51_07_4b_ee_9e_72))
    }

    /// The next 64 bits.
    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// A place in a list of `len`.
    pub fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or_default()
    }

    /// One of `things`, which must not be empty.
    pub fn pick<'a, T>(&self, things: &'a [T]) -> &'a T {
        &things[self.index(things.len())]
    }

    /// Whether something of this probability happens.
    pub fn chance(&self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn unit(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A length between `least` and `most` of which every order of magnitude is equally likely.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths")]
    pub fn log_between(&self, least: u64, most: u64) -> u64 {
        let (low, high) = ((least.max(1) as f64).ln(), (most.max(1) as f64).ln());
        (low + (high - low) * self.unit()).exp() as u64
    }
}
