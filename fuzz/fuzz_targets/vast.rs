//! Somebody else's VAST: it is refused with a code and a path, or what is in it is bounded, and whatever of it is taken
//! can be called, written on one line, and put into a plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slotkeeper_fuzz::{record, seed};
use slotkeeper_vast::{
    bounds::{ADS_MAX, DURATION_MS_MAX, MEDIA_FILES_MAX, NOTES_MAX, TRACKERS_MAX, URL_BYTES_MAX},
    creative,
    model::Content,
    parse,
    resolve::ResolvedAd,
    verdict,
};

fuzz_target!(init: seeds(), |bytes: &[u8]| {
    let told = verdict(bytes);
    assert!(told.to_string().chars().all(|char| !char.is_control()), "{told:?}");
    let Ok(vast) = parse(bytes) else { return assert!(told.code().is_some()) };
    assert!(vast.ads.len() <= ADS_MAX && vast.notes.len() <= NOTES_MAX && vast.errors.len() <= TRACKERS_MAX);
    for ad in vast.ads {
        match ad.content {
            Content::Faulty { errors, .. } => errors.iter().for_each(|url| callable(url)),
            Content::Wrapper(wrapper) => callable(&wrapper.vast_ad_tag_uri),
            Content::InLine(ad) => playable(ResolvedAd { chain: Vec::new(), ad: *ad, blocked_ad_categories: Vec::new() }),
        }
    }
});

fn playable(ad: ResolvedAd) {
    let Ok(creative) = creative(&ad) else { return };
    assert!((1..=DURATION_MS_MAX).contains(&creative.duration_ms));
    assert!((1..=MEDIA_FILES_MAX).contains(&creative.media.len()));
    assert!(creative.trackers.len() <= TRACKERS_MAX);
    creative.media.iter().for_each(|file| callable(&file.url));
    creative.trackers.iter().for_each(|tracker| callable(&tracker.url));
    creative.click_trackings.iter().for_each(|url| callable(url));
    let record = creative.record(record(1));
    assert_eq!(
        serde_json::from_str::<slotkeeper_core::contract::RegistryRecord>(&record.canonical_json()).ok(),
        Some(record)
    );
}

fn callable(url: &str) {
    assert!(url.len() <= URL_BYTES_MAX && url.bytes().all(|byte| byte.is_ascii_graphic()), "{url:?}");
    let scheme = url.split_once("://").expect("a scheme").0.to_ascii_lowercase();
    assert!(scheme == "http" || scheme == "https", "{url:?}");
}

fn seeds() {
    seed("full", include_bytes!("../../core/vast/samples/full_4_3.xml"));
    seed("pod", include_bytes!("../../core/vast/samples/pod_with_a_faulty_ad.xml"));
    seed("prefixed", include_bytes!("../../core/vast/samples/prefixed.xml"));
    seed("in_extensions", include_bytes!("../../core/vast/samples/universal_ad_id_2_0.xml"));
    seed("wrapper", include_bytes!("../../core/vast/samples/wrapper.xml"));
    seed("laughs", include_bytes!("../../core/vast/samples/hostile_laughs.xml"));
}
