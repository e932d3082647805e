//! `slotkeeper serve`.

use std::{io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use slotkeeper::{
    edges::Streams,
    outbound::HostPort,
    output::tell_json,
    say,
    serve::{Options, TrackerOptions, serve},
    trackers::Limits,
};
use slotkeeper_core::{limit::REQUESTS_PER_MINUTE_DEFAULT, redis::Shards};
use tokio::signal::unix::{SignalKind, signal};

use super::{Data, LakePlace, Shared, runtime};

/// How long what still runs may take to end, after everything that matters has ended.
const LAST_WAIT: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    lake: LakePlace,
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

    /// How to print what happens, on standard error
    #[arg(long, env = "SLOTKEEPER_LOG_FORMAT", value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,

    #[command(flatten)]
    redis: Redis,

    #[command(flatten)]
    trackers: Trackers,
}

/// What a line of the log is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// An object with `time`, `program` and `message`
    Json,
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

/// Calling the vendors whose trackers are booked.
#[derive(Args)]
struct Trackers {
    /// Call no vendor. What comes meanwhile is called for when this is left out again, if it is not too old then
    #[arg(long = "no-trackers", env = "SLOTKEEPER_NO_TRACKERS")]
    off: bool,

    /// A vendor that may be called although its address is not public; give it once for each. For tests and labs
    #[arg(long, env = "SLOTKEEPER_ALLOW_PRIVATE", value_delimiter = ',', value_name = "HOST:PORT")]
    allow_private: Vec<HostPort>,

    /// How many vendors' URLs are called at once
    #[arg(
        long = "trackers-at-once",
        default_value_t = 256,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    at_once: u16,

    /// How many of one vendor are called at once
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    vendor_at_once: u16,

    /// How many of one vendor are called a second
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    vendor_rate: u32,

    /// How often a call is tried before it is a dead letter
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    tracker_attempts: u32,

    /// The wait after a call's first failure; four times as long after each further one, an hour at most
    #[arg(long, default_value_t = 10_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    tracker_backoff_ms: u64,

    /// How long after its slot opened an event is called for
    #[arg(long, default_value_t = 72, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(1..=720))]
    tracker_age_hours: u64,

    /// How many calls may wait in all; past it, the log is not read on until some are made
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    tracker_queue: u64,

    /// How many calls may wait for one vendor; past it, they are dead letters at once
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    vendor_queue: u64,
}

impl Trackers {
    fn options(self) -> Option<TrackerOptions> {
        let limits = Limits {
            in_flight_max: usize::from(self.at_once),
            vendor_in_flight_max: usize::from(self.vendor_at_once),
            vendor_rate_per_s: self.vendor_rate,
            attempts_max: self.tracker_attempts,
            backoff: Duration::from_millis(self.tracker_backoff_ms),
            age_max: Duration::from_hours(self.tracker_age_hours),
            queue_max: self.tracker_queue,
            vendor_queue_max: self.vendor_queue,
            ..Limits::default()
        };
        (!self.off).then_some(TrackerOptions { limits, exempt: self.allow_private })
    }
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
        if self.log_format == LogFormat::Json {
            tell_json();
        }
        let options = Options {
            data: self.data.data,
            lake: self.lake.url,
            keys: self.shared.keyring()?,
            edges: self.shared.edges(),
            streams: self.redis.streams()?,
            listen: self.listen,
            www: self.www,
            publish_every: (self.publish_every > 0).then(|| Duration::from_secs(self.publish_every)),
            trackers: self.trackers.options(),
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
