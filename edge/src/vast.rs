//! `GET /v1/vast`: a break for a player without our code, as VAST.
//!
//! It goes the way of `POST /v1/breaks`: decided, committed, and only then answered. What is stored is the answer in JSON,
//! so a break may be asked for again in either form; the document is rendered from it each time, and its tracking URLs
//! are sealed then.
//!
//! **No receipts.** A stock player cannot post one, so where neither store nor origin take the rows in time, no pod is
//! answered: 503 with an empty VAST. Nothing of it was shown, and who tries again with the same `request_id` opens it.

mod linear;
mod macros;
mod render;

pub(crate) use linear::clock;
pub use macros::Known;

use slotkeeper_core::{
    api::{BreakResponse, InvalidField, SlotOutcome, SlotResponse},
    beacon::Event,
    id::{AdId, RecordId},
    keys::Keyring,
    time::UnixMillis,
    token::{EventClass, Token},
};

use crate::{
    Client, Platform, Reply,
    breaks::{decided, with_trips},
    query::{self, Params, fault},
    route::Tag,
};

/// The media type of VAST and VMAP.
pub const MEDIA_TYPE: &str = "application/xml";

/// How long an unfilled break's error may be reported, in milliseconds.
const ERROR_LIFE_MS: u64 = 3_600_000;

/// A version of VAST that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 2.0, with the extensions of the CTV addendum. It knows no pods.
    V2,
    /// 3.0, with the extensions of the CTV addendum.
    V3,
    /// 4.2.
    V42,
    /// 4.3.
    V43,
}

impl Version {
    /// Each with the names it may be asked for by; the first is what a document says.
    const NAMES: [(Self, &'static [&'static str]); 4] =
        [(Self::V2, &["2.0", "2"]), (Self::V3, &["3.0", "3"]), (Self::V42, &["4.2"]), (Self::V43, &["4.3", "4"])];

    /// Reads the parameter `v`; 4.3 without it.
    pub fn asked(params: &Params<'_>) -> Result<Self, InvalidField> {
        let named =
            |text: &str| Self::NAMES.iter().find(|(_, names)| names.contains(&text)).map(|(version, _)| *version);
        Ok(params.parsed("v", "4.3, 4.2, 3 or 2", named)?.unwrap_or(Self::V43))
    }

    /// As `VAST`'s attribute says it.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(version, _)| *version == self).map_or("4.3", |(_, names)| names[0])
    }

    /// Whether it is a version 4, with elements of its own for what before were extensions.
    fn is_4(self) -> bool {
        self >= Self::V42
    }
}

/// How a document is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// In which version.
    pub version: Version,
    /// Where this edge is reached: scheme and authority, no slash at the end.
    pub base: &'a str,
    /// Whether `notUsed` is tracked: VAST 4 describes the event, and its schema does not list it, so validators refuse it.
    pub not_used: bool,
    /// When it is written.
    pub now: UnixMillis,
    /// For a stitcher: what macros in vendors' URLs are filled with. A player fills them in itself.
    pub known: Option<Known<'a>>,
}

/// Answers a break as VAST.
pub(crate) async fn answer(platform: &impl Platform, client: Client, tag: &Tag) -> Reply {
    let form = match Params::new(&tag.query).and_then(|params| form(&params, &tag.base, platform.now())) {
        Ok(form) => form,
        Err(fault) => return Reply::invalid(fault),
    };
    let asked = match query::ask(platform, client, tag).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let known = tag.device.as_ref().map(|device| Known {
        device,
        request: &asked.request,
        identity: asked.permissions.identity,
    });
    let form = Form { known, ..form };
    let answer = decided(platform, &asked).await;
    let reply = match serde_json::from_slice::<BreakResponse>(&answer) {
        Ok(response) => document(&response, &form, &platform.settings().keys),
        Err(error) => Reply::error(500, "answer_unreadable", None, error.to_string()),
    };
    with_trips(reply, platform)
}

