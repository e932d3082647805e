//! The HTTP server under the routes: hyper, with bounds on what a client can hold without sending.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::sleep,
};

use crate::limit::Peer;

/// How long to wait when no connection can be accepted, which is while the process has no file to spare.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// What clients may hold together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How many connections are open at once; further ones wait in the system's queue.
    pub(crate) connections_max: usize,
    /// How long a client may take to begin its next request and send its head.
    pub(crate) head_timeout: Duration,
}

impl Bounds {
    /// Far more than pages and edges need, and fewer than the files that a process may open.
    pub(crate) const ORIGIN: Self = Self { connections_max: 1_024, head_timeout: Duration::from_secs(10) };
}

/// Answers on `listener` until `stop` turns true, and then what has been asked by then.
pub(crate) async fn answer(listener: TcpListener, routes: Router, bounds: Bounds, mut stop: watch::Receiver<bool>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head_timeout);
    let room = Arc::new(Semaphore::new(bounds.connections_max));
    let open = GracefulShutdown::new();
    loop {
        let (place, stream, peer) = tokio::select! {
            next = next(&listener, &room) => next,
            _ = stop.wait_for(|stop| *stop) => break, // an error means that the sender is gone, which is the same
        };
        let routes = routes.clone().layer(Extension(Peer(peer.ip())));
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
        let connection = open.watch(connection);
        tokio::spawn(async move {
            let _ = connection.await; // the client's fault, or its absence
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
}

/// The next connection, once there is room for it.
async fn next(listener: &TcpListener, room: &Arc<Semaphore>) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
    let place = Arc::clone(room).acquire_owned().await.ok(); // fails only when closed, which nobody does
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (place, stream, peer),
            Err(error) if has_hung_up(&error) => {}
            Err(error) => {
                crate::tell!("slotkeeper: cannot accept a connection: {error}");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn has_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;

    /// Less than the 30 seconds after which hyper gives up unasked.
    const PATIENCE: Duration = Duration::from_secs(10);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: o\r\n\r\n";

    async fn start(bounds: Bounds) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), watch::Sender::new(false));
        let here = |Extension(Peer(address)): Extension<Peer>| async move { address.to_string() };
        let routes = Router::new().route("/", get(here));
        tokio::spawn(answer(listener, routes, bounds, stop.subscribe()));
        (address, stop)
    }

    async fn is_answered(client: &mut TcpStream) -> bool {
        let mut answer = [0; 15];
        client.read_exact(&mut answer).await.is_ok() && answer == *b"HTTP/1.1 200 OK"
    }

    #[tokio::test]
    async fn every_request_carries_the_address_it_came_from() {
        let (address, _stop) = start(Bounds::ORIGIN).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: o\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_ends_its_connection() {
        let (address, _stop) = start(Bounds { head_timeout: Duration::from_millis(50), ..Bounds::ORIGIN }).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(&REQUEST[..20]).await.unwrap();
        let mut rest = Vec::new();
        let closed = timeout(PATIENCE, slow.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it is still open");
    }

    #[tokio::test]
    async fn connections_past_the_bound_wait_for_one_that_ends() {
        let (address, _stop) = start(Bounds { connections_max: 1, ..Bounds::ORIGIN }).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(REQUEST).await.unwrap();
        assert!(is_answered(&mut first).await);
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(REQUEST).await.unwrap();
        assert!(
            timeout(Duration::from_millis(200), second.readable()).await.is_err(),
            "it is answered beside the first"
        );
        drop(first);
        assert!(is_answered(&mut second).await);
    }
}
