//! From XML to [`Vast`].
//!
//! Strict where something cannot be done without (a file, a duration, where a wrapper leads), tolerant where it can: what
//! is left out is noted, and a faulty ad does not take the others with it.

mod node;
mod scalars;
mod unknown;

use crate::{
    VastError, address,
    bounds::{ADS_MAX, CREATIVES_MAX, MEDIA_FILES_MAX, NOTES_MAX, TEXT_BYTES_MAX, TRACKERS_MAX},
    model::{
        Ad, AdType, BlockedAdCategories, Category, Content, Creative, InLine, Linear, MediaFile, Note, Offset, Pricing,
        Script, Shared, Tracked, Tracking, UniversalAdId, Vast, Verification, ViewableImpression, Wrapper,
    },
    xml,
};
use node::Node;
use unknown::unknown;

/// Reads a document. An empty VAST, with no ad in it, is one too.
///
/// # Errors
/// No XML, no VAST, another version, past a bound. What is wrong with one ad is in its [`Content`].
pub fn parse(document: &[u8]) -> Result<Vast, VastError> {
    let root = xml::read(document)?;
    let root = Node::root(&root);
    let version = version(root)?;
    let mut reading = Reading::default();
    let errors = reading.urls(root, "Error")?;
    let ads = root.children("Ad");
    if ads.len() > ADS_MAX {
        return Err(root.too_many("ads", ADS_MAX));
    }
    let ads = ads.into_iter().map(|ad| reading.ad(ad)).collect::<Result<_, _>>()?;
    Ok(Vast { version, ads, errors, unknown_elements: unknown(root.element), notes: reading.notes })
}

/// The version that a document says it is of, if it is one that is read.
fn version(root: Node<'_>) -> Result<String, VastError> {
    let unsupported = |found: String| VastError::Version { path: root.path(), found };
    match root.element.name.as_str() {
        "VAST" => {}
        // VAST 1.0 had another root, and nothing inside is where it is today.
        "VideoAdServingTemplate" => return Err(unsupported("1.0".into())),
        _ => return Err(VastError::NotVast { found: root.path() }),
    }
    let Some(version) = root.attribute("version") else {
        return Err(VastError::Missing { path: root.path(), expected: "an attribute version" });
    };
    let mut parts = version.split('.');
    let numbers = [parts.next(), parts.next()].map(|part| part.map_or(Ok(0), str::parse::<u8>));
    match numbers {
        [Ok(2 | 3), Ok(_)] | [Ok(4), Ok(0..=3)] => Ok(address::shown(version)),
        _ => Err(unsupported(address::shown(version))),
    }
}

/// What is counted and noted while a document is read.
#[derive(Default)]
struct Reading {
    trackers: usize,
    notes: Vec<Note>,
}

