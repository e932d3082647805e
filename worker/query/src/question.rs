//! Named SQL: a question, what it is asked with, and what its answer says.
//!
//! The file says all of it in the comment at its head, a line for each thing:
//!
//! ```sql
//! -- title: Fill
//! -- answers: How many slots were filled, and by what.
//! -- param from: date = | The first day; without, the first there is.
//! -- param by: day|title = day | What to break it down by.
//! -- column slots: How many.
//! ```
//!
//! A parameter is `NAME: KIND = DEFAULT | what it is`. Its default may be nothing, which is a null; without `=` a value must be given.
//! `-- one of: a, b` says that at least one of these parameters must be.

use crate::session::Values;

/// The most characters of a value.
pub const VALUE_CHARS_MAX: usize = 1_000;

/// What a parameter takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `YYYY-MM-DD`.
    Date,
    /// A whole number of these, inclusive.
    Int(i64, i64),
    /// Any text.
    Text,
    /// A UUID, in digits of either case.
    Uuid,
    /// The path of a file that the command line reads.
    File,
    /// One of these.
    OneOf(Vec<String>),
}

/// What a question is asked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, without the `$`.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    /// Whether a value must be given.
    pub is_required: bool,
    /// What it is if none is given.
    pub default: Option<String>,
    /// What it is, for people.
    pub about: String,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is asked by.
    pub name: String,
    /// In a few words.
    pub title: String,
    /// What the answer tells.
    pub answers: String,
    /// What it can be asked with.
    pub parameters: Vec<Parameter>,
    /// Of which at least one must be given; none of them if this is empty.
    pub one_of: Vec<String>,
    /// The columns of its answer, and what they say.
    pub columns: Vec<(String, String)>,
    /// The SQL, whole.
    pub sql: String,
}

/// A value that a parameter does not take, or a parameter that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter {parameter}: {reason}")]
pub struct InvalidValue {
    /// Of which parameter.
    pub parameter: String,
    /// What it is, and what it may be.
    pub reason: String,
}

impl Question {
    /// Reads a file's head. A file without one is a question without title and parameters.
    pub fn read(name: &str, sql: &str) -> Result<Self, String> {
        let mut question = Self {
            name: name.into(),
            title: String::new(),
            answers: String::new(),
            parameters: Vec::new(),
            one_of: Vec::new(),
            columns: Vec::new(),
            sql: sql.into(),
        };
        for (index, line) in sql.lines().enumerate() {
            let Some(line) = line.strip_prefix("--") else { break };
            let Some((key, rest)) = line.trim().split_once(':') else { continue };
            let (key, rest) = (key.trim(), rest.trim());
            match key.split_once(' ') {
                None if key == "title" => question.title = rest.into(),
                None if key == "answers" => question.answers = rest.into(),
                Some(("one", "of")) => question.one_of = rest.split(',').map(|name| name.trim().into()).collect(),
                Some(("param", name)) => {
                    let fault = |reason| format!("{}, line {}: {reason}", question.name, index + 1);
                    question.parameters.push(parameter(name, rest).map_err(fault)?);
                }
                Some(("column", name)) => question.columns.push((name.into(), rest.into())),
                _ => {}
            }
        }
        Ok(question)
    }

    /// The values to ask it with: those given, checked, and the defaults.
    pub fn values(&self, given: &Values) -> Result<Values, InvalidValue> {
        let known = |name: &String| self.parameters.iter().any(|one| one.name == *name);
        if let Some(name) = given.keys().find(|name| !known(name)) {
            let names: Vec<&str> = self.parameters.iter().map(|one| one.name.as_str()).collect();
            let reason = match names.as_slice() {
                [] => format!("{} has none", self.name),
                names => format!("{} has none of this name; it has {}", self.name, names.join(", ")),
            };
            return Err(InvalidValue { parameter: name.clone(), reason });
        }
        let value = |one: &Parameter| Ok((one.name.clone(), one.value(given.get(&one.name))?));
        let values: Values = self.parameters.iter().map(value).collect::<Result<_, _>>()?;
        let is_given = |name: &String| values.get(name).is_some_and(Option::is_some);
        match self.one_of.first() {
            Some(first) if !self.one_of.iter().any(is_given) => {
                let reason = format!("missing; give one of {}", self.one_of.join(", "));
                Err(InvalidValue { parameter: first.clone(), reason })
            }
            _ => Ok(values),
        }
    }
}

impl Parameter {
    fn value(&self, given: Option<&Option<String>>) -> Result<Option<String>, InvalidValue> {
        let fault = |reason: String| InvalidValue { parameter: self.name.clone(), reason };
        match given {
            Some(Some(value)) => match self.kind.fault(value) {
                Some(reason) => Err(fault(reason)),
                None => Ok(Some(value.clone())),
            },
            None if self.is_required => Err(fault(format!("missing; it is {}", self.kind.says()))),
            None | Some(None) => Ok(self.default.clone()),
        }
    }
}

impl Kind {
    /// What a value may be, in words.
    pub fn says(&self) -> String {
        match self {
            Self::Date => "a date as 2026-11-30".into(),
            Self::Int(min, max) => format!("a whole number from {min} to {max}"),
            Self::Text => format!("a text of at most {VALUE_CHARS_MAX} characters"),
            Self::Uuid => "a UUID as 01a10a01-0081-73e8-8d57-c0164ff1b6b0".into(),
            Self::File => "the path of a file".into(),
            Self::OneOf(names) => format!("one of {}", names.join(", ")),
        }
    }

