//! The one shape in which the origin says no: [`ErrorResponse`], with the HTTP status beside it.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use slotkeeper_core::api::{ErrorBody, ErrorResponse};

/// An error to answer with.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: ErrorBody,
    retry_after_s: Option<u32>,
}

impl ApiError {
    /// An error named `code`.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let body = ErrorBody { code: code.into(), field: None, message: message.into() };
        Self { status, body, retry_after_s: None }
    }

    /// The request's fault, in one field.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, "invalid_field", message);
        error.body.field = Some(field.into());
        error
    }

    /// Not now; the client may try again after a second.
    pub fn busy(code: &str, message: impl Into<String>) -> Self {
        Self { retry_after_s: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message) }
    }

    /// Whether the caller is to try again, and nothing is wrong with what it sent.
    pub(crate) fn is_busy(&self) -> bool {
        self.status.is_server_error()
    }

    /// The caller has had its share of this minute.
    pub(crate) fn too_many_requests(per_minute: u32, retry_after_s: u32) -> Self {
        let message =
            format!("more than {per_minute} requests a minute from your address; try again in {retry_after_s} s");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message);
        Self { retry_after_s: Some(retry_after_s), ..error }
    }

    /// The origin's own fault. The cause goes to the operator, not to the caller.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        crate::tell!("slotkeeper: internal error: {cause}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the origin failed; its log says why")
    }

    /// No such thing.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} here"))
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorResponse { error: self.body })).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
