//! The client of Slotkeeper: it asks the edge for an ad break, plays it on a `<video>` element, and reports what
//! played.
//!
//! The rules are pure and run anywhere: [`tracker`] decides which events happened from what the player did (on top of
//! [`progress`], which measures what really played), [`queue`] keeps beacons until the origin has them and [`receipts`] the
//! rows that only the player has, [`backoff`] and [`request_id`] are the rest. The `web` module is the skin: it turns DOM events into their arguments and their
//! results into requests, and exists only in the wasm build.
//!
//! **What this crate never does:** report what did not play; while its page lives, forget a beacon or a receipt before the origin
//! acknowledged it (short of a bound, and then it counts); panic; keep the viewer from the content, whatever happens to
//! an ad. They wait in memory: what the browser did not deliver of those handed to it at the page's end is lost.
//!
//! Where to start reading: [`tracker::Tracker`], then [`queue::Queue`], then `web/client.rs`.

pub mod backoff;
pub mod progress;
pub mod queue;
pub mod receipts;
pub mod request_id;
pub mod tracker;

#[cfg(target_family = "wasm")]
mod web;
