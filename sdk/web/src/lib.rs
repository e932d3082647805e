//! The client of Slotkeeper for browsers: it asks the edge for an ad break, plays it on a `<video>` element, and reports what
//! played. What counts and what is sent are [`slotkeeper_sdk_core`]'s rules; this is their skin.
//!
//! Everything that happens (an event of the DOM, an answer, a timer, a promise) comes to one function of the page, and from there
//! to [`Session::hear`](session::Session); nothing here waits. What is under way is data: questions to the edge, posts, ads that
//! are looked at, breaks that play. After whatever happened, [`tick`](session::Session) does what is due by now and sets the one
//! timer to what is due next.
//!
//! | part | what it does |
//! | --- | --- |
//! | `session` | hears the page, keeps time |
//! | `client`, `ad_break` | the classes that the app sees |
//! | `question`, `answer` | asking for a break; reading it |
//! | `play`, `stage` | a break in a `<video>`, and the content put away meanwhile |
//! | `watch`, `view` | looking at a `<video>`: where it is, who can see it |
//! | `delivery`, `storage` | beacons and receipts, until the origin has them |
//! | `page`, `object`, `error`, `handlers` | JavaScript |
//!
//! **What this crate never does:** decide what counts; hold a borrow across a call into JavaScript (the app's handlers may
//! call back); panic on purpose; keep the viewer from the content, whatever happens to an ad.
//!
//! Where to start reading: [`session`], then [`play`].

// Natively there is no page, and the crate is empty.
#![cfg(target_family = "wasm")]
#![no_std]
#![expect(unsafe_code, reason = "the allocator is told that there is one thread")]

extern crate alloc;

mod ad_break;
mod answer;
mod client;
mod delivery;
mod error;
mod handlers;
mod object;
mod page;
mod play;
mod question;
mod session;
mod stage;
mod storage;
mod view;
mod watch;

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
