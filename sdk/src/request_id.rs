//! Request ids: UUIDs version 7 (RFC 9562). The edge dates the break by the time inside, so all tries of one request
//! agree on it. Clock and randomness are arguments.

use core::fmt::Write as _;

/// The request id of time `unix_ms` with these random bits (74 of them are used).
pub fn mint(unix_ms: u64, random: [u8; 10]) -> String {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&unix_ms.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}"); // Writing to a String cannot fail.
    }
    text
}

#[cfg(test)]
mod tests {
    use slotkeeper_core::{id::opened_at, time::UnixMillis};

    use super::*;

    #[test]
    fn the_edge_reads_the_time_back_from_the_id() {
        let at = UnixMillis(1_795_000_000_123);
        let id = mint(at.0, [0xff; 10]);
        assert_eq!(opened_at(&id, at.plus_ms(60_000)), at);
        assert_eq!(id, "01a1ee56-5e7b-7fff-bfff-ffffffffffff");
    }
}
