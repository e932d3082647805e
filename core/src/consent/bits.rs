//! The bits of base64url text, six a character, as consent strings hold them.

/// Reads from the first bit on. A reader of a prefix: what it does not come to is not looked at.
#[derive(Clone)]
pub(super) struct Bits<'a> {
    text: &'a [u8],
    /// Of the bit to be read next.
    place: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text: text.as_bytes(), place: 0 }
    }

    /// The next `count` bits as a number, the first one the highest; at most 32. Nothing past the end, or where a
    /// character is not of base64url.
    pub(super) fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let bits = sextet(*self.text.get(self.place / 6)?)?;
            value = value << 1 | u32::from(bits >> (5 - self.place % 6) & 1);
            self.place += 1;
        }
        Some(value)
    }

    /// Passes over `count` bits, whether or not they are there.
    pub(super) fn skip(&mut self, count: usize) {
        self.place = self.place.saturating_add(count);
    }

    /// A Fibonacci number: bit `n` stands for the number 1, 2, 3, 5, 8, …; two set bits on end say that it is over.
    pub(super) fn take_fibonacci(&mut self) -> Option<u32> {
        let (mut value, mut this, mut next) = (0u32, 1u32, 2u32);
        let mut was_set = false;
        loop {
            let is_set = self.take(1)? == 1;
            if is_set && was_set {
                return Some(value);
            }
            if is_set {
                value = value.checked_add(this)?;
            }
            (this, next) = (next, this.checked_add(next)?); // some forty bits, and no consent string has such numbers
            was_set = is_set;
        }
    }
}

fn sextet(char: u8) -> Option<u8> {
    match char {
        b'A'..=b'Z' => Some(char - b'A'),
        b'a'..=b'z' => Some(char - b'a' + 26),
        b'0'..=b'9' => Some(char - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}
