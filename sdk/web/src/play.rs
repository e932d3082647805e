//! Plays the ads of a break, one after the other, in the app's own `<video>`.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use js_sys::{Function, Promise};
use slotkeeper_sdk_core::ad::End;
use wasm_bindgen::JsValue;
use web_sys::HtmlVideoElement;

use crate::{
    ad_break::Break,
    error,
    handlers::{BREAK_END, BREAK_START},
    object, page,
    session::Session,
    stage::Stage,
    watch::{Part, Watch},
};

/// How long the content may take to be put away, or to open again. Past it, the break is over all the same.
const CONTENT_MS_MAX: f64 = 10_000.0;

/// VAST 4.3 §2.3.6.3.
const VAST_MEDIA_NOT_SUPPORTED: u32 = 403;

/// How the playing of one ad ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The file ended.
    Ended,
    /// It cannot be played (on), with a VAST error code.
    Failed(u32),
    /// The viewer skipped the rest.
    Skipped,
    /// The browser wants a click first.
    Blocked,
    /// The page goes, or the client was destroyed.
    Stopped,
    /// The app gave the video another source.
    Replaced,
}

/// What the break waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For its ad, if for anything.
    Ad,
    /// For the content's player to put it away.
    Suspend,
    /// For the content to be back.
    Content,
}

/// A break that plays.
pub(crate) struct Show {
    opened: Rc<Break>,
    video: HtmlVideoElement,
    /// The app's [`Content`], or undefined.
    content: JsValue,
    resolve: Function,
    reject: Function,
    stage: RefCell<Option<Stage>>,
    /// The ad in play.
    current: RefCell<Option<Rc<Watch>>>,
    waits: Cell<Waits>,
    /// When it waits no longer.
    until_ms: Cell<f64>,
    /// What promises carry that were made since it went on last.
    number: Cell<u32>,
    /// Why it stopped, if it did.
    error: RefCell<JsValue>,
}

impl Session {
    /// Plays every ad of the break that nobody played yet, and puts the content back.
    pub(crate) fn play(&self, opened: &Rc<Break>, video: &HtmlVideoElement, content: &JsValue) -> Promise {
        let is_playing = self.shows.borrow().iter().any(|show| Rc::ptr_eq(&show.opened, opened));
        let refused = if self.is_destroyed() {
            Some(error::destroyed())
        } else if is_playing {
            Some(error::own("break_playing", "this break is playing already"))
        } else {
            None
        };
        if let Some(error) = refused {
            return page::rejected(&error);
        }
        let mut show = None;
        let promise = Promise::new(&mut |resolve, reject| {
            show = Some(Rc::new(Show {
                opened: Rc::clone(opened),
                video: video.clone(),
                content: content.clone(),
                resolve,
                reject,
                stage: RefCell::default(),
                current: RefCell::default(),
                waits: Cell::new(Waits::Ad),
                until_ms: Cell::new(f64::INFINITY),
                number: Cell::default(),
                error: RefCell::default(),
            }));
        });
        if let Some(show) = show {
            self.shows.borrow_mut().push(Rc::clone(&show));
            opened.tell(BREAK_START, None, &JsValue::UNDEFINED);
            self.play_next(&show);
            self.arm();
        }
        promise
    }

    /// Ends the ad in play of this break, if there is one.
    pub(crate) fn finish_current(&self, opened: &Break, how: Finish) {
        if let Some(watch) = self.current(opened) {
            self.finish(&watch, how);
            self.arm();
        }
    }

    /// The ad in play of this break.
    pub(crate) fn current(&self, opened: &Break) -> Option<Rc<Watch>> {
        let shows = self.shows.borrow();
        let show = shows.iter().find(|show| core::ptr::eq(&raw const *show.opened, opened))?;
        show.current.borrow().clone()
    }

    /// Whether a break plays in this video.
    pub(crate) fn is_stage(&self, video: &HtmlVideoElement) -> bool {
        self.shows.borrow().iter().any(|show| show.video == *video)
    }

