//! The head of a request: method, URL, `Authorization`, the client's address and its user agent. Nothing panics, and only the
//! origin's bearer opens its calls.
//!
//! The input is those five, a line each.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use slotkeeper_core::keys::Purpose;
use slotkeeper_edge::{
    Head, Route, Settings,
    limit::admit,
    query::{BreakQuery, QUERY_BYTES_MAX},
    route::{base_of, path_of, query_of},
};
use slotkeeper_fuzz::{NOW, keyrings, seed, settings};

static SETTINGS: LazyLock<Settings> = LazyLock::new(settings);

fuzz_target!(init: seed("plan", put_plan()), |bytes: &[u8]| {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let mut lines = text.split( '\n');
    let (method, url, authorization) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default(), lines.next());
    let path = path_of(url);
    let before_query = url.split(['?', '#']).next().unwrap_or_default();
    assert!(path == "/" || before_query.ends_with(path), "{url:?} has the path {path:?}, which is of its query");
    assert!(path.starts_with('/') && !path.contains(['?', '#']), "{url:?} has the path {path:?}");
    assert_eq!(path_of(&format!("https://host.example{path}?u=http://x/y#z://")), path, "the same path, elsewhere");

    let head = Head { method, path, base: base_of(url), origin: None, device_address: None, device_user_agent: None, query: query_of(url), authorization, client_address: lines.next(), user_agent: lines.next().map(str::as_bytes), sec_gpc: lines.next() };
    let _ = head.client(&SETTINGS);
    if let Ok(asked) = BreakQuery::parse(head.query, NOW) {
        let rendered = asked.render();
        if rendered.len() <= QUERY_BYTES_MAX {
            assert_eq!(BreakQuery::parse(&rendered, NOW), Ok(asked), "{:?} is rendered as {rendered:?}", head.query);
        }
    }
    let _ = admit(&mut None, &head, &SETTINGS, NOW);
    match Route::find(&head, &SETTINGS) {
        Ok(Route::PutPlan | Route::ShipOutbox) => {
            let bearer = authorization.and_then(|value| value.strip_prefix("Bearer ")).expect("a bearer was asked for");
            assert!(is_ours(bearer), "{bearer:?} opened a call of the origin's");
        }
        Ok(Route::Pixel { token, .. }) => assert_eq!(path, format!("/v1/t/{token}")),
        Ok(_) => {}
        Err(refusal) => assert!((400..500).contains(&refusal.status), "{refusal:?}"),
    }
});

/// Whether this carries the secret that one of our keys derives for the origin.
fn is_ours(bearer: &str) -> bool {
    let secret = |bearer: &str| bearer.split_once('.').map(|(_, secret)| secret.to_lowercase());
    keyrings().iter().any(|keys| secret(&keys.bearer(Purpose::Admin)) == secret(bearer))
}

fn put_plan() -> String {
    format!("PUT\nhttp://edge.example/v1/plan\nBearer {}", SETTINGS.keys.bearer(Purpose::Admin))
}
