//! The edges: whom the origin publishes plans to, and whose outboxes it empties.

mod client;
mod outbox;
mod push;
mod seen;
mod streams;

use std::str::FromStr;

pub(crate) use client::direct;
pub use client::{EdgeClient, EdgeError, Health, Shipped, ViewerForgotten};
pub use outbox::keep_shipping;
pub use push::{PushOutcome, PushReport, push, push_all};
pub use seen::{EdgeSeen, EdgesSeen};
pub use streams::{InvalidStreams, Streams, keep_draining};

/// An edge, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What to call it.
    pub name: String,
    /// Where it is, without a slash at the end.
    pub url: String,
}

/// Not `[NAME=]URL`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEdge {
    /// Not a URL to send requests to.
    #[error("{0:?} is not [NAME=]URL, with a URL such as http://127.0.0.1:3000")]
    Url(String),
    /// TLS is not built in.
    #[error("{0:?}: this build speaks no TLS; reach the edge in a private network, or through a local proxy")]
    Tls(String),
}

impl FromStr for Edge {
    type Err = InvalidEdge;

    fn from_str(text: &str) -> Result<Self, InvalidEdge> {
        let (name, url) = match text.split_once('=') {
            Some((name, url)) if !name.contains("://") => (Some(name), url),
            _ => (None, text),
        };
        let parsed = reqwest::Url::parse(url).map_err(|_| InvalidEdge::Url(text.into()))?;
        if parsed.scheme() == "https" {
            return Err(InvalidEdge::Tls(text.into()));
        }
        if parsed.scheme() != "http" || parsed.query().is_some() || name.is_some_and(str::is_empty) {
            return Err(InvalidEdge::Url(text.into()));
        }
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { name: name.unwrap_or_else(|| parsed.authority()).to_owned(), url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_a_url_with_or_without_a_name() {
        let edge = |text: &str| text.parse::<Edge>().map(|edge| (edge.name, edge.url));
        let same = |name: &str, url: &str| Ok((name.to_owned(), url.to_owned()));
        assert_eq!(edge("http://127.0.0.1:3000/"), same("127.0.0.1:3000", "http://127.0.0.1:3000"));
        assert_eq!(edge("spin=http://edge:80/base"), same("spin", "http://edge:80/base"));
        assert_eq!(edge("https://edge"), Err(InvalidEdge::Tls("https://edge".into())));
        for odd in ["edge", "=http://x", "ftp://x", "http://x?y=1", ""] {
            assert_eq!(edge(odd), Err(InvalidEdge::Url(odd.into())), "{odd}");
        }
    }
}