    /// When a break waits no longer.
    pub(crate) fn next_show_ms(&self) -> f64 {
        self.shows.borrow().iter().fold(f64::INFINITY, |at, show| at.min(show.until_ms.get()))
    }

    /// Goes on with the breaks that waited long enough.
    pub(crate) fn go_on(&self, now_ms: f64) {
        let shows = self.shows.borrow().clone();
        for show in shows.iter().filter(|show| show.until_ms.get() <= now_ms) {
            let is_error = show.waits.get() == Waits::Suspend;
            let late =
                || error::own("content_not_suspended", "the content's player did not let go of the video in time");
            self.waited(show, if is_error { late() } else { JsValue::UNDEFINED });
        }
    }

    /// The content that was put back in this video is open.
    pub(crate) fn content_opened(&self, video: &JsValue) {
        let shows = self.shows.borrow().clone();
        for show in shows.iter().filter(|show| object::is_same(&show.video, video) && show.content.is_undefined()) {
            if show.waits.get() == Waits::Content {
                self.waited(show, JsValue::UNDEFINED);
            }
        }
    }

    /// The promise of this number came to something: the value is what it was rejected with, if it was.
    pub(crate) fn told(&self, number: u32, rejected_with: JsValue) {
        let shows = self.shows.borrow().clone();
        let Some(show) = shows.iter().find(|show| show.number.get() == number) else { return };
        if show.waits.get() != Waits::Ad {
            return self.waited(show, rejected_with);
        }
        let watch = show.current.borrow().clone();
        let is_blocked = object::text(&rejected_with, "name").as_deref() == Some("NotAllowedError");
        if let Some(watch) = watch.filter(|_| is_blocked) {
            self.finish(&watch, Finish::Blocked);
        }
    }

    /// What it waited for is here, or will not come, for this reason.
    fn waited(&self, show: &Rc<Show>, error: JsValue) {
        show.until_ms.set(f64::INFINITY);
        show.number.set(0);
        match show.waits.replace(Waits::Ad) {
            Waits::Ad => {}
            Waits::Suspend if error.is_undefined() => {
                *show.stage.borrow_mut() = Some(Stage::take(&show.video, true));
                self.play_next(show);
            }
            Waits::Suspend => {
                show.error.replace(error);
                self.close(show);
            }
            Waits::Content => {
                if !error.is_undefined() {
                    page::error(&error);
                }
                let stage = show.stage.take().filter(|_| show.content.is_undefined());
                if stage.is_some_and(|stage| stage.resume(&show.video)) {
                    // Its promise tells the app nothing it does not see on the element.
                    self.start(&show.video);
                }
                self.close(show);
            }
        }
    }

    /// Asks the content's player to do something, and waits for it.
    fn ask_content(&self, show: &Show, method: &str, waits: Waits) {
        let number = self.take_number();
        show.number.set(number);
        show.waits.set(waits);
        show.until_ms.set(page::clock_ms() + CONTENT_MS_MAX);
        let promise = match object::call(&show.content, method, &JsValue::UNDEFINED) {
            Ok(value) => page::resolved(&value),
            Err(error) => page::rejected(&error),
        };
        self.hear_from(&promise, number);
    }

    fn play_next(&self, show: &Rc<Show>) {
        let opened = &show.opened;
        let video = &show.video;
        let can_play = |mime_type: &str| mime_type.is_empty() || !video.can_play_type(mime_type).is_empty();
        for (nth, fill) in opened.answer.fills.iter().enumerate() {
            if self.is_destroyed() {
                break;
            }
            let Some(place) = fill.place.get().filter(|_| !fill.taken.get()) else { continue };
            let failed = match fill.playable(can_play) {
                _ if fill.left_ms() <= 0.0 => Err((End::Dropped, 0)),
                None => Err((End::Failed, VAST_MEDIA_NOT_SUPPORTED)),
                Some(url) => Ok(url),
            };
            match failed {
                Err((how, code)) => {
                    fill.taken.set(true);
                    self.end(opened, fill, how, code);
                }
                Ok(url) => {
                    let is_ready = show.stage.borrow().is_some();
                    if !is_ready && !show.content.is_undefined() {
                        return self.ask_content(show, "suspend", Waits::Suspend);
                    }
                    if !is_ready {
                        *show.stage.borrow_mut() = Some(Stage::take(video, false));
                    }
                    fill.taken.set(true);
                    video.set_src(&url);
                    let part = Part::Ours(video.src());
                    let (opened, video) = (Rc::clone(opened), video.clone());
                    let watch = Rc::new(Watch { opened, nth, place, video, part, in_view: Cell::default() });
                    return self.play_ad(show, &watch);
                }
            }
        }
        self.put_back(show);
    }

