//! Opening a connection: resolve, check, connect to what was checked.

use std::{
    collections::BTreeSet,
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig,
        pki_types::{CertificateDer, ServerName},
    },
};
use tower_service::Service;

use super::{HostPort, addresses::why_not_public, public_roots, tls};

/// How long one address may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// It would lead into a private network, or to this machine.
    #[error("{host} is {address}, which is not public ({what}), and nothing is sent there")]
    NotPublic {
        /// As the URL says.
        host: String,
        /// Where it leads.
        address: IpAddr,
        /// The block the address is in.
        what: &'static str,
    },
    /// The name has no address.
    #[error("{host} cannot be resolved: {reason}")]
    Unresolved {
        /// As the URL says.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// Nobody accepted.
    #[error("{host} does not accept a connection: {reason}")]
    Unreachable {
        /// As the URL says.
        host: String,
        /// Of the last address tried.
        reason: String,
    },
    /// Whoever accepted is not who the URL names, or speaks no TLS.
    #[error("no TLS with {host}: {reason}")]
    Tls {
        /// As the URL says.
        host: String,
        /// What was wrong.
        reason: String,
    },
}

type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, ConnectError>> + Send>>;

/// From a name and a port to addresses.
pub(super) type Resolve = Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>;

/// The system's resolver.
pub(super) fn system() -> Resolve {
    Arc::new(|host, port| Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) }))
}

/// Bytes both ways, encrypted or not.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Connection for Box<dyn Duplex> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// The only way to a connection, for names and for literal addresses alike. Who is exempt may be anywhere.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(super) resolve: Resolve,
    pub(super) exempt: Arc<Exempt>,
    pub(super) tls: Arc<ClientConfig>,
}

/// Who is called wherever they are.
#[derive(Debug)]
pub(super) enum Exempt {
    /// These.
    Hosts(BTreeSet<HostPort>),
    /// Everybody: whom to call is said by whoever runs the origin, and by nobody else.
    Everybody,
}

impl Exempt {
    fn has(&self, host: &str, port: u16) -> bool {
        match self {
            Self::Hosts(hosts) => hosts.contains(&HostPort { host: host.into(), port }),
            Self::Everybody => true,
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("exempt", &self.exempt).finish_non_exhaustive()
    }
}

impl Service<Uri> for Guard {
    type Response = TokioIo<Box<dyn Duplex>>;
    type Error = ConnectError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let guard = self.clone();
        Box::pin(async move {
            let is_tls = to.scheme_str() == Some("https");
            let host = to.host().unwrap_or_default().to_owned();
            let port = to.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
            let stream = open(&guard.addresses(&host, port).await?, &host).await?;
            let _ = stream.set_nodelay(true); // it works without, a little later
            let stream: Box<dyn Duplex> =
                if is_tls { Box::new(encrypt(guard.tls, stream, &host).await?) } else { Box::new(stream) };
            Ok(TokioIo::new(stream))
        })
    }
}

impl Guard {
    /// One that opens connections to any address, for URLs that nobody but this origin's operator chooses. Trusts these authorities
    /// beside the public ones.
    pub(crate) fn to_anywhere(trusted: &[CertificateDer<'static>]) -> Self {
        let mut roots = public_roots();
        roots.add_parsable_certificates(trusted.iter().cloned());
        Self { resolve: system(), exempt: Arc::new(Exempt::Everybody), tls: tls(roots) }
    }

    /// The addresses that may be connected to. One that is not public is passed over; if no other is left, it is the error.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        let found = self.lookup(host, port).await;
        let mut found = found.map_err(|reason| ConnectError::Unresolved { host: host.into(), reason })?;
        let mut not_public = None;
        if !self.exempt.has(host, port) {
            found.retain(|address| match why_not_public(address.ip()) {
                Some(what) => {
                    not_public = Some(ConnectError::NotPublic { host: host.into(), address: address.ip(), what });
                    false
                }
                None => true,
            });
        }
        found.truncate(ADDRESSES_MAX);
        if found.is_empty() {
            let nothing = || ConnectError::Unresolved { host: host.into(), reason: "it has no address".into() };
            return Err(not_public.unwrap_or_else(nothing));
        }
        Ok(found)
    }

    async fn lookup(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        match unbracketed(host).parse::<IpAddr>() {
            Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
            Err(_) => (self.resolve)(host.into(), port).await.map_err(|error| error.to_string()),
        }
    }
}

async fn open(addresses: &[SocketAddr], host: &str) -> Result<TcpStream, ConnectError> {
    let mut reason = String::new();
    for address in addresses {
        reason = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer from {address} within {} s", CONNECT_TIMEOUT.as_secs()),
        };
    }
    Err(ConnectError::Unreachable { host: host.into(), reason })
}

async fn encrypt(tls: Arc<ClientConfig>, stream: TcpStream, host: &str) -> Result<impl Duplex + use<>, ConnectError> {
    let failed = |reason: String| ConnectError::Tls { host: host.into(), reason };
    let name = ServerName::try_from(unbracketed(host).to_owned()).map_err(|error| failed(error.to_string()))?;
    TlsConnector::from(tls).connect(name, stream).await.map_err(|error| failed(error.to_string()))
}

/// An IPv6 address stands in brackets where a URL names a host.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
