use proptest::{collection::vec, option, prelude::*, sample::select};
use quick_xml::{
    Reader,
    events::{BytesStart, Event as XmlEvent},
};
use slotkeeper_core::{
    api::{BreakRequest, SlotRequest},
    caps::{CapState, Viewer},
    consent::Privacy,
    contract::{Category, Presentation, Tracker, Verification},
    decide::decide,
    id::{CreativeId, FlightId},
    plan::{AdSource, FlightSource, MediaSource, Plan, PlanSource, build},
};

use super::*;
use crate::{Settings, answer::answer, breaks::Asked, stitcher::Device, xml::clean_url};

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const BASE: &str = "https://ads.example";
const VERSIONS: [Version; 4] = [Version::V2, Version::V3, Version::V42, Version::V43];

fn settings() -> Settings {
    let value = |name| match name {
        "keys" => Some(format!("1:{}", "07".repeat(32))),
        "pseudonym_key" => Some("9e".repeat(32)),
        "origin_url" => Some("http://origin".to_owned()),
        "edge_id" => Some("e".to_owned()),
        _ => None,
    };
    Settings::read(value).unwrap()
}

/// Text that breaks what is not escaped.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[\\x00-\\x20<>&\"'\\]]{0,8}",
        Just("]]>".into()),
        Just("<![CDATA[".into()),
        Just("😀\u{ffff}\u{85}".into())
    ]
}

fn url() -> impl Strategy<Value = String> {
    prop_oneof![
        hostile().prop_map(|text| format!("https://cdn.example/{text}?t=[TIMESTAMP]&e=[ERRORCODE]")),
        "https://[a-z]{1,8}\\.example/[a-z]{0,8}\\.mp4"
    ]
}

fn media() -> impl Strategy<Value = MediaSource> {
    let mime_type = select(vec!["video/mp4", "video/webm", "application/x-mpegURL"]);
    (url(), mime_type, any::<u16>(), any::<u16>(), option::of(1_u32..), option::of(hostile())).prop_map(
        |(url, mime_type, width, height, bitrate_kbps, codecs)| MediaSource {
            url,
            mime_type: mime_type.into(),
            width,
            height,
            bitrate_kbps,
            codecs,
        },
    )
}

fn presentation() -> impl Strategy<Value = Presentation> {
    let categories = vec((hostile(), hostile()).prop_map(|(authority, code)| Category { authority, code }), 0..3);
    let trackers = vec((select(Event::ALL), url()).prop_map(|(event, url)| Tracker { event, url }), 0..6);
    let verifications = vec(
        (hostile(), url(), option::of(hostile())).prop_map(|(vendor, url, parameters)| Verification {
            vendor,
            url,
            parameters,
        }),
        0..3,
    );
    let rest = (option::of(hostile()), option::of(url()), option::of(any::<u32>()), option::of(media()));
    (categories, trackers, verifications, rest).prop_map(
        |(categories, trackers, verifications, (advertiser, click_through, skip_after_ms, mezzanine))| Presentation {
            advertiser,
            categories,
            click_through,
            skip_after_ms,
            trackers,
            verifications,
            mezzanine,
        },
    )
}

fn flights() -> impl Strategy<Value = Vec<FlightSource>> {
    let ad = (hostile(), hostile(), 1_u32..40_000, vec(media(), 1..4), presentation());
    vec(ad, 0..5).prop_map(|ads| {
        let flight = |(id, (name, universal_ad_id, duration_ms, media, presentation))| FlightSource {
            flight_id: FlightId(id),
            advertiser_id: slotkeeper_core::id::AdvertiserId(id),
            starts_at: NOW.minus_ms(1),
            ends_at: NOW.plus_ms(86_400_000),
            allocation: 1,
            ads: vec![AdSource {
                ad_id: AdId(id),
                creative_id: CreativeId(id),
                record_id: RecordId([1; 8]),
                duration_ms,
                universal_ad_id,
                name,
                media,
                presentation,
                ..AdSource::default()
            }],
            ..FlightSource::default()
        };
        (1..).zip(ads).map(flight).collect()
    })
}

