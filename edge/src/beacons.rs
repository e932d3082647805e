//! `POST /v1/beacons` and `GET /v1/t/{token}`: verify, stamp with the server's time, hand to the collector, and only then
//! acknowledge. What is not acknowledged, the client keeps.

use slotkeeper_core::{
    api::{BeaconResponse, RefusedBeacon},
    beacon::{Batch, Event},
    fact::{BeaconFact, Fact, FactBatch},
    token::{EventClass, Token, TokenError},
};

use crate::{Platform, Reply, platform::OriginError};

const EVENT_NOT_ALLOWED: &str = "event_not_allowed";

/// Accepts the SDK's batch. Beacons with bad tokens are named in the answer; the good ones count all the same.
pub(crate) async fn accept_batch(platform: &impl Platform, body: &[u8]) -> Reply {
    let now = platform.now();
    let Ok(text) = core::str::from_utf8(body) else {
        return Reply::error(400, "invalid_request", Some("body"), "the batch is not UTF-8 text".into());
    };
    let batch = match Batch::parse(text) {
        Ok(batch) => batch,
        Err(fault) => {
            let field = format!("line {}: {}", fault.line, fault.field);
            return Reply::error(400, "invalid_request", Some(&field), fault.to_string());
        }
    };
    let mut facts = Vec::new();
    let mut refused = Vec::new();
    for (index, beacon) in batch.beacons.iter().enumerate() {
        let opened = Token::open(beacon.token, &platform.settings().keys, now);
        match opened.map_err(TokenError::code).and_then(|token| allow(token, beacon.event)) {
            Ok(token) => facts.push(Fact::Beacon(BeaconFact {
                opportunity_id: token.opportunity_id,
                ad_id: token.ad_id,
                record_id: token.record_id,
                event: beacon.event,
                at: now.minus_ms(beacon.age_ms),
                received_at: now,
                session_id: Some(batch.session_id.into()),
            })),
            Err(code) => refused.push(RefusedBeacon { line: index + 2, code: code.into() }),
        }
    }
    let accepted = u32::try_from(facts.len()).unwrap_or(u32::MAX);
    match hand_over(platform, facts).await {
        Ok(()) => Reply::json(
            202,
            &BeaconResponse { session_id: batch.session_id.into(), sequence: batch.sequence, accepted, refused },
        ),
        Err(error) => not_taken(&error),
    }
}

/// Accepts a pixel, whose token names its event.
pub(crate) async fn accept_pixel(platform: &impl Platform, token: &str) -> Reply {
    let now = platform.now();
    let token = match Token::open(token, &platform.settings().keys, now) {
        Ok(token) => token,
        Err(error) => return refuse_token(error),
    };
    let EventClass::Only(event) = token.class else {
        let message = "this token names no event; post it in a batch to /v1/beacons".into();
        return Reply::error(400, EVENT_NOT_ALLOWED, Some("token"), message);
    };
    let fact = Fact::Beacon(BeaconFact {
        opportunity_id: token.opportunity_id,
        ad_id: token.ad_id,
        record_id: token.record_id,
        event,
        at: now,
        received_at: now,
        session_id: None,
    });
    match hand_over(platform, vec![fact]).await {
        Ok(()) => Reply::pixel(),
        Err(error) => not_taken(&error),
    }
}

fn allow(token: Token, event: Event) -> Result<Token, &'static str> {
    match token.class {
        EventClass::Only(only) if only != event => Err(EVENT_NOT_ALLOWED),
        _ => Ok(token),
    }
}

fn refuse_token(error: TokenError) -> Reply {
    let status = match error {
        TokenError::Malformed => 400,
        TokenError::UnknownKey(_) | TokenError::Forged => 403,
        TokenError::Expired(_) => 410,
    };
    Reply::error(status, error.code(), Some("token"), error.to_string())
}

fn not_taken(error: &OriginError) -> Reply {
    Reply::error(503, "beacons_not_recorded", None, format!("{error}; keep them and send them again"))
        .with_header("retry-after", "1".into())
}

async fn hand_over(platform: &impl Platform, facts: Vec<Fact>) -> Result<(), OriginError> {
    if facts.is_empty() {
        return Ok(());
    }
    let batch = FactBatch { edge_id: platform.settings().edge_id.clone(), facts };
    let text = serde_json::to_string(&batch).map_err(|error| OriginError(error.to_string()))?;
    platform.post_facts(text).await
}
