//! An S3-compatible store, over this origin's own HTTP client: `object_store` speaks the protocol and signs, and tries again what
//! a store refuses for a moment.
//!
//! **Invariants.** Every request has an end: connecting, waiting for an answer and every piece of it have their time. Nothing is sent
//! unencrypted unless `AWS_ALLOW_HTTP` says so. What may be done twice (all but claiming a name) is tried again, for
//! [`TRYING_MAX`]; then it is an error that names the file.

use std::{
    fmt,
    pin::Pin,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use hyper::{
    Method,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
};
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
    prefix::PrefixStore,
};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::outbound::Guard;

/// A body that is sent has a second more for this much.
const SENT_BYTES_PER_S: u64 = 1 << 20;
/// How long what fails is tried again. (A try that is under way is let end.)
const TRYING_MAX: Duration = Duration::from_secs(90);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// What names a file of certificates to trust beside those that are built in.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Where in which bucket: `s3://BUCKET[/PREFIX]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct S3Url {
    bucket: String,
    prefix: String,
}

/// Not `s3://BUCKET[/PREFIX]`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no place of a lake: {reason}; it is s3://BUCKET or s3://BUCKET/PREFIX")]
pub struct NotS3Url {
    text: String,
    reason: &'static str,
}

impl FromStr for S3Url {
    type Err = NotS3Url;
    fn from_str(text: &str) -> Result<Self, NotS3Url> {
        let no = |reason| NotS3Url { text: text.into(), reason };
        let rest = text.strip_prefix("s3://").ok_or_else(|| no("it does not begin with s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_plain = |part: &str| {
            let taken = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !part.is_empty() && part.chars().all(taken) && part.chars().any(|c| c != '.')
        };
        if !is_plain(bucket) {
            return Err(no("a bucket's name is letters, digits, dots, dashes and underscores"));
        }
        if !prefix.is_empty() && !prefix.split('/').all(is_plain) {
            return Err(no("a prefix's parts are letters, digits, dots, dashes and underscores"));
        }
        Ok(Self { bucket: bucket.into(), prefix: prefix.into() })
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix } = self;
        if prefix.is_empty() { write!(f, "s3://{bucket}") } else { write!(f, "s3://{bucket}/{prefix}") }
    }
}

/// How patient one is with a store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long it may take to answer, and for each further piece of its answer.
    answer_max: Duration,
    /// How often it is asked again.
    retries_max: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer_max: Duration::from_secs(30), retries_max: 8 }
    }
}

/// The store, set up as these variables of the environment say: `AWS_ACCESS_KEY_ID` and so on.
pub(super) fn connect(
    url: &S3Url,
    variables: impl IntoIterator<Item = (String, String)>,
    patience: Patience,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::new();
    let mut trusted = Vec::new();
    for (name, value) in variables.into_iter().filter(|(name, _)| name.starts_with("AWS_")) {
        if name == CA_BUNDLE {
            trusted = certificates(&value)?;
        } else if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: FIRST_PAUSE, max_backoff: PAUSE_MAX, base: 2.0 },
        max_retries: patience.retries_max,
        retry_timeout: TRYING_MAX,
    };
    let store = builder
        .with_bucket_name(&url.bucket)
        .with_retry(retry)
        // One object at a time is deleted, by the request that every store knows.
        .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true")
        .with_http_connector(Connector { trusted, patience })
        .build()?;
    Ok(if url.prefix.is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, url.prefix.as_str())) })
}

fn certificates(path: &str) -> object_store::Result<Vec<CertificateDer<'static>>> {
    let fault = |source: String| object_store::Error::Generic { store: "S3", source: source.into() };
    let named = |error| fault(format!("{CA_BUNDLE} {path}: {error}"));
    let found: Vec<_> = CertificateDer::pem_file_iter(path).map_err(named)?.collect::<Result<_, _>>().map_err(named)?;
    if found.is_empty() { Err(fault(format!("{CA_BUNDLE} {path}: there is no certificate in it"))) } else { Ok(found) }
}

