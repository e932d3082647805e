//! The client of Slotkeeper for browsers: an ES module around `slotkeeper_sdk_core`.
//!
//! The rules of what counts and what is sent are wasm: `Rules`. The skin that hears the page, plays ads and posts texts is
//! `skin/*.js` beside this file. It decides nothing that is reported.
//!
//! Why the skin is not Rust: it was, over web-sys and js-sys, without std and without futures. That was 26 KB of wasm and 5 KB of glue,
//! compressed; with the plain objects left to JavaScript 14 and 6. A viewer pays for every byte, and the budget for all of it is 16. So
//! the border is where the televisions' is: numbers, and few texts.
//!
//! **What this crate never does:** call JavaScript; format; panic on purpose.
//!
//! Where to start reading: `skin/index.js`, then `skin/session.js` and `skin/ad_break.js`.

// Natively there is no page, and the crate is empty.
#![cfg(target_family = "wasm")]
#![no_std]
#![expect(unsafe_code, reason = "the allocator is told that there is one thread")]

extern crate alloc;

mod rules;

pub use rules::Rules;

use lol_alloc::{AssumeSingleThreaded, FreeListAllocator};

// SAFETY: a page runs this module in one thread: it neither shares its memory nor starts any.
#[global_allocator]
static ALLOCATOR: AssumeSingleThreaded<FreeListAllocator> =
    unsafe { AssumeSingleThreaded::new(FreeListAllocator::new()) };

/// Without formatting there is nothing to say: the instance stops, and the page goes on.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
