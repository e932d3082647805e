//! A whole month at whatever size: made up, folded, closed, asked, held against its truth; and all of it once more from nothing but the
//! log, which has to be the same files. With time, memory and bytes. A table on standard error, the figures on standard output.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fs,
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{
    Report,
    told::{Told, bytes_of, rate, seconds, tables_of, tenths},
};
use crate::{build::Builder, stamp::clear};

/// Long enough ago that its last flights' month is over, too: those of New York end a few hours after it.
const MONTHS: [&str; 2] = ["2024-08", "2024-09"];
const DAYS: u32 = 31;
/// What `generate --check` says was not there: the live fold, which is `serve`'s.
const NOT_MADE: [&str; 1] = ["fold.db"];

/// The program over a world.
struct World<'a> {
    program: &'a Path,
    data: PathBuf,
    report: &'a Report,
}

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let program = builder.origin()?;
    let folder = builder.workspace.target.join("measure").join("month");
    clear(&folder)?;
    let world = World { program: &program, data: folder.join("world"), report };
    eprintln!("{:<34} {:>10} {:>9}", "step", "seconds", "peak MB");
    world.generate()?;
    let totals = world.fold("")?;
    world.ask(&builder.workspace.root.join("worker/sql"), &folder)?;
    world.check()?;
    let (before, owed) = (world.files()?, world.owed()?);
    for made in ["lake", "lake.db", "pacing.db", "ledger.db"] {
        remove(&world.data.join(made))?;
    }
    ensure!(world.fold("again_")? == totals, "made again, the lake has taken in something else");
    compare(&before, &world.files()?)?;
    ensure!(world.owed()? == owed, "made again, something else is owed");
    report.figure("again.same_files", before.len(), "files");
    eprintln!("made again from the log, {} files are the same, byte for byte", before.len());
    clear(&folder) // a world is large
}

impl World<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(words).arg("--data").arg(&self.data);
        command
    }

    /// Runs a step and says what it took.
    fn step(&self, name: &str, words: &[&str]) -> Result<Told> {
        let told = Told::by(&mut self.command(words))?;
        self.say(name, &told);
        Ok(told)
    }

    fn say(&self, name: &str, told: &Told) {
        self.report.figure(&format!("{name}_s"), seconds(told.took), "s");
        self.report.figure(&format!("{name}_peak_rss_mb"), told.rss_mb, "MB");
        eprintln!("{name:<34} {:>10.1} {:>9}", told.took.as_secs_f64(), told.rss_mb);
    }

    fn generate(&self) -> Result<()> {
        let (slots, start, days) = (self.report.slots.to_string(), format!("{}-01", MONTHS[0]), DAYS.to_string());
        let made = self.step("generate", &["generate", "--slots", &slots, "--start", &start, "--days", &days])?;
        self.report.figure("slots", self.report.slots, "slots");
        self.report.figure("generate.slots_per_s", rate(self.report.slots, made.took), "1/s");
        for (name, file) in [("log", "log.db"), ("truth", "truth")] {
            self.bytes_per_slot(name, &self.data.join(file))?;
        }
        Ok(())
    }

    fn bytes_per_slot(&self, name: &str, path: &Path) -> Result<()> {
        let tenth_bytes = bytes_of(path)? * 10 / self.report.slots.max(1);
        self.report.figure(&format!("{name}.bytes_per_slot"), tenths(tenth_bytes), "bytes");
        eprintln!("{:<34} {:>10} bytes a slot", format!("{name}:"), tenths(tenth_bytes));
        Ok(())
    }

    /// From the log to the closed months. What the lake has taken in.
    fn fold(&self, again: &str) -> Result<Value> {
        let advanced = self.step(&format!("{again}lake_advance"), &["lake", "advance", "--json"])?;
        let totals: Value = serde_json::from_str(&advanced.output).context("`lake advance` said no JSON")?;
        let facts = totals["facts"].as_u64().context("`lake advance` said no facts")?;
        self.report.figure(&format!("{again}lake_advance.facts_per_s"), rate(facts, advanced.took), "1/s");
        if again.is_empty() {
            for (name, table) in tables_of(&self.data)? {
                self.bytes_per_slot(&format!("lake.{name}"), &table)?;
            }
        }
        let mut longest: Option<Told> = None;
        for day in 1..=DAYS {
            let closed = Told::by(&mut self.command(&["close", "day", &format!("{}-{day:02}", MONTHS[0])]))?;
            if longest.as_ref().is_none_or(|longest| closed.took > longest.took) {
                longest = Some(closed);
            }
        }
        if let Some(longest) = longest {
            self.say(&format!("{again}close_longest_day"), &longest);
        }
        for month in MONTHS {
            self.step(&format!("{again}close_month_{month}"), &["close", "month", month])?;
        }
        Ok(totals)
    }

    /// Every question once, as it is if nothing is said, but for the two that must be told something.
    fn ask(&self, questions: &Path, folder: &Path) -> Result<()> {
        let vendor = folder.join("vendor.csv");
        fs::write(&vendor, format!("date,id,count\n{}-15,1,1000\n", MONTHS[0]))?;
        let truth: Value = serde_json::from_slice(&fs::read(self.data.join("truth/truth.json"))?)?;
        let a_break = truth["sessions"][0]["break_id"].as_str().context("the truth says no breaks")?;
        let mut names = vec![];
        for file in fs::read_dir(questions)? {
            names.extend(file?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
        names.sort();
        for question in &names {
            let given = match question.as_str() {
                "discrepancy" => format!("vendor={}", vendor.display()),
                "session" => format!("break={a_break}"),
                _ => String::new(),
            };
            let mut words = vec!["ask", question, "--format", "csv"];
            if !given.is_empty() {
                words.extend(["--param", &given]);
            }
            self.step(&format!("ask_{question}"), &words)?;
        }
        Ok(())
    }

    /// Holds all of it against the truth.
    fn check(&self) -> Result<()> {
        let told = Told::of(&mut self.command(&["generate", "--check", "--json"]))?;
        self.say("check", &told);
        let checked: Value = serde_json::from_str(&told.output).context("`generate --check` said no JSON")?;
        let mut figures = 0;
        for one in checked["checked"].as_array().context("nothing was checked")? {
            figures += one["figures"].as_u64().unwrap_or_default();
            if one["different"] != 0 {
                bail!("{} differs from the truth: {:#}", one["books"], one["differences"]);
            }
        }
        let missing = checked["missing"].as_array().map_or(&[][..], Vec::as_slice);
        if let Some(missing) = missing.iter().find(|one| !NOT_MADE.iter().any(|name| one["books"] == *name)) {
            bail!("not all could be checked: {missing}");
        }
        self.report.figure("check.figures", figures, "figures");
        self.report.figure("check.different", 0, "figures");
        eprintln!("{figures} figures are the truth's");
        Ok(())
    }

    fn files(&self) -> Result<BTreeMap<PathBuf, u64>> {
        files(&self.data)
    }

    /// What is owed for every flight.
    fn owed(&self) -> Result<String> {
        let words = ["ask", "liability", "--param", "by=flight", "--param", "status=all", "--format", "csv"];
        Ok(Told::by(&mut self.command(&words))?.output)
    }
}

/// A hash of every file of the lake; but for the ledger's, which say when they were written, and for what begins with a dot, which is
/// of this machine: who asks, and what is being written.
fn files(data: &Path) -> Result<BTreeMap<PathBuf, u64>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![data.join("lake")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let path = entry.path();
            let name = path.strip_prefix(data).unwrap_or(&path).to_owned();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if !name.starts_with("lake/makegoods") && !name.starts_with("lake/makegood_ledger") {
                files.insert(name, hash(&fs::read(&path)?));
            }
        }
    }
    Ok(files)
}

