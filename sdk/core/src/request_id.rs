//! Ids of breaks and sessions: UUIDs version 7 (RFC 9562). The edge dates a break by the time inside, so all tries of one
//! request agree on it. Clock and randomness are arguments.

use slotkeeper_beacon::Text;

/// How long an id is, in characters.
pub const ID_CHARS: usize = 36;

/// Writes the id of time `unix_ms` with these random bits (74 of them are used).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast to an integer saturates")]
pub fn mint(text: &mut Text<'_>, unix_ms: f64, random: [u32; 3]) {
    let high = (unix_ms / 65_536.0) as u32; // the upper 32 of the 48 bits
    let low = (unix_ms - f64::from(high) * 65_536.0) as u32;
    let groups =
        [(high, 8), (low, 4), (0x7000 | random[0] & 0xfff, 4), (0x8000 | random[1] & 0x3fff, 4), (random[1] >> 16, 4)];
    for (number, digits) in groups {
        text.hex(number, digits);
        text.byte(b'-');
    }
    text.back();
    text.hex(random[2], 8);
}

#[cfg(test)]
mod tests {
    use slotkeeper_core::{id::opened_at, time::UnixMillis};

    use std::string::String;

    use super::*;

    fn minted(unix_ms: f64, random: [u32; 3]) -> String {
        let mut bytes = [0; ID_CHARS];
        let mut text = Text::new(&mut bytes);
        mint(&mut text, unix_ms, random);
        assert_eq!(text.len(), ID_CHARS);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn the_edge_reads_the_time_back_from_the_id() {
        let at = UnixMillis(1_795_000_000_123);
        let id = minted(1_795_000_000_123.0, [u32::MAX; 3]);
        assert_eq!(opened_at(&id, at.plus_ms(60_000)), at);
        assert_eq!(id, "01a1ee56-5e7b-7fff-bfff-ffffffffffff");
        assert_eq!(minted(f64::NAN, [0, 0, 0x0123_4567]), "00000000-0000-7000-8000-000001234567");
    }
}
