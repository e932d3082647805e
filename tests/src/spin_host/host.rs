//! A running component: requests in, responses out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::{oneshot, watch};
use wasmtime_wasi_http::handler::{ErrorCode, ExpirationError, InstantiationError, ProxyHandler};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode as GuestError;

use super::component::{Component, into_anyhow};
use super::instance::{InInstance, Instances, Reuse};
use super::world::World;

/// A component running in a world. Clones are the same host; when the last is dropped, its instances end, whatever
/// they are at, and what they had not committed is lost.
#[derive(Clone)]
pub struct SpinHost(Arc<Running>);

struct Running {
    handler: ProxyHandler<Instances>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handler.state().stop.send_replace(true);
    }
}

/// The body of a request on its way into the guest.
pub(super) type RequestBody = UnsyncBoxBody<Bytes, ErrorCode>;

/// The body of a response on its way out of it.
pub(super) type ResponseBody = UnsyncBoxBody<Bytes, wasmtime::Error>;

impl SpinHost {
    /// Runs `component` in `world`. Its first instance begins with its first request.
    pub fn new(component: &Component, world: &Arc<World>, reuse: Reuse) -> Self {
        let instances = Instances {
            component: component.clone(),
            world: Arc::clone(world),
            reuse,
            begun: AtomicU64::new(0),
            stop: watch::Sender::new(false),
        };
        SpinHost(Arc::new(Running { handler: ProxyHandler::new(instances) }))
    }

    /// The guest's response to a request.
    ///
    /// Where the guest has none, because it trapped, took too long or answered by an error, this is what Spin sends
    /// then: status 500 and nothing else. [`World::output`] and [`SpinHost::try_handle`] tell why.
    pub async fn handle(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        self.try_handle(request).await.unwrap_or_else(|_| failed(Bytes::new()))
    }

    /// As [`SpinHost::handle`], with the reason why there is no response.
    ///
    /// The URL needs a path only; its authority is taken from the `host` header, and failing that is `127.0.0.1`.
    pub async fn try_handle(&self, request: http::Request<Bytes>) -> anyhow::Result<http::Response<Bytes>> {
        let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
        let (parts, body) = self.stream(request).await.map_err(into_anyhow)?.into_parts();
        let body = body.collect().await.map_err(into_anyhow)?.to_bytes();
        Ok(http::Response::from_parts(parts, body))
    }

    /// The response as soon as its head is known.
    pub(super) async fn stream(
        &self,
        mut request: http::Request<RequestBody>,
    ) -> wasmtime::Result<http::Response<ResponseBody>> {
        *request.uri_mut() = absolute(&request)?;
        let line = format!("{} {}", request.method(), request.uri());
        let (in_instance, ended) = oneshot::channel();
        let response = self.0.handler.handle(in_instance, request).await;
        if let Err(error) = &response {
            if is_death(error) {
                // So that the trap is on record before the caller can look for it. Errs always: nothing is sent.
                let _ = ended.await;
            }
            self.0.handler.state().world.note(&format!("no response to {line}: {error}"));
        }
        response
    }

    /// How many instances have begun so far.
    pub fn instances(&self) -> u64 {
        self.0.handler.state().begun.load(Relaxed)
    }

    /// Ends all instances and waits until they are gone, with their connections. Requests they are at fail; a back end
    /// at work for them is not interrupted.
    pub async fn stop(self) {
        let stop = &self.0.handler.state().stop;
        stop.send_replace(true);
        stop.closed().await;
    }
}

/// Whether a request has no response because its instance died.
fn is_death(error: &wasmtime::Error) -> bool {
    !error.is::<GuestError>() && !error.is::<ExpirationError>() && !error.is::<InstantiationError<InInstance>>()
}

/// What Spin sends when the guest has no response.
pub(super) fn failed<B>(empty: B) -> http::Response<B> {
    let mut response = http::Response::new(empty);
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// The URL of a request with all its parts, as Spin gives it to the guest.
fn absolute<B>(request: &http::Request<B>) -> wasmtime::Result<http::Uri> {
    let mut parts = request.uri().clone().into_parts();
    parts.scheme.get_or_insert(Scheme::HTTP);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    if parts.authority.is_none() {
        let host = request.headers().get(HOST).map_or(Ok("127.0.0.1"), |host| host.to_str())?;
        parts.authority = Some(host.parse::<Authority>()?);
    }
    Ok(http::Uri::from_parts(parts)?)
}
