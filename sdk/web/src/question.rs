//! Asking the edge for a break: a few tries under one request id, ahead of time or not.

use alloc::{rc::Rc, string::String, vec::Vec};
use core::cell::{Cell, RefCell};

use js_sys::{Array, Function, Promise};
use slotkeeper_sdk_core::backoff::Backoff;
use wasm_bindgen::JsValue;

use crate::{
    ad_break::{AdBreak, Break},
    answer::{Answer, AskedAt},
    delivery::What,
    error, object, page,
    session::Session,
};

/// How often one break is asked for, and how long each answer may take, in milliseconds: a viewer waits.
const TRIES_MAX: u32 = 4;
const TRY_MS_MAX: u32 = 4_000;
const RETRY_MS_FIRST: u32 = 250;
const RETRY_MS_MAX: u32 = 2_000;

/// A break that is asked for.
pub(crate) struct Question {
    body: String,
    asked_at: AskedAt,
    tries_left: Cell<u32>,
    backoff: RefCell<Backoff>,
    /// When it is to be asked; infinity while an answer is awaited.
    due_ms: Cell<f64>,
    /// Who asked ahead of time, and who wants it now.
    waiting: RefCell<Vec<Waiting>>,
}

struct Waiting {
    is_ahead: bool,
    resolve: Function,
    reject: Function,
}

/// A break asked for ahead of time.
pub(crate) struct Ahead {
    /// The options it was asked with, as JSON.
    options: String,
    state: Prefetched,
}

enum Prefetched {
    Asked(Rc<Question>),
    Here(Rc<Break>),
}

impl Session {
    /// The break of these options, from ahead of time or from now.
    pub(crate) fn request_break(self: &Rc<Self>, options: &JsValue) -> Promise {
        let key = object::stringify(options);
        let ahead = self.ahead.take();
        match ahead {
            Some(Ahead { options, state: Prefetched::Here(opened) }) if options == key && opened.left_ms() > 0.0 => {
                page::resolved(&AdBreak::new(opened).into())
            }
            Some(Ahead { options, state: Prefetched::Asked(question) }) if options == key => question.waits(false),
            other => {
                self.ahead.replace(other);
                self.expire();
                self.ask(options).map_or_else(|error| page::rejected(&error), |question| question.waits(false))
            }
        }
    }

    /// Asks for a break ahead of time, and gives back the one before.
    pub(crate) fn prefetch_break(self: &Rc<Self>, options: &JsValue) -> Promise {
        self.give_back();
        match self.ask(options) {
            Err(error) => page::rejected(&error),
            Ok(question) => {
                let state = Prefetched::Asked(Rc::clone(&question));
                self.ahead.replace(Some(Ahead { options: object::stringify(options), state }));
                question.waits(true)
            }
        }
    }

    /// Gives back what was asked for ahead of time: dropped, its ads are reported not used.
    pub(crate) fn give_back(&self) {
        let ahead = self.ahead.take();
        drop(ahead);
    }

    /// When something that was asked for ahead of time expires.
    pub(crate) fn next_expiry_ms(&self, now_ms: f64) -> f64 {
        match &*self.ahead.borrow() {
            Some(Ahead { state: Prefetched::Here(opened), .. }) => now_ms + opened.left_ms(),
            _ => f64::INFINITY,
        }
    }

    /// Gives back what was asked for too far ahead.
    pub(crate) fn expire(&self) {
        let now_ms = page::clock_ms();
        if self.next_expiry_ms(now_ms) <= now_ms {
            self.give_back();
        }
    }

    /// When a question is to be asked next.
    pub(crate) fn next_question_ms(&self) -> f64 {
        self.questions.borrow().iter().fold(f64::INFINITY, |at, question| at.min(question.due_ms.get()))
    }

    /// Asks what is to be asked by now.
    pub(crate) fn ask_due(self: &Rc<Self>, now_ms: f64) {
        let questions = self.questions.borrow().clone();
        for question in questions.into_iter().filter(|question| question.due_ms.get() <= now_ms) {
            question.due_ms.set(f64::INFINITY);
            question.tries_left.set(question.tries_left.get() - 1);
            let body = question.body.clone();
            self.post("breaks", &body, TRY_MS_MAX, &What::Question(question));
        }
    }

