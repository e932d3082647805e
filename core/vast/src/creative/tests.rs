use slotkeeper_core::{
    contract::DemandClass,
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId},
    impression::Quartile,
    money::{Currency, Money},
    time::UnixMillis,
};

use super::*;
use crate::{
    Code,
    model::{Content, InLine},
    parse,
};

fn resolved(document: &str) -> ResolvedAd {
    match parse(document.as_bytes()).unwrap().ads.remove(0).content {
        Content::InLine(ad) => of(*ad),
        other => panic!("{other:?}"),
    }
}

fn of(ad: InLine) -> ResolvedAd {
    ResolvedAd { chain: Vec::new(), ad, blocked_ad_categories: Vec::new() }
}

fn full() -> Creative {
    creative(&resolved(include_str!("../../samples/full_4_3.xml"))).unwrap()
}

fn terms() -> RegistryRecord {
    RegistryRecord {
        ad_id: AdId(1),
        creative_id: CreativeId(2),
        flight_id: FlightId(3),
        campaign_id: CampaignId(4),
        advertiser_id: AdvertiserId(5),
        class: DemandClass::Guaranteed,
        cpm: Money { micros: 1_000_000, currency: Currency::parse("EUR").unwrap() },
        completion_threshold: Quartile::Midpoint,
        starts_at: UnixMillis(0),
        ends_at: UnixMillis(1),
        duration_ms: 0,
        universal_ad_id: String::new(),
        trackers: vec![Tracker { event: Event::Start, url: "https://booked.example/".into() }],
    }
}

#[test]
fn files_that_can_be_played_come_best_first_and_others_not_at_all() {
    let urls: Vec<String> = full().media.into_iter().map(|file| file.url).collect();
    let expected = ["master.m3u8", "1080-rich.mp4", "1080.mp4", "360.mp4", "720.webm"];
    assert_eq!(urls, expected.map(|file| format!("https://media.example/{file}")));
}

#[test]
fn everything_that_goes_with_it_is_taken_along() {
    let creative = full();
    assert_eq!((creative.duration_ms, creative.universal_ad_id.as_str()), (20_500, "KETL0001000H"));
    let Presentation { advertiser, categories, click_through, skip_after_ms, trackers, verifications, mezzanine } =
        creative.presentation;
    assert_eq!(advertiser.as_deref(), Some("Kettle <Co>"));
    assert_eq!(categories[0].code, "210");
    assert_eq!(click_through.as_deref(), Some("https://kettle.example/?from=tv"));
    assert_eq!(skip_after_ms, Some(5_125));
    assert_eq!(trackers, [], "what the origin calls, no player calls too");
    let [script] = verifications.as_slice() else { panic!("{verifications:?}") };
    assert_eq!(
        (script.vendor.as_str(), script.url.as_str()),
        ("measure.example-omid", "https://measure.example/omid.js")
    );
    assert_eq!(mezzanine.unwrap().url, "https://media.example/master.mov");
}

#[test]
fn impressions_are_called_on_start_errors_on_error_and_the_rest_as_asked_or_counted() {
    let creative = full();
    let on = |event| creative.trackers.iter().filter(|tracker| tracker.event == event).count();
    assert_eq!((on(Event::Start), on(Event::Complete), on(Event::Skip), on(Event::Error)), (3, 1, 1, 1));
    assert_eq!([Event::Viewable, Event::NotViewable, Event::ViewUndetermined].map(on), [1; 3]);
    assert_eq!(creative.trackers.len(), 12);
    assert_eq!(creative.click_trackings, ["https://ads.example/click"]);
    let counted: Vec<(&str, usize)> =
        creative.not_reported.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(counted, [("customClick", 1), ("progress", 2)]);
    let renamed = ["fullscreen", "exitFullscreen", "playerExpand", "playerCollapse", "expand"].map(event);
    let (full, not) = (Some(Event::PlayerExpand), Some(Event::PlayerCollapse));
    assert_eq!(renamed, [full, not, full, not, None]);
}

#[test]
fn what_cannot_be_played_is_refused_with_its_code() {
    let document = |files: &str| {
        format!(
            r#"<VAST version="4.2"><Ad><InLine><Creatives><Creative><Linear><Duration>00:00:10</Duration><MediaFiles>{files}
            </MediaFiles></Linear></Creative></Creatives></InLine></Ad></VAST>"#
        )
    };
    let code = |document: &str| creative(&resolved(document)).unwrap_err().code();
    for files in [
        "",
        r#"<MediaFile type="video/mp4" apiFramework="VPAID">https://m.example/1.mp4</MediaFile>"#,
        r#"<MediaFile type="video/mp4" apiFramework="SIMID">https://m.example/1.mp4</MediaFile>"#,
        r#"<MediaFile type="video/mp4">rtmp://m.example/1.mp4</MediaFile>"#,
        r#"<MediaFile type="video/mp4"/>"#,
        r#"<MediaFile type="video/x-flv">https://m.example/1.flv</MediaFile>"#,
        r#"<Mezzanine type="video/mp4">https://m.example/1.mp4</Mezzanine>"#,
    ] {
        assert_eq!(code(&document(files)), Code::MediaNotSupported, "{files}");
    }
    assert!(creative(&resolved(&document(r#"<MediaFile type="VIDEO/MP4">https://m.example/1</MediaFile>"#))).is_ok());
    assert_eq!(code(include_str!("../../samples/companions_only.xml")), Code::UnexpectedAdType);
    let over = r#"<VAST version="3.0"><Ad><InLine><Creatives><Creative><NonLinearAds><NonLinear/></NonLinearAds></Creative></Creatives></InLine></Ad></VAST>"#;
    assert_eq!(code(over), Code::UnexpectedLinearity);
    let sound = document(r#"<MediaFile type="video/mp4">https://m.example/1</MediaFile>"#)
        .replace("<Ad>", r#"<Ad adType="audio">"#);
    assert_eq!(code(&sound), Code::UnexpectedAdType);
}

#[test]
fn its_address_and_its_record_are_those_of_what_it_holds() {
    assert_eq!(full().content_id(), full().content_id());
    let mut other = full();
    other.trackers[0].url.push('x');
    assert_ne!(other.content_id(), full().content_id());
    let record = full().record(terms());
    assert_eq!(
        (record.duration_ms, record.universal_ad_id.as_str(), record.trackers.len()),
        (20_500, "KETL0001000H", 13)
    );
    assert_eq!(record.trackers[0].url, "https://booked.example/");
    assert_eq!(record.record_id(), full().record(terms()).record_id());
    assert_ne!(record.record_id(), other.record(terms()).record_id());
}

#[test]
fn a_script_without_a_vendor_is_its_hosts() {
    let document = include_str!("../../samples/universal_ad_id_2_0.xml").replace(" vendor=\"v\"", "");
    let creative = creative(&resolved(&document)).unwrap();
    assert_eq!(creative.presentation.verifications[0].vendor, "v.example");
    assert_eq!(creative.universal_ad_id, "CNPA0484000H");
}
