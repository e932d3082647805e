//! `POST /v1/beacons` and `GET /v1/t/{token}`: verify, settle the claim, stamp with the server's time, hand to the collector,
//! and only then acknowledge. What is not acknowledged, the client keeps.
//!
//! A `start` whose claim was released counts for nothing: its token is dead. The quartiles behind it are not asked about,
//! because without a start they prove nothing.

use slotkeeper_core::{
    api::{BeaconResponse, RefusedBeacon},
    beacon::{Batch, Event},
    caps::{Settled, Transition},
    fact::{BeaconFact, ClientLoss, Fact},
    id::SessionKey,
    time::UnixMillis,
    token::{EventClass, Token, TokenError},
};

use crate::{
    Client, Platform, Reply,
    platform::{hand_over, join_all, store_call},
    settle::Settling,
    store::StoreError,
};

const EVENT_NOT_ALLOWED: &str = "event_not_allowed";
const TOKEN_RELEASED: &str = "token_released";

/// An event that a valid token speaks for.
struct Report {
    /// Its line in the batch; 0 of a pixel.
    line: usize,
    token: Token,
    event: Event,
    at: UnixMillis,
    client: Client,
    said: Said,
}

/// What a player says beside an event.
#[derive(Clone, Copy, Default)]
struct Said {
    /// Of an error, VAST's code.
    error_code: Option<u16>,
    /// Of any other event, the seconds since the viewer last touched anything.
    idle_s: Option<u32>,
}

impl Said {
    /// What the detail of an event means. An odd code is no reason to lose the error.
    fn of(event: Event, detail: Option<u32>) -> Self {
        match event {
            Event::Error => Self { error_code: detail.and_then(vast_code), idle_s: None },
            _ => Self { error_code: None, idle_s: detail },
        }
    }
}

/// VAST's codes have three digits; any other number is none.
pub(crate) fn vast_code(number: u32) -> Option<u16> {
    u16::try_from(number).ok().filter(|code| (100..1000).contains(code))
}

impl Report {
    /// What it does to a claim, if the fill holds one and this event is one that settles. What a crawler reports proves
    /// neither that an ad began to play nor that it will not: the claim waits for the viewer's player, or for its end.
    fn transition(&self) -> Option<Transition> {
        match self.event {
            _ if !self.token.holds_claim || self.client.invalid_traffic.is_some() => None,
            Event::Start => Some(Transition::Confirm { at: self.at }),
            Event::Error | Event::NotUsed => Some(Transition::Release),
            _ => None,
        }
    }

    /// The fact it becomes, or `None` if its token is dead.
    fn fact(&self, settled: Option<Settled>, received_at: UnixMillis, session: Option<SessionKey>) -> Option<Fact> {
        let at = match (self.event, settled) {
            (Event::Start, Some(Settled::Gone)) => return None,
            (Event::Start, Some(Settled::Confirmed { at })) => at,
            _ => self.at,
        };
        Some(Fact::Beacon(BeaconFact {
            opportunity_id: self.token.opportunity_id,
            ad_id: self.token.ad_id,
            record_id: self.token.record_id,
            event: self.event,
            at,
            received_at,
            session,
            invalid_traffic: self.client.invalid_traffic,
            error_code: self.said.error_code,
            idle_s: self.said.idle_s,
        }))
    }
}

/// Accepts the SDK's batch. Beacons with bad tokens are named in the answer; the good ones count all the same.
pub(crate) async fn accept_batch(platform: &impl Platform, client: Client, body: &[u8]) -> Reply {
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
    let session = platform.settings().pseudonyms.reporting_session(batch.session_id);
    let mut reports = Vec::new();
    let mut refused = Vec::new();
    for (index, beacon) in batch.beacons.iter().enumerate() {
        let (line, event) = (index + 2, beacon.event);
        let said = Said::of(event, beacon.detail);
        let opened = Token::open(beacon.token, &platform.settings().keys, now);
        match opened.map_err(TokenError::code).and_then(|token| allow(token, event)) {
            Ok(token) => {
                reports.push(Report { line, token, event, at: now.minus_ms(beacon.age_ms.into()), client, said });
            }
            Err(code) => refused.push(RefusedBeacon { line, code: code.into() }),
        }
    }
    let settled = match settle(platform, &reports, now).await {
        Ok(settled) => settled,
        Err(error) => {
            // What needs no store goes on; the client sends all of it again, and what came twice changes nothing.
            let unsettled = reports.iter().filter(|report| report.transition().is_none());
            let facts = unsettled.filter_map(|report| report.fact(None, now, Some(session))).collect();
            let _ = hand_over(platform, facts).await;
            return not_taken(error);
        }
    };
    let mut facts = Vec::new();
    for (report, settled) in reports.iter().zip(settled) {
        match report.fact(settled, now, Some(session)) {
            Some(fact) => facts.push(fact),
            None => refused.push(RefusedBeacon { line: report.line, code: TOKEN_RELEASED.into() }),
        }
    }
    refused.sort_by_key(|beacon| beacon.line);
    let accepted = u32::try_from(facts.len()).unwrap_or(u32::MAX);
    // Believed of who has a token, and of a viewer's player only. It is told with every batch until the session ends.
    if batch.lost > 0 && accepted > 0 && client.invalid_traffic.is_none() {
        facts.push(Fact::ClientLoss(ClientLoss { session, lost: batch.lost }));
    }
    match hand_over(platform, facts).await {
        Ok(()) => Reply::json(
            202,
            &BeaconResponse { session_id: batch.session_id.into(), sequence: batch.sequence, accepted, refused },
        ),
        Err(error) => not_taken(error),
    }
}

