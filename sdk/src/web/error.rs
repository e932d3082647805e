//! What the promises of this SDK reject with: an `Error` that also carries the edge's code and field.

use js_sys::Error;
use wasm_bindgen::JsValue;

use super::object;

/// Why a call failed, for programs and for people.
#[derive(Clone, Debug)]
pub(super) struct SdkError {
    code: String,
    field: Option<String>,
    message: String,
    status: Option<u16>,
}

impl SdkError {
    /// One of the SDK's own.
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), field: None, message: message.into(), status: None }
    }

    /// An argument that cannot be accepted.
    pub(super) fn argument(field: &str, message: &str) -> Self {
        Self { field: Some(field.into()), ..Self::new("invalid_argument", format!("{field}: {message}")) }
    }

    /// After `destroy()`.
    pub(super) fn destroyed() -> Self {
        Self::new("client_destroyed", "this client was destroyed; load a new one")
    }

    /// What the edge answered, in its own words where it found some.
    pub(super) fn from_edge(status: u16, body: &str) -> Self {
        let error = object::get(&object::parse(body), "error");
        Self {
            code: object::text(&error, "code").unwrap_or_else(|| "edge_error".into()),
            field: object::text(&error, "field"),
            message: object::text(&error, "message").unwrap_or_else(|| format!("the edge answered {status}")),
            status: Some(status),
        }
    }
}

impl From<SdkError> for JsValue {
    fn from(error: SdkError) -> Self {
        let js = Error::new(&error.message);
        js.set_name("SlotkeeperError");
        object::set(&js, "code", &error.code.into());
        object::set(&js, "field", &error.field.map_or(Self::NULL, Self::from));
        object::set(&js, "status", &error.status.map_or(Self::NULL, Self::from));
        js.into()
    }
}
