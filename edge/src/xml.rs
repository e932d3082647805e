//! Writing XML that is well formed whatever stands in it.
//!
//! Escaping is quick-xml's. What no escaping can carry (XML 1.0 has no character for most control codes) becomes U+FFFD in
//! texts, and is percent-encoded in URLs.

use core::fmt::Write as _;

use quick_xml::{
    Writer,
    events::{BytesCData, BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};

/// A document under way.
pub(crate) struct Xml(Writer<Vec<u8>>);

/// The attributes of an element; those without a value are left out.
pub(crate) type Attributes<'a> = &'a [(&'a str, Option<&'a str>)];

impl Xml {
    /// A document with nothing but its declaration.
    pub(crate) fn new() -> Self {
        let mut xml = Self(Writer::new(Vec::with_capacity(4 * 1024)));
        xml.put(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        xml
    }

    /// An element, and in it what `content` writes.
    pub(crate) fn element(&mut self, name: &str, attributes: Attributes<'_>, content: impl FnOnce(&mut Self)) {
        let mut start = BytesStart::new(name);
        for (key, value) in attributes {
            if let Some(value) = value {
                start.push_attribute((*key, clean(value).as_str()));
            }
        }
        self.put(Event::Start(start));
        content(self);
        self.put(Event::End(BytesEnd::new(name)));
    }

    /// An element that holds a text.
    pub(crate) fn text(&mut self, name: &str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |xml| xml.put(Event::Text(BytesText::new(&clean(text)))));
    }

    /// An element that holds a URL, as VAST wants it: in a CDATA section.
    pub(crate) fn url(&mut self, name: &str, attributes: Attributes<'_>, url: &str) {
        self.cdata(name, attributes, &clean_url(url));
    }

    /// An element that holds a text in a CDATA section.
    pub(crate) fn cdata(&mut self, name: &str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |xml| {
            for section in BytesCData::escaped(&clean(text)) {
                xml.put(Event::CData(section));
            }
        });
    }

    /// The bytes.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_inner()
    }

    fn put(&mut self, event: Event<'_>) {
        let _ = self.0.write_event(event); // writing to a Vec cannot fail
    }
}

/// The text with nothing in it that XML 1.0 cannot carry, or that its readers change: white space becomes spaces.
pub(crate) fn clean(text: &str) -> String {
    let one = |char: char| match char {
        '\t' | '\n' | '\r' => ' ',
        char if is_xml(char) => char,
        _ => char::REPLACEMENT_CHARACTER,
    };
    text.chars().map(one).collect()
}

/// The URL without white space around it, and with every character percent-encoded that RFC 3986 does not allow. Macros keep
/// their brackets, and what is not ASCII is left to the player, who knows host from path.
pub(crate) fn clean_url(url: &str) -> String {
    let mut clean = String::with_capacity(url.len());
    for char in url.trim().chars() {
        let is_illegal = matches!(char, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '}' | '|');
        if is_illegal || char.is_control() || !is_xml(char) {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(clean, "%{byte:02X}"); // writing to a String cannot fail
            }
        } else {
            clean.push(char);
        }
    }
    clean
}

fn is_xml(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_document_does_not() {
        let mut xml = Xml::new();
        xml.element("a", &[("b", Some("<\"&'\n\u{1}>")), ("c", None)], |xml| {
            xml.text("t", &[], "a<b>&]]>\u{0}\u{ffff}é");
            xml.url("u", &[], " https://h.example/?q=]]>&m=[TIMESTAMP]\r\n{x} ");
        });
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
            <a b=\"&lt;&quot;&amp;&apos; \u{fffd}&gt;\"><t>a&lt;b&gt;&amp;]]&gt;\u{fffd}\u{fffd}é</t>\
            <u><![CDATA[https://h.example/?q=]]%3E&m=[TIMESTAMP]%0D%0A%7Bx%7D]]></u></a>";
        assert_eq!(String::from_utf8(xml.finish()).unwrap(), expected);
    }
}
