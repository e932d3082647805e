//! Holding what an origin made of a world's log against the world's truth: every book there is, and the answers to all questions.
//!
//! **Invariant.** Nothing here asks the code that it checks what is right. What is expected follows from the truth and the script
//! alone, in arithmetic of its own; the lake and the books are only read.
//!
//! **Memory.** Sums by hour, title and viewer's frequency; never rows. The truth by hours is read line by line.

mod answers;
mod owed;
mod pacing;
mod slots;
mod watched;

use std::{
    fmt,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use rusqlite::types::ValueRef;
use serde::{Serialize, de::DeserializeOwned};
use slotkeeper_books::ledger::{Ledger, MakeGood, SqliteBackend};
use slotkeeper_query::{Answer, Bounds, Error, Session, Value, session::Values};
use slotkeeper_world::{
    Figures, Script, Truth,
    truth::{EarnedLine, HourLine, PlaceLine, QuarterLine, differences},
};

use super::{
    GenerateError, Manifest, TruthFolder,
    found::{self, Found},
};
use crate::{
    data_dir::{self, DataDir},
    lake::mirror::{self, Wanted},
    sql::{self, SqlError, questions},
};
use answers::Expected;
use owed::Owed;
use pacing::{ClosedDay, Pacing};
use slots::{Earned, Slots};
use watched::Vendor;

/// The most differences that are kept to be shown.
pub const DIFFERENCES_MAX: usize = 100;
/// The most rows of an answer.
const BOUNDS: Bounds = Bounds { rows_skipped: 0, rows_max: 5_000_000, time_max: None };

/// What was compared, and what was not.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The books and questions that were there.
    pub checked: Vec<Checked>,
    /// Those that were not.
    pub missing: Vec<Missing>,
}

/// What a check compared, and what differs.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// Which books, or which question.
    pub books: String,
    /// How many figures were compared.
    pub figures: u64,
    /// How many differ.
    pub different: u64,
    /// Those that do: no more than [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
}

/// A figure that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which.
    pub figure: String,
    /// What the truth says.
    pub expected: String,
    /// What was found.
    pub found: String,
}

/// Books that are not there, or not all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which.
    pub books: String,
    /// What is missing, and how it is made.
    pub why: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.figure, self.expected, self.found)
    }
}

impl Report {
    /// Whether nothing differs; whatever is missing.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.checked.iter().all(|checked| checked.different == 0)
    }

    fn miss(&mut self, books: &str, why: impl Into<String>) {
        self.missing.push(Missing { books: books.into(), why: why.into() });
    }
}

/// Compares every book that there is, and the answer to every question, with the truth. `progress` is told what is looked at.
pub fn check(data: &DataDir, progress: &mut dyn FnMut(&str)) -> Result<Report, GenerateError> {
    let folder = TruthFolder::of(data);
    let manifest: Manifest = TruthFolder::read(&folder.manifest())?; // without it, the world is not whole
    let truth: Truth = TruthFolder::read(&folder.truth())?;
    let script = Script::of(&manifest.params)?;
    let mut report = Report::default();
    progress("fold.db");
    match found::in_fold(data)? {
        Some(found) => report.checked.push(compare("fold.db", &folder, &truth, found)?),
        None => report.miss("fold.db", "there is none: `slotkeeper serve` folds the log"),
    }
    progress("the lake's totals and counts by hour");
    mirror::bring(data, Wanted::Tables)?;
    let Some(found) = found::in_lake(data)? else {
        report.miss("lake", "there is none: slotkeeper lake advance");
        return Ok(report);
    };
    report.checked.push(compare("lake", &folder, &truth, found)?);
    let quarters = lines::<QuarterLine>(folder.quarters())?.collect::<Result<Vec<_>, _>>()?;
    let checking = Checking { data, folder, truth, script, quarters };
    checking.asked(&mut report, progress)?;
    Ok(report)
}

/// What the questions are checked with.
struct Checking<'a> {
    data: &'a DataDir,
    folder: TruthFolder,
    truth: Truth,
    script: Script,
    quarters: Vec<QuarterLine>,
}