/// Makes clients.
#[derive(Debug)]
struct Connector {
    trusted: Vec<CertificateDer<'static>>,
    patience: Patience,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let guard = Guard::to_anywhere(&self.trusted);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(guard);
        Ok(HttpClient::new(Http { client, in_the_open: allows_http, answer_max: self.patience.answer_max }))
    }
}

#[derive(Debug)]
struct Http {
    client: Client<Guard, HttpRequestBody>,
    in_the_open: bool,
    answer_max: Duration,
}

#[async_trait]
impl HttpService for Http {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.uri().scheme_str() != Some("https") && !self.in_the_open {
            return Err(HttpError::new(HttpErrorKind::Unknown, Fault::Unencrypted));
        }
        // To delete what is deleted is no harm, nor is asking again: for `object_store`, nothing of it has been sent.
        let is_repeatable = matches!(*request.method(), Method::GET | Method::HEAD | Method::DELETE);
        let is_listing = request.uri().query().is_some_and(|query| query.contains("list-type="));
        let kind = |kind| if is_repeatable { HttpErrorKind::Request } else { kind };
        let patience = self.answer_max + Duration::from_secs(request.body().content_length() as u64 / SENT_BYTES_PER_S);
        let answered = timeout(patience, self.client.request(request)).await;
        let answered = answered.map_err(|_| HttpError::new(kind(HttpErrorKind::Timeout), Fault::Silent(patience)))?;
        let broken = |error: legacy::Error| {
            let as_sent = if error.is_connect() { HttpErrorKind::Connect } else { kind(HttpErrorKind::Interrupted) };
            HttpError::new(as_sent, error)
        };
        let (head, body) = answered.map_err(broken)?.into_parts();
        let body = Timed::new(body, self.answer_max);
        if !is_listing {
            return Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)));
        }
        // `object_store` reads on where a file broke off, but asks for no listing again once it has begun.
        let whole = body.collect().await.map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
        Ok(HttpResponse::from_parts(head, whole.to_bytes().into()))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(
        "its endpoint is http://, unencrypted: set AWS_ALLOW_HTTP=true if the network in between may read and change all"
    )]
    Unencrypted,
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
}

/// An answer's body, each piece of which has its time.
struct Timed {
    body: Incoming,
    each_max: Duration,
    until: Pin<Box<Sleep>>,
}

impl Timed {
    fn new(body: Incoming, each_max: Duration) -> Self {
        Self { body, each_max, until: Box::pin(sleep(each_max)) }
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.until = Box::pin(sleep(self.each_max));
            let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
        }
        let silent = HttpError::new(HttpErrorKind::Timeout, Fault::Silent(self.each_max));
        self.until.as_mut().poll(context).map(|()| Some(Err(silent)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt as _, path::Path};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_store_that_does_not_answer_is_waited_for_and_then_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let silent = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                held.push(listener.accept().await.unwrap());
            }
        });
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "tests"),
            ("AWS_SECRET_ACCESS_KEY", "tests"),
            ("SLOTKEEPER_KEYS", "none of its business"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let patience = Patience { answer_max: Duration::from_millis(50), retries_max: 2 };
        let store = connect(&"s3://lakes/one".parse().unwrap(), variables, patience).unwrap();
        for failed in [store.put(&Path::from("a"), "b".into()).await.map(|_| ()), store.delete(&Path::from("a")).await]
        {
            let said = failed.unwrap_err().to_string();
            assert!(said.contains("no answer within 50 ms") && said.contains("lakes/one/a"), "{said}");
            assert!(said.contains("2 retries"), "{said}");
        }
        silent.abort();
    }

    #[test]
    fn a_place_is_a_bucket_and_a_prefix() {
        for (text, again) in [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://my-bucket.tv/lakes/one/", "s3://my-bucket.tv/lakes/one"),
        ] {
            assert_eq!(text.parse::<S3Url>().unwrap().to_string(), again);
        }
        for odd in
            ["bucket", "s3://", "s3:///x", "s3://b/../c", "s3://b//c", "s3://b/c?d", "s3://u:p@b/c", "http://b/c"]
        {
            assert!(odd.parse::<S3Url>().is_err(), "{odd}");
        }
    }
}
