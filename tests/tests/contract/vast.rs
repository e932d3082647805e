//! The promises to players without our code: what they get is VAST that validators accept, and what they call lands in the
//! books as the SDK's beacons do.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Response};
use quick_xml::{Reader, events::Event as XmlEvent};
use slotkeeper_core::{
    api::{SlotOutcome, SlotRequest},
    beacon::Event,
    contract::{BreakPosition, Category, Presentation, TitleBreak, Tracker, Verification},
    fact::BeaconFact,
    id::{AdId, OpportunityId},
    keys::Purpose,
    plan::{FlightSource, MediaSource, TitleSource},
    pod::UnfilledReason,
    token::Token,
};
use vast4_rs::Vast;

use crate::{
    collector::Mood,
    edge::{Edge, Runtime, StoreFault, json, outcomes},
    world::{self, capped, flight, request},
};

const VERSIONS: [(&str, &str); 4] = [("4.3", "4.3"), ("4.2", "4.2"), ("3", "3.0"), ("2", "2.0")];

/// A flight whose ad has everything that can be booked on it.
fn booked(id: u32) -> FlightSource {
    let mut flight = flight(id);
    let ad = &mut flight.ads[0];
    let file = |height: u16, kbps| MediaSource {
        url: format!("https://media.example/{id}/{height}.mp4?a=1&b=2"),
        mime_type: "video/mp4".into(),
        width: height / 9 * 16,
        height,
        bitrate_kbps: Some(kbps),
        codecs: Some("avc1.640028, mp4a.40.2".into()),
    };
    ad.media = vec![file(1080, 8_000), file(720, 4_000), file(360, 900)];
    let tracker = |event: Event| Tracker { event, url: format!("https://vendor.example/{event}?t=[TIMESTAMP]") };
    ad.presentation = Presentation {
        advertiser: Some("Brand & Sons".into()),
        categories: vec![Category {
            authority: "https://iabtechlab.com/standards/taxonomy".into(),
            code: "1053".into(),
        }],
        click_through: Some(format!("https://brand.example/{id}?from=tv&x=]]>")),
        skip_after_ms: Some(5_000),
        trackers: [Event::Start, Event::Midpoint, Event::Error, Event::Viewable, Event::ClickThrough]
            .map(tracker)
            .to_vec(),
        verifications: vec![Verification {
            vendor: "vendor.example-omid".into(),
            url: "https://vendor.example/omid.js".into(),
            parameters: Some("{\"k\":\"<]]>\"}".into()),
        }],
        mezzanine: Some(MediaSource { mime_type: "video/quicktime".into(), ..file(2160, 50_000) }),
    };
    flight
}

/// An element of a document: its name, its attributes as written, and the text in it.
struct Element {
    name: String,
    attributes: String,
    text: String,
}

fn elements(document: &str) -> Vec<Element> {
    let mut reader = Reader::from_str(document);
    let (mut open, mut found) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().expect("well-formed XML") {
            XmlEvent::Start(start) => {
                found.push(Element {
                    name: start.name().as_ref().to_owned(),
                    attributes: start.attributes_raw().trim().to_owned(),
                    text: String::new(),
                });
                open.push(found.len() - 1);
            }
            XmlEvent::End(_) => drop(open.pop()),
            XmlEvent::Text(text) => found[*open.last().expect("text is in an element")].text += &text.into_inner(),
            XmlEvent::CData(text) => found[*open.last().expect("text is in an element")].text += &text.into_inner(),
            XmlEvent::Eof => return found,
            _ => {}
        }
    }
}

fn texts(document: &str, name: &str) -> Vec<String> {
    elements(document).into_iter().filter(|element| element.name == name).map(|element| element.text).collect()
}

/// The URLs at this edge, as the paths to call.
fn ours(document: &str, name: &str) -> Vec<String> {
    let of_edge = |url: String| Some(url[url.find("/v1/")?..].to_owned());
    texts(document, name).into_iter().filter(|url| url.starts_with("http://")).filter_map(of_edge).collect()
}

/// The errors of a strict validator.
pub(crate) fn errors(document: &str) -> Vec<String> {
    let issues = vastlint_core::validate(document).issues.into_iter();
    let errors = issues.filter(|issue| issue.severity == vastlint_core::Severity::Error);
    errors.map(|issue| format!("{} at {:?}: {}", issue.id, issue.path, issue.message)).collect()
}

fn text(response: &Response<Bytes>) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

