//! The promises that somebody means harm to: keys that change, clients that ask too often.

use http::{Method, header};
use slotkeeper_core::{
    beacon::Event,
    keys::{Keyring, Purpose},
};

use crate::{
    edge::{Edge, Runtime, json, tokens},
    world::{self, KEYS, OTHER_KEYS, flight, request},
};

/// The steps are those of `slotkeeper keys rotate`: the new key verifies, then mints, then the old one goes.
pub(crate) async fn tokens_and_bearers_of_every_step_of_a_key_rotation_are_taken_as_promised<R: Runtime>(
    mut edge: Edge<R>,
) {
    edge.publish(vec![flight(1)]).await;
    let steps =
        [KEYS.to_owned(), format!("{KEYS},{OTHER_KEYS}"), format!("{OTHER_KEYS},{KEYS}"), OTHER_KEYS.to_owned()];
    let minting = [3, 3, 4, 4];
    let mut minted: Vec<String> = Vec::new();
    for (step, keys) in steps.iter().enumerate() {
        edge = edge.reconfigured(&[("keys", keys)]).await;
        let health = json(&edge.call(Method::GET, "/healthz", None, "").await);
        assert_eq!(
            (&health["minting_key_id"], &health["status"]),
            (&minting[step].into(), &"ok".into()),
            "step {step}"
        );
        let pod = edge.open(&request(&format!("r{step}"), "zoe", 1)).await;
        minted.extend(tokens(&pod));
        assert_eq!(minted.len(), step + 1);

        let beacons: Vec<(&str, Event)> = minted.iter().map(|token| (token.as_str(), Event::Start)).collect();
        let receipt = json(&edge.report("s", &beacons).await);
        let dead = if step == 3 { 2 } else { 0 };
        assert_eq!(receipt["accepted"], minted.len() - dead, "step {step}: {receipt}");
        for refused in receipt["refused"].as_array().unwrap() {
            assert_eq!(refused["code"], "token_key_unknown", "only once its key is retired");
        }

        for (other, theirs) in steps.iter().enumerate() {
            let bearer = Keyring::parse(theirs).unwrap().bearer(Purpose::Admin);
            let status = edge.call(Method::PUT, "/v1/plan", Some(&bearer), "").await.status().as_u16();
            let is_neighbour = step.abs_diff(other) <= 1;
            assert!(status == 400 || (status == 401 && !is_neighbour), "step {step} answers {other} with {status}");
        }
    }
}

pub(crate) async fn a_client_past_its_limit_is_refused_before_its_body_is_read_and_its_neighbours_are_not<
    R: Runtime,
>(
    edge: Edge<R>,
) {
    let edge = edge.reconfigured(&[("requests_per_minute", "8")]).await;
    let hello = async |address: &[&str]| edge.call_from(address, Method::GET, "/v1/hello", None, "").await.status();
    assert_eq!(hello(&["203.0.113.7"]).await, 200);
    assert_eq!(hello(&["203.0.113.7"]).await, 200, "a quarter of the minute's may come at once");

    let too_long = vec![b' '; 1 << 20];
    let refused = edge.call_from(&["203.0.113.7"], Method::POST, "/v1/breaks", None, too_long.clone()).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(json(&refused)["error"]["code"], "too_many_requests");
    let wait_s: u32 = refused.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=8).contains(&wait_s), "{wait_s} s");
    let refused = edge.call_from(&["203.0.113.7"], Method::GET, "/v1/nothing", None, "").await;
    assert_eq!(refused.status(), 429, "whatever is asked for");

    let bearer = world::keys().bearer(Purpose::Admin);
    let plan = edge.call_from(&["203.0.113.7"], Method::PUT, "/v1/plan", Some(&bearer), "").await;
    assert_eq!(plan.status(), 400, "the origin is read, whatever it sends");
    assert_eq!(hello(&["203.0.113.8"]).await, 200, "a neighbour");
    assert_eq!(hello(&["2001:db8::1"]).await, 200);
    assert_eq!(hello(&["2001:db8::2"]).await, 200);
    assert_eq!(hello(&["2001:db8::3"]).await, 429, "one network");
    assert_eq!(hello(&[]).await, 200, "nobody in particular");
    let unlimited = edge.call_from(&["203.0.113.9"], Method::POST, "/v1/breaks", None, too_long).await;
    assert_eq!(unlimited.status(), 413);
}
