//! Looks at a `<video>` and lets the client know what it does.

use alloc::{rc::Rc, string::String};
use core::cell::Cell;

use slotkeeper_sdk_core::{
    Due,
    ad::{End, Extent, Seen},
    client::Place,
    progress::Sample,
};
use wasm_bindgen::JsValue;
use web_sys::HtmlVideoElement;

use crate::{ad_break::Break, answer::Fill, object, page, play::Finish, session::Session, view::Viewer};

/// What is heard of a video while something is looked at in it.
const EVENTS: [&str; 15] = [
    "loadedmetadata",
    "playing",
    "timeupdate",
    "seeking",
    "seeked",
    "ratechange",
    "volumechange",
    "pause",
    "ended",
    "error",
    "waiting",
    "stalled",
    // Here only so that a source that was taken away is noticed at once.
    "emptied",
    "enterpictureinpicture",
    "leavepictureinpicture",
];

/// How often a video is looked at that says nothing, in milliseconds: a stall is silent.
const LOOK_MS: f64 = 1_000.0;

/// VAST 4.3 §2.3.6.3: why a linear ad could not be played.
pub(crate) const VAST_GENERAL_LINEAR_ERROR: u32 = 400;
const VAST_FILE_NOT_FOUND: u32 = 401;
const VAST_MEDIA_TIMEOUT: u32 = 402;
const VAST_PROBLEM_DISPLAYING: u32 = 405;

/// A look at one ad in one video, until it is stopped or nothing more can happen.
pub(crate) struct Watch {
    pub(crate) opened: Rc<Break>,
    /// Which of the break's fills it is.
    pub(crate) nth: usize,
    pub(crate) place: Place,
    pub(crate) video: HtmlVideoElement,
    pub(crate) part: Part,
    /// Whether half of its area is in view; none until somebody looked.
    pub(crate) in_view: Cell<Option<bool>>,
}

/// What of the video is the ad.
pub(crate) enum Part {
    /// A file of ours, which the video names so.
    Ours(String),
    /// A file that someone else plays.
    Whole,
    /// A part of a stream that someone else plays.
    Span { start_ms: f64, duration_ms: f64 },
}

impl Part {
    /// From `{startTime, endTime}` in seconds; what is not told follows from the ad's own length.
    pub(crate) fn read(span: &JsValue, duration_ms: f64) -> Self {
        if !span.is_object() {
            return Self::Whole;
        }
        let start_ms = object::number(span, "startTime").unwrap_or_default() * 1_000.0;
        let duration_ms = object::number(span, "endTime").map_or(duration_ms, |end| end * 1_000.0 - start_ms);
        Self::Span { start_ms, duration_ms }
    }
}

impl Watch {
    pub(crate) fn fill(&self) -> Option<&Fill> {
        self.opened.answer.fills.get(self.nth)
    }

    /// Whether the video still has the ad. What another source plays is not the ad's.
    pub(crate) fn is_there(&self) -> bool {
        match &self.part {
            Part::Ours(src) => self.video.src() == *src && !object::is(&self.video, "srcObject"),
            Part::Whole | Part::Span { .. } => true,
        }
    }

    fn is_ours(&self) -> bool {
        matches!(self.part, Part::Ours(_))
    }

    fn sample(&self) -> Sample {
        let start_ms = if let Part::Span { start_ms, .. } = self.part { start_ms } else { 0.0 };
        Sample {
            position_ms: self.video.current_time() * 1_000.0 - start_ms,
            clock_ms: page::clock_ms(),
            rate: self.video.playback_rate(),
        }
    }

    fn is_inside(&self) -> bool {
        match self.part {
            Part::Span { duration_ms, .. } => (0.0..duration_ms).contains(&self.sample().position_ms),
            Part::Whole | Part::Ours(_) => true,
        }
    }

    fn seen(&self, viewer: &Viewer) -> Seen {
        let video = &self.video;
        let mut bits = viewer.seen(self);
        for (is, bit) in [
            (video.paused(), Seen::PAUSED),
            (video.seeking(), Seen::SEEKING),
            (video.ended(), Seen::ENDED),
            (video.muted() || video.volume() <= 0.0, Seen::SILENT),
        ] {
            bits |= if is { bit } else { 0 };
        }
        Seen(bits)
    }
}

