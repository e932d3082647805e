//! Carries receipts and beacons to the edge until it says that the origin has them.

use alloc::{rc::Rc, string::String, vec::Vec};
use core::cell::Cell;

use js_sys::{Function, Promise};
use slotkeeper_sdk_core::ring::BATCH_BYTES_MAX;
use wasm_bindgen::JsValue;
use web_sys::XmlHttpRequest;

use crate::{object, page, question::Question, session::Session, storage::Replay};

/// How long an answer may take, in milliseconds: the edge answers once the origin's disk has the batch.
const ANSWER_MS_MAX: u32 = 10_000;
/// How long a client that was destroyed goes on trying, in milliseconds. The page may live on for days; a token does not.
const DESTROYED_MS_MAX: f64 = 600_000.0;
/// The most receipts kept. Past it the oldest go, and are counted: they are what an edge answers while its store and its
/// origin are both down, so this is an hour or more of watching.
const RECEIPTS_MAX: usize = 16;
/// The longest receipt an edge takes, in characters.
const RECEIPT_CHARS_MAX: usize = 160 * 1024;
/// The most of receipts handed to `sendBeacon` for one parting, in bytes. With the beacons it stays below the 64 KiB that
/// browsers hold for a page.
const PARTING_BYTES_MAX: usize = 40 * 1024;

/// A post that is not answered.
pub(crate) struct Post {
    request: XmlHttpRequest,
    what: What,
}

/// What was posted.
#[derive(Clone)]
pub(crate) enum What {
    Question(Rc<Question>),
    /// The batch of this number, of so many beacons.
    Beacons {
        sequence: u32,
        count: u32,
    },
    Receipt(Rc<Receipt>),
    Replay(Rc<Replay>),
}

/// The rows of a break that nobody else could take.
pub(crate) struct Receipt {
    /// Where it is stored.
    pub(crate) key: String,
    pub(crate) text: String,
    /// Whether the browser was given it since the page was last seen alive.
    pub(crate) parted: Cell<bool>,
}

/// What is under way between the client and the origin.
#[derive(Default)]
pub(crate) struct Round {
    /// How many answers are awaited.
    open: u32,
    has_failed: bool,
    /// Who wants to know that nothing waits, or that a sending failed.
    flushing: Vec<Function>,
}

/// What an answer means.
enum Verdict {
    /// Durable at the origin, but for so many.
    Taken { refused: u32 },
    /// It never will be taken.
    Refused,
    /// Nobody knows: it is to be sent again.
    Unknown,
}

impl Session {
    /// How many beacons and receipts are not acknowledged.
    pub(crate) fn waiting(&self) -> u32 {
        let replays = self.replays.borrow().iter().fold(0, |sum, replay| sum + replay.count());
        let receipts = u32::try_from(self.receipts.borrow().len()).unwrap_or(u32::MAX);
        self.client.borrow().waiting() + receipts + replays
    }

    /// Sends now; how many still wait once all are gone or a sending failed.
    pub(crate) fn flush(self: &Rc<Self>) -> Promise {
        let promise = Promise::new(&mut |resolve, _| self.round.borrow_mut().flushing.push(resolve));
        self.hurry();
        if self.waiting() == 0 || self.is_over() {
            self.tell_flushing();
        }
        promise
    }

    /// What waits is sent as soon as possible.
    pub(crate) fn hurry(&self) {
        self.client.borrow_mut().hurry(page::clock_ms());
        self.arm();
    }

    /// Takes the rows of a break that nobody else could take.
    pub(crate) fn take_receipt(&self, text: &str) {
        if text.is_empty() || text.len() > RECEIPT_CHARS_MAX {
            return self.client.borrow_mut().count_refused(1);
        }
        let receipt = self.store_receipt(text);
        self.client.borrow_mut().gather(page::clock_ms());
        self.keep_receipt(receipt);
        self.arm();
    }

    /// Keeps a receipt until it is settled.
    pub(crate) fn keep_receipt(&self, receipt: Rc<Receipt>) {
        let mut receipts = self.receipts.borrow_mut();
        let lost = if receipts.len() < RECEIPTS_MAX { None } else { Some(receipts.remove(0)) };
        receipts.push(receipt);
        drop(receipts);
        if let Some(lost) = lost {
            self.forget(&lost.key);
            self.client.borrow_mut().count_lost(1);
        }
    }

