//! `GET /v1/asset-list`: a break as the asset list of an HLS interstitial, for players that know nothing of us.
//!
//! The list is that of Appendix D of RFC 8216bis (draft-pantos-hls-rfc8216bis). Each asset carries ad creative signaling
//! (SVTA 2053-2, carriage envelope version 2), which says what to call and when: a player that understands it, such as
//! shaka, reports by itself.
//!
//! * `_HLS_primary_id` names the playback. Without a `request_id`, playback and URL together are the break's identity: a
//!   list that is loaded again is one break, and two interstitials of one playback differ by their `_HLS_interstitial_id`.
//!   Without a `session`, the playback is the session.
//! * `_HLS_start_offset` is how far into the interstitial the player joins it, in seconds. The list stays whole, because
//!   players lay it out from the interstitial's start (hls.js and shaka do); what it can no longer show is given back.
//!
//! An ad that no file is booked of that HLS can play is not listed, and given back at once.
//!
//! With `sdk=1` the list carries the break's answer as `POST /v1/breaks` gives it: our SDK reports with that, beside a player
//! that only plays. Then no URL of ours is in the signaling, and the rows may travel home with the answer.

use serde::Serialize;
use slotkeeper_core::{
    api::{AdResponse, BreakResponse, CALLER_ID_BYTES_MAX, InvalidField, MediaResponse, SlotOutcome},
    beacon::Event,
    contract::{Presentation, Tracker, Verification},
    id::{BreakId, OpportunityId, playback_request_id},
    keys::Keyring,
    time::UnixMillis,
    token::{EventClass, Token},
};

use crate::{
    Client, Platform, Reply,
    beacons::give_back,
    breaks::{decided, with_trips},
    clicks::leads_to,
    query::{self, BreakQuery, Params, fault},
    route::Tag,
};

const PRIMARY_ID: &str = "_HLS_primary_id";
const START_OFFSET: &str = "_HLS_start_offset";
const SDK: &str = "sdk";

/// What proves that an ad was played from its start on: VAST 4.3 counts a quartile when that share has played without a
/// gap. Who joins an ad in its middle cannot report them.
const PROGRESS: [Event; 4] = [Event::FirstQuartile, Event::Midpoint, Event::ThirdQuartile, Event::Complete];
/// What may happen to any ad that is shown, in the order of VAST.
const EVENTS: [Event; 11] = [
    Event::Start,
    Event::FirstQuartile,
    Event::Midpoint,
    Event::ThirdQuartile,
    Event::Complete,
    Event::Pause,
    Event::Resume,
    Event::Mute,
    Event::Unmute,
    Event::Skip,
    Event::Error,
];

/// Ad-ID's identifiers, as SMPTE ST 2092-1 labels them.
const AD_ID: &str = "urn:smpte:ul:060E2B34.01040101.01200900.00000000";
/// Our own number of a creative.
const CREATIVE_ID: &str = "urn:slotkeeper:creative";

/// Answers a request for an asset list.
pub(crate) async fn answer(platform: &impl Platform, client: Client, tag: &Tag) -> Reply {
    let (settings, now) = (platform.settings(), platform.now());
    let asked = match InterstitialQuery::parse(&tag.query, now) {
        Ok(asked) => asked,
        Err(fault) => return Reply::invalid(fault),
    };
    let (start_offset_ms, reporter) = (asked.start_offset_ms, asked.reporter);
    let asked = match query::resolved(platform, client, asked.query, &tag.base, now).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let answer = decided(platform, &asked).await;
    let reply = match serde_json::from_slice::<BreakResponse>(&answer) {
        Ok(response) if response.receipt.is_some() && reporter == Reporter::Player => {
            // Nobody has its rows but this answer, and an HLS player cannot carry them home. So it is not answered: a
            // player goes on with the content (RFC 8216bis, D.5), and no ad is shown that no row stands for.
            let message = "neither the store nor the origin can take the rows of this break; ask again";
            Reply::try_again("break_not_recorded", message.into())
        }
        Ok(response) => {
            let listing = Listing { keys: &settings.keys, base: &tag.base, now, reporter };
            let (list, unused) = listing.of(&response, start_offset_ms);
            // Of a stored answer that is asked for again, this was done the first time; meanwhile its ads may have begun. Rows that
            // nobody took hold no claims, and who carries them home says himself what he does not play.
            if response.decided_at_ms == now && response.receipt.is_none() {
                give_back(platform, unused).await;
            }
            Reply::json(200, &list)
        }
        Err(error) => Reply::error(500, "answer_unreadable", None, error.to_string()),
    };
    with_trips(reply, platform)
}

/// What an HLS player asks.
#[derive(Debug, PartialEq, Eq)]
struct InterstitialQuery {
    query: BreakQuery,
    /// How far into the interstitial it joins.
    start_offset_ms: u64,
    reporter: Reporter,
}

