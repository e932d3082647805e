//! Calling an edge.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode, header, redirect::Policy};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use slotkeeper_core::{
    api::ErrorResponse,
    id::ViewerKey,
    keys::{Keyring, Purpose},
};

use super::Edge;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A plan may have 32 MiB, and an outbox waits for this origin's own log.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an edge's own words an error repeats.
const SAID_CHARS_MAX: usize = 300;
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a call to an edge gave no answer to work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    /// No answer at all.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// An error answer.
    #[error("answered {status} {code}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable name of the error.
        code: String,
        /// What was wrong.
        message: String,
    },
    /// An answer that is not what was asked for.
    #[error("answered what is not understood: {0}")]
    Unreadable(String),
}

/// The answer to `POST /v1/outbox/ship`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Shipped {
    /// How many rows reached the origin by this call.
    pub shipped: u64,
    /// How many still wait.
    pub left: u64,
}

/// The answer to `GET /healthz`, as far as the origin needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or what is not.
    pub status: String,
    /// What the edge calls itself.
    #[serde(default)]
    pub edge_id: Option<String>,
    /// What it runs on.
    #[serde(default)]
    pub platform: Option<String>,
    /// The plan it decides from.
    #[serde(default)]
    pub plan_version: Option<u64>,
    /// When that plan is too old.
    #[serde(default)]
    pub plan_valid_until_ms: Option<u64>,
}

/// The answer to `PUT /v1/plan`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PlanTaken {
    /// The plan the edge holds now.
    pub plan_version: u64,
    /// `stored` or `already_current`.
    pub status: String,
}

/// The answer to `DELETE /v1/viewers/{viewer}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ViewerForgotten {
    /// `forgotten`.
    pub status: String,
}

/// A client that talks to whom it is told and to nobody else. No proxy from the environment: what is sent carries the
/// bearer, in the clear. No redirects: an edge does not get to choose whom the origin calls in its private network.
pub(crate) fn direct() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().redirect(Policy::none())
}

/// Calls edges, with the bearer they expect. Cheap to clone.
#[derive(Clone)]
pub struct EdgeClient {
    http: reqwest::Client,
    bearer: String,
}

impl EdgeClient {
    /// A client that authenticates with the minting key of `keys`.
    pub fn new(keys: &Keyring) -> Result<Self, EdgeError> {
        let http = direct().connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT).build();
        let http = http.map_err(|error| EdgeError::Unreachable(error.to_string()))?;
        Ok(Self { http, bearer: format!("Bearer {}", keys.bearer(Purpose::Admin)) })
    }

    /// Asks how an edge is.
    pub async fn health(&self, edge: &Edge) -> Result<Health, EdgeError> {
        answer(self.http.get(format!("{}/healthz", edge.url)).timeout(HEALTH_TIMEOUT)).await
    }

    /// Asks an edge to send what its outbox holds.
    pub async fn ship(&self, edge: &Edge) -> Result<Shipped, EdgeError> {
        let call = self.http.post(format!("{}/v1/outbox/ship", edge.url)).header(header::AUTHORIZATION, &self.bearer);
        answer(call).await
    }

    /// Has an edge forget a viewer.
    pub async fn forget(&self, edge: &Edge, viewer: ViewerKey) -> Result<ViewerForgotten, EdgeError> {
        let url = format!("{}/v1/viewers/{viewer}", edge.url);
        answer(self.http.delete(url).header(header::AUTHORIZATION, &self.bearer)).await
    }

    /// Gives an edge a plan.
    pub async fn put_plan(&self, edge: &Edge, plan: &[u8]) -> Result<PlanTaken, EdgeError> {
        let call = self
            .http
            .put(format!("{}/v1/plan", edge.url))
            .header(header::AUTHORIZATION, &self.bearer)
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(plan.to_vec());
        answer(call).await
    }
}

async fn answer<T: DeserializeOwned>(call: RequestBuilder) -> Result<T, EdgeError> {
    let mut response = call.send().await.map_err(|error| EdgeError::Unreachable(innermost(&error)))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| EdgeError::Unreachable(innermost(&error)))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(EdgeError::Unreadable(format!("more than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(refusal(status, &body));
    }
    serde_json::from_slice(&body).map_err(|error| EdgeError::Unreadable(error.to_string()))
}

fn refusal(status: StatusCode, body: &[u8]) -> EdgeError {
    let (code, message) = match serde_json::from_slice::<ErrorResponse>(body) {
        Ok(response) => (response.error.code, response.error.message),
        Err(_) => ("unknown".into(), String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()),
    };
    EdgeError::Refused { status: status.as_u16(), code: on_one_line(&code), message: on_one_line(&message) }
}

/// What somebody else says, so that it can neither end a line of a log nor steer a terminal.
fn on_one_line(text: &str) -> String {
    text.chars().take(SAID_CHARS_MAX).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

/// reqwest's own words say only that sending failed; the cause says why.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use axum::{Router, http::header::LOCATION, routing::any};

    use super::*;

    async fn edge(routes: Router) -> Edge {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let edge = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        edge
    }

    #[tokio::test]
    async fn an_edge_cannot_send_the_origin_elsewhere_or_write_lines_of_its_log() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let elsewhere = edge(Router::new().fallback(async || CALLS.fetch_add(1, Relaxed).to_string())).await;
        let away = format!("{}/healthz", elsewhere.url);
        let redirects =
            async move || (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, away)], "go\nslotkeeper: \x1b[2Jgone");
        let edge = edge(Router::new().fallback(any(redirects))).await;
        let keys = Keyring::parse(&format!("1:{}", "07".repeat(32))).unwrap();
        let client = EdgeClient::new(&keys).unwrap();
        for error in [client.health(&edge).await.unwrap_err(), client.put_plan(&edge, b"plan").await.unwrap_err()] {
            assert!(matches!(error, EdgeError::Refused { status: 307, .. }), "{error}");
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
        }
        assert_eq!(CALLS.load(Relaxed), 0);
    }
}
