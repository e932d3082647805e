//! The content of a `<video>`, put aside for the ads and put back after them.

use web_sys::{HtmlVideoElement, MediaStream};

use super::{
    page::{Listener, Timer},
    signal::Signal,
};

/// How long the content may take to open again. Past it, the break is over all the same.
const OPEN_MS_MAX: u32 = 10_000;

enum Source {
    /// The `src` attribute.
    Attribute(String),
    /// A stream object.
    Stream(MediaStream),
    /// `<source>` elements, or nothing.
    Children,
}

/// What was there before the ads.
pub(super) struct Stage {
    video: HtmlVideoElement,
    source: Source,
    position_s: f64,
    rate: f64,
    was_playing: bool,
    was_looping: bool,
}

impl Stage {
    /// Remembers the content and makes the video ready for ads.
    pub(super) fn take(video: &HtmlVideoElement) -> Self {
        let stage = Self {
            video: video.clone(),
            source: match (video.src_object(), video.get_attribute("src")) {
                (Some(stream), _) => Source::Stream(stream),
                (None, Some(src)) => Source::Attribute(src),
                (None, None) => Source::Children,
            },
            position_s: video.current_time(),
            rate: video.playback_rate(),
            was_playing: !video.paused() && !video.ended(),
            was_looping: video.loop_(),
        };
        if video.src_object().is_some() {
            video.set_src_object(None);
        }
        video.set_loop(false); // A video that loops never ends.
        stage
    }

    /// Leaves the video as the app has it now; only what was taken from it for the ads comes back.
    pub(super) fn abandon(self) {
        self.video.set_loop(self.was_looping);
    }

    /// Puts the content back as it was.
    pub(super) async fn restore(self) {
        let video = &self.video;
        video.set_loop(self.was_looping);
        let opened = Signal::new();
        let fire = |signal: &Signal<()>| {
            let signal = signal.clone();
            move || signal.fire(())
        };
        let _listening = ["loadedmetadata", "error"].map(|name| Listener::new(video, name, fire(&opened)));
        let _timer = Timer::after(OPEN_MS_MAX, fire(&opened));
        match &self.source {
            Source::Attribute(src) => video.set_src(src),
            Source::Stream(stream) => {
                let _ = video.remove_attribute("src");
                video.set_src_object(Some(stream));
            }
            Source::Children => {
                let _ = video.remove_attribute("src");
                video.load();
            }
        }
        video.set_playback_rate(self.rate);
        if self.position_s > 0.0 || self.was_playing {
            opened.wait().await;
            if self.position_s > 0.0 {
                video.set_current_time(self.position_s);
            }
        }
        if self.was_playing {
            // Its promise tells the app nothing it does not see on the element.
            let _ = video.play();
        }
    }
}

/// An ad's file in a video, for as long as the app leaves it there.
#[derive(Clone)]
pub(super) struct Placed {
    video: HtmlVideoElement,
    /// As the element names it, resolved.
    src: String,
}

impl Placed {
    /// Makes `url` the source of `video`.
    pub(super) fn put(video: &HtmlVideoElement, url: &str) -> Self {
        video.set_src(url);
        Self { video: video.clone(), src: video.src() }
    }

    /// Whether the video still has this source. What another plays is not the ad's.
    pub(super) fn is_there(&self) -> bool {
        self.video.src() == self.src && self.video.src_object().is_none()
    }
}
