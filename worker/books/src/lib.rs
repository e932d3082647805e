//! Pacing, make-goods and the ledger: what is owed, and what became of it.
//!
//! **Invariants.** What is delivered is read through [`Deliveries`], counted by the quarter of an hour, and from nothing else. No
//! amount of money is ever a float, and each is rounded once, in [`slotkeeper_core::money`]. Nothing here reads a clock: every
//! function takes the instant. What the ledger holds is never edited; a correction is one more entry, and every entry balances.
//!
//! Where to start reading: [`pacing::pace`] for whether a flight keeps its promise, [`ledger`] for what is owed if it did not.

pub mod deliveries;
pub mod flight;
pub mod ledger;
pub mod pacing;

pub use deliveries::{Deliveries, DeliveriesError, FlightQuarter, LakeTotals, QUARTER_MS, SlotQuarter};
pub use flight::{Flight, Span};
