//! An edge that does what a test tells it to.
#![allow(dead_code, reason = "every test program uses some of this")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};
use slotkeeper_core::{keys::Purpose, plan::Plan};

use super::keyring;

/// What the edge was asked, and what it will answer.
#[derive(Default)]
pub(crate) struct Script {
    /// The plan it holds.
    pub(crate) plan_version: Option<u64>,
    /// Answers to the next plans, before it takes one.
    pub(crate) plan_refusals: VecDeque<(u16, &'static str)>,
    /// How many plans were put to it.
    pub(crate) plans_put: usize,
    /// Answers to the next requests to ship; then `nothing left`.
    pub(crate) ship_answers: VecDeque<(u16, Value)>,
    /// How often it was asked to ship.
    pub(crate) ships_asked: usize,
}

/// A fake edge on a port of its own.
#[derive(Clone)]
pub(crate) struct FakeEdge {
    pub(crate) url: String,
    pub(crate) script: Arc<Mutex<Script>>,
}

impl FakeEdge {
    pub(crate) async fn start(script: Script) -> Self {
        let script = Arc::new(Mutex::new(script));
        let routes = Router::new()
            .route("/healthz", get(health))
            .route("/v1/plan", put(take_plan))
            .route("/v1/outbox/ship", post(ship))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, script }
    }

    pub(crate) fn asked<T>(&self, what: impl FnOnce(&mut Script) -> T) -> T {
        what(&mut self.script.lock().unwrap())
    }
}

type Shared = State<Arc<Mutex<Script>>>;

async fn health(State(script): Shared) -> Json<Value> {
    let version = script.lock().unwrap().plan_version;
    Json(json!({ "status": "ok", "edge_id": "fake", "platform": "test", "plan_version": version, "extra": 1 }))
}

async fn take_plan(State(script): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let mut script = script.lock().unwrap();
    script.plans_put += 1;
    if !authentic(&headers) {
        return refused(401, "unauthorized");
    }
    if let Some((status, code)) = script.plan_refusals.pop_front() {
        return refused(status, code);
    }
    let version = Plan::verify(&body, &keyring()).unwrap().version();
    script.plan_version = Some(version);
    Json(json!({ "plan_version": version, "status": "stored" })).into_response()
}

async fn ship(State(script): Shared, headers: HeaderMap) -> Response {
    let mut script = script.lock().unwrap();
    script.ships_asked += 1;
    if !authentic(&headers) {
        return refused(401, "unauthorized");
    }
    let (status, body) = script.ship_answers.pop_front().unwrap_or((200, json!({ "shipped": 0, "left": 0 })));
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn authentic(headers: &HeaderMap) -> bool {
    let bearer = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    keyring().accepts_bearer(Purpose::Admin, bearer)
}

fn refused(status: u16, code: &str) -> Response {
    let body = json!({ "error": { "code": code, "field": null, "message": "as told" } });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}
