//! Carries receipts and beacons to the edge until it says that the origin has them.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use slotkeeper_core::beacon::Event;
use wasm_bindgen_futures::spawn_local;
use web_sys::VisibilityState;

use crate::{
    backoff::Backoff,
    queue::{Outgoing, Queue},
    receipts::{self, Receipts, Verdict},
};

use super::{
    http, object,
    page::{self, Listener, Listeners, Timer},
    signal::Signal,
};

/// How long beacons gather before they are sent together.
const GATHER_MS: u32 = 1_000;
/// The first and the longest wait after a failure.
const RETRY_MS_FIRST: u32 = 1_000;
const RETRY_MS_MAX: u32 = 30_000;
/// How long an answer may take: the edge answers once the origin's disk has the batch.
const ANSWER_MS_MAX: u32 = 10_000;
/// How long a courier that was stopped goes on trying. The page may live on for days; a token does not.
const STOPPED_MS_MAX: f64 = 600_000.0;

/// What became of the oldest of a kind; settled if there was none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carried {
    Settled,
    Failed,
}

/// What became of a batch.
enum Sent {
    Settled { refused: u32 },
    Failed,
}

/// The one who carries. Busy only while there is something to carry.
pub(super) struct Courier {
    beacons_url: String,
    receipts_url: String,
    queue: RefCell<Queue>,
    receipts: RefCell<Receipts>,
    backoff: RefCell<Backoff>,
    busy: Cell<bool>,
    /// Past this time of the page's clock it carries nothing any more. Infinite until it is stopped.
    until_ms: Cell<f64>,
    refused: Cell<u32>,
    /// Ends the wait before the next sending.
    hurry: RefCell<Signal<()>>,
    /// Fired when nothing waits, or a sending failed.
    attempted: RefCell<Vec<Signal<()>>>,
    /// For a page that may never run again.
    parting: Listeners,
    /// For better times.
    returning: Listeners,
}

impl Courier {
    pub(super) fn new(edge_url: &str, queue: Queue) -> Rc<Self> {
        let courier = Rc::new(Self {
            beacons_url: format!("{edge_url}/v1/beacons"),
            receipts_url: format!("{edge_url}/v1/receipts"),
            queue: RefCell::new(queue),
            receipts: RefCell::default(),
            backoff: RefCell::new(Backoff::new(RETRY_MS_FIRST, RETRY_MS_MAX)),
            busy: Cell::new(false),
            until_ms: Cell::new(f64::INFINITY),
            refused: Cell::new(0),
            hurry: RefCell::new(Signal::new()),
            attempted: RefCell::default(),
            parting: Listeners::default(),
            returning: Listeners::default(),
        });
        courier.follow_the_page();
        courier
    }

    /// Takes what happened just now to the ad of `token`.
    pub(super) fn take(self: &Rc<Self>, token: &str, event: Event) {
        if self.queue.borrow_mut().push(token, event, page::clock_ms()).is_err() {
            self.refuse(1);
        }
        self.go(GATHER_MS);
    }

    /// Takes the rows of a break that nobody else could take.
    pub(super) fn take_receipt(self: &Rc<Self>, text: &str) {
        if !self.receipts.borrow_mut().push(text) {
            self.refuse(1);
        }
        self.go(GATHER_MS);
    }

    /// Sends now; returns how many beacons and receipts are still here once all are gone or a sending failed.
    pub(super) async fn flush(self: &Rc<Self>) -> usize {
        if self.go(0) {
            let attempted = Signal::new();
            self.attempted.borrow_mut().push(attempted.clone());
            self.hurry.borrow().fire(());
            attempted.wait().await;
        }
        self.waiting()
    }

    /// How many beacons and receipts are not acknowledged.
    pub(super) fn waiting(&self) -> usize {
        self.queue.borrow().len() + self.receipts.borrow().len()
    }

    /// How many beacons and receipts were lost: to a bound, or refused for good.
    pub(super) fn lost(&self) -> (u32, u32) {
        let overflowed = self.queue.borrow().overflowed().saturating_add(self.receipts.borrow().overflowed());
        (overflowed, self.refused.get())
    }

    fn refuse(&self, count: u32) {
        self.refused.set(self.refused.get().saturating_add(count));
    }

    /// The page may never run again: everything goes to the browser, which outlives it.
    pub(super) fn part(&self) {
        let navigator = page::window().navigator();
        let hand_over = |url: &str, text: &str| navigator.send_beacon_with_opt_str(url, Some(text)).unwrap_or(false);
        // What the browser holds no more of stays here, for a page that lives on. Beacons first: they are small.
        let parting = self.queue.borrow_mut().parting(page::clock_ms());
        for Outgoing { sequence, text } in parting {
            if !hand_over(&self.beacons_url, &text) {
                return;
            }
            self.queue.borrow_mut().parted(sequence);
        }
        let parting = self.receipts.borrow().parting();
        for receipts::Outgoing { number, text } in parting {
            if hand_over(&self.receipts_url, &text) {
                self.receipts.borrow_mut().parted(number);
            }
        }
    }

    /// Nothing more will come. Hands everything to the browser and, since nobody learns whether that delivers, goes on
    /// carrying until the origin has it all, for [`STOPPED_MS_MAX`] at most.
    pub(super) fn stop(self: &Rc<Self>) {
        self.part();
        self.until_ms.set(page::clock_ms() + STOPPED_MS_MAX);
        self.returning.clear();
        if self.go(0) {
            self.hurry.borrow().fire(());
        } else {
            self.parting.clear();
        }
    }