/// What this plan answers to a request of so many slots of 30 seconds.
fn decided_from(flights: Vec<FlightSource>, slots: usize) -> BreakResponse {
    let settings = settings();
    let source = PlanSource {
        version: 1,
        created_at: NOW,
        valid_from: NOW.minus_ms(1),
        valid_until: NOW.plus_ms(86_400_000),
        lease_ms: 7_200_000,
        titles: vec![],
        flights,
    };
    let bytes = build(&source, &settings.keys).unwrap();
    let plan = Plan::open(&bytes).unwrap();
    let request = BreakRequest {
        request_id: "r".into(),
        profile_id: "p".into(),
        title_id: "t".into(),
        slots: vec![SlotRequest { max_duration_ms: 30_000, ..SlotRequest::default() }; slots],
        ..BreakRequest::default()
    };
    let asked = Asked::of(request, Client::default(), BASE, &settings, NOW).unwrap();
    let pod = decide(
        Some(&plan),
        &CapState::Known(Viewer::default()),
        &asked.occasion(&slotkeeper_core::auction::Auction::NotAsked),
    );
    answer(&pod, Some(&plan), &asked, &settings.keys)
}

fn form(version: Version) -> Form<'static> {
    Form { version, base: BASE, not_used: false, now: NOW, known: None }
}

/// An ad as read back from a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ReadAd {
    id: String,
    duration: String,
    media: Vec<String>,
    /// Each event with its URLs in order; the impression as `impression`, errors as `error`.
    calls: Vec<(String, String)>,
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = start.attributes().map(Result::unwrap).find(|attribute| attribute.key.as_ref() == name)?;
    Some(quick_xml::escape::unescape(&found.value).unwrap().into_owned())
}

/// Reads the ads of a document; panics if it is not well formed.
fn read_back(document: &str) -> Vec<ReadAd> {
    let mut reader = Reader::from_str(document);
    reader.config_mut().check_end_names = true;
    let mut ads: Vec<ReadAd> = Vec::new();
    let mut path: Vec<(String, Option<String>, String)> = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            XmlEvent::Start(start) => {
                let name = start.name().as_ref().to_owned();
                if name == "Ad" {
                    ads.push(ReadAd { id: attribute(&start, "id").unwrap(), ..ReadAd::default() });
                }
                path.push((name, attribute(&start, "event"), String::new()));
            }
            XmlEvent::End(_) => {
                let (name, event, text) = path.pop().unwrap();
                let Some(ad) = ads.last_mut() else { continue };
                match name.as_str() {
                    "Duration" => ad.duration = text,
                    "MediaFile" => ad.media.push(text),
                    "Impression" => ad.calls.push(("impression".into(), text)),
                    "Error" => ad.calls.push(("error".into(), text)),
                    "ClickThrough" | "ClickTracking" => ad.calls.push(("clickThrough".into(), text)),
                    "Viewable" => ad.calls.push(("viewable".into(), text)),
                    "NotViewable" => ad.calls.push(("notViewable".into(), text)),
                    "ViewUndetermined" => ad.calls.push(("viewUndetermined".into(), text)),
                    "Tracking" => {
                        let event = match event.unwrap().as_str() {
                            "fullscreen" => "playerExpand".into(),
                            "exitFullscreen" => "playerCollapse".into(),
                            event => event.to_owned(),
                        };
                        ad.calls.push((event, text));
                    }
                    _ => {}
                }
            }
            XmlEvent::Text(text) => path.last_mut().unwrap().2 += &text.into_inner(),
            XmlEvent::CData(text) => path.last_mut().unwrap().2 += &text.into_inner(),
            XmlEvent::Eof => return ads,
            _ => {}
        }
    }
}

fn errors(document: &str) -> Vec<String> {
    let found = vastlint_core::validate(document).issues;
    let errors = found.into_iter().filter(|issue| issue.severity == vastlint_core::Severity::Error);
    errors.map(|issue| format!("{} at {:?}: {}", issue.id, issue.path, issue.message)).collect()
}

/// Whether a version has a place for an event; `notUsed` has one only where it is asked for.
fn has_place(event: Event, version: Version) -> bool {
    match event {
        Event::NotUsed => false,
        Event::Skip | Event::PlayerCollapse => version > Version::V2,
        Event::Viewable | Event::NotViewable | Event::ViewUndetermined => version.is_4(),
        _ => true,
    }
}

