//! Replacing the minting key, with the real program, a real origin and an edge that is configured like one.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, put},
};
use reqwest::Client;
use serde_json::{Value, json};
use slotkeeper::keys::RETIRE_AFTER_MS;
use slotkeeper_core::{
    keys::{Keyring, Purpose},
    plan::Plan,
};
use support::{Origin, batch, program};

/// An edge as far as keys matter: who may put a plan, and which key it mints with.
#[derive(Clone)]
struct Edge {
    url: String,
    keys: Arc<Mutex<Keyring>>,
}

impl Edge {
    async fn start(keys: Keyring) -> Self {
        let keys = Arc::new(Mutex::new(keys));
        let routes =
            Router::new().route("/healthz", get(health)).route("/v1/plan", put(put_plan)).with_state(Arc::clone(&keys));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, keys }
    }

    fn configure(&self, keys: Keyring) {
        *self.keys.lock().unwrap() = keys;
    }
}

async fn health(State(keys): State<Arc<Mutex<Keyring>>>) -> Json<Value> {
    Json(json!({ "status": "ok", "minting_key_id": keys.lock().unwrap().minting(Purpose::Token).0 }))
}

async fn put_plan(State(keys): State<Arc<Mutex<Keyring>>>, headers: HeaderMap, body: Bytes) -> Response {
    let keys = keys.lock().unwrap();
    let bearer = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let refused = |status: StatusCode, code: &str| {
        let error = json!({ "code": code, "field": null, "message": "no" });
        (status, Json(json!({ "error": error }))).into_response()
    };
    if !keys.accepts_bearer(Purpose::Admin, bearer) {
        return refused(StatusCode::UNAUTHORIZED, "unauthorized");
    }
    match Plan::verify(&body, &keys) {
        Ok(_) => StatusCode::OK.into_response(),
        Err(_) => refused(StatusCode::BAD_REQUEST, "plan_malformed"),
    }
}

/// A keys file, and the command that changes it.
struct Rotation {
    folder: tempfile::TempDir,
}

impl Rotation {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = program().args(["keys", "new"]).output().unwrap();
        assert!(made.status.success());
        fs::write(folder.path().join("keys.env"), made.stdout).unwrap();
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("keys.env")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn keyring_text(&self) -> String {
        self.text().lines().find_map(|line| line.strip_prefix("SLOTKEEPER_KEYS=")).unwrap().to_owned()
    }

    fn keyring(&self) -> Keyring {
        Keyring::parse(&self.keyring_text()).unwrap()
    }

    async fn run(&self, words: &[&str]) -> Output {
        let mut command = program();
        command.arg("keys").args(words).arg("--file").arg(self.file());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let said = String::from_utf8(said).unwrap();
        for entry in self.keyring_text().split(',') {
            let (_, secret) = entry.split_once(':').unwrap();
            assert!(!said.contains(secret), "a secret was shown by {words:?}");
        }
        output
    }

    async fn rotate(&self, edge: &Edge, origin: &str) -> Output {
        self.run(&["rotate", "--edge", &format!("one={}", edge.url), "--origin", origin]).await
    }

    /// Moves the last step `ms` into the past.
    fn wait(&self, ms: u64) {
        let text = self.text();
        let role = text.lines().find(|line| line.starts_with("SLOTKEEPER_KEY_ROLES=")).unwrap();
        let (_, since) = role.split_once(":retiring:").unwrap();
        let since = since.split(',').next().unwrap();
        let earlier = since.parse::<jiff::Timestamp>().unwrap() - std::time::Duration::from_millis(ms);
        fs::write(self.file(), text.replace(&format!(":retiring:{since}"), &format!(":retiring:{earlier}"))).unwrap();
    }
}

fn start_origin(data: &Path, keys: &str) -> Origin {
    Origin::start_with_keys(data, keys, &["--publish-every", "0"])
}

async fn collects(origin: &Origin, keys: &Keyring) -> bool {
    let call = Client::new().post(format!("{}/v1/facts", origin.url)).bearer_auth(keys.bearer(Purpose::Collector));
    call.body(batch(vec![])).send().await.unwrap().status() == StatusCode::ACCEPTED
}

fn is_refused(output: &Output, because: &str) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    !output.status.success() && said.contains(because) && said.contains("nothing was changed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_in_four_steps_none_of_which_can_be_taken_too_early() {
    let rotation = Rotation::new();
    let data = tempfile::tempdir().unwrap();
    let mut keyrings = vec![rotation.keyring()];
    let edge = Edge::start(rotation.keyring()).await;
    let mut origin = start_origin(data.path(), &rotation.keyring_text());

    assert!(rotation.run(&["rotate"]).await.status.success(), "adding needs nobody's answer");
    keyrings.push(rotation.keyring());
    let before = rotation.text();
    assert!(is_refused(&rotation.run(&["rotate"]).await, "name them with --edge and --origin"));
    assert!(is_refused(&rotation.rotate(&edge, &origin.url).await, "one does not accept the new key"));
    edge.configure(rotation.keyring());
    assert!(is_refused(&rotation.rotate(&edge, &origin.url).await, "the origin does not accept the new key"));
    assert_eq!(rotation.text(), before, "a refused step changes nothing");
    origin.kill();
    origin = start_origin(data.path(), &rotation.keyring_text());

    assert!(rotation.rotate(&edge, &origin.url).await.status.success(), "everybody knows the new key");
    keyrings.push(rotation.keyring());
    assert!(is_refused(&rotation.rotate(&edge, &origin.url).await, "one still mints with key 1"));
    edge.configure(rotation.keyring());
    assert!(is_refused(&rotation.rotate(&edge, &origin.url).await, "the origin still mints with key 1"));
    for keys in &keyrings {
        assert!(collects(&origin, keys).await, "what any step mints, the origin takes");
    }
    origin.kill();
    origin = start_origin(data.path(), &rotation.keyring_text());
    assert!(rotation.rotate(&edge, &origin.url).await.status.success(), "everybody mints with the new key");
    assert_eq!(rotation.keyring_text().split(',').count(), 2, "the old key verifies on");

    assert!(is_refused(&rotation.rotate(&edge, &origin.url).await, "what key 1 sealed lives"));
    rotation.wait(RETIRE_AFTER_MS - 60_000);
    assert!(is_refused(&rotation.rotate(&edge, &origin.url).await, "what key 1 sealed lives"));
    rotation.wait(60_000);
    assert!(rotation.run(&["rotate"]).await.status.success(), "its time is over");
    keyrings.push(rotation.keyring());
    for keys in &keyrings {
        assert!(collects(&origin, keys).await, "the origin has not heard yet that the old key is gone");
    }
    origin.kill();
    let origin = start_origin(data.path(), &rotation.keyring_text());
    assert!(!collects(&origin, &keyrings[0]).await && !collects(&origin, &keyrings[1]).await);
    assert!(collects(&origin, &keyrings[2]).await && collects(&origin, &keyrings[3]).await);
    assert!(rotation.text().contains("SLOTKEEPER_PSEUDONYM_KEY="), "which never rotates");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_key_can_be_replaced_at_once_and_the_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let rotation = Rotation::new();
    for _ in 0..4 {
        assert!(rotation.run(&["rotate", "--force"]).await.status.success());
    }
    assert!(rotation.keyring_text().starts_with("2:"));
    let shown = rotation.run(&["show"]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1]), ("2", "minting"), "{shown}");
    assert_eq!(fs::metadata(rotation.file()).unwrap().permissions().mode() & 0o777, 0o600);
}
