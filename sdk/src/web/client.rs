//! `AdClient`: one viewer's session with one edge.

use core::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;

use crate::{backoff::Backoff, queue::Queue, request_id};

use super::{
    ad_break::{AdBreak, Break},
    answer::{Answer, AskedAt},
    courier::Courier,
    error::SdkError,
    events::Handlers,
    http, object,
    page::{self, Listener, Listeners},
};

/// How often one break is asked for, and how long each answer may take: a viewer waits.
const TRIES_MAX: u32 = 4;
const TRY_MS_MAX: u32 = 4_000;
const RETRY_MS_FIRST: u32 = 250;
const RETRY_MS_MAX: u32 = 2_000;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.ts");

/// What a client and its breaks share.
pub(super) struct Shared {
    edge_url: String,
    profile_id: Option<String>,
    session_id: String,
    pub(super) handlers: Handlers,
    pub(super) courier: Rc<Courier>,
    breaks: RefCell<Vec<Weak<Break>>>,
    destroyed: Cell<bool>,
    leaving: Listeners,
}

impl Shared {
    pub(super) fn is_destroyed(&self) -> bool {
        self.destroyed.get()
    }

    fn remember(&self, opened: &Rc<Break>) {
        let mut breaks = self.breaks.borrow_mut();
        breaks.retain(|held| held.strong_count() > 0);
        breaks.push(Rc::downgrade(opened));
    }

    /// The page goes. What has not begun will not be played here: it is given back at once, rather than block the viewer's
    /// caps until its lease is over. Should the page come back (browsers may keep it), its breaks go on without these ads.
    fn leave(&self) {
        let breaks = self.breaks.borrow().clone();
        for opened in breaks.iter().filter_map(Weak::upgrade) {
            opened.leave();
        }
        self.courier.part();
    }
}

/// A viewer's session: requests ad breaks and reports what was played.
#[wasm_bindgen]
pub struct AdClient(Rc<Shared>);

#[wasm_bindgen]
impl AdClient {
    /// Makes a client. Rejects with a `SlotkeeperError` if the configuration cannot be used.
    #[expect(clippy::unused_async, reason = "a promise, so that loading may come to wait for something")]
    pub async fn load(#[wasm_bindgen(unchecked_param_type = "ClientConfig")] config: JsValue) -> Result<Self, JsValue> {
        let edge_url = object::text(&config, "edgeUrl")
            .map(|url| url.trim_end_matches('/').to_owned())
            .ok_or_else(|| SdkError::argument("edgeUrl", "must be the URL of the edge"))?;
        let given_session = object::text(&config, "sessionId");
        // A session the app named may have had a page before this one; its numbers go on from the time, not from 0.
        let first_sequence = if given_session.is_some() { unix_seconds() } else { 0 };
        let session_id = given_session.unwrap_or_else(fresh_id);
        let queue = Queue::new(&session_id, first_sequence)
            .map_err(|_| SdkError::argument("sessionId", "must be 1 to 64 letters, digits, hyphens or underscores"))?;
        let shared = Rc::new(Shared {
            courier: Courier::new(&edge_url, queue),
            edge_url,
            profile_id: object::text(&config, "profileId"),
            session_id,
            handlers: Handlers::default(),
            breaks: RefCell::default(),
            destroyed: Cell::new(false),
            leaving: Listeners::default(),
        });
        let weak = Rc::downgrade(&shared);
        shared.leaving.add(Listener::new(&page::window(), "pagehide", move || {
            if let Some(shared) = weak.upgrade() {
                shared.leave();
            }
        }));
        Ok(Self(shared))
    }

    /// Asks the edge to fill a break. Tries a few times under one request id, so however many tries reach the edge,
    /// there is one break. Rejects with a `SlotkeeperError`; then play on without ads.
    #[wasm_bindgen(js_name = requestBreak)]
    pub async fn request_break(
        &self,
        #[wasm_bindgen(unchecked_param_type = "BreakOptions")] options: JsValue,
    ) -> Result<AdBreak, JsValue> {
        let shared = Rc::clone(&self.0);
        if shared.is_destroyed() {
            return Err(SdkError::destroyed().into());
        }
        let body = request_body(&options, &shared)?;
        let asked_at = AskedAt::now();
        let reply = ask(&format!("{}/v1/breaks", shared.edge_url), &body).await?;
        let answer = Answer::parse(&reply, asked_at)?;
        if let Some(receipt) = &answer.receipt {
            shared.courier.take_receipt(receipt);
        }
        let opened = Break::new(Rc::clone(&shared), answer);
        if shared.is_destroyed() {
            opened.discard();
            shared.courier.part();
            return Err(SdkError::destroyed().into());
        }
        shared.remember(&opened);
        Ok(AdBreak::new(opened))
    }

