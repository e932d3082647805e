//! From an ad of somebody else's to a creative of ours.

use std::collections::BTreeMap;

use serde::Serialize;
use slotkeeper_core::{
    beacon::Event,
    contract::{Category, Presentation, RegistryRecord, Tracker, Verification},
    plan::MediaSource,
};

use crate::{
    VastError, address,
    model::{AdType, Creative as VastCreative, Linear, MediaFile, Tracked},
    resolve::ResolvedAd,
};

/// What a creative's registered id is where it has none.
const UNKNOWN: &str = "unknown";

/// What can be sold of somebody else's ad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Creative {
    /// Its length.
    pub duration_ms: u32,
    /// Its registered id, or `unknown`.
    pub universal_ad_id: String,
    /// The files that can be played, best first: HLS, then mp4, then webm, of each kind the richest first.
    pub media: Vec<MediaSource>,
    /// What goes with it. Its `trackers` are left empty: what is in [`trackers`](Self::trackers) is called by the origin,
    /// and a URL in both would be called twice.
    pub presentation: Presentation,
    /// What is called on which event: the impressions on `start`, the error URLs on `error`, the viewable impression's on what
    /// is known of it, and the rest as asked for.
    pub trackers: Vec<Tracker>,
    /// What is called on a click.
    pub click_trackings: Vec<String>,
    /// What was asked for and is reported by nobody here, with how often: events without a beacon of ours, such as
    /// `progress` or `creativeView`.
    pub not_reported: BTreeMap<String, usize>,
}

impl Creative {
    /// The content address: BLAKE3 of the canonical JSON, in hex. The same ad has the same address whenever it is fetched,
    /// unless its server writes something of the moment into its URLs.
    pub fn content_id(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default(); // the keys of its maps are text, so it never fails
        blake3::hash(json.as_bytes()).to_hex().to_string()
    }

    /// `terms` as the record of this creative: with its length, its registered id and, after those that are booked, its
    /// trackers. A record is addressed by its content, so the same creative on the same terms is the same record.
    pub fn record(&self, mut terms: RegistryRecord) -> RegistryRecord {
        terms.duration_ms = self.duration_ms;
        terms.universal_ad_id.clone_from(&self.universal_ad_id);
        terms.trackers.extend(self.trackers.iter().cloned());
        terms
    }
}

/// The creative of a resolved ad: its first linear one.
///
/// # Errors
/// 201 if all there is plays over the title, 200 if there is nothing to see, 403 if no file can be played; the URLs
/// to call are [`ResolvedAd::error_urls`].
pub fn creative(resolved: &ResolvedAd) -> Result<Creative, VastError> {
    let ad = &resolved.ad;
    if ad.ad_type == AdType::Audio {
        return Err(VastError::NotLinear {
            path: "VAST/Ad".into(),
            found: "an ad of sound only".into(),
            non_linear: false,
        });
    }
    let found = ad.creatives.iter().find_map(|creative| creative.linear.as_ref().map(|linear| (creative, linear)));
    let (creative, linear) = found.ok_or_else(|| not_linear(&ad.creatives))?;
    let mut not_reported = BTreeMap::new();
    let trackers = trackers(resolved, &linear.tracked, &mut not_reported);
    let presentation = Presentation {
        advertiser: ad.advertiser.clone(),
        categories: categories(resolved),
        click_through: linear.click_through.clone(),
        skip_after_ms: linear.skip_offset.map(|offset| offset.ms(linear.duration_ms)),
        trackers: Vec::new(),
        verifications: verifications(resolved),
        mezzanine: linear.mezzanines.iter().filter(|file| file.is_on_the_web()).map(source).next(),
    };
    Ok(Creative {
        duration_ms: linear.duration_ms,
        universal_ad_id: creative.universal_ad_ids.first().map_or_else(|| UNKNOWN.to_owned(), |id| id.value.clone()),
        media: media(linear)?,
        presentation,
        trackers,
        click_trackings: linear.tracked.click_trackings.clone(),
        not_reported,
    })
}

const PATH: &str = "VAST/Ad/InLine/Creatives";

fn not_linear(creatives: &[VastCreative]) -> VastError {
    let sum = |count: fn(&VastCreative) -> usize| creatives.iter().map(count).sum::<usize>();
    let (non_linears, companions) = (sum(|creative| creative.non_linears), sum(|creative| creative.companions));
    let found = format!("{non_linears} NonLinear and {companions} Companion creatives");
    VastError::NotLinear { path: PATH.into(), found, non_linear: non_linears > 0 }
}

/// What a player of television plays, the better first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Hls,
    Mp4,
    Webm,
}

impl MediaFile {
    fn is_on_the_web(&self) -> bool {
        address::web(&self.url).is_some()
    }

