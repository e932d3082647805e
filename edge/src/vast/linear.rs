//! An ad's video: its registered id, length, files, clicks and events.

use slotkeeper_core::{api::MediaResponse, beacon::Event, keys::Keyring, plan::MediaSource};

use super::{Form, Show, Version};
use crate::{clicks::leads_to, xml::Xml};

/// What is tracked of a video, each with the version from which on VAST knows it.
const TRACKED: [(Event, Version); 13] = [
    (Event::Start, Version::V2),
    (Event::FirstQuartile, Version::V2),
    (Event::Midpoint, Version::V2),
    (Event::ThirdQuartile, Version::V2),
    (Event::Complete, Version::V2),
    (Event::Pause, Version::V2),
    (Event::Resume, Version::V2),
    (Event::Mute, Version::V2),
    (Event::Unmute, Version::V2),
    (Event::Skip, Version::V3),
    (Event::PlayerExpand, Version::V2),
    (Event::PlayerCollapse, Version::V3),
    (Event::NotUsed, Version::V42),
];

pub(super) fn creative(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    let (id, ad_id) = (show.ad.creative_id.to_string(), show.ad.ad_id.to_string());
    // VAST 2.0 spells it so.
    let ad_id_name = if form.version == Version::V2 { "AdID" } else { "adId" };
    let attributes = [("id", Some(id.as_str())), ("sequence", Some("1")), (ad_id_name, Some(ad_id.as_str()))];
    xml.element("Creative", &attributes, |xml| match form.version {
        Version::V2 => linear_2_and_3(xml, show, form, keys),
        Version::V3 => {
            xml.element("CreativeExtensions", &[], |xml| extensions(xml, "CreativeExtension", show, form));
            linear_2_and_3(xml, show, form, keys);
        }
        Version::V42 | Version::V43 => {
            linear_4(xml, show, form, keys);
            universal_ad_id(xml, show, None);
        }
    });
}

/// What the CTV addendum of 2024 gives to VAST 2 and 3: there an extension of the ad, here of the creative.
pub(super) fn extensions(xml: &mut Xml, name: &str, show: &Show<'_>, form: &Form<'_>) {
    // Only an extension of the ad has to say what it is about.
    let is_of_ad = form.version == Version::V2;
    xml.element(name, &[("type", Some("UniversalAdId"))], |xml| {
        let creative_id = show.ad.creative_id.to_string();
        universal_ad_id(xml, show, Some(creative_id.as_str()).filter(|_| is_of_ad));
    });
    if let Some(file) = booked_mezzanine(show) {
        xml.element(name, &[("type", Some("Mezzanine"))], |xml| {
            let first_file = media_id(show, 0);
            mezzanine(xml, file, show, Some(first_file.as_str()).filter(|_| is_of_ad));
        });
    }
}

fn universal_ad_id(xml: &mut Xml, show: &Show<'_>, creative_id: Option<&str>) {
    let id = match show.ad.universal_ad_id.trim() {
        "" => "unknown",
        id => id,
    };
    xml.text("UniversalAdId", &[("idRegistry", Some(registry_of(id))), ("creativeId", creative_id)], id);
}

/// Who registered an id: Ad-ID's codes are four letters and seven or eight letters and digits more. No other is booked with
/// its registry.
pub(super) fn registry_of(id: &str) -> &'static str {
    let is_code = matches!(id.len(), 11 | 12)
        && id.bytes().enumerate().all(|(place, byte)| match place {
            0..4 => byte.is_ascii_uppercase(),
            _ => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        });
    if is_code { "ad-id.org" } else { "unknown" }
}

fn linear_4(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    linear_element(xml, show, form, |xml| {
        tracking_events(xml, show, form, keys);
        duration(xml, show);
        media_files(xml, show, form);
        video_clicks(xml, show, form, keys);
    });
}

fn linear_2_and_3(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    linear_element(xml, show, form, |xml| {
        duration(xml, show);
        tracking_events(xml, show, form, keys);
        video_clicks(xml, show, form, keys);
        media_files(xml, show, form);
    });
}

fn linear_element(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, content: impl FnOnce(&mut Xml)) {
    let offset = show.ad.presentation.skip_after_ms.filter(|_| form.version > Version::V2).map(clock);
    xml.element("Linear", &[("skipoffset", offset.as_deref())], content);
}

fn duration(xml: &mut Xml, show: &Show<'_>) {
    xml.text("Duration", &[], &clock(show.ad.duration_ms));
}

