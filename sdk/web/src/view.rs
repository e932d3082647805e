//! Who can see a `<video>`: on the page, in full screen, in a picture of its own.

use core::cell::OnceCell;

use js_sys::{Array, Function, Reflect};
use slotkeeper_sdk_core::ad::Seen;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::HtmlVideoElement;

use crate::{object, page, watch::Watch};

/// How much of its area counts as in view: MRC's and VAST's half of its pixels.
const AREA_MIN: f64 = 0.5;

/// Looks at who is in view; the page's `IntersectionObserver`, where it has one.
#[derive(Default)]
pub(crate) struct Viewer(OnceCell<JsValue>);

impl Viewer {
    /// Looks at this video from now on: afresh, so that it tells at once what it sees.
    pub(crate) fn begin(&self, video: &HtmlVideoElement, hear: &Function) {
        let observer = self.0.get_or_init(|| {
            let class = object::get(&page::window(), "IntersectionObserver");
            if !class.is_function() {
                return JsValue::UNDEFINED;
            }
            let options = object::of(&[("threshold", &AREA_MIN.into())]);
            let class: &Function = class.unchecked_ref();
            Reflect::construct(class, &Array::of2(hear, &options)).unwrap_or(JsValue::UNDEFINED)
        });
        for method in ["unobserve", "observe"] {
            let _ = object::call(observer, method, video);
        }
    }

    /// Looks at it no longer.
    pub(crate) fn end(&self, video: &HtmlVideoElement) {
        if let Some(observer) = self.0.get() {
            let _ = object::call(observer, "unobserve", video);
        }
    }

    /// What it told: which element, and whether it is in view.
    pub(crate) fn read(entry: &JsValue) -> (JsValue, bool) {
        let share = object::number(entry, "intersectionRatio").unwrap_or_default();
        (object::get(entry, "target"), share >= AREA_MIN)
    }

    /// The bits of what can be seen of this video.
    pub(crate) fn seen(&self, watch: &Watch) -> u32 {
        let (document, video) = (page::document(), &watch.video);
        let is_hidden = object::is(&document, "hidden");
        let is_apart = object::is_same(&object::get(&document, "pictureInPictureElement"), video);
        let screen = ["fullscreenElement", "webkitFullscreenElement"].map(|key| object::get(&document, key));
        let fills_screen = object::is(video, "webkitDisplayingFullscreen")
            || screen
                .iter()
                .any(|element| object::call(element, "contains", video).is_ok_and(|contains| contains.is_truthy()));
        let area = match self.0.get() {
            Some(observer) if observer.is_truthy() => watch.in_view.get(),
            _ => is_in_window(video),
        };
        let view = match area {
            _ if is_apart => Seen::IN_VIEW,
            _ if is_hidden => 0,
            Some(true) => Seen::IN_VIEW,
            Some(false) => 0,
            None => Seen::VIEW_UNKNOWN,
        };
        let bit = |is: bool, bit| if is { bit } else { 0 };
        view | bit(is_hidden, Seen::HIDDEN) | bit(fills_screen, Seen::FULLSCREEN)
    }
}

/// Whether half of it is inside the window. A frame cannot know what of it its page shows.
fn is_in_window(video: &HtmlVideoElement) -> Option<bool> {
    let window = page::window();
    if !object::is_same(&object::get(&window, "parent"), &window) {
        return None;
    }
    let size = |key| object::number(&window, key);
    let (width, height) = (size("innerWidth")?, size("innerHeight")?);
    let area = video.get_bounding_client_rect();
    let inside = |begin: f64, end: f64, room: f64| (end.min(room) - begin.max(0.0)).max(0.0);
    let shown = inside(area.left(), area.right(), width) * inside(area.top(), area.bottom(), height);
    let whole = area.width() * area.height();
    Some(whole > 0.0 && shown >= whole * AREA_MIN)
}
