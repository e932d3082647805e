//! Looks at a `<video>` and lets an ad's tracker know what it does.

use std::rc::Rc;

use wasm_bindgen::JsValue;
use web_sys::HtmlVideoElement;

use crate::{
    progress::Sample,
    tracker::{Signal as Did, Sound},
};

use super::{
    ad_break::Break,
    answer::{Fill, Slot},
    object,
    page::{self, Listener, Listeners},
    playback::Finish,
    signal::Signal,
    stage::Placed,
};

/// VAST 4.3 §2.3.6.3: why a linear ad could not be played.
const VAST_GENERAL_LINEAR_ERROR: u16 = 400;
const VAST_FILE_NOT_FOUND: u16 = 401;
const VAST_PROBLEM_DISPLAYING: u16 = 405;

/// The part of a video that is the ad, in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Span {
    start_ms: f64,
    end_ms: f64,
}

impl Span {
    /// From `{startTime, endTime}` in seconds; what is not told follows from the ad's own length.
    pub(super) fn read(span: &JsValue, duration_ms: f64) -> Self {
        let start_ms = object::number(span, "startTime").unwrap_or(0.0) * 1000.0;
        let end_ms = object::number(span, "endTime").map_or(start_ms + duration_ms, |end| end * 1000.0);
        Self { start_ms, end_ms }
    }

    pub(super) fn duration_ms(self) -> f64 {
        self.end_ms - self.start_ms
    }
}

/// A look at one ad in one video, until it is stopped or nothing more can happen.
#[derive(Clone)]
pub(super) struct Watch(Listeners);

struct View {
    opened: Rc<Break>,
    slot_index: u32,
    video: HtmlVideoElement,
    /// None where the ad is the whole file.
    span: Option<Span>,
    /// None where someone else plays it.
    ours: Option<Ours>,
    listeners: Listeners,
}

/// A file that is ours to play, and who is told when it ends, fails, or is taken away.
pub(super) struct Ours {
    pub(super) placed: Placed,
    pub(super) finish: Signal<Finish>,
}

type React = fn(&View, &Slot, &Fill);

/// What is done at which event.
const REACTIONS: [(&str, React); 10] = [
    ("loadedmetadata", |view, _, fill| view.correct_duration(fill)),
    ("playing", |view, slot, _| {
        view.if_inside(slot, Did::Resumed);
        view.advance(slot);
    }),
    ("timeupdate", |view, slot, _| view.advance(slot)),
    ("seeking", |view, slot, _| view.opened.feed(slot, Did::Jumped)),
    ("ratechange", |view, slot, _| view.opened.feed(slot, Did::Jumped)),
    ("volumechange", |view, slot, _| view.if_inside(slot, Did::Sound(sound(&view.video)))),
    // Browsers pause a video that ends, and one that jumps; the viewer paused neither.
    ("pause", |view, slot, _| {
        if !view.video.ended() && !view.video.seeking() {
            view.if_inside(slot, Did::Paused);
        }
    }),
    ("ended", |view, slot, _| {
        view.opened.feed(slot, Did::Ended(view.sample()));
        view.finish(Finish::Ended);
    }),
    ("error", |view, slot, _| {
        let code = vast_error_code(&view.video);
        match &view.ours {
            Some(ours) => ours.finish.fire(Finish::Failed(code)),
            None if view.is_inside() => view.opened.fail(slot, code),
            None => {}
        }
    }),
    // Here only so that a source that was taken away is noticed at once.
    ("emptied", |_, _, _| {}),
];

impl Watch {
    /// Begins to look.
    pub(super) fn begin(
        opened: &Rc<Break>,
        slot_index: u32,
        video: &HtmlVideoElement,
        span: Option<Span>,
        ours: Option<Ours>,
    ) -> Self {
        let listeners = Listeners::default();
        let opened = Rc::clone(opened);
        let (video, held) = (video.clone(), listeners.clone());
        let view = Rc::new(View { opened, slot_index, video, span, ours, listeners: held });
        view.with_fill(|slot, _| view.opened.feed(slot, Did::Sound(sound(&view.video))));
        for (name, react) in REACTIONS {
            let seen = Rc::clone(&view);
            listeners.add(Listener::new(&view.video, name, move || {
                seen.with_fill(|slot, fill| {
                    if seen.is_replaced() {
                        seen.finish(Finish::Replaced);
                        seen.listeners.clear();
                        return;
                    }
                    react(&seen, slot, fill);
                    if fill.tracker.borrow().is_closed() {
                        seen.listeners.clear();
                    }
                });
            }));
        }
        Self(listeners)
    }

    /// Stops looking.
    pub(super) fn stop(&self) {
        self.0.clear();
    }
}

impl View {
    fn with_fill(&self, then: impl FnOnce(&Slot, &Fill)) {
        if let Some((slot, fill)) = self.opened.fills().find(|(slot, _)| slot.index == self.slot_index) {
            then(slot, fill);
        }
    }

    fn sample(&self) -> Sample {
        Sample {
            position_ms: self.video.current_time() * 1000.0 - self.span.map_or(0.0, |span| span.start_ms),
            clock_ms: page::clock_ms(),
            rate: self.video.playback_rate(),
        }
    }

    /// Where the ad is a part of a longer video, passing its end ends it.
    fn advance(&self, slot: &Slot) {
        let sample = self.sample();
        let is_past = self.span.is_some_and(|span| sample.position_ms >= span.duration_ms());
        self.opened.feed(slot, if is_past { Did::Ended(sample) } else { Did::At(sample) });
    }

    fn is_inside(&self) -> bool {
        let position_ms = self.sample().position_ms;
        self.span.is_none_or(|span| (0.0..span.duration_ms()).contains(&position_ms))
    }

    fn if_inside(&self, slot: &Slot, did: Did) {
        if self.is_inside() {
            self.opened.feed(slot, did);
        }
    }

    fn correct_duration(&self, fill: &Fill) {
        if self.span.is_none() {
            fill.tracker.borrow_mut().set_duration_ms(self.video.duration() * 1000.0);
        }
    }

    fn finish(&self, with: Finish) {
        if let Some(ours) = &self.ours {
            ours.finish.fire(with);
        }
    }

    /// Whether the app gave the video another source. From then on, what it does says nothing of the ad.
    fn is_replaced(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| !ours.placed.is_there())
    }
}

fn sound(video: &HtmlVideoElement) -> Sound {
    if video.muted() || video.volume() <= 0.0 { Sound::Off } else { Sound::On }
}

fn vast_error_code(video: &HtmlVideoElement) -> u16 {
    match video.error().map(|error| error.code()) {
        Some(web_sys::MediaError::MEDIA_ERR_DECODE) => VAST_PROBLEM_DISPLAYING,
        Some(web_sys::MediaError::MEDIA_ERR_SRC_NOT_SUPPORTED) => VAST_FILE_NOT_FOUND,
        _ => VAST_GENERAL_LINEAR_ERROR,
    }
}
