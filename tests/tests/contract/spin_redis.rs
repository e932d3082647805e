//! The Spin component on the wasmtime host, with its store in a real Redis whose outboxes the origin's own code empties.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use slotkeeper::{
    edges::{Streams, keep_draining},
    log::{Entry, Log, LogError, LogWriter, Received},
};
use slotkeeper_core::keys::Purpose;
use slotkeeper_tests::{Fault, Op, Reuse};
use slotkeeper_tests_redis::{CutProxy, RedisServer};
use tokio::sync::watch;

use crate::{
    edge::{Runtime, StoreFault},
    spin::Spin,
    world,
};

/// Fewer than usual, so that viewers of a test share some.
pub(crate) const SHARDS: &str = "5";

/// A host whose component reaches its Redis through a proxy.
pub(crate) struct SpinRedis {
    pub(crate) spin: Spin,
    pub(crate) proxy: CutProxy,
    // Ends before the server does.
    _origin: Draining,
    pub(crate) server: RedisServer,
}

impl SpinRedis {
    /// What the component is told of the Redis behind `url`.
    pub(crate) fn settings(settings: &[(String, String)], url: &str) -> Vec<(String, String)> {
        let own = [("store", "redis"), ("redis_url", url), ("redis_shards", SHARDS)];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        // Later ones win.
        own.into_iter().chain(settings.iter().cloned()).collect()
    }
}

impl Runtime for SpinRedis {
    const CLIENT_ADDRESS: &'static str = Spin::CLIENT_ADDRESS;

    async fn start(settings: &[(String, String)], folder: &Path) -> Self {
        let server = RedisServer::over(folder);
        let proxy = CutProxy::start(server.address()).await;
        let spin = Spin::with_reuse(&Self::settings(settings, &proxy.url()), folder, Reuse::SPIN);
        Self { spin, proxy, _origin: Draining::start(&server, settings), server }
    }

    async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.spin.send(request).await
    }

    async fn strike(&self, fault: Option<StoreFault>) {
        let world = &self.spin.world;
        let redis = [Op::RedisOpen, Op::RedisExecute];
        world.clear_faults();
        match fault {
            None => {}
            Some(StoreFault::Error) => drop(world.inject(redis, "*", u32::MAX, Fault::Error("broken pipe"))),
            Some(StoreFault::Hang) => {
                drop(world.inject(redis, "*", u32::MAX, Fault::Hang(Duration::from_hours(1))));
            }
            Some(StoreFault::NextCommitIsAmbiguous) => {
                // Of all scripts, only the commit's names an outbox.
                self.spin.make_ambiguous(Op::RedisExecute, "EVALSHA * sk:{*}:o *");
            }
        }
    }

    /// The edge and its Redis at once.
    async fn kill(mut self) {
        self.server.kill_9();
        self.spin.kill().await;
    }
}

/// The origin's emptying of the outboxes, whose log is the collector of the test.
struct Draining(watch::Sender<bool>);

impl Draining {
    fn start(server: &RedisServer, settings: &[(String, String)]) -> Self {
        let setting = |wanted| settings.iter().find(|(name, _)| name == wanted).expect("a setting").1.clone();
        let streams = Streams::new(&server.url(), SHARDS.parse().unwrap(), setting("edge_id")).unwrap();
        let collector = setting("origin_url").strip_prefix("http://").unwrap().to_owned();
        let (log, _) = LogWriter::start(CollectorLog { collector }).unwrap();
        let stop = watch::Sender::new(false);
        tokio::spawn(keep_draining(streams, log, stop.subscribe()));
        Self(stop)
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// A log that is durable when the collector says so.
struct CollectorLog {
    collector: String,
}

impl Log for CollectorLog {
    fn append(&mut self, batches: &[Received]) -> Result<u64, LogError> {
        batches.iter().try_for_each(|batch| self.post(&batch.bytes)).map(|()| 1)
    }

    fn read(&self, _: u64, _: usize) -> Result<Vec<Entry>, LogError> {
        Ok(vec![])
    }

    fn last_seq(&self) -> Result<u64, LogError> {
        Ok(0)
    }
}

impl CollectorLog {
    fn post(&self, batch: &[u8]) -> Result<(), LogError> {
        let bearer = world::keys().bearer(Purpose::Collector);
        let head = format!(
            "POST /v1/facts HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {bearer}\r\ncontent-length: {}\r\nconnection: \
             close\r\n\r\n",
            self.collector,
            batch.len()
        );
        let exchange = || {
            let mut stream = TcpStream::connect(&self.collector)?;
            stream.write_all(head.as_bytes())?;
            stream.write_all(batch)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        };
        let answer: std::io::Result<String> = exchange();
        match answer {
            Ok(answer) if answer.starts_with("HTTP/1.1 202") => Ok(()),
            Ok(answer) => Err(LogError(answer.lines().next().unwrap_or_default().to_owned())),
            Err(error) => Err(LogError(error.to_string())),
        }
    }
}
