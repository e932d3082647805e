//! Holding what an origin made of a world's log against the world's truth.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
};

use slotkeeper_world::{
    Figures, Truth,
    truth::{Difference, HourLine, differences},
};

use super::{
    GenerateError, Manifest, TruthFolder,
    found::{self, Found},
};
use crate::data_dir::DataDir;

/// The most differences that are kept to be shown.
pub const DIFFERENCES_MAX: usize = 100;

/// What a check compared, and what differs.
#[derive(Debug)]
pub struct Checked {
    /// Which books: `fold.db` or `lake`.
    pub books: &'static str,
    /// How many figures were compared.
    pub figures: u64,
    /// Those that differ: no more than [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// How many differ.
    pub different: u64,
}

/// Compares every book that there is with the truth.
pub fn check(data: &DataDir) -> Result<Vec<Checked>, GenerateError> {
    let folder = TruthFolder::of(data);
    TruthFolder::read::<Manifest>(&folder.manifest())?; // without it, the world is not whole
    let truth: Truth = TruthFolder::read(&folder.truth())?;
    let mut checked = Vec::new();
    if let Some(found) = found::in_fold(data)? {
        checked.push(compare("fold.db", &folder, &truth, found)?);
    }
    if let Some(found) = found::in_lake(data)? {
        checked.push(compare("lake", &folder, &truth, found)?);
    }
    Ok(checked)
}

fn compare(
    books: &'static str,
    folder: &TruthFolder,
    truth: &Truth,
    mut found: Found,
) -> Result<Checked, GenerateError> {
    let mut checked = Checked { books, figures: 0, differences: vec![], different: 0 };
    let mut expected = truth.figures();
    expected.retain(|name, _| found.tells(name));
    checked.add(&expected, &found.figures);
    let (mut hour_at_ms, mut expected) = (0, Figures::new());
    for line in hours(folder)? {
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
    fn add_hour(&mut self, hour_at_ms: u64, expected: &Figures, found: &mut Found) -> Result<(), GenerateError> {
        if !expected.is_empty() {
            self.add(expected, &found.hour(hour_at_ms)?);
        }
        Ok(())
    }

    fn add(&mut self, expected: &Figures, found: &Figures) {
        let mut different = differences(expected, found);
        self.figures += expected.len() as u64;
        self.different += different.len() as u64;
        different.truncate(DIFFERENCES_MAX - self.differences.len());
        self.differences.append(&mut different);
    }
}

/// The truth by hours.
fn hours(folder: &TruthFolder) -> Result<impl Iterator<Item = Result<HourLine, GenerateError>>, GenerateError> {
    let path = folder.hours();
    let fault = move |reason: String| GenerateError::Truth { path: path.clone(), reason };
    let file = File::open(folder.hours()).map_err(|error| fault(error.to_string()))?;
    Ok(BufReader::new(file).lines().map(move |line| {
        let line = line.map_err(|error| fault(error.to_string()))?;
        serde_json::from_str(&line).map_err(|error| fault(error.to_string()))
    }))
}
