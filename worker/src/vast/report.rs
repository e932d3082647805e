//! What an ad tag came to, told.

use std::collections::BTreeMap;

use serde::Serialize;
use slotkeeper_vast::{
    Code, Creative, Failure, Resolved, VastError, creative,
    resolve::{Link, ResolvedAd},
};

/// What an ad tag came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many documents were fetched, if it came to an ad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetches: Option<usize>,
    /// In their order.
    pub ads: Vec<AdReport>,
    /// What came to nothing.
    pub failures: Vec<FailureReport>,
}

/// One ad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdReport {
    /// The documents on the way to it, its own last.
    pub chain: Vec<LinkReport>,
    /// Its name.
    pub title: Option<String>,
    /// This answer's id.
    pub ad_serving_id: Option<String>,
    /// The content address of the creative.
    pub content_id: String,
    /// How many URLs the origin calls, by event.
    pub trackers_by_event: BTreeMap<&'static str, usize>,
    /// All of it.
    pub creative: Creative,
}

/// One document on the way to an ad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkReport {
    /// Where it was had; absent for a file.
    pub url: Option<String>,
    /// Who answered.
    pub ad_system: Option<String>,
    /// Its ad that was followed.
    pub ad_id: Option<String>,
}

/// What came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureReport {
    /// VAST's error code.
    pub code: u16,
    /// What it means.
    pub meaning: &'static str,
    /// What happened, with the path of the element where it is one's.
    pub message: String,
    /// The documents on the way.
    pub chain: Vec<LinkReport>,
    /// The URLs that are to be called, filled.
    pub error_urls: Vec<String>,
}

/// What an ad tag came to. An ad that was found and cannot be played is a failure.
pub fn report(outcome: Result<Resolved, Failure>) -> Report {
    let Resolved { ads, failures, fetches } = match outcome {
        Ok(resolved) => resolved,
        Err(failure) => return Report { fetches: None, ads: Vec::new(), failures: vec![of_failure(failure)] },
    };
    let mut report =
        Report { fetches: Some(fetches), ads: Vec::new(), failures: failures.into_iter().map(of_failure).collect() };
    for ad in ads {
        match creative(&ad) {
            Ok(creative) => report.ads.push(of_ad(ad, creative)),
            Err(error) => report.failures.push(not_playable(&ad, &error)),
        }
    }
    report
}

fn of_ad(resolved: ResolvedAd, creative: Creative) -> AdReport {
    let mut trackers_by_event = BTreeMap::new();
    for tracker in &creative.trackers {
        *trackers_by_event.entry(tracker.event.as_str()).or_default() += 1;
    }
    AdReport {
        chain: resolved.chain.into_iter().map(of_link).collect(),
        title: resolved.ad.title,
        ad_serving_id: resolved.ad.ad_serving_id,
        content_id: creative.content_id(),
        trackers_by_event,
        creative,
    }
}

fn not_playable(ad: &ResolvedAd, error: &VastError) -> FailureReport {
    let code: Code = error.code();
    FailureReport {
        code: code.number(),
        meaning: code.meaning(),
        message: error.to_string(),
        chain: ad.chain.iter().cloned().map(of_link).collect(),
        error_urls: ad.error_urls(code),
    }
}

fn of_failure(failure: Failure) -> FailureReport {
    FailureReport {
        code: failure.code.number(),
        meaning: failure.code.meaning(),
        message: failure.cause.to_string(),
        chain: failure.chain.into_iter().map(of_link).collect(),
        error_urls: failure.error_urls,
    }
}

fn of_link(link: Link) -> LinkReport {
    LinkReport { url: link.url.map(String::from), ad_system: link.ad_system, ad_id: link.ad_id }
}
