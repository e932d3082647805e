//! One HTTP/1.1 request over a connection of its own.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends `request` to a server on loopback and reads the whole response.
pub(crate) async fn send(
    address: SocketAddr,
    mut request: http::Request<Bytes>,
) -> anyhow::Result<http::Response<Bytes>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    request.headers_mut().insert(http::header::HOST, address.to_string().parse()?);
    let response = sender.send_request(request.map(Full::new)).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    driving.abort();
    Ok(http::Response::from_parts(parts, body))
}
