//! SQL over the lake, by DuckDB in this process.
//!
//! Every [`Session`] is a DuckDB of its own, in memory, with a view for every table that it is asked for and no way out of the folders
//! it was given: what it reads are the lake's Parquet files, each in the state in which it was first asked for, and nothing of it
//! outlives it. The lake is the truth, this is a window.
//!
//! **Invariants.** No SQL that somebody asks writes a file. Nothing here is needed to build, or to serve: DuckDB is a shared library, loaded when it is asked something. No
//! number passes through a float that was not one. Nothing here knows which tables there are: the caller says.
//!
//! Where to start reading: [`session`], then [`question`]. All that is unsafe is in [`duckdb`].

pub mod duckdb;
mod folder;
pub mod print;
pub mod question;
pub mod session;
pub mod value;
pub mod view;

pub use duckdb::{DuckDb, Error};
pub use folder::{SESSIONS_MAX, living_sessions};
pub use question::{Parameter, Question};
pub use session::{Answer, Bounds, Session, Settings};
pub use value::Value;
pub use view::View;
