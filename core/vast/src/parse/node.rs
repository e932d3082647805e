//! An element with its way to the root, so that what is wrong can be found.

use crate::{VastError, address, xml::Element};

/// An element of VAST's, with where it stands.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) element: &'a Element,
    parent: Option<&'a Node<'a>>,
    /// Which of several of this name it is, from 1; 0 if it is the only one.
    nth: usize,
}

impl<'a> Node<'a> {
    pub(super) fn root(element: &'a Element) -> Self {
        Self { element, parent: None, nth: 0 }
    }

    /// Its children of a name.
    pub(super) fn children<'b>(&'b self, name: &str) -> Vec<Node<'b>> {
        let named = self.element.children.iter().filter(|child| !child.is_foreign && child.name == name);
        let elements: Vec<&Element> = named.collect();
        let is_one = elements.len() == 1;
        let nth = |index: usize| if is_one { 0 } else { index + 1 };
        elements
            .iter()
            .enumerate()
            .map(|(index, element)| Node { element, parent: Some(self), nth: nth(index) })
            .collect()
    }

    /// Its first child of a name: where VAST allows one, another is ignored.
    pub(super) fn child<'b>(&'b self, name: &str) -> Option<Node<'b>> {
        self.children(name).into_iter().next()
    }

    pub(super) fn attribute(self, name: &str) -> Option<&'a str> {
        let found = self.element.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// What is written in it, if anything is.
    pub(super) fn text(self) -> Option<&'a str> {
        Some(self.element.text.trim()).filter(|text| !text.is_empty())
    }

    pub(super) fn path(self) -> String {
        let mut names = Vec::new();
        let mut at = Some(&self);
        while let Some(node) = at {
            let name = address::shown(&node.element.name);
            names.push(if node.nth == 0 { name } else { format!("{name}[{}]", node.nth) });
            at = node.parent;
        }
        names.reverse();
        names.join("/")
    }

    pub(super) fn too_many(self, what: &'static str, max: usize) -> VastError {
        VastError::TooMany { path: self.path(), what, max }
    }

    pub(super) fn missing(self, expected: &'static str) -> VastError {
        VastError::Missing { path: self.path(), expected }
    }

    pub(super) fn invalid(self, value: &str, expected: &'static str) -> VastError {
        VastError::Invalid { path: self.path(), value: address::shown(value), expected }
    }
}