impl Reading {
    fn note(&mut self, node: Node<'_>, remark: &'static str) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(Note { path: node.path(), remark });
        }
    }

    /// The URL written in an element; a note, if it is none that can be called.
    fn url(&mut self, node: Node<'_>) -> Option<String> {
        let url = address::web(&node.element.text);
        if url.is_none() {
            self.note(node, "no URL of http or https that can be called; left out");
        }
        url
    }

    /// The URL to call that is written in an element.
    fn tracker(&mut self, node: Node<'_>) -> Result<Option<String>, VastError> {
        self.trackers += 1;
        if self.trackers > TRACKERS_MAX {
            return Err(node.too_many("URLs to call", TRACKERS_MAX));
        }
        Ok(self.url(node))
    }

    /// The URLs to call in the children of a name.
    fn urls(&mut self, node: Node<'_>, name: &str) -> Result<Vec<String>, VastError> {
        let mut urls = Vec::new();
        for child in node.children(name) {
            urls.extend(self.tracker(child)?);
        }
        Ok(urls)
    }

    /// The text of the first child of a name.
    fn text(&mut self, node: Node<'_>, name: &str) -> Option<String> {
        let child = node.child(name)?;
        self.kept(child, child.text()?)
    }

    /// `text`, if it is short enough to be kept.
    fn kept(&mut self, node: Node<'_>, text: &str) -> Option<String> {
        if text.len() <= TEXT_BYTES_MAX {
            return Some(text.to_owned());
        }
        self.note(node, "longer than 4096 bytes; left out");
        None
    }

    fn attribute(&mut self, node: Node<'_>, name: &str) -> Option<String> {
        self.kept(node, node.attribute(name)?)
    }

    /// A number in an attribute.
    fn number<T: std::str::FromStr>(&mut self, node: Node<'_>, name: &str) -> Option<T> {
        let number = node.attribute(name)?.parse().ok();
        if number.is_none() {
            self.note(node, "an attribute that should be a whole number is none; left out");
        }
        number
    }

    /// A yes or no in an attribute.
    fn flag(&mut self, node: Node<'_>, name: &str, default: bool) -> bool {
        match node.attribute(name) {
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            None => default,
            Some(_) => {
                self.note(node, "an attribute that should be true or false is neither; its default holds");
                default
            }
        }
    }

    /// One ad. An error is one of the document: it holds more than is read.
    fn ad(&mut self, node: Node<'_>) -> Result<Ad, VastError> {
        let id = self.attribute(node, "id");
        let sequence = self.number(node, "sequence");
        let content = match (node.child("InLine"), node.child("Wrapper")) {
            (Some(inline), None) => {
                let ad_type = self.ad_type(node);
                self.inline(inline).map(|inline| Content::InLine(Box::new(InLine { ad_type, ..inline })))
            }
            (None, Some(wrapper)) => self.wrapper(wrapper).map(|wrapper| Content::Wrapper(Box::new(wrapper))),
            _ => Err(node.missing("either InLine or Wrapper")),
        };
        let content = match content {
            Ok(content) => content,
            Err(error @ VastError::TooMany { .. }) => return Err(error),
            Err(fault) => {
                let body = node.child("InLine").or_else(|| node.child("Wrapper"));
                let errors = body.map(|body| self.urls(body, "Error")).transpose()?.unwrap_or_default();
                Content::Faulty { fault, errors }
            }
        };
        Ok(Ad { id, sequence, content })
    }

    fn ad_type(&mut self, node: Node<'_>) -> AdType {
        match node.attribute("adType") {
            None | Some("video") => AdType::Video,
            Some("audio") => AdType::Audio,
            Some("hybrid") => AdType::Hybrid,
            Some(_) => {
                self.note(node, "an adType that VAST has not; taken for video");
                AdType::Video
            }
        }
    }

    fn inline(&mut self, node: Node<'_>) -> Result<InLine, VastError> {
        let shared = self.shared(node)?;
        if shared.impressions.is_empty() {
            self.note(node, "no Impression, which VAST requires; nobody is told that it began");
        }
        let Some(creatives) = node.child("Creatives") else { return Err(node.missing("Creatives")) };
        let mut creatives = self.creatives(creatives)?;
        self.universal_ad_id_of_extensions(node, &mut creatives);
        let expires = self.text(node, "Expires");
        Ok(InLine {
            shared,
            ad_type: AdType::default(),
            title: self.text(node, "AdTitle"),
            ad_serving_id: self.text(node, "AdServingId"),
            advertiser: self.text(node, "Advertiser"),
            categories: self.categories(node),
            expires_s: expires.and_then(|seconds| seconds.parse().ok()),
            creatives,
        })
    }

    fn wrapper(&mut self, node: Node<'_>) -> Result<Wrapper, VastError> {
        let shared = self.shared(node)?;
        let Some(tag) = node.child("VASTAdTagURI") else { return Err(node.missing("VASTAdTagURI")) };
        let Some(uri) = address::web(&tag.element.text) else {
            return Err(tag.invalid(&tag.element.text, "a URL of http or https"));
        };
        let mut tracked = Tracked::default();
        if let Some(creatives) = node.child("Creatives") {
            let creatives = creatives.children("Creative");
            if creatives.len() > CREATIVES_MAX {
                return Err(node.too_many("creatives", CREATIVES_MAX));
            }
            for creative in &creatives {
                for linear in creative.children("Linear") {
                    let more = self.tracked(linear)?;
                    tracked.trackings.extend(more.trackings);
                    tracked.click_trackings.extend(more.click_trackings);
                    tracked.custom_clicks += more.custom_clicks;
                }
            }
        }
        let blocked = node.children("BlockedAdCategories").into_iter().map(|blocked| {
            let codes = blocked.text().unwrap_or_default().split(',').map(str::trim).filter(|code| !code.is_empty());
            let codes = codes.map(String::from).collect();
            BlockedAdCategories { authority: blocked.attribute("authority").map(String::from), codes }
        });
        let blocked_ad_categories = blocked.filter(|blocked| !blocked.codes.is_empty()).collect();
        Ok(Wrapper {
            shared,
            vast_ad_tag_uri: uri,
            // The defaults of VAST 4.3, section 3.19.
            follow_additional_wrappers: self.flag(node, "followAdditionalWrappers", true),
            allow_multiple_ads: self.flag(node, "allowMultipleAds", false),
            fallback_on_no_ad: self.flag(node, "fallbackOnNoAd", false),
            blocked_ad_categories,
            tracked,
        })
    }

    fn shared(&mut self, node: Node<'_>) -> Result<Shared, VastError> {
        let extensions = node.child("Extensions");
        let extensions = extensions.as_ref().map(|extensions| extensions.children("Extension")).unwrap_or_default();
        let mut verifications = self.verifications(node)?;
        let mut read = 0;
        for extension in &extensions {
            // How VAST 2 and 3 carry them: Open Measurement's guide, section 4.
            let found = self.verifications(*extension)?;
            let is_read = !found.is_empty() || extension.child("UniversalAdId").is_some();
            read += usize::from(is_read);
            verifications.extend(found);
        }
        Ok(Shared {
            ad_system: self.text(node, "AdSystem"),
            impressions: self.urls(node, "Impression")?,
            errors: self.urls(node, "Error")?,
            viewable_impression: self.viewable_impression(node)?,
            verifications,
            pricing: node.child("Pricing").and_then(|pricing| self.pricing(pricing)),
            extensions: extensions.len() - read,
        })
    }

    fn viewable_impression(&mut self, node: Node<'_>) -> Result<ViewableImpression, VastError> {
        let mut all = ViewableImpression::default();
        for child in node.children("ViewableImpression") {
            all.viewable.extend(self.urls(child, "Viewable")?);
            all.not_viewable.extend(self.urls(child, "NotViewable")?);
            all.view_undetermined.extend(self.urls(child, "ViewUndetermined")?);
        }
        Ok(all)
    }

    fn verifications(&mut self, node: Node<'_>) -> Result<Vec<Verification>, VastError> {
        let Some(all) = node.child("AdVerifications") else { return Ok(Vec::new()) };
        let mut verifications = Vec::new();
        for child in all.children("Verification") {
            let mut scripts = Vec::new();
            for script in child.children("JavaScriptResource") {
                let api_framework = self.attribute(script, "apiFramework");
                scripts.extend(self.tracker(script)?.map(|url| Script { api_framework, url }));
            }
            let events = child.child("TrackingEvents");
            let trackings = events.map(|events| self.trackings(events)).transpose()?.unwrap_or_default();
            let not_executed = trackings.into_iter().filter(|tracking| tracking.event == "verificationNotExecuted");
            verifications.push(Verification {
                vendor: self.attribute(child, "vendor"),
                scripts,
                executables: child.children("ExecutableResource").len(),
                parameters: self.text(child, "VerificationParameters"),
                not_executed: not_executed.map(|tracking| tracking.url).collect(),
            });
        }
        Ok(verifications)
    }

    fn pricing(&mut self, node: Node<'_>) -> Option<Pricing> {
        let (model, currency) = (self.attribute(node, "model"), self.attribute(node, "currency"));
        let (Some(model), Some(currency), Some(amount)) = (model, currency, node.text()) else {
            self.note(node, "no price with model and currency; left out");
            return None;
        };
        Some(Pricing { model: model.to_lowercase(), currency, amount_micros: scalars::micros(amount) })
    }

    fn categories(&mut self, node: Node<'_>) -> Vec<Category> {
        let mut categories = Vec::new();
        for child in node.children("Category") {
            let authority = self.attribute(child, "authority").unwrap_or_default();
            match child.text().and_then(|code| self.kept(child, code)) {
                Some(code) => categories.push(Category { authority, code }),
                None => self.note(child, "a category without a code; left out"),
            }
        }
        categories
    }

    fn creatives(&mut self, node: Node<'_>) -> Result<Vec<Creative>, VastError> {
        let children = node.children("Creative");
        if children.len() > CREATIVES_MAX {
            return Err(node.too_many("creatives", CREATIVES_MAX));
        }
        let mut creatives = Vec::new();
        for child in children {
            let sequence: u32 = self.number(child, "sequence").unwrap_or(u32::MAX);
            creatives.push((sequence, self.creative(child)?));
        }
        creatives.sort_by_key(|(sequence, _)| *sequence); // stable: without a sequence, the document's order
        Ok(creatives.into_iter().map(|(_, creative)| creative).collect())
    }

    fn creative(&mut self, node: Node<'_>) -> Result<Creative, VastError> {
        let count = |parent: &str, name: &str| node.child(parent).map_or(0, |parent| parent.children(name).len());
        let mut universal_ad_ids: Vec<UniversalAdId> =
            node.children("UniversalAdId").into_iter().filter_map(|id| self.universal_ad_id(id)).collect();
        if let Some(extensions) = node.child("CreativeExtensions") {
            for extension in extensions.children("CreativeExtension") {
                let ids = extension.children("UniversalAdId").into_iter();
                universal_ad_ids.extend(ids.filter_map(|id| self.universal_ad_id(id)));
            }
        }
        let ad_id = self.attribute(node, "adId").or_else(|| self.attribute(node, "AdID"));
        Ok(Creative {
            id: self.attribute(node, "id"),
            ad_id,
            universal_ad_ids,
            linear: node.child("Linear").map(|linear| self.linear(linear)).transpose()?,
            non_linears: count("NonLinearAds", "NonLinear"),
            companions: count("CompanionAds", "Companion"),
        })
    }

    /// The id as VAST 4.1 writes it, or in the attribute where VAST 4.0 had it.
    fn universal_ad_id(&mut self, node: Node<'_>) -> Option<UniversalAdId> {
        let written = node.text().and_then(|value| self.kept(node, value));
        let value = written.or_else(|| self.attribute(node, "idValue"));
        let Some(value) = value.filter(|value| !value.eq_ignore_ascii_case("unknown")) else {
            self.note(node, "a UniversalAdId that names nothing; left out");
            return None;
        };
        Some(UniversalAdId { registry: self.attribute(node, "idRegistry").unwrap_or_default(), value })
    }

    /// The id where the CTV addendum has it in VAST 2 and 3: in an extension of the ad.
    fn universal_ad_id_of_extensions(&mut self, node: Node<'_>, creatives: &mut [Creative]) {
        let Some(extensions) = node.child("Extensions") else { return };
        let Some(creative) = creatives.iter_mut().find(|creative| creative.linear.is_some()) else { return };
        for extension in extensions.children("Extension") {
            let ids = extension.children("UniversalAdId").into_iter();
            creative.universal_ad_ids.extend(ids.filter_map(|id| self.universal_ad_id(id)));
        }
    }

    fn linear(&mut self, node: Node<'_>) -> Result<Linear, VastError> {
        let Some(duration) = node.child("Duration") else { return Err(node.missing("Duration")) };
        let duration_text = duration.text().unwrap_or_default();
        let duration_ms = scalars::time_ms(duration_text).filter(|ms| *ms > 0);
        let duration_ms = duration_ms
            .ok_or_else(|| duration.invalid(duration_text, "HH:MM:SS or HH:MM:SS.mmm, of at most an hour"))?;
        let Some(files) = node.child("MediaFiles") else { return Err(node.missing("MediaFiles")) };
        let media_files = self.media_files(files, "MediaFile")?;
        let clicks = node.child("VideoClicks");
        let click_through = clicks.and_then(|clicks| clicks.child("ClickThrough").and_then(|click| self.url(click)));
        Ok(Linear {
            duration_ms,
            skip_offset: self.offset(node, "skipoffset"),
            media_files,
            mezzanines: self.media_files(files, "Mezzanine")?,
            interactive_files: files.children("InteractiveCreativeFile").len(),
            closed_captions: files
                .child("ClosedCaptionFiles")
                .map_or(0, |captions| captions.children("ClosedCaptionFile").len()),
            icons: node.child("Icons").map_or(0, |icons| icons.children("Icon").len()),
            click_through,
            tracked: self.tracked(node)?,
        })
    }

    fn media_files(&mut self, node: Node<'_>, name: &str) -> Result<Vec<MediaFile>, VastError> {
        let children = node.children(name);
        if children.len() > MEDIA_FILES_MAX {
            return Err(node.too_many("media files", MEDIA_FILES_MAX));
        }
        let mut files = Vec::new();
        for child in children {
            let text = child.text().unwrap_or_default();
            // An rtsp mezzanine is no fault; whether a file can be played is asked later.
            let url = address::web(text).or_else(|| self.kept(child, text)).unwrap_or_default();
            files.push(MediaFile {
                url,
                delivery: self.attribute(child, "delivery"),
                mime_type: self.attribute(child, "type").unwrap_or_default(),
                width: self.number(child, "width").unwrap_or_default(),
                height: self.number(child, "height").unwrap_or_default(),
                bitrate_kbps: self.number(child, "bitrate").or_else(|| self.number(child, "maxBitrate")),
                codec: self.attribute(child, "codec"),
                api_framework: self.attribute(child, "apiFramework"),
            });
        }
        Ok(files)
    }

    fn tracked(&mut self, node: Node<'_>) -> Result<Tracked, VastError> {
        let events = node.child("TrackingEvents");
        let trackings = events.map(|events| self.trackings(events)).transpose()?.unwrap_or_default();
        let Some(clicks) = node.child("VideoClicks") else { return Ok(Tracked { trackings, ..Tracked::default() }) };
        let click_trackings = self.urls(clicks, "ClickTracking")?;
        Ok(Tracked { trackings, click_trackings, custom_clicks: clicks.children("CustomClick").len() })
    }

    fn trackings(&mut self, node: Node<'_>) -> Result<Vec<Tracking>, VastError> {
        let mut trackings = Vec::new();
        for child in node.children("Tracking") {
            let url = self.tracker(child)?;
            match (self.attribute(child, "event"), url) {
                (Some(event), Some(url)) => {
                    trackings.push(Tracking { event, offset: self.offset(child, "offset"), url });
                }
                (None, _) => self.note(child, "no event; left out"),
                (_, None) => {} // noted already
            }
        }
        Ok(trackings)
    }

    fn offset(&mut self, node: Node<'_>, name: &str) -> Option<Offset> {
        let text = node.attribute(name)?;
        let offset = scalars::offset(text);
        if offset.is_none() {
            self.note(node, "an offset that is neither HH:MM:SS nor a percentage; left out");
        }
        offset
    }
}

#[cfg(test)]
mod tests;