    /// What kind it is, if it can be played: over HTTP, with nothing to run.
    fn kind(&self) -> Option<Kind> {
        // One of the IAB's samples says of an mp4 that its framework is VAST: that is nothing to run.
        let is_run = self.api_framework.as_ref().is_some_and(|framework| !framework.eq_ignore_ascii_case("VAST"));
        if is_run || !self.is_on_the_web() {
            return None;
        }
        match self.mime_type.to_ascii_lowercase().as_str() {
            "application/x-mpegurl" | "application/vnd.apple.mpegurl" | "audio/mpegurl" => Some(Kind::Hls),
            "video/mp4" => Some(Kind::Mp4),
            "video/webm" => Some(Kind::Webm),
            _ => None,
        }
    }
}

fn media(linear: &Linear) -> Result<Vec<MediaSource>, VastError> {
    let mut playable: Vec<(Kind, &MediaFile)> =
        linear.media_files.iter().filter_map(|file| Some((file.kind()?, file))).collect();
    let pixels = |file: &MediaFile| u32::from(file.width) * u32::from(file.height);
    playable
        .sort_by_key(|(kind, file)| (*kind, std::cmp::Reverse((pixels(file), file.bitrate_kbps.unwrap_or_default()))));
    if playable.is_empty() {
        let describe = |file: &MediaFile| {
            let kind = if file.mime_type.is_empty() { "no type" } else { &file.mime_type };
            let runs = file.api_framework.as_ref().map(|framework| format!(" by {framework}")).unwrap_or_default();
            address::shown(&format!("{kind}{runs}"))
        };
        let mut kinds: Vec<String> = linear.media_files.iter().map(describe).collect();
        kinds.sort();
        kinds.dedup();
        let found = if kinds.is_empty() { "no MediaFile".into() } else { address::shown(&kinds.join(", ")) };
        return Err(VastError::NoMedia { path: format!("{PATH}/Creative/Linear/MediaFiles"), found });
    }
    Ok(playable.into_iter().map(|(_, file)| source(file)).collect())
}

fn source(file: &MediaFile) -> MediaSource {
    MediaSource {
        url: file.url.clone(),
        mime_type: file.mime_type.clone(),
        width: file.width,
        height: file.height,
        bitrate_kbps: file.bitrate_kbps,
        codecs: file.codec.clone(),
    }
}

fn categories(resolved: &ResolvedAd) -> Vec<Category> {
    let categories = resolved.ad.categories.iter();
    categories.map(|known| Category { authority: known.authority.clone(), code: known.code.clone() }).collect()
}

/// The scripts of Open Measurement; others cannot be run.
fn verifications(resolved: &ResolvedAd) -> Vec<Verification> {
    let mut verifications = Vec::new();
    for verification in &resolved.ad.shared.verifications {
        let is_omid = |framework: &Option<String>| {
            framework.as_ref().is_none_or(|framework| framework.eq_ignore_ascii_case("omid"))
        };
        for script in verification.scripts.iter().filter(|script| is_omid(&script.api_framework)) {
            let host = || url::Url::parse(&script.url).ok().and_then(|url| url.host_str().map(String::from));
            verifications.push(Verification {
                // VAST wants a vendor and not all name one: then whose script it is.
                vendor: verification.vendor.clone().or_else(host).unwrap_or_default(),
                url: script.url.clone(),
                parameters: verification.parameters.clone(),
            });
        }
    }
    verifications
}

fn trackers(resolved: &ResolvedAd, tracked: &Tracked, not_reported: &mut BTreeMap<String, usize>) -> Vec<Tracker> {
    let shared = &resolved.ad.shared;
    let on = |event| move |url: &String| Tracker { event, url: url.clone() };
    let mut trackers: Vec<Tracker> = shared.impressions.iter().map(on(Event::Start)).collect();
    for tracking in &tracked.trackings {
        match event(&tracking.event) {
            Some(event) => trackers.push(Tracker { event, url: tracking.url.clone() }),
            None => *not_reported.entry(address::shown(&tracking.event)).or_default() += 1,
        }
    }
    trackers.extend(shared.errors.iter().map(on(Event::Error)));
    let seen = &shared.viewable_impression;
    trackers.extend(seen.viewable.iter().map(on(Event::Viewable)));
    trackers.extend(seen.not_viewable.iter().map(on(Event::NotViewable)));
    trackers.extend(seen.view_undetermined.iter().map(on(Event::ViewUndetermined)));
    if tracked.custom_clicks > 0 {
        *not_reported.entry("customClick".into()).or_default() += tracked.custom_clicks;
    }
    trackers
}

/// The event of a tracking's name. VAST 2 and 3 say of full screen in other words what version 4 calls the player's size.
fn event(name: &str) -> Option<Event> {
    match name {
        "fullscreen" => Some(Event::PlayerExpand),
        "exitFullscreen" => Some(Event::PlayerCollapse),
        name => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
