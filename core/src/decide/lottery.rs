//! The lottery: what an ad is worth a millisecond in one break.
//!
//! Efraimidis and Spirakis (2006) draw in proportion to weights by ordering candidates by `E / weight`, where `E` is an
//! exponential variate of each. An ad's *merit* is the inverse, `weight / E`, so that the best has the greatest. All in
//! integers, so that every platform draws the same.

use crate::id::{AdId, BreakId, FlightId};

/// No merit is as great as two to this power. So the worth of 16 ads of ten minutes stays within 60 bits, and two classes
/// of demand fit one number of 128.
pub(super) const MERIT_BITS: u32 = 36;

/// The same of promotions beside offers, and how many bits 16 of them take then: offers stand above, and 16 of those, at
/// most 2^20 each, stay within the 64 bits below guaranteed demand.
pub(super) const MERIT_BITS_BESIDE_OFFERS: u32 = 12;
pub(super) const PROMOTIONS_BITS: u32 = 36;

/// The merit of one ad before [`level`]: its flight's allocation, times its share among `shares` in all, over its draw.
pub(super) fn merit((flight, allocation): (FlightId, u32), (ad, share, shares): (AdId, u32, u64), of: BreakId) -> u128 {
    // A promotion without any weight comes after all others.
    let weight = (u128::from(allocation) << 16).max(1 << 8) * u128::from(share) / u128::from(shares.max(1));
    let draw = random(of, u64::from(ad.0) << 32 | u64::from(flight.0));
    // Half of what the logarithm's last digit is worth, where it comes out as nothing.
    let exponential = neg_log2_q32(draw).max(1 << 15);
    (weight.max(1) << 40) / u128::from(exponential)
}

/// By how many bits the merits of one class must be shortened to have no more than `bits`, if `greatest` is the greatest.
pub(super) fn level(greatest: u128, bits: u32) -> u32 {
    (u128::BITS - greatest.leading_zeros()).saturating_sub(bits)
}

/// `-log2((draw + 1) / 2^32)` of the draw's upper 32 bits, as fixed point with 32 fraction bits. At most 32 in value, so
/// it fits 38 bits.
pub(super) fn neg_log2_q32(draw: u64) -> u64 {
    let u = (draw >> 32) + 1; // 1 ..= 2^32
    let whole = u.ilog2();
    // The mantissa in [1, 2) with 31 fraction bits; each squaring brings out one more bit of the logarithm.
    let mut mantissa = if whole <= 31 { u << (31 - whole) } else { 1 << 31 };
    let mut fraction = 0u64;
    for bit in (16..32).rev() {
        mantissa = (mantissa * mantissa) >> 31;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            fraction |= 1 << bit;
        }
    }
    (32 << 32) - ((u64::from(whole) << 32) | fraction)
}

/// 64 random bits, the same for the same break and `stream`: SplitMix64 (Steele, Lea and Flood 2014) over the break id,
/// which is itself the output of a keyed hash.
fn random(break_id: BreakId, stream: u64) -> u64 {
    let half = |bytes: &[u8]| bytes.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    let seed = half(&break_id.0[..8]) ^ half(&break_id.0[8..]).rotate_left(32);
    let mut word = seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
