//! Reading and writing plain JavaScript objects. `JSON.parse` and `JSON.stringify` are the browser's.

use alloc::string::String;

use js_sys::{Array, Function, JSON, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};

/// A property; undefined where there is none, or nothing to have one, or where it may not be read.
pub(crate) fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A property that is a string.
pub(crate) fn text(object: &JsValue, key: &str) -> Option<String> {
    get(object, key).as_string()
}

/// A property that is a finite number.
pub(crate) fn number(object: &JsValue, key: &str) -> Option<f64> {
    get(object, key).as_f64().filter(|number| number.is_finite())
}

/// Whether these are the same object.
pub(crate) fn is_same(one: &JsValue, other: &JsValue) -> bool {
    one == other
}

/// Whether a property is there and true.
pub(crate) fn is(object: &JsValue, key: &str) -> bool {
    get(object, key).is_truthy()
}

/// A property that is an array; an empty one where it is not.
pub(crate) fn array(object: &JsValue, key: &str) -> Array {
    let value = get(object, key);
    if Array::is_array(&value) { value.unchecked_into() } else { Array::new() }
}

/// A new object of these properties; those undefined are left out.
pub(crate) fn of(properties: &[(&str, &JsValue)]) -> JsValue {
    let object = Object::new().into();
    for (key, value) in properties {
        set(&object, key, value);
    }
    object
}

/// Sets a property; undefined is left out.
pub(crate) fn set(object: &JsValue, key: &str, value: &JsValue) {
    if !value.is_undefined() {
        // It fails only on what is no object, or is frozen: not on what is set here.
        let _ = Reflect::set(object, &key.into(), value);
    }
}

/// Calls a method, if there is one; what it throws is the error.
pub(crate) fn call(object: &JsValue, method: &str, argument: &JsValue) -> Result<JsValue, JsValue> {
    let method = get(object, method);
    if method.is_function() {
        method.unchecked_into::<Function>().call1(object, argument)
    } else {
        Ok(JsValue::UNDEFINED)
    }
}

/// JSON text to a value; undefined where it is not JSON.
pub(crate) fn parse(text: &str) -> JsValue {
    JSON::parse(text).unwrap_or(JsValue::UNDEFINED)
}

/// A value to JSON text.
pub(crate) fn stringify(value: &JsValue) -> String {
    JSON::stringify(value).map(String::from).unwrap_or_default()
}
