//! The same fire on the real thing: the real origin, the real edges and a real Redis as processes, under load, killed with
//! -9 at random moments and started again, while players retry. Afterwards `slotkeeper audit` must find nothing.

#![expect(clippy::unwrap_used, reason = "all of it is test code, where a panic is the answer")]

#[path = "../contract/http_client.rs"]
mod http_client;
mod players;
mod stack;

use std::time::Duration;

use players::Players;
use stack::{Runtime, Stack};

/// For how long processes are killed.
const FIRE: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_are_right_after_kill_9_of_origin_and_spin_host_under_load() {
    burn(Runtime::SpinHost).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_are_right_after_kill_9_of_origin_and_spin_host_and_redis_under_load() {
    burn(Runtime::SpinRedis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_are_right_after_kill_9_of_origin_and_workerd_under_load() {
    burn(Runtime::Workerd).await;
}

async fn burn(runtime: Runtime) {
    let stack = Stack::start(runtime).await;
    let players = Players::start(&stack);
    let kills = stack.burn_for(FIRE, &players).await;
    let asked = players.stop_asking().await;
    stack.has_booked(asked.slots).await;
    let report = stack.audit().await;
    println!("{runtime:?}: {kills:?}, {asked:?}\n{report}");
    let is_fire = kills.all() > 3 && asked.slots > 20 && asked.tries > asked.breaks;
    let is_everywhere = runtime != Runtime::SpinRedis || (kills.origin_with_redis > 0 && asked.receipts > 0);
    assert!(is_fire && is_everywhere, "hardly a fire: {kills:?}, {asked:?}");
}