    /// How long until something is to be sent; less than 0 if nothing waits, or something is under way.
    pub(crate) fn send_wait_ms(&self, now_ms: f64) -> f64 {
        let has_others = !self.receipts.borrow().is_empty() || !self.replays.borrow().is_empty();
        if self.round.borrow().open > 0 || self.is_over() {
            -1.0
        } else {
            self.client.borrow().wait_ms(now_ms, has_others)
        }
    }

    /// Posts the oldest of each kind. A row before what is reported of it, though the origin takes them in any order; and
    /// neither keeps the other.
    pub(crate) fn send(self: &Rc<Self>) {
        self.begin_post(); // so that the round is not over before all is posted
        let receipt = self.receipts.borrow().first().cloned();
        if let Some(receipt) = receipt {
            self.begin_post();
            let text = receipt.text.clone();
            self.post("receipts", &text, ANSWER_MS_MAX, &What::Receipt(receipt));
        }
        let mut sequence = None;
        let text = page::write(BATCH_BYTES_MAX, |text| {
            sequence = self.client.borrow_mut().batch(text, page::clock_ms());
        });
        if let Some(sequence) = sequence {
            self.begin_post();
            self.post("beacons", &text, ANSWER_MS_MAX, &What::Beacons { sequence, count: count(&text) });
        }
        let replay = self.replays.borrow().first().cloned();
        if let Some(replay) = replay {
            self.begin_post();
            let text = replay.text(page::unix_ms());
            self.post("beacons", &text, ANSWER_MS_MAX, &What::Replay(replay));
        }
        self.end_post();
    }

    /// Posts `body` as text/plain, which needs no CORS preflight. Where it cannot even be sent, nobody answered.
    pub(crate) fn post(self: &Rc<Self>, path: &str, body: &str, timeout_ms: u32, what: &What) {
        let url = self.url(path);
        let sent = XmlHttpRequest::new().and_then(|request| {
            request.open("POST", &url)?;
            request.set_timeout(timeout_ms);
            request.set_onloadend(Some(self.ear()));
            self.posts.borrow_mut().push(Post { request: request.clone(), what: what.clone() });
            request.send_with_opt_str(Some(body))
        });
        if sent.is_err() {
            self.posts.borrow_mut().pop_if(|post| post.what.is(what));
            self.settle(what, 0, "");
        }
    }

    /// A post is answered, or never will be.
    pub(crate) fn hear_of_post(self: &Rc<Self>, request: &JsValue) {
        let mut posts = self.posts.borrow_mut();
        let Some(at) = posts.iter().position(|post| object::is_same(&post.request, request)) else { return };
        let Post { request, what } = posts.remove(at);
        drop(posts);
        let status = request.status().unwrap_or_default();
        let text = request.response_text().ok().flatten().unwrap_or_default();
        self.settle(&what, status, &text);
    }

    fn settle(self: &Rc<Self>, what: &What, status: u16, text: &str) {
        let answer = object::parse(text);
        let is_of = |session_id: &str, sequence: u32| {
            object::text(&answer, "session_id").as_deref() == Some(session_id)
                && object::number(&answer, "sequence") == Some(f64::from(sequence))
        };
        let judge = |is_its, never: &[u16]| verdict(status, &answer, is_its, never);
        let is_known = match what {
            What::Question(question) => return self.answered(question, status, &answer),
            What::Beacons { sequence, count } => match judge(is_of(&self.id, *sequence), &[400, 413]) {
                Verdict::Unknown => false,
                verdict => {
                    let now_ms = page::clock_ms();
                    self.client.borrow_mut().settled(*sequence, verdict.refused(*count), now_ms);
                    self.store_record();
                    true
                }
            },
            What::Receipt(receipt) => match judge(object::number(&answer, "accepted").is_some(), &[400, 403, 410, 413])
            {
                Verdict::Unknown => false,
                verdict => {
                    self.client.borrow_mut().count_refused(verdict.refused(1).min(1));
                    self.receipts.borrow_mut().retain(|held| !Rc::ptr_eq(held, receipt));
                    self.forget(&receipt.key);
                    true
                }
            },
            What::Replay(replay) => match judge(is_of(&replay.session_id, replay.sequence), &[400, 413]) {
                Verdict::Unknown => false,
                verdict => {
                    self.client.borrow_mut().count_refused(verdict.refused(replay.count()));
                    self.replays.borrow_mut().retain(|held| !Rc::ptr_eq(held, replay));
                    self.forget_if_same(replay);
                    true
                }
            },
        };
        self.round.borrow_mut().has_failed |= !is_known;
        self.end_post();
    }

