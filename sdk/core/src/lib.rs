//! The client of Slotkeeper without a platform: what was played of an ad, what is reported of it, and what waits until the
//! origin has it.
//!
//! A skin (one for browsers, one for televisions) hears the events of a `<video>` and of the page, tells [`Client`], and does
//! what comes out: it tells the app of [`Due`] events, posts the texts and stores the record. So both skins report the
//! same, byte for byte.
//!
//! | part | what it holds |
//! | --- | --- |
//! | [`coverage`] | which parts of an ad have played at normal speed, as a bitmap |
//! | [`progress`] | from positions and clocks to coverage: what playing alone explains |
//! | [`ad`] | one ad: its phase, its quartiles, sound, full screen, viewability |
//! | [`ring`] | beacons not yet acknowledged, and the batches they go out in |
//! | [`sink`] | what a batch is written to: a text, or what a skin makes one of |
//! | [`sure`] | what must be there |
//! | [`client`] | all of it: the one that a skin holds |
//!
//! **What this crate never does:** allocate, format, touch a clock, a network or a store; report what did not play; forget a
//! beacon without counting it. All memory is in [`Client`], which fits into one page of wasm memory beside its stack. No `u64`
//! crosses its border, so that no `BigInt` is needed.
//!
//! Where to start reading: [`client::Client`], then [`ad::Ad::look`].

#![no_std]
#[cfg(test)]
extern crate std;

pub mod ad;
pub mod backoff;
pub mod client;
pub mod coverage;
pub mod due;
pub mod progress;
pub mod ring;
pub mod sink;
pub mod sure;
mod whole;

pub use client::Client;
pub use due::Due;
pub use slotkeeper_beacon::Event;
