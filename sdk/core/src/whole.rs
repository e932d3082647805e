//! From clocks and positions, which are floats, to whole numbers.

/// The whole part of a number; 0 of what is less or none, and never more than `max`.
#[inline(never)] // The first wasm has no saturating cast, so each one is a dozen instructions.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the bounds of an integer")]
pub(crate) fn whole(number: f64, max: u32) -> u32 {
    if number < f64::from(max) {
        if number > 0.0 { number as u32 } else { 0 }
    } else if number.is_nan() {
        0
    } else {
        max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_nothing_and_what_is_too_much_is_the_most() {
        let cases = [(2.9, 2), (-1.0, 0), (f64::NAN, 0), (f64::INFINITY, 7), (7.0, 7), (6.99, 6), (1e300, 7)];
        for (number, expected) in cases {
            assert_eq!(whole(number, 7), expected, "{number}");
        }
    }
}