/// What the parameters say of the document.
pub(crate) fn form<'a>(params: &Params<'_>, base: &'a str, now: UnixMillis) -> Result<Form<'a>, InvalidField> {
    let version = Version::asked(params)?;
    let not_used = params.parsed("notused", "0 or 1", |text| match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    })?;
    match not_used {
        Some(true) if !version.is_4() => Err(fault("notused", "1; it must come with a v of 4".into())),
        not_used => Ok(Form { version, base, not_used: not_used.unwrap_or_default(), now, known: None }),
    }
}

/// The answer's document; an empty one, with 503, if its rows are not recorded.
fn document(response: &BreakResponse, form: &Form<'_>, keys: &Keyring) -> Reply {
    if response.receipt.is_none() {
        return Reply::new(200, MEDIA_TYPE, render(response, form, keys));
    }
    let empty = BreakResponse { slots: Vec::new(), ..response.clone() };
    Reply::new(503, MEDIA_TYPE, render(&empty, form, keys)).with_header("retry-after", "1".into())
}

/// A pod as a VAST document: its ads in order. An ad whose token is dead, or that has no file or no length, cannot be played
/// and is left out; if none is left, it is the empty VAST, with the URL to report that to.
pub fn render(response: &BreakResponse, form: &Form<'_>, keys: &Keyring) -> Vec<u8> {
    let mut shows = Vec::new();
    for slot in &response.slots {
        let number = u32::try_from(shows.len()).unwrap_or(u32::MAX).saturating_add(1);
        shows.extend(show(number, slot, form.now, keys));
    }
    if shows.is_empty() {
        let error_token = response.slots.first().map(|slot| error_token(slot, form.now).seal(keys));
        return render::no_ad(form, error_token);
    }
    render::pod(&shows, form, keys)
}

/// An ad that can be played, with what it takes to report on it.
struct Show<'a> {
    /// Its place among those shown, from 1.
    number: u32,
    slot: &'a SlotResponse,
    ad: &'a slotkeeper_core::api::AdResponse,
    token: Token,
}

fn show<'a>(number: u32, slot: &'a SlotResponse, now: UnixMillis, keys: &Keyring) -> Option<Show<'a>> {
    let SlotOutcome::Filled { ad, token, .. } = &slot.outcome else { return None };
    let token = Token::open(token, keys, now).ok()?;
    let is_playable = ad.duration_ms > 0 && ad.media.iter().any(|file| !file.url.trim().is_empty());
    is_playable.then_some(Show { number, slot, ad, token })
}

impl Show<'_> {
    /// The URL that reports `event` when it is asked for.
    fn pixel(&self, event: Event, form: &Form<'_>, keys: &Keyring) -> String {
        let token = Token { class: EventClass::Only(event), ..self.token }.seal(keys);
        match event {
            Event::Error => format!("{}/v1/t/{token}?c=[ERRORCODE]", form.base),
            _ => format!("{}/v1/t/{token}", form.base),
        }
    }

    /// The vendors' URLs that the player calls on `event`.
    fn trackers(&self, event: Event, form: &Form<'_>) -> impl Iterator<Item = String> {
        let of_event = self.ad.presentation.trackers.iter().filter(move |tracker| tracker.event == event);
        of_event.filter(|tracker| !tracker.url.trim().is_empty()).map(move |tracker| match &form.known {
            Some(known) => known.fill(&tracker.url, self),
            None => tracker.url.clone(),
        })
    }
}

/// What reports that there was nothing to play: an error of a slot that no ad filled. It counts for no ad and no money.
fn error_token(slot: &SlotResponse, now: UnixMillis) -> Token {
    Token {
        opportunity_id: slot.opportunity_id,
        ad_id: AdId(0),
        record_id: RecordId::default(),
        class: EventClass::Only(Event::Error),
        holds_claim: false,
        expires_at: now.max(slot.opportunity_id.opened_at()).plus_ms(ERROR_LIFE_MS),
    }
}

#[cfg(test)]
mod tests;
