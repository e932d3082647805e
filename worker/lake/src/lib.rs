//! The lake: facts as Parquet by the hour, and the tables folded from them.
//!
//! **Invariants.** A fact is in the lake exactly once, however often it was sent. What is folded is a pure function of the facts of
//! its hour and of the ads as sold: folded again, or from nothing, the files are the same byte for byte. Every file appears whole or
//! not at all.
//!
//! An *hour* is the one in which a slot's break opened, which its id tells: so all that is ever reported of a slot is in one place,
//! however late it comes, and every count by day or hour adds up over all tables.
//!
//! Where to start reading: [`tables`], which says what is in every column.

pub mod columns;
pub mod file;
pub mod tables;
