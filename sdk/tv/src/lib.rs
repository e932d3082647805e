//! [`slotkeeper_sdk_core::Client`] as a wasm module whose border is numbers only: what `glue.js` beside it speaks to.
//!
//! One instance is one client, and what it exports are the methods of [`Border`], each under one letter. No text goes over that
//! border: the glue keeps the session's id and the tokens, and makes texts of the [`Numbers`] that are written here. It allocates
//! nothing: there is no allocator in it. Its memory is one page of 64 KiB, stack included.

// Natively it is a library for tests, which needs a panic handler and gets it from `std`.
#![cfg_attr(target_family = "wasm", no_std)]

mod border;
#[cfg(target_family = "wasm")]
mod exports;

pub use border::{Border, NUMBERS_MAX, Numbers};
