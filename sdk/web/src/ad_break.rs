//! `AdBreak`: the slots of one break, played or observed.

use alloc::rc::Rc;
use core::cell::Cell;

use js_sys::{Array, Promise};
use slotkeeper_sdk_core::ad::End;
use wasm_bindgen::prelude::*;
use web_sys::HtmlVideoElement;

use crate::{
    answer::{Answer, Fill},
    error, object, page,
    play::Finish,
    session::Session,
    watch::{Part, VAST_GENERAL_LINEAR_ERROR, Watch},
};

/// A decided break and what has become of it.
pub(crate) struct Break {
    session: Rc<Session>,
    pub(crate) answer: Answer,
}

impl Break {
    pub(crate) fn new(session: Rc<Session>, answer: Answer) -> Rc<Self> {
        for fill in &answer.fills {
            let place = session.client.borrow_mut().add(fill.token.as_bytes(), fill.duration_ms);
            if place.is_none() {
                page::warn("Slotkeeper: an ad is not played, since it could not be reported");
            }
            fill.place.set(place);
        }
        Rc::new(Self { session, answer })
    }

    /// Tells the app's handlers.
    pub(crate) fn tell(&self, name: &str, fill: Option<&Fill>, error_code: &JsValue) {
        let of_slot = |key| fill.map_or(JsValue::UNDEFINED, |fill| object::get(&fill.slot, key));
        let event = object::of(&[
            ("type", &name.into()),
            ("requestId", &self.answer.request_id),
            ("breakId", &self.answer.break_id),
            ("slotIndex", &of_slot("slotIndex")),
            ("opportunityId", &of_slot("opportunityId")),
            ("ad", &of_slot("ad")),
            ("errorCode", error_code),
        ]);
        self.session.handlers.tell(name, &event);
    }

    /// Reports the ads that nobody plays as not used.
    pub(crate) fn discard(&self) {
        for fill in &self.answer.fills {
            if !fill.taken.replace(true) {
                self.session.end(self, fill, End::Dropped, 0);
            }
        }
    }

    /// The page is going: what has not begun to play is reported not used, whoever was about to play it.
    pub(crate) fn leave(&self) {
        let loading = self.session.current(self);
        for (nth, fill) in self.answer.fills.iter().enumerate() {
            if self.is_waiting(fill) {
                fill.taken.set(true);
                self.session.end(self, fill, End::Dropped, 0);
                if let Some(watch) = loading.as_ref().filter(|watch| watch.nth == nth) {
                    self.session.finish(watch, Finish::Stopped);
                }
            }
        }
    }

    /// The client is going: nothing of this break plays on. What never began was not used, whoever was about to play it;
    /// that is reported here and now, while there still is someone to carry it.
    pub(crate) fn stop(&self) {
        for fill in &self.answer.fills {
            fill.taken.set(true);
            self.session.end(self, fill, End::Dropped, 0);
        }
    }

    /// How long until the first of its ads expires.
    pub(crate) fn left_ms(&self) -> f64 {
        self.answer.fills.iter().fold(f64::INFINITY, |left_ms, fill| left_ms.min(fill.left_ms()))
    }

    fn is_waiting(&self, fill: &Fill) -> bool {
        fill.place.get().is_some_and(|place| self.session.client.borrow().is_waiting(place))
    }
}

/// Nobody holds it any more, so nobody can play it.
impl Drop for Break {
    fn drop(&mut self) {
        self.discard();
        for place in self.answer.fills.iter().filter_map(|fill| fill.place.get()) {
            self.session.client.borrow_mut().release(place);
        }
    }
}

/// One interruption: its slots, filled and unfilled, each with its reason.
#[wasm_bindgen(skip_typescript)]
pub struct AdBreak(Rc<Break>);

impl AdBreak {
    pub(crate) fn new(opened: Rc<Break>) -> Self {
        Self(opened)
    }
}

#[wasm_bindgen]
impl AdBreak {
    /// The id under which it was asked for.
    #[wasm_bindgen(getter, js_name = requestId)]
    pub fn request_id(&self) -> JsValue {
        self.0.answer.request_id.clone()
    }

