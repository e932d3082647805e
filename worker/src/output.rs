//! What the program prints: `println!` and `eprintln!` for a reader that may have gone, as `head` does when it has enough.
//!
//! Those two panic then. Here nothing more is written, what was begun is done all the same, and the exit code says how it
//! went: an origin serves on when nobody reads its log any more.

use std::{
    fmt::Arguments,
    io::{ErrorKind, Write as _, stderr, stdout},
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::json;
use slotkeeper_core::time::UnixMillis;

use crate::clock;

/// Whether lines beside the answer are JSON.
static TELLS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on prints what is beside the answer as one JSON object a line, with its time, for a collector of logs.
pub fn tell_json() {
    TELLS_JSON.store(true, Ordering::Relaxed);
}

/// Prints a line of the answer to standard output, as `println!` would.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::say(format_args!($($text)*))
    };
}

/// Prints a line beside the answer to standard error, as `eprintln!` would.
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => {
        $crate::output::tell(format_args!($($text)*))
    };
}

/// Prints a line of the answer. Ends the program if it cannot be written for another reason than that nobody reads it, such
/// as a full disk: half an answer must not pass for a whole one.
pub fn say(line: Arguments<'_>) {
    match writeln!(stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            tell!("slotkeeper: cannot write the answer: {error}");
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Prints a line beside the answer.
pub fn tell(line: Arguments<'_>) {
    // What cannot be written here is lost: there is nowhere else to say it.
    let _ = if TELLS_JSON.load(Ordering::Relaxed) {
        writeln!(stderr(), "{}", as_json(clock::now(), &line.to_string()))
    } else {
        writeln!(stderr(), "{line}")
    };
}

/// `{"time":…,"program":"slotkeeper","message":…}`: one line, whatever the message holds.
fn as_json(now: UnixMillis, message: &str) -> serde_json::Value {
    let time = i64::try_from(now.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let message = message.strip_prefix("slotkeeper: ").unwrap_or(message);
    json!({ "time": time.map(|time| format!("{time:.3}")), "program": "slotkeeper", "message": message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_a_collector_of_logs_is_one_object_with_its_time() {
        let line = as_json(UnixMillis(1_795_000_000_123), "slotkeeper: edge a:\n\"b\"").to_string();
        let expected = r#"{"message":"edge a:\n\"b\"","program":"slotkeeper","time":"2026-11-18T11:06:40.123Z"}"#;
        assert_eq!(line, expected);
    }
}
