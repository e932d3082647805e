//! What tests of the Redis store share: a real server that can be killed, and a proxy that breaks the way to it.

#![expect(clippy::unwrap_used, reason = "all of it is test code, where a panic is the answer")]

mod proxy;
mod server;

pub use proxy::CutProxy;
pub use server::RedisServer;