    /// Its own id.
    #[wasm_bindgen(getter, js_name = breakId)]
    pub fn break_id(&self) -> JsValue {
        self.0.answer.break_id.clone()
    }

    /// The plan it was decided from; null when there was none.
    #[wasm_bindgen(getter, js_name = planVersion)]
    pub fn plan_version(&self) -> JsValue {
        self.0.answer.plan_version.clone()
    }

    /// When it was decided, by the edge's clock.
    #[wasm_bindgen(getter, js_name = decidedAtMs)]
    pub fn decided_at_ms(&self) -> f64 {
        self.0.answer.decided_at_ms
    }

    /// One for every slot asked for, in order.
    #[wasm_bindgen(getter)]
    pub fn slots(&self) -> Array {
        self.0.answer.slots.clone()
    }

    /// Plays the ads, then puts back what was there.
    pub fn play(&self, video: &HtmlVideoElement, options: &JsValue) -> Promise {
        self.0.session.play(&self.0, video, &object::get(options, "content"))
    }

    /// Only reports the ad of this slot while someone else plays it in `video`.
    pub fn observe(&self, video: HtmlVideoElement, slot_index: u32, span: &JsValue) -> Result<Observation, JsValue> {
        let (opened, session) = (&self.0, &self.0.session);
        if session.is_destroyed() {
            return Err(error::destroyed());
        }
        let mut fills = opened.answer.fills.iter().enumerate();
        let found = fills.find_map(|(nth, fill)| {
            let is_it = fill.index == slot_index;
            fill.place.get().filter(|_| is_it).map(|place| (nth, fill, place))
        });
        let Some((nth, fill, place)) = found else {
            return Err(error::argument("slotIndex", "this slot holds no ad"));
        };
        if fill.taken.replace(true) {
            return Err(error::own("slot_taken", "this slot is played or observed already"));
        }
        let part = Part::read(span, fill.duration_ms);
        let opened = Rc::clone(opened);
        let watch = Rc::new(Watch { opened, nth, place, video, part, in_view: Cell::default() });
        session.watch(&watch);
        Ok(Observation(watch))
    }

    /// The viewer skipped the ad in play: it is reported, and the next one plays.
    pub fn skip(&self) {
        self.0.session.finish_current(&self.0, Finish::Skipped);
    }

    /// The viewer followed the link of the ad in play.
    pub fn click(&self) -> JsValue {
        let watch = self.0.session.current(&self.0);
        watch.map_or(JsValue::NULL, |watch| self.0.session.click(&watch))
    }

    /// The app gives up the ad in play: it is reported, and the next one plays.
    pub fn error(&self, code: Option<u32>) {
        self.0.session.finish_current(&self.0, Finish::Failed(code.unwrap_or(VAST_GENERAL_LINEAR_ERROR)));
    }

    /// The ads not yet started will not be played.
    pub fn discard(&self) {
        self.0.discard();
    }
}

/// An ad that someone else plays.
#[wasm_bindgen(skip_typescript)]
pub struct Observation(Rc<Watch>);

#[wasm_bindgen]
impl Observation {
    /// The viewer skipped the ad.
    pub fn skip(&self) {
        self.end(End::Skipped, 0);
    }

    /// The viewer followed the ad's link.
    pub fn click(&self) -> JsValue {
        self.0.opened.session.click(&self.0)
    }

    /// Whoever plays the ad gave it up.
    pub fn error(&self, code: Option<u32>) {
        self.end(End::Failed, code.unwrap_or(VAST_GENERAL_LINEAR_ERROR));
    }

    /// No longer looks at the video. An ad that had not started, nor been skipped, may be played or observed again.
    pub fn stop(&self) {
        let opened = &self.0.opened;
        opened.session.unwatch(&self.0);
        if let Some(fill) = self.0.fill().filter(|fill| opened.is_waiting(fill)) {
            fill.taken.set(false);
        }
    }

    fn end(&self, how: End, error_code: u32) {
        let opened = &self.0.opened;
        if let Some(fill) = self.0.fill() {
            opened.session.end(opened, fill, how, error_code);
        }
        opened.session.unwatch(&self.0);
    }
}
