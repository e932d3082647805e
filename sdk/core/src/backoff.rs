//! How long to wait before trying again. Randomness is an argument.

use crate::whole::whole;

/// Doubling waits with jitter: of about `FIRST_MS`, then twice that, and so on, never more than `MAX_MS`.
#[derive(Clone, Debug)]
pub struct Backoff<const FIRST_MS: u32, const MAX_MS: u32> {
    /// Half of the wait after the last failure; 0 without one since the last success.
    half_ms: u32,
}

impl<const FIRST_MS: u32, const MAX_MS: u32> Backoff<FIRST_MS, MAX_MS> {
    /// Without a failure yet.
    pub const fn new() -> Self {
        Self { half_ms: 0 }
    }

    /// The wait after one more failure, in milliseconds: half of it fixed, half of it by `random` (from 0 to 1), so
    /// that clients which failed together do not come back together.
    pub fn next_ms(&mut self, random: f64) -> f64 {
        let half_ms = (self.half_ms * 2).clamp(FIRST_MS / 2, MAX_MS / 2);
        self.half_ms = half_ms;
        f64::from(half_ms + whole(f64::from(half_ms) * random, half_ms))
    }

    /// Whether there was a failure since the last success.
    pub fn has_failures(&self) -> bool {
        self.half_ms > 0
    }

    /// Forgets the failures, after a success.
    pub fn reset(&mut self) {
        self.half_ms = 0;
    }
}

impl<const FIRST_MS: u32, const MAX_MS: u32> Default for Backoff<FIRST_MS, MAX_MS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_again_after_a_success() {
        let mut backoff = Backoff::<1_000, 30_000>::new();
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
            assert!((Backoff::<1_000, 30_000>::new().next_ms(random) - ms).abs() < 1e-9, "{random}");
        }
        let mut backoff = Backoff::<{ u32::MAX }, { u32::MAX }>::new();
        assert!((0..100).all(|_| backoff.next_ms(1.0) <= f64::from(u32::MAX)));
    }
}
