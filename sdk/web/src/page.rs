//! The page: its clocks, its timer, its randomness, its console.

use alloc::string::String;

use js_sys::{Function, Promise};
use slotkeeper_beacon::Text;
use slotkeeper_sdk_core::request_id::{self, ID_CHARS};
use wasm_bindgen::{JsValue, prelude::*};
use web_sys::{Document, Window};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = window, thread_local_v2)]
    static WINDOW: Window;
    #[wasm_bindgen(js_name = document, thread_local_v2)]
    static DOCUMENT: Document;

    /// Milliseconds of a clock that never jumps.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub(crate) fn clock_ms() -> f64;
    /// Milliseconds since 1970, as far as this device knows.
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    pub(crate) fn unix_ms() -> f64;
    /// From 0 to 1.
    #[wasm_bindgen(js_namespace = Math)]
    pub(crate) fn random() -> f64;
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues, catch)]
    fn fill_random(numbers: &mut [u32]) -> Result<(), JsValue>;
    /// Shows what belongs to the app, where its developer looks.
    #[wasm_bindgen(js_namespace = console)]
    pub(crate) fn error(error: &JsValue);
    #[wasm_bindgen(js_namespace = console)]
    pub(crate) fn warn(text: &str);

    /// Calls `then(argument)` after a while; returns what stops it.
    #[wasm_bindgen(js_name = setTimeout)]
    pub(crate) fn set_timer(then: &Function, ms: f64, argument: u32) -> i32;
    #[wasm_bindgen(js_name = clearTimeout)]
    pub(crate) fn clear_timer(timer: i32);

    /// A promise that is kept already.
    #[wasm_bindgen(js_namespace = Promise, js_name = resolve)]
    pub(crate) fn resolved(value: &JsValue) -> Promise;
    /// A promise that is broken already.
    #[wasm_bindgen(js_namespace = Promise, js_name = reject)]
    pub(crate) fn rejected(error: &JsValue) -> Promise;

    #[wasm_bindgen(js_namespace = navigator, js_name = sendBeacon, catch)]
    fn send_beacon(url: &str, text: &str) -> Result<bool, JsValue>;
}

/// The window. Exists wherever a `<video>` does.
pub(crate) fn window() -> Window {
    WINDOW.with(Clone::clone)
}

/// The document.
pub(crate) fn document() -> Document {
    DOCUMENT.with(Clone::clone)
}

/// Gives the browser a text to post when it likes, even after this page. Returns whether it took it.
pub(crate) fn hand_over(url: &str, text: &str) -> bool {
    send_beacon(url, text).unwrap_or(false)
}

/// Random bits for ids.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is below 2^32")]
fn random_bits() -> [u32; 3] {
    let mut bits = [0; 3];
    if fill_random(&mut bits).is_err() {
        // Ids must differ, not be secret.
        bits.fill_with(|| (random() * 4_294_967_296.0) as u32);
    }
    bits
}

/// A new id, of now.
pub(crate) fn fresh_id() -> String {
    write(ID_CHARS, |text| request_id::mint(text, unix_ms(), random_bits()))
}

/// What `write` writes, which is ASCII and no longer than `bytes_max`.
pub(crate) fn write(bytes_max: usize, write: impl FnOnce(&mut Text<'_>)) -> String {
    let mut buffer = alloc::vec![0; bytes_max];
    let mut text = Text::new(&mut buffer);
    write(&mut text);
    let len = text.len();
    buffer.iter().take(len).map(|byte| char::from(*byte)).collect()
}
