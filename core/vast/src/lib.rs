//! Third-party VAST, read: what an advertiser's ad server or an auction answers.
//!
//! [`parse`] reads one document, VAST 2.0 to 4.3, into a [`Vast`]. [`resolve()`] follows its wrappers to the ads behind
//! them, whose trackers then are those of the whole chain. [`creative()`] makes of such an ad what we sell: files,
//! duration, presentation and the trackers of its registry record.
//!
//! **What this crate never does:** no I/O and no clock: documents come from a [`Fetch`](resolve::Fetch), which also says
//! how long each took. It never panics, whatever bytes it is given, and everything it holds is bounded ([`bounds`]).
//!
//! A document is refused with a [`VastError`]: the code that VAST gives to such a fault ([`Code`]), the path of the
//! element, and what was expected. An ad's fault is that ad's: the others of its document stand.
//!
//! Where to start reading: [`model`], then [`parse()`] and [`resolve()`].

pub mod address;
pub mod bounds;
pub mod creative;
pub mod error;
pub mod model;
mod parse;
pub mod policy;
pub mod resolve;
pub mod verdict;
mod xml;

pub use creative::{Creative, creative};
pub use error::{Code, VastError};
pub use model::Vast;
pub use parse::parse;
pub use policy::Policy;
pub use resolve::{Failure, Resolved, resolve};
pub use verdict::verdict;
