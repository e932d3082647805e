//! Running the origin's program to its end: what it said, how long it took, and the most memory it held.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::load::rounded;
use crate::process::{Interrupted, interrupted, show};

const POLL: Duration = Duration::from_millis(20);

/// What a program that has ended told and took.
pub(super) struct Told {
    pub(super) output: String,
    pub(super) took: Duration,
    /// The most memory it held at once, in megabytes: as far as it was looked at, which is every [`POLL`].
    pub(super) rss_mb: u64,
    /// How it ended.
    ended: ExitStatus,
}

impl Told {
    /// Of one that has to succeed.
    pub(super) fn by(command: &mut Command) -> Result<Self> {
        let told = Self::of(command)?;
        let first = told.output.lines().next().unwrap_or_default();
        ensure!(told.ended.success(), "it ended with {}: {first}", told.ended);
        Ok(told)
    }

    /// However it ends.
    pub(super) fn of(command: &mut Command) -> Result<Self> {
        show(command);
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut stdout = child.stdout.take().context("no standard output")?;
        let reading = thread::spawn(move || std::io::read_to_string(&mut stdout));
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut rss_kb = 0;
        let ended = loop {
            rss_kb = peak_kb(&status).unwrap_or(0).max(rss_kb);
            if let Some(ended) = child.try_wait()? {
                break ended;
            }
            if interrupted() {
                child.kill()?;
                child.wait()?;
                return Err(Interrupted.into());
            }
            thread::sleep(POLL);
        };
        let took = began.elapsed();
        let output = reading.join().unwrap_or_else(|_| Ok(String::new()))?;
        Ok(Self { output, took, rss_mb: rss_kb / 1024, ended })
    }
}

/// The most that a running process has held, in kilobytes.
fn peak_kb(status: &Path) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

/// The bytes of a file, or of all files in a folder.
pub(super) fn bytes_of(path: &Path) -> Result<u64> {
    if !path.is_dir() {
        return Ok(fs::metadata(path).with_context(|| format!("{}", path.display()))?.len());
    }
    fs::read_dir(path)?.map(|entry| bytes_of(&entry?.path())).sum()
}

/// The tables of a data folder's lake: their names, and where they are. What begins with a dot is none.
pub(super) fn tables_of(data: &Path) -> Result<Vec<(String, PathBuf)>> {
    let lake = data.join("lake");
    let entries = fs::read_dir(&lake).with_context(|| format!("{}", lake.display()))?;
    let tables: std::io::Result<Vec<_>> = entries
        .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
        .collect();
    Ok(tables?.into_iter().filter(|(name, path)| path.is_dir() && !name.starts_with('.')).collect())
}

/// How many a second.
pub(super) fn rate(count: u64, took: Duration) -> u64 {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000) / ms
}

/// For a figure.
pub(super) fn seconds(took: Duration) -> Value {
    rounded(&took.as_secs_f64().into())
}

/// So many tenths, as a number.
pub(super) fn tenths(count: u64) -> Value {
    let (whole, tenth) = (count / 10, count % 10);
    format!("{whole}.{tenth}").parse::<f64>().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_tenths_are_what_they_say() {
        assert_eq!(rate(3_000, Duration::from_secs(2)), 1_500);
        assert_eq!(tenths(1_234), Value::from(123.4));
    }
}
