//! A contracts file as a tree in which every value knows where it stands, whatever the file's format.

use std::{cell::RefCell, fmt};

/// The most faults reported of one file; the rest are counted.
const FAULTS_MAX: usize = 100;
/// How much of a value a message quotes, in characters.
const QUOTED_MAX: usize = 60;

/// A value and the byte of the file where it begins.
#[derive(Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) value: Value,
}

/// A value, in what TOML and JSON have in common.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Bool(bool),
    /// A TOML date or time, as text.
    Moment(String),
    List(Vec<Node>),
    Table(Vec<Field>),
    /// What no field takes (a float, a null, a number too large): as written.
    Other(String),
}

/// A named value of a table.
#[derive(Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) at: usize,
    pub(super) node: Node,
}

/// What was read from a file, with the place it was read from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found<T> {
    pub(super) at: usize,
    pub(super) path: String,
    pub(super) value: T,
}

impl Value {
    /// The value as a message quotes it.
    pub(super) fn quoted(&self) -> String {
        match self {
            Self::Text(text) => format!("{:?}", shortened(text)),
            Self::Integer(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Moment(text) | Self::Other(text) => shortened(text),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Table(_) => "a table".into(),
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// Everything wrong with a file, collected while it is read.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<(usize, String)>>);

impl Faults {
    /// Notes that what stands at byte `at`, which is the field `path`, is wrong.
    pub(super) fn note(&self, at: usize, path: &str, message: impl fmt::Display) {
        let text = if path.is_empty() { message.to_string() } else { format!("{path}: {message}") };
        self.0.borrow_mut().push((at, text));
    }

    /// The report on `text`, the content of the file called `file`, or `None` if nothing is wrong.
    pub(super) fn report(self, file: &str, text: &str) -> Option<InvalidFile> {
        let mut faults = self.0.into_inner();
        faults.sort();
        let more = faults.len().saturating_sub(FAULTS_MAX);
        faults.truncate(FAULTS_MAX);
        let line = |(at, message): (usize, String)| {
            let (line, column) = position(text, at);
            format!("{file}:{line}:{column}: {message}")
        };
        let faults: Vec<String> = faults.into_iter().map(line).collect();
        (!faults.is_empty()).then_some(InvalidFile { faults, more })
    }
}

/// A file that was refused whole, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidFile {
    /// `FILE:LINE:COLUMN: FIELD: VALUE …`, in the order of the file.
    pub faults: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl fmt::Display for InvalidFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))?;
        if self.more > 0 {
            write!(f, "\n… and {} more", self.more)?;
        }
        Ok(())
    }
}

/// Line and column of byte `at`, both from 1, the column in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.split(|byte| *byte == b'\n').count();
    let starts_char = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
    (line, before[line_start..].iter().filter(starts_char).count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_1() {
        let text = "a\nµb = 1\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 2), (2, 1));
        assert_eq!(position(text, 4), (2, 2));
        assert_eq!(position(text, 999), (3, 1));
    }

    #[test]
    fn faults_are_reported_in_the_order_of_the_file_and_bounded() {
        let faults = Faults::default();
        (0..FAULTS_MAX + 2).rev().for_each(|at| faults.note(at, "f", at));
        let report = faults.report("x.toml", &" ".repeat(300)).unwrap();
        assert_eq!((report.faults.len(), report.more), (FAULTS_MAX, 2));
        assert_eq!(report.faults[1], "x.toml:1:2: f: 1");
        assert!(report.to_string().ends_with("… and 2 more"));
    }
}
