//! The one place that reads the clock, and the one that writes an instant. Everything below takes the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use slotkeeper_core::time::UnixMillis;

/// The wall clock, in milliseconds of Unix time; a clock before 1970 reads as 1970.
pub fn now() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// An instant as messages and tables write it: RFC 3339, in UTC; the bare milliseconds where no calendar has it.
pub fn shown(at: UnixMillis) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |at| at.to_string())
}