impl Checking<'_> {
    fn asked(&self, report: &mut Report, progress: &mut dyn FnMut(&str)) -> Result<(), GenerateError> {
        let vendors = ["flight", "creative"].map(|by| Vendor::of(&self.truth, by));
        let files = VendorFiles::write(vendors.each_ref().map(Vendor::csv))?;
        let mut asking = match sql::start(self.data, vec![], files.0.clone()) {
            Ok(session) => Some(Asking { session, progress }),
            Err(SqlError::Query(error @ Error::NoLibrary { .. })) => {
                report.miss("questions", error.to_string());
                None
            }
            Err(error) => return Err(error.into()),
        };
        self.pacing(report, asking.as_mut())?;
        self.owed(report, asking.as_mut())?;
        let Some(asking) = &mut asking else { return Ok(()) };
        self.slots(report, asking)?;
        self.watched(report, asking)?;
        discrepancy(report, asking, &vendors, &files)?;
        self.sessions(report, asking)
    }

    /// What is asked of counts by hour.
    fn slots(&self, report: &mut Report, asking: &mut Asking<'_>) -> Result<(), GenerateError> {
        (asking.progress)("the truth by hours");
        let mut earned = Earned::default();
        for line in lines::<EarnedLine>(self.folder.earned())? {
            earned.add(line?);
        }
        let mut slots = Slots::default();
        for line in lines::<HourLine>(self.folder.hours())? {
            slots.count(&line?, &earned);
        }
        slots.end_hour(&earned);
        for line in lines::<PlaceLine>(self.folder.places())? {
            slots.count_place(&line?);
        }
        slots.end_hour(&Earned::default());

        let days: Vec<&String> = self.truth.days.iter().map(|line| &line.day).collect();
        let day = days.get(days.len() / 2).map_or("", |day| day.as_str());
        let one_day = [("by", "all"), ("from", day), ("to", day)];
        let (mut fill, mut unfilled) = (Checked::of("fill"), Checked::of("unfilled"));
        for by in ["all", "day", "hour", "title", "position", "country", "device"] {
            asking.hold("fill", &[("by", by)], slots.fill(by, None), &mut fill)?;
            asking.hold("unfilled", &[("by", by)], slots.unfilled(by, None), &mut unfilled)?;
        }
        asking.hold("fill", &one_day, slots.fill("all", Some(day)), &mut fill)?;
        asking.hold("unfilled", &one_day, slots.unfilled("all", Some(day)), &mut unfilled)?;

        let mut onset = Checked::of("cap-onset");
        for by in ["all", "title", "position", "country", "device"] {
            for (line, (percent, slots_min)) in slots::LINES.into_iter().enumerate() {
                let (percent, slots_min) = (percent.to_string(), slots_min.to_string());
                for every in ["first", "all"] {
                    let given = [("by", by), ("line_percent", &percent), ("slots_min", &slots_min), ("every", every)];
                    let expected = slots.onsets(by, line, every == "first");
                    asking.hold("cap-onset", &given, expected, &mut onset)?;
                }
            }
        }

        let mut missed = Checked::of("money-on-the-table");
        for by in ["all", "day", "title", "position", "reason"] {
            asking.hold("money-on-the-table", &[("by", by)], slots.missed(by), &mut missed)?;
        }
        let mut conserved = Checked::of("conservation");
        asking.hold("conservation", &[], watched::conservation(&self.truth, &slots), &mut conserved)?;
        report.checked.extend([fill, unfilled, onset, missed, conserved]);
        Ok(())
    }

    /// What is asked of impressions.
    fn watched(&self, report: &mut Report, asking: &mut Asking<'_>) -> Result<(), GenerateError> {
        let mut completion = Checked::of("completion");
        for by in ["creative", "flight", "campaign", "title", "position", "device", "day"] {
            asking.hold("completion", &[("by", by)], watched::completion(&self.truth, by), &mut completion)?;
        }
        let mut revenue = Checked::of("revenue");
        for by in ["all", "day", "advertiser", "campaign", "flight", "creative", "title", "country"] {
            asking.hold("revenue", &[("by", by)], watched::revenue(&self.truth, by), &mut revenue)?;
        }
        let mut reach = Checked::of("reach");
        for by in ["advertiser", "campaign", "flight", "creative"] {
            asking.hold("reach", &[("by", by)], watched::reach(&self.truth, by), &mut reach)?;
        }
        report.checked.extend([completion, revenue, reach]);
        Ok(())
    }

    fn sessions(&self, report: &mut Report, asking: &mut Asking<'_>) -> Result<(), GenerateError> {
        let mut checked = Checked::of("session");
        for (place, line) in self.truth.sessions.iter().enumerate() {
            let (by, id) = watched::asked_by(place, line);
            asking.hold("session", &[(by, &id)], watched::session(line, by), &mut checked)?;
        }
        report.checked.push(checked);
        Ok(())
    }

    /// How flights stood at the end of each closed day: `pacing.db`, and what is at risk.
    fn pacing(&self, report: &mut Report, mut asking: Option<&mut Asking<'_>>) -> Result<(), GenerateError> {
        let (columns, rows) = pacing_rows(self.data)?;
        let text = |row: &[Value], name: &str| {
            let place = columns.iter().position(|column| column == name);
            place.and_then(|place| row.get(place)).map(ToString::to_string).unwrap_or_default()
        };
        let is_whole = |row: &&Vec<Value>| text(row, "is_provisional") == "0";
        let day = |row: &Vec<Value>| ClosedDay { day: text(row, "day"), time_zone: text(row, "time_zone") };
        let mut days: Vec<ClosedDay> = rows.iter().filter(is_whole).map(day).collect();
        days.sort_unstable();
        days.dedup();
        let first = self.quarters.iter().map(|line| slots::day_of(line.quarter_at_ms));
        let mut missing: Vec<String> = first.filter(|day| !days.iter().any(|closed| closed.day == *day)).collect();
        missing.dedup();
        if let Some(first) = missing.first() {
            let why =
                format!("{} days are not closed yet, or not finally: slotkeeper close day {first} …", missing.len());
            report.miss("pacing", why);
        }
        let pacing = Pacing::of(&self.script, &self.truth.flights, &self.quarters);
        let (mut kept, mut at_risk) = (Checked::of("pacing.db"), Checked::of("at-risk"));
        for closed in &days {
            let stood = pacing.stood(closed);
            let of_day = rows.iter().filter(|row| day(row) == *closed && is_whole(row)).map(Vec::as_slice);
            pacing::rows(closed, &stood).hold_rows("", &columns, of_day, &mut kept);
            if let Some(asking) = &mut asking {
                let given = [("day", closed.day.as_str()), ("least", "watch")];
                asking.hold("at-risk", &given, pacing::at_risk(closed, &stood), &mut at_risk)?;
            }
        }
        if !days.is_empty() {
            report.checked.push(kept);
            report.checked.extend(asking.map(|_| at_risk));
        }
        Ok(())
    }

    /// What is owed: `ledger.db`, its table for SQL, and what stands.
    fn owed(&self, report: &mut Report, asking: Option<&mut Asking<'_>>) -> Result<(), GenerateError> {
        let make_goods = make_goods(self.data)?;
        let owed = Owed::of(&self.truth, &self.script, &make_goods);
        for month in &owed.months_missing {
            report.miss(
                "ledger",
                format!("{month} is not closed yet, or not to its end (UTC): slotkeeper close month {month}"),
            );
        }
        if make_goods.is_empty() {
            return Ok(());
        }
        let mut kept = Checked::of("ledger.db");
        let columns: Vec<String> = ["flight"].into_iter().chain(owed::COLUMNS).map(Into::into).collect();
        let rows: Vec<Vec<Value>> = make_goods.iter().map(owed::row).collect();
        owed.make_goods().hold_rows("", &columns, rows.iter().map(Vec::as_slice), &mut kept);
        report.checked.push(kept);
        let Some(asking) = asking else { return Ok(()) };
        let mut asked = Checked::of("liability");
        let sql = format!("SELECT {} FROM makegoods", columns.join(", "));
        owed.make_goods().hold("makegoods", &asking.ask("makegoods", &sql, &Values::new())?, &mut asked);
        for by in ["advertiser", "campaign", "flight"] {
            for status in ["standing", "all"] {
                let given = [("by", by), ("status", status)];
                asking.hold("liability", &given, owed.liability(by), &mut asked)?;
            }
        }
        report.checked.push(asked);
        Ok(())
    }
}

