//! Reading a contracts file in JSON.
//!
//! `serde_json` tells no positions, but it lends raw values that point into the text: their addresses are the positions.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::document::{Faults, Field, Node, Value};

/// How deep values may nest; contracts need 8.
const DEPTH_MAX: usize = 16;

/// The tree of a JSON text; what cannot be read is noted.
pub(super) fn parse(text: &str, faults: &Faults) -> Node {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => Reader { text, faults }.node(raw, 0),
        Err(error) => {
            faults.note(offset_of_line(text, error.line(), error.column()), "", format!("not JSON: {error}"));
            Node { at: 0, value: Value::Table(vec![]) }
        }
    }
}

fn offset_of_line(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before + column.saturating_sub(1)
}

struct Reader<'a> {
    text: &'a str,
    faults: &'a Faults,
}

impl<'a> Reader<'a> {
    fn node(&self, raw: &'a RawValue, depth: usize) -> Node {
        let at = self.offset(raw.get());
        let value = match raw.get().as_bytes().first() {
            Some(b'{' | b'[') if depth >= DEPTH_MAX => {
                self.faults.note(at, "", format!("values are nested deeper than {DEPTH_MAX}"));
                Value::Other("…".into())
            }
            Some(b'{') => Value::Table(self.fields(raw, depth)),
            Some(b'[') => {
                let items: Items<'_> = read(raw);
                Value::List(items.0.into_iter().map(|item| self.node(item, depth + 1)).collect())
            }
            Some(b'"') => Value::Text(read(raw)),
            Some(b't' | b'f') => Value::Bool(read(raw)),
            _ => raw.get().parse().map_or_else(|_| Value::Other(raw.get().into()), Value::Integer),
        };
        Node { at, value }
    }

    fn fields(&self, raw: &'a RawValue, depth: usize) -> Vec<Field> {
        let entries: Entries<'a> = read(raw);
        let mut fields: Vec<Field> = Vec::with_capacity(entries.0.len());
        for (Key { name, place }, raw) in entries.0 {
            let at = place.map_or_else(|| self.offset(raw.get()), |name| self.offset(name).saturating_sub(1)); // its quote
            if fields.iter().any(|known| known.name == name) {
                self.faults.note(at, &name, "stands twice in one object");
            }
            fields.push(Field { name, at, node: self.node(raw, depth + 1) });
        }
        fields
    }

    fn offset(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize)
    }
}

/// Reads a raw value whose first byte says that it is a `T`; it was checked to be JSON when it was lent.
fn read<'a, T: Deserialize<'a> + Default>(raw: &'a RawValue) -> T {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

#[derive(Default)]
struct Items<'a>(Vec<&'a RawValue>);

#[derive(Default)]
struct Entries<'a>(Vec<(Key<'a>, &'a RawValue)>);

struct Key<'a> {
    name: String,
    /// Where it stands, unless it holds escapes and had to be copied.
    place: Option<&'a str>,
}

struct Collect<T>(PhantomData<T>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Collect::<Self>(PhantomData))
    }
}

impl<'de> Visitor<'de> for Collect<Items<'de>> {
    type Value = Items<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Items(items))
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collect::<Self>(PhantomData))
    }
}

impl<'de> Visitor<'de> for Collect<Entries<'de>> {
    type Value = Entries<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Collect::<Self>(PhantomData))
    }
}

impl<'de> Visitor<'de> for Collect<Key<'de>> {
    type Value = Key<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Key { name: name.into(), place: Some(name) })
    }
    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Key { name: name.into(), place: None })
    }
}
