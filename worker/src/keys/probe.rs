//! Asking edges and origin what they make of the keys: nothing is changed by it anywhere.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use slotkeeper_core::keys::{KeyId, Keyring, Purpose};

use crate::edges::{Edge, EdgeClient, EdgeError, direct};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Clone)]
pub enum Question {
    /// Whether they accept the first key of this keyring.
    Accepts(Keyring),
    /// Whether they mint with this key.
    MintsWith(KeyId),
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Who was asked.
    pub who: String,
    /// Why it is not a yes.
    pub objection: Option<String>,
}

/// Asks every edge, and the origin at `origin`.
pub async fn ask_all(question: &Question, edges: &[Edge], origin: &str) -> Result<Vec<Finding>, EdgeError> {
    let http = direct().timeout(CALL_TIMEOUT).build();
    let http = http.map_err(|error| EdgeError::Unreachable(error.to_string()))?;
    let mut findings = match question {
        Question::Accepts(keys) => {
            let client = EdgeClient::new(keys)?;
            join_all(edges.iter().map(async |edge| finding(&edge.name, edge_accepts(&client, edge).await))).await
        }
        Question::MintsWith(id) => {
            let ask = async |edge: &Edge| finding(&edge.name, mints_with(&http, &edge.url, *id).await);
            join_all(edges.iter().map(ask)).await
        }
    };
    let origin = origin.trim_end_matches('/');
    let objection = match question {
        Question::Accepts(keys) => origin_accepts(&http, origin, keys).await,
        Question::MintsWith(id) => mints_with(&http, origin, *id).await,
    };
    findings.push(finding("the origin", objection));
    Ok(findings)
}

fn finding(who: &str, answer: Result<(), String>) -> Finding {
    Finding { who: who.into(), objection: answer.err() }
}

/// Gives the edge a plan that is none: whoever is not its origin hears 401, the others what is wrong with the plan.
async fn edge_accepts(client: &EdgeClient, edge: &Edge) -> Result<(), String> {
    match client.put_plan(edge, b"").await {
        Err(EdgeError::Refused { code, .. }) if code == "plan_malformed" => Ok(()),
        Err(error) => Err(format!("does not accept the new key: {error}")),
        Ok(_) => Err("took an empty plan; is it an edge?".into()),
    }
}

/// Gives the origin a batch without facts, of which its log keeps nothing.
async fn origin_accepts(http: &reqwest::Client, origin: &str, keys: &Keyring) -> Result<(), String> {
    let batch = json!({ "edge_id": "keys-rotate", "facts": [] }).to_string();
    let call = http.post(format!("{origin}/v1/facts")).header(header::CONTENT_TYPE, "application/json").body(batch);
    match call.bearer_auth(keys.bearer(Purpose::Collector)).send().await {
        Ok(response) if response.status() == StatusCode::ACCEPTED => Ok(()),
        Ok(response) => Err(format!("does not accept the new key: answered {}", response.status())),
        Err(error) => Err(format!("cannot be reached: {error}")),
    }
}

async fn mints_with(http: &reqwest::Client, url: &str, id: KeyId) -> Result<(), String> {
    let answer = async { http.get(format!("{url}/healthz")).send().await?.json::<Value>().await };
    let health = answer.await.map_err(|error| format!("cannot be asked: {error}"))?;
    match health["minting_key_id"].as_u64() {
        Some(minting) if minting == u64::from(id) => Ok(()),
        Some(minting) => Err(format!("still mints with key {minting}")),
        None => Err("does not say which key it mints with; is it of an older version?".into()),
    }
}
