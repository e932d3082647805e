//! Origin and edge as processes that can be killed and come back where they were.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;
use slotkeeper_core::keys::{Keyring, Purpose};
use tempfile::TempDir;
use xtask::workspace::{Workspace, built};

use crate::http_client;

const KEYS: &str = "3:5f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de3";
const PSEUDONYM_KEY: &str = "9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e";
/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process lives at least and at most while there is fire.
const LIFE_MS: [u64; 2] = [400, 1_500];

/// What runs the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// The Spin component on our host.
    SpinHost,
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

/// An origin with an edge of the demo's world.
pub(crate) struct Stack {
    runtime: Runtime,
    pub(crate) edge: SocketAddr,
    origin: SocketAddr,
    processes: Arc<Mutex<[Process; 2]>>,
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

        let mut serve = Command::new(&slotkeeper);
        serve.args(["serve", "--keys", KEYS, "--publish-every", "1", "--listen", &origin.to_string()]);
        serve.args(["--edge", &format!("fire=http://{edge}"), "--data"]).arg(&data);
        let serve = Process::new(serve, folder.path().join("origin.log"));
        let edge_process =
            Process::new(edge_command(runtime, &workspace, &folder, edge, origin), folder.path().join("edge.log"));
        let processes = Arc::new(Mutex::new([serve, edge_process]));
        let stack = Self { runtime, edge, origin, processes, folder, slotkeeper };
        stack.processes.lock().unwrap().iter_mut().for_each(Process::start);
        stack
            .until("the edge has a plan", async || {
                let health = call(stack.edge, Method::GET, "/healthz", None).await;
                health.is_some_and(|health| health["plan_version"].is_u64())
            })
            .await;
        stack
    }

    /// Kills one of the two after the other at random moments, and starts it again at once. How often.
    pub(crate) async fn burn_for(&self, fire: Duration) -> usize {
        let until = Instant::now() + fire;
        let mut kills = 0;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(LIFE_MS[0] + random() % (LIFE_MS[1] - LIFE_MS[0]))).await;
            let which = usize::from(!random().is_multiple_of(3)); // the edge twice as often
            let mut processes = self.processes.lock().unwrap();
            processes[which].kill();
            processes[which].start();
            kills += 1;
        }
        kills
    }

    /// Waits until the origin has folded rows of so many slots, and everything else that it has.
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
            booked == slots as u64 && health["fold_lag"] == 0 && health["status"] == "ok"
        })
        .await;
    }

    /// What `slotkeeper audit` says of data directory and edge store; fails unless every law holds.
    pub(crate) async fn audit(&self) -> String {
        let edge = self.folder.path().join("edge");
        let store = match self.runtime {
            Runtime::SpinHost => format!("sqlite:{}", edge.join("sqlite_db.db").display()),
            Runtime::Workerd => format!("durable-objects:{}", edge.join("storage").display()),
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
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn edge_command(
    runtime: Runtime,
    workspace: &Workspace,
    folder: &TempDir,
    edge: SocketAddr,
    origin: SocketAddr,
) -> Command {
    let state = folder.path().join("edge");
    std::fs::create_dir(&state).unwrap();
    let origin = format!("http://{origin}");
    let settings = [
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
    match runtime {
        Runtime::SpinHost => {
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
