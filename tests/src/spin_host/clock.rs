//! The guest's clocks: tokio's time, so that paused tests pause the guest, and a wall clock that a test can set.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use super::lock;

pub(super) struct Clock {
    start: Instant,
    /// What the wall clock showed at `start`, since the Unix epoch.
    wall_at_start: Mutex<Duration>,
}

impl Clock {
    /// A clock whose wall time is the real one.
    pub(super) fn new() -> Self {
        Clock { start: Instant::now(), wall_at_start: Mutex::new(since_epoch(SystemTime::now())) }
    }

    pub(super) fn wall(&self) -> Duration {
        lock(&self.wall_at_start).saturating_add(self.start.elapsed())
    }

    /// Sets the wall clock; it goes on from there.
    pub(super) fn set_wall(&self, time: SystemTime) {
        *lock(&self.wall_at_start) = since_epoch(time).saturating_sub(self.start.elapsed());
    }

    /// Moves the wall clock ahead, and nothing else.
    pub(super) fn advance_wall(&self, by: Duration) {
        let mut wall = lock(&self.wall_at_start);
        *wall = wall.saturating_add(by);
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    // WASI has no time before 1970.
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// A guest's view of the clock.
#[derive(Clone)]
pub(super) struct GuestClock(pub(super) Arc<Clock>);

impl HostMonotonicClock for GuestClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        // Overflows after 584 years.
        u64::try_from(self.0.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl HostWallClock for GuestClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.0.wall()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_follows_tokio_from_where_it_was_set() {
        let clock = Clock::new();
        tokio::time::advance(Duration::from_secs(10)).await;
        clock.set_wall(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        clock.advance_wall(Duration::from_hours(1));
        assert_eq!(clock.wall(), Duration::from_secs(1_000_000 + 5 + 3_600));
        assert_eq!(HostMonotonicClock::now(&GuestClock(Arc::new(clock))), 15_000_000_000);
    }
}
