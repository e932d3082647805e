//! The edge on Cloudflare-style workers.
//!
//! The worker that listens keeps nothing. Viewers live in Durable Objects, one per shard (`shard`): a break is decided
//! inside the viewer's shard, where view, decision and commit are one transaction of one round trip. The plan lives in
//! a Durable Object of its own (`plan_keeper`). A panic replaces the wasm instance, so nothing here may panic; should
//! it happen all the same, `shim.mjs` rebuilds the objects.

#![cfg(target_arch = "wasm32")]

mod http;
mod plan_keeper;
mod platform;
mod shard;
mod store;

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    http::answer(request, env).await
}