/// A vendor's counts, beside ours.
fn discrepancy(
    report: &mut Report,
    asking: &mut Asking<'_>,
    vendors: &[Vendor],
    files: &VendorFiles,
) -> Result<(), GenerateError> {
    let mut checked = Checked::of("discrepancy");
    for (vendor, file) in vendors.iter().zip(&files.0) {
        let file = file.display().to_string();
        for count in ["impressions", "delivered", "completes"] {
            let given = [("vendor", file.as_str()), ("by", vendor.by()), ("count", count)];
            asking.hold("discrepancy", &given, vendor.discrepancy(count), &mut checked)?;
        }
    }
    report.checked.push(checked);
    Ok(())
}

/// A session over the lake, which says what it is asked.
struct Asking<'a> {
    session: Session,
    progress: &'a mut dyn FnMut(&str),
}

impl Asking<'_> {
    /// Asks a question as the command line does, and holds the answer against what it has to be.
    fn hold(
        &mut self,
        name: &str,
        given: &[(&str, &str)],
        expected: Expected,
        checked: &mut Checked,
    ) -> Result<(), GenerateError> {
        let question = questions::named(name).unwrap_or_else(|| unreachable!("{name} is shipped"));
        let values = given.iter().map(|(name, value)| ((*name).into(), Some((*value).into()))).collect();
        let given: Vec<String> = given
            .iter()
            .filter(|(name, _)| *name != "vendor") // a file of ours
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let given = given.join(" ");
        let answer = self.ask(&format!("{name} {given}"), &question.sql, &question.values(&values)?)?;
        expected.hold(&given, &answer, checked);
        Ok(())
    }

    fn ask(&mut self, said: &str, sql: &str, values: &Values) -> Result<Answer, GenerateError> {
        (self.progress)(said);
        let answers = self.session.ask(sql, values, BOUNDS).map_err(SqlError::from)?;
        Ok(answers.into_iter().next_back().unwrap_or_default())
    }
}

