//! A collector that records what the edge sends, and fails when told. The real one is in `worker`.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use slotkeeper_core::{
    decision::Decision,
    fact::{BeaconFact, ClientLoss, Fact, FactBatch, Recording},
    keys::Purpose,
    pod::Opportunity,
};
use tokio::{net::TcpListener, sync::watch};

use crate::world;

/// What the collector does with the next batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes them.
    Well,
    /// Answers 503.
    Refusing,
    /// Takes them, and answers 503 all the same.
    Lying,
    /// Neither takes them nor answers.
    Hanging,
}

struct State {
    mood: Mutex<Mood>,
    facts: Mutex<Vec<Fact>>,
    count: watch::Sender<usize>,
}

/// The collector, on a port of its own.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (count, _) = watch::channel(0);
        let state = Arc::new(State { mood: Mutex::new(Mood::Well), facts: Mutex::default(), count });
        tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state }
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    /// Every row received, with how it came, duplicates included.
    pub(crate) fn rows(&self) -> Vec<(Recording, Opportunity)> {
        let facts = self.state.facts.lock().unwrap();
        let row = |fact: &Fact| match fact {
            Fact::Opportunity { recording, row } => Some((*recording, row.clone())),
            Fact::Beacon(_) | Fact::Decision(_) | Fact::ClientLoss(_) => None,
        };
        facts.iter().filter_map(row).collect()
    }

    /// What breaks were decided from, duplicates included.
    pub(crate) fn decisions(&self) -> Vec<Decision> {
        let facts = self.state.facts.lock().unwrap();
        let decision = |fact: &Fact| match fact {
            Fact::Decision(decision) => Some((**decision).clone()),
            Fact::Opportunity { .. } | Fact::Beacon(_) | Fact::ClientLoss(_) => None,
        };
        facts.iter().filter_map(decision).collect()
    }

    /// Every beacon received, duplicates included.
    pub(crate) fn beacons(&self) -> Vec<BeaconFact> {
        let facts = self.state.facts.lock().unwrap();
        let beacon = |fact: &Fact| match fact {
            Fact::Beacon(beacon) => Some(beacon.clone()),
            Fact::Opportunity { .. } | Fact::Decision(_) | Fact::ClientLoss(_) => None,
        };
        facts.iter().filter_map(beacon).collect()
    }

    /// What clients said that they lost, duplicates included.
    pub(crate) fn losses(&self) -> Vec<ClientLoss> {
        let facts = self.state.facts.lock().unwrap();
        let loss = |fact: &Fact| match fact {
            Fact::ClientLoss(loss) => Some(*loss),
            Fact::Opportunity { .. } | Fact::Decision(_) | Fact::Beacon(_) => None,
        };
        facts.iter().filter_map(loss).collect()
    }

    /// Tells when another fact has come.
    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.state.count.subscribe()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(status(400)) };
    assert_eq!((parts.method.as_str(), parts.uri.path()), ("POST", "/v1/facts"));
    let bearer = parts.headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    assert!(world::both_keys().accepts_bearer(Purpose::Collector, bearer), "the edge must prove who it is");
    let batch: FactBatch = serde_json::from_slice(&body.to_bytes()).expect("a batch of facts");
    let mood = *state.mood.lock().unwrap();
    if mood == Mood::Hanging {
        std::future::pending::<()>().await;
    }
    if mood != Mood::Refusing {
        let mut facts = state.facts.lock().unwrap();
        facts.extend(batch.facts);
        state.count.send_replace(facts.len());
    }
    Ok(status(if mood == Mood::Well { 202 } else { 503 }))
}

fn status(code: u16) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::default()).unwrap()
}
