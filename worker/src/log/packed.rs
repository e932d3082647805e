//! How a batch lies in the log: JSON compresses to an eighth, and the log is what fills a disk.
//!
//! A batch is one zstd frame, or the bytes as they came, as builds of before wrote them. Which it is, its first bytes tell: no JSON
//! begins with zstd's.

use std::{
    borrow::Cow,
    io::{self, Read as _},
};

/// What every zstd frame begins with (RFC 8878).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Fast enough for the one thread that writes the log: hundreds of megabytes a second.
const LEVEL: i32 = 1;
/// What is smaller does not get smaller.
const PACKED_FROM_BYTES: usize = 256;
/// The most that one entry may be unpacked: more than any batch that the collector takes, and what a broken frame may cost.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// As the log keeps it.
pub(super) fn pack(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.len() < PACKED_FROM_BYTES && !bytes.starts_with(&MAGIC) {
        return Cow::Borrowed(bytes);
    }
    match zstd::encode_all(bytes, LEVEL) {
        Ok(packed) => Cow::Owned(packed),
        Err(error) => unreachable!("zstd compresses whatever is in memory: {error}"),
    }
}

/// As it came.
pub(super) fn unpack(stored: &[u8]) -> io::Result<Vec<u8>> {
    if !stored.starts_with(&MAGIC) {
        return Ok(stored.to_vec());
    }
    let mut bytes = Vec::new();
    zstd::Decoder::with_buffer(stored)?.take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > UNPACKED_BYTES_MAX {
        return Err(io::Error::other(format!("a batch of more than {UNPACKED_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_came_is_unpacked_as_it_came() {
        let frame = zstd::encode_all(&b"x"[..], 1).unwrap();
        for bytes in [&b""[..], b"{}", &b"{\"fact\":1}".repeat(99), &MAGIC, &frame, &frame.repeat(50)] {
            assert_eq!(unpack(&pack(bytes)).unwrap(), bytes);
        }
    }

    #[test]
    fn a_frame_that_is_too_large_or_broken_is_refused() {
        let bomb = zstd::encode_all(io::repeat(b' ').take(UNPACKED_BYTES_MAX + 1), 1).unwrap();
        assert!(unpack(&bomb).unwrap_err().to_string().contains("67108864"));
        assert!(unpack(&bomb[..100]).is_err());
        let whole = zstd::encode_all(io::repeat(b' ').take(UNPACKED_BYTES_MAX), 1).unwrap();
        assert_eq!(unpack(&whole).unwrap().len() as u64, UNPACKED_BYTES_MAX);
    }
}
