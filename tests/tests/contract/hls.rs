//! The promises to players of HLS, which know nothing of us.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Value, json};
use slotkeeper_core::{
    api::SlotRequest,
    beacon::Event,
    caps::{Cap, CapScope, Window},
    contract::{BreakPosition, Rating, TitleBreak},
    fact::Recording,
    plan::{FlightSource, MediaSource, PlanSource, TitleSource, build},
    pod::UnfilledReason,
};

use crate::{
    collector::Mood,
    edge::{Edge, Runtime, StoreFault, json, outcomes},
    world::{self, flight, request},
};

const DAY_MS: u64 = 24 * 3_600_000;

/// A flight whose ad of 15 seconds HLS can play.
fn hls(id: u32) -> FlightSource {
    let mut flight = flight(id);
    flight.ads[0].media.push(MediaSource {
        url: format!("https://media.example/{id}/index.m3u8"),
        mime_type: "application/vnd.apple.mpegurl".into(),
        width: 480,
        height: 270,
        ..MediaSource::default()
    });
    flight
}

/// The same, once a day.
fn hls_capped(id: u32) -> FlightSource {
    FlightSource { caps: once_a_day(), ..hls(id) }
}

fn once_a_day() -> Vec<Cap> {
    vec![Cap { scope: CapScope::Campaign, limit: 1, window: Window::Rolling { ms: DAY_MS } }]
}

async fn get<R: Runtime>(edge: &Edge<R>, query: &str) -> Response<Bytes> {
    edge.call(Method::GET, &format!("/v1/asset-list?{query}"), None, "").await
}

/// A list that must be answered.
async fn list_of<R: Runtime>(edge: &Edge<R>, query: &str) -> Value {
    let response = get(edge, query).await;
    assert_eq!(response.status(), 200, "{:?}", response.body());
    json(&response)
}

fn assets(list: &Value) -> &Vec<Value> {
    list["ASSETS"].as_array().unwrap()
}

/// What an asset says to call, by event, as paths on the edge.
fn tracking(asset: &Value) -> Vec<(String, String)> {
    let events = asset["X-AD-CREATIVE-SIGNALING"]["payload"][0]["tracking"].as_array().into_iter().flatten();
    let one = |event: &Value| {
        let url = event["urls"][0].as_str().unwrap();
        let (base, path) = url.split_once("/v1/t/").unwrap();
        assert!(base.starts_with("http"), "{url:?} must be absolute");
        (event["type"].as_str().unwrap().to_owned(), format!("/v1/t/{path}"))
    };
    events.map(one).collect()
}

fn events<R: Runtime>(edge: &Edge<R>) -> Vec<Event> {
    edge.collector.beacons().iter().map(|beacon| beacon.event).collect()
}

pub(crate) async fn an_asset_list_holds_the_filled_slots_and_what_it_says_to_call_counts<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![hls(1), hls(2)]).await;
    let list = list_of(&edge, "profile=ann&title=film&position=midroll&slots=30,30,30&request_id=r1").await;
    let listed: BTreeSet<_> = assets(&list).iter().map(|asset| asset["URI"].as_str().unwrap()).collect();
    assert_eq!(listed, ["https://media.example/1/index.m3u8", "https://media.example/2/index.m3u8"].into());
    let starts: Vec<_> =
        assets(&list).iter().map(|asset| &asset["X-AD-CREATIVE-SIGNALING"]["payload"][0]["start"]).collect();
    assert_eq!(starts, [0.0, 15.0]);

    let rows = edge.rows(3).await;
    assert!(rows.iter().all(|(recording, row)| {
        *recording == Recording::Committed
            && row.position == BreakPosition::Midroll
            && list["X-SLOTKEEPER-BREAK"] == row.break_id.to_string()
    }));
    let filled = rows.iter().filter(|(_, row)| row.fill().is_some()).map(|(_, row)| json!(row.opportunity_id));
    let opportunities = assets(&list).iter().map(|asset| asset["X-SLOTKEEPER-OPPORTUNITY"].clone());
    assert_eq!(filled.collect::<Vec<_>>(), opportunities.collect::<Vec<_>>(), "a slot without an ad is a row only");

    for asset in assets(&list) {
        for (event, path) in tracking(asset) {
            let answer = edge.call(Method::GET, &path, None, "").await;
            assert_eq!(answer.status(), 200, "{event}");
            let beacon = edge.collector.beacons().pop().unwrap();
            assert_eq!(
                (beacon.event.as_str(), &json!(beacon.opportunity_id)),
                (&*event, &asset["X-SLOTKEEPER-OPPORTUNITY"])
            );
        }
    }
    assert_eq!(events(&edge).len(), 22);
}