/// A vendor's counts, in files that are gone with this. The folder is everybody's, so nobody can tell their names before.
struct VendorFiles(Vec<PathBuf>);

impl VendorFiles {
    fn write(counts: [String; 2]) -> Result<Self, GenerateError> {
        let mut files = Self(vec![]);
        for csv in counts {
            let folder = std::env::temp_dir();
            let fault = |path: &Path, reason: String| GenerateError::Truth { path: path.into(), reason };
            let mut drawn = [0; 16];
            getrandom::fill(&mut drawn).map_err(|error| fault(&folder, error.to_string()))?;
            let path = folder.join(format!("slotkeeper-vendor-{:032x}.csv", u128::from_be_bytes(drawn)));
            let mut file = File::create_new(&path).map_err(|error| fault(&path, error.to_string()))?;
            files.0.push(path.clone()); // from here on it is ours to remove
            file.write_all(csv.as_bytes()).map_err(|error| fault(&path, error.to_string()))?;
        }
        Ok(files)
    }
}

impl Drop for VendorFiles {
    fn drop(&mut self) {
        self.0.iter().for_each(|file| drop(std::fs::remove_file(file))); // one that is not there is gone
    }
}

/// All rows of `pacing.db`, and the names of their columns.
fn pacing_rows(data: &DataDir) -> Result<(Vec<String>, Vec<Vec<Value>>), GenerateError> {
    if !data.pacing().exists() {
        return Ok((vec![], vec![]));
    }
    let db = data_dir::connect_read_only(&data.pacing())?;
    if !data_dir::has_table(&db, "campaign_pacing_daily")? {
        return Ok((vec![], vec![]));
    }
    let mut select = db.prepare("SELECT * FROM campaign_pacing_daily ORDER BY day, flight_id")?;
    let columns: Vec<String> = select.column_names().map(Into::into).collect();
    let value = |value: ValueRef<'_>| match value {
        ValueRef::Integer(value) => Value::Int(value.into()),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        _ => Value::Null, // there are no others in it
    };
    let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|place| Ok(value(row.get_ref(place)?))).collect();
    let rows = select.query_map([], row)?.collect::<rusqlite::Result<_>>()?;
    Ok((columns, rows))
}

