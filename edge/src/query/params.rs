//! A query string, taken apart.

use slotkeeper_core::api::InvalidField;

/// The longest query string read, in bytes.
pub const QUERY_BYTES_MAX: usize = 8 * 1024;

/// The parameters of a query string, by name.
///
/// Names nobody asks for are never looked at: players and the proxies before them append what they like, macros that
/// nobody filled in (`cb=%%CACHEBUSTER%%`) among it.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Takes a query string, as sent, within its bound.
    pub fn new(query: &'a str) -> Result<Self, InvalidField> {
        match query.len() {
            0..=QUERY_BYTES_MAX => Ok(Self(query)),
            len => Err(fault("query", format!("{len} bytes; it must have at most {QUERY_BYTES_MAX}"))),
        }
    }

    /// The value of a parameter, decoded; `None` if it is not given, or empty. It may be given once.
    pub fn get(&self, name: &str) -> Result<Option<String>, InvalidField> {
        let mut found = self.0.split('&').filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key).as_deref() == Some(name)).then_some(value)
        });
        let Some(value) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(fault(name, "given twice; it must be given once".into()));
        }
        match decoded(value) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Err(fault(name, format!("{value:?}; it must be percent-encoded UTF-8"))),
        }
    }

    /// The value of a parameter that must be given.
    pub fn required(&self, name: &str) -> Result<String, InvalidField> {
        self.get(name)?.ok_or_else(|| fault(name, "missing; it must be given, and not be empty".into()))
    }

    /// The parameter, read by `read`; `expected` says what would be right.
    pub fn parsed<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, InvalidField> {
        let Some(text) = self.get(name)? else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| fault(name, format!("{text:?}; it must be {expected}")))
    }

    /// The parameter, a list with commas, each item read by `read`; empty if it is not given.
    pub fn list<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, InvalidField> {
        let items = self.parsed(name, expected, |text| text.split(',').map(&read).collect::<Option<Vec<T>>>())?;
        Ok(items.unwrap_or_default())
    }

    /// The query string as sent.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// A fault of one parameter.
pub(crate) fn fault(field: &str, message: String) -> InvalidField {
    InvalidField { field: field.into(), message }
}

/// A text without its percent-encoding; `+` is a space, as browsers write it. `None` if it is not well formed, or not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A value, percent-encoded.
pub(crate) fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    encode_into(&mut out, value);
    out
}

/// Appends `name=value`, so that it reads back whatever the value holds.
pub(crate) fn push(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    encode_into(query, value);
}

/// Percent-encodes all but RFC 3986's unreserved characters, and the comma, which a query may hold.
fn encode_into(out: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b',' => out.push(byte.into()),
            byte => {
                out.push('%');
                for nibble in [byte >> 4, byte & 0x0f] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(nibble)]));
                }
            }
        }
    }
}
