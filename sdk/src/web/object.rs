//! Reading and writing plain JavaScript objects. `JSON.parse` and `JSON.stringify` are the browser's.

use js_sys::{Array, JSON, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};

/// A property; undefined where there is none, or nothing to have one.
pub(super) fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A property that is a string.
pub(super) fn text(object: &JsValue, key: &str) -> Option<String> {
    get(object, key).as_string()
}

/// A property that is a finite number.
pub(super) fn number(object: &JsValue, key: &str) -> Option<f64> {
    get(object, key).as_f64().filter(|number| number.is_finite())
}

/// A property that is an array; an empty one where it is not.
pub(super) fn array(object: &JsValue, key: &str) -> Array {
    get(object, key).dyn_into().unwrap_or_default()
}

/// A new object of these properties; those undefined are left out.
pub(super) fn of<const N: usize>(properties: [(&str, JsValue); N]) -> JsValue {
    let object = Object::new();
    for (key, value) in properties {
        set(&object, key, &value);
    }
    object.into()
}

/// Sets a property of an object made here; undefined is left out.
pub(super) fn set(object: &JsValue, key: &str, value: &JsValue) {
    if !value.is_undefined() {
        // It fails only on what is no object, or is frozen: not on one made here.
        let _ = Reflect::set(object, &key.into(), value);
    }
}

/// JSON text to a value; undefined where it is not JSON.
pub(super) fn parse(text: &str) -> JsValue {
    JSON::parse(text).unwrap_or(JsValue::UNDEFINED)
}

/// A value to JSON text.
pub(super) fn stringify(value: &JsValue) -> String {
    JSON::stringify(value).map(String::from).unwrap_or_default()
}
