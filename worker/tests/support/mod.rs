//! What the tests of the whole origin share: the real program as a process, its HTTP, and facts to send.
#![allow(dead_code, reason = "every test program uses some of these")]

pub(crate) mod deciding;
pub(crate) mod edge;
pub(crate) mod facts;
pub(crate) mod python;
pub(crate) mod small_lake;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode};
use serde_json::Value;
use slotkeeper_core::{
    fact::{Fact, FactBatch},
    keys::{Keyring, Purpose},
};

/// How long anything that must happen may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// The keyring of all tests.
pub(crate) const KEYS: &str = "1:0707070707070707070707070707070707070707070707070707070707070707";

pub(crate) fn keyring() -> Keyring {
    Keyring::parse(KEYS).unwrap()
}

/// The bearer of an edge that sends facts.
pub(crate) fn collector_bearer() -> String {
    keyring().bearer(Purpose::Collector)
}

/// The program, without the environment of whoever runs the tests.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slotkeeper"));
    command.env_clear();
    command
}

/// A running `slotkeeper serve`; killed when dropped.
pub(crate) struct Origin {
    process: Child,
    pub(crate) url: String,
}

impl Origin {
    /// Starts it over a data directory and waits until it answers.
    pub(crate) fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_with_keys(data, KEYS, more)
    }

    /// The same with a keyring of the test's own.
    pub(crate) fn start_with_keys(data: &Path, keys: &str, more: &[&str]) -> Self {
        Self::start_with_log(data, keys, more, Stdio::inherit())
    }

    /// The same with the tests' keyring; what it says on stderr goes to the file `said`.
    pub(crate) fn start_telling(data: &Path, said: &Path, more: &[&str]) -> Self {
        Self::start_with_log(data, KEYS, more, std::fs::File::create(said).unwrap().into())
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with_environment(data: &Path, variables: &[(&str, &str)], more: &[&str]) -> Self {
        let mut program = program();
        program.envs(variables.iter().copied());
        Self::spawn(program, data, KEYS, more, Stdio::inherit())
    }

    /// The same with its log going where a test wants it.
    pub(crate) fn start_with_log(data: &Path, keys: &str, more: &[&str], log: Stdio) -> Self {
        Self::spawn(program(), data, keys, more, log)
    }

    fn spawn(mut program: Command, data: &Path, keys: &str, more: &[&str], log: Stdio) -> Self {
        let mut process = program
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("SLOTKEEPER_KEYS", keys)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("slotkeeper origin on ").expect("the line that says where").to_owned();
        Self { process, url }
    }

    /// Ends it as a power cut would, as far as a process can tell.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let signalled = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(signalled.success());
        self.process.wait().unwrap()
    }

    /// Waits until everything that is durable is folded.
    pub(crate) async fn folded(&self) {
        let url = format!("{}/healthz", self.url);
        eventually(async || {
            let health = get(&url).await;
            health["fold_lag"] == 0 && health["status"] == "ok"
        })
        .await;
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended already
        let _ = self.process.wait();
    }
}

/// Waits for something that nothing announces; fails when it has not happened in [`PATIENCE`].
pub(crate) async fn eventually(mut happened: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened().await {
        assert!(Instant::now() < deadline, "it has not happened in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn get(url: &str) -> Value {
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{url}");
    response.json().await.unwrap()
}

/// A batch as an edge sends it.
pub(crate) fn batch(facts: Vec<Fact>) -> Vec<u8> {
    serde_json::to_vec(&FactBatch { edge_id: "edge-1".into(), facts }).unwrap()
}

/// Sends a batch; the status of the answer, or the error of a broken connection.
pub(crate) async fn post(client: &Client, origin: &str, body: Vec<u8>) -> Result<StatusCode, reqwest::Error> {
    let request = client.post(format!("{origin}/v1/facts")).bearer_auth(collector_bearer()).body(body);
    Ok(request.send().await?.status())
}
