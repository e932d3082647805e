//! The promises about the text in which the SDK reports: all that it says comes to the origin, and what is malformed is named.

use bytes::Bytes;
use http::{Method, Response};
use serde_json::json;
use slotkeeper_core::{
    beacon::Event,
    fact::ClientLoss,
    keys::Pseudonyms,
    token::{EventClass, Token},
};

use crate::{
    edge::{Edge, Runtime, json, tokens},
    eligible::CRAWLER,
    world::{self, flight, request},
};

async fn post<R: Runtime>(edge: &Edge<R>, text: String) -> Response<Bytes> {
    edge.call(Method::POST, "/v1/beacons", None, text).await
}

pub(crate) async fn what_is_said_beside_an_event_comes_to_the_origin<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    let token = tokens(&edge.open(&request("r", "ada", 1)).await).remove(0);
    let lines = Event::ALL.iter().zip(3_600..).map(|(event, idle_s)| format!("{token} {event} 40 {idle_s}\n"));
    let text = format!("sk1 evening 7\n{}", lines.collect::<Vec<_>>().concat());
    let answer = json!({ "session_id": "evening", "sequence": 7, "accepted": Event::ALL.len(), "refused": [] });
    assert_eq!(json(&post(&edge, text).await), answer);
    let came = edge.collector.beacons();
    for (beacon, (event, idle_s)) in came.iter().zip(Event::ALL.iter().zip(3_600..)) {
        let said = Some(idle_s).filter(|_| *event != Event::Error); // of an error it would be a code, and is none of VAST's
        assert_eq!((beacon.event, beacon.idle_s, beacon.error_code), (*event, said, None));
    }
    let text = format!("sk1 evening 8 0\n{token} error 0 405\n{token} error 0\n{token} midpoint 0\n");
    assert_eq!(json(&post(&edge, text).await)["accepted"], 3);
    let said =
        edge.collector.beacons().split_off(came.len()).into_iter().map(|beacon| (beacon.error_code, beacon.idle_s));
    assert_eq!(said.collect::<Vec<_>>(), [(Some(405), None), (None, None), (None, None)]);
    assert_eq!(edge.collector.losses(), [], "where nothing was lost, nothing is said");
}

pub(crate) async fn a_batch_that_lay_is_older_by_as_long<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    let token = tokens(&edge.open(&request("r", "ada", 1)).await).remove(0);
    let text = format!("sk1 evening 1 0 60000\n{token} start 40\n{token} pause 0\n");
    assert_eq!(json(&post(&edge, text).await)["accepted"], 2);
    let ages = edge.collector.beacons().into_iter().map(|beacon| beacon.received_at.since_ms(beacon.at));
    assert_eq!(ages.collect::<Vec<_>>(), [60_040, 60_000]);
}

pub(crate) async fn what_a_client_lost_is_told_by_who_has_a_token<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![flight(1)]).await;
    let token = tokens(&edge.open(&request("r", "ada", 1)).await).remove(0);
    let sealed = Token::open(&token, &world::keys(), world::now()).unwrap();
    let of_start = Token { class: EventClass::Only(Event::Start), ..sealed }.seal(&world::keys());
    let batch = |sequence: u32, lost: u32, token: &str| format!("sk1 evening {sequence} {lost}\n{token} pause 0\n");

    assert_eq!(
        json(&post(&edge, batch(1, 4_000_000_000, &of_start)).await)["accepted"],
        0,
        "its token is for another event"
    );
    let crawler = edge.call_with(&[CRAWLER], Method::POST, "/v1/beacons", None, batch(1, 9, &token)).await;
    assert_eq!(json(&crawler)["accepted"], 1);
    assert_eq!(edge.collector.losses(), [], "neither is believed");

    for (sequence, lost) in [(2, 3), (3, 3), (4, 5)] {
        let answer = json(&post(&edge, batch(sequence, lost, &token)).await);
        assert_eq!(answer["accepted"], 1, "beacons are counted, and nothing else");
    }
    let session = Pseudonyms::parse(world::PSEUDONYM_KEY).unwrap().reporting_session("evening");
    assert_eq!(edge.collector.losses(), [3, 3, 5].map(|lost| ClientLoss { session, lost }));
}

pub(crate) async fn a_malformed_batch_is_refused_by_line_and_field<R: Runtime>(edge: Edge<R>) {
    let cases = [
        ("", "line 1: version"),
        ("sk2 s 1\ntok start 0\n", "line 1: version"),
        ("sk1 a/b 1\ntok start 0\n", "line 1: session_id"),
        ("sk1 s one\ntok start 0\n", "line 1: sequence"),
        ("sk1 s 1 -1\ntok start 0\n", "line 1: lost"),
        ("sk1 s 1 0 4294967296\ntok start 0\n", "line 1: held_ms"),
        ("sk1 s 1 0 0 0\ntok start 0\n", "line 1: held_ms"),
        ("sk1 s 1 0\n", "line 2: beacons"),
        ("sk1 s 1\ntok expand 0\n", "line 2: event"),
        ("sk1 s 1\ntok start 0\ntok playerExpand soon\n", "line 3: age_ms"),
        ("sk1 s 1\ntok start 0 10000000\n", "line 2: detail"),
        ("sk1 s 1\ntok error 0 405 0\n", "line 2: detail"),
    ];
    for (text, field) in cases {
        let refused = post(&edge, text.into()).await;
        assert_eq!((refused.status().as_u16(), &json(&refused)["error"]["field"]), (400, &json!(field)), "{text:?}");
    }
    assert!(edge.collector.beacons().is_empty());
}
