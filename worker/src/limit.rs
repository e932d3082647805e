//! How many requests a minute one address may make of the pages and their API.
//!
//! The origin is one long-lived process, so this is the limit, not an estimate of it. Edges are not limited: they prove who
//! they are. Behind a reverse proxy on another machine all clients have its address: switch the limit off here, and have
//! the proxy limit them.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use slotkeeper_core::limit::{Client, Limiter};

use crate::{clock, collector, error::ApiError};

/// How many clients are told apart; what that takes is at most some 3 MiB.
const CLIENTS_MAX: usize = 65_536;

/// Who is at the other end of a connection; every request on it carries this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// `routes`, but for the collector's only so often for one address; 0 is as often as anyone likes.
pub(crate) fn limited(routes: Router, requests_per_minute: u32) -> Router {
    let limiter = Arc::new(Mutex::new(Limiter::new(CLIENTS_MAX, requests_per_minute)));
    routes.layer(from_fn_with_state((limiter, requests_per_minute), admit))
}

async fn admit(State((limiter, bound)): State<(Arc<Mutex<Limiter>>, u32)>, request: Request, next: Next) -> Response {
    let client = request.extensions().get::<Peer>().and_then(|peer| Client::at(peer.0));
    let is_limited = request.uri().path() != collector::PATH;
    let admitted = if is_limited {
        limiter.lock().unwrap_or_else(PoisonError::into_inner).admit(client, clock::now())
    } else {
        Ok(())
    };
    match admitted {
        Ok(()) => next.run(request).await,
        Err(seconds) => ApiError::too_many_requests(bound, seconds).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{StatusCode, header},
        routing::get,
    };
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    async fn ask(routes: &Router, address: &str, path: &str) -> Response {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer(address.parse().unwrap()));
        TowerToHyperService::new(routes.clone()).call(request).await.unwrap()
    }

    #[tokio::test]
    async fn an_address_that_asks_too_often_is_told_when_to_come_back_and_edges_never_are() {
        let here = get(|| async { "here" });
        let routes = Router::new().route("/healthz", here.clone()).route(collector::PATH, here);
        let routes = limited(routes, 8);
        for _ in 0..2 {
            assert_eq!(ask(&routes, "192.0.2.1", "/healthz").await.status(), StatusCode::OK);
        }
        let refused = ask(&routes, "192.0.2.1", "/healthz").await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "8");
        assert_eq!(ask(&routes, "192.0.2.1", "/nothing").await.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(ask(&routes, "192.0.2.1", collector::PATH).await.status(), StatusCode::OK);
        assert_eq!(ask(&routes, "192.0.2.2", "/healthz").await.status(), StatusCode::OK);
        for _ in 0..9 {
            assert_eq!(ask(&routes, "127.0.0.1", "/healthz").await.status(), StatusCode::OK, "a proxy of our own");
        }
    }
}