impl<R: Runtime> Edge<R> {
    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.call(Method::GET, path, None, "").await
    }

    /// A valid VAST.
    async fn vast(&self, query: &str) -> String {
        let response = self.get(&format!("/v1/vast?{query}")).await;
        let document = text(&response);
        assert_eq!(response.status(), 200, "{document}");
        assert_eq!(errors(&document), [""; 0], "{document}");
        document
    }
}

pub(crate) async fn every_version_of_vast_is_one_that_validators_accept<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![booked(1), flight(2)]).await;
    for (v, version) in VERSIONS {
        // One of three slots stays empty: a third ad there is not.
        let filled = edge.vast(&format!("profile=ann&title=film&slots=30,30,30&request_id=full{v}&v={v}")).await;
        assert!(filled.contains(&format!("<VAST version=\"{version}\">")), "{filled}");
        assert_eq!(filled.matches("<Ad ").count(), 2, "{filled}");
        assert_eq!(filled.contains("sequence=\"2\""), v != "2", "{filled}");
        assert_eq!(texts(&filled, "MediaFile").len(), 4, "three qualities, and one file: {filled}");
        assert_eq!(texts(&filled, "UniversalAdId").iter().filter(|id| id.starts_with("TEST")).count(), 2, "{filled}");
        assert_eq!(texts(&filled, "JavaScriptResource"), ["https://vendor.example/omid.js"]);
        let empty = edge.vast(&format!("profile=ann&title=film&slots=5&request_id=none{v}&v={v}")).await;
        assert_eq!(elements(&empty).len(), if v == "2" { 1 } else { 2 }, "nothing but the error: {empty}");
        if v.starts_with('4') {
            for document in [&filled, &empty] {
                let parsed: Vast<'_> = vast4_rs::from_str(document).expect(document);
                assert_eq!(parsed.ads.len(), document.matches("<Ad ").count());
            }
            let distinct: std::collections::BTreeSet<_> = texts(&filled, "AdServingId").into_iter().collect();
            assert_eq!(distinct.len(), 2, "each showing has an id of its own");
            let lease_s: u64 = texts(&filled, "Expires")[0].parse().unwrap();
            assert!((3_500..=3_600).contains(&lease_s), "the claim's lease is an hour: {lease_s}");
        }
    }
    assert_eq!(edge.rows(16).await.len(), 16, "a row for every slot of every version");
}

/// A document without what is left of its leases, which is told anew each time.
fn without_lease(document: &str) -> String {
    let mut parts = document.split("<Expires>");
    let head = parts.next().unwrap().to_owned();
    parts.fold(head, |kept, part| kept + part.split_once("</Expires>").unwrap().1)
}

pub(crate) async fn a_stock_player_and_the_sdk_get_the_same_break<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 1), booked(2)]).await;
    let query = "profile=bob&title=film&slots=30,30&request_id=same";
    let first = edge.vast(query).await;
    for _ in 0..3 {
        assert_eq!(without_lease(&edge.vast(query).await), without_lease(&first), "tokens and all");
    }
    let pod = edge.open(&request("same", "bob", 2)).await;
    let ids: Vec<_> = outcomes(&pod).into_iter().map(|outcome| outcome.unwrap().to_string()).collect();
    let ads: Vec<_> = elements(&first).into_iter().filter(|element| element.name == "Ad").collect();
    assert_eq!(ads.len(), ids.len());
    for (ad, id) in ads.iter().zip(&ids) {
        assert!(ad.attributes.starts_with(&format!("id=\"{id}\"")), "{}", ad.attributes);
    }
    let serving: Vec<_> = pod.slots.iter().map(|slot| slot.opportunity_id.to_string()).collect();
    assert_eq!(texts(&first, "AdServingId"), serving);
    let other = edge.open(&request("other", "bob", 2)).await;
    assert_eq!(outcomes(&other), [Ok(20), Err(UnfilledReason::FrequencyCapped)], "the VAST has taken the cap");
    edge.rows(4).await;
}

