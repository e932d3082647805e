//! What goes with a creative beside its files: what a player shows, calls and tells, and what the origin calls.

use slotkeeper_core::{
    contract::{Category, Presentation, Tracker, Verification},
    plan::MediaSource,
};

use super::{
    fields::Fields,
    values::{self, Caller},
};

const CATEGORIES_MAX: usize = 16;
const CODE_CHARS_MAX: usize = 64;
const VERIFICATIONS_MAX: usize = 16;
const VENDOR_CHARS_MAX: usize = 200;
const PARAMETERS_CHARS_MAX: usize = 4_096;
const TRACKERS_MAX: usize = 32;
/// All of it together, as JSON: a plan holds it, and every answer with the ad in it.
const BYTES_MAX: usize = 32 * 1024;
const BITRATE_KBPS_MAX: u32 = 1_000_000;
const PIXELS_MAX: u16 = 16_384;

/// What is booked of a creative beside its files. Whose it is, `presentation` learns when a plan is made.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Extras {
    pub(super) presentation: Presentation,
    /// Those that the origin calls.
    pub(super) trackers: Vec<Tracker>,
}

/// Reads the fields of a creative that any has, whoever serves its video.
pub(super) fn read(creative: &Fields<'_>) -> Extras {
    let categories = creative.tables("categories", CATEGORIES_MAX).into_iter().filter_map(category).collect();
    let verifications =
        creative.tables("verifications", VERIFICATIONS_MAX).into_iter().filter_map(verification).collect();
    let trackers: Vec<_> = creative.tables("trackers", TRACKERS_MAX).into_iter().filter_map(tracker).collect();
    let called_by =
        |who| trackers.iter().filter(|(caller, _)| *caller == who).map(|(_, tracker)| tracker.clone()).collect();
    Extras {
        presentation: Presentation {
            categories,
            verifications,
            trackers: called_by(Caller::Player),
            ..Presentation::default()
        },
        trackers: called_by(Caller::Server),
    }
}

/// Reads into `presentation` what only a video of our own has; `duration_ms` is its length.
pub(super) fn read_own(creative: &Fields<'_>, duration_ms: Option<u32>, presentation: &mut Presentation) {
    presentation.click_through = creative.optional("click_through", values::media_url).map(|url| url.value);
    let skippable = 0..=duration_ms.map_or(super::book::AD_MS_MAX, |ms| ms.saturating_sub(1));
    presentation.skip_after_ms = creative.optional("skip_after_ms", values::integer(skippable)).map(|ms| ms.value);
    presentation.mezzanine = creative.table("mezzanine").and_then(media);
}

/// Notes what is more than a plan and an answer can carry of each ad.
pub(super) fn check_size(creative: &Fields<'_>, extras: &Extras) {
    let bytes_of = |json: serde_json::Result<String>| json.map_or(0, |json| json.len());
    let presented = bytes_of(serde_json::to_string(&extras.presentation));
    let called = bytes_of(serde_json::to_string(&extras.trackers));
    if presented + called > BYTES_MAX {
        let message = format!(
            "{} bytes with its categories, verifications and mezzanine, as JSON; a creative may have {BYTES_MAX}",
            presented + called
        );
        creative.fault("trackers", message);
    }
}

/// A file of a creative.
pub(super) fn media(fields: Fields<'_>) -> Option<MediaSource> {
    let url = fields.required("url", values::media_url);
    let mime_type = fields.required("mime_type", values::mime_type);
    let width = fields.required("width", values::integer(1..=PIXELS_MAX));
    let height = fields.required("height", values::integer(1..=PIXELS_MAX));
    let bitrate_kbps = fields.optional("bitrate_kbps", values::integer(1..=BITRATE_KBPS_MAX));
    let codecs = fields.optional("codecs", values::codecs);
    fields.end();
    Some(MediaSource {
        url: url?.value,
        mime_type: mime_type?.value,
        width: width?.value,
        height: height?.value,
        bitrate_kbps: bitrate_kbps.map(|kbps| kbps.value),
        codecs: codecs.map(|codecs| codecs.value),
    })
}

fn category(fields: Fields<'_>) -> Option<Category> {
    let authority = fields.required("authority", values::web_url);
    let code = fields.required("code", values::text(CODE_CHARS_MAX));
    fields.end();
    Some(Category { authority: authority?.value, code: code?.value })
}

fn verification(fields: Fields<'_>) -> Option<Verification> {
    let vendor = fields.required("vendor", values::text(VENDOR_CHARS_MAX));
    let url = fields.required("url", values::media_url);
    let parameters = fields.optional("parameters", values::text(PARAMETERS_CHARS_MAX));
    fields.end();
    Some(Verification {
        vendor: vendor?.value,
        url: url?.value,
        parameters: parameters.map(|parameters| parameters.value),
    })
}

fn tracker(fields: Fields<'_>) -> Option<(Caller, Tracker)> {
    let event = fields.required("event", values::event);
    let url = fields.required("url", values::web_url);
    let by = fields.optional("by", values::caller).map_or(Caller::Server, |by| by.value);
    fields.end();
    Some((by, Tracker { event: event?.value, url: url?.value }))
}
