//! A proxy that passes everything on until it is told to break something.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// More than any command or reply of the tests, so that each passes in one piece.
const PIECE_BYTES: usize = 256 * 1024;

/// A TCP proxy in front of a server. Ends when dropped.
pub struct CutProxy {
    address: SocketAddr,
    way: Arc<Way>,
    listening: JoinHandle<()>,
}

/// What all connections share.
struct Way {
    server: SocketAddr,
    flow: watch::Sender<Flow>,
    /// Counts up to cut the connections that there are.
    cuts: watch::Sender<u32>,
    trap: Mutex<Option<Trap>>,
    struck: watch::Sender<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Held,
    Refused,
}

/// Waits for the next command whose bytes hold this text.
struct Trap {
    text: String,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    Hold,
    LoseReply,
}

impl CutProxy {
    /// Listens on a port of its own.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(Way {
            server,
            flow: watch::Sender::new(Flow::On),
            cuts: watch::Sender::new(0),
            trap: Mutex::default(),
            struck: watch::Sender::new(0),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&way)));
        Self { address, way, listening }
    }

    /// As clients are told of it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The next command that holds `text` is executed; its reply is lost, and the connection with it. [`Self::struck`]
    /// tells when.
    pub fn lose_reply_to(&self, text: &str) {
        self.set(text, Then::LoseReply);
    }

    /// From the next command that holds `text` on, that one included, nothing passes any more in any direction.
    /// [`Self::struck`] tells when.
    pub fn hold_at(&self, text: &str) {
        self.set(text, Then::Hold);
    }

    /// Nothing passes any more; what is sent meanwhile passes later.
    pub fn hold(&self) {
        self.way.flow.send_replace(Flow::Held);
    }

    /// Ends all connections, and every new one at once.
    pub fn refuse(&self) {
        self.way.flow.send_replace(Flow::Refused);
        self.cut();
    }

    /// Ends all connections there are. What was held on them never passes.
    pub fn cut(&self) {
        self.way.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// All is well again.
    pub fn pass(&self) {
        self.way.flow.send_replace(Flow::On);
    }

    /// Waits until what was set has struck, and forgets that it has.
    pub async fn struck(&self) {
        self.way.struck.subscribe().wait_for(|struck| *struck > 0).await.unwrap();
        self.way.struck.send_modify(|struck| *struck -= 1);
    }

    fn set(&self, text: &str, then: Then) {
        *self.way.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some(Trap { text: text.to_owned(), then });
    }
}

impl Drop for CutProxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

async fn listen(listener: TcpListener, way: Arc<Way>) {
    while let Ok((client, _)) = listener.accept().await {
        if *way.flow.borrow() != Flow::Refused {
            tokio::spawn(pass(client, Arc::clone(&way)));
        }
    }
}

/// One connection, until either side or a cut ends it.
async fn pass(client: TcpStream, way: Arc<Way>) {
    let mut cuts = way.cuts.subscribe();
    let Ok(server) = TcpStream::connect(way.server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let lost = watch::Sender::new(false);
    tokio::select! {
        _ = cuts.changed() => {}
        _ = commands(from_client, to_server, &way, &lost) => {}
        _ = replies(from_server, to_client, &way, lost.subscribe()) => {}
    }
}

async fn commands(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: &Way,
    lost: &watch::Sender<bool>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        match way.strike(&piece[..length]) {
            None => {}
            Some(Then::Hold) => {
                way.flow.send_replace(Flow::Held);
                way.struck.send_modify(|struck| *struck += 1);
            }
            Some(Then::LoseReply) => {
                lost.send_replace(true);
            }
        }
        way.until_on().await;
        to.write_all(&piece[..length]).await?;
    }
}

async fn replies(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: &Way,
    lost: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = from.read(&mut piece).await?;
        if *lost.borrow() {
            way.struck.send_modify(|struck| *struck += 1); // the reply is here, so the command took effect
            return Ok(());
        }
        if length == 0 {
            return Ok(());
        }
        way.until_on().await;
        to.write_all(&piece[..length]).await?;
    }
}

impl Way {
    /// What happens to this piece of commands.
    fn strike(&self, piece: &[u8]) -> Option<Then> {
        let mut trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        let text = trap.as_ref()?.text.as_bytes();
        piece.windows(text.len()).any(|window| window == text).then(|| trap.take().unwrap().then)
    }

    async fn until_on(&self) {
        // Cannot fail: we hold the sender.
        let _ = self.flow.subscribe().wait_for(|flow| *flow == Flow::On).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::{Client, Connection, RedisResult};

    use super::*;
    use crate::RedisServer;

    /// On a thread of its own: the client here is a blocking one.
    async fn on_thread<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    async fn connect(proxy: &CutProxy) -> RedisResult<Connection> {
        let url = proxy.url();
        on_thread(move || Client::open(url)?.get_connection()).await
    }

    async fn increment(mut connection: Connection) -> RedisResult<(i64, Connection)> {
        on_thread(move || Ok((redis::cmd("INCR").arg("n").query(&mut connection)?, connection))).await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_lost_reply_is_of_a_command_that_took_effect() {
        let server = RedisServer::start();
        let proxy = CutProxy::start(server.address()).await;
        let (one, connection) = increment(connect(&proxy).await.unwrap()).await.unwrap();
        assert_eq!(one, 1);
        proxy.lose_reply_to("INCR");
        assert!(increment(connection).await.is_err());
        proxy.struck().await;
        assert_eq!(increment(connect(&proxy).await.unwrap()).await.unwrap().0, 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_held_passes_later_unless_it_is_cut() {
        let server = RedisServer::start();
        let proxy = CutProxy::start(server.address()).await;
        let connection = connect(&proxy).await.unwrap();
        proxy.hold_at("INCR");
        let held = tokio::spawn(increment(connection));
        proxy.struck().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!held.is_finished());
        proxy.pass();
        let (one, connection) = held.await.unwrap().unwrap();
        assert_eq!(one, 1);

        proxy.hold_at("INCR");
        let held = tokio::spawn(increment(connection));
        proxy.struck().await;
        proxy.cut();
        assert!(held.await.unwrap().is_err());
        proxy.pass();
        assert_eq!(increment(connect(&proxy).await.unwrap()).await.unwrap().0, 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refused_connection_is_of_no_use() {
        let server = RedisServer::start();
        let proxy = CutProxy::start(server.address()).await;
        proxy.refuse();
        assert!(connect(&proxy).await.is_err());
        proxy.pass();
        assert!(connect(&proxy).await.is_ok());
    }
}
