//! Spin without Spin: runs the real component on wasmtime, inside the test's own process.
//!
//! A [`World`] is everything outside the guest: its SQLite and key-value files in a folder, variables, clock, what its
//! outbound requests and Redis connections reach, the faults to inject and the journal of what it called. A [`Component`]
//! is the compiled wasm, shared by all tests of a process. A [`SpinHost`] runs the one in the other under a [`Reuse`]
//! policy, on the request driver that Spin itself uses, either one request at a time ([`SpinHost::handle`]) or as an HTTP
//! server on loopback ([`SpinHost::serve`]). Start reading at `host.rs`; `world.rs` holds the one point where faults strike.
//!
//! **Invariants.**
//! * Every call to a back end passes `World::meet` exactly once: it is in the journal, and a fault can strike it.
//! * The back end does what it was asked even when the guest has stopped waiting, as a real store does.
//! * Nothing here reaches the network beyond loopback.
//! * The guest's clocks are tokio's: under `#[tokio::test(start_paused = true)]` hangs and timeouts cost no real time.
//!   Paused time stands still while SQLite works, so contention on a locked database is a matter for real-time tests.
//!
//! **What it does not cover**, and a smoke test on a real Spin must: permissions and triggers of `spin.toml`, the
//! headers Spin adds to requests, pooling limits, and back ends other than SQLite and Redis.

mod bindings;
mod clock;
mod component;
mod context;
mod database;
mod fault;
mod host;
mod instance;
mod journal;
mod key_value;
mod key_value_file;
mod outbound;
mod output;
mod redis;
mod server;
mod sqlite;
mod variables;
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use component::{Component, cache_folder};
pub use fault::{Fault, Injection, Op, Ops};
pub use host::SpinHost;
pub use instance::Reuse;
pub use journal::Call;
pub use server::Serving;
pub use world::World;

/// The one label that stores are open under, as in a manifest that asks for the default stores only.
const DEFAULT_LABEL: &str = "default";

/// Handles of one kind that a guest may hold open at once; the size of Spin's own tables.
const HANDLES_MAX: usize = 256;

/// Locks, whether or not a panicking test left the lock poisoned: what is kept under it is whole after every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
