//! `AdBreak`: the slots of one break, played or observed.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::Array;
use slotkeeper_core::beacon::Event;
use wasm_bindgen::prelude::*;
use web_sys::HtmlVideoElement;

use crate::tracker::Signal as Did;

use super::{
    answer::{Answer, Fill, Outcome, Slot},
    client::Shared,
    error::SdkError,
    object, playback,
    playback::Finish,
    signal::Signal,
    watch::{Span, Watch},
};

/// A decided break and what has become of it.
pub(super) struct Break {
    shared: Rc<Shared>,
    pub(super) answer: Answer,
    pub(super) playing: Cell<bool>,
    /// The ad in play.
    pub(super) current: RefCell<Option<Current>>,
    observed: RefCell<Vec<Watch>>,
}

/// An ad in play.
pub(super) struct Current {
    pub(super) slot_index: u32,
    /// Ends it.
    pub(super) finish: Signal<Finish>,
}

impl Break {
    pub(super) fn new(shared: Rc<Shared>, answer: Answer) -> Rc<Self> {
        Rc::new(Self {
            shared,
            answer,
            playing: Cell::new(false),
            current: RefCell::default(),
            observed: RefCell::default(),
        })
    }

    /// The slots that hold an ad, in order.
    pub(super) fn fills(&self) -> impl Iterator<Item = (&Slot, &Fill)> {
        self.answer.slots.iter().filter_map(|slot| Some((slot, slot.fill()?)))
    }

    /// Lets the tracker of an ad know what the player did, and reports what follows from it.
    pub(super) fn feed(&self, slot: &Slot, did: Did) {
        self.feed_with(slot, did, &JsValue::UNDEFINED);
    }

    /// The ad could not be played, for the reason of this VAST error code.
    pub(super) fn fail(&self, slot: &Slot, vast_error_code: u16) {
        self.feed_with(slot, Did::Failed, &vast_error_code.into());
    }

    fn feed_with(&self, slot: &Slot, did: Did, error_code: &JsValue) {
        let Some(fill) = slot.fill() else { return };
        let due = fill.tracker.borrow_mut().on(did);
        for event in &due {
            self.shared.courier.take(&fill.token, *event);
        }
        for event in due {
            let code = if event == Event::Error { error_code } else { &JsValue::UNDEFINED };
            self.tell(event.as_str(), Some((slot, fill)), code);
        }
    }

    /// Tells the app's handlers.
    pub(super) fn tell(&self, name: &str, ad: Option<(&Slot, &Fill)>, error_code: &JsValue) {
        let of_slot =
            |read: fn(&Slot, &Fill) -> JsValue| ad.map_or(JsValue::UNDEFINED, |(slot, fill)| read(slot, fill));
        let event = object::of([
            ("type", name.into()),
            ("requestId", self.answer.request_id.as_str().into()),
            ("breakId", self.answer.break_id.as_str().into()),
            ("slotIndex", of_slot(|slot, _| slot.index.into())),
            ("opportunityId", of_slot(|slot, _| slot.opportunity_id.as_str().into())),
            ("ad", of_slot(|_, fill| fill.ad.clone())),
            ("errorCode", error_code.clone()),
        ]);
        self.shared.handlers.tell(name, &event);
    }

    /// Reports the ads that nobody plays as not used.
    pub(super) fn discard(&self) {
        for (slot, fill) in self.fills() {
            if !fill.taken.replace(true) {
                self.feed(slot, Did::Dropped);
            }
        }
    }

    /// The page is going: what has not begun to play is reported not used, whoever was about to play it.
    pub(super) fn leave(&self) {
        let loading = self.current.borrow().as_ref().map(|current| current.slot_index);
        for (slot, fill) in self.fills() {
            let is_waiting = fill.tracker.borrow().is_waiting();
            if is_waiting {
                fill.taken.set(true);
                self.feed(slot, Did::Dropped);
                if loading == Some(slot.index) {
                    self.end_current(Finish::Stopped);
                }
            }
        }
    }

    /// The client is going: nothing of this break plays on. What never began was not used, whoever was about to play it;
    /// that is reported here and now, while there still is someone to carry it.
    pub(super) fn stop(&self) {
        for watch in core::mem::take(&mut *self.observed.borrow_mut()) {
            watch.stop();
        }
        for (slot, fill) in self.fills() {
            fill.taken.set(true);
            self.feed(slot, Did::Dropped);
        }
        self.end_current(Finish::Stopped);
    }

    /// Sends the beacons without waiting for more.
    pub(super) async fn flush(&self) {
        self.shared.courier.flush().await;
    }

    pub(super) fn is_destroyed(&self) -> bool {
        self.shared.is_destroyed()
    }

    fn end_current(&self, finish: Finish) {
        if let Some(current) = &*self.current.borrow() {
            current.finish.fire(finish);
        }
    }
}

/// Nobody holds it any more, so nobody can play it.
impl Drop for Break {
    fn drop(&mut self) {
        self.discard();
    }
}

