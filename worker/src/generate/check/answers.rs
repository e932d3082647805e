//! What an answer has to be, row by row, and holding an answer against it.

use std::collections::BTreeMap;

use slotkeeper_query::{Answer, Value};

use super::Checked;

/// What a cell has to hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Int(i128),
    Bool(bool),
    /// As it is shown.
    Text(String),
    /// `part / whole`, rounded to hundredths; what lies just between two of them, either way: the answer is a float.
    Hundredths(i128, i128),
    /// So many millionths, as a float.
    Millionths(i128),
    /// This, or one more or less: the answer was a float before it was rounded.
    About(i128),
}

/// The rows that an answer has to have, by the columns that tell them apart.
pub(super) struct Expected {
    key: Vec<&'static str>,
    columns: Vec<&'static str>,
    rows: BTreeMap<Vec<String>, Vec<Cell>>,
}

impl Cell {
    /// Hundredths of a percent.
    pub(super) fn percent(part: impl Into<i128>, whole: impl Into<i128>) -> Self {
        Self::Hundredths(part.into() * 100, whole.into())
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn int(value: impl Into<i128>) -> Self {
        Self::Int(value.into())
    }

    fn is(&self, found: &Value) -> bool {
        match (self, found) {
            (Self::Null, Value::Null) => true,
            (Self::Int(expected), found) => whole(found) == Some(*expected),
            (Self::Bool(expected), Value::Bool(found)) => expected == found,
            (Self::Text(expected), found) => *found != Value::Null && *expected == found.to_string(),
            (Self::Hundredths(part, whole), found) => {
                scaled(found, 100.0).is_some_and(|found| 2 * (found * whole - 100 * part).abs() <= *whole)
            }
            (Self::Millionths(expected), found) => scaled(found, 1e6) == Some(*expected),
            (Self::About(expected), found) => whole(found).is_some_and(|found| (found - expected).abs() <= 1),
            _ => false,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Int(value) | Self::About(value) => value.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Text(text) => text.clone(),
            Self::Hundredths(part, whole) => {
                let thousandths = part * 1_000 / whole.max(&1);
                let sign = if thousandths < 0 { "-" } else { "" };
                let thousandths = thousandths.abs();
                format!("{sign}{}.{:03} to the hundredth", thousandths / 1_000, thousandths % 1_000)
            }
            Self::Millionths(value) => format!("{value} millionths"),
        }
    }
}

fn said(name: &str, of: &str) -> String {
    if name.is_empty() { of.into() } else { format!("{name}: {of}") }
}

fn whole(found: &Value) -> Option<i128> {
    match found {
        Value::Int(found) => Some(*found),
        Value::Decimal { unscaled, scale: 0 } => Some(*unscaled),
        _ => None,
    }
}

/// A number that is whole once it is so many times as large.
#[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates")]
fn scaled(found: &Value, by: f64) -> Option<i128> {
    let Value::Double(found) = found else { return None };
    let scaled = found * by;
    let whole = scaled.round();
    ((scaled - whole).abs() < 1e-3).then_some(whole as i128)
}

impl Expected {
    pub(super) fn of(key: &[&'static str], columns: &[&'static str]) -> Self {
        Self { key: key.to_vec(), columns: columns.to_vec(), rows: BTreeMap::new() }
    }

    /// A row that has to be there, once.
    pub(super) fn row(&mut self, key: Vec<String>, cells: Vec<Cell>) {
        debug_assert_eq!((key.len(), cells.len()), (self.key.len(), self.columns.len()));
        self.rows.insert(key, cells);
    }

    /// Holds an answer against it. `name` is how it was asked, if there is another way.
    pub(super) fn hold(self, name: &str, answer: &Answer, checked: &mut Checked) {
        if answer.is_cut {
            checked.differ(&said(name, "rows"), &self.rows.len(), &"more than are asked for");
            return;
        }
        self.hold_rows(name, &answer.columns, answer.rows.iter().map(Vec::as_slice), checked);
    }

