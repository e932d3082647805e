//! What a document is good for, in a line: without following its wrappers.

use std::fmt;

use crate::{
    Code, VastError, address, creative,
    model::{Content, InLine, Tracked, Vast, Wrapper},
    parse,
    resolve::ResolvedAd,
};

/// What a document is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// As it says itself, if it can be read.
    pub version: Option<String>,
    /// One for each ad.
    pub ads: Vec<AdVerdict>,
    /// Why the document is refused whole.
    pub refused: Option<VastError>,
}

/// What one ad is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdVerdict {
    /// It can be played here.
    Playable {
        /// Its length.
        duration_ms: u32,
        /// How many files of it can be played.
        files: usize,
        /// How many URLs are called for it.
        trackers: usize,
    },
    /// It is somewhere else.
    Wrapper {
        /// At which host.
        host: String,
        /// How many URLs are called for it.
        trackers: usize,
    },
    /// It is wrong, or cannot be played here.
    Refused(VastError),
}

impl Verdict {
    /// The code of what is wrong, if nothing in the document is of use: 303 if there is no ad in it at all.
    pub fn code(&self) -> Option<Code> {
        if let Some(error) = &self.refused {
            return Some(error.code());
        }
        let mut codes = self.ads.iter().map(|ad| match ad {
            AdVerdict::Refused(error) => Some(error.code()),
            AdVerdict::Playable { .. } | AdVerdict::Wrapper { .. } => None,
        });
        let first = codes.next().unwrap_or(Some(Code::NoAd))?;
        codes.all(|code| code.is_some()).then_some(first)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.refused {
            return write!(f, "{error}");
        }
        if self.ads.is_empty() {
            return f.write_str("no ad");
        }
        for (index, ad) in self.ads.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            match ad {
                AdVerdict::Playable { duration_ms, files, trackers } => {
                    let (seconds, ms) = (duration_ms / 1_000, duration_ms % 1_000);
                    write!(f, "{seconds}.{ms:03} s, {files} files, {trackers} trackers")?;
                }
                AdVerdict::Wrapper { host, trackers } => write!(f, "wrapper of {host}, {trackers} trackers")?,
                AdVerdict::Refused(error) => write!(f, "{error}")?,
            }
        }
        Ok(())
    }
}

/// What `document` is good for.
pub fn verdict(document: &[u8]) -> Verdict {
    match parse(document) {
        Ok(Vast { version, ads, .. }) => {
            let ads = ads.into_iter().map(|ad| of_ad(ad.content)).collect();
            Verdict { version: Some(version), ads, refused: None }
        }
        Err(error) => Verdict { version: None, ads: Vec::new(), refused: Some(error) },
    }
}

fn of_ad(content: Content) -> AdVerdict {
    match content {
        Content::Faulty { fault, .. } => AdVerdict::Refused(fault),
        Content::Wrapper(wrapper) => of_wrapper(&wrapper),
        Content::InLine(ad) => of_inline(*ad),
    }
}

fn of_wrapper(wrapper: &Wrapper) -> AdVerdict {
    let url = url::Url::parse(&wrapper.vast_ad_tag_uri).ok();
    let host = url.map_or_else(|| "nowhere".into(), |url| address::place(&url).into_owned());
    let Tracked { trackings, click_trackings, .. } = &wrapper.tracked;
    let shared = &wrapper.shared;
    let told = shared.impressions.len() + shared.errors.len() + shared.viewable_impression.len();
    AdVerdict::Wrapper { host, trackers: told + trackings.len() + click_trackings.len() }
}

fn of_inline(ad: InLine) -> AdVerdict {
    match creative(&ResolvedAd { chain: Vec::new(), ad, blocked_ad_categories: Vec::new() }) {
        Err(error) => AdVerdict::Refused(error),
        Ok(creative) => AdVerdict::Playable {
            duration_ms: creative.duration_ms,
            files: creative.media.len(),
            trackers: creative.trackers.len() + creative.click_trackings.len(),
        },
    }
}