pub(crate) async fn an_asset_list_for_the_sdk_carries_the_breaks_answer<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![hls(1), hls(2)]).await;
    let list = list_of(&edge, "profile=kim&title=film&slots=30,30,30&request_id=r1&sdk=1").await;
    let answer = &list["X-SLOTKEEPER-ANSWER"];
    let posted = request("r1", "kim", 3);
    assert_eq!(answer, &json!(edge.open(&posted).await), "as it is answered to whoever posts");
    assert!(assets(&list).iter().all(|asset| tracking(asset).is_empty()), "no URL of ours is called beside it");

    let tokens = answer["slots"].as_array().unwrap().iter().filter_map(|slot| slot["token"].as_str());
    let batch = tokens.map(|token| format!("{token} start 0\n")).collect::<Vec<_>>().concat();
    let taken = edge.call(Method::POST, "/v1/beacons", None, format!("sk1 s 0\n{batch}")).await;
    assert_eq!((taken.status().as_u16(), &json(&taken)["accepted"]), (202, &json!(2)));
    assert_eq!(events(&edge), [Event::Start; 2]);
}

pub(crate) async fn an_asset_list_loaded_again_by_one_playback_is_one_break<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![hls_capped(1), hls(2)]).await;
    let edge = Arc::new(edge);
    let url = "profile=bob&title=film&slots=30,30&_HLS_interstitial_id=break-1";
    let loading: Vec<_> = (0..12)
        .map(|_| {
            let edge = Arc::clone(&edge);
            tokio::spawn(async move { get(&edge, &format!("{url}&_HLS_primary_id=one")).await.into_body() })
        })
        .collect();
    let mut answers = BTreeSet::new();
    for loaded in loading {
        answers.insert(loaded.await.unwrap());
    }
    assert_eq!(answers.len(), 1);
    edge.rows(2).await;
    let again = get(&edge, &format!("_HLS_primary_id=one&{url}")).await;
    assert!(answers.contains(again.body()), "wherever the player puts its name");

    let next = list_of(&edge, &format!("{}&_HLS_primary_id=one", url.replace("break-1", "break-2"))).await;
    let another = list_of(&edge, &format!("{url}&_HLS_primary_id=two")).await;
    for list in [next, another] {
        assert_eq!(assets(&list).len(), 1, "the capped one was claimed, once");
        assert!(!answers.iter().any(|body| body.starts_with(list.to_string().as_bytes())));
    }
    edge.rows(6).await;
}

pub(crate) async fn a_session_is_the_playback_unless_one_is_named<R: Runtime>(edge: Edge<R>) {
    let once = vec![Cap { scope: CapScope::Campaign, limit: 1, window: Window::Session }];
    edge.publish(vec![FlightSource { caps: once, ..hls(1) }]).await;
    let count = async |query: &str| {
        let list = list_of(&edge, &format!("profile=cid&title=film&slots=30&{query}")).await;
        assets(&list).len()
    };
    assert_eq!(count("_HLS_primary_id=a&_HLS_interstitial_id=1").await, 1);
    assert_eq!(count("_HLS_primary_id=a&_HLS_interstitial_id=2").await, 0, "once a session");
    assert_eq!(count("_HLS_primary_id=b&_HLS_interstitial_id=1").await, 1);
    assert_eq!(count("_HLS_primary_id=c&session=a").await, 0, "the session that is named");
}

pub(crate) async fn what_a_late_joiner_cannot_be_shown_is_given_back<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![hls_capped(1)]).await;
    let late = "profile=dee&title=film&slots=30&_HLS_primary_id=a&_HLS_start_offset=15";
    let list = list_of(&edge, late).await;
    assert_eq!(assets(&list).len(), 1, "the list is whole: players lay it out from its start");
    assert_eq!(assets(&list)[0].get("X-AD-CREATIVE-SIGNALING"), None);
    assert_eq!(events(&edge), [Event::NotUsed]);

    let middle = list_of(&edge, "profile=dee&title=film&slots=30&_HLS_primary_id=b&_HLS_start_offset=14.999").await;
    let reported: Vec<_> = tracking(&assets(&middle)[0]).into_iter().map(|(event, _)| event).collect();
    assert_eq!(reported, ["start", "pause", "resume", "mute", "unmute", "skip", "error"], "no quartile of half an ad");
    let (_, start) = &tracking(&assets(&middle)[0])[0];
    assert_eq!(edge.call(Method::GET, start, None, "").await.status(), 200);
    assert_eq!(events(&edge), [Event::NotUsed, Event::Start]);
    let third = list_of(&edge, "profile=dee&title=film&slots=30&_HLS_primary_id=c").await;
    assert_eq!(assets(&third).len(), 0, "what was shown in part was shown");
    edge.rows(3).await;
}

