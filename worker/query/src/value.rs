//! What a cell of an answer holds, and how it is written.

use std::fmt;

use serde::{Serialize, Serializer};

/// The day from which DuckDB counts days.
const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

/// A cell of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number, exact.
    Int(i128),
    /// A decimal number, exact: `unscaled / 10^scale`.
    Decimal {
        /// All its digits.
        unscaled: i128,
        /// How many of them are behind the point.
        scale: u8,
    },
    /// A floating-point number.
    Double(f64),
    /// A text.
    Text(String),
    /// A day, as days since 1970-01-01.
    Date(i32),
    /// An instant if it is in UTC, else a date and time of nowhere.
    Timestamp {
        /// Since 1970-01-01T00:00:00.
        micros: i64,
        /// Whether it is an instant.
        is_utc: bool,
    },
}

impl Value {
    /// Whether it is a number, which a table sets to the right.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Decimal { .. } | Self::Double(_))
    }

    /// The whole number that it is.
    pub fn int(&self) -> Option<i128> {
        let Self::Int(value) = self else { return None };
        Some(*value)
    }

    /// The text that it is.
    pub fn text(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }
}

/// As a table or a CSV file shows it: nothing of a null, instants as RFC 3339.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Decimal { unscaled, scale } => decimal(*unscaled, *scale, f),
            Self::Double(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Date(days) => {
                let day = EPOCH.checked_add(jiff::Span::new().try_days(*days).unwrap_or_default());
                match day {
                    Ok(day) => write!(f, "{day}"),
                    Err(_) => write!(f, "day {days}"),
                }
            }
            Self::Timestamp { micros, is_utc } => timestamp(*micros, *is_utc, f),
        }
    }
}

fn decimal(unscaled: i128, scale: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sign = if unscaled < 0 { "-" } else { "" };
    let Some(unit) = 10_u128.checked_pow(scale.into()).filter(|_| scale > 0) else {
        return write!(f, "{unscaled}");
    };
    let digits = unscaled.unsigned_abs();
    write!(f, "{sign}{}.{:0width$}", digits / unit, digits % unit, width = scale.into())
}

/// DuckDB's infinities, and what is before or after jiff's years, are written as what they are: microseconds.
fn timestamp(micros: i64, is_utc: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(instant) if is_utc => write!(f, "{instant}"),
        Ok(instant) => write!(f, "{}", jiff::tz::Offset::UTC.to_datetime(instant)),
        Err(_) => write!(f, "{micros} µs"),
    }
}

/// As JSON has it: a whole number is one however large, with all its digits; a decimal is a text, so that no reader makes a float
/// of it; what JSON has no number for is null.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => match i64::try_from(*value) {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => serializer.serialize_i128(*value),
            },
            Self::Double(value) if value.is_finite() => serializer.serialize_f64(*value),
            Self::Null | Self::Double(_) => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Decimal { .. } | Self::Date(_) | Self::Timestamp { .. } => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_with_all_its_digits() {
        let at = |micros, is_utc| Value::Timestamp { micros, is_utc };
        let cases = [
            (Value::Null, "", "null"),
            (Value::Bool(true), "true", "true"),
            (Value::Int(i128::from(i64::MAX) * 10), "92233720368547758070", "92233720368547758070"),
            (Value::Int(i128::MIN), &i128::MIN.to_string(), &i128::MIN.to_string()),
            (Value::Decimal { unscaled: -5, scale: 2 }, "-0.05", "\"-0.05\""),
            (Value::Decimal { unscaled: 1_234, scale: 2 }, "12.34", "\"12.34\""),
            (Value::Decimal { unscaled: 7, scale: 0 }, "7", "\"7\""),
            (Value::Double(92.5), "92.5", "92.5"),
            (Value::Double(f64::NAN), "NaN", "null"),
            (Value::Text("a\"b".into()), "a\"b", r#""a\"b""#),
            (Value::Date(-1), "1969-12-31", "\"1969-12-31\""),
            (Value::Date(20_779), "2026-11-22", "\"2026-11-22\""),
            (at(1_795_000_000_000_000, true), "2026-11-18T11:06:40Z", "\"2026-11-18T11:06:40Z\""),
            (at(1_795_000_000_250_000, false), "2026-11-18T11:06:40.25", "\"2026-11-18T11:06:40.25\""),
            (at(i64::MAX, true), "9223372036854775807 µs", "\"9223372036854775807 µs\""),
        ];
        for (value, shown, json) in cases {
            assert_eq!(value.to_string(), shown, "{value:?}");
            assert_eq!(serde_json::to_string(&value).unwrap(), json, "{value:?}");
        }
    }
}
