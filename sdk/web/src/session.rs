//! One viewer's session: what the app's objects share, the one ear through which it hears the page, and its one timer.

use alloc::{
    rc::{Rc, Weak},
    string::{String, ToString as _},
    vec::Vec,
};
use core::cell::{Cell, RefCell};

use js_sys::{Array, Function, Promise};
use slotkeeper_sdk_core::{Client, Due, Event, ad::End};
use wasm_bindgen::{JsCast as _, JsValue, prelude::*};
use web_sys::EventTarget;

use crate::{
    ad_break::Break,
    answer::Fill,
    delivery::{Post, Receipt, Round},
    error,
    handlers::Handlers,
    object, page,
    play::{Finish, Show},
    question::{Ahead, Question},
    storage::{Replay, Store},
    view::Viewer,
    watch::Watch,
};

/// What is heard of the window and of the document. The viewer's touches are heard before anyone can keep them away.
const WINDOW_EVENTS: [&str; 6] = ["pagehide", "pageshow", "online", "pointerdown", "keydown", "touchstart"];
const DOCUMENT_EVENTS: [&str; 4] = ["visibilitychange", "freeze", "fullscreenchange", "webkitfullscreenchange"];

#[wasm_bindgen]
extern "C" {
    type Target;
    type Ear;
    #[wasm_bindgen(method)]
    fn bind(this: &Ear, context: &JsValue, number: u32) -> Function;
    #[wasm_bindgen(method, js_name = bind)]
    fn bind_whole(this: &Ear, context: &JsValue, number: u32, second: &JsValue) -> Function;
    #[wasm_bindgen(method)]
    fn then(this: &Ear, kept: &Function, broken: &Function);
    #[wasm_bindgen(method, js_name = addEventListener)]
    fn add(this: &Target, name: &str, hear: &Function, options: &JsValue);
    #[wasm_bindgen(method, js_name = removeEventListener)]
    fn remove(this: &Target, name: &str, hear: &Function, options: &JsValue);
}

/// What a client and its breaks share.
pub(crate) struct Session {
    edge_url: String,
    pub(crate) profile_id: JsValue,
    pub(crate) id: String,
    pub(crate) client: RefCell<Client>,
    pub(crate) handlers: Handlers,
    pub(crate) viewer: Viewer,
    pub(crate) store: Store,
    /// Itself, until nothing is left to do: the page holds it only weakly.
    this: RefCell<Option<Rc<Self>>>,
    ear: Function,
    breaks: RefCell<Vec<Weak<Break>>>,
    // What is under way.
    pub(crate) questions: RefCell<Vec<Rc<Question>>>,
    pub(crate) ahead: RefCell<Option<Ahead>>,
    pub(crate) watches: RefCell<Vec<Rc<Watch>>>,
    pub(crate) looked_at_ms: Cell<f64>,
    pub(crate) shows: RefCell<Vec<Rc<Show>>>,
    pub(crate) posts: RefCell<Vec<Post>>,
    pub(crate) round: RefCell<Round>,
    pub(crate) receipts: RefCell<Vec<Rc<Receipt>>>,
    pub(crate) replays: RefCell<Vec<Rc<Replay>>>,
    /// Past this time of the page's clock it carries nothing any more. Infinite until it is destroyed.
    pub(crate) until_ms: Cell<f64>,
    is_destroyed: Cell<bool>,
    last_number: Cell<u32>,
    timer: Cell<i32>,
    /// When the timer goes off; infinity if it is not set.
    timer_at_ms: Cell<f64>,
}