pub(crate) async fn an_ad_that_hls_cannot_play_is_not_listed_and_may_be_shown_elsewhere<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![FlightSource { caps: once_a_day(), ..flight(1) }, hls(2)]).await;
    for playback in ["a", "b"] {
        let list = list_of(&edge, &format!("profile=eve&title=film&slots=30,30&_HLS_primary_id={playback}")).await;
        assert_eq!(assets(&list).len(), 1);
        assert_eq!(assets(&list)[0]["URI"], "https://media.example/2/index.m3u8");
        assert_eq!(assets(&list)[0]["X-AD-CREATIVE-SIGNALING"]["payload"][0]["start"], 0.0);
    }
    assert_eq!(events(&edge), [Event::NotUsed; 2], "it was chosen, and given back, both times");
    assert!(outcomes(&edge.open(&request("r", "eve", 2)).await).contains(&Ok(10)), "a player of files may have it");
    edge.rows(6).await;
}

pub(crate) async fn an_asset_list_without_an_ad_is_empty_and_its_rows_are_stored<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![FlightSource { ratings: vec![Rating::TvY], ..hls(1) }]).await;
    let list = list_of(&edge, "profile=fay&title=film&slots=30,30&_HLS_primary_id=a").await;
    assert_eq!(list["ASSETS"], json!([]));
    let reasons: Vec<_> = edge.rows(2).await.iter().map(|(_, row)| row.eliminated.nearest()).collect();
    assert_eq!(reasons, [Some(UnfilledReason::ContentUnsuitable); 2]);
}

pub(crate) async fn an_asset_list_whose_rows_nobody_takes_is_not_answered<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![hls(1)]).await;
    let query = "profile=gus&title=film&slots=30&_HLS_primary_id=a";
    list_of(&edge, &query.replace("gus", "warm")).await;
    edge.rows(1).await;
    edge.runtime.strike(Some(StoreFault::Error)).await;
    edge.collector.set_mood(Mood::Refusing);
    let refused = get(&edge, query).await;
    assert_eq!((refused.status().as_u16(), &json(&refused)["error"]["code"]), (503, &json!("break_not_recorded")));
    assert!(refused.headers().contains_key("retry-after"));
    let carried = list_of(&edge, &format!("{}&sdk=1", query.replace("gus", "jo"))).await;
    assert!(carried["X-SLOTKEEPER-ANSWER"]["receipt"].is_string(), "the SDK brings them home");
    edge.collector.set_mood(Mood::Well);
    let straight = list_of(&edge, &query.replace("gus", "hew")).await;
    assert_eq!(assets(&straight).len(), 1, "the store is down, and the origin takes the rows");
    edge.runtime.strike(None).await;
    assert_eq!(assets(&list_of(&edge, query).await).len(), 1);
    edge.rows(3).await;
}

pub(crate) async fn a_malformed_request_for_an_asset_list_is_refused_by_parameter<R: Runtime>(edge: Edge<R>) {
    let good = "profile=ivy&title=film&slots=30";
    let cases = [
        (good.replace("profile", "who"), "profile"),
        (good.replace("title", "what"), "title"),
        (good.replace("slots=30", "slots=0"), "slots"),
        (good.replace("slots=30", ""), "slots"),
        (format!("{good}&_HLS_start_offset=-1"), "_HLS_start_offset"),
        (format!("{good}&_HLS_start_offset=soon"), "_HLS_start_offset"),
        (format!("{good}&_HLS_primary_id={}", "a".repeat(129)), "_HLS_primary_id"),
        (format!("{good}&_HLS_primary_id=a&_HLS_primary_id=b"), "_HLS_primary_id"),
        (format!("{good}&break=1"), "slots"),
    ];
    for (query, field) in cases {
        let refused = get(&edge, &query).await;
        let error = &json(&refused)["error"];
        assert_eq!((refused.status().as_u16(), &error["field"]), (400, &json!(field)), "{query}: {error}");
    }
    assert_eq!(edge.call(Method::POST, "/v1/asset-list", None, "").await.status(), 405);
    let unresolved = get(&edge, "profile=ivy&title=film&break=1").await;
    assert_eq!((unresolved.status().as_u16(), &json(&unresolved)["error"]["code"]), (503, &json!("plan_unavailable")));
    assert_eq!(list_of(&edge, good).await["ASSETS"], json!([]), "without a plan a slot is a row all the same");
    edge.rows(1).await;
}