pub(crate) async fn what_a_stock_player_calls_lands_in_the_books<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![FlightSource { caps: capped(1, 1).caps, ..booked(1) }]).await;
    let document = edge.vast("profile=cid&title=film&slots=30&request_id=r").await;
    let slot: OpportunityId = texts(&document, "AdServingId")[0].parse().unwrap();
    let mut paths = ours(&document, "Impression");
    for name in ["Tracking", "Viewable", "NotViewable", "ViewUndetermined"] {
        paths.extend(ours(&document, name));
    }
    let errors = ours(&document, "Error");
    assert!(errors[0].ends_with("?c=[ERRORCODE]"), "{errors:?}");
    paths.push(errors[0].replace("[ERRORCODE]", "405"));
    for path in &paths {
        assert_eq!(edge.get(path).await.status(), 200, "{path}");
    }
    let beacons = edge.collector.beacons();
    let by_pixel = Event::ALL.iter().copied().filter(|event| !matches!(event, Event::NotUsed | Event::ClickThrough));
    let mut expected: Vec<_> = by_pixel.chain([Event::Start]).collect(); // the impression is a start
    expected.sort();
    let mut seen: Vec<_> = beacons.iter().map(|beacon| beacon.event).collect();
    seen.sort();
    assert_eq!(seen, expected);
    for beacon in &beacons {
        let BeaconFact { opportunity_id, ad_id, error_code, .. } = beacon;
        assert_eq!((*opportunity_id, *ad_id), (slot, AdId(10)));
        assert_eq!(*error_code, (beacon.event == Event::Error).then_some(405));
    }
    let starts: Vec<_> = beacons.iter().filter(|beacon| beacon.event == Event::Start).map(|beacon| beacon.at).collect();
    assert_eq!(starts[0], starts[1], "the claim was confirmed once");
}

pub(crate) async fn an_error_of_a_break_without_ads_is_recorded<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![]).await;
    let document = edge.vast("profile=dot&title=film&slots=30&request_id=r").await;
    let path = &ours(&document, "Error")[0];
    assert_eq!(edge.get(&path.replace("[ERRORCODE]", "303")).await.status(), 200);
    assert_eq!(edge.get(path).await.status(), 200, "a player that fills in no macro is heard too");
    let rows = edge.rows(1).await;
    let beacons = edge.collector.beacons();
    assert_eq!(beacons.iter().map(|beacon| beacon.error_code).collect::<Vec<_>>(), [Some(303), None]);
    assert!(beacons.iter().all(|beacon| beacon.opportunity_id == rows[0].1.opportunity_id && beacon.ad_id == AdId(0)));
}

pub(crate) async fn a_click_leads_where_the_ad_was_booked_to_lead_and_nowhere_else<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![booked(1), flight(2)]).await;
    let document = edge.vast("profile=eve&title=film&slots=30,30&request_id=r").await;
    let path = &ours(&document, "ClickThrough")[0];
    let location = |response: &Response<Bytes>| response.headers()["location"].to_str().unwrap().to_owned();
    let followed = edge.get(&format!("{path}?url=https://evil.example")).await;
    assert_eq!(followed.status(), 302);
    assert_eq!(location(&followed), "https://brand.example/1?from=tv&x=]]%3E");
    let clicks: Vec<_> = edge.collector.beacons().into_iter().map(|beacon| (beacon.event, beacon.ad_id)).collect();
    assert_eq!(clicks, [(Event::ClickThrough, AdId(10))]);

    let pod = edge.open(&request("r", "eve", 2)).await;
    let links = pod.slots.iter().map(|slot| match &slot.outcome {
        SlotOutcome::Filled { ad, .. } => (ad.ad_id, ad.click_through.as_deref()),
        SlotOutcome::Unfilled { .. } => unreachable!("two ads for two slots"),
    });
    let expected = [(AdId(10), Some(path.as_str())), (AdId(20), None)];
    assert_eq!(links.collect::<BTreeMap<_, _>>(), BTreeMap::from(expected), "the SDK opens the same link");

    edge.collector.set_mood(Mood::Refusing);
    assert_eq!(edge.get(path).await.status(), 302, "a viewer waits for nobody");
    edge.collector.set_mood(Mood::Well);

    let pixel = &ours(&document, "Impression")[0];
    let other = edge.get(&pixel.replace("/v1/t/", "/v1/c/")).await;
    assert_eq!((other.status().as_u16(), json(&other)["error"]["code"].as_str()), (400, Some("event_not_allowed")));
    let forged = edge.get(&format!("{}A", &path[..path.len() - 1])).await;
    let forged_too = edge.get(&format!("{}B", &path[..path.len() - 1])).await;
    assert!([forged.status().as_u16(), forged_too.status().as_u16()].contains(&403));
    edge.publish(vec![flight(2)]).await;
    let gone = edge.get(path).await;
    assert_eq!((gone.status().as_u16(), json(&gone)["error"]["code"].as_str()), (410, Some("ad_unknown")));
}