/// Need not resist anybody, only notice what differs.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        return fs::remove_dir_all(path).with_context(|| path.display().to_string());
    }
    for beside in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{beside}", path.display()));
        if file.exists() {
            fs::remove_file(&file).with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

fn compare(before: &BTreeMap<PathBuf, u64>, after: &BTreeMap<PathBuf, u64>) -> Result<()> {
    let names = before.keys().chain(after.keys());
    let mut different = names.filter(|name| before.get(*name) != after.get(*name));
    match different.next() {
        Some(name) => bail!("made again, {} and {} files more differ", name.display(), different.count()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_questions_leave_in_the_lake_is_no_file_of_it() {
        let data = std::env::temp_dir().join(format!("slotkeeper-month-files-{}", std::process::id()));
        let write = |name: &str| {
            let path = data.join("lake").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for name in ["slots/part.parquet", "makegoods/part.parquet", ".sessions/gate.lock", "slots/.part.new"] {
            write(name);
        }
        let found = files(&data);
        fs::remove_dir_all(&data).unwrap();
        assert_eq!(found.unwrap().into_keys().collect::<Vec<_>>(), [PathBuf::from("lake/slots/part.parquet")]);
    }

    #[test]
    fn a_file_that_differs_or_is_missing_is_named() {
        let files =
            |of: &[(&str, &str)]| of.iter().map(|(name, text)| (PathBuf::from(name), hash(text.as_bytes()))).collect();
        let before: BTreeMap<PathBuf, u64> = files(&[("a", "1"), ("b", "2")]);
        assert!(compare(&before, &before.clone()).is_ok());
        for after in
            [files(&[("a", "1"), ("b", "3")]), files(&[("a", "1")]), files(&[("a", "1"), ("b", "2"), ("c", "3")])]
        {
            let error = compare(&before, &after).unwrap_err().to_string();
            assert!(error.starts_with("made again, "), "{error}");
        }
    }
}
