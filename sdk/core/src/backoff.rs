//! How long to wait before trying again. Randomness is an argument.

/// Doubling waits with jitter, up to a bound.
#[derive(Clone, Debug)]
pub struct Backoff {
    first_ms: u32,
    max_ms: u32,
    failures: u32,
}

impl Backoff {
    /// Waits of about `first_ms`, then twice that, and so on, never more than `max_ms`.
    pub const fn new(first_ms: u32, max_ms: u32) -> Self {
        Self { first_ms, max_ms, failures: 0 }
    }

    /// The wait after one more failure, in milliseconds: half of it fixed, half of it by `random` (from 0 to 1), so
    /// that clients which failed together do not come back together.
    pub fn next_ms(&mut self, random: f64) -> f64 {
        let (full_ms, max_ms) = (f64::from(self.first_ms) * f64::from(1u32 << self.failures), f64::from(self.max_ms));
        self.failures = (self.failures + 1).min(16);
        let half = if full_ms < max_ms { full_ms } else { max_ms } / 2.0;
        half + half * if random >= 0.0 { random.min(1.0) } else { 0.0 }
    }

    /// Whether there was a failure since the last success.
    pub fn has_failures(&self) -> bool {
        self.failures > 0
    }

    /// Forgets the failures, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(1_000, 30_000);
        let waits: Vec<_> = (0..7).map(|_| backoff.next_ms(1.0)).collect();
        assert_eq!(waits, [1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0, 30_000.0, 30_000.0]);
        backoff.reset();
        assert!((backoff.next_ms(0.0) - 500.0).abs() < 1e-9);
    }

    #[test]
    fn jitter_takes_up_to_half_and_no_input_breaks_it() {
        for (random, ms) in
            [(0.0, 500.0), (0.5, 750.0), (1.0, 1_000.0), (-1.0, 500.0), (9.0, 1_000.0), (f64::NAN, 500.0)]
        {
            assert!((Backoff::new(1_000, 30_000).next_ms(random) - ms).abs() < 1e-9, "{random}");
        }
        let mut backoff = Backoff::new(u32::MAX, u32::MAX);
        assert!((0..100).all(|_| backoff.next_ms(1.0) <= f64::from(u32::MAX)));
    }
}
