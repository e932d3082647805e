//! Where a flight will end if it goes on as it did in the last days, and how sure that is.
//!
//! Each of the last whole days gives a *yield*: what was delivered over what the day weighs on the curve. The mean yield over
//! what is still to come is the projection. The interval is the prediction interval for a mean of `m` further days from `k`
//! past ones, `t * s * sqrt(1/k + 1/m)` with the yields' standard deviation `s` and Student's `t` of `k - 1` degrees of freedom
//! (Hahn and Meeker, *Statistical Intervals*, section 4.8), such that in four of five cases the flight ends within it, as far as
//! days are alike and independent.
//!
//! The one place of the books with floats. They never become money, and only the four operations and the square root are used,
//! which IEEE 754 rounds the same everywhere.

use slotkeeper_core::time::UnixMillis;

use super::{Curve, DAY_MS, Delivered, active_weight};
use crate::flight::{Flight, Span};

/// How many of the last days are looked at.
pub const RECENT_DAYS: usize = 7;

/// Student's t for 80 % of both sides, of 1 to 6 degrees of freedom.
const T_80_PERCENT: [f64; RECENT_DAYS - 1] = [3.078, 1.886, 1.638, 1.533, 1.476, 1.440];

/// What a flight will have delivered at its end. Never more than was promised, or is delivered already: a flight that is done
/// stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The expected value.
    pub expected: u64,
    /// The lower and upper end of the interval; `None` with fewer than two days to learn from.
    pub interval: Option<(u64, u64)>,
}

pub(super) fn project(flight: &Flight, delivered: &Delivered, curve: &Curve, now: UnixMillis) -> Option<Projection> {
    if now < flight.starts_at || now >= flight.ends_at {
        return None;
    }
    let to_come = float(active_weight(flight, Span { from: now, until: flight.ends_at }, curve));
    let yields: Vec<(f64, f64)> = recent_days(flight, now)
        .zip(&delivered.recent_days)
        .map(|(day, delivered)| (float((*delivered).into()), float(active_weight(flight, day, curve))))
        .filter(|(_, weight)| *weight > 0.0)
        .collect();
    let weight: f64 = yields.iter().map(|(_, weight)| weight).sum();
    if weight == 0.0 {
        return None;
    }
    let mean = yields.iter().map(|(delivered, _)| delivered).sum::<f64>() / weight;
    let ceiling = flight.committed.max(delivered.total);
    let at_end = |further: f64| delivered.total.saturating_add(whole(further)).min(ceiling);
    let past = float(yields.len() as u128);
    let interval = T_80_PERCENT.get(yields.len().wrapping_sub(2)).map(|t| {
        let squares: f64 = yields.iter().map(|(delivered, weight)| square(delivered / weight - mean)).sum();
        let deviation = (squares / (past - 1.0)).sqrt();
        // Less than a day to come is no safer than a day.
        let days_to_come = (to_come / (weight / past)).max(1.0);
        let half = t * deviation * (1.0 / past + 1.0 / days_to_come).sqrt() * to_come;
        (at_end(mean * to_come - half), at_end(mean * to_come + half))
    });
    Some(Projection { expected: at_end(mean * to_come), interval })
}

/// The whole days before `now` that lie within the flight, the nearest first.
pub(super) fn recent_days(flight: &Flight, now: UnixMillis) -> impl Iterator<Item = Span> {
    let days = (now.since_ms(flight.starts_at) / DAY_MS).min(RECENT_DAYS as u64);
    (0..days).map(move |back| Span { from: now.minus_ms((back + 1) * DAY_MS), until: now.minus_ms(back * DAY_MS) })
}

fn square(value: f64) -> f64 {
    value * value
}

#[expect(clippy::cast_precision_loss, reason = "a projection is not exact to 53 bits")]
fn float(value: u128) -> f64 {
    value as f64
}

/// Rounded to the nearest; nothing below zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
