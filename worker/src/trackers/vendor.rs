//! What one vendor may be asked: how many calls at once, how many a second, and when none at all.

use slotkeeper_core::time::UnixMillis;

use super::{Limits, millis};

/// After how many failures in a row a vendor is taken to be down.
const FAILURES_MAX: u32 = 5;
/// The longest a vendor is left alone.
const PAUSE_MS_MAX: u64 = 5 * 60_000;
/// The longest that a vendor's own `Retry-After` is heeded.
pub(super) const RETRY_AFTER_MS_MAX: u64 = 3_600_000;

/// What is known of a vendor since the program began.
#[derive(Debug, Default)]
pub(super) struct Vendor {
    pub(super) in_flight: usize,
    /// Thousandths of a call that may be begun.
    allowance: u64,
    counted_at: UnixMillis,
    failures_in_a_row: u32,
    paused_until: UnixMillis,
}

/// What a call told of its vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers.
    Up,
    /// It does not, or with an error of its own.
    Failing,
    /// It asks to be left alone until then.
    Busy(UnixMillis),
}

impl Vendor {
    /// How many more calls may begin now.
    pub(super) fn room(&mut self, limits: &Limits, now: UnixMillis) -> usize {
        let rate = u64::from(limits.vendor_rate_per_s);
        let earned = now.since_ms(self.counted_at).min(1_000) * rate;
        self.allowance = (self.allowance + earned).min(rate * 1_000);
        self.counted_at = now;
        if now < self.paused_until {
            return 0;
        }
        // Of a vendor that is taken to be down, one call at a time finds out whether it is up again.
        let at_once = if self.failures_in_a_row >= FAILURES_MAX { 1 } else { limits.vendor_in_flight_max };
        let earned = usize::try_from(self.allowance / 1_000).unwrap_or(usize::MAX);
        at_once.saturating_sub(self.in_flight).min(earned)
    }

    pub(super) fn begin(&mut self, calls: usize) {
        self.in_flight += calls;
        self.allowance = self.allowance.saturating_sub(calls as u64 * 1_000);
    }

    pub(super) fn end(&mut self, health: Health, limits: &Limits, now: UnixMillis) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match health {
            Health::Up => self.failures_in_a_row = 0,
            Health::Busy(until) => {
                self.paused_until = self.paused_until.max(until.min(now.plus_ms(RETRY_AFTER_MS_MAX)));
            }
            Health::Failing => {
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                if self.failures_in_a_row >= FAILURES_MAX {
                    let doublings = (self.failures_in_a_row - FAILURES_MAX).min(16);
                    let pause = (millis(limits.backoff) << doublings).min(PAUSE_MS_MAX);
                    self.paused_until = self.paused_until.max(now.plus_ms(pause));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn limits() -> Limits {
        Limits { vendor_in_flight_max: 3, vendor_rate_per_s: 10, ..Limits::default() }
    }

    #[test]
    fn a_vendor_gets_so_many_calls_at_once_and_so_many_a_second() {
        let (limits, mut vendor) = (limits(), Vendor::default());
        let mut begun = 0;
        for ms in 0..=3_000 {
            let room = vendor.room(&limits, NOW.plus_ms(ms));
            assert!(room <= 3);
            vendor.begin(room);
            begun += room;
            (0..room).for_each(|_| vendor.end(Health::Up, &limits, NOW.plus_ms(ms)));
        }
        assert_eq!(begun, 10 + 3 * 10, "a second's worth at once, and then the rate");
        let room = vendor.room(&limits, NOW.plus_ms(60_000));
        vendor.begin(room);
        assert_eq!((vendor.in_flight, vendor.room(&limits, NOW.plus_ms(60_000))), (3, 0));
    }

    #[test]
    fn a_vendor_that_fails_is_left_alone_and_then_asked_one_call_at_a_time() {
        let (limits, mut vendor) = (limits(), Vendor::default());
        for _ in 1..FAILURES_MAX {
            vendor.end(Health::Failing, &limits, NOW);
            assert_eq!(vendor.room(&limits, NOW), 3);
        }
        vendor.end(Health::Failing, &limits, NOW);
        let pause = millis(limits.backoff);
        assert_eq!(vendor.room(&limits, NOW.plus_ms(pause - 1)), 0);
        assert_eq!(vendor.room(&limits, NOW.plus_ms(pause)), 1);
        vendor.begin(1);
        assert_eq!(vendor.room(&limits, NOW.plus_ms(pause)), 0);
        vendor.end(Health::Failing, &limits, NOW.plus_ms(pause));
        assert_eq!(vendor.room(&limits, NOW.plus_ms(3 * pause - 1)), 0, "twice as long");
        vendor.end(Health::Up, &limits, NOW.plus_ms(3 * pause));
        assert_eq!(vendor.room(&limits, NOW.plus_ms(3 * pause)), 3);
        (0..100).for_each(|_| vendor.end(Health::Failing, &limits, NOW));
        assert!(vendor.paused_until <= NOW.plus_ms(PAUSE_MS_MAX.max(3 * pause)));
    }

    #[test]
    fn a_vendor_that_asks_to_wait_is_waited_for_an_hour_at_most() {
        let (limits, mut vendor) = (limits(), Vendor::default());
        vendor.end(Health::Busy(NOW.plus_ms(5_000)), &limits, NOW);
        assert_eq!((vendor.room(&limits, NOW.plus_ms(4_999)), vendor.room(&limits, NOW.plus_ms(5_000))), (0, 3));
        vendor.end(Health::Busy(UnixMillis(u64::MAX)), &limits, NOW);
        assert_eq!(vendor.room(&limits, NOW.plus_ms(RETRY_AFTER_MS_MAX)), 3);
    }
}
