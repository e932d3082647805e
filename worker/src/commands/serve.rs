//! `slotkeeper serve`.

use std::{io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use slotkeeper::{
    edges::Streams,
    say,
    serve::{Options, serve},
};
use slotkeeper_core::{limit::REQUESTS_PER_MINUTE_DEFAULT, redis::Shards};
use tokio::signal::unix::{SignalKind, signal};

use super::{Data, Shared, runtime};

/// How long what still runs may take to end, after everything that matters has ended.
const LAST_WAIT: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    shared: Shared,

    /// Where to listen; port 0 takes any that is free
    #[arg(long, env = "SLOTKEEPER_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The folder of the pages; without, only the API is served
    #[arg(long, env = "SLOTKEEPER_WWW", value_name = "DIR")]
    www: Option<PathBuf>,

    /// How often to publish a plan with fresh allocations; 0 never
    #[arg(long, env = "SLOTKEEPER_PUBLISH_EVERY", default_value_t = 60, value_name = "SECONDS")]
    publish_every: u64,

    /// How many requests of pages and API one address may make a minute; 0 is as many as it likes. Behind a reverse proxy
    /// on another machine all clients have one address: have the proxy limit them, and set 0 here
    #[arg(long, env = "SLOTKEEPER_REQUESTS_PER_MINUTE", default_value_t = REQUESTS_PER_MINUTE_DEFAULT, value_name = "N")]
    requests_per_minute: u32,

    #[command(flatten)]
    redis: Redis,
}

/// The outboxes of edges whose store is Redis.
#[derive(Args)]
struct Redis {
    /// The Redis that edges keep their outboxes in, to empty them. With a password in it, better in the environment
    #[arg(id = "redis", long = "redis", env = "SLOTKEEPER_REDIS", hide_env_values = true, value_name = "URL")]
    url: Option<String>,

    /// As many as the edges have
    #[arg(long = "redis-shards", env = "SLOTKEEPER_REDIS_SHARDS", default_value_t, value_name = "COUNT")]
    shards: Shards,

    /// The edge under whose name the facts from there are booked
    #[arg(long = "redis-edge-id", env = "SLOTKEEPER_REDIS_EDGE_ID", default_value = "spin", value_name = "NAME")]
    edge_id: String,
}

impl Redis {
    fn streams(self) -> anyhow::Result<Option<Streams>> {
        let Some(url) = self.url else { return Ok(None) };
        let streams = Streams::new(&url, self.shards, self.edge_id);
        streams.map(Some).context("--redis (SLOTKEEPER_REDIS) and its options")
    }
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let options = Options {
            data: self.data.data,
            keys: self.shared.keyring()?,
            edges: self.shared.edges(),
            streams: self.redis.streams()?,
            listen: self.listen,
            www: self.www,
            publish_every: (self.publish_every > 0).then(|| Duration::from_secs(self.publish_every)),
            requests_per_minute: self.requests_per_minute,
            public_url: self.shared.public_url()?,
        };
        let runtime = runtime()?;
        let outcome = runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
            let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
            let stop = async {
                tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
            };
            serve(options, announce, stop).await.map_err(anyhow::Error::from)
        });
        runtime.shutdown_timeout(LAST_WAIT);
        outcome.map(|()| ExitCode::SUCCESS)
    }
}

/// Whoever started the origin waits for this line.
fn announce(address: SocketAddr) {
    say!("slotkeeper origin on http://{address}");
    let _ = std::io::stdout().flush(); // nobody may be reading, and the origin serves all the same
}