    /// What is wrong with a value, if anything is.
    fn fault(&self, value: &str) -> Option<String> {
        let is_good = value.chars().count() <= VALUE_CHARS_MAX
            && match self {
                Self::Date => value.len() == 10 && value.parse::<jiff::civil::Date>().is_ok(),
                Self::Int(min, max) => value.parse::<i64>().is_ok_and(|number| (*min..=*max).contains(&number)),
                Self::Text | Self::File => true,
                Self::Uuid => is_uuid(value),
                Self::OneOf(names) => names.iter().any(|name| name == value),
            };
        let shown: String = value.chars().take(80).collect();
        (!is_good).then(|| format!("{shown:?}; it must be {}", self.says()))
    }
}

fn is_uuid(text: &str) -> bool {
    let is_good =
        |(at, byte): (usize, u8)| if [8, 13, 18, 23].contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(is_good)
}

fn parameter(name: &str, rest: &str) -> Result<Parameter, String> {
    // The kind may have `|` in it: it is the first that has a space before it that ends it.
    let (terms, about) = rest.split_once(" | ").ok_or("a parameter is NAME: KIND = DEFAULT | what it is")?;
    let (kind, default) = match terms.split_once(" =") {
        Some((kind, default)) => (kind.trim(), Some(default.trim())),
        None => (terms.trim(), None),
    };
    let kind = match kind {
        "date" => Kind::Date,
        "text" => Kind::Text,
        "uuid" => Kind::Uuid,
        "file" => Kind::File,
        kind if kind.contains('|') => Kind::OneOf(kind.split('|').map(|name| name.trim().into()).collect()),
        kind => {
            let bounds = kind.strip_prefix("int ").and_then(|bounds| bounds.split_once("..="));
            let bounds = bounds.and_then(|(min, max)| Some((min.trim().parse().ok()?, max.trim().parse().ok()?)));
            let (min, max) = bounds.ok_or("a kind is date, text, uuid, file, int MIN..=MAX, or ONE|OTHER")?;
            Kind::Int(min, max)
        }
    };
    let default_text = default.filter(|default| !default.is_empty());
    if let Some(reason) = default_text.and_then(|default| kind.fault(default)) {
        return Err(format!("the default of {name}: {reason}"));
    }
    Ok(Parameter {
        name: name.into(),
        kind,
        is_required: default.is_none(),
        default: default_text.map(Into::into),
        about: about.trim().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "-- title: Fill\n-- answers: How many.\n-- param from: date = | The first day.\n-- param by: day|title = day | Of \
                       what.\n-- param least: int 1..=100 = 5 | At least.\n-- param who: text | Whose.\n-- column slots: How \
                       many.\nSELECT 1 AS slots -- param not: date | one\n";

    fn given(values: &[(&str, &str)]) -> Values {
        values.iter().map(|(name, value)| ((*name).into(), Some((*value).into()))).collect()
    }

    #[test]
    fn a_question_says_what_it_is_asked_with() {
        let question = Question::read("fill", SQL).unwrap();
        assert_eq!((question.title.as_str(), question.answers.as_str()), ("Fill", "How many."));
        assert_eq!(question.columns, [("slots".into(), "How many.".into())]);
        let values = question.values(&given(&[("who", "me"), ("by", "title")])).unwrap();
        let text = |text: &str| Some(String::from(text));
        let expected = [("by", text("title")), ("from", None), ("least", text("5")), ("who", text("me"))];
        assert_eq!(values, expected.map(|(name, value)| (name.into(), value)).into());
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_with_its_name_and_the_bound() {
        let question = Question::read("fill", SQL).unwrap();
        let cases = [
            (given(&[("who", "me"), ("by", "week")]), "parameter by: \"week\"; it must be one of day, title"),
            (
                given(&[("who", "me"), ("least", "0")]),
                "parameter least: \"0\"; it must be a whole number from 1 to 100",
            ),
            (
                given(&[("who", "me"), ("from", "1.2.2026")]),
                "parameter from: \"1.2.2026\"; it must be a date as 2026-11-30",
            ),
            (given(&[("by", "day")]), "parameter who: missing; it is a text of at most 1000 characters"),
            (given(&[("until", "1")]), "parameter until: fill has none of this name; it has from, by, least, who"),
            (given(&[("who", &"x".repeat(1_001))]), "it must be a text of at most 1000 characters"),
        ];
        for (given, expected) in cases {
            let error = question.values(&given).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn one_of_several_parameters_must_be_given() {
        let sql = "-- one of: id, who\n-- param id: uuid = | Of it.\n-- param who: text = | Of them.\nSELECT $id, $who";
        let question = Question::read("q", sql).unwrap();
        let fault = |values: &[(&str, &str)]| question.values(&given(values)).unwrap_err().to_string();
        assert_eq!(fault(&[]), "parameter id: missing; give one of id, who");
        for odd in [
            "01a10a01-0081-73e8-8d57-c0164ff1b6b",
            "01a10a01-0081-73e8-8d57-c0164ff1b6bg",
            "01a10a01+0081-73e8-8d57-c0164ff1b6b0",
        ] {
            assert!(fault(&[("id", odd)]).contains("it must be a UUID as "), "{odd}");
        }
        assert!(question.values(&given(&[("id", "01A10a01-0081-73e8-8d57-c0164ff1b6b0")])).is_ok());
        assert!(question.values(&given(&[("who", "me")])).is_ok());
    }

    #[test]
    fn a_head_that_makes_no_sense_is_refused() {
        for (line, expected) in [
            ("-- param a: date", "fill, line 1: a parameter is"),
            ("-- param a: number = | x", "fill, line 1: a kind is"),
            ("-- param a: int 1..=2 = 3 | x", "fill, line 1: the default of a: \"3\""),
        ] {
            let error = Question::read("fill", line).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