    fn play_ad(&self, show: &Show, watch: &Rc<Watch>) {
        *show.current.borrow_mut() = Some(Rc::clone(watch));
        self.watch(watch);
        show.number.set(self.start(&watch.video));
    }

    /// Starts a video. Returns the number under which its promise tells if it may not play; what else can go wrong, its `error`
    /// event tells.
    fn start(&self, video: &HtmlVideoElement) -> u32 {
        let number = self.take_number();
        let promise = match object::call(video, "play", &JsValue::UNDEFINED) {
            Ok(value) => page::resolved(&value),
            Err(error) => page::rejected(&error),
        };
        self.hear_from(&promise, number);
        number
    }

    /// The ad in play came to its end.
    pub(crate) fn finish(&self, watch: &Rc<Watch>, how: Finish) {
        let shows = self.shows.borrow().clone();
        let is_its = |show: &&Rc<Show>| show.current.borrow().as_ref().is_some_and(|held| Rc::ptr_eq(held, watch));
        let (Some(show), Some(fill)) = (shows.iter().find(is_its), watch.fill()) else { return };
        show.current.take();
        self.unwatch(watch);
        let opened = &show.opened;
        // Asked again, since the app's own listeners may have been told of the end before or after us.
        let is_replaced = !watch.is_there();
        match how {
            Finish::Failed(code) => self.end(opened, fill, End::Failed, code),
            Finish::Skipped => self.end(opened, fill, End::Skipped, 0),
            Finish::Blocked if !is_replaced => {}
            // Nothing can follow; what was not complete stays so, and what never began was not used.
            Finish::Ended | Finish::Stopped | Finish::Replaced | Finish::Blocked => {
                self.end(opened, fill, End::Dropped, 0);
            }
        }
        if is_replaced {
            opened.discard();
            if let Some(stage) = show.stage.take() {
                stage.abandon(&show.video);
            }
            self.close(show);
        } else if how == Finish::Blocked {
            fill.taken.set(false);
            show.error.replace(error::own(
                "play_not_allowed",
                "the browser does not let this page play without a click; call play() again from one",
            ));
            self.put_back(show);
        } else {
            self.play_next(show);
        }
    }

    /// Brings the content back, if it was put away.
    fn put_back(&self, show: &Rc<Show>) {
        let must_wait = show.stage.borrow().as_ref().map(|stage| {
            self.hear_of(&show.video);
            stage.restore(&show.video)
        });
        match must_wait {
            Some(_) if !show.content.is_undefined() => self.ask_content(show, "resume", Waits::Content),
            Some(true) => {
                show.waits.set(Waits::Content);
                show.until_ms.set(page::clock_ms() + CONTENT_MS_MAX);
            }
            Some(false) | None => self.close(show),
        }
    }

    /// The break is over.
    fn close(&self, show: &Rc<Show>) {
        self.shows.borrow_mut().retain(|held| !Rc::ptr_eq(held, show));
        self.let_go(&show.video);
        show.opened.tell(BREAK_END, None, &JsValue::UNDEFINED);
        self.hurry();
        let error = show.error.take();
        let _ = if error.is_undefined() {
            show.resolve.call0(&JsValue::UNDEFINED)
        } else {
            show.reject.call1(&JsValue::UNDEFINED, &error)
        };
    }
}
