//! The outboxes that edges keep in Redis: at least once into the log, whatever is killed, and nothing deleted that is not
//! durable. Against a real `redis-server`.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use redis::{Connection, cmd};
use serde_json::{Value, json};
use slotkeeper_core::fact::Fact;
use slotkeeper_tests_redis::{CutProxy, RedisServer};
use support::{
    Origin, eventually,
    facts::{committed, unfilled},
    get,
};

struct World {
    folder: tempfile::TempDir,
    server: RedisServer,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), server: RedisServer::start() }
    }

    /// An origin that empties the outboxes behind `url`.
    fn origin(&self, url: &str) -> Origin {
        let options = ["--publish-every", "0", "--redis-shards", "3", "--redis-edge-id", "edge-7", "--redis", url];
        Origin::start(self.folder.path(), &options)
    }

    fn redis(&self) -> Connection {
        self.server.connection()
    }
}

/// What the edge's commit leaves: the rows of a break of two slots.
fn commit_break(redis: &mut Connection, number: u32) {
    let facts: Vec<Fact> = [0, 1].map(|slot| committed(&unfilled(number, slot))).into();
    add(redis, number % 3, &serde_json::to_string(&facts).unwrap());
}

fn add(redis: &mut Connection, shard: u32, facts: &str) {
    let _: String = cmd("XADD").arg(format!("sk:{{{shard}}}:o")).arg("*").arg("f").arg(facts).query(redis).unwrap();
}

/// How many entries all outboxes hold, and the stream of bad entries of the shard 0.
fn lengths(redis: &mut Connection) -> (u64, u64) {
    let mut length = |key: String| -> u64 { cmd("XLEN").arg(key).query(redis).unwrap() };
    ((0..3).map(|shard| length(format!("sk:{{{shard}}}:o"))).sum(), length("sk:{0}:o:bad".into()))
}

async fn opportunities(origin: &Origin) -> Value {
    get(&format!("{}/api/v1/summary", origin.url)).await["conservation"]["opportunities"].clone()
}

async fn log_seq(origin: &Origin) -> u64 {
    get(&format!("{}/healthz", origin.url)).await["log_seq"].as_u64().unwrap()
}