/// Holds a document against the answer it was rendered from.
fn assert_says(document: &str, response: &BreakResponse, version: Version) {
    let keys = settings().keys;
    let expected: Vec<_> = response.slots.iter().filter_map(|slot| show(1, slot, NOW, &keys)).collect();
    let ads = read_back(document);
    assert_eq!(ads.len(), expected.len(), "{document}");
    for (ad, show) in ads.iter().zip(&expected) {
        assert_eq!(ad.id, show.ad.ad_id.to_string());
        assert_eq!(ad.duration, linear::clock(show.ad.duration_ms));
        let media: Vec<_> = show.ad.media.iter().map(|file| clean_url(&file.url)).collect();
        assert_eq!(ad.media, media);
        for event in Event::ALL {
            let urls: Vec<_> =
                ad.calls.iter().filter(|(name, _)| *name == event.as_str()).map(|(_, url)| url).collect();
            let ours: Vec<_> = urls.iter().filter(|url| url.starts_with(BASE)).collect();
            let (vendors, booked) = (urls.len() - ours.len(), show.trackers(*event, &form(version)).count());
            let is_tracked = match event {
                Event::ClickThrough => show.ad.presentation.click_through.is_some(),
                event => has_place(*event, version),
            };
            assert_eq!(ours.len(), usize::from(is_tracked), "{event} in {version:?}");
            // Of errors VAST 2 has room for one.
            let has_room = has_place(*event, version) && !(version == Version::V2 && *event == Event::Error);
            assert_eq!(vendors, if has_room { booked } else { 0 }, "{event} in {version:?}");
            for url in ours.into_iter().copied() {
                if *event == Event::ClickThrough {
                    assert_eq!(
                        show.ad.click_through.as_deref(),
                        url.strip_prefix(BASE),
                        "the answer in JSON has the same link"
                    );
                }
                let token = url[BASE.len() + "/v1/t/".len()..].split('?').next().unwrap();
                let opened = Token::open(token, &keys, NOW).unwrap();
                assert_eq!(opened, Token { class: EventClass::Only(*event), ..show.token });
            }
        }
        let starts: Vec<_> = ad.calls.iter().filter(|(name, url)| name == "start" && url.starts_with(BASE)).collect();
        let impressions: Vec<_> = ad.calls.iter().filter(|(name, _)| name == "impression").collect();
        assert_eq!((impressions.len(), &impressions[0].1), (1, &starts[0].1), "the impression is the start");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_plan_and_any_request_give_a_valid_vast_of_the_same_pod(flights in flights(), slots in 1_usize..6) {
        let response = decided_from(flights, slots);
        for version in VERSIONS {
            let document = String::from_utf8(render(&response, &form(version), &settings().keys)).unwrap();
            prop_assert_eq!(errors(&document), Vec::<String>::new(), "{}", &document);
            assert_says(&document, &response, version);
        }
    }
}

fn one_flight() -> FlightSource {
    FlightSource {
        flight_id: FlightId(1),
        ends_at: NOW.plus_ms(86_400_000),
        allocation: 1,
        ads: vec![AdSource {
            ad_id: AdId(7),
            creative_id: CreativeId(70),
            duration_ms: 15_040,
            universal_ad_id: "CNPA0484000H".into(),
            name: "Spring".into(),
            media: vec![MediaSource {
                url: "https://cdn.example/a.mp4".into(),
                mime_type: "video/mp4".into(),
                ..MediaSource::default()
            }],
            presentation: Presentation {
                skip_after_ms: Some(5_000),
                mezzanine: Some(MediaSource {
                    url: "https://cdn.example/a.mov".into(),
                    mime_type: "video/quicktime".into(),
                    ..MediaSource::default()
                }),
                ..Presentation::default()
            },
            ..AdSource::default()
        }],
        ..FlightSource::default()
    }
}

fn rendered(response: &BreakResponse, form: &Form<'_>) -> String {
    String::from_utf8(render(response, form, &settings().keys)).unwrap()
}

#[test]
fn the_registered_id_stands_where_each_version_has_it() {
    let response = decided_from(vec![one_flight()], 1);
    let id = |attributes| format!("<UniversalAdId idRegistry=\"ad-id.org\"{attributes}>CNPA0484000H</UniversalAdId>");
    let cases = [
        (Version::V2, format!("<Extension type=\"UniversalAdId\">{}</Extension>", id(" creativeId=\"70\""))),
        (Version::V3, format!("<CreativeExtension type=\"UniversalAdId\">{}</CreativeExtension>", id(""))),
        (Version::V42, format!("</Linear>{}</Creative>", id(""))),
        (Version::V43, format!("</Linear>{}</Creative>", id(""))),
    ];
    for (version, expected) in cases {
        let document = rendered(&response, &form(version));
        assert!(document.contains(&expected), "{version:?}: {document}");
        assert!(document.contains("<Duration>00:00:15.040</Duration>"), "{document}");
        assert_eq!(document.contains("skipoffset=\"00:00:05.000\""), version > Version::V2);
        assert_eq!(document.matches("<Mezzanine ").count(), 1, "{version:?}: {document}");
        assert_eq!(document.contains("<Expires>7200</Expires>"), version.is_4());
    }
}

#[test]
fn without_an_ad_there_is_exactly_the_error_to_report_it_to() {
    let response = decided_from(vec![], 2);
    for version in VERSIONS {
        let document = rendered(&response, &form(version));
        assert_eq!(errors(&document), Vec::<String>::new());
        let head = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><VAST version=\"{}\">", version.as_str());
        let inside = document.strip_prefix(&head).unwrap().strip_suffix("</VAST>").unwrap();
        if version == Version::V2 {
            assert_eq!(inside, "");
            continue;
        }
        let url = inside.strip_prefix("<Error><![CDATA[").unwrap().strip_suffix("]]></Error>").unwrap();
        let token = url.strip_prefix("https://ads.example/v1/t/").unwrap().strip_suffix("?c=[ERRORCODE]").unwrap();
        let token = Token::open(token, &settings().keys, NOW).unwrap();
        assert_eq!((token.opportunity_id, token.ad_id), (response.slots[0].opportunity_id, AdId(0)));
        assert_eq!((token.class, token.holds_claim), (EventClass::Only(Event::Error), false));
    }
}

