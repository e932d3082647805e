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
    pub fn new(first_ms: u32, max_ms: u32) -> Self {
        Self { first_ms, max_ms, failures: 0 }
    }

    /// The wait after one more failure, in milliseconds: half of it fixed, half of it by `random` (from 0 to 1), so
    /// that clients which failed together do not come back together.
    pub fn next_ms(&mut self, random: f64) -> u32 {
        let full = self.first_ms.saturating_mul(1 << self.failures.min(16)).min(self.max_ms);
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        half + scaled(full - half, random)
    }

    /// Forgets the failures, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast to an integer saturates")]
fn scaled(ms: u32, random: f64) -> u32 {
    (f64::from(ms) * random.clamp(0.0, 1.0)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(1_000, 30_000);
        let waits: Vec<_> = (0..7).map(|_| backoff.next_ms(1.0)).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        backoff.reset();
        assert_eq!(backoff.next_ms(0.0), 500);
    }

    #[test]
    fn jitter_takes_up_to_half_and_no_input_breaks_it() {
        for (random, ms) in [(0.0, 500), (0.5, 750), (1.0, 1_000), (-1.0, 500), (9.0, 1_000), (f64::NAN, 500)] {
            assert_eq!(Backoff::new(1_000, 30_000).next_ms(random), ms, "{random}");
        }
        let mut backoff = Backoff::new(u32::MAX, u32::MAX);
        assert!((0..100).all(|_| backoff.next_ms(1.0) == u32::MAX));
    }
}
