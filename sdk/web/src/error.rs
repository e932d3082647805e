//! What the promises of this SDK reject with: an `Error` that also carries the edge's code and field.

use js_sys::{Error, Object};
use wasm_bindgen::{JsCast as _, JsValue};

use crate::object;

/// A `SlotkeeperError`.
fn make(code: &JsValue, field: &JsValue, message: &str, status: &JsValue) -> JsValue {
    let error = Error::new(message);
    error.set_name("SlotkeeperError");
    let error: Object = error.unchecked_into();
    for (key, value) in [("code", code), ("field", field), ("status", status)] {
        // `field` may be left out.
        object::set(&error, key, &JsValue::NULL);
        object::set(&error, key, value);
    }
    error.into()
}

/// One of the SDK's own.
pub(crate) fn own(code: &str, message: &str) -> JsValue {
    make(&code.into(), &JsValue::NULL, message, &JsValue::NULL)
}

/// An argument that cannot be accepted.
pub(crate) fn argument(field: &str, message: &str) -> JsValue {
    make(&"invalid_argument".into(), &field.into(), &[field, ": ", message].concat(), &JsValue::NULL)
}

/// After `destroy()`.
pub(crate) fn destroyed() -> JsValue {
    own("client_destroyed", "this client was destroyed; load a new one")
}

/// What the edge answered, in its own words where it found some.
pub(crate) fn of_edge(status: u16, answer: &JsValue) -> JsValue {
    let error = object::get(answer, "error");
    let code = object::get(&error, "code");
    let message = object::text(&error, "message");
    make(
        if code.is_string() { code } else { "edge_error".into() }.as_ref(),
        &object::get(&error, "field"),
        message.as_deref().unwrap_or("the edge answered with an error; see status"),
        &status.into(),
    )
}
