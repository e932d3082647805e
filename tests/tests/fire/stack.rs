//! Origin, edge and Redis as processes that can be killed and come back where they were.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;
use slotkeeper_core::{
    keys::{Keyring, Purpose},
    redis::Shards,
};
use slotkeeper_tests_redis::RedisServer;
use tempfile::TempDir;
use tokio::{task::block_in_place, time::sleep};
use xtask::workspace::{Workspace, built};

use crate::{http_client, players::Players};

const KEYS: &str = "3:5f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de3";
const PSEUDONYM_KEY: &str = "9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e";
/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process lives at least and at most while there is fire.
const LIFE_MS: [u64; 2] = [400, 1_500];
/// For how long Redis is away at most when it alone is killed: rows then go to the origin.
const REDIS_AWAY_MS: u64 = 400;
/// For how long origin and Redis are away together, unless a player is given its rows to carry before.
const BOTH_AWAY: Duration = Duration::from_secs(2);
/// Few, so that viewers share some.
const SHARDS: &str = "5";

/// What runs the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// The Spin component on our host, over its SQLite.
    SpinHost,
    /// The Spin component on our host, over a Redis.
    SpinRedis,
    /// The worker on workerd.
    Workerd,
}

/// A process that is started again as it was.
struct Process {
    command: Command,
    child: Option<Child>,
}

impl Process {
    fn new(mut command: Command, log: PathBuf) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { command, child: None }
    }

    fn start(&mut self) {
        self.child = Some(self.command.spawn().unwrap());
    }

    fn kill_and_start(&mut self) {
        self.kill();
        self.start();
    }

    /// SIGKILL, and gone.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How often what was killed.
#[derive(Debug, Default)]
pub(crate) struct Kills {
    origin: usize,
    edge: usize,
    redis: usize,
    /// Origin and Redis at once, so that only players can take rows.
    pub(crate) origin_with_redis: usize,
}

impl Kills {
    pub(crate) fn all(&self) -> usize {
        self.origin + self.edge + self.redis + self.origin_with_redis
    }
}

/// An origin with an edge of the demo's world.
pub(crate) struct Stack {
    runtime: Runtime,
    pub(crate) edge: SocketAddr,
    origin: SocketAddr,
    origin_process: Mutex<Process>,
    edge_process: Mutex<Process>,
    redis: Option<Mutex<RedisServer>>,
    folder: TempDir,
    slotkeeper: PathBuf,
}

impl Stack {
    pub(crate) async fn start(runtime: Runtime) -> Self {
        let workspace = Workspace::find().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (origin, edge) = (free_port(), free_port());
        let slotkeeper = built(workspace.program("debug", "slotkeeper"), "cargo build --workspace").unwrap();
        let data = folder.path().join("data");
        let demo = workspace.root.join("worker/demo/contracts.toml");
        let imported = Command::new(&slotkeeper).args(["contracts", "import", "--data"]).arg(&data).arg(demo).output();
        assert!(imported.as_ref().unwrap().status.success(), "{imported:?}");

        let redis = (runtime == Runtime::SpinRedis).then(|| {
            let kept = folder.path().join("redis");
            std::fs::create_dir(&kept).unwrap();
            RedisServer::over(&kept)
        });
        let redis_url = redis.as_ref().map(RedisServer::url);
        let mut serve = Command::new(&slotkeeper);
        serve.args(["serve", "--keys", KEYS, "--publish-every", "1", "--listen", &origin.to_string()]);
        serve.args(["--edge", &format!("fire=http://{edge}"), "--data"]).arg(&data);
        if let Some(url) = &redis_url {
            serve.args(["--redis", url, "--redis-shards", SHARDS, "--redis-edge-id", "fire"]);
        }
        let mut origin_process = Process::new(serve, folder.path().join("origin.log"));
        let edge_command = edge_command(runtime, &workspace, &folder, edge, origin, redis_url.as_deref());
        let mut edge_process = Process::new(edge_command, folder.path().join("edge.log"));
        origin_process.start();
        edge_process.start();
        let stack = Self {
            runtime,
            edge,
            origin,
            origin_process: Mutex::new(origin_process),
            edge_process: Mutex::new(edge_process),
            redis: redis.map(Mutex::new),
            folder,
            slotkeeper,
        };
        stack
            .until("the edge has a plan", async || {
                let health = call(stack.edge, Method::GET, "/healthz", None).await;
                health.is_some_and(|health| health["plan_version"].is_u64())
            })
            .await;
        stack
    }

    /// Kills one or the other, or two at once, at random moments, and starts it again.
    pub(crate) async fn burn_for(&self, fire: Duration, players: &Players) -> Kills {
        let until = Instant::now() + fire;
        let mut kills = Kills::default();
        while Instant::now() < until {
            sleep(Duration::from_millis(LIFE_MS[0] + random() % (LIFE_MS[1] - LIFE_MS[0]))).await;
            match (&self.redis, random() % 3) {
                (Some(redis), _) if kills.all() % 4 == 2 => {
                    kills.origin_with_redis += 1;
                    self.kill_origin_and(redis, players).await;
                }
                (Some(redis), 2) => {
                    kills.redis += 1;
                    block_in_place(|| redis.lock().unwrap().kill_9());
                    sleep(Duration::from_millis(random() % REDIS_AWAY_MS)).await;
                    block_in_place(|| redis.lock().unwrap().restart());
                }
                (_, 0) => {
                    kills.origin += 1;
                    self.origin_process.lock().unwrap().kill_and_start();
                }
                _ => {
                    kills.edge += 1;
                    self.edge_process.lock().unwrap().kill_and_start();
                }
            }
        }
        kills
    }