impl Session {
    /// Begins to look.
    pub(crate) fn watch(&self, watch: &Rc<Watch>) {
        let (place, video) = (watch.place, &watch.video);
        self.listen(video, &EVENTS, true);
        self.viewer.begin(video, self.ear());
        self.watches.borrow_mut().push(Rc::clone(watch));
        let seen = watch.seen(&self.viewer);
        let mut client = self.client.borrow_mut();
        match watch.part {
            Part::Ours(_) => {
                // It is about to play from its beginning, whatever the video did before.
                let begun = Seen(seen.0 & !(Seen::PAUSED | Seen::SEEKING | Seen::ENDED));
                client.begin(place, page::clock_ms(), begun);
            }
            Part::Whole => client.set_extent(place, Extent::File, video.duration() * 1_000.0),
            Part::Span { duration_ms, .. } => client.set_extent(place, Extent::Span, duration_ms),
        }
        drop(client);
        self.arm();
    }

    /// No longer looks. The video is let go of unless something else is looked at in it, or played.
    pub(crate) fn unwatch(&self, watch: &Watch) {
        self.watches.borrow_mut().retain(|held| !core::ptr::eq(&raw const **held, watch));
        self.let_go(&watch.video);
    }

    /// Hears nothing more of a video in which nothing happens.
    pub(crate) fn let_go(&self, video: &HtmlVideoElement) {
        let is_watched = self.watches.borrow().iter().any(|watch| watch.video == *video);
        if !is_watched {
            self.viewer.end(video);
            if !self.is_stage(video) {
                self.listen(video, &EVENTS, false);
            }
        }
    }

    /// Hears of a video in which the content is about to be put back.
    pub(crate) fn hear_of(&self, video: &HtmlVideoElement) {
        self.listen(video, &EVENTS, true);
    }

    /// When a silent video is to be looked at next; infinity when there is none.
    pub(crate) fn next_look_ms(&self) -> f64 {
        if self.watches.borrow().is_empty() { f64::INFINITY } else { self.looked_at_ms.get() + LOOK_MS }
    }

    /// Looks at all videos.
    pub(crate) fn look_around(&self) {
        self.looked_at_ms.set(page::clock_ms());
        let watches = self.watches.borrow().clone();
        for watch in watches {
            self.look(&watch, "");
        }
    }

    /// Something happened in a video.
    pub(crate) fn hear_of_video(&self, video: &JsValue, event: &str) {
        if event == "loadedmetadata" || event == "error" {
            self.content_opened(video);
        }
        let watches = self.watches.borrow().clone();
        for watch in watches.iter().filter(|watch| object::is_same(&watch.video, video)) {
            self.look(watch, event);
        }
    }

    /// The page said which videos are in view.
    pub(crate) fn hear_of_view(&self, entries: &js_sys::Array) {
        let watches = self.watches.borrow().clone();
        for entry in entries.iter() {
            let (target, is_in_view) = Viewer::read(&entry);
            for watch in watches.iter().filter(|watch| object::is_same(&watch.video, &target)) {
                watch.in_view.set(Some(is_in_view));
                self.look(watch, "");
            }
        }
    }

    fn is_watching(&self, watch: &Rc<Watch>) -> bool {
        self.watches.borrow().iter().any(|held| Rc::ptr_eq(held, watch))
    }

    fn look(&self, watch: &Rc<Watch>, event: &str) {
        let Some(fill) = watch.fill().filter(|_| self.is_watching(watch)) else { return };
        if !watch.is_there() {
            return self.finish(watch, Finish::Replaced);
        }
        if event == "error" {
            let code = vast_error_code(&watch.video);
            if watch.is_ours() {
                self.finish(watch, Finish::Failed(code));
            } else if watch.is_inside() {
                self.end(&watch.opened, fill, End::Failed, code);
                self.unwatch(watch);
            }
            return;
        }
        let seen = watch.seen(&self.viewer);
        let due = {
            let mut client = self.client.borrow_mut();
            if event == "loadedmetadata" && !matches!(watch.part, Part::Span { .. }) {
                client.set_extent(watch.place, Extent::File, watch.video.duration() * 1_000.0);
            }
            client.look(watch.place, watch.sample(), seen)
        };
        self.follow(&watch.opened, fill, due, 0);
        if watch.is_ours() {
            if due.has(Due::CLOSED) || seen.0 & Seen::ENDED != 0 {
                self.finish(watch, Finish::Ended);
            } else if due.has(Due::STALLED) {
                self.finish(watch, Finish::Failed(VAST_MEDIA_TIMEOUT));
            }
        } else if due.has(Due::CLOSED) {
            self.unwatch(watch);
        }
    }
}

fn vast_error_code(video: &HtmlVideoElement) -> u32 {
    match video.error().map(|error| error.code()) {
        Some(web_sys::MediaError::MEDIA_ERR_DECODE) => VAST_PROBLEM_DISPLAYING,
        Some(web_sys::MediaError::MEDIA_ERR_SRC_NOT_SUPPORTED) => VAST_FILE_NOT_FOUND,
        _ => VAST_GENERAL_LINEAR_ERROR,
    }
}
