//! What crosses components: a host that runs the edge's Spin component in process, for the contract suite, fault
//! injection, the end-to-end demonstration and load measurements.
//!
//! It never stands in for the guest: what runs is the wasm that is deployed, built beforehand. Start reading at
//! [`SpinHost`].

mod spin_host;

pub use spin_host::{Call, Component, Fault, Injection, Op, Ops, Reuse, Serving, SpinHost, World, cache_folder};
