//! The edge on Fermyon Spin.
//!
//! Plans live in Spin's key-value store; viewers, answers, the outbox and the number of the plan in force live in its
//! SQLite, where a break is one statement, or in a Redis, where it is one script. Spin reuses an instance for up to 128 requests, 16 at a time, so settings,
//! the connection and the plan are kept between requests, and nothing here may panic: a trap would end the
//! neighbours' requests too.

#![cfg(target_arch = "wasm32")]

mod http;
mod platform;
mod redis;
mod scripts;
mod sqlite;
mod store;

use spin_sdk::http::{FullBody, Request, Response};

#[spin_sdk::http_service]
async fn handle(request: Request) -> spin_sdk::http::Result<Response<FullBody<bytes::Bytes>>> {
    http::answer(request).await
}