/// Accepts a pixel, whose token names its event.
pub(crate) async fn accept_pixel(
    platform: &impl Platform,
    client: Client,
    token: &str,
    error_code: Option<u16>,
) -> Reply {
    let now = platform.now();
    let token = match Token::open(token, &platform.settings().keys, now) {
        Ok(token) => token,
        Err(error) => return refuse_token(error),
    };
    let EventClass::Only(event) = token.class else {
        let message = "this token names no event; post it in a batch to /v1/beacons".into();
        return Reply::error(400, EVENT_NOT_ALLOWED, Some("token"), message);
    };
    let said = Said { error_code: error_code.filter(|_| event == Event::Error), idle_s: None };
    let report = Report { line: 0, token, event, at: now, client, said };
    match record(platform, report, now).await {
        Ok(()) => Reply::pixel(),
        Err(refusal) => refusal,
    }
}

/// Hands over that an ad's link was followed. It settles no claim.
pub(crate) async fn record_click(
    platform: &impl Platform,
    client: Client,
    token: Token,
    now: UnixMillis,
) -> Result<(), Reply> {
    let report = Report { line: 0, token, event: Event::ClickThrough, at: now, client, said: Said::default() };
    record(platform, report, now).await
}

/// Settles and hands over one event, or refuses it.
async fn record(platform: &impl Platform, report: Report, now: UnixMillis) -> Result<(), Reply> {
    let settled = match settle(platform, core::slice::from_ref(&report), now).await {
        Ok(settled) => settled.into_iter().next().flatten(),
        Err(error) => return Err(not_taken(error)),
    };
    let Some(fact) = report.fact(settled, now, None) else {
        let message = "the claim of this token was released or has expired; its ad no longer counts".into();
        return Err(Reply::error(410, TOKEN_RELEASED, Some("token"), message));
    };
    hand_over(platform, vec![fact]).await.map_err(not_taken)
}

/// Reports `notUsed` of ads that were answered to a player that cannot show them, so that they hold nothing any longer. If
/// that fails, their claims end with their leases.
pub(crate) async fn give_back(platform: &impl Platform, tokens: Vec<Token>) {
    let now = platform.now();
    let client = Client::default(); // it is the edge itself that says so
    let report = |token| Report { line: 0, token, event: Event::NotUsed, at: now, client, said: Said::default() };
    let reports: Vec<_> = tokens.into_iter().map(report).collect();
    let Ok(settled) = settle(platform, &reports, now).await else { return };
    let facts = reports.iter().zip(settled).filter_map(|(report, settled)| report.fact(settled, now, None)).collect();
    let _ = hand_over(platform, facts).await;
}

/// Settles what these reports settle, break by break; for each what its claim is now, or `None` if it touches none.
async fn settle(
    platform: &impl Platform,
    reports: &[Report],
    now: UnixMillis,
) -> Result<Vec<Option<Settled>>, StoreError> {
    let mut settled = vec![None; reports.len()];
    let mut breaks: Vec<(Settling, Vec<usize>)> = Vec::new();
    for (place, report) in reports.iter().enumerate() {
        let Some(transition) = report.transition() else { continue };
        let slot = report.token.opportunity_id;
        let known = breaks.iter_mut().find(|(settling, _)| settling.stem() == Some(slot.break_stem()));
        match known {
            Some((settling, places)) => {
                settling.beacons.push((slot, transition));
                places.push(place);
            }
            None => breaks.push((Settling { beacons: vec![(slot, transition)], now }, vec![place])),
        }
    }
    let budget_ms = platform.settings().decision_deadline_ms;
    let all = async {
        // At once, so that a batch of many breaks takes no longer than one of few.
        let settling = breaks.iter().map(|(settling, _)| platform.settle_at_store(settling));
        for (outcomes, (_, places)) in join_all(settling).await.into_iter().zip(&breaks) {
            let outcomes = outcomes?;
            if outcomes.len() != places.len() {
                return Err(StoreError::Failed("not every beacon's claim was settled".into()));
            }
            for (place, outcome) in places.iter().zip(outcomes) {
                settled[*place] = Some(outcome);
            }
        }
        Ok(settled)
    };
    store_call(platform.wait_ms(budget_ms), budget_ms, all).await
}

fn allow(token: Token, event: Event) -> Result<Token, &'static str> {
    match token.class {
        EventClass::Only(only) if only != event => Err(EVENT_NOT_ALLOWED),
        _ => Ok(token),
    }
}

pub(crate) fn refuse_token(error: TokenError) -> Reply {
    let status = match error {
        TokenError::Malformed => 400,
        TokenError::UnknownKey(_) | TokenError::Forged => 403,
        TokenError::Expired(_) => 410,
    };
    Reply::error(status, error.code(), Some("token"), error.to_string())
}

fn not_taken(error: impl core::fmt::Display) -> Reply {
    Reply::try_again("beacons_not_recorded", format!("{error}; keep them and send them again"))
}
