//! Forgetting a viewer at the edge.

use std::sync::Arc;

use http::Method;
use serde_json::json;
use slotkeeper_core::{
    beacon::Event,
    keys::{Pseudonyms, Purpose},
    pod::UnfilledReason,
};

use crate::{
    edge::{Edge, Runtime, StoreFault, json, outcomes, tokens},
    world::{self, capped, request},
};

async fn forget<R: Runtime>(edge: &Edge<R>, profile: &str) -> u16 {
    let bearer = world::keys().bearer(Purpose::Admin);
    let path = format!("/v1/viewers/{}", Pseudonyms::parse(world::PSEUDONYM_KEY).unwrap().viewer(profile));
    edge.call(Method::DELETE, &path, Some(&bearer), "").await.status().as_u16()
}

pub(crate) async fn a_viewer_is_forgotten_by_the_origin_only_and_their_caps_start_anew<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 1)]).await;
    let capped_out = [Err(UnfilledReason::FrequencyCapped)];
    for profile in ["ann", "ben"] {
        assert_eq!(outcomes(&edge.open(&request("r1", profile, 1)).await), [Ok(10)]);
        assert_eq!(outcomes(&edge.open(&request("r2", profile, 1)).await), capped_out);
    }
    let path = format!("/v1/viewers/{}", Pseudonyms::parse(world::PSEUDONYM_KEY).unwrap().viewer("ann"));
    let keys = world::keys();
    let wrong = [None, Some(keys.bearer(Purpose::Collector))];
    for bearer in &wrong {
        let refused = edge.call(Method::DELETE, &path, bearer.as_deref(), "").await;
        assert_eq!((refused.status().as_u16(), &json(&refused)["error"]["code"]), (401, &json!("unauthorized")));
    }
    let admin = keys.bearer(Purpose::Admin);
    let nobody = edge.call(Method::DELETE, "/v1/viewers/ann", Some(&admin), "").await;
    assert_eq!((nobody.status().as_u16(), &json(&nobody)["error"]["code"]), (400, &json!("malformed_viewer")));
    assert_eq!(outcomes(&edge.open(&request("r3", "ann", 1)).await), capped_out, "nothing was forgotten so far");

    assert_eq!(forget(&edge, "ann").await, 200);
    assert_eq!(forget(&edge, "ann").await, 200, "it may be said again");
    assert_eq!(forget(&edge, "never-seen").await, 200);
    assert_eq!(outcomes(&edge.open(&request("r4", "ann", 1)).await), [Ok(10)], "the caps start anew");
    assert_eq!(outcomes(&edge.open(&request("r5", "ann", 1)).await), capped_out, "and hold");
    assert_eq!(outcomes(&edge.open(&request("r6", "ben", 1)).await), capped_out, "of others nothing is forgotten");
    assert_eq!(outcomes(&edge.open(&request("r1", "ann", 1)).await), [Ok(10)], "a retry is still answered as before");

    edge.runtime.strike(Some(StoreFault::Error)).await;
    assert_eq!(forget(&edge, "ann").await, 503, "it is not said to be done when it may not be");
}

pub(crate) async fn what_was_decided_before_a_viewer_was_forgotten_brings_nothing_back<R: Runtime>(edge: Edge<R>) {
    edge.publish(vec![capped(1, 3)]).await;
    let before = edge.open(&request("before", "ann", 1)).await;
    assert_eq!(forget(&edge, "ann").await, 200);
    // What the old tokens say finds no claim, and makes none.
    for event in [Event::Start, Event::NotUsed] {
        edge.report("s", &[(&tokens(&before)[0], event)]).await;
    }
    let edge = Arc::new(edge);
    // Breaks that race with forgetting: each that was decided from what is forgotten is decided again.
    let breaks: Vec<_> = (0..12)
        .map(|n| {
            let edge = Arc::clone(&edge);
            tokio::spawn(async move { outcomes(&edge.open(&request(&format!("r{n}"), "ann", 1)).await) })
        })
        .collect();
    assert_eq!(forget(&edge, "ann").await, 200);
    for opened in breaks {
        opened.await.unwrap();
    }
    assert_eq!(forget(&edge, "ann").await, 200);
    let mut filled = 0;
    for n in 0..6 {
        let outcome = outcomes(&edge.open(&request(&format!("after{n}"), "ann", 1)).await);
        filled += usize::from(outcome == [Ok(10)]);
    }
    assert_eq!(filled, 3, "exactly what the cap allows: nothing of before counts, and everything since");
}
