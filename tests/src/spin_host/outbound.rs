//! The guest's outbound HTTP: answered by the test, sent to loopback, or denied.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{RequestOptions, WasiHttpHooks};

use super::fault::Op;
use super::world::World;

type Answer = dyn Fn(http::Request<Bytes>) -> http::Response<Bytes> + Send + Sync;

/// Where outbound requests go.
#[derive(Clone, Default)]
pub(super) enum Route {
    /// Nowhere: the guest gets the error that Spin gives for a host its manifest does not allow.
    #[default]
    Denied,
    /// To a function of the test.
    Answered(Arc<Answer>),
    /// To the loopback addresses, really.
    Loopback,
}

/// The client behind a guest's `wasi:http`.
pub(super) struct Outbound(pub(super) Arc<World>);

type Body = UnsyncBoxBody<Bytes, ErrorCode>;
type Done = Box<dyn Future<Output = Result<(), ErrorCode>> + Send>;
type Sent = Result<(http::Response<Body>, Done), TrappableError<ErrorCode>>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<Body>,
        options: Option<RequestOptions>,
        _: Done,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let world = Arc::clone(&self.0);
        Box::new(async move {
            let (parts, body) = request.into_parts();
            let request = http::Request::from_parts(parts, body.collect().await?.to_bytes());
            let key = format!("{} {}", request.method(), request.uri());
            let work = send(world.route(), request, options.unwrap_or_default());
            let response = world
                .call(Op::HttpSend, &key, |error| ErrorCode::InternalError(Some(error)), work)
                .await
                .map_err(TrappableError::trap)??;
            let response = response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
            Ok((response, Box::new(async { Ok(()) }) as Done))
        })
    }
}

async fn send(
    route: Route,
    request: http::Request<Bytes>,
    options: RequestOptions,
) -> Result<http::Response<Bytes>, ErrorCode> {
    match route {
        Route::Denied => Err(ErrorCode::HttpRequestDenied),
        Route::Answered(answer) => Ok(answer(request)),
        Route::Loopback => send_to_loopback(request, options).await,
    }
}

async fn send_to_loopback(
    mut request: http::Request<Bytes>,
    options: RequestOptions,
) -> Result<http::Response<Bytes>, ErrorCode> {
    let address = loopback_address(request.uri()).ok_or(ErrorCode::HttpRequestDenied)?;
    let connect = TcpStream::connect(address);
    let stream = within(options.connect_timeout, connect)
        .await
        .ok_or(ErrorCode::ConnectionTimeout)?
        .map_err(|error| refused(&error))?;
    stream.set_nodelay(true).map_err(internal)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(internal)?;
    // Ends when the sender is dropped and the response is read.
    tokio::spawn(connection);
    // On the wire the target is the path alone; the `host` header is already set.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(internal)?;
    let exchange = sender.send_request(request.map(Full::new));
    let response = within(options.first_byte_timeout, exchange)
        .await
        .ok_or(ErrorCode::ConnectionReadTimeout)?
        .map_err(internal)?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(internal)?.to_bytes();
    Ok(http::Response::from_parts(parts, body))
}

/// The address of a plain HTTP URL with a loopback address by its number, and of no other.
fn loopback_address(url: &http::Uri) -> Option<SocketAddr> {
    let ip = url.host()?.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok()?;
    let plain = url.scheme() == Some(&http::uri::Scheme::HTTP);
    (plain && ip.is_loopback()).then(|| SocketAddr::new(ip, url.port_u16().unwrap_or(80)))
}

async fn within<F: Future>(limit: Option<Duration>, work: F) -> Option<F::Output> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

fn refused(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        _ => internal(error.to_string()),
    }
}

fn internal(error: impl Into<Box<dyn Error>>) -> ErrorCode {
    ErrorCode::InternalError(Some(error.into().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_a_loopback_number_is_sent() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/plan", Some("127.0.0.1:8080")),
            ("http://127.0.0.1/plan", Some("127.0.0.1:80")),
            ("http://[::1]:8080/", Some("[::1]:8080")),
            ("https://127.0.0.1:8080/", None),
            ("http://127.0.0.1.example.com/", None),
            ("http://localhost:8080/", None),
            ("http://192.0.2.1/", None),
            ("/plan", None),
        ] {
            let address = loopback_address(&url.parse().unwrap());
            assert_eq!(address, expected.map(|address| address.parse().unwrap()), "{url}");
        }
    }
}
