//! The content of a `<video>`, put aside for the ads and put back after them.

use alloc::string::String;

use wasm_bindgen::JsValue;
use web_sys::HtmlVideoElement;

use crate::object;

enum Source {
    /// The `src` attribute.
    Attribute(String),
    /// A stream object.
    Stream(JsValue),
    /// `<source>` elements, or nothing.
    Children,
    /// Whoever plays the content brings it back.
    Theirs,
}

/// What was there before the ads.
pub(crate) struct Stage {
    source: Source,
    position_s: f64,
    rate: f64,
    was_playing: bool,
    was_looping: bool,
}

impl Stage {
    /// Remembers the content and makes the video ready for ads. `theirs`: somebody else has put it away.
    pub(crate) fn take(video: &HtmlVideoElement, theirs: bool) -> Self {
        let stream = object::get(video, "srcObject");
        let source = match video.get_attribute("src") {
            _ if theirs => Source::Theirs,
            _ if stream.is_truthy() => Source::Stream(stream.clone()),
            Some(src) => Source::Attribute(src),
            None => Source::Children,
        };
        let stage = Self {
            source,
            position_s: video.current_time(),
            rate: video.playback_rate(),
            was_playing: !video.paused() && !video.ended(),
            was_looping: video.loop_(),
        };
        if stream.is_truthy() {
            object::set(video, "srcObject", &JsValue::NULL);
        }
        video.set_loop(false); // A video that loops never ends.
        stage
    }

    /// Leaves the video as the app has it now; only what was taken from it for the ads comes back.
    pub(crate) fn abandon(&self, video: &HtmlVideoElement) {
        video.set_loop(self.was_looping);
    }

    /// Opens the content again. Returns whether it has to be open before it is as it was: then call
    /// [`resume`](Self::resume).
    pub(crate) fn restore(&self, video: &HtmlVideoElement) -> bool {
        self.abandon(video);
        match &self.source {
            Source::Theirs => return false,
            Source::Attribute(src) => video.set_src(src),
            Source::Stream(stream) => {
                let _ = video.remove_attribute("src");
                object::set(video, "srcObject", stream);
            }
            Source::Children => {
                let _ = video.remove_attribute("src");
                video.load();
            }
        }
        video.set_playback_rate(self.rate);
        self.position_s > 0.0 || self.was_playing
    }

    /// The content is open: it goes on where it was. Returns whether it played.
    pub(crate) fn resume(&self, video: &HtmlVideoElement) -> bool {
        if self.position_s > 0.0 {
            video.set_current_time(self.position_s);
        }
        self.was_playing
    }
}
