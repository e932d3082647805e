//! What is answered: a status, a body, headers. Every error leaves through [`Reply::error`].

use serde::Serialize;
use slotkeeper_core::api::{ErrorBody, ErrorResponse, InvalidField};

/// A response in no platform's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// All headers, `content-type` and CORS included.
    pub headers: Vec<(&'static str, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// The smallest transparent GIF: 1 × 1, 43 bytes.
const PIXEL_GIF: &[u8; 43] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

impl Reply {
    /// A body of the given type. Players on any page may read it.
    pub fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        let headers = vec![
            ("content-type", content_type.to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("access-control-allow-origin", "*".to_owned()),
        ];
        Self { status, headers, body }
    }

    /// The value as JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(status, "application/json", body),
            Err(error) => Self::error(500, "answer_not_serialisable", None, error.to_string()),
        }
    }

    /// JSON that is text already.
    pub fn json_bytes(status: u16, body: Vec<u8>) -> Self {
        Self::new(status, "application/json", body)
    }

    /// 503: what was sent is not recorded, and should be sent again in a second.
    pub fn try_again(code: &'static str, message: String) -> Self {
        Self::error(503, code, None, message).with_header("retry-after", "1".into())
    }

    /// Plain text.
    pub fn text(text: &str) -> Self {
        Self::new(200, "text/plain; charset=utf-8", text.into())
    }

    /// What a tracking pixel answers.
    pub fn pixel() -> Self {
        Self::new(200, "image/gif", PIXEL_GIF.to_vec())
    }

    /// Sends a browser on to `location`.
    pub fn redirect(location: String) -> Self {
        Self::new(302, "text/plain; charset=utf-8", Vec::new()).with_header("location", location)
    }

    /// For a page of the site `origin` that asks with credentials, as Google's IMA does: a browser then wants the site named.
    /// There are none that this edge would look at, so nothing is given away.
    #[must_use]
    pub fn for_page(mut self, origin: Option<String>) -> Self {
        let Some(origin) = origin else { return self };
        self.headers.retain(|(name, _)| *name != "access-control-allow-origin");
        self.with_header("access-control-allow-origin", origin)
            .with_header("access-control-allow-credentials", "true".into())
            .with_header("vary", "origin".into())
    }

    /// The answer to a CORS preflight, good for a day.
    pub fn preflight() -> Self {
        let mut reply = Self { status: 204, headers: Vec::new(), body: Vec::new() };
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET, POST"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-max-age", "86400"),
        ] {
            reply.headers.push((name, value.into()));
        }
        reply
    }

    /// An error in the one shape all errors have.
    pub fn error(status: u16, code: &str, field: Option<&str>, message: String) -> Self {
        let error = ErrorBody { code: code.into(), field: field.map(Into::into), message };
        let body = serde_json::to_vec(&ErrorResponse { error }).unwrap_or_default(); // strings always serialise
        Self::new(status, "application/json", body)
    }

    /// A field of the request that cannot be accepted.
    pub fn invalid(fault: InvalidField) -> Self {
        Self::error(400, "invalid_request", Some(&fault.field), fault.message)
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}