pub(crate) async fn a_vast_whose_rows_nobody_takes_is_not_answered<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 1), flight(2)]).await;
    let query = "profile=fay&title=film&slots=30,30&request_id=0199b2c0-0000-7000-8000-000000000001";
    edge.runtime.strike(Some(StoreFault::Error)).await;
    let uncapped = edge.vast(&format!("{query}0")).await;
    assert!(uncapped.contains("<Ad id=\"20\"") && !uncapped.contains("<Ad id=\"10\""), "{uncapped}");
    edge.collector.set_mood(Mood::Refusing);
    let refused = edge.get(&format!("/v1/vast?{query}")).await;
    assert_eq!((refused.status().as_u16(), elements(&text(&refused)).len()), (503, 1), "{}", text(&refused));
    assert_eq!(errors(&text(&refused)), [""; 0]);
    edge.runtime.strike(None).await;
    edge.collector.set_mood(Mood::Well);
    assert_eq!(edge.vast(query).await.matches("<Ad ").count(), 2, "the same break, opened by the second try");
}

pub(crate) async fn a_malformed_query_is_refused_by_parameter<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    let cases = [
        ("title=film&slots=30", "profile"),
        ("profile=p&title=film&slots=30&v=1", "v"),
        ("profile=p&title=film&slots=30&v=4.1", "v"),
        ("profile=p&title=film&slots=0", "slots"),
        ("profile=p&title=film&slots=30&slots=30", "slots"),
        ("profile=p&title=film&break=1", "break"),
        ("profile=p&title=film&slots=30&v=3&notused=1", "notused"),
    ];
    for (query, field) in cases {
        let response = edge.get(&format!("/v1/vast?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        assert_eq!(json(&response)["error"]["field"], field, "{query}");
    }
    let post = edge.call(Method::POST, "/v1/vast", None, "").await;
    assert_eq!(post.status(), 405);
}

pub(crate) async fn tracking_leads_to_where_the_edge_says_it_is_reached<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![booked(1)]).await;
    let query = "profile=gil&title=film&slots=30&request_id=r";
    let seen = texts(&edge.vast(query).await, "Impression")[0].clone();
    assert!(seen.starts_with("http://") && seen.contains("/v1/t/"), "where the request came to: {seen}");
    let edge = edge.reconfigured(&[("public_url", "https://ads.example/")]).await;
    let set = texts(&edge.vast(query).await, "Impression")[0].clone();
    let token = set.strip_prefix("https://ads.example/v1/t/").unwrap();
    assert_eq!(Some(token), seen.rsplit('/').next());
    let token = Token::open(token, &world::keys(), world::now()).unwrap();
    assert_eq!(token.ad_id, AdId(10));
    let rows = edge.rows(1).await;
    assert_eq!(rows[0].1.position, BreakPosition::Preroll);
}

pub(crate) async fn a_vmap_leads_to_every_break_of_the_title<R: Runtime>(edge: Edge<R>) {
    let slot = |seconds: u32| SlotRequest { max_duration_ms: seconds * 1_000, ..SlotRequest::default() };
    let pre = TitleBreak { position: BreakPosition::Preroll, slots: vec![slot(30)], ..TitleBreak::default() };
    let mid = TitleBreak {
        position: BreakPosition::Midroll,
        at_ms: 600_000,
        slots: vec![slot(30), slot(5)],
        ..TitleBreak::default()
    };
    let title = TitleSource { title_id: "series".into(), breaks: vec![pre, mid], ..TitleSource::default() };
    edge.publish_with(vec![title], vec![flight(1)]).await;
    let load = async |query: &str| {
        let response = edge.get(&format!("/v1/vmap?{query}")).await;
        let document = text(&response);
        assert_eq!((response.status().as_u16(), errors(&document)), (200, vec![]), "{document}");
        document
    };
    let document = load("profile=hal&title=series&session=s&request_id=view").await;
    let tags: Vec<String> = ours(&document, "vmap:AdTagURI").iter().map(|tag| tag.replace("/v1/vast?", "")).collect();
    assert_eq!(tags.len(), 2, "{document}");
    assert_eq!(load("profile=hal&title=series&session=s&request_id=view").await, document);
    let breaks = [edge.vast(&tags[0]).await, edge.vast(&tags[1]).await];
    assert!(breaks.iter().all(|document| document.matches("<Ad ").count() == 1), "{breaks:?}");
    assert_eq!(texts(&edge.vast(&tags[1]).await, "AdServingId"), texts(&breaks[1], "AdServingId"), "one break");
    let mut asked: Vec<_> = edge
        .rows(3)
        .await
        .into_iter()
        .map(|(_, row)| (row.position.as_str(), row.slot_index, row.max_duration_ms))
        .collect();
    asked.sort_unstable();
    assert_eq!(asked, [("midroll", 0, 30_000), ("midroll", 1, 5_000), ("preroll", 0, 30_000)]);
    let beyond = edge.get("/v1/vast?profile=hal&title=series&break=3").await;
    assert_eq!((beyond.status().as_u16(), json(&beyond)["error"]["field"].as_str()), (400, Some("break")));
    for unknown in ["film", "nobody-knows-it"] {
        assert_eq!(elements(&load(&format!("profile=hal&title={unknown}")).await).len(), 1, "an empty VMAP");
    }
}

