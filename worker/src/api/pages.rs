//! The static pages, and the headers that every answer carries.

use std::path::Path;

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
};
use tower_http::{services::ServeDir, set_header::SetResponseHeaderLayer};

use crate::{edges::Edge, error::ApiError};

/// Adds the files below `www` to `routes`, and the headers of a page: nothing is cached without asking, and a page may
/// run only its own scripts, and talk only to this origin (also under its public URL) and the configured edges. Videos
/// may come from anywhere: creatives are booked with URLs of any host, also while the origin serves.
pub fn with_pages(routes: Router, www: Option<&Path>, edges: &[Edge], public_url: &str) -> Router {
    let nothing = || async { ApiError::not_found("page") };
    let routes = match www {
        // ServeDir refuses paths that leave the folder, knows MIME types, and answers byte ranges.
        Some(www) => {
            let files = ServeDir::new(www).call_fallback_on_method_not_allowed(true);
            routes.fallback_service(files.fallback(axum::routing::any(nothing)))
        }
        None => routes.fallback(nothing),
    };
    routes
        .method_not_allowed_fallback(|| async {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path takes another method")
        })
        .layer(set(header::CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .layer(set(header::CONTENT_SECURITY_POLICY, policy(edges, public_url)))
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
}

fn set(name: header::HeaderName, value: HeaderValue) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, value)
}

fn policy(edges: &[Edge], public_url: &str) -> HeaderValue {
    // With a slash at the end, a source is all that is below it; a path without one is that path only (CSP 3, 6.7.2.8).
    let edges: Vec<String> = edges.iter().map(|edge| format!("{}/", edge.url)).collect();
    let edges = edges.join(" ");
    let policy = format!(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
         connect-src 'self' {public_url}/ {edges}; img-src 'self' data: {edges}; media-src 'self' https: http: blob:; \
         object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'self'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_call_all_of_an_edge_below_its_base_path_and_show_videos_of_any_host() {
        let edges = ["http://edge/base".parse().unwrap(), "http://127.0.0.1:9".parse().unwrap()];
        let policy = policy(&edges, "http://origin");
        let policy = policy.to_str().unwrap();
        assert!(
            policy.contains("; connect-src 'self' http://origin/ http://edge/base/ http://127.0.0.1:9/;"),
            "{policy}"
        );
        assert!(policy.contains("; media-src 'self' https: http: blob:;"), "{policy}");
    }
}
