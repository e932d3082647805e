//! A made-up month of ad breaks, with the truth beside it.
//!
//! [`Script`] is who books what, [`generate`](fn@generate) lets people watch: it writes the batches that edges would have sent, with everything
//! that happens to facts on their way (twice, late, out of order, forged, lost), and counts **forward**, from what it decided
//! to happen, what has to come out. So the [`Truth`] knows nothing of any fold, and a fold that agrees with it is right.
//!
//! **Invariants.** No clock, no randomness but the seed's, no files: the same parameters are the same bytes. What is kept in
//! memory grows with flights, titles, and viewers times creatives, never with slots. Nothing here folds or reads a log.
//!
//! Where to start reading: [`generate`](mod@generate), then [`truth`].

mod ads;
mod audience;
mod breaks;
mod dice;
pub mod generate;
mod outbox;
mod params;
mod playing;
pub mod script;
mod tide;
pub mod truth;
mod wire;

pub use ads::{Sold, SoldAd, UnsoldAd};
pub use generate::{Sink, generate};
pub use params::{InvalidParams, Params};
pub use script::Script;
pub use truth::{Figures, Truth};