pub(crate) async fn a_device_is_believed_only_of_a_stitcher_that_is_known<R: Runtime>(edge: Edge<R>) {
    let secret = "7e".repeat(32);
    let edge = edge.reconfigured(&[("stitchers", &format!("ssai:{secret}")), ("requests_per_minute", "8")]).await;
    let origin = world::keys().bearer(Purpose::Admin);
    let version = edge.put_plan(world::plan(1, vec![booked_with_macros()], &world::keys())).await;
    assert_eq!(version.status(), 200);
    let bearer = format!("ssai.{secret}");
    let ask = async |bearer: Option<&str>, client: &str, headers: &[(&str, &str)], n: usize| {
        let path = format!("/v1/vast?profile=ivy{n}&title=film&slots=30");
        let mut all = vec![(R::CLIENT_ADDRESS, client)];
        all.extend(headers);
        edge.call_with(&all, Method::GET, &path, bearer, "").await
    };
    let device = [("x-device-ip", "198.51.100.9"), ("x-device-user-agent", "TV/7")];
    for (n, (bearer, field)) in
        [(None, "x-device-ip"), (Some("ssai.00"), "x-device-ip"), (Some(&*origin), "x-device-ip")]
            .into_iter()
            .enumerate()
    {
        let refused = ask(bearer, &format!("203.0.113.{n}"), &device, n).await;
        assert_eq!((refused.status().as_u16(), json(&refused)["error"]["field"].as_str()), (401, Some(field)));
    }
    let odd = ask(Some(&bearer), "203.0.113.9", &[("x-device-ip", "not an address")], 9).await;
    assert_eq!((odd.status().as_u16(), json(&odd)["error"]["field"].as_str()), (400, Some("x-device-ip")));

    // One stitcher, more viewers than one address may be: each has a limit of its own.
    for n in 10..16 {
        let ip = format!("198.51.100.{n}");
        let response = ask(Some(&bearer), "203.0.113.10", &[("x-device-ip", &ip), device[1]], n).await;
        let document = text(&response);
        assert_eq!((response.status().as_u16(), errors(&document)), (200, vec![]), "{document}");
        let tracker = texts(&document, "Tracking").into_iter().find(|url| url.starts_with("https://vendor.")).unwrap();
        assert_eq!(tracker, format!("https://vendor.example/?ip={ip}&ua=TV%2F7&t=[TIMESTAMP]"));
    }
    let plain = ask(None, "203.0.113.11", &[], 99).await;
    assert!(text(&plain).contains("ip=[DEVICEIP]"), "a player fills macros in itself");
}

fn booked_with_macros() -> FlightSource {
    let mut flight = flight(1);
    let url = "https://vendor.example/?ip=[DEVICEIP]&ua=[DEVICEUA]&t=[TIMESTAMP]".into();
    flight.ads[0].presentation.trackers = vec![Tracker { event: Event::Start, url }];
    flight
}

pub(crate) async fn a_page_that_asks_with_credentials_may_read_its_vast<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    let header = |response: &Response<Bytes>, name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    for path in ["/v1/vast?profile=jan&title=film&slots=30", "/v1/vmap?profile=jan&title=film"] {
        let origin = [("origin", "https://tv.example")];
        let asked = edge.call_with(&origin, Method::GET, path, None, "").await;
        assert_eq!(header(&asked, "access-control-allow-origin"), "https://tv.example");
        assert_eq!(header(&asked, "access-control-allow-credentials"), "true");
        assert_eq!(header(&edge.get(path).await, "access-control-allow-origin"), "*");
    }
}
