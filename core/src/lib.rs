//! The domain of Slotkeeper, pure.
//!
//! Everything that *decides* lives here: which ad fills a slot ([`decide`]), how often a viewer may see it ([`caps`]),
//! what a client may report ([`token`]), and what a report is worth ([`impression`]). The edge, the SDK and the origin
//! are input and output around these functions.
//!
//! **What this crate never does:** no I/O, no clock, no randomness, no platform, no `std`. Time and seeds are arguments,
//! so every decision can be made again from what was recorded.
//!
//! Where to start reading: [`decide::decide`], then [`plan::Plan`] (what it decides from), [`caps::Viewer`] (what it
//! must not exceed), [`pod::Pod`] (what comes out) and [`decision::Decision`] (how it is made again).

#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod api;
pub mod auction;
pub mod beacon;
pub mod caps;
pub mod consent;
pub mod contract;
pub mod decide;
pub mod decision;
pub mod fact;
pub mod id;
pub mod impression;
pub mod keys;
pub mod limit;
pub mod macros;
pub mod money;
pub mod plan;
pub mod pod;
pub mod receipt;
pub mod redis;
pub mod time;
pub mod token;
mod traffic;
