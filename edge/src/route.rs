//! What is asked: method and path, before any body is read.

use slotkeeper_core::{
    api::BREAK_REQUEST_BYTES_MAX, beacon, keys::Purpose, plan::PLAN_BYTES_MAX, pod::InvalidTraffic,
    receipt::RECEIPT_CHARS_MAX,
};

use crate::{
    Reply, Settings,
    beacons::vast_code,
    stitcher::{self, Device, is_from_stitcher},
};

/// How long a client may take to send its body, in milliseconds.
pub const BODY_DEADLINE_MS: u64 = 10_000;

/// The part of a request that decides where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// Where the request came to: scheme and authority, without a slash at the end. Empty if it does not say.
    pub base: &'a str,
    /// The `Origin` header: the site of the page that asks.
    pub origin: Option<&'a str>,
    /// What stands behind the path's question mark, as sent; empty without one.
    pub query: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// `X-Device-IP` and `X-Device-User-Agent`: the viewer's device, as a stitcher says it.
    pub device_address: Option<&'a str>,
    /// See [`device_address`](Self::device_address).
    pub device_user_agent: Option<&'a str>,
    /// The client's address, as the platform says it and no client can; with or without a port.
    pub client_address: Option<&'a str>,
    /// The `User-Agent` header.
    pub user_agent: Option<&'a [u8]>,
    /// The `Sec-GPC` header: Global Privacy Control.
    pub sec_gpc: Option<&'a str>,
}

/// What a request's headers say of whoever sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// If it is not a viewer's player.
    pub invalid_traffic: Option<InvalidTraffic>,
    /// Global Privacy Control is on.
    pub gpc: bool,
}

impl Head<'_> {
    /// Who it says that it is from; a stitcher that is known stands for the device that it names.
    pub fn client(&self, settings: &Settings) -> Client {
        let user_agent = match (self.device_address, self.device_user_agent) {
            (None, None) => self.user_agent,
            (_, named) if is_from_stitcher(self, settings) => named.map(str::as_bytes),
            _ => self.user_agent,
        };
        Client {
            invalid_traffic: user_agent.and_then(InvalidTraffic::of_user_agent),
            gpc: self.sec_gpc.is_some_and(|value| value.trim() == "1"),
        }
    }

    /// Where players reach this edge: what was set, or else where this request came to.
    fn reached_at(&self, settings: &Settings) -> String {
        settings.public_url.clone().unwrap_or_else(|| self.base.to_owned())
    }

    /// What a document is asked with.
    fn tag(&self, settings: &Settings, device: Option<Device>) -> Tag {
        let is_plain =
            |origin: &&str| origin.len() <= ORIGIN_BYTES_MAX && origin.bytes().all(|byte| byte.is_ascii_graphic());
        Tag {
            query: self.query.into(),
            base: self.reached_at(settings),
            origin: self.origin.filter(is_plain).map(Into::into),
            device,
        }
    }

    /// Whether it carries the bearer of the origin.
    pub(crate) fn is_from_origin(&self, settings: &Settings) -> bool {
        self.bearer().is_some_and(|bearer| settings.keys.accepts_bearer(Purpose::Admin, bearer))
    }

    /// What stands behind `Bearer` in the `Authorization` header.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.authorization.and_then(|value| value.strip_prefix("Bearer "))
    }
}

/// The longest `Origin` header that is answered to, in bytes.
const ORIGIN_BYTES_MAX: usize = 256;

/// What a document of ads is asked with, in a query string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The parameters, as sent.
    pub query: String,
    /// Where players reach this edge.
    pub base: String,
    /// The site of the page that asks.
    pub origin: Option<String>,
    /// The viewer's device, if a stitcher asks for it.
    pub device: Option<Device>,
}

/// A request that is known and allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `OPTIONS` on anything: a browser asks whether a page may call us. It may.
    Preflight,
    /// `GET /v1/hello`: touches nothing; what every measurement is compared with.
    Hello,
    /// `GET /healthz`
    Health,
    /// `POST /v1/breaks`
    Break {
        /// Where players reach this edge.
        base: String,
    },
    /// `POST /v1/beacons`
    Beacons,
    /// `GET /v1/t/{token}`
    Pixel {
        /// As sent.
        token: String,
        /// VAST's code of an error, where the player said one.
        error_code: Option<u16>,
    },
    /// `GET /v1/c/{token}`
    Click {
        /// As sent.
        token: String,
    },
    /// `GET /v1/vast`
    Vast(Tag),
    /// `GET /v1/vmap`
    Vmap(Tag),
    /// `GET /v1/asset-list`
    AssetList(Tag),
    /// `GET /v1/interstitials.m3u8`
    Interstitials(Tag),
    /// `POST /v1/receipts`
    Receipt,
    /// `PUT /v1/plan`, by the origin.
    PutPlan,
    /// `POST /v1/outbox/ship`, by the origin.
    ShipOutbox,
    /// `DELETE /v1/viewers/{viewer}`, by the origin.
    ForgetViewer {
        /// As sent.
        viewer: String,
    },
}