    fn is_over(&self) -> bool {
        page::clock_ms() >= self.until_ms.get()
    }

    fn follow_the_page(self: &Rc<Self>) {
        let window = page::window();
        let Some(document) = window.document() else { return };
        let listen = |listeners: &Listeners, target: &web_sys::EventTarget, name, then: fn(&Rc<Self>)| {
            let weak = Rc::downgrade(self);
            listeners.add(Listener::new(target, name, move || {
                if let Some(courier) = weak.upgrade() {
                    then(&courier);
                }
            }));
        };
        listen(&self.parting, &document, "visibilitychange", |courier| {
            let document = page::window().document();
            if document.is_some_and(|document| document.visibility_state() == VisibilityState::Hidden) {
                courier.part();
            } else {
                courier.come_back();
            }
        });
        listen(&self.parting, &window, "pagehide", |courier| courier.part());
        listen(&self.parting, &document, "freeze", |courier| courier.part());
        listen(&self.returning, &window, "pageshow", Self::come_back);
        listen(&self.returning, &window, "online", Self::come_back);
    }

    fn come_back(self: &Rc<Self>) {
        self.queue.borrow_mut().came_back();
        self.receipts.borrow_mut().came_back();
        self.backoff.borrow_mut().reset();
        self.hurry.borrow().fire(());
        self.go(GATHER_MS);
    }

    /// Starts carrying, after a while, unless it is under way. Returns whether it is.
    fn go(self: &Rc<Self>, wait_ms: u32) -> bool {
        if !self.busy.get() && !self.is_over() && self.waiting() > 0 {
            self.busy.set(true);
            let courier = Rc::clone(self);
            spawn_local(async move { courier.carry(wait_ms).await });
        }
        self.busy.get()
    }

    async fn carry(&self, mut wait_ms: u32) {
        loop {
            self.wait(wait_ms).await;
            if self.is_over() || self.waiting() == 0 {
                break;
            }
            // A row before what is reported of it, though the origin takes them in any order; and neither keeps the other.
            let all = [self.carry_receipt().await, self.carry_beacons().await];
            wait_ms = if all.contains(&Carried::Failed) {
                self.tell_attempted();
                self.backoff.borrow_mut().next_ms(page::random())
            } else {
                self.backoff.borrow_mut().reset();
                0
            };
        }
        self.busy.set(false);
        if self.until_ms.get().is_finite() {
            self.parting.clear();
        }
        self.tell_attempted();
    }

    async fn carry_receipt(&self) -> Carried {
        let outgoing = self.receipts.borrow().outgoing();
        let Some(outgoing) = outgoing else { return Carried::Settled };
        let Ok(reply) = http::post(&self.receipts_url, &outgoing.text, ANSWER_MS_MAX).await else {
            return Carried::Failed;
        };
        let answer = object::parse(&reply.body);
        let code = object::text(&object::get(&answer, "error"), "code");
        match receipts::verdict(reply.status, code.as_deref(), object::number(&answer, "accepted")) {
            Verdict::Unknown => return Carried::Failed,
            Verdict::Refused => self.refuse(1),
            Verdict::Taken => {}
        }
        self.receipts.borrow_mut().settle(outgoing.number);
        Carried::Settled
    }

    async fn carry_beacons(&self) -> Carried {
        let outgoing = self.queue.borrow_mut().outgoing(page::clock_ms());
        let Some(outgoing) = outgoing else { return Carried::Settled };
        match self.send(&outgoing).await {
            Sent::Settled { refused } => {
                self.refuse(refused);
                self.queue.borrow_mut().settle(outgoing.sequence);
                Carried::Settled
            }
            Sent::Failed => {
                self.queue.borrow_mut().unsent(outgoing.sequence);
                Carried::Failed
            }
        }
    }

    /// Waits for the time, or for someone in a hurry.
    async fn wait(&self, ms: u32) {
        if ms > 0 {
            let signal = Signal::new();
            *self.hurry.borrow_mut() = signal.clone();
            let timer = {
                let signal = signal.clone();
                Timer::after(ms, move || signal.fire(()))
            };
            signal.wait().await;
            drop(timer);
        }
    }

    async fn send(&self, outgoing: &Outgoing) -> Sent {
        let Ok(reply) = http::post(&self.beacons_url, &outgoing.text, ANSWER_MS_MAX).await else { return Sent::Failed };
        let answer = object::parse(&reply.body);
        match reply.status {
            // Anything may answer 200: only the edge knows the number of the batch.
            202 if object::number(&answer, "sequence") == Some(f64::from(outgoing.sequence)) => {
                Sent::Settled { refused: object::array(&answer, "refused").length() }
            }
            // The edge read the batch and will never take it. No other answer is that sure.
            400 | 413 if object::text(&object::get(&answer, "error"), "code").is_some() => {
                Sent::Settled { refused: u32::try_from(outgoing.text.lines().count()).unwrap_or(u32::MAX) - 1 }
            }
            _ => Sent::Failed,
        }
    }

    fn tell_attempted(&self) {
        let waiting = core::mem::take(&mut *self.attempted.borrow_mut());
        for signal in waiting {
            signal.fire(());
        }
    }
}
