//! The simulator: the real edge, store schema, decisions, collector checks and fold, in one process under a virtual clock.
//!
//! Every world comes of its seed alone: the viewers, what is sold, every delay, loss, crash and lie. An oracle that
//! knows the laws watches both what is said and what is stored. `docs/simulation.md` tells what is real, what is modelled
//! and how to replay.
//!
//! **What this crate never does:** read a real clock while a world runs, start a thread within a world, or keep the
//! order of anything that a hash map gives.
//!
//! Where to start reading: [`world::run`], then [`oracle`] and [`books`].

#![allow(missing_docs, reason = "a test program: every module says what it is, and names say the rest")]

pub mod books;
pub mod broken;
pub mod clients;
pub mod edge;
pub mod faults;
pub mod oracle;
pub mod origin;
pub mod report;
pub mod rng;
pub mod scheduler;
pub mod store;
pub mod terms;
pub mod world;