#[test]
fn an_ad_that_can_no_longer_be_played_or_reported_is_left_out() {
    let mut flight = one_flight();
    flight.ads[0].media.clear();
    assert!(!rendered(&decided_from(vec![flight], 1), &form(Version::V43)).contains("<Ad "), "no file");
    let response = decided_from(vec![one_flight()], 1);
    let at = |ms| rendered(&response, &Form { now: NOW.plus_ms(ms), ..form(Version::V43) });
    assert!(at(7_199_000).contains("<Expires>1</Expires>"));
    assert!(!at(7_200_000).contains("<Ad "), "its token is dead");
}

#[test]
fn not_used_is_tracked_where_asked_for_and_that_is_all_a_strict_validator_minds() {
    let response = decided_from(vec![one_flight()], 1);
    let document = rendered(&response, &Form { not_used: true, ..form(Version::V43) });
    let minded = errors(&document);
    assert_eq!(minded.len(), 1, "{minded:?}");
    assert!(minded[0].contains("[@event=\\\"notUsed\\\"]"), "{minded:?}");
}

#[test]
fn what_has_no_recorded_rows_is_not_answered() {
    let mut response = decided_from(vec![one_flight()], 1);
    response.receipt = Some("sealed".into());
    let reply = document(&response, &form(Version::V43), &settings().keys);
    let body = String::from_utf8(reply.body).unwrap();
    assert_eq!((reply.status, errors(&body)), (503, vec![]));
    assert!(body.ends_with("<VAST version=\"4.3\"></VAST>"), "{body}");
    assert!(reply.headers.contains(&("retry-after", "1".into())));
}

#[test]
fn a_stitcher_gets_what_only_we_know_and_fills_in_the_rest() {
    let mut flight = one_flight();
    let url = "https://v.example/?a=[ADSERVINGID]&n=[PODSEQUENCE]&u=[UNIVERSALADID]&b=[BREAKPOSITION]&ip=[DEVICEIP]\
               &ua=[DEVICEUA]&ifa=[IFA]&l=[LIMITADTRACKING]&c=[GDPRCONSENT]&t=[TIMESTAMP]&x=[NO][[SERVERSIDE]]&z=[";
    flight.ads[0].presentation.trackers = vec![Tracker { event: Event::Start, url: url.into() }];
    let response = decided_from(vec![flight], 1);
    let slot = response.slots[0].opportunity_id;
    let device = Device { address: "2001:db8::7".parse().ok(), user_agent: Some("TV 1/é".into()) };
    let told = |privacy| {
        let request = BreakRequest { privacy, ..BreakRequest::default() };
        let known = Some(Known {
            device: &device,
            request: &request,
            identity: slotkeeper_core::consent::Permissions::of(&request.privacy).identity,
        });
        let document = rendered(&response, &Form { known, ..form(Version::V43) });
        read_back(&document)[0].calls.iter().find(|(_, url)| url.starts_with("https://v.")).unwrap().1.clone()
    };
    let consent = Privacy { tcf: Some("CP+".into()), ..Privacy::default() };
    let expected = format!(
        "https://v.example/?a={slot}&n=1&u=ad-id.org%20CNPA0484000H&b=1&ip=2001%3Adb8%3A%3A7&ua=TV%201%2F%C3%A9\
         &ifa=-1&l=0&c=CP%2B&t=[TIMESTAMP]&x=[NO][1]&z=["
    );
    assert_eq!(told(consent), expected);
    let limited = told(Privacy { lmt: true, ..Privacy::default() });
    assert!(limited.contains("&ip=-2&") && limited.contains("&ifa=-2&l=1&c=-1&"), "{limited}");
}
