//! The one place that reads the clock. Everything below takes the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use slotkeeper_core::time::UnixMillis;

/// The wall clock, in milliseconds of Unix time; a clock before 1970 reads as 1970.
pub fn now() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