/// All make-goods in `ledger.db`; none if there is no such file.
fn make_goods(data: &DataDir) -> Result<Vec<MakeGood>, GenerateError> {
    if !data.ledger().exists() {
        return Ok(vec![]);
    }
    Ok(Ledger::new(Box::new(SqliteBackend::open_read_only(&data.ledger())?)).make_goods()?)
}

fn compare(books: &str, folder: &TruthFolder, truth: &Truth, mut found: Found) -> Result<Checked, GenerateError> {
    let mut checked = Checked::of(books);
    let mut expected = truth.figures();
    expected.retain(|name, _| found.tells(name));
    checked.add(&expected, &found.figures);
    let (mut hour_at_ms, mut expected) = (0, Figures::new());
    for line in lines::<HourLine>(folder.hours())? {
        let line = line?;
        if hour_at_ms != line.hour_at_ms {
            checked.add_hour(hour_at_ms, &expected, &mut found)?;
            (hour_at_ms, expected) = (line.hour_at_ms, Figures::new());
        }
        line.figures_into(&mut expected);
    }
    checked.add_hour(hour_at_ms, &expected, &mut found)?;
    for rest in found.hours_left()? {
        checked.add(&Figures::new(), &rest);
    }
    Ok(checked)
}

impl Checked {
    fn of(books: &str) -> Self {
        Self { books: books.into(), figures: 0, different: 0, differences: vec![] }
    }

    fn add_hour(&mut self, hour_at_ms: u64, expected: &Figures, found: &mut Found) -> Result<(), GenerateError> {
        if !expected.is_empty() {
            self.add(expected, &found.hour(hour_at_ms)?);
        }
        Ok(())
    }

    fn add(&mut self, expected: &Figures, found: &Figures) {
        self.figures += expected.len() as u64;
        for one in differences(expected, found) {
            self.differ(&one.figure, &one.expected, &one.found);
        }
    }

    fn differ(&mut self, figure: &str, expected: &dyn fmt::Display, found: &dyn fmt::Display) {
        self.different += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            let (expected, found) = (expected.to_string(), found.to_string());
            self.differences.push(Difference { figure: figure.into(), expected, found });
        }
    }
}

/// A file of the truth, line by line.
fn lines<T: DeserializeOwned>(path: PathBuf) -> Result<impl Iterator<Item = Result<T, GenerateError>>, GenerateError> {
    let fault = |path: &Path, reason: String| GenerateError::Truth { path: path.into(), reason };
    let file = File::open(&path).map_err(|error| fault(&path, error.to_string()))?;
    Ok(BufReader::new(file).lines().map(move |line| {
        let line = line.map_err(|error| fault(&path, error.to_string()))?;
        serde_json::from_str(&line).map_err(|error| fault(&path, error.to_string()))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendors_files_are_new_ones_each_time_and_gone_at_the_end() {
        let [one, other] = [(); 2].map(|()| VendorFiles::write(["a".into(), "b".into()]).unwrap());
        let all: Vec<PathBuf> = one.0.iter().chain(&other.0).cloned().collect();
        let read: Vec<String> = all.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert_eq!(read, ["a", "b", "a", "b"]);
        assert!(one.0.iter().all(|path| !other.0.contains(path)), "{all:?}");
        drop((one, other));
        assert!(all.iter().all(|path| !path.exists()), "{all:?}");
    }
}