    fn begin_post(&self) {
        self.round.borrow_mut().open += 1;
    }

    fn end_post(&self) {
        let mut round = self.round.borrow_mut();
        round.open -= 1;
        if round.open > 0 {
            return;
        }
        let has_failed = core::mem::take(&mut round.has_failed);
        drop(round);
        let now_ms = page::clock_ms();
        if has_failed {
            self.client.borrow_mut().failed(now_ms, page::random());
        } else {
            self.client.borrow_mut().delivered(now_ms);
        }
        if has_failed || self.waiting() == 0 {
            self.tell_flushing();
        }
    }

    fn tell_flushing(&self) {
        let flushing = core::mem::take(&mut self.round.borrow_mut().flushing);
        for resolve in flushing {
            let _ = resolve.call1(&JsValue::UNDEFINED, &self.waiting().into());
        }
    }

    /// The page may never run again: everything goes to the browser, which outlives it. What the browser holds no more of
    /// stays here, for a page that lives on. Beacons first: they are small.
    pub(crate) fn part(&self) {
        let url = self.url("beacons");
        loop {
            let mut is_one = false;
            let text = page::write(BATCH_BYTES_MAX, |text| {
                is_one = self.client.borrow_mut().parting(text, page::clock_ms());
            });
            if !is_one {
                break;
            }
            if !page::hand_over(&url, &text) {
                return;
            }
            self.client.borrow_mut().parted(text.len());
        }
        let (url, mut room) = (self.url("receipts"), PARTING_BYTES_MAX);
        let receipts = self.receipts.borrow().clone();
        for receipt in receipts.iter().filter(|receipt| !receipt.parted.get()) {
            if receipt.text.len() <= room && page::hand_over(&url, &receipt.text) {
                room -= receipt.text.len();
                receipt.parted.set(true);
            }
        }
    }

    /// The page lives on, or better times have come.
    pub(crate) fn come_back(&self) {
        self.receipts.borrow().iter().for_each(|receipt| receipt.parted.set(false));
        self.client.borrow_mut().came_back(page::clock_ms());
    }

    /// Nothing more will come. Hands everything to the browser and, since nobody learns whether that delivers, goes on
    /// carrying until the origin has it all.
    pub(crate) fn stop_carrying(&self) {
        self.part();
        self.until_ms.set(page::clock_ms() + DESTROYED_MS_MAX);
        self.hurry();
    }

    /// Whether it carries no longer.
    pub(crate) fn is_over(&self) -> bool {
        page::clock_ms() >= self.until_ms.get()
    }
}

impl What {
    fn is(&self, other: &Self) -> bool {
        core::mem::discriminant(self) == core::mem::discriminant(other)
    }
}

impl Verdict {
    fn refused(&self, all: u32) -> u32 {
        match self {
            Self::Taken { refused } => *refused,
            Self::Refused => all,
            Self::Unknown => 0,
        }
    }
}

/// Anything may answer 200, and a proxy may answer 403: only what speaks as the edge does is believed. `is_its`: whether the
/// answer names what was posted; `never`: with what statuses an edge refuses it for good.
fn verdict(status: u16, answer: &JsValue, is_its: bool, never: &[u16]) -> Verdict {
    let has_code = object::get(&object::get(answer, "error"), "code").is_string();
    if status == 202 && is_its && !has_code {
        Verdict::Taken { refused: object::array(answer, "refused").length() }
    } else if never.contains(&status) && has_code {
        Verdict::Refused
    } else {
        Verdict::Unknown
    }
}

/// How many beacons a batch has.
pub(crate) fn count(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX).saturating_sub(1)
}
