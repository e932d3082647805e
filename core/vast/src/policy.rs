//! Whom we ask for VAST, and for how long.

use std::{collections::BTreeMap, fmt, str::FromStr};

use url::{Host, Url};

use crate::bounds::{FETCHES_MAX, RESOLVED_MAX, WRAPPERS_MAX};

/// How wrappers are followed.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whom documents may be fetched from; nobody, if there are none.
    pub hosts: Vec<HostRule>,
    /// The schemes that may be used.
    pub schemes: Schemes,
    /// The most wrappers before an ad.
    pub wrappers_max: usize,
    /// The most documents that are fetched in all.
    pub fetches_max: usize,
    /// The most ads that are taken.
    pub ads_max: usize,
    /// How long all fetches together may take, in milliseconds.
    pub budget_ms: u32,
    /// What macros of wrapped URLs are filled with, by their names without brackets.
    pub macros: BTreeMap<String, String>,
}

/// What a URL may begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schemes {
    /// `https` only.
    #[default]
    Https,
    /// `http` too.
    HttpToo,
}

impl Default for Policy {
    /// Follows five wrappers within two seconds, by `https`; no host is allowed yet.
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            schemes: Schemes::default(),
            wrappers_max: WRAPPERS_MAX,
            fetches_max: FETCHES_MAX,
            ads_max: RESOLVED_MAX,
            budget_ms: 2_000,
            macros: BTreeMap::new(),
        }
    }
}

/// A host that documents may be fetched from: `ads.example`, `*.ads.example` (what is below it, not itself), or with a
/// port, `ads.example:8443`. Without a port the scheme's own is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// Without the dot of `*.`, in the spelling of [`Url::host_str`].
    host: String,
    is_suffix: bool,
    port: Option<u16>,
}

/// Not a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host; expected one such as ads.example, *.ads.example or 127.0.0.1:9999")]
pub struct InvalidHost(String);

impl FromStr for HostRule {
    type Err = InvalidHost;
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.into());
        let (rest, is_suffix) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let (host, port) = match rest.rsplit_once(':') {
            // A colon within brackets is the address's.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().map_err(|_| invalid())?)),
            _ => (rest, None),
        };
        let parsed = Host::parse(host).map_err(|_| invalid())?;
        // A star may stand first only: a rule that looks as if it meant more must not pass as one that matches nothing.
        if host.contains('*') || (is_suffix && !matches!(parsed, Host::Domain(_))) {
            return Err(invalid());
        }
        Ok(Self { host: parsed.to_string(), is_suffix, port })
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_suffix { "*." } else { "" };
        write!(f, "{star}{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl HostRule {
    fn allows(&self, host: &str, url: &Url) -> bool {
        let same_port = self.port.map_or(url.port().is_none(), |port| url.port_or_known_default() == Some(port));
        let same_host = if self.is_suffix {
            host.strip_suffix(&self.host).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        } else {
            host == self.host
        };
        same_host && same_port
    }
}

/// Why a URL is not fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Another scheme than those allowed.
    #[error("{0}: is not allowed; only https is")]
    Scheme(String),
    /// A host that nobody allowed.
    #[error("{0}: this host is not allowed")]
    Host(String),
    /// A URL with a name or a password.
    #[error("{0}: a URL with a name or a password in it is not called")]
    Credentials(String),
}

impl Policy {
    /// Whether a document may be fetched from `url`. To be asked of every address on the way there: of redirects too.
    pub fn check(&self, url: &Url) -> Result<(), Forbidden> {
        let place = || crate::address::place(url).into_owned();
        match (url.scheme(), self.schemes) {
            ("https", _) | ("http", Schemes::HttpToo) => {}
            (scheme, _) => return Err(Forbidden::Scheme(format!("{scheme}://{}", place()))),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::Credentials(place()));
        }
        let host = url.host_str().unwrap_or_default();
        if !self.hosts.iter().any(|rule| rule.allows(host, url)) {
            return Err(Forbidden::Host(place()));
        }
        Ok(())
    }

    /// The hosts that are allowed by their exact name and port, as `HOST:PORT`: only such a one may be in our own network.
    /// Any other that leads to a private address is to be refused by whoever looks the address up.
    pub fn named_with_port(&self) -> impl Iterator<Item = String> {
        let named = self.hosts.iter().filter(|rule| !rule.is_suffix && rule.port.is_some());
        named.map(ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(hosts: &[&str], schemes: Schemes) -> Policy {
        Policy { hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(), schemes, ..Policy::default() }
    }

    #[test]
    fn only_hosts_that_were_allowed_are_asked() {
        let policy = policy(
            &["ads.example", "*.cdn.example", "127.0.0.1:9999", "[::1]:80", "ads.example:8443"],
            Schemes::HttpToo,
        );
        for (url, is_allowed) in [
            ("https://ads.example/x", true),
            ("http://ADS.example./x", false),
            ("http://ADS.example:80/x", true),
            ("https://ads.example:8443/x", true),
            ("https://ads.example:9/x", false),
            ("https://more.ads.example/x", false),
            ("https://badads.example/x", false),
            ("https://ads.example.evil.example/x", false),
            ("https://a.cdn.example/x", true),
            ("https://a.b.cdn.example/x", true),
            ("https://cdn.example/x", false),
            ("https://.cdn.example/x", false),
            ("https://xcdn.example/x", false),
            ("http://127.0.0.1:9999/x", true),
            ("http://0x7f.1:9999/x", true),
            ("http://127.0.0.1/x", false),
            ("http://[::1]/x", true),
            ("http://user@ads.example/x", false),
            ("https://ads.example@evil.example/x", false),
            ("ftp://ads.example/x", false),
            ("file:///etc/passwd", false),
        ] {
            let allowed = policy.check(&Url::parse(url).unwrap());
            assert_eq!(allowed.is_ok(), is_allowed, "{url}: {allowed:?}");
        }
    }

    #[test]
    fn without_rules_nobody_is_asked_and_plain_http_only_where_it_is_allowed() {
        let check = |policy: &Policy, url| policy.check(&Url::parse(url).unwrap()).is_ok();
        assert!(!check(&Policy::default(), "https://ads.example/"));
        let https = policy(&["ads.example"], Schemes::Https);
        assert!(check(&https, "https://ads.example/") && !check(&https, "http://ads.example/"));
    }

    #[test]
    fn a_host_with_its_port_may_be_in_our_own_network_and_no_other() {
        let policy = policy(&["127.0.0.1:9999", "ads.example", "*.cdn.example:81", "[::1]:80"], Schemes::HttpToo);
        assert_eq!(policy.named_with_port().collect::<Vec<_>>(), ["127.0.0.1:9999", "[::1]:80"]);
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        for text in ["ads.example", "*.ads.example", "*.ads.example:81", "127.0.0.1:9999", "[::1]:80", "[::1]"] {
            assert_eq!(text.parse::<HostRule>().unwrap().to_string(), text);
        }
        for text in ["", "*", "*.", "https://ads.example", "ads.example/x", "ads.example:x", "*.127.0.0.1", "a b"] {
            assert!(text.parse::<HostRule>().is_err(), "{text:?}");
        }
    }
}
