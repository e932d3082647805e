//! All of the origin in one process: collector, fold, lake, plan publisher, outbox asker, API and pages.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use slotkeeper_core::keys::{Keyring, Purpose};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use crate::{
    api::{
        Api, READS_MAX, metrics::CollectorMetrics, pages, questions::Asker, slots::SlotReader, stream::Feed,
        summary::SummaryReader,
    },
    clock, collector,
    contracts::Contracts,
    data_dir::{DataDir, DataDirError, ServeLock},
    edges::{Edge, EdgeClient, EdgeError, EdgesSeen, Streams, keep_draining, keep_shipping},
    fold::{Fold, FoldError, Progress, Runner},
    forget::{self, ForgetError},
    lake, limit,
    log::{LogError, LogWriter, SqliteLog},
    outbound::HostPort,
    plan::{Folding, Publisher, keep_publishing},
    registry::Registry,
    replay::Replayer,
    server::{self, Bounds},
    trackers::{self, Trackers, TrackersError},
};

/// How long open requests may go on once the origin is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// What `serve` needs to know.
pub struct Options {
    /// Where the state is.
    pub data: PathBuf,
    /// Where the lake is kept from its beginning on; without, where it is, or in the folder.
    pub lake: Option<String>,
    /// The secrets shared with the edges.
    pub keys: Keyring,
    /// Whom to publish to and whose outboxes to empty.
    pub edges: Vec<Edge>,
    /// The outboxes that edges keep in Redis, if they do.
    pub streams: Option<Streams>,
    /// Where to listen; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The folder of the pages.
    pub www: Option<PathBuf>,
    /// How often to publish a fresh plan; never without.
    pub publish_every: Option<Duration>,
    /// Whether and how vendors' trackers are called.
    pub trackers: Option<TrackerOptions>,
    /// How many requests of pages and API one address may make a minute; 0 is as many as it likes.
    pub requests_per_minute: u32,
    /// Where players reach this origin; without, the address it listens on.
    pub public_url: Option<String>,
}

/// How vendors' trackers are called.
pub struct TrackerOptions {
    /// What that may cost.
    pub limits: trackers::Limits,
    /// Who may be called wherever they are.
    pub exempt: Vec<HostPort>,
}

