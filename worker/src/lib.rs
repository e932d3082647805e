//! The origin of Slotkeeper: it keeps the books.
//!
//! Facts come in at the [`collector`] and are durable in the [`log`] before they are acknowledged; the [`fold`] turns
//! them into rows and impressions, and the [`lake`] keeps both by the hour; [`contracts`] are imported and published as a [`plan`] to the [`edges`]; the [`api`]
//! shows all of it; [`trackers`] are called. [`serve`] is all of it in one process.
//!
//! **Invariants.** What is acknowledged is fsynced. What is folded can be folded again from `log.db` and `contracts.db`,
//! byte for byte. Nothing here decides what fills a slot: that is `slotkeeper-core`, at the edge.
//!
//! Where to start reading: [`serve::serve`], then [`log`], [`fold`] and [`plan`].

#![warn(clippy::print_stdout, clippy::print_stderr, reason = "they panic when nobody reads; see `output`")]

pub mod api;
pub mod audit;
pub mod backup;
pub mod books;
pub mod clock;
pub mod collector;
pub mod contracts;
pub mod data_dir;
pub mod dims;
pub mod edges;
pub mod error;
pub mod explain;
pub mod fold;
pub mod forget;
pub mod generate;
pub mod keys;
pub mod lake;
mod limit;
pub mod log;
pub mod outbound;
pub mod output;
pub mod plan;
pub mod registry;
pub mod replay;
pub mod retention;
pub mod serve;
mod server;
pub mod sql;
pub mod trackers;
pub mod vast;
