//! Answers as text.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{session::Answer, value::Value};

/// A table for people: every column as wide as its widest cell, numbers to the right.
pub fn table(answer: &Answer) -> String {
    let cells: Vec<Vec<String>> = answer.rows.iter().map(|row| row.iter().map(one_line).collect()).collect();
    let width = |column: usize| {
        let widths = cells.iter().map(|row| row[column].chars().count());
        widths.chain([answer.columns[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..answer.columns.len()).map(width).collect();
    let is_number = |column: usize| answer.rows.iter().any(|row| row[column].is_number());
    let numbers: Vec<bool> = (0..answer.columns.len()).map(is_number).collect();
    let mut text = String::new();
    for row in std::iter::once(&answer.columns).chain(&cells) {
        let cell = |(column, cell): (usize, &String)| {
            let width = widths[column];
            if numbers[column] { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        };
        let line: Vec<String> = row.iter().enumerate().map(cell).collect();
        text += line.join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn one_line(value: &Value) -> String {
    value.to_string().replace(['\n', '\r'], " ")
}

/// CSV as RFC 4180 has it, with a head; a null is an empty field, an empty text a quoted one.
pub fn csv(answer: &Answer) -> String {
    let mut text = String::new();
    let head: Vec<String> = answer.columns.iter().map(|name| field(name)).collect();
    let rows = answer.rows.iter().map(|row| {
        row.iter().map(|value| if *value == Value::Null { String::new() } else { field(&value.to_string()) }).collect()
    });
    for row in std::iter::once(head).chain(rows) {
        let _ = write!(text, "{}\r\n", row.join(",")); // a String takes all
    }
    text
}

fn field(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// What JSON says of an answer.
#[derive(Serialize)]
pub struct Json<'a> {
    /// The names of the columns.
    pub columns: &'a [String],
    /// Each row as a list, in their order.
    pub rows: &'a [Vec<Value>],
    /// Whether there were more rows than were wanted.
    pub cut: bool,
}

impl<'a> Json<'a> {
    /// Of an answer.
    pub fn of(answer: &'a Answer) -> Self {
        Self { columns: &answer.columns, rows: &answer.rows, cut: answer.is_cut }
    }
}

/// One line of JSON.
pub fn json(answer: &Answer) -> String {
    serde_json::to_string(&Json::of(answer))
        .unwrap_or_else(|_| unreachable!("names, and values that are written as text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        let text = |text: &str| Value::Text(text.into());
        Answer {
            columns: vec!["reason".into(), "slots".into()],
            rows: vec![
                vec![text("frequency_capped"), Value::Int(7)],
                vec![text("a \"b\",\nc"), Value::Int(12_345)],
                vec![text(""), Value::Null],
            ],
            is_cut: true,
        }
    }

    #[test]
    fn an_answer_is_a_table_csv_or_json() {
        let expected = "reason            slots\nfrequency_capped      7\na \"b\", c          12345\n\n";
        assert_eq!(table(&answer()), expected);
        let expected = "reason,slots\r\nfrequency_capped,7\r\n\"a \"\"b\"\",\nc\",12345\r\n\"\",\r\n";
        assert_eq!(csv(&answer()), expected);
        let expected = r#"{"columns":["reason","slots"],"rows":[["frequency_capped",7],["a \"b\",\nc",12345],["",null]],"cut":true}"#;
        assert_eq!(json(&answer()), expected);
    }
}
