//! What the program prints: `println!` and `eprintln!` for a reader that may have gone, as `head` does when it has enough.
//!
//! Those two panic then. Here nothing more is written, what was begun is done all the same, and the exit code says how it
//! went: an origin serves on when nobody reads its log any more.

use std::{
    fmt::Arguments,
    io::{ErrorKind, Write as _, stderr, stdout},
};

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
    let _ = writeln!(stderr(), "{line}"); // there is nowhere else to say it
}
