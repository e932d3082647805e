//! XML as a bounded tree: VAST allows the children of an element in any order, and so does a tree.

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_xml_entity,
    events::{BytesRef, BytesStart, Event},
};

use crate::{
    VastError,
    bounds::{ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_BYTES_MAX, ELEMENTS_MAX},
};

/// An element with what is in it. Names are local ones: the prefix has been looked up and dropped.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    /// Whether its namespace is another than that of the document.
    pub(crate) is_foreign: bool,
    pub(crate) attributes: Vec<(String, String)>,
    /// All text directly in it, one piece after the other.
    pub(crate) text: String,
    pub(crate) children: Vec<Self>,
}

/// Reads a document. No DOCTYPE is read, so there are no entities but XML's own five and none can grow.
pub(crate) fn read(bytes: &[u8]) -> Result<Element, VastError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(VastError::TooLong);
    }
    let text = str::from_utf8(bytes).map_err(|error| VastError::NotText { at: error.valid_up_to() })?;
    let mut tree = Tree { reader: Reader::from_str(text.trim_start_matches('\u{feff}')), ..Tree::new() };
    while tree.step()? {}
    tree.root.take().ok_or_else(|| tree.malformed("no element"))
}

/// Where an element's name belongs, by its prefix as declared; an undeclared prefix stands for itself.
type Namespace = String;

/// A tree that is being read.
struct Tree<'a> {
    reader: Reader<&'a [u8]>,
    /// The elements that are open, outermost first, each with the prefixes that it declares.
    open: Vec<(Element, Vec<(String, Namespace)>)>,
    root: Option<Element>,
    root_namespace: Option<Namespace>,
    elements: usize,
}

impl Tree<'_> {
    fn new() -> Self {
        Tree { reader: Reader::from_str(""), open: Vec::new(), root: None, root_namespace: None, elements: 0 }
    }

    /// Reads on by one event; `false` at the end.
    fn step(&mut self) -> Result<bool, VastError> {
        let at = self.reader.buffer_position();
        let event = self.reader.read_event().map_err(|error| self.malformed(&error.to_string()))?;
        match event {
            Event::Start(start) => self.open(&start)?,
            Event::Empty(start) => {
                self.open(&start)?;
                self.close();
            }
            Event::End(_) => self.close(), // that it matches has been checked
            Event::Text(text) => self.text(&text.xml10_content())?,
            Event::CData(text) if self.open.is_empty() => {
                return Err(self.malformed(&format!("{:?} outside of any element", &*crate::address::shown(&text))));
            }
            Event::CData(text) => self.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let text = self.resolve(&reference)?;
                self.text(&text)?;
            }
            Event::DocType(_) => return Err(VastError::Doctype { at }),
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
            Event::Eof if self.open.is_empty() => return Ok(false),
            Event::Eof => return Err(self.malformed("the document ends within this element")),
        }
        Ok(true)
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), VastError> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(self.malformed("a second element beside the first"));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(VastError::TooDeep { path: self.path() });
        }
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(self.too_many("elements", ELEMENTS_MAX));
        }
        let (name, prefix) = start.name().decompose();
        let prefix = prefix.map_or("", |prefix| prefix.into_inner());
        let mut element = Element { name: name.into_inner().to_owned(), ..Element::default() };
        let mut declared = Vec::new();
        for (count, attribute) in start.attributes().enumerate() {
            if count == ATTRIBUTES_MAX {
                return Err(self.too_many("attributes", ATTRIBUTES_MAX));
            }
            let attribute = attribute.map_err(|error| self.malformed(&error.to_string()))?;
            let value = attribute.normalized_value(XmlVersion::Explicit1_0);
            let value = value.map_err(|error| self.malformed(&error.to_string()))?.into_owned();
            match attribute.key.as_namespace_binding() {
                Some(_) if attribute.key.as_ref() == "xmlns" => declared.push((String::new(), value)),
                Some(_) => declared.push((attribute.key.local_name().into_inner().to_owned(), value)),
                None if attribute.key.prefix().is_some() => {} // such as xsi:type, which is not VAST's `type`
                None => element.attributes.push((attribute.key.local_name().into_inner().to_owned(), value)),
            }
        }
        let namespace = self.namespace(prefix, &declared);
        let root = self.root_namespace.get_or_insert_with(|| namespace.clone());
        element.is_foreign = !namespace.is_empty() && namespace != *root;
        self.open.push((element, declared));
        Ok(())
    }

    /// What a prefix stands for in an element that declares `declared`.
    fn namespace(&self, prefix: &str, declared: &[(String, Namespace)]) -> Namespace {
        let outer = self.open.iter().rev().map(|(_, declared)| declared.as_slice());
        let mut scopes = std::iter::once(declared).chain(outer);
        let found = scopes.find_map(|scope| scope.iter().find(|(known, _)| known == prefix));
        found.map_or_else(|| prefix.to_owned(), |(_, namespace)| namespace.clone())
    }

    fn close(&mut self) {
        let Some((element, _)) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some((parent, _)) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), VastError> {
        match self.open.last_mut() {
            Some((element, _)) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(self.malformed("text outside of any element")),
        }
        Ok(())
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<String, VastError> {
        let char = reference.resolve_char_ref().map_err(|error| self.malformed(&error.to_string()))?;
        match (char, resolve_xml_entity(reference)) {
            (Some(char), _) => Ok(char.into()),
            (None, Some(text)) => Ok(text.to_owned()),
            (None, None) => {
                Err(self.malformed(&format!("&{};, an entity that XML has not", crate::address::shown(reference))))
            }
        }
    }

    fn malformed(&self, reason: &str) -> VastError {
        let at = self.reader.error_position().max(self.reader.buffer_position());
        VastError::Malformed { path: self.path(), at, reason: crate::address::on_one_line(reason, 300) }
    }

    fn too_many(&self, what: &'static str, max: usize) -> VastError {
        VastError::TooMany { path: self.path(), what, max }
    }

    fn path(&self) -> String {
        let names: Vec<_> = self.open.iter().map(|(element, _)| crate::address::shown(&element.name)).collect();
        if names.is_empty() { "document".into() } else { names.join("/") }
    }
}
