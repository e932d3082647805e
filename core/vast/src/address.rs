//! URLs as VAST holds them: with white space around, with macros within.

use std::{borrow::Cow, collections::BTreeMap};

use url::Url;

use crate::{bounds::URL_BYTES_MAX, error::Code};

/// The longest name of a macro, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The URL in this text, if it is one that can be called: of `http` or `https`, with a host, within
/// [`URL_BYTES_MAX`]. Macros stay as they are. What a URL may not hold (spaces, quotes, letters beyond ASCII) is escaped,
/// so that the result can stand in any header and on any line.
pub fn web(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() || text.len() > URL_BYTES_MAX {
        return None;
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    // `http:a.example` and `http:///a.example` are URLs to browsers, and to few else.
    let after_scheme = text.split_once(':').and_then(|(_, rest)| rest.strip_prefix("//")).unwrap_or("/");
    let is_clean = !after_scheme.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>`\\".contains(&byte));
    let address = if is_clean { text.to_owned() } else { url.into() };
    Some(address).filter(|address| address.len() <= URL_BYTES_MAX)
}

/// `template` with each `[NAME]` that `macros` knows replaced by its value, escaped as in a query. Names are compared
/// without case, brackets may be escaped (`%5BNAME%5D`), and what is not known stays.
pub fn fill(template: &str, macros: &BTreeMap<String, String>) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, opening, from)) = bracket(rest, ["[", "%5b"], rest.len()) {
        filled.push_str(before);
        let replaced = bracket(from, ["]", "%5d"], NAME_BYTES_MAX).and_then(|(name, _, after)| {
            let value = macros.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1;
            Some((value, after))
        });
        rest = if let Some((value, after)) = replaced {
            filled.extend(url::form_urlencoded::byte_serialize(value.as_bytes()));
            after
        } else {
            filled.push_str(opening);
            from
        };
    }
    filled.push_str(rest);
    filled
}

/// What stands before the next bracket, the bracket as written, and what stands after it. It is looked for in the first
/// `within` bytes.
fn bracket<'a>(text: &'a str, spellings: [&str; 2], within: usize) -> Option<(&'a str, &'a str, &'a str)> {
    let is_here = |at: usize| {
        let here = &text.as_bytes()[at..];
        spellings
            .into_iter()
            .find(|kind| here.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes())))
    };
    // Both begin with an ASCII character, so `at` is on the border of a character.
    let (at, kind) = (0..text.len().min(within)).find_map(|at| is_here(at).map(|kind| (at, kind)))?;
    let (before, from) = text.split_at_checked(at)?;
    let (bracket, after) = from.split_at_checked(kind.len())?;
    Some((before, bracket, after))
}

/// An `Error` URL as it is to be called: with `[ERRORCODE]` filled.
pub fn error_url(template: &str, code: Code) -> String {
    fill(template, &BTreeMap::from([("ERRORCODE".to_owned(), code.to_string())]))
}

/// Text of somebody else's, in a line of ours: bounded, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    on_one_line(text, 120)
}

/// The same, up to so many characters.
pub(crate) fn on_one_line(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

/// Where a URL leads, without what it carries: for lines that many may read.
pub(crate) fn place(url: &Url) -> Cow<'_, str> {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}").into(),
        (Some(host), None) => host.into(),
        (None, _) => "nowhere".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_trimmed_and_escaped_and_keeps_its_macros() {
        for (text, expected) in [
            (" \n https://a.example/x?c=[CACHEBUSTING] \t", Some("https://a.example/x?c=[CACHEBUSTING]")),
            ("HTTP://A.example/%%CB%%", Some("HTTP://A.example/%%CB%%")),
            ("https://a.example/a b\"c", Some("https://a.example/a%20b%22c")),
            ("https://a.example/å", Some("https://a.example/%C3%A5")),
            ("https://a.example/a\nb", Some("https://a.example/ab")),
            ("http:a.example/x", Some("http://a.example/x")),
            ("http:///a.example/x", Some("http://a.example/x")),
            ("http:a.example/?u=x://y", Some("http://a.example/?u=x://y")),
            ("rtsp://a.example/x", None),
            ("javascript:alert(1)", None),
            ("//a.example/x", None),
            ("https://", None),
            ("about:blank", None),
            ("", None),
        ] {
            assert_eq!(web(text).as_deref(), expected, "{text:?}");
        }
        let long = format!("https://a.example/{}", "x".repeat(URL_BYTES_MAX));
        assert_eq!(web(&long), None);
        assert_eq!(web(&long[..URL_BYTES_MAX]).as_deref(), Some(&long[..URL_BYTES_MAX]));
        // Each letter becomes six characters: what is short as written may be long as called.
        assert_eq!(web(&format!("https://a.example/{}", "å".repeat(URL_BYTES_MAX / 3))), None);
    }

    #[test]
    fn known_macros_are_filled_and_others_stay() {
        let macros = BTreeMap::from([("ERRORCODE".into(), "303".into()), ("TITLE".into(), "a b&c".into())]);
        for (template, filled) in [
            ("https://e.example/?c=[ERRORCODE]", "https://e.example/?c=303"),
            ("https://e.example/?c=[errorcode]&t=[TITLE]", "https://e.example/?c=303&t=a+b%26c"),
            ("https://e.example/?c=%5BERRORCODE%5d", "https://e.example/?c=303"),
            ("https://e.example/?c=[OTHER]&d=[ERRORCODE]", "https://e.example/?c=[OTHER]&d=303"),
            ("https://e.example/?c=[[ERRORCODE]]", "https://e.example/?c=[303]"),
            ("https://[::1]/[", "https://[::1]/["),
            ("å[å]", "å[å]"),
        ] {
            assert_eq!(fill(template, &macros), filled);
        }
        assert_eq!(error_url("https://e.example/[ERRORCODE]", Code::WrapperLimit), "https://e.example/302");
    }
}
