//! What the chores and the tests both need to know: where built things lie, and how an edge is run.
//!
//! The chores themselves are the binary of the same name (`cargo xtask --help`). This library starts no build and no
//! long-lived process; it finds, renders and copies.

pub mod redis;
pub mod spin;
pub mod workerd;
pub mod workspace;