/// Why the origin cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The lake's place.
    #[error(transparent)]
    Lake(#[from] lake::PlaceError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The folded tables.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A viewer is half forgotten.
    #[error(
        "a viewer is forgotten in the log and not everywhere yet, and that is finished before anything is served: {0}"
    )]
    Forget(#[from] ForgetError),
    /// Another database of the data directory.
    #[error("data directory: {0}")]
    Database(#[from] rusqlite::Error),
    /// Calling vendors.
    #[error(transparent)]
    Trackers(#[from] TrackersError),
    /// The HTTP client.
    #[error("edges: {0}")]
    Edges(#[from] EdgeError),
    /// Nobody reaches an origin at an address that stands for all addresses.
    #[error(
        "listening on {0}, which is no address to reach it at: say with --public-url where players reach this origin"
    )]
    PublicUrl(SocketAddr),
    /// The listener.
    #[error("listening on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Serves until `stop` resolves; calls `ready` with the address once it answers there.
pub async fn serve(
    options: Options,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    if options.listen.ip().is_unspecified() && options.public_url.is_none() {
        return Err(ServeError::PublicUrl(options.listen));
    }
    let data = DataDir::open(&options.data)?;
    let lock = Arc::new(data.lock_for_serving()?);
    if let Some(url) = &options.lake {
        lake::place::choose(&data, url)?;
    }
    finish_forgetting(&data, &lock).await?;
    drop(Contracts::open(&data.contracts())?); // makes the tables that the readers below expect
    let fold = Fold::open(&data.fold(), Registry::open(&data.contracts())?)?;
    // Before anything can be logged: a new one begins at the log's end.
    let trackers =
        options.trackers.map(|trackers| Trackers::open(&data, trackers.limits, trackers.exempt)).transpose()?;
    let (log, writer) = LogWriter::start(SqliteLog::open(&data.log())?)?;
    let logged = *log.durable_seq().borrow();
    let client = EdgeClient::new(&options.keys)?;

    let listener = listen(options.listen).await?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen { address: options.listen, source })?;
    let public_url = options.public_url.clone().unwrap_or_else(|| format!("http://{address}"));

    let stopping = watch::Sender::new(false);
    let progress = watch::Sender::new(Progress { consumed_seq: fold.consumed_seq()?, error: None });
    let edges: Arc<[Edge]> = options.edges.clone().into();
    let collected = CollectorMetrics::default();
    let api = Api {
        slots: Arc::new(Mutex::new(SlotReader::open(&data)?)),
        summary: Arc::new(Mutex::new(SummaryReader::open(&data.fold())?)),
        replayer: Arc::new(Mutex::new(Replayer::open(&data)?)),
        reads: Arc::new(Semaphore::new(READS_MAX)),
        feed: Feed::new(SlotReader::open(&data)?),
        questions: Asker::new(data.clone()),
        stop: stopping.subscribe(),
        durable_seq: log.durable_seq(),
        fold: progress.subscribe(),
        collector: collected.clone(),
        trackers: trackers.as_ref().map(Trackers::progress),
        minting_key_id: options.keys.minting(Purpose::Admin).0,
        edges: Arc::clone(&edges),
        edges_seen: EdgesSeen::new(&edges),
    };

    let mut tasks = JoinSet::new();
    let feed = api.feed.clone();
    let runner = Runner::new(fold, Box::new(SqliteLog::open(&data.log())?));
    tasks.spawn(runner.run(log.durable_seq(), stopping.subscribe(), progress, move |changed| feed.tell(changed)));
    if let Some(trackers) = trackers {
        tasks.spawn(trackers.run(log.durable_seq(), stopping.subscribe()));
    }
    tasks.spawn(lake::keep_advancing(data.clone(), stopping.subscribe()));
    for edge in edges.iter() {
        tasks.spawn(keep_shipping(client.clone(), edge.clone(), api.edges_seen.clone(), stopping.subscribe()));
    }
    if let Some(streams) = options.streams {
        tasks.spawn(keep_draining(streams, log.clone(), stopping.subscribe()));
    }
    if let Some(every) = options.publish_every {
        let (data, keys, public_url) = (data.clone(), options.keys.clone(), Some(public_url.clone()));
        let publisher = Publisher { data, keys, client, edges: Arc::clone(&edges), public_url };
        let folding = Folding { logged, progress: api.fold.clone() };
        tasks.spawn(keep_publishing(publisher, every, folding, api.edges_seen.clone(), stopping.subscribe()));
    }

    let routes = api.routes().merge(collector::routes(options.keys, log, collected));
    let routes = pages::with_pages(routes, options.www.as_deref(), &edges, &public_url);
    let routes = limit::limited(routes, options.requests_per_minute);
    let server = tokio::spawn(server::answer(listener, routes, Bounds::ORIGIN, stopping.subscribe()));
    ready(address);
    stop.await;
    stopping.send_replace(true);
    let _ = timeout(DRAIN, server).await; // a request that takes longer is broken off; its sender tries again
    let _ = timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
    tasks.shutdown().await;
    // The routes held the last handle on the log; without one the writer ends after its last commit.
    let _ = timeout(DRAIN, tokio::task::spawn_blocking(move || writer.join())).await;
    Ok(())
}

/// Whoever began to be forgotten is forgotten before anything is read of what they are still in.
async fn finish_forgetting(data: &DataDir, lock: &Arc<ServeLock>) -> Result<(), ServeError> {
    let (data, lock) = (data.clone(), Arc::clone(lock));
    let finish = move || {
        let tell = |what: &str| crate::tell!("slotkeeper: {what}");
        forget::finish_before_serving(&data, &lock, clock::now(), &tell)
    };
    match tokio::task::spawn_blocking(finish).await {
        Ok(finished) => Ok(finished?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}
