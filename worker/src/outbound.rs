//! Calling the world: URLs that somebody booked, or that somebody's answer names.
//!
//! Whoever writes such a URL must not choose whom this machine talks to in its own network. So every connection, to a name
//! or to a literal address, of a first call or of a redirect, is opened by one connector that resolves, refuses what is not
//! public, and connects to the very addresses it looked at: there is no second look-up in between.
//!
//! **Invariants.** `http` and `https` only. No proxy, no cookies, no `Referer`, no credentials. Every call has a deadline,
//! every answer a bound, every chain of redirects an end.

mod addresses;
mod connector;
#[cfg(test)]
mod tests;

use std::{error::Error as _, str::FromStr, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    HeaderMap, Request, StatusCode,
    body::{Bytes, Incoming},
    header,
};
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, version};
use url::Url;

pub use addresses::why_not_public;
pub use connector::ConnectError;
pub(crate) use connector::Guard;
use connector::{Exempt, Resolve, system};

/// Who calls.
const USER_AGENT: &str = concat!("Slotkeeper/", env!("CARGO_PKG_VERSION"));
/// The longest URL that is called.
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// An answer with more header fields is none.
const HEADERS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 32 * 1024;
const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 16;
const IDLE: Duration = Duration::from_secs(30);

/// What a call may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// All of it: names, connections, redirects, the last byte.
    pub deadline: Duration,
    /// How many redirects are followed, each checked like the first URL. 0 gives the redirect itself as the answer.
    pub redirects_max: u8,
    /// How much of a body is read.
    pub body_bytes_max: usize,
    /// What becomes of a body that is longer.
    pub longer: Longer,
}

/// What to do with a body past its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Longer {
    /// The call has failed.
    Refused,
    /// The rest is not read.
    CutOff,
}

/// What came back, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The URL that answered: the last of a chain of redirects.
    pub url: String,
    /// The HTTP status.
    pub status: StatusCode,
    /// The head.
    pub headers: HeaderMap,
    /// As much of the body as was asked for.
    pub body: Vec<u8>,
}

/// A call without an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct OutboundError {
    /// The URL that failed: the last of a chain of redirects.
    pub url: String,
    /// What was wrong.
    pub fault: Fault,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a URL that is called.
    #[error("not a URL to call: {0}")]
    Url(&'static str),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The deadline came first.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The connection broke, or what came is not HTTP.
    #[error("broken off: {0}")]
    Broken(String),
    /// More redirects than are followed.
    #[error("more than {0} redirects")]
    TooManyRedirects(u8),
    /// A body past its bound.
    #[error("a body of more than {0} bytes")]
    TooLarge(usize),
}

impl Fault {
    /// Whether calling again is no use: what is wrong is the URL, or where it leads.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Url(_) | Self::TooManyRedirects(_) | Self::Connect(ConnectError::NotPublic { .. }) => true,
            Self::Connect(_) | Self::TimedOut(_) | Self::Broken(_) | Self::TooLarge(_) => false,
        }
    }
}

/// A host as a URL names it, and a port. Parsed from `HOST:PORT`, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Not `HOST:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")]
pub struct NotHostPort;

impl FromStr for HostPort {
    type Err = NotHostPort;
    fn from_str(text: &str) -> Result<Self, NotHostPort> {
        let (_, port) = text.rsplit_once(':').ok_or(NotHostPort)?;
        let port = port.parse().map_err(|_| NotHostPort)?;
        let url = Url::parse(&format!("http://{text}/")).map_err(|_| NotHostPort)?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        let host = url.host_str().filter(|_| is_bare).ok_or(NotHostPort)?;
        Ok(Self { host: host.into(), port })
    }
}

/// The client. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Outbound {
    client: Client<Guard, Empty<Bytes>>,
}

impl Outbound {
    /// A client that calls the public internet, and `exempt` wherever they are: for tests, and for vendors in one's own
    /// network.
    pub fn new(exempt: impl IntoIterator<Item = HostPort>) -> Self {
        Self::over(system(), exempt, public_roots())
    }

