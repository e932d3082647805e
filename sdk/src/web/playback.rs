//! Plays the ads of a break, one after the other, in the app's own `<video>`.

use core::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::HtmlVideoElement;

use crate::{progress::Sample, tracker::Signal as Did};

use super::{
    ad_break::{Break, Current},
    answer::Slot,
    error::SdkError,
    events::{BREAK_END, BREAK_START},
    object,
    page::{self, Listener, Timer},
    signal::Signal,
    stage::{Placed, Stage},
    watch::{Ours, Watch},
};

/// How long an ad may show nothing new while it should play. Past it, it failed.
const STALL_MS_MAX: u32 = 10_000;

/// VAST 4.3 §2.3.6.3.
const VAST_MEDIA_TIMEOUT: u16 = 402;
const VAST_MEDIA_NOT_SUPPORTED: u16 = 403;

/// How the playing of one ad ended.
#[derive(Clone, Copy)]
pub(super) enum Finish {
    /// The file ended.
    Ended,
    /// It cannot be played (on), with a VAST error code.
    Failed(u16),
    /// The viewer skipped the rest.
    Skipped,
    /// The browser wants a click first.
    Blocked,
    /// The client was destroyed.
    Stopped,
    /// The app gave the video another source.
    Replaced,
}

/// Plays every ad of the break that nobody played yet, and puts the content back.
pub(super) async fn play(opened: &Rc<Break>, video: &HtmlVideoElement) -> Result<(), SdkError> {
    if opened.is_destroyed() {
        return Err(SdkError::destroyed());
    }
    if opened.playing.replace(true) {
        return Err(SdkError::new("break_playing", "this break is playing already"));
    }
    opened.tell(BREAK_START, None, &JsValue::UNDEFINED);
    let mut stage = None;
    let result = play_ads(opened, video, &mut stage).await;
    if let Some(stage) = stage {
        match result {
            Ok(Over::Replaced) => stage.abandon(),
            Ok(Over::Played) | Err(_) => stage.restore().await,
        }
    }
    opened.playing.set(false);
    opened.tell(BREAK_END, None, &JsValue::UNDEFINED);
    let flushed = Rc::clone(opened);
    spawn_local(async move { flushed.flush().await });
    result.map(|_| ())
}

/// How the playing of a break ended.
enum Over {
    /// Every ad had its turn.
    Played,
    /// The app gave the video another source, which is how it says that it wants no more ads.
    Replaced,
}

async fn play_ads(opened: &Rc<Break>, video: &HtmlVideoElement, stage: &mut Option<Stage>) -> Result<Over, SdkError> {
    for (slot, fill) in opened.fills() {
        if opened.is_destroyed() {
            break;
        }
        if fill.taken.replace(true) {
            continue;
        }
        if fill.is_expired() {
            opened.feed(slot, Did::Dropped);
            continue;
        }
        let can_play = |mime_type: &str| mime_type.is_empty() || !video.can_play_type(mime_type).is_empty();
        let Some(media) = fill.playable(can_play) else {
            opened.fail(slot, VAST_MEDIA_NOT_SUPPORTED);
            continue;
        };
        stage.get_or_insert_with(|| Stage::take(video));
        match play_ad(opened, video, slot, &media.url).await {
            Finish::Blocked => {
                fill.taken.set(false);
                return Err(SdkError::new(
                    "play_not_allowed",
                    "the browser does not let this page play without a click; call play() again from one",
                ));
            }
            Finish::Replaced => {
                opened.discard();
                return Ok(Over::Replaced);
            }
            Finish::Ended | Finish::Failed(_) | Finish::Skipped | Finish::Stopped => {}
        }
    }
    Ok(Over::Played)
}

async fn play_ad(opened: &Rc<Break>, video: &HtmlVideoElement, slot: &Slot, url: &str) -> Finish {
    let finish = Signal::new();
    *opened.current.borrow_mut() = Some(Current { slot_index: slot.index, finish: finish.clone() });
    let placed = Placed::put(video, url);
    let ours = Ours { placed: placed.clone(), finish: finish.clone() };
    let watch = Watch::begin(opened, slot.index, video, None, Some(ours));
    let stall = Stall::watch(video, &finish);
    // A file begins at its beginning; so what plays before the page gets to look is counted, too.
    opened.feed(slot, Did::At(Sample { position_ms: 0.0, clock_ms: page::clock_ms(), rate: 1.0 }));
    start(video, finish.clone());
    let finished = finish.wait().await;
    drop(stall);
    watch.stop();
    *opened.current.borrow_mut() = None;
    // Asked again, since the app's own listeners may have been told of the end before or after us.
    let is_replaced = !placed.is_there();
    match finished {
        Finish::Failed(code) => opened.fail(slot, code),
        Finish::Skipped => opened.feed(slot, Did::Skipped),
        Finish::Blocked if !is_replaced => {}
        // Nothing can follow; what was not complete stays so, and what never began was not used.
        Finish::Ended | Finish::Stopped | Finish::Replaced | Finish::Blocked => opened.feed(slot, Did::Dropped),
    }
    if is_replaced { Finish::Replaced } else { finished }
}

/// Starts the video. What else can go wrong, its `error` event tells.
fn start(video: &HtmlVideoElement, finish: Signal<Finish>) {
    let Ok(promise) = video.play() else { return };
    spawn_local(async move {
        if let Err(error) = JsFuture::from(promise).await
            && object::text(&error, "name").as_deref() == Some("NotAllowedError")
        {
            finish.fire(Finish::Blocked);
        }
    });
}

/// Notices when an ad neither plays, nor is paused, nor says that it failed.
struct Stall {
    _listeners: [Listener; 3],
    _clock: Rc<StallClock>,
}

struct StallClock {
    video: HtmlVideoElement,
    finish: Signal<Finish>,
    timer: RefCell<Option<Timer>>,
}

impl Stall {
    fn watch(video: &HtmlVideoElement, finish: &Signal<Finish>) -> Self {
        let clock = Rc::new(StallClock { video: video.clone(), finish: finish.clone(), timer: RefCell::default() });
        clock.restart();
        let listeners = ["timeupdate", "playing", "play"].map(|name| {
            let clock = Rc::clone(&clock);
            Listener::new(video, name, move || clock.restart())
        });
        Self { _listeners: listeners, _clock: clock }
    }
}

impl StallClock {
    fn restart(self: &Rc<Self>) {
        let weak = Rc::downgrade(self);
        let timer = Timer::after(STALL_MS_MAX, move || {
            if let Some(clock) = weak.upgrade() {
                clock.check();
            }
        });
        let before = self.timer.borrow_mut().replace(timer);
        drop(before);
    }

    fn check(self: &Rc<Self>) {
        let is_hidden = page::window().document().is_some_and(|document| document.hidden());
        if self.video.paused() || is_hidden {
            self.restart(); // The viewer paused, or the browser may have, and only looked away.
        } else {
            self.finish.fire(Finish::Failed(VAST_MEDIA_TIMEOUT));
        }
    }
}