    /// Leaves the edge alone with the players, until one of them has rows that nobody else could take.
    async fn kill_origin_and(&self, redis: &Mutex<RedisServer>, players: &Players) {
        block_in_place(|| redis.lock().unwrap().kill_9());
        self.origin_process.lock().unwrap().kill();
        let (before, deadline) = (players.receipts(), Instant::now() + BOTH_AWAY);
        while players.receipts() == before && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        self.origin_process.lock().unwrap().start();
        block_in_place(|| redis.lock().unwrap().restart());
    }

    /// Waits until the origin has folded rows of so many slots, and everything else that there is.
    pub(crate) async fn has_booked(&self, slots: usize) {
        self.until("every slot is in the books", async || {
            if self.runtime == Runtime::SpinHost {
                let bearer = Keyring::parse(KEYS).unwrap().bearer(Purpose::Admin);
                let _ = call(self.edge, Method::POST, "/v1/outbox/ship", Some(&bearer)).await;
            }
            let summary = call(self.origin, Method::GET, "/api/v1/summary", None).await;
            let health = call(self.origin, Method::GET, "/healthz", None).await;
            let (Some(summary), Some(health)) = (summary, health) else { return false };
            let booked = summary["opportunities"].as_u64().unwrap_or_default();
            assert!(booked <= slots as u64, "{booked} slots are booked, {slots} were asked for");
            booked == slots as u64 && health["fold_lag"] == 0 && health["status"] == "ok" && self.redis_has_shipped()
        })
        .await;
    }

    /// Whether the outboxes in Redis, if there is one, are empty; fails if an entry was put aside as bad.
    fn redis_has_shipped(&self) -> bool {
        let Some(redis) = &self.redis else { return true };
        let mut connection = redis.lock().unwrap().connection();
        let mut entries = |stream: String| redis::cmd("XLEN").arg(stream).query::<u64>(&mut connection).unwrap();
        SHARDS.parse::<Shards>().unwrap().all().all(|shard| {
            let outbox = shard.outbox();
            assert_eq!(entries(format!("{outbox}:bad")), 0, "the origin could not read what is in {outbox}:bad");
            entries(outbox) == 0
        })
    }

    /// What `slotkeeper audit` says of data directory and edge store; fails unless every law holds.
    pub(crate) async fn audit(&self) -> String {
        let edge = self.folder.path().join("edge");
        let store = match (self.runtime, &self.redis) {
            (_, Some(redis)) => redis.lock().unwrap().url(),
            (Runtime::Workerd, None) => format!("durable-objects:{}", edge.join("storage").display()),
            (_, None) => format!("sqlite:{}", edge.join("sqlite_db.db").display()),
        };
        let mut audit = Command::new(&self.slotkeeper);
        audit.args(["audit", "--edge-store", &store, "--data"]).arg(self.folder.path().join("data"));
        let output = tokio::task::spawn_blocking(move || audit.output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        if !output.status.success() {
            let kept = std::env::temp_dir().join("slotkeeper-fire-kept");
            let _ = std::fs::remove_dir_all(&kept);
            let copied = Command::new("cp").arg("-r").arg(self.folder.path()).arg(&kept).status();
            panic!("{said}{}\nkept in {} ({copied:?})", String::from_utf8_lossy(&output.stderr), kept.display());
        }
        said
    }

    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            if Instant::now() > deadline {
                let log = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
                let summary = call(self.origin, Method::GET, "/api/v1/summary", None).await;
                panic!("within {PATIENCE:?}: {what}\n{summary:?}\n{}\n{}", log("origin.log"), log("edge.log"));
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn edge_command(
    runtime: Runtime,
    workspace: &Workspace,
    folder: &TempDir,
    edge: SocketAddr,
    origin: SocketAddr,
    redis_url: Option<&str>,
) -> Command {
    let state = folder.path().join("edge");
    std::fs::create_dir(&state).unwrap();
    let origin = format!("http://{origin}");
    let mut settings = vec![
        ("keys", KEYS),
        ("pseudonym_key", PSEUDONYM_KEY),
        ("origin_url", &origin),
        ("edge_id", "fire"),
        ("requests_per_minute", "0"),
        // Generous for two cores, and short enough that rows also take the second path while the origin is away.
        ("store_deadline_ms", "2000"),
        ("decision_deadline_ms", "3000"),
        ("answer_deadline_ms", "5000"),
        ("origin_deadline_ms", "2000"),
    ];
    if let Some(url) = redis_url {
        settings.extend([("store", "redis"), ("redis_url", url), ("redis_shards", SHARDS)]);
    }
    match runtime {
        Runtime::SpinHost | Runtime::SpinRedis => {
            let wasm = built(workspace.spin_component(), "cargo xtask build spin").unwrap();
            let mut command = Command::new(env!("CARGO_BIN_EXE_spin-host"));
            command.arg("--wasm").arg(wasm).args(["--listen", &edge.to_string(), "--state"]).arg(state);
            for (name, value) in settings {
                command.args(["--variable", &format!("{name}={value}")]);
            }
            command
        }
        Runtime::Workerd => {
            let settings: Vec<(String, String)> =
                settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let config = xtask::workerd::install(workspace, &state, edge, &settings).unwrap();
            let mut command = Command::new(workspace.workerd().unwrap());
            command.arg("serve").arg(config);
            command
        }
    }
}

/// One request; the JSON of a good answer.
async fn call(address: SocketAddr, method: Method, path: &str, bearer: Option<&str>) -> Option<Value> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(bearer) = bearer {
        request = request.header("authorization", format!("Bearer {bearer}"));
    }
    let response = http_client::send(address, request.body(Bytes::new()).unwrap()).await.ok()?;
    response.status().is_success().then(|| serde_json::from_slice(response.body()).ok()).flatten()
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn random() -> u64 {
    // A hasher is seeded by the system, which is all the chance that is needed here.
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}