/// Who reports what is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reporter {
    /// The player, by the signaling.
    Player,
    /// Our SDK beside it, with the break's answer.
    Sdk,
}

impl InterstitialQuery {
    fn parse(text: &str, now: UnixMillis) -> Result<Self, InvalidField> {
        let mut query = BreakQuery::parse(text, now)?;
        let params = Params::new(text)?;
        if let Some(playback) = params.get(PRIMARY_ID)? {
            if playback.len() > CALLER_ID_BYTES_MAX || !playback.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                let message = format!("it must be printable ASCII of at most {CALLER_ID_BYTES_MAX} bytes");
                return Err(fault(PRIMARY_ID, message));
            }
            if params.get("request_id")?.is_none() {
                query.request.request_id = playback_request_id(&playback, &without_player_parameters(text));
            }
            query.request.session_id.get_or_insert(playback);
        }
        let offset = params.parsed(START_OFFSET, "seconds from the interstitial's start, 0 or more", |text| {
            text.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
        })?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; past u64 it saturates"
        )]
        let start_offset_ms = (offset.unwrap_or_default() * 1000.0) as u64;
        let reporter = params.parsed(SDK, "0 or 1", |text| match text {
            "0" => Some(Reporter::Player),
            "1" => Some(Reporter::Sdk),
            _ => None,
        })?;
        Ok(Self { query, start_offset_ms, reporter: reporter.unwrap_or(Reporter::Player) })
    }
}

/// The query as whoever wrote the playlist wrote it: without what the player has added.
fn without_player_parameters(query: &str) -> String {
    let added = |pair: &&str| [PRIMARY_ID, START_OFFSET].contains(&pair.split('=').next().unwrap_or_default());
    query.split('&').filter(|pair| !added(pair)).collect::<Vec<_>>().join("&")
}

/// RFC 8216bis, D.2. Players ignore keys that they do not know.
#[derive(Serialize)]
struct AssetList<'a> {
    #[serde(rename = "ASSETS")]
    assets: Vec<Asset>,
    #[serde(rename = "SKIP-CONTROL", skip_serializing_if = "Option::is_none")]
    skip_control: Option<SkipControl>,
    /// The break's identity in the books, for whoever looks for its rows.
    #[serde(rename = "X-SLOTKEEPER-BREAK")]
    break_id: BreakId,
    /// The break as our SDK knows it, if that reports.
    #[serde(rename = "X-SLOTKEEPER-ANSWER", skip_serializing_if = "Option::is_none")]
    answer: Option<&'a BreakResponse>,
}

#[derive(Serialize)]
struct Asset {
    #[serde(rename = "URI")]
    uri: String,
    /// Seconds.
    #[serde(rename = "DURATION")]
    duration: f64,
    #[serde(rename = "X-AD-CREATIVE-SIGNALING", skip_serializing_if = "Option::is_none")]
    signaling: Option<Envelope>,
    #[serde(rename = "X-SLOTKEEPER-OPPORTUNITY")]
    opportunity_id: OpportunityId,
}

/// RFC 8216bis, D.3; in whole seconds of the interstitial.
#[derive(Serialize)]
struct SkipControl {
    #[serde(rename = "OFFSET")]
    offset: u32,
}

/// SVTA 2053-2's carriage envelope; `features` are what a reader must understand, and there are none.
#[derive(Serialize)]
struct Envelope {
    version: u8,
    r#type: &'static str,
    payload: [Slot; 1],
}

/// SVTA 2053-2's slot: one ad.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Slot {
    r#type: &'static str,
    /// Seconds from the start of the pod, here the asset list.
    start: f64,
    /// Seconds.
    duration: f64,
    identifiers: Vec<Identifier>,
    tracking: Vec<TrackingEvent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verifications: Vec<VerificationResource>,
    /// Seconds of the ad.
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_offset: Option<f64>,
    /// By way of this edge, which counts the click, to where the ad was booked to lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    click_through: Option<String>,
}

#[derive(Serialize)]
struct Identifier {
    scheme: &'static str,
    value: String,
}

/// When is what the type's name says, as in VAST; only `progress` would need an offset.
#[derive(Serialize)]
struct TrackingEvent {
    r#type: &'static str,
    urls: Vec<String>,
}

#[derive(Serialize)]
struct VerificationResource {
    vendor: String,
    resource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<String>,
}

/// How a player that joins at an offset meets an ad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    FromItsStart,
    InItsMiddle,
    Never,
}

impl Met {
    fn at(offset_ms: u64, start_ms: u64, end_ms: u64) -> Self {
        match offset_ms {
            _ if offset_ms <= start_ms => Self::FromItsStart,
            _ if offset_ms < end_ms => Self::InItsMiddle,
            _ => Self::Never,
        }
    }
}

/// What making a list takes.
struct Listing<'a> {
    keys: &'a Keyring,
    /// What URLs on this edge begin with.
    base: &'a str,
    now: UnixMillis,
    reporter: Reporter,
}