/// Waits until the origin has so many slots in its books and the outboxes are empty.
async fn booked(origin: &Origin, world: &World, slots: u64) {
    eventually(async || opportunities(origin).await == json!(slots)).await;
    let mut redis = world.redis();
    eventually(async || lengths(&mut redis).0 == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn breaks_of_every_shard_are_booked_and_their_entries_deleted() {
    let world = World::new();
    let mut redis = world.redis();
    (0..500).for_each(|number| commit_break(&mut redis, number));
    let origin = world.origin(&world.server.url());
    booked(&origin, &world, 1_000).await;
    (500..510).for_each(|number| commit_break(&mut redis, number));
    booked(&origin, &world, 1_020).await;
    assert_eq!(lengths(&mut redis), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_killed_between_append_and_deletion_books_nothing_twice_and_deletes_nothing_later() {
    let world = World::new();
    let mut redis = world.redis();
    let proxy = CutProxy::start(world.server.address()).await;
    (0..6).for_each(|number| commit_break(&mut redis, number));
    proxy.hold_at("XDEL");
    let mut origin = world.origin(&proxy.url());
    proxy.struck().await;
    assert_eq!(log_seq(&origin).await, 1, "what is about to be deleted is durable");
    (6..8).for_each(|number| commit_break(&mut redis, number));
    origin.kill();
    proxy.cut();
    assert_eq!(lengths(&mut redis).0, 8, "nothing is deleted");

    let origin = world.origin(&world.server.url());
    booked(&origin, &world, 16).await;
    assert!(log_seq(&origin).await > 1, "what was not deleted came again");
    let summary = get(&format!("{}/api/v1/summary", origin.url)).await;
    assert_eq!(summary["conservation"]["holds"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_leaves_what_came_after_the_reading() {
    let world = World::new();
    let mut redis = world.redis();
    let proxy = CutProxy::start(world.server.address()).await;
    commit_break(&mut redis, 0);
    proxy.hold_at("XDEL");
    let origin = world.origin(&proxy.url());
    proxy.struck().await;
    commit_break(&mut redis, 3); // of the same shard
    proxy.hold_at("XDEL"); // the first passes now, the second is held
    proxy.pass();
    proxy.struck().await;
    assert_eq!(lengths(&mut redis).0, 1, "the first is deleted, the second is not");
    proxy.pass();
    booked(&origin, &world, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_and_restarted_loses_nothing_and_is_emptied_again() {
    let mut world = World::new();
    let mut redis = world.redis();
    let origin = world.origin(&world.server.url());
    commit_break(&mut redis, 0);
    booked(&origin, &world, 2).await;
    for round in 1..4 {
        let mut redis = world.redis();
        (0..20).for_each(|number| commit_break(&mut redis, round * 20 + number));
        world.server.kill_9();
        world.server.restart();
    }
    booked(&origin, &world, 2 + 3 * 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_deletion_and_a_refusing_redis_are_got_over() {
    let world = World::new();
    let mut redis = world.redis();
    let proxy = CutProxy::start(world.server.address()).await;
    proxy.lose_reply_to("XDEL");
    commit_break(&mut redis, 0);
    let origin = world.origin(&proxy.url());
    proxy.struck().await;
    commit_break(&mut redis, 1);
    booked(&origin, &world, 4).await;
    proxy.refuse();
    commit_break(&mut redis, 2);
    proxy.pass();
    booked(&origin, &world, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_read_is_put_aside_with_the_reason_and_holds_nothing_up() {
    let world = World::new();
    let mut redis = world.redis();
    commit_break(&mut redis, 0);
    add(&mut redis, 0, r#"[{"fact":"rumour"}]"#);
    commit_break(&mut redis, 3);
    let origin = world.origin(&world.server.url());
    booked(&origin, &world, 4).await;
    eventually(async || lengths(&mut redis) == (0, 1)).await;
    let bad: Vec<(String, Vec<(String, String)>)> =
        cmd("XRANGE").arg("sk:{0}:o:bad").arg("-").arg("+").query(&mut redis).unwrap();
    let fields = &bad[0].1;
    assert_eq!(fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["id", "reason", "f"]);
    assert!(fields[1].1.contains("rumour"), "{fields:?}");
    assert_eq!(fields[2].1, r#"[{"fact":"rumour"}]"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_no_stream_is_told_and_holds_no_other_stream_up() {
    let world = World::new();
    let mut redis = world.redis();
    let _: () = cmd("SET").arg("sk:{0}:o").arg("foreign").query(&mut redis).unwrap();
    let mut left = |shard: u32| -> u64 { cmd("XLEN").arg(format!("sk:{{{shard}}}:o")).query(&mut redis).unwrap() };
    let mut edge = world.redis();
    // Beside it in one call, and behind it in the next; more of them than one call reads.
    for number in 0..200 {
        let facts: Vec<Fact> = [0, 1].map(|slot| committed(&unfilled(number, slot))).into();
        add(&mut edge, [1, 99][number as usize % 2], &serde_json::to_string(&facts).unwrap());
    }
    let said = world.folder.path().join("said");
    let options = ["--publish-every", "0", "--redis-shards", "100", "--redis", &world.server.url()];
    let origin = Origin::start_telling(world.folder.path(), &said, &options);
    eventually(async || opportunities(&origin).await == json!(400)).await;
    eventually(async || left(1) + left(99) == 0).await;
    let told = || std::fs::read_to_string(&said).unwrap();
    eventually(async || told().contains("sk:{0}:o: ")).await;
    assert!(told().contains("WRONGTYPE") && !told().contains("emptied again"), "{}", told());

    let _: () = cmd("DEL").arg("sk:{0}:o").query(&mut edge).unwrap();
    commit_break(&mut edge, 300);
    eventually(async || opportunities(&origin).await == json!(402)).await;
    eventually(async || told().contains("emptied again")).await;
}

#[test]
fn a_wrong_option_is_named_and_a_password_is_not() {
    let refused = |options: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = support::program();
        command.args(["serve", "--keys", support::KEYS, "--data"]).arg(folder.path()).args(options);
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(&["--redis", "http://:secret@nowhere"]);
    assert!(said.contains("--redis (SLOTKEEPER_REDIS)") && !said.contains("secret"), "{said}");
    let said = refused(&["--redis", "redis://127.0.0.1:1", "--redis-shards", "0"]);
    assert!(said.contains("from 1 to 65536"), "{said}");
}
