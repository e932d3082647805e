//! Writing a batch into memory that is there already.

use crate::{Event, VERSION};

/// Text that grows in a buffer and stops at its end.
#[derive(Debug)]
pub struct Text<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Text<'a> {
    /// Nothing written yet.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// How many bytes were written. More than the buffer has if it was too short; then what it holds is cut.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.byte(*byte);
        }
    }

    /// Writes one byte.
    pub fn byte(&mut self, byte: u8) {
        if let Some(place) = self.buffer.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
    }

    /// Writes a number in decimal.
    pub fn number(&mut self, number: u32) {
        if number >= 10 {
            self.number(number / 10); // ten deep at most
        }
        self.byte(b'0' + (number % 10) as u8);
    }
}

/// Writes the first line of a batch.
pub fn head(text: &mut Text<'_>, session_id: &[u8], sequence: u32, lost: u32) {
    text.bytes(VERSION.as_bytes());
    text.byte(b' ');
    text.bytes(session_id);
    text.byte(b' ');
    text.number(sequence);
    text.byte(b' ');
    text.number(lost);
    text.byte(b'\n');
}

/// Writes an event's name: found by counting, for a table of where each name lies weighs more than the names, and each byte of
/// the client is loaded by every viewer.
fn name(text: &mut Text<'_>, event: Event) {
    let mut ahead = event.code();
    for byte in Event::names().bytes() {
        if byte == b' ' {
            ahead = ahead.wrapping_sub(1);
        } else if ahead == 1 {
            text.byte(byte);
        }
    }
}

/// Writes one beacon.
pub fn line(text: &mut Text<'_>, token: &[u8], event: Event, age_ms: u32, detail: Option<u32>) {
    text.bytes(token);
    text.byte(b' ');
    name(text, event);
    text.byte(b' ');
    text.number(age_ms);
    if let Some(detail) = detail {
        text.byte(b' ');
        text.number(detail);
    }
    text.byte(b'\n');
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::{AGE_MS_MAX, DETAIL_MAX, HEAD_BYTES_MAX, LINE_BYTES_BESIDE_TOKEN_MAX, SESSION_ID_BYTES_MAX};

    fn written(bytes_max: usize, write: impl FnOnce(&mut Text<'_>)) -> std::string::String {
        let mut buffer = std::vec![0; bytes_max];
        let mut text = Text::new(&mut buffer);
        write(&mut text);
        let len = text.len();
        buffer.truncate(len);
        std::string::String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn numbers_are_written_as_everybody_writes_them() {
        for number in [0, 1, 9, 10, 11, 99, 100, 1_000_000, 4_294_967_295] {
            assert_eq!(written(10, |text| text.number(number)), std::format!("{number}"));
        }
    }

    #[test]
    fn a_batch_is_a_head_and_lines() {
        let batch = written(200, |text| {
            head(text, b"s-1", 7, 2);
            line(text, b"tok", Event::Start, 0, None);
            line(text, b"tok", Event::Error, 250, Some(405));
        });
        assert_eq!(batch, "sk1 s-1 7 2\ntok start 0\ntok error 250 405\n");
    }

    #[test]
    fn the_bounds_hold_the_longest_lines_and_a_short_buffer_is_told() {
        let session = [b's'; SESSION_ID_BYTES_MAX];
        let longest = written(HEAD_BYTES_MAX, |text| head(text, &session, u32::MAX, u32::MAX));
        assert!(longest.len() + " ".len() + "4294967295".len() <= HEAD_BYTES_MAX, "with HELD_MS, too");
        for event in Event::ALL {
            let longest = written(200, |text| line(text, b"", *event, AGE_MS_MAX, Some(DETAIL_MAX)));
            assert!(longest.len() <= LINE_BYTES_BESIDE_TOKEN_MAX, "{event}");
        }
        let mut buffer = [0; 4];
        let mut text = Text::new(&mut buffer);
        text.bytes(b"longer");
        assert_eq!(text.len(), 6);
        assert_eq!(&buffer, b"long");
    }
}
