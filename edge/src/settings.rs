//! What a deployment chooses, under the same names on every platform.

use slotkeeper_core::{
    api::CALLER_ID_BYTES_MAX,
    keys::{Keyring, KeyringError, Pseudonyms, Stitchers},
    limit::{REQUESTS_PER_MINUTE_DEFAULT, REQUESTS_PER_MINUTE_MAX},
};

use crate::auction::AuctionSettings;

/// Everything that is configured.
#[derive(Clone)]
pub struct Settings {
    /// `keys`: the keyring, newest first.
    pub keys: Keyring,
    /// `pseudonym_key`: the secret behind viewers' pseudonyms. Never changes.
    pub pseudonyms: Pseudonyms,
    /// `origin_url`: where facts go, without a slash at the end.
    pub origin_url: String,
    /// `public_url`: where players reach this edge, without a slash at the end; if it is not set, each is answered with
    /// where its own request came to.
    pub public_url: Option<String>,
    /// `demo_hls_url`: where the demo's films lie as HLS, without a slash at the end; without it there is no demo playlist.
    pub demo_hls_url: Option<String>,
    /// `stitchers`: who may ask for viewers' devices. A secret.
    pub stitchers: Stitchers,
    /// `edge_id`: what the origin calls this edge.
    pub edge_id: String,
    /// `store_deadline_ms`: how long one store call may take.
    pub store_deadline_ms: u64,
    /// `decision_deadline_ms`: how long deciding may take with all its store calls.
    pub decision_deadline_ms: u64,
    /// `answer_deadline_ms`: how long a break may take in all. What deciding leaves of it is for the way of the rows
    /// straight to the origin, where the store cannot take them.
    pub answer_deadline_ms: u64,
    /// `requests_per_minute`: how many one client's address may make of one instance of the edge; 0 limits nobody.
    pub requests_per_minute: u32,
    /// `origin_deadline_ms`: how long the origin may take to make facts durable.
    pub origin_deadline_ms: u64,
    /// The auction for what guaranteed demand leaves; none, unless `auction_url` is given.
    pub auction: Option<AuctionSettings>,
}

/// A setting that cannot be used. Never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not given and without a default.
    #[error("the setting {0} is missing")]
    Missing(&'static str),
    /// The keyring cannot be read.
    #[error("the setting keys: {0}")]
    Keys(#[from] KeyringError),
    /// Given, but wrong.
    #[error("the setting {name} {expected}")]
    Invalid {
        /// Which.
        name: &'static str,
        /// What would have been right.
        expected: &'static str,
    },
}

impl Settings {
    /// Every name, in the lower-case form that Spin's variables have.
    pub const NAMES: [&'static str; 16] = [
        "keys",
        "pseudonym_key",
        "origin_url",
        "public_url",
        "demo_hls_url",
        "stitchers",
        "edge_id",
        "store_deadline_ms",
        "decision_deadline_ms",
        "answer_deadline_ms",
        "origin_deadline_ms",
        "requests_per_minute",
        "auction_url",
        "auction_deadline_ms",
        "auction_currency",
        "auction_hosts",
    ];

    /// Reads the settings through a platform's look-up. An empty value is a missing one.
    pub fn read(get: impl Fn(&'static str) -> Option<String>) -> Result<Self, SettingsError> {
        let given = |name| get(name).filter(|value| !value.trim().is_empty());
        let required = |name| given(name).ok_or(SettingsError::Missing(name));
        let milliseconds = |name, default| match given(name) {
            None => Ok(default),
            Some(text) => {
                text.trim().parse().ok().filter(|ms| (1..=60_000).contains(ms)).ok_or(SettingsError::Invalid {
                    name,
                    expected: "must be a whole number of milliseconds from 1 to 60000",
                })
            }
        };
        let decision_deadline_ms = milliseconds("decision_deadline_ms", 600)?;
        let answer_deadline_ms = milliseconds("answer_deadline_ms", 1_000)?;
        if answer_deadline_ms < decision_deadline_ms {
            return Err(SettingsError::Invalid {
                name: "answer_deadline_ms",
                expected: "must not be less than decision_deadline_ms, which is a part of it",
            });
        }
        let url = |name| given(name).map(|text| http_url(name, &text)).transpose();
        Ok(Self {
            keys: Keyring::parse(&required("keys")?)?,
            pseudonyms: Pseudonyms::parse(&required("pseudonym_key")?)
                .ok_or(SettingsError::Invalid { name: "pseudonym_key", expected: "must be 64 hexadecimal digits" })?,
            origin_url: url("origin_url")?.ok_or(SettingsError::Missing("origin_url"))?,
            public_url: url("public_url")?,
            demo_hls_url: url("demo_hls_url")?,
            stitchers: match given("stitchers") {
                None => Stitchers::default(),
                Some(text) => Stitchers::parse(&text).ok_or(SettingsError::Invalid {
                    name: "stitchers",
                    expected: "must be NAME:HEX with commas between, each HEX of 64 hexadecimal digits, at most 64 of them",
                })?,
            },
            edge_id: required("edge_id").and_then(|id| {
                let is_plain = id.len() <= CALLER_ID_BYTES_MAX && id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
                is_plain.then_some(id).ok_or(SettingsError::Invalid {
                    name: "edge_id",
                    expected: "must be printable ASCII of at most 128 bytes",
                })
            })?,
            store_deadline_ms: milliseconds("store_deadline_ms", 250)?,
            decision_deadline_ms,
            answer_deadline_ms,
            requests_per_minute: match given("requests_per_minute") {
                None => REQUESTS_PER_MINUTE_DEFAULT,
                Some(text) => text.trim().parse().ok().filter(|rate| *rate <= REQUESTS_PER_MINUTE_MAX).ok_or(
                    SettingsError::Invalid {
                        name: "requests_per_minute",
                        expected: "must be a whole number from 0 to 1000000; 0 limits nobody",
                    },
                )?,
            },
            origin_deadline_ms: milliseconds("origin_deadline_ms", 2_000)?,
            auction: AuctionSettings::read(given, milliseconds("auction_deadline_ms", 200)?, decision_deadline_ms)?,
        })
    }
}

/// Without a slash at the end.
fn http_url(name: &'static str, text: &str) -> Result<String, SettingsError> {
    let url = text.trim().trim_end_matches('/');
    let is_plain = url.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'"');
    if is_plain && (url.starts_with("http://") || url.starts_with("https://")) {
        return Ok(url.to_owned());
    }
    Err(SettingsError::Invalid { name, expected: "must be a URL that begins with http:// or https://" })
}
