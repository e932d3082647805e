//! The component as an HTTP/1.1 server on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;

use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

use super::host::{ResponseBody, SpinHost, failed};

/// A server at work. Dropping it closes its port and all its connections at once.
#[must_use = "dropping it ends the server"]
pub struct Serving {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, as in `http://127.0.0.1:8080/v1/break`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl SpinHost {
    /// Serves the component as HTTP/1.1 with keep-alive. The server keeps the host alive.
    ///
    /// Unlike Spin it sets `TCP_NODELAY`, so that figures measured through it are the component's and not those of
    /// delayed acknowledgements.
    pub fn serve(&self, listener: TcpListener) -> std::io::Result<Serving> {
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(self.clone(), listener));
        Ok(Serving { address, accepting })
    }
}

async fn accept(host: SpinHost, listener: TcpListener) {
    // Ends its connections when it is dropped.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error concerns the one connection only, which its client has given up.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(talk(host.clone(), stream));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn talk(host: SpinHost, stream: TcpStream) {
    // Only slower without it.
    let _ = stream.set_nodelay(true);
    let client = stream.peer_addr().ok().and_then(|address| HeaderValue::from_str(&address.to_string()).ok());
    let service = service_fn(|mut request| {
        if let Some(client) = &client {
            // As Spin does it: behind what the client has sent under that name.
            Request::headers_mut(&mut request).append("spin-client-addr", client.clone());
        }
        answer(&host, request)
    });
    // An error is the client's: it hung up or does not speak HTTP.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(host: &SpinHost, request: http::Request<Incoming>) -> Result<http::Response<ResponseBody>, Infallible> {
    let request = request.map(|body| body.map_err(|error| unreadable(&error).into()).boxed_unsync());
    let nothing = || Empty::new().map_err(|never| match never {}).boxed_unsync();
    Ok(host.stream(request).await.unwrap_or_else(|_| failed(nothing())))
}

fn unreadable(error: &hyper::Error) -> ErrorCode {
    ErrorCode::InternalError(Some(error.to_string()))
}