pub(crate) async fn a_titles_breaks_are_the_interstitials_of_the_demos_playlist<R: Runtime>(edge: Edge<R>) {
    let playlist =
        async |query: &str| edge.call(Method::GET, &format!("/v1/interstitials.m3u8?{query}"), None, "").await;
    assert_eq!(playlist("profile=joy&title=serial").await.status(), 503, "no plan");
    publish_serial(&edge).await;
    let answer = playlist("profile=joy&title=serial&session=s").await;
    assert_eq!(answer.headers()["content-type"], "application/vnd.apple.mpegurl");
    let text = std::str::from_utf8(answer.body()).unwrap().to_owned();
    let lists: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once("/v1/asset-list?"))
        .map(|(_, rest)| rest.split('"').next().unwrap().to_owned())
        .collect();
    assert_eq!(lists.len(), 2, "{text}");
    assert!(text.ends_with("https://media.example/hls/serial/2.m4s\n#EXT-X-ENDLIST\n"), "{text}");

    let preroll = list_of(&edge, &format!("{}&_HLS_primary_id=a", lists[0])).await;
    let midroll = list_of(&edge, &format!("{}&_HLS_primary_id=a", lists[1])).await;
    assert_eq!((assets(&preroll).len(), assets(&midroll).len()), (1, 2));
    let mut rows = edge.rows(3).await;
    rows.sort_by_key(|(_, row)| (row.position == BreakPosition::Midroll, row.slot_index));
    let stood: Vec<_> = rows.iter().map(|(_, row)| (row.position, row.max_duration_ms)).collect();
    assert_eq!(
        stood,
        [(BreakPosition::Preroll, 20_000), (BreakPosition::Midroll, 30_000), (BreakPosition::Midroll, 15_000)]
    );

    let beyond = get(&edge, "profile=joy&title=serial&break=3").await;
    assert_eq!((beyond.status().as_u16(), &json(&beyond)["error"]["field"]), (400, &json!("break")));
    let unknown = playlist("profile=joy&title=none").await;
    assert_eq!((unknown.status().as_u16(), &json(&unknown)["error"]["field"]), (400, &json!("title")));
    let without = edge.reconfigured(&[("demo_hls_url", "")]).await;
    let refused = without.call(Method::GET, "/v1/interstitials.m3u8?profile=joy&title=serial", None, "").await;
    assert_eq!(refused.status(), 404, "a demo is asked for");
}

/// A plan with a title of ten seconds and two breaks.
async fn publish_serial<R: Runtime>(edge: &Edge<R>) {
    let slot = |ms| SlotRequest { max_duration_ms: ms, ..SlotRequest::default() };
    let placed = |position, at_ms, slots| TitleBreak { position, at_ms, slots, pod: None };
    let breaks = vec![
        placed(BreakPosition::Preroll, 0, vec![slot(20_000)]),
        placed(BreakPosition::Midroll, 4_000, vec![slot(30_000), slot(15_000)]),
    ];
    let serial = TitleSource {
        title_id: "serial".into(),
        rating: Rating::TvPg,
        duration_ms: Some(10_000),
        breaks,
        ..TitleSource::default()
    };
    let source = PlanSource {
        version: 1,
        created_at: world::now(),
        valid_from: world::now().minus_ms(DAY_MS),
        valid_until: world::now().plus_ms(DAY_MS),
        lease_ms: 3_600_000,
        titles: vec![serial],
        flights: vec![hls(1), hls(2), hls(3)],
    };
    let answer = edge.put_plan(build(&source, &world::keys()).unwrap()).await;
    assert_eq!(answer.status(), 200, "{:?}", answer.body());
    edge.until("the plan decides", async || {
        json(&edge.call(Method::GET, "/healthz", None, "").await)["plan_version"] == 1
    })
    .await;
}
