//! Reading a contracts file in TOML.

use toml::de::{DeTable, DeValue};

use super::document::{Faults, Field, Node, Value};

/// The tree of a TOML text; what cannot be read is noted.
pub(super) fn parse(text: &str, faults: &Faults) -> Node {
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        faults.note(error.span().map_or(0, |span| span.start), "", format!("not TOML: {}", error.message()));
    }
    Node { at: 0, value: table(root.get_ref()) }
}

fn table(table: &DeTable<'_>) -> Value {
    let field = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| Field {
        name: String::from(std::borrow::Cow::as_ref(name.get_ref())),
        at: name.span().start,
        node: node(value),
    };
    Value::Table(table.iter().map(field).collect())
}

fn node(spanned: &toml::Spanned<DeValue<'_>>) -> Node {
    let value = match spanned.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other(number.to_string()),
        },
        DeValue::Float(number) => Value::Other(number.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(node).collect()),
        DeValue::Table(fields) => table(fields),
    };
    Node { at: spanned.span().start, value }
}
