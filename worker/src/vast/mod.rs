//! VAST of other ad servers: fetched, kept for a while, and told.
//!
//! What it says and how its wrappers are followed is `slotkeeper-vast`; here is what that crate leaves to its caller: the
//! network ([`WebFetch`]) and the clock ([`Kept`]).

mod booked;
mod fetch;
mod kept;
mod report;

pub use booked::{RefreshOutcome, Refreshed, VastContent, refresh};
pub use fetch::WebFetch;
pub use kept::{DOCUMENTS_MAX, Kept};
pub use report::{AdReport, FailureReport, LinkReport, Report, report};