    /// Calls `handler` at every event of this name, of any ad of this client.
    pub fn on(
        &self,
        #[wasm_bindgen(unchecked_param_type = "AdEventName")] name: &str,
        #[wasm_bindgen(unchecked_param_type = "(event: AdEvent) => void")] handler: &Function,
    ) -> Result<(), JsValue> {
        Ok(self.0.handlers.on(name, handler)?)
    }

    /// No longer calls `handler` at events of this name.
    pub fn off(
        &self,
        #[wasm_bindgen(unchecked_param_type = "AdEventName")] name: &str,
        #[wasm_bindgen(unchecked_param_type = "(event: AdEvent) => void")] handler: &Function,
    ) {
        self.0.handlers.off(name, handler);
    }

    /// Sends the waiting beacons and receipts now. Resolves to how many still wait: 0, or more when the edge cannot be reached.
    pub async fn flush(&self) -> usize {
        let courier = Rc::clone(&self.0.courier);
        courier.flush().await
    }

    /// The viewing session, as caps per session count it and beacons name it.
    #[wasm_bindgen(getter, js_name = sessionId)]
    pub fn session_id(&self) -> String {
        self.0.session_id.clone()
    }

    /// What became of beacons and receipts that are not acknowledged.
    #[wasm_bindgen(getter, unchecked_return_type = "BeaconCounts")]
    pub fn beacons(&self) -> JsValue {
        let (overflowed, refused) = self.0.courier.lost();
        let waiting = u32::try_from(self.0.courier.waiting()).unwrap_or(u32::MAX);
        object::of([("waiting", waiting.into()), ("overflowed", overflowed.into()), ("refused", refused.into())])
    }

    /// Ends the session: ads in play stop and the content comes back, and ads not started are reported not used. The
    /// browser gets the beacons to deliver, and while the page lives on they are still sent, for ten minutes at most,
    /// until the origin has them. The client cannot be used again.
    pub fn destroy(&self) {
        if self.0.destroyed.replace(true) {
            return;
        }
        let breaks = core::mem::take(&mut *self.0.breaks.borrow_mut());
        for opened in breaks.iter().filter_map(Weak::upgrade) {
            opened.stop();
        }
        self.0.leaving.clear();
        self.0.courier.stop();
        self.0.handlers.clear();
    }
}

/// Posts the request until there is an answer, a bounded number of times.
async fn ask(url: &str, body: &str) -> Result<String, SdkError> {
    let mut backoff = Backoff::new(RETRY_MS_FIRST, RETRY_MS_MAX);
    for left in (0..TRIES_MAX).rev() {
        let error = match http::post(url, body, TRY_MS_MAX).await {
            Ok(reply) if (200..300).contains(&reply.status) => return Ok(reply.body),
            Ok(reply) => {
                let error = SdkError::from_edge(reply.status, &reply.body);
                if reply.status < 500 && !matches!(reply.status, 408 | 429) {
                    return Err(error);
                }
                error
            }
            Err(http::Unreachable) => SdkError::new("edge_unreachable", format!("no answer from {url}")),
        };
        if left == 0 {
            return Err(error);
        }
        page::sleep(backoff.next_ms(page::random())).await;
    }
    Err(SdkError::new("edge_unreachable", format!("no answer from {url}")))
}

/// The JSON of `POST /v1/breaks`. The edge judges the values; what is missing is left out and named by it.
fn request_body(options: &JsValue, shared: &Shared) -> Result<String, SdkError> {
    let given = |key| object::get(options, key);
    let profile_id = object::text(options, "profileId")
        .or_else(|| shared.profile_id.clone())
        .ok_or_else(|| SdkError::argument("profileId", "give it here or to AdClient.load"))?;
    let slots = object::array(options, "slots")
        .iter()
        .map(|slot| object::of([("max_duration_ms", object::get(&slot, "maxDurationMs"))]))
        .collect::<Array>();
    Ok(object::stringify(&object::of([
        ("request_id", object::text(options, "requestId").unwrap_or_else(fresh_id).into()),
        ("profile_id", profile_id.into()),
        ("session_id", shared.session_id.as_str().into()),
        ("title_id", given("titleId")),
        ("position", given("position")),
        ("slots", slots.into()),
        ("max_duration_ms", given("maxDurationMs")),
        ("tier", given("tier")),
        ("country", given("country")),
        ("device", given("device")),
    ])))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast to an integer saturates")]
fn fresh_id() -> String {
    request_id::mint(page::unix_ms() as u64, page::random_bytes())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast to an integer saturates")]
fn unix_seconds() -> u32 {
    (page::unix_ms() / 1000.0) as u32
}