impl Session {
    /// Begins a session. The error is a `SlotkeeperError`.
    pub(crate) fn begin(config: &JsValue) -> Result<Rc<Self>, JsValue> {
        let edge_url =
            object::text(config, "edgeUrl").ok_or_else(|| error::argument("edgeUrl", "must be the URL of the edge"))?;
        let given = object::text(config, "sessionId");
        // A session the app named may have had a page before this one; its numbers go on from the time, not from 0.
        let first_sequence = if given.is_some() { unix_seconds() } else { 0 };
        let id = given.unwrap_or_else(page::fresh_id);
        let mut client = Client::new();
        if !client.start(id.as_bytes(), first_sequence, page::clock_ms()) {
            return Err(error::argument("sessionId", "must be 1 to 64 letters, digits, hyphens or underscores"));
        }
        let session = Rc::new_cyclic(|weak: &Weak<Self>| Self {
            ear: ear(weak.clone()),
            edge_url: edge_url.trim_end_matches('/').to_string(),
            profile_id: object::get(config, "profileId"),
            id,
            client: RefCell::new(client),
            handlers: Handlers::default(),
            viewer: Viewer::default(),
            store: Store::new(object::get(config, "storage") != false),
            this: RefCell::default(),
            breaks: RefCell::default(),
            questions: RefCell::default(),
            ahead: RefCell::default(),
            watches: RefCell::default(),
            looked_at_ms: Cell::default(),
            shows: RefCell::default(),
            posts: RefCell::default(),
            round: RefCell::default(),
            receipts: RefCell::default(),
            replays: RefCell::default(),
            until_ms: Cell::new(f64::INFINITY),
            is_destroyed: Cell::default(),
            last_number: Cell::default(),
            timer: Cell::default(),
            timer_at_ms: Cell::new(f64::INFINITY),
        });
        session.this.replace(Some(Rc::clone(&session)));
        session.hear_page(true);
        session.take_over();
        session.arm();
        Ok(session)
    }

    /// Hears what happened: an event of the DOM; a list of what came into view; or the number of a promise, and what it was
    /// rejected with. 0 is the timer's.
    fn hear(self: &Rc<Self>, first: &JsValue, second: JsValue) {
        if let Some(number) = first.as_f64() {
            if number > 0.0 {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one of ours")]
                self.told(number as u32, second);
            } else {
                self.timer_at_ms.set(f64::INFINITY);
            }
        } else if Array::is_array(first) {
            self.hear_of_view(first.unchecked_ref());
        } else {
            let target = object::get(first, "target");
            match object::text(first, "type").unwrap_or_default().as_str() {
                "loadend" => self.hear_of_post(&target),
                "visibilitychange" => {
                    self.look_around();
                    if object::is(&page::document(), "hidden") {
                        self.part();
                    } else {
                        self.come_back();
                    }
                }
                "pagehide" => self.leave(),
                "freeze" => self.part(),
                "pageshow" | "online" => self.come_back(),
                "pointerdown" | "keydown" | "touchstart" => self.touch(),
                "fullscreenchange" | "webkitfullscreenchange" => self.look_around(),
                event => self.hear_of_video(&target, event),
            }
        }
        self.work();
    }

    /// Does what is due by now.
    fn work(self: &Rc<Self>) {
        let now_ms = page::clock_ms();
        self.ask_due(now_ms);
        self.expire();
        if self.next_look_ms() <= now_ms {
            self.look_around();
        }
        self.go_on(now_ms);
        let wait_ms = self.send_wait_ms(now_ms);
        // Less than 0 is never.
        if (0.0..1.0).contains(&wait_ms) {
            self.send();
        }
        if self.is_destroyed() && self.is_done() {
            self.hear_page(false);
            self.this.take();
        } else {
            self.arm();
        }
    }

    /// Sets the timer to what is due next.
    pub(crate) fn arm(&self) {
        let now_ms = page::clock_ms();
        let send_wait_ms = self.send_wait_ms(now_ms);
        let send_at_ms = if send_wait_ms < 0.0 { f64::INFINITY } else { now_ms + send_wait_ms };
        let next = [
            self.next_question_ms(),
            self.next_expiry_ms(now_ms),
            self.next_look_ms(),
            self.next_show_ms(),
            send_at_ms,
            // Past it there may be nothing to carry any more.
            self.until_ms.get(),
        ];
        let at_ms = next.into_iter().fold(f64::INFINITY, f64::min);
        // One that goes off too early finds nothing to do, and sets another.
        if at_ms < self.timer_at_ms.get() {
            page::clear_timer(self.timer.get());
            self.timer_at_ms.set(at_ms);
            self.timer.set(page::set_timer(self.ear(), (at_ms - now_ms).clamp(0.0, 2_147_483_647.0), 0));
        }
    }

    /// Nothing is under way, nothing waits.
    fn is_done(&self) -> bool {
        let is_idle = self.shows.borrow().is_empty() && self.posts.borrow().is_empty();
        is_idle && (self.waiting() == 0 || self.is_over())
    }

    /// What is called with everything that happens.
    pub(crate) fn ear(&self) -> &Function {
        &self.ear
    }

