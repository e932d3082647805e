//! Counting tests from what test runners print.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Write as _},
    ops::AddAssign,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, ensure};

use crate::process::{Process, show};

/// How many tests, or checks that count as one, did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) fn passed(passed: u64) -> Self {
        Self { passed, ..Self::default() }
    }

    pub(crate) fn one_failed() -> Self {
        Self { failed: 1, ..Self::default() }
    }

    pub(crate) fn one_skipped() -> Self {
        Self { skipped: 1, ..Self::default() }
    }

    /// Runs a test program, showing what it prints while counting with `count`. A program that fails without a failed
    /// test (it did not compile, it crashed) counts as one failure.
    pub(crate) fn of_run(command: &mut Command, count: fn(&str) -> Option<Self>) -> Result<Self> {
        let shown = show(command);
        // What is to be read must not be coloured. Node believes FORCE_COLOR before NO_COLOR.
        command.env_remove("FORCE_COLOR").env("NO_COLOR", "1");
        let mut process = Process::start(&shown, command.stdout(Stdio::piped()))?;
        let output = process.output().context("the output was piped")?;
        let reader = thread::spawn(move || -> std::io::Result<Self> {
            let mut counts = Self::default();
            for line in BufReader::new(output).split(b'\n') {
                let line = String::from_utf8_lossy(&line?).into_owned();
                counts += count(&line).unwrap_or_default();
                writeln!(std::io::stdout(), "{line}")?;
            }
            Ok(counts)
        });
        let status = process.wait()?;
        let mut counts = reader.join().ok().context("the reader of the tests' output panicked")??;
        if !status.success() && counts.failed == 0 {
            eprintln!("`{shown}` failed ({status})");
            counts.failed = 1;
        }
        ensure!(counts != Self::default(), "`{shown}` ran no test at all");
        Ok(counts)
    }

    /// `test result: ok. 12 passed; 0 failed; 1 ignored; …`
    pub(crate) fn of_libtest(line: &str) -> Option<Self> {
        let (_, counted) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number = |what: &str| {
            counted.split("; ").find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok()).unwrap_or_default()
        };
        Some(Self { passed: number("passed"), failed: number("failed"), skipped: number("ignored") })
    }

    /// One of the closing lines of `node --test`: `ℹ pass 3`, in TAP `# pass 3`.
    pub(crate) fn of_node(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# "))?.split(' ');
        let (what, number) = (words.next()?, words.next()?.trim().parse().ok()?);
        let counts = match what {
            "pass" => Self::passed(number),
            "fail" | "cancelled" => Self { failed: number, ..Self::default() },
            "skipped" | "todo" => Self { skipped: number, ..Self::default() },
            _ => return None,
        };
        words.next().is_none().then_some(counts)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_says_how_many() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s";
        assert_eq!(Counts::of_libtest(line), Some(Counts { passed: 12, failed: 3, skipped: 1 }));
        assert_eq!(Counts::of_libtest("test result_of_a_test ... ok"), None);
    }

    #[test]
    fn node_says_how_many_line_by_line() {
        let lines =
            ["ℹ tests 6", "ℹ suites 0", "ℹ pass 3", "ℹ fail 1", "ℹ cancelled 1", "ℹ skipped 1", "ℹ duration_ms 9"];
        let mut counts = Counts::default();
        for line in lines {
            counts += Counts::of_node(line).unwrap_or_default();
        }
        assert_eq!(counts, Counts { passed: 3, failed: 2, skipped: 1 });
        assert_eq!(Counts::of_node("# pass 3"), Some(Counts::passed(3)));
        assert_eq!(Counts::of_node("ℹ pass 3 more words"), None, "something a test printed");
    }

    #[test]
    fn a_run_without_a_single_test_is_an_error() {
        let of = |script| Counts::of_run(Command::new("sh").args(["-c", script]), Counts::of_node);
        assert!(of("echo nothing").is_err());
        assert_eq!(of("exit 3").unwrap(), Counts::one_failed());
        assert_eq!(of("echo '# pass 2'").unwrap(), Counts::passed(2));
        let mut coloured = Command::new("sh");
        coloured.args(["-c", r#"echo "${FORCE_COLOR:+in colour }# pass 2""#]).env("FORCE_COLOR", "1");
        assert_eq!(Counts::of_run(&mut coloured, Counts::of_node).unwrap(), Counts::passed(2));
    }
}
