//! From clocks and positions, which are floats, to whole numbers.

/// The whole part of a number; 0 of what is less or none, and never more than `max`.
#[inline(never)] // One for all is shorter.
#[expect(
    unsafe_code,
    reason = "the first wasm has no saturating cast, and what is written for it is three times all of this"
)]
pub(crate) fn whole(number: f64, max: u32) -> u32 {
    if number > 0.0 {
        if number < f64::from(max) {
            // SAFETY: it is a number from 0 to one that is an integer of this type.
            unsafe { number.to_int_unchecked() }
        } else {
            max
        }
    } else {
        0
    }
}

/// Adds to a count, which never goes round.
#[inline(never)] // One for all is shorter.
pub(crate) fn add_to(count: &mut u32, more: u32) {
    *count = count.saturating_add(more);
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
