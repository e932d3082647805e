//! Players as patient as the SDK: what is not acknowledged is sent again.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use slotkeeper_core::{
    api::{BreakRequest, BreakResponse, SlotOutcome, SlotRequest, Tracking},
    beacon::{Batch, Beacon, Event},
    contract::BreakPosition,
    id::{BreakId, OpportunityId},
    time::UnixMillis,
};
use tokio::task::JoinSet;

use crate::{
    http_client,
    stack::{Stack, random},
};

const PLAYERS: usize = 8;
/// Fewer than players, so that breaks of one viewer race.
const PROFILES: u64 = 5;
const AGAIN_AFTER: Duration = Duration::from_millis(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// What was asked and answered.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) breaks: usize,
    pub(crate) slots: usize,
    pub(crate) filled: usize,
    /// Rows that came with an answer, because neither store nor origin took them.
    pub(crate) receipts: usize,
    pub(crate) tries: usize,
}

#[derive(Default)]
struct Shared {
    has_stopped: AtomicBool,
    tries: AtomicUsize,
    receipts: AtomicUsize,
}

/// Players at work.
pub(crate) struct Players {
    shared: Arc<Shared>,
    tasks: JoinSet<Asked>,
}

impl Players {
    pub(crate) fn start(stack: &Stack) -> Self {
        let shared = Arc::<Shared>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..PLAYERS {
            tasks.spawn(play(stack.edge, Arc::clone(&shared)));
        }
        Self { shared, tasks }
    }

    /// How often a player was given its rows to carry.
    pub(crate) fn receipts(&self) -> usize {
        self.shared.receipts.load(SeqCst)
    }

    /// Lets them finish what they have begun: every break answered, every beacon and receipt taken.
    pub(crate) async fn stop_asking(mut self) -> Asked {
        self.shared.has_stopped.store(true, SeqCst);
        let mut all = Asked::default();
        while let Some(one) = self.tasks.join_next().await {
            let one = one.unwrap();
            all.breaks += one.breaks;
            all.slots += one.slots;
            all.filled += one.filled;
        }
        all.tries = self.shared.tries.load(SeqCst);
        all.receipts = self.shared.receipts.load(SeqCst);
        all
    }
}

async fn play(edge: SocketAddr, shared: Arc<Shared>) -> Asked {
    let mut asked = Asked::default();
    while !shared.has_stopped.load(SeqCst) {
        let request = request();
        let body = serde_json::to_vec(&request).unwrap();
        let answer = until_taken(edge, "/v1/breaks", body, &shared).await;
        let answer: BreakResponse = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer.slots.len(), request.slots.len());
        asked.breaks += 1;
        asked.slots += answer.slots.len();
        if let Some(receipt) = &answer.receipt {
            shared.receipts.fetch_add(1, SeqCst);
            until_taken(edge, "/v1/receipts", receipt.clone().into_bytes(), &shared).await;
        }
        for slot in &answer.slots {
            if let SlotOutcome::Filled { token, .. } = &slot.outcome {
                asked.filled += 1;
                report(edge, token, &shared).await;
            }
        }
    }
    asked
}

/// Most ads play, some to their end; some fail, some are not used, of some nothing is heard.
async fn report(edge: SocketAddr, token: &str, shared: &Shared) {
    use Event::{Complete, Error, FirstQuartile, Midpoint, NotUsed, Start, ThirdQuartile};
    let events: &[Event] = match random() % 8 {
        0 => &[NotUsed],
        1 => &[Error],
        2 => &[],
        3 => &[Start, Error],
        4 => &[Start, FirstQuartile],
        _ => &[Start, FirstQuartile, Midpoint, ThirdQuartile, Complete],
    };
    if events.is_empty() {
        return;
    }
    let beacons = events
        .iter()
        .map(|event| Beacon { token, event: *event, age_ms: (random() % 50) as u32, detail: None })
        .collect();
    let session_id = format!("s{:x}", random());
    let batch = Batch { session_id: &session_id, sequence: 1, lost: 0, beacons }.to_text();
    until_taken(edge, "/v1/beacons", batch.into_bytes(), shared).await;
}

/// Sends the same again until it is answered well. Anything but "later" is a fault of the edge.
async fn until_taken(edge: SocketAddr, path: &str, body: Vec<u8>, shared: &Shared) -> Bytes {
    loop {
        shared.tries.fetch_add(1, SeqCst);
        let request = Request::post(path).body(Bytes::from(body.clone())).unwrap();
        match tokio::time::timeout(ANSWER_WITHIN, http_client::send(edge, request)).await {
            Ok(Ok(response)) if response.status().is_success() => return response.into_body(),
            Ok(Ok(response)) if response.status() < StatusCode::INTERNAL_SERVER_ERROR => {
                panic!("{path}: {} {:?}", response.status(), response.body())
            }
            _ => tokio::time::sleep(AGAIN_AFTER).await, // killed, starting, busy or slow
        }
    }
}

fn request() -> BreakRequest {
    let profile = random() % PROFILES;
    let is_preroll = random().is_multiple_of(2);
    let mut unique = [0; 16];
    unique[..8].copy_from_slice(&random().to_be_bytes());
    unique[8..].copy_from_slice(&random().to_be_bytes());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    // Any UUID version 7 dates its break; this is a short way to one.
    let request_id = OpportunityId::mint(BreakId(unique), 0, UnixMillis(u64::try_from(now).unwrap()));
    BreakRequest {
        request_id: request_id.to_string(),
        profile_id: format!("viewer-{profile}-{}", random() % 6),
        session_id: None,
        title_id: "the-lighthouse".into(),
        position: if is_preroll { BreakPosition::Preroll } else { BreakPosition::Midroll },
        slots: vec![SlotRequest { max_duration_ms: 10_000, ..SlotRequest::default() }; if is_preroll { 2 } else { 3 }],
        max_duration_ms: None,
        tier: None,
        country: None,
        device: Some("tv".into()),
        tracking: Tracking::Token,
        ..BreakRequest::default()
    }
}