    fn ask(self: &Rc<Self>, options: &JsValue) -> Result<Rc<Question>, JsValue> {
        if self.is_destroyed() {
            return Err(error::destroyed());
        }
        let question = Rc::new(Question {
            body: self.request_body(options)?,
            asked_at: AskedAt::now(),
            tries_left: Cell::new(TRIES_MAX),
            backoff: RefCell::new(Backoff::new(RETRY_MS_FIRST, RETRY_MS_MAX)),
            due_ms: Cell::new(0.0),
            waiting: RefCell::default(),
        });
        self.questions.borrow_mut().push(Rc::clone(&question));
        self.ask_due(0.0);
        Ok(question)
    }

    /// The edge answered; 0 if nobody did.
    pub(crate) fn answered(self: &Rc<Self>, question: &Rc<Question>, status: u16, answer: &JsValue) {
        let is_final = (200..500).contains(&status) && status != 408 && status != 429;
        if !is_final && question.tries_left.get() > 0 {
            let wait_ms = question.backoff.borrow_mut().next_ms(page::random());
            return question.due_ms.set(page::clock_ms() + wait_ms);
        }
        self.questions.borrow_mut().retain(|held| !Rc::ptr_eq(held, question));
        let opened = match status {
            200..300 => Answer::read(answer, question.asked_at).and_then(|answer| self.open(answer)),
            0 => Err(error::own("edge_unreachable", "no answer from the edge")),
            _ => Err(error::of_edge(status, answer)),
        };
        let mut ahead = self.ahead.borrow_mut();
        let is_ahead =
            matches!(&*ahead, Some(Ahead { state: Prefetched::Asked(held), .. }) if Rc::ptr_eq(held, question));
        let asker = if is_ahead { ahead.take() } else { None };
        drop(ahead);
        let waiting = question.waiting.take();
        if let (Some(Ahead { options, .. }), Ok(opened)) = (asker, &opened) {
            let state = Prefetched::Here(Rc::clone(opened));
            self.ahead.replace(Some(Ahead { options, state }));
        }
        for Waiting { is_ahead, resolve, reject } in waiting {
            let _ = match &opened {
                Ok(_) if is_ahead => resolve.call0(&JsValue::UNDEFINED),
                Ok(opened) => resolve.call1(&JsValue::UNDEFINED, &AdBreak::new(Rc::clone(opened)).into()),
                Err(error) => reject.call1(&JsValue::UNDEFINED, error),
            };
        }
    }

    /// Takes a break that was decided.
    pub(crate) fn open(self: &Rc<Self>, answer: Answer) -> Result<Rc<Break>, JsValue> {
        if let Some(receipt) = &answer.receipt {
            self.take_receipt(receipt);
        }
        let opened = Break::new(Rc::clone(self), answer);
        if self.is_destroyed() {
            drop(opened);
            self.part();
            return Err(error::destroyed());
        }
        self.remember(&opened);
        Ok(opened)
    }

    /// The JSON of `POST /v1/breaks`. The edge judges the values; what is missing is left out and named by it.
    fn request_body(&self, options: &JsValue) -> Result<String, JsValue> {
        let given = |key| object::get(options, key);
        let or = |value: JsValue, other: JsValue| if value.is_string() { value } else { other };
        let profile_id = or(given("profileId"), self.profile_id.clone());
        if !profile_id.is_string() {
            return Err(error::argument("profileId", "give it here or to AdClient.load"));
        }
        let slots = object::array(options, "slots")
            .iter()
            .map(|slot| object::of(&[("max_duration_ms", &object::get(&slot, "maxDurationMs"))]))
            .collect::<Array>();
        Ok(object::stringify(&object::of(&[
            ("request_id", &or(given("requestId"), page::fresh_id().into())),
            ("profile_id", &profile_id),
            ("session_id", &self.id.as_str().into()),
            ("title_id", &given("titleId")),
            ("position", &given("position")),
            ("slots", &slots),
            ("max_duration_ms", &given("maxDurationMs")),
            ("tier", &given("tier")),
            ("country", &given("country")),
            ("device", &given("device")),
        ])))
    }
}

impl Question {
    /// A promise of its answer.
    fn waits(&self, is_ahead: bool) -> Promise {
        Promise::new(&mut |resolve, reject| self.waiting.borrow_mut().push(Waiting { is_ahead, resolve, reject }))
    }
}