    /// Begins to hear these events, or ends it.
    pub(crate) fn listen(&self, target: &EventTarget, names: &[&str], is_on: bool) {
        let target: &Target = target.unchecked_ref();
        let options = object::of(&[("capture", &true.into()), ("passive", &true.into())]);
        for name in names {
            if is_on {
                target.add(name, self.ear(), &options);
            } else {
                target.remove(name, self.ear(), &options);
            }
        }
    }

    fn hear_page(&self, is_on: bool) {
        self.listen(&page::window(), &WINDOW_EVENTS, is_on);
        self.listen(&page::document(), &DOCUMENT_EVENTS, is_on);
    }

    /// Hears under this number what becomes of a promise.
    pub(crate) fn hear_from(&self, promise: &Promise, number: u32) {
        let ear: &Ear = self.ear().unchecked_ref();
        let kept = ear.bind_whole(&JsValue::UNDEFINED, number, &JsValue::UNDEFINED);
        let broken = ear.bind(&JsValue::UNDEFINED, number);
        let promise: &Ear = promise.unchecked_ref();
        promise.then(&kept, &broken);
    }

    /// A number that no promise had.
    pub(crate) fn take_number(&self) -> u32 {
        self.last_number.set(self.last_number.get().wrapping_add(1));
        self.last_number.get()
    }

    /// A URL of the edge.
    pub(crate) fn url(&self, path: &str) -> String {
        [&self.edge_url, "/v1/", path].concat()
    }

    /// The viewer touched something.
    pub(crate) fn touch(&self) {
        self.client.borrow_mut().touch(page::clock_ms());
    }

    /// The ad of this slot comes to its end without having played to it.
    pub(crate) fn end(&self, opened: &Break, fill: &Fill, how: End, error_code: u32) {
        let Some(place) = fill.place.get() else { return };
        let due = self.client.borrow_mut().end(place, how, error_code, page::clock_ms());
        self.follow(opened, fill, due, error_code);
    }

    /// The viewer followed the link of an ad; returns it.
    pub(crate) fn click(&self, watch: &Watch) -> JsValue {
        let due = self.client.borrow_mut().click(watch.place, page::clock_ms());
        watch.fill().map_or(JsValue::NULL, |fill| {
            self.follow(&watch.opened, fill, due, 0);
            fill.link.clone()
        })
    }

    /// Does what follows from something that happened to an ad: stores what must not be lost, then tells the app.
    pub(crate) fn follow(&self, opened: &Break, fill: &Fill, due: Due, error_code: u32) {
        if due.has(Due::RECORD) {
            self.store_record();
        }
        for event in due.events() {
            let code = if event == Event::Error { error_code.into() } else { JsValue::UNDEFINED };
            opened.tell(event.as_str(), Some(fill), &code);
        }
        self.arm();
    }

    pub(crate) fn remember(&self, opened: &Rc<Break>) {
        let mut breaks = self.breaks.borrow_mut();
        breaks.retain(|held| held.strong_count() > 0);
        breaks.push(Rc::downgrade(opened));
    }

    fn breaks(&self) -> Vec<Rc<Break>> {
        self.breaks.borrow().iter().filter_map(Weak::upgrade).collect()
    }

    /// The page goes. What has not begun will not be played here: it is given back at once, rather than block the viewer's
    /// caps until its lease is over. Should the page come back (browsers may keep it), its breaks go on without these ads.
    fn leave(&self) {
        self.give_back();
        for opened in self.breaks() {
            opened.leave();
        }
        self.part();
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        self.is_destroyed.get()
    }

    /// Ends the session.
    pub(crate) fn destroy(&self) {
        if self.is_destroyed.replace(true) {
            return;
        }
        self.give_back();
        let breaks = self.breaks();
        for opened in &breaks {
            opened.stop();
        }
        self.handlers.clear();
        for opened in &breaks {
            self.finish_current(opened, Finish::Stopped);
        }
        let watches = self.watches.borrow().clone();
        for watch in watches {
            self.unwatch(&watch);
        }
        self.stop_carrying();
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast to an integer saturates")]
fn unix_seconds() -> u32 {
    (page::unix_ms() / 1_000.0) as u32
}

/// Not a `FnMut`: it is called while it runs, since an app's handler may make events.
fn ear(session: Weak<Session>) -> Function {
    let hear = Closure::<dyn Fn(JsValue, JsValue)>::new(move |first: JsValue, second: JsValue| {
        if let Some(session) = session.upgrade() {
            session.hear(&first, second);
        }
    });
    hear.into_js_value().unchecked_into()
}