fn tracking_events(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    xml.element("TrackingEvents", &[], |xml| {
        for (event, since) in TRACKED {
            if form.version < since || event == Event::NotUsed && !form.not_used {
                continue;
            }
            let name = [("event", Some(name_of(event, form.version)))];
            xml.url("Tracking", &name, &show.pixel(event, form, keys));
            show.trackers(event, form).for_each(|url| xml.url("Tracking", &name, &url));
        }
    });
}

/// What a version calls an event: before 4, full screen had a word of its own.
fn name_of(event: Event, version: Version) -> &'static str {
    match event {
        Event::PlayerExpand if !version.is_4() => "fullscreen",
        Event::PlayerCollapse if !version.is_4() => "exitFullscreen",
        event => event.as_str(),
    }
}

/// A click leads by way of this edge to where the ad was booked to lead, and straight on from an auction's ad; clicks on an ad that leads nowhere are tracked.
fn video_clicks(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    let leads = leads_to(form.base, show.ad, show.token, keys);
    let trackers: Vec<_> = show.trackers(Event::ClickThrough, form).collect();
    if leads.is_none() && trackers.is_empty() {
        return;
    }
    xml.element("VideoClicks", &[], |xml| {
        let through = |xml: &mut Xml| {
            if let Some(url) = &leads {
                xml.url("ClickThrough", &[("id", Some("slotkeeper"))], url);
            }
        };
        let tracking = |xml: &mut Xml| {
            for url in &trackers {
                xml.url("ClickTracking", &[], url);
            }
        };
        if form.version.is_4() {
            tracking(xml);
            through(xml);
        } else {
            through(xml);
            tracking(xml);
        }
    });
}

fn media_files(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>) {
    xml.element("MediaFiles", &[], |xml| {
        let playable = show.ad.media.iter().filter(|file| !file.url.trim().is_empty());
        for (place, file) in playable.enumerate() {
            media_file(xml, file, &media_id(show, place), form);
        }
        if let Some(file) = booked_mezzanine(show).filter(|_| form.version.is_4()) {
            mezzanine(xml, file, show, None);
        }
    });
}

fn media_file(xml: &mut Xml, file: &MediaResponse, id: &str, form: &Form<'_>) {
    let (width, height) = (file.width.to_string(), file.height.to_string());
    let bitrate = file.bitrate_kbps.map(|kbps| kbps.to_string());
    let attributes = [
        ("id", Some(id)),
        ("delivery", Some(delivery(&file.mime_type))),
        ("type", Some(file.mime_type.as_str())),
        ("bitrate", bitrate.as_deref()),
        ("width", Some(width.as_str())),
        ("height", Some(height.as_str())),
        ("codec", file.codecs.as_deref().filter(|_| form.version > Version::V2)),
    ];
    xml.url("MediaFile", &attributes, &file.url);
}

fn booked_mezzanine<'a>(show: &'a Show<'_>) -> Option<&'a MediaSource> {
    show.ad.presentation.mezzanine.as_ref().filter(|file| !file.url.trim().is_empty() && file.mime_type.contains('/'))
}

fn mezzanine(xml: &mut Xml, file: &MediaSource, show: &Show<'_>, media_file_id: Option<&str>) {
    let (width, height) = (file.width.to_string(), file.height.to_string());
    let id = format!("{}-mezzanine", show.ad.creative_id);
    let attributes = [
        ("id", Some(id.as_str())),
        ("delivery", Some(delivery(&file.mime_type))),
        ("type", Some(file.mime_type.as_str())),
        ("width", Some(width.as_str())),
        ("height", Some(height.as_str())),
        ("codec", file.codecs.as_deref()),
        ("mediaFileId", media_file_id),
    ];
    xml.url("Mezzanine", &attributes, &file.url);
}

fn media_id(show: &Show<'_>, place: usize) -> String {
    format!("{}-{}", show.ad.creative_id, place + 1)
}

/// Playlists of HLS and DASH are streamed, files are downloaded while they play.
fn delivery(mime_type: &str) -> &'static str {
    let streamed = ["application/vnd.apple.mpegurl", "application/x-mpegurl", "application/dash+xml"];
    let is_streamed = streamed.iter().any(|known| mime_type.eq_ignore_ascii_case(known));
    if is_streamed { "streaming" } else { "progressive" }
}

/// `HH:MM:SS.mmm`.
pub(crate) fn clock(ms: u32) -> String {
    let seconds = ms / 1000;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, ms % 1000)
}
