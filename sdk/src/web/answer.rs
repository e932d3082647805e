//! The edge's answer to a break request, read once, and as the app sees it.

use core::cell::{Cell, RefCell};

use js_sys::Array;
use wasm_bindgen::JsValue;

use crate::tracker::Tracker;

use super::{error::SdkError, object, page};

/// A decided break.
pub(super) struct Answer {
    pub(super) request_id: String,
    pub(super) break_id: String,
    pub(super) plan_version: JsValue,
    pub(super) decided_at_ms: f64,
    pub(super) slots: Vec<Slot>,
    /// The rows of this break, if only we can carry them.
    pub(super) receipt: Option<String>,
}

/// One place for one ad.
pub(super) struct Slot {
    pub(super) index: u32,
    pub(super) opportunity_id: String,
    pub(super) outcome: Outcome,
}

/// What a slot holds.
pub(super) enum Outcome {
    Filled(Fill),
    Unfilled { reason: String },
}

/// An ad to play.
pub(super) struct Fill {
    reason: String,
    expires_at_ms: f64,
    life: Life,
    media: Vec<Media>,
    /// As the app sees it.
    pub(super) ad: JsValue,
    pub(super) token: String,
    pub(super) tracker: RefCell<Tracker>,
    /// Someone plays it, or has.
    pub(super) taken: Cell<bool>,
}

/// A file to play.
pub(super) struct Media {
    pub(super) url: String,
    pub(super) mime_type: String,
}

/// When a break was asked for, by both clocks of this device.
#[derive(Clone, Copy)]
pub(super) struct AskedAt {
    clock_ms: f64,
    unix_ms: f64,
}

impl AskedAt {
    pub(super) fn now() -> Self {
        Self { clock_ms: page::clock_ms(), unix_ms: page::unix_ms() }
    }
}

/// How long a token lives, counted from before the edge decided it, so a device whose clock is wrong is right enough.
struct Life {
    asked_at: AskedAt,
    ms: f64,
}

impl Life {
    /// One clock stands still while a device sleeps, the other may be set; the later of the two is believed.
    fn is_over(&self) -> bool {
        let now = AskedAt::now();
        (now.clock_ms - self.asked_at.clock_ms).max(now.unix_ms - self.asked_at.unix_ms) >= self.ms
    }
}

impl Answer {
    /// Reads the body of a 200.
    pub(super) fn parse(body: &str, asked_at: AskedAt) -> Result<Self, SdkError> {
        let root = object::parse(body);
        let malformed = |what: &str| SdkError::new("edge_answer_malformed", format!("the edge's answer has no {what}"));
        let text = |key: &str| object::text(&root, key).ok_or_else(|| malformed(key));
        let decided_at_ms = object::number(&root, "decided_at_ms").ok_or_else(|| malformed("decided_at_ms"))?;
        let slots = (0u32..).zip(object::array(&root, "slots")).map(|(index, slot)| {
            read_slot(index, &slot, asked_at, decided_at_ms)
                .ok_or_else(|| malformed(&format!("readable slots[{index}]")))
        });
        Ok(Self {
            request_id: text("request_id")?,
            break_id: text("break_id")?,
            plan_version: object::get(&root, "plan_version"),
            decided_at_ms,
            slots: slots.collect::<Result<_, _>>()?,
            receipt: object::text(&root, "receipt"),
        })
    }
}

fn read_slot(index: u32, slot: &JsValue, asked_at: AskedAt, decided_at_ms: f64) -> Option<Slot> {
    let outcome = match object::text(slot, "outcome")?.as_str() {
        "filled" => Outcome::Filled(read_fill(slot, asked_at, decided_at_ms)?),
        "unfilled" => Outcome::Unfilled { reason: object::text(slot, "unfilled_reason")? },
        _ => return None,
    };
    Some(Slot { index, opportunity_id: object::text(slot, "opportunity_id")?, outcome })
}

fn read_fill(slot: &JsValue, asked_at: AskedAt, decided_at_ms: f64) -> Option<Fill> {
    let ad = object::get(slot, "ad");
    let expires_at_ms = object::number(slot, "expires_at_ms")?;
    let duration_ms = object::number(&ad, "duration_ms")?;
    let files = object::array(&ad, "media");
    let media = files.iter().filter_map(|file| {
        Some(Media {
            url: object::text(&file, "url")?,
            mime_type: object::text(&file, "mime_type").unwrap_or_default(),
        })
    });
    Some(Fill {
        reason: object::text(slot, "fill_reason")?,
        expires_at_ms,
        life: Life { asked_at, ms: expires_at_ms - decided_at_ms },
        media: media.collect(),
        ad: object::of([
            ("adId", object::get(&ad, "ad_id")),
            ("creativeId", object::get(&ad, "creative_id")),
            ("universalAdId", object::get(&ad, "universal_ad_id")),
            ("name", object::get(&ad, "name")),
            ("durationMs", duration_ms.into()),
            ("media", files.iter().map(|file| media_object(&file)).collect::<Array>().into()),
        ]),
        token: object::text(slot, "token")?,
        tracker: RefCell::new(Tracker::new(duration_ms)),
        taken: Cell::new(false),
    })
}

fn media_object(file: &JsValue) -> JsValue {
    object::of([
        ("url", object::get(file, "url")),
        ("mimeType", object::get(file, "mime_type")),
        ("width", object::get(file, "width")),
        ("height", object::get(file, "height")),
    ])
}

impl Slot {
    /// As the app sees it.
    pub(super) fn to_object(&self) -> JsValue {
        let slot =
            object::of([("slotIndex", self.index.into()), ("opportunityId", self.opportunity_id.as_str().into())]);
        let outcome = match &self.outcome {
            Outcome::Filled(fill) => [
                ("outcome", "filled".into()),
                ("fillReason", fill.reason.as_str().into()),
                ("ad", fill.ad.clone()),
                ("expiresAtMs", fill.expires_at_ms.into()),
            ],
            Outcome::Unfilled { reason } => [
                ("outcome", "unfilled".into()),
                ("unfilledReason", reason.as_str().into()),
                ("ad", JsValue::UNDEFINED),
                ("expiresAtMs", JsValue::UNDEFINED),
            ],
        };
        for (key, value) in outcome {
            object::set(&slot, key, &value);
        }
        slot
    }
}

impl Fill {
    /// Whether the token is dead: the ad must not start.
    pub(super) fn is_expired(&self) -> bool {
        self.life.is_over()
    }

    /// The first file that `can_play` accepts by its type.
    pub(super) fn playable(&self, can_play: impl Fn(&str) -> bool) -> Option<&Media> {
        self.media.iter().find(|file| can_play(&file.mime_type))
    }
}
