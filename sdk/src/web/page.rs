//! The page: its clocks, its timers, its randomness, its events.

use core::cell::RefCell;
use std::rc::Rc;

use js_sys::{Date, Function, Math, Promise, global};
use wasm_bindgen::{JsCast as _, JsValue, prelude::*};
use wasm_bindgen_futures::JsFuture;
use web_sys::{EventTarget, Window};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues, catch)]
    fn fill_random(bytes: &mut [u8]) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(error: &JsValue);
}

/// Milliseconds of a clock that never jumps.
pub(super) fn clock_ms() -> f64 {
    performance_now()
}

/// Milliseconds since 1970, as far as this device knows.
pub(super) fn unix_ms() -> f64 {
    Date::now()
}

/// From 0 to 1, for jitter.
pub(super) fn random() -> f64 {
    Math::random()
}

/// Random bytes for ids.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number below 256 is a byte")]
pub(super) fn random_bytes() -> [u8; 10] {
    let mut bytes = [0; 10];
    if fill_random(&mut bytes).is_err() {
        // Ids must differ, not be secret.
        bytes.fill_with(|| (random() * 256.0) as u8);
    }
    bytes
}

/// Shows an error that belongs to the app, where its developer looks.
pub(super) fn report(error: &JsValue) {
    console_error(error);
}

/// The window. Exists wherever a `<video>` does.
pub(super) fn window() -> Window {
    global().unchecked_into()
}

/// A function that runs after a while, unless this is dropped before.
pub(super) struct Timer {
    id: i32,
    _closure: Closure<dyn FnMut()>,
}

impl Timer {
    pub(super) fn after(ms: u32, then: impl FnOnce() + 'static) -> Self {
        let closure = Closure::once(then);
        let ms = i32::try_from(ms).unwrap_or(i32::MAX);
        let id = window()
            .set_timeout_with_callback_and_timeout_and_arguments_0(closure.as_ref().unchecked_ref(), ms)
            .unwrap_or_default();
        Self { id, _closure: closure }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        window().clear_timeout_with_handle(self.id);
    }
}

/// Waits.
pub(super) async fn sleep(ms: u32) {
    let ms = i32::try_from(ms).unwrap_or(i32::MAX);
    let promise = Promise::new(&mut |resolve, _| {
        let _ = window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms);
    });
    let _ = JsFuture::from(promise).await; // It cannot reject.
}

/// Listens to an event until it is dropped.
pub(super) struct Listener {
    target: EventTarget,
    name: &'static str,
    closure: Closure<dyn FnMut()>,
}

impl Listener {
    pub(super) fn new(target: &EventTarget, name: &'static str, then: impl FnMut() + 'static) -> Self {
        let closure = Closure::new(then);
        let _ = target.add_event_listener_with_callback(name, function(&closure));
        Self { target: target.clone(), name, closure }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.target.remove_event_listener_with_callback(self.name, function(&self.closure));
    }
}

fn function(closure: &Closure<dyn FnMut()>) -> &Function {
    closure.as_ref().unchecked_ref()
}

/// Listeners that live and go together.
#[derive(Clone, Default)]
pub(super) struct Listeners(Rc<RefCell<Vec<Listener>>>);

impl Listeners {
    pub(super) fn add(&self, listener: Listener) {
        self.0.borrow_mut().push(listener);
    }

    /// Stops listening. A listener may call this while it runs: wasm-bindgen frees a closure only after it returned.
    pub(super) fn clear(&self) {
        let gone = core::mem::take(&mut *self.0.borrow_mut());
        drop(gone);
    }
}
