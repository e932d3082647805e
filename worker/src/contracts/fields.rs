//! Reading the fields of a table by name, noting everything that is missing, wrong or unknown.

use std::cell::RefCell;

use super::document::{Faults, Field, Found, Node, Value};

/// A table being read.
pub(super) struct Fields<'a> {
    /// Where it is within the file's tree; empty for the root.
    pub(super) path: String,
    pub(super) at: usize,
    entries: &'a [Field],
    asked: RefCell<Vec<&'static str>>,
    pub(super) faults: &'a Faults,
}

impl<'a> Fields<'a> {
    /// The table that `node` is; `None`, and a fault, if it is not one.
    pub(super) fn of(node: &'a Node, path: String, faults: &'a Faults) -> Option<Self> {
        if let Value::Table(entries) = &node.value {
            return Some(Self { path, at: node.at, entries, asked: RefCell::default(), faults });
        }
        faults.note(node.at, &path, format!("{} where a table is expected", node.value.quoted()));
        None
    }

    /// A field that must be there.
    pub(super) fn required<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<Found<T>> {
        if self.find(name).is_none() {
            self.faults.note(self.at, &self.path_of(name), "is missing");
        }
        self.optional(name, read)
    }

    /// A field that may be there.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<Found<T>> {
        let field = self.find(name)?;
        self.read(&field.node, self.path_of(name), read)
    }

    /// A field that must not be there, for the reason given.
    pub(super) fn forbidden(&self, name: &'static str, reason: &str) {
        if let Some(field) = self.find(name) {
            self.faults.note(field.at, &self.path_of(name), format!("{}; {reason}", field.node.value.quoted()));
        }
    }

    /// A list of at most `max` simple values; an absent one is empty.
    pub(super) fn values<T>(
        &self,
        name: &'static str,
        max: usize,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Vec<Found<T>> {
        let items = self.items(name, max).into_iter();
        items.filter_map(|(path, node)| self.read(node, path, &read)).collect()
    }

    /// A list of at most `max` tables; an absent one is empty.
    pub(super) fn tables(&self, name: &'static str, max: usize) -> Vec<Fields<'a>> {
        let items = self.items(name, max).into_iter();
        items.filter_map(|(path, node)| Fields::of(node, path, self.faults)).collect()
    }

    /// A table that may be there.
    pub(super) fn table(&self, name: &'static str) -> Option<Fields<'a>> {
        let field = self.find(name)?;
        Fields::of(&field.node, self.path_of(name), self.faults)
    }

    /// Where a field stands, or the table if it has none, and the field's path.
    pub(super) fn place_of(&self, name: &'static str) -> (usize, String) {
        (self.find(name).map_or(self.at, |field| field.node.at), self.path_of(name))
    }

    /// Notes what is wrong with a field, at its place.
    pub(super) fn fault(&self, name: &'static str, message: impl std::fmt::Display) {
        let (at, path) = self.place_of(name);
        self.faults.note(at, &path, message);
    }

    /// Notes the fields that nobody asked for.
    pub(super) fn end(self) {
        let asked = self.asked.borrow();
        for field in self.entries.iter().filter(|field| !asked.contains(&field.name.as_str())) {
            let path = self.path_of(&field.name);
            self.faults.note(field.at, &path, format!("is not a field here; there are {}", asked.join(", ")));
        }
    }

    fn items(&self, name: &'static str, max: usize) -> Vec<(String, &'a Node)> {
        let Some(field) = self.find(name) else { return vec![] };
        let path = self.path_of(name);
        let Value::List(items) = &field.node.value else {
            self.faults.note(field.node.at, &path, format!("{} where a list is expected", field.node.value.quoted()));
            return vec![];
        };
        if items.len() > max {
            self.faults.note(field.node.at, &path, format!("{} entries; there may be {max}", items.len()));
        }
        items.iter().take(max).enumerate().map(|(index, node)| (format!("{path}[{index}]"), node)).collect()
    }

    fn read<T>(&self, node: &Node, path: String, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<Found<T>> {
        match read(&node.value) {
            Ok(value) => Some(Found { at: node.at, path, value }),
            Err(bound) => {
                self.faults.note(node.at, &path, format!("{} {bound}", node.value.quoted()));
                None
            }
        }
    }

    fn find(&self, name: &'static str) -> Option<&'a Field> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&name) {
            asked.push(name);
        }
        self.entries.iter().find(|field| field.name == name)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }
}
