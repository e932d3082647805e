//! The lake: facts as Parquet by the hour, and the tables folded from them.
//!
//! **Invariants.** A fact counts in the folded tables exactly once, however often it was sent. What is folded is a pure function of the
//! facts of its hour, of the ads as sold, and of what other hours hold of the breaks that they share: folded again, or from nothing,
//! the files are the same byte for byte. Every file appears whole or not at all. The crate knows neither the origin's log nor its
//! registry, but through two traits.
//!
//! An *hour* is the one in which a slot's break opened, which its id tells: so all that is ever reported of a slot is in one place,
//! however late it comes, and every count by day or hour adds up over all tables.
//!
//! Where to start reading: [`tables`], which says what is in every column; then [`Lake`], which says what is written when.

mod apart;
mod book;
pub mod columns;
mod error;
pub mod file;
mod fold;
mod forget;
pub mod hour;
mod lake;
mod raw;
mod reader;
mod status;
mod store;
pub mod tables;
#[cfg(test)]
mod tests;
mod traces;

pub use book::RawFile;
pub use error::LakeError;
pub use fold::{DERIVED, PASS_ROWS};
pub use forget::{EntryNow, Forgetting};
pub use lake::{CHUNK_BYTES, FILES_MAX, Fault, Lake, Log, Registry, Round, Step};
pub use raw::{LogEntry, RAW};
pub use reader::LakeReader;
pub use status::{RawTable, Status};
pub use store::{Files, Listed, PART, Place, REPLACING};
pub use traces::Traces;
