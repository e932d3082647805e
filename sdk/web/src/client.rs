//! `AdClient`: one viewer's session with one edge.

use alloc::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;

use crate::{
    ad_break::AdBreak,
    answer::{Answer, AskedAt},
    object, page,
    session::Session,
};

/// A viewer's session: requests ad breaks and reports what was played.
#[wasm_bindgen(skip_typescript)]
pub struct AdClient(Rc<Session>);

#[wasm_bindgen]
impl AdClient {
    /// Makes a client. Rejects with a `SlotkeeperError` if the configuration cannot be used.
    pub fn load(config: &JsValue) -> Promise {
        match Session::begin(config) {
            Ok(session) => page::resolved(&Self(session).into()),
            Err(error) => page::rejected(&error),
        }
    }

    /// Asks the edge to fill a break.
    #[wasm_bindgen(js_name = requestBreak)]
    pub fn request_break(&self, options: &JsValue) -> Promise {
        self.0.request_break(options)
    }

    /// Asks for a break ahead of time.
    #[wasm_bindgen(js_name = prefetchBreak)]
    pub fn prefetch_break(&self, options: &JsValue) -> Promise {
        self.0.prefetch_break(options)
    }

    /// A break that somebody else asked for.
    #[wasm_bindgen(js_name = adoptBreak)]
    pub fn adopt_break(&self, answer: &JsValue) -> Result<AdBreak, JsValue> {
        let answer = Answer::read(answer, AskedAt::now())?;
        self.0.open(answer).map(AdBreak::new)
    }

    /// Calls `handler` at every event of this name, of any ad of this client.
    pub fn on(&self, name: &str, handler: &Function) -> Result<(), JsValue> {
        self.0.handlers.on(name, handler)
    }

    /// No longer calls `handler` at events of this name.
    pub fn off(&self, name: &str, handler: &Function) {
        self.0.handlers.off(name, handler);
    }

    /// Sends the waiting beacons and receipts now. Resolves to how many still wait.
    pub fn flush(&self) -> Promise {
        self.0.flush()
    }

    /// The viewer touched something that this page does not hear of.
    pub fn interacted(&self) {
        self.0.touch();
    }

    /// The viewing session, as caps per session count it and beacons name it.
    #[wasm_bindgen(getter, js_name = sessionId)]
    pub fn session_id(&self) -> JsValue {
        self.0.id.as_str().into()
    }

    /// What became of beacons and receipts that are not acknowledged.
    #[wasm_bindgen(getter)]
    pub fn beacons(&self) -> JsValue {
        let (overflowed, refused) = {
            let client = self.0.client.borrow();
            (client.lost(), client.refused())
        };
        object::of(&[
            ("waiting", &self.0.waiting().into()),
            ("overflowed", &overflowed.into()),
            ("refused", &refused.into()),
        ])
    }

    /// Ends the session.
    pub fn destroy(&self) {
        self.0.destroy();
    }
}