impl Slot {
    pub(super) fn fill(&self) -> Option<&Fill> {
        match &self.outcome {
            Outcome::Filled(fill) => Some(fill),
            Outcome::Unfilled { .. } => None,
        }
    }
}

/// One interruption: its slots, filled and unfilled, each with its reason.
#[wasm_bindgen]
pub struct AdBreak {
    opened: Rc<Break>,
    slots: Array,
}

impl AdBreak {
    pub(super) fn new(opened: Rc<Break>) -> Self {
        let slots = opened.answer.slots.iter().map(Slot::to_object).collect();
        Self { opened, slots }
    }
}

#[wasm_bindgen]
impl AdBreak {
    /// The id under which it was asked for.
    #[wasm_bindgen(getter, js_name = requestId)]
    pub fn request_id(&self) -> String {
        self.opened.answer.request_id.clone()
    }

    /// Its own id.
    #[wasm_bindgen(getter, js_name = breakId)]
    pub fn break_id(&self) -> String {
        self.opened.answer.break_id.clone()
    }

    /// The plan it was decided from; null when there was none.
    #[wasm_bindgen(getter, js_name = planVersion, unchecked_return_type = "number | null")]
    pub fn plan_version(&self) -> JsValue {
        self.opened.answer.plan_version.clone()
    }

    /// When it was decided, by the edge's clock.
    #[wasm_bindgen(getter, js_name = decidedAtMs)]
    pub fn decided_at_ms(&self) -> f64 {
        self.opened.answer.decided_at_ms
    }

    /// One for every slot asked for, in order.
    #[wasm_bindgen(getter, unchecked_return_type = "Slot[]")]
    pub fn slots(&self) -> Array {
        self.slots.clone()
    }

    /// Plays the ads one after the other in `video`, then puts back what was there: source, position, speed, and
    /// whether it played. Resolves when the break is over. An ad that fails is reported and passed over; an ad that
    /// expired is not started. Rejects with `play_not_allowed` when the browser wants a click first: call it again
    /// from one. An app that gives `video` another source meanwhile ends the break: `video` stays as the app left it,
    /// and the ads not yet started are reported not used.
    pub async fn play(&self, video: HtmlVideoElement) -> Result<(), JsValue> {
        let opened = Rc::clone(&self.opened);
        Ok(playback::play(&opened, &video).await?)
    }

    /// Only reports the ad of this slot while someone else plays it in `video`, such as a stitched stream. With
    /// `span`, the ad is that part of the video, in seconds; without an end, it begins there and lasts as long as the
    /// ad.
    pub fn observe(
        &self,
        video: &HtmlVideoElement,
        #[wasm_bindgen(js_name = slotIndex)] slot_index: u32,
        #[wasm_bindgen(unchecked_optional_param_type = "Span")] span: &JsValue,
    ) -> Result<Observation, JsValue> {
        if self.opened.is_destroyed() {
            return Err(SdkError::destroyed().into());
        }
        let filled = self.opened.fills().find(|(slot, _)| slot.index == slot_index);
        let Some((slot, fill)) = filled else {
            return Err(SdkError::argument("slotIndex", &format!("slot {slot_index} holds no ad")).into());
        };
        if fill.taken.replace(true) {
            return Err(SdkError::new("slot_taken", format!("slot {slot_index} is played or observed already")).into());
        }
        let span = Span::read(span, fill.tracker.borrow().duration_ms());
        fill.tracker.borrow_mut().set_duration_ms(span.duration_ms());
        let watch = Watch::begin(&self.opened, slot.index, video, Some(span), None);
        self.opened.observed.borrow_mut().push(watch.clone());
        Ok(Observation { opened: Rc::clone(&self.opened), watch, slot_index })
    }

    /// The viewer skipped the ad in play: it is reported, and the next one plays.
    pub fn skip(&self) {
        self.opened.end_current(Finish::Skipped);
    }

    /// The ads not yet started will not be played: they are reported not used, and the edge may sell the viewer's
    /// attention again.
    pub fn discard(&self) {
        self.opened.discard();
    }
}

/// An ad that someone else plays.
#[wasm_bindgen]
pub struct Observation {
    opened: Rc<Break>,
    watch: Watch,
    slot_index: u32,
}

#[wasm_bindgen]
impl Observation {
    /// The viewer skipped the ad.
    pub fn skip(&self) {
        if let Some((slot, _)) = self.opened.fills().find(|(slot, _)| slot.index == self.slot_index) {
            self.opened.feed(slot, Did::Skipped);
        }
        self.stop();
    }

    /// No longer looks at the video. An ad that had not started, nor been skipped, may be played or observed again.
    pub fn stop(&self) {
        self.watch.stop();
        for (slot, fill) in self.opened.fills() {
            if slot.index == self.slot_index && fill.tracker.borrow().is_waiting() {
                fill.taken.set(false);
            }
        }
    }
}