impl Listing<'_> {
    /// The break as an asset list, and the tokens of the ads that this player will not show.
    fn of<'a>(&self, response: &'a BreakResponse, offset_ms: u64) -> (AssetList<'a>, Vec<Token>) {
        let (mut assets, mut unused, mut skip_after_ms) = (Vec::new(), Vec::new(), Vec::new());
        let mut start_ms = 0;
        for slot in &response.slots {
            let SlotOutcome::Filled { ad, token, .. } = &slot.outcome else { continue };
            // An ad whose token is dead must not be started any more.
            let Ok(token) = Token::open(token, self.keys, self.now) else { continue };
            let Some(media) = ad.media.iter().find(|media| is_hls(media)) else {
                unused.push(token);
                continue;
            };
            let end_ms = start_ms + u64::from(ad.duration_ms);
            let met = Met::at(offset_ms, start_ms, end_ms);
            if met == Met::Never {
                unused.push(token);
            }
            assets.push(Asset {
                uri: media.url.clone(),
                duration: seconds(ad.duration_ms.into()),
                signaling: self.signaling(ad, &token, start_ms, met),
                opportunity_id: slot.opportunity_id,
            });
            skip_after_ms.push(ad.presentation.skip_after_ms);
            start_ms = end_ms;
        }
        let skip_control = match skip_after_ms[..] {
            // It is the whole interstitial's, so it can only speak for an ad that is alone in it.
            [Some(ms)] => Some(SkipControl { offset: ms.div_ceil(1000) }),
            _ => None,
        };
        let answer = (self.reporter == Reporter::Sdk).then_some(response);
        (AssetList { assets, skip_control, break_id: response.break_id, answer }, unused)
    }

    fn signaling(&self, ad: &AdResponse, token: &Token, start_ms: u64, met: Met) -> Option<Envelope> {
        let reported = |event: &&Event| match met {
            Met::FromItsStart => true,
            Met::InItsMiddle => !PROGRESS.contains(event),
            Met::Never => false,
        };
        let tracking: Vec<_> = EVENTS
            .iter()
            .filter(reported)
            .map(|event| self.tracking(*event, token, &ad.presentation.trackers))
            .filter(|event| !event.urls.is_empty())
            .collect();
        let Presentation { verifications, skip_after_ms, .. } = &ad.presentation;
        if tracking.is_empty() && (met == Met::Never || (verifications.is_empty() && skip_after_ms.is_none())) {
            return None;
        }
        let slot = Slot {
            r#type: "linear",
            start: seconds(start_ms),
            duration: seconds(ad.duration_ms.into()),
            identifiers: identifiers(ad),
            tracking,
            verifications: verifications.iter().map(verification_resource).collect(),
            skip_offset: skip_after_ms.map(|ms| seconds(ms.into())),
            click_through: match self.reporter {
                Reporter::Player => leads_to(self.base, ad, *token, self.keys),
                Reporter::Sdk => None, // it knows the link, and reports that it was followed
            },
        };
        Some(Envelope { version: 2, r#type: "slot", payload: [slot] })
    }

    fn tracking(&self, event: Event, token: &Token, vendors: &[Tracker]) -> TrackingEvent {
        let ours = (self.reporter == Reporter::Player).then(|| {
            let token = Token { class: EventClass::Only(event), ..*token }.seal(self.keys);
            format!("{}/v1/t/{token}", self.base)
        });
        let vendors = vendors.iter().filter(|tracker| tracker.event == event).map(|tracker| tracker.url.clone());
        let urls = ours.into_iter().chain(vendors).collect();
        TrackingEvent { r#type: event.as_str(), urls }
    }
}

/// Whether it is a playlist: RFC 8216 §10 and the name that came before it.
fn is_hls(media: &MediaResponse) -> bool {
    let mime_type = media.mime_type.split(';').next().unwrap_or_default().trim();
    ["application/vnd.apple.mpegurl", "application/x-mpegurl"].iter().any(|name| mime_type.eq_ignore_ascii_case(name))
}

fn identifiers(ad: &AdResponse) -> Vec<Identifier> {
    let ours = Identifier { scheme: CREATIVE_ID, value: ad.creative_id.to_string() };
    let registered =
        is_ad_id(&ad.universal_ad_id).then(|| Identifier { scheme: AD_ID, value: ad.universal_ad_id.clone() });
    core::iter::once(ours).chain(registered).collect()
}

/// Whether it has the form of an Ad-ID: four letters or digits of the company's prefix, seven of the code, and for another
/// picture than SD a letter more.
fn is_ad_id(text: &str) -> bool {
    matches!(text.len(), 11 | 12) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn verification_resource(verification: &Verification) -> VerificationResource {
    VerificationResource {
        vendor: verification.vendor.clone(),
        resource: verification.url.clone(),
        parameters: verification.parameters.clone(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "no break lasts 2^53 milliseconds")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests;
