//! The edge: HTTP in, decisions out, one commit per break.
//!
//! This crate is the decision module without a platform. An adapter (`edge/spin`, `edge/cloudflare`) implements
//! [`Platform`] and [`store::Store`], turns the platform's request into a [`Head`] and a bounded body, and the [`Reply`]
//! back into the platform's response. Nothing else differs between platforms.
//!
//! **What this crate never does:** name a platform, open a socket, read a clock, keep anything between requests.
//!
//! Where to start reading: [`serve`], then [`breaks`] (the one path that must not go wrong).

pub mod answer;
mod asset_list;
pub mod auction;
pub mod beacons;
pub mod body;
pub mod breaks;
mod clicks;
pub mod health;
mod interstitials;
pub mod limit;
pub mod outbox;
pub mod plans;
pub mod platform;
pub mod query;
mod receipts;
pub mod reply;
pub mod route;
pub mod settings;
pub mod settle;
pub mod sql;
pub mod sqlite;
pub mod stitcher;
pub mod store;
pub mod vast;
mod viewers;
mod vmap;
mod xml;

pub use platform::Platform;
pub use reply::Reply;
pub use route::{Client, Head, Route};
pub use settings::Settings;

/// Answers one request of `client` whose route is known and whose body is within the route's bound.
pub async fn serve(platform: &impl Platform, client: Client, route: Route, body: &[u8]) -> Reply {
    match route {
        Route::Preflight => Reply::preflight(),
        Route::Hello => Reply::text("hello"),
        Route::Health => health::report(platform).await,
        Route::Break { base } => breaks::open(platform, client, &base, body).await,
        Route::Beacons => beacons::accept_batch(platform, client, body).await,
        Route::Pixel { token, error_code } => beacons::accept_pixel(platform, client, &token, error_code).await,
        Route::Vast(tag) => vast::answer(platform, client, &tag).await.for_page(tag.origin),
        Route::Vmap(tag) => vmap::answer(platform, &tag).await.for_page(tag.origin),
        Route::Click { token } => clicks::follow(platform, client, &token).await,
        Route::AssetList(tag) => asset_list::answer(platform, client, &tag).await.for_page(tag.origin),
        Route::Interstitials(tag) => interstitials::answer(platform, &tag).await.for_page(tag.origin),
        Route::Receipt => receipts::accept(platform, body).await,
        Route::PutPlan => plans::put(platform, body).await,
        Route::ForgetViewer { viewer } => viewers::forget(platform, &viewer).await,
        Route::ShipOutbox => outbox::ship_on_request(platform).await,
    }
}