impl Route {
    /// Finds the route, or the refusal to send: unknown path, wrong method, not authorised.
    pub fn find(head: &Head<'_>, settings: &Settings) -> Result<Self, Reply> {
        if head.method == "OPTIONS" {
            return Ok(Self::Preflight);
        }
        let device = stitcher::device(head, settings)?;
        let (route, method) = match head.path {
            "/v1/hello" => (Self::Hello, "GET"),
            "/healthz" => (Self::Health, "GET"),
            "/v1/breaks" => (Self::Break { base: head.reached_at(settings) }, "POST"),
            "/v1/beacons" => (Self::Beacons, "POST"),
            "/v1/vast" => (Self::Vast(head.tag(settings, device)), "GET"),
            "/v1/vmap" => (Self::Vmap(head.tag(settings, device)), "GET"),
            "/v1/asset-list" => (Self::AssetList(head.tag(settings, device)), "GET"),
            "/v1/interstitials.m3u8" => (Self::Interstitials(head.tag(settings, device)), "GET"),
            "/v1/receipts" => (Self::Receipt, "POST"),
            "/v1/plan" => (Self::PutPlan, "PUT"),
            "/v1/outbox/ship" => (Self::ShipOutbox, "POST"),
            path => match path.strip_prefix("/v1/").and_then(|path| path.split_once('/')) {
                Some(("t", token)) => (Self::Pixel { token: token.into(), error_code: error_code(head.query) }, "GET"),
                Some(("c", token)) => (Self::Click { token: token.into() }, "GET"),
                Some(("viewers", viewer)) => (Self::ForgetViewer { viewer: viewer.into() }, "DELETE"),
                _ => return Err(Reply::error(404, "not_found", None, format!("there is nothing at {path:?}"))),
            },
        };
        if head.method != method {
            let message = format!("{} takes {method}, not {:?}", head.path, head.method);
            return Err(Reply::error(405, "method_not_allowed", None, message));
        }
        if route.is_for_the_origin_only() && !head.is_from_origin(settings) {
            let message = "this call needs the bearer of the origin that this edge belongs to";
            return Err(Reply::error(401, "unauthorized", Some("authorization"), message.into()));
        }
        Ok(route)
    }

    fn is_for_the_origin_only(&self) -> bool {
        matches!(self, Self::PutPlan | Self::ShipOutbox | Self::ForgetViewer { .. })
    }

    /// The longest body this route reads, in bytes.
    pub fn body_bytes_max(&self) -> usize {
        match self {
            Self::Break { .. } => BREAK_REQUEST_BYTES_MAX,
            Self::Beacons => beacon::BATCH_BYTES_MAX,
            Self::Receipt => RECEIPT_CHARS_MAX,
            Self::PutPlan => PLAN_BYTES_MAX,
            Self::Preflight
            | Self::Hello
            | Self::Health
            | Self::Pixel { .. }
            | Self::Vast(_)
            | Self::Vmap(_)
            | Self::Click { .. }
            | Self::AssetList(_)
            | Self::Interstitials(_)
            | Self::ShipOutbox
            | Self::ForgetViewer { .. } => 0,
        }
    }

    /// Whether the body has to be read at all.
    pub fn has_body(&self) -> bool {
        self.body_bytes_max() > 0
    }

    /// The refusal of a body that did not arrive within [`BODY_DEADLINE_MS`].
    pub fn body_too_slow(&self) -> Reply {
        let message = format!("the body did not arrive within {BODY_DEADLINE_MS} ms");
        Reply::error(408, "body_too_slow", Some("body"), message)
    }

    /// The refusal of a body that went past the bound.
    pub fn body_too_large(&self) -> Reply {
        let message = format!("the body is longer than the {} bytes allowed here", self.body_bytes_max());
        Reply::error(413, "body_too_large", Some("body"), message)
    }
}

/// The code in `?c=303`, which a player writes in place of `[ERRORCODE]`. An odd one is no reason to lose the event.
fn error_code(query: &str) -> Option<u16> {
    let code = query.split('&').find_map(|pair| pair.strip_prefix("c="))?;
    code.parse().ok().and_then(vast_code)
}

/// The scheme and authority of an absolute URL; empty of any other.
pub fn base_of(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return "" };
    let authority = rest.find('/').unwrap_or(rest.len());
    &url[..scheme.len() + "://".len() + authority]
}

/// The path of a URL, absolute or not, without its query and fragment. Without the `url` crate and its tables.
pub fn path_of(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or(url); // first: a query may hold a URL of its own
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

/// The query of a URL, without its question mark and the fragment; empty if it has none.
pub fn query_of(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or(url); // first: a fragment may hold a question mark
    url.split_once('?').map_or("", |(_, query)| query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_url_is_never_taken_from_its_query_nor_the_query_from_its_fragment() {
        let cases = [
            ("https://edge.example/v1/breaks?x=1#y", "https://edge.example", "/v1/breaks", "x=1"),
            ("/v1/breaks?next=http://other.example/v1/plan", "", "/v1/breaks", "next=http://other.example/v1/plan"),
            ("http://[::1]:8080/v1/breaks?a=?b", "http://[::1]:8080", "/v1/breaks", "a=?b"),
            ("https://edge.example?next=/v1/plan", "https://edge.example", "/", "next=/v1/plan"),
            ("https://edge.example#/v1/plan?a=b", "https://edge.example", "/", ""),
            ("", "", "/", ""),
        ];
        for (url, base, path, query) in cases {
            assert_eq!((base_of(url), path_of(url), query_of(url)), (base, path, query), "{url:?}");
        }
    }

    #[test]
    fn an_error_code_is_three_digits_and_nothing_else() {
        let cases =
            [("c=303", Some(303)), ("x=1&c=900", Some(900)), ("c=[ERRORCODE]", None), ("c=99", None), ("", None)];
        for (query, code) in cases {
            assert_eq!(error_code(query), code, "{query:?}");
        }
    }
}