    /// The same with rows of whatever book.
    pub(super) fn hold_rows<'a>(
        mut self,
        name: &str,
        columns: &[String],
        rows: impl Iterator<Item = &'a [Value]>,
        checked: &mut Checked,
    ) {
        let place = |name: &str| columns.iter().position(|column| column == name);
        let places = |names: &[&'static str]| names.iter().map(|name| place(name).ok_or(*name)).collect();
        let both = |key: Result<Vec<usize>, _>, cells: Result<Vec<usize>, _>| Ok((key?, cells?));
        let (key, cells) = match both(places(&self.key), places(&self.columns)) {
            Ok(places) => places,
            Err::<_, &str>(column) => {
                return checked.differ(&said(name, "columns"), &column, &"none of this name");
            }
        };
        for row in rows {
            let of: Vec<String> = key.iter().map(|place| row[*place].to_string()).collect();
            let said = || said(name, &of.join(" "));
            checked.figures += cells.len() as u64;
            let Some(expected) = self.rows.remove(&of) else {
                checked.differ(&said(), &"no such row", &"one, or one more");
                continue;
            };
            for ((column, expected), place) in self.columns.iter().zip(&expected).zip(&cells) {
                let found = &row[*place];
                if !expected.is(found) {
                    let found = if *found == Value::Null { "nothing".into() } else { found.to_string() };
                    checked.differ(&format!("{}: {column}", said()), &expected.shown(), &found);
                }
            }
        }
        for key in self.rows.keys() {
            checked.figures += 1;
            checked.differ(&said(name, &key.join(" ")), &"a row", &"none");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: &[[Value; 2]]) -> Answer {
        Answer {
            columns: vec!["key".into(), "slots".into()],
            rows: rows.iter().map(|row| row.to_vec()).collect(),
            is_cut: false,
        }
    }

    fn held(rows: &[[Value; 2]]) -> Vec<String> {
        let mut expected = Expected::of(&["key"], &["slots"]);
        expected.row(vec!["a".into()], vec![Cell::int(1)]);
        expected.row(vec![String::new()], vec![Cell::int(2)]);
        let mut checked = Checked::of("fill");
        expected.hold("fill", &answer(rows), &mut checked);
        assert_eq!(checked.different, checked.differences.len() as u64);
        checked.differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_row_that_is_missing_there_twice_or_not_expected_differs() {
        let row = |key: &str, slots| [Value::Text(key.into()), Value::Int(slots)];
        let unknown = [Value::Null, Value::Int(2)];
        assert!(held(&[row("a", 1), unknown.clone()]).is_empty());
        assert_eq!(held(&[row("a", 1)]), ["fill: : expected a row, found none"]);
        assert_eq!(held(&[row("a", 3), unknown.clone()]), ["fill: a: slots: expected 1, found 3"]);
        let one_more = "expected no such row, found one, or one more";
        assert_eq!(held(&[row("a", 1), row("a", 1), unknown.clone()]), [format!("fill: a: {one_more}")]);
        assert_eq!(held(&[row("a", 1), row("b", 0), unknown]), [format!("fill: b: {one_more}")]);
    }

    #[test]
    fn a_rate_is_right_to_the_hundredth_and_no_further() {
        let rate = Cell::percent(1, 3);
        assert!(rate.is(&Value::Double(33.33)));
        assert_eq!(
            (rate.shown(), Cell::percent(-1, 3).shown()),
            ("33.333 to the hundredth".into(), "-33.333 to the hundredth".into())
        );
        for wrong in [Value::Double(33.34), Value::Double(33.333), Value::Int(33), Value::Null] {
            assert!(!rate.is(&wrong), "{wrong:?}");
        }
        let between = Cell::percent(1, 800); // 0.125 %
        assert!(between.is(&Value::Double(0.13)) && between.is(&Value::Double(0.12)));
        assert!(!between.is(&Value::Double(0.11)));
        assert!(Cell::About(7).is(&Value::Int(8)) && !Cell::About(7).is(&Value::Int(9)));
        assert!(!Cell::Int(0).is(&Value::Null));
    }
}