    fn over(resolve: Resolve, exempt: impl IntoIterator<Item = HostPort>, roots: RootCertStore) -> Self {
        let guard = Guard { resolve, exempt: Arc::new(Exempt::Hosts(exempt.into_iter().collect())), tls: tls(roots) };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST_MAX)
            .http1_max_headers(HEADERS_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(guard);
        Self { client }
    }

    /// Calls a URL, and follows redirects as far as `bounds` say.
    pub async fn get(&self, url: &str, bounds: &Bounds) -> Result<Answer, OutboundError> {
        let deadline = Instant::now() + bounds.deadline;
        let mut at = checked(url).map_err(|fault| OutboundError { url: url.into(), fault })?;
        let mut redirects = 0;
        loop {
            let failed = |fault| OutboundError { url: at.to_string(), fault };
            let answered = timeout_at(deadline, self.answer(&at, bounds)).await;
            let answer = answered.map_err(|_| failed(Fault::TimedOut(bounds.deadline)))?.map_err(failed)?;
            let Some(location) = location(&answer).filter(|_| bounds.redirects_max > 0) else { return Ok(answer) };
            if redirects == bounds.redirects_max {
                return Err(failed(Fault::TooManyRedirects(bounds.redirects_max)));
            }
            redirects += 1;
            let next = at.join(location).map_err(|_| failed(Fault::Url("it is redirected to what is no URL")))?;
            at = checked(next.as_str()).map_err(|fault| OutboundError { url: next.to_string(), fault })?;
        }
    }

    async fn answer(&self, url: &Url, bounds: &Bounds) -> Result<Answer, Fault> {
        let request = Request::get(url.as_str())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .body(Empty::new())
            .map_err(|_| Fault::Url("it has characters that no request can carry"))?;
        let response = self.client.request(request).await.map_err(|error| fault_of(&error))?;
        let (head, body) = response.into_parts();
        let body = read(body, bounds).await?;
        Ok(Answer { url: url.to_string(), status: head.status, headers: head.headers, body })
    }
}

/// Whom browsers trust.
fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots
}

/// TLS 1.2 and 1.3 with whom `roots` vouch for.
fn tls(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .unwrap_or_else(|_| unreachable!("ring has suites for both versions"));
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

/// The URL as it will be called, if it is one that is. Its fragment stays here, as in a browser.
fn checked(url: &str) -> Result<Url, Fault> {
    if url.len() > URL_BYTES_MAX {
        return Err(Fault::Url("it is longer than 8192 bytes"));
    }
    let mut url = Url::parse(url).map_err(|_| Fault::Url("it cannot be read as one"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Fault::Url("its scheme is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::Url("it carries a user or a password"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// Where an answer sends the caller, if it does.
fn location(answer: &Answer) -> Option<&str> {
    matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308).then_some(())?;
    answer.headers.get(header::LOCATION)?.to_str().ok()
}

async fn read(mut body: Incoming, bounds: &Bounds) -> Result<Vec<u8>, Fault> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| Fault::Broken(error.to_string()))?.into_data() else { continue };
        let room = bounds.body_bytes_max - read.len();
        if data.len() > room {
            if bounds.longer == Longer::Refused {
                return Err(Fault::TooLarge(bounds.body_bytes_max));
            }
            read.extend_from_slice(&data[..room]);
            break;
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

/// hyper's own words say only that connecting failed; the connector's say why.
fn fault_of(error: &legacy::Error) -> Fault {
    let mut cause = error.source();
    let mut last = error.to_string();
    while let Some(deeper) = cause {
        if let Some(connect) = deeper.downcast_ref::<ConnectError>() {
            return Fault::Connect(connect.clone());
        }
        last = deeper.to_string();
        cause = deeper.source();
    }
    Fault::Broken(last)
}
