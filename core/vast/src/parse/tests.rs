use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::{
    Code,
    bounds::{ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_BYTES_MAX, ELEMENTS_MAX},
};

const FULL: &str = include_str!("../../samples/full_4_3.xml");

fn inline(document: &str) -> InLine {
    match parse(document.as_bytes()).unwrap().ads.remove(0).content {
        Content::InLine(inline) => *inline,
        other => panic!("{other:?}"),
    }
}

fn wrapper(document: &str) -> Wrapper {
    match parse(document.as_bytes()).unwrap().ads.remove(0).content {
        Content::Wrapper(wrapper) => *wrapper,
        other => panic!("{other:?}"),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[test]
fn everything_that_is_needed_of_an_ad_is_read() {
    let ad = inline(FULL);
    let shared = &ad.shared;
    assert_eq!(shared.ad_system.as_deref(), Some("Example Ads"));
    assert_eq!(ad.title.as_deref(), Some("Soup & bread"));
    assert_eq!(ad.ad_serving_id.as_deref(), Some("serving-1"));
    assert_eq!(ad.advertiser.as_deref(), Some("Kettle <Co>"));
    assert_eq!(ad.expires_s, Some(600));
    let impressions = ["https://ads.example/impression?cb=[CACHEBUSTING]&t=1", "https://measure.example/i?a=1&b=2"];
    assert_eq!(shared.impressions, owned(&impressions));
    assert_eq!(shared.errors, owned(&["https://ads.example/error?c=[ERRORCODE]"]));
    assert_eq!(shared.viewable_impression.view_undetermined, owned(&["https://ads.example/who-knows"]));
    assert_eq!(shared.viewable_impression.len(), 3);
    let pricing = Pricing { model: "cpm".into(), currency: "EUR".into(), amount_micros: Some(12_500_000) };
    assert_eq!(shared.pricing, Some(pricing));
    let [category] = ad.categories.as_slice() else { panic!("{:?}", ad.categories) };
    assert_eq!(category.code, "210");
    let [verification] = shared.verifications.as_slice() else { panic!("{:?}", shared.verifications) };
    assert_eq!(verification.vendor.as_deref(), Some("measure.example-omid"));
    assert_eq!((verification.scripts.len(), verification.executables), (2, 1));
    assert_eq!(verification.parameters.as_deref(), Some(r#"{"key":"value"}"#));
    assert_eq!(verification.not_executed, owned(&["https://measure.example/not?r=[REASON]"]));
    assert_eq!(shared.extensions, 1);
}

#[test]
fn everything_that_is_needed_of_its_creatives_is_read_in_their_order() {
    let ad = inline(FULL);
    let [creative, companions] = ad.creatives.as_slice() else { panic!("{:?}", ad.creatives) };
    assert_eq!((companions.id.as_deref(), companions.companions), (Some("c2"), 2));
    assert_eq!((creative.id.as_deref(), creative.ad_id.as_deref()), (Some("c1"), Some("internal-1")));
    let ids: Vec<&str> = creative.universal_ad_ids.iter().map(|id| id.value.as_str()).collect();
    assert_eq!(ids, ["KETL0001000H", "KET/SOUP001/020"]);
    let linear = creative.linear.as_ref().unwrap();
    assert_eq!(linear.duration_ms, 20_500);
    assert_eq!(linear.skip_offset, Some(Offset::Percent(25)));
    assert_eq!((linear.media_files.len(), linear.mezzanines.len()), (8, 1));
    assert_eq!((linear.interactive_files, linear.closed_captions, linear.icons), (1, 1, 1));
    let file = &linear.media_files[2];
    assert_eq!((file.width, file.height, file.bitrate_kbps), (1920, 1080, Some(6_000)));
    assert_eq!((file.mime_type.as_str(), file.codec.as_deref()), ("video/mp4", Some("avc1.640028")));
    assert_eq!(linear.media_files[3].mime_type, "video/mp4", "an attribute of another namespace is not VAST's");
    assert_eq!(linear.click_through.as_deref(), Some("https://kettle.example/?from=tv"));
    assert_eq!(linear.tracked.click_trackings, owned(&["https://ads.example/click"]));
    let progress = linear.tracked.trackings.iter().filter(|tracking| tracking.event == "progress");
    let offsets: Vec<_> = progress.map(|tracking| tracking.offset).collect();
    assert_eq!(offsets, [Some(Offset::Time(5_000)), Some(Offset::Percent(90))]);
}

#[test]
fn what_is_not_understood_is_skipped_counted_and_noted() {
    let vast = parse(FULL.as_bytes()).unwrap();
    assert_eq!(vast.unknown_elements, 2, "`impression` in small letters and `SomethingNew`");
    let notes: Vec<_> = vast.notes.iter().map(|note| note.path.rsplit('/').next().unwrap()).collect();
    assert_eq!(notes, ["Tracking[9]", "Tracking[10]", "Category[2]"]);
}

#[test]
fn prefixes_are_looked_up_and_other_namespaces_are_not_vast() {
    let text = include_str!("../../samples/prefixed.xml");
    let ad = inline(text);
    let expected = ["https://ads.example/impression", "https://ads.example/without-prefix"];
    assert_eq!(ad.shared.impressions, owned(&expected));
    let linear = ad.creatives[0].linear.as_ref().unwrap();
    assert_eq!(linear.media_files[0].url, "https://media.example/a?b=1&c=2&d=3");
    assert_eq!(parse(text.as_bytes()).unwrap().unknown_elements, 1);
    // Not declared, and yet written by many.
    assert_eq!(parse(br#"<v:VAST version="4.1"><v:Ad/></v:VAST>"#).unwrap().ads.len(), 1);
    // The default namespace of an inner element is another one.
    let inner = br#"<VAST version="4.1" xmlns="http://www.iab.com/VAST"><Ad xmlns="urn:example:other"/></VAST>"#;
    assert_eq!(parse(inner).unwrap().ads.len(), 0);
}

#[test]
fn vast_2_carries_ids_and_verifications_in_extensions() {
    let ad = inline(include_str!("../../samples/universal_ad_id_2_0.xml"));
    assert_eq!(ad.creatives[0].universal_ad_ids[0].value, "CNPA0484000H");
    assert_eq!(ad.shared.verifications[0].scripts[0].url, "https://v.example/o.js");
    assert_eq!(ad.shared.extensions, 0);
}

#[test]
fn a_wrapper_is_read_with_its_flags_and_theirs_defaults() {
    let given = wrapper(include_str!("../../samples/wrapper.xml"));
    assert_eq!(given.vast_ad_tag_uri, "https://ads.example/tag?cb=[CACHEBUSTING]");
    assert!(!given.follow_additional_wrappers && given.allow_multiple_ads && given.fallback_on_no_ad);
    let [blocked] = given.blocked_ad_categories.as_slice() else { panic!("{given:?}") };
    assert_eq!(blocked.codes, owned(&["IAB7-39", "632"]));
    assert_eq!((given.tracked.trackings.len(), given.tracked.click_trackings.len()), (1, 1));
    let plain =
        r#"<VAST version="2.0"><Ad><Wrapper><VASTAdTagURI>http://a.example</VASTAdTagURI></Wrapper></Ad></VAST>"#;
    let plain = wrapper(plain);
    assert!(plain.follow_additional_wrappers && !plain.allow_multiple_ads && !plain.fallback_on_no_ad);
}

#[test]
fn a_faulty_ad_leaves_the_others_and_its_errors_can_be_called() {
    let vast = parse(include_bytes!("../../samples/pod_with_a_faulty_ad.xml")).unwrap();
    let Content::Faulty { fault, errors } = &vast.ads[2].content else { panic!("{:?}", vast.ads[2]) };
    assert_eq!(fault.code(), Code::SchemaValidation);
    assert_eq!(fault.path(), "VAST/Ad[3]/InLine/Creatives/Creative/Linear/Duration");
    assert_eq!(errors, &["https://ads.example/error?c=[ERRORCODE]"]);
    let sound = vast.ads.iter().filter(|ad| matches!(ad.content, Content::InLine(_))).count();
    assert_eq!(sound, 3);
}

#[test]
fn an_empty_vast_says_whom_to_tell() {
    let vast = parse(include_bytes!("../../samples/empty.xml")).unwrap();
    assert_eq!((vast.ads.len(), vast.errors), (0, owned(&["https://ads.example/none?c=[ERRORCODE]"])));
}

#[test]
fn versions_2_to_4_3_are_read_and_no_others() {
    for version in ["2.0", "2.0.1", "3.0", "3", "4.0", "4.1", "4.2", "4.3", " 4.3 "] {
        assert!(parse(format!("<VAST version={version:?}/>").as_bytes()).is_ok(), "{version}");
    }
    for version in ["1.0", "4.4", "5.0", "x", "-4.0", "4.x"] {
        let error = parse(format!("<VAST version={version:?}/>").as_bytes()).unwrap_err();
        assert_eq!(error.code(), Code::VersionNotSupported, "{version}");
    }
}

/// A document of so many children of the root.
fn many(child: &str, count: usize) -> String {
    format!(r#"<VAST version="4.2">{}</VAST>"#, child.repeat(count))
}

fn error(document: &str) -> VastError {
    parse(document.as_bytes()).unwrap_err()
}

type Bound<'a> = (&'a str, &'a dyn Fn(usize) -> String, usize, Code);

#[test]
fn everything_is_read_up_to_its_bound_and_refused_past_it() {
    let nested =
        |depth: usize| format!(r#"<VAST version="4.2">{}{}</VAST>"#, "<a>".repeat(depth - 1), "</a>".repeat(depth - 1));
    let attributes = |count: usize| {
        let mut text = String::from(r#"<VAST version="4.2""#);
        (1..count).for_each(|index| write!(text, r#" a{index}="""#).unwrap());
        text + "/>"
    };
    let media = |count: usize| {
        let (before, after) = FULL.split_once("<MediaFile ").unwrap();
        let (_, after) = after.split_once("</MediaFiles>").unwrap();
        format!(
            "{before}{}</MediaFiles>{after}",
            r#"<MediaFile type="video/mp4">https://m.example/1</MediaFile>"#.repeat(count)
        )
    };
    let creatives = |count: usize| {
        let ad = format!("<Ad><InLine><Creatives>{}</Creatives></InLine></Ad>", "<Creative/>".repeat(count));
        many(&ad, 1)
    };
    let errors = |count: usize| many("<Error>https://a.example/</Error>", count);
    let padded = |bytes: usize| format!("{}{}", many("", 0), " ".repeat(bytes - many("", 0).len()));
    let bounds: [Bound<'_>; 8] = [
        ("depth", &nested, DEPTH_MAX, Code::XmlParsing),
        ("attributes", &attributes, ATTRIBUTES_MAX, Code::SchemaValidation),
        ("elements", &|count| many("<a/>", count - 1), ELEMENTS_MAX, Code::SchemaValidation),
        ("ads", &|count| many("<Ad/>", count), ADS_MAX, Code::SchemaValidation),
        ("media files", &media, MEDIA_FILES_MAX, Code::SchemaValidation),
        ("creatives", &creatives, CREATIVES_MAX, Code::SchemaValidation),
        ("trackers", &errors, TRACKERS_MAX, Code::SchemaValidation),
        ("bytes", &padded, DOCUMENT_BYTES_MAX, Code::XmlParsing),
    ];
    for (name, document, max, code) in bounds {
        let within = parse(document(max).as_bytes());
        assert!(within.is_ok(), "{max} {name}: {within:?}");
        assert_eq!(error(&document(max + 1)).code(), code, "{name}");
    }
}

#[test]
fn no_entity_is_declared_and_none_is_fetched() {
    for document in
        [include_str!("../../samples/hostile_laughs.xml"), include_str!("../../samples/hostile_external.xml")]
    {
        assert_eq!(error(document), VastError::Doctype { at: 22 });
    }
    let unknown = error(include_str!("../../samples/hostile_entity.xml"));
    assert!(matches!(&unknown, VastError::Malformed { path, .. } if path == "VAST/Error"), "{unknown}");
}

#[test]
fn what_a_document_says_cannot_break_a_line_or_fill_a_log() {
    let odd = format!("<VAST version=\"{}&#10;&#27;[2J\"/>", "9".repeat(10_000));
    let said = error(&odd).to_string();
    assert!(said.len() < 400 && !said.contains(char::is_control), "{said:?}");
    let element = format!("<{}/>", "n".repeat(10_000));
    assert!(error(&element).to_string().len() < 400);
    // What the XML parser says repeats names.
    let said = error("<a><b></b\u{1b}[2J></a>").to_string();
    assert!(!said.contains(char::is_control), "{said:?}");
}

#[test]
fn a_url_that_cannot_be_called_is_left_out() {
    for odd in ["", "javascript:alert(1)", "file:///etc/passwd", "not a url", "//a.example/x"] {
        let document = many(&format!("<Error><![CDATA[{odd}]]></Error><Error>https://a.example/</Error>"), 1);
        let vast = parse(document.as_bytes()).unwrap();
        assert_eq!((vast.errors, vast.notes.len()), (owned(&["https://a.example/"]), 1), "{odd:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = crate::verdict(&bytes);
    }

    #[test]
    fn no_damaged_document_panics(
        at in 0..FULL.len(), len in 0usize..40, put in proptest::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut bytes = FULL.as_bytes().to_vec();
        bytes.splice(at..(at + len).min(FULL.len()), put);
        let _ = crate::verdict(&bytes);
    }

    #[test]
    fn no_pile_of_markup_panics(pieces in proptest::collection::vec(0usize..24, 0..60)) {
        const PIECES: [&str; 24] = [
            "<VAST version=\"4.2\">", "</VAST>", "<Ad sequence=\"1\">", "</Ad>", "<InLine>", "</InLine>", "<Wrapper>",
            "</Wrapper>", "<Creatives>", "</Creatives>", "<Creative>", "</Creative>", "<Linear skipoffset=\"x%\">",
            "</Linear>", "<Duration>", "00:00:10", "</Duration>", "<MediaFiles>", "</MediaFiles>", "<![CDATA[", "]]>",
            "&amp;", "<v:Ad xmlns:v=\"\"/>", "https://a.example/[é",
        ];
        let document: String = pieces.iter().map(|piece| PIECES[*piece]).collect();
        let _ = crate::verdict(document.as_bytes());
    }
}
