//! The edge's answer to a break request, read once, and as the app sees it.

use alloc::{string::String, vec::Vec};
use core::cell::Cell;

use js_sys::Array;
use slotkeeper_sdk_core::client::Place;
use wasm_bindgen::JsValue;

use crate::{error, object, page};

/// A decided break.
pub(crate) struct Answer {
    pub(crate) request_id: JsValue,
    pub(crate) break_id: JsValue,
    pub(crate) plan_version: JsValue,
    pub(crate) decided_at_ms: f64,
    /// As the app sees them.
    pub(crate) slots: Array,
    /// Those that hold an ad, in order.
    pub(crate) fills: Vec<Fill>,
    /// The rows of this break, if only we can carry them.
    pub(crate) receipt: Option<String>,
}

/// A slot that holds an ad.
pub(crate) struct Fill {
    pub(crate) index: u32,
    /// As the app sees it.
    pub(crate) slot: JsValue,
    pub(crate) token: String,
    pub(crate) duration_ms: f64,
    /// Where a click leads, or null.
    pub(crate) link: JsValue,
    /// As the edge answered them.
    media: Array,
    life: Life,
    /// Its place in the client; none if it cannot be reported, and so must not be played.
    pub(crate) place: Cell<Option<Place>>,
    /// Someone plays it, or has.
    pub(crate) taken: Cell<bool>,
}

/// When a break was asked for, by both clocks of this device.
#[derive(Clone, Copy)]
pub(crate) struct AskedAt {
    clock_ms: f64,
    unix_ms: f64,
}

impl AskedAt {
    pub(crate) fn now() -> Self {
        Self { clock_ms: page::clock_ms(), unix_ms: page::unix_ms() }
    }
}

/// How long a token lives, counted from before the edge decided it, so a device whose clock is wrong is right enough.
struct Life {
    asked_at: AskedAt,
    ms: f64,
}

impl Answer {
    /// Reads the edge's answer.
    pub(crate) fn read(root: &JsValue, asked_at: AskedAt) -> Result<Self, JsValue> {
        let decided_at_ms = object::number(root, "decided_at_ms").ok_or_else(|| malformed("decided_at_ms"))?;
        let slots = Array::new();
        let mut fills = Vec::new();
        for (index, raw) in (0..).zip(object::array(root, "slots").iter()) {
            let fill = read_slot(index, &raw, asked_at, decided_at_ms).ok_or_else(|| malformed("readable slots"))?;
            match fill {
                Ok(fill) => {
                    slots.push(&fill.slot);
                    fills.push(fill);
                }
                Err(unfilled) => {
                    slots.push(&unfilled);
                }
            }
        }
        Ok(Self {
            request_id: word(root, "request_id")?,
            break_id: word(root, "break_id")?,
            plan_version: object::get(root, "plan_version"),
            decided_at_ms,
            slots,
            fills,
            receipt: object::text(root, "receipt"),
        })
    }
}

fn malformed(what: &str) -> JsValue {
    error::own("edge_answer_malformed", &["the edge's answer has no ", what].concat())
}

fn word(root: &JsValue, key: &str) -> Result<JsValue, JsValue> {
    let value = object::get(root, key);
    if value.is_string() { Ok(value) } else { Err(malformed(key)) }
}

/// A slot's ad, or the slot as the app sees it if it holds none.
fn read_slot(index: u32, raw: &JsValue, asked_at: AskedAt, decided_at_ms: f64) -> Option<Result<Fill, JsValue>> {
    let outcome = object::get(raw, "outcome");
    let slot = object::of(&[
        ("slotIndex", &index.into()),
        ("opportunityId", &object::get(raw, "opportunity_id")),
        ("outcome", &outcome),
        ("unfilledReason", &object::get(raw, "unfilled_reason")),
        ("fillReason", &object::get(raw, "fill_reason")),
    ]);
    match outcome.as_string()?.as_str() {
        "filled" => {}
        "unfilled" => return Some(Err(slot)),
        _ => return None,
    }
    let ad = object::get(raw, "ad");
    let expires_at_ms = object::number(raw, "expires_at_ms")?;
    let duration_ms = object::number(&ad, "duration_ms")?;
    let media = object::array(&ad, "media");
    let shown = object::of(&[
        ("adId", &object::get(&ad, "ad_id")),
        ("creativeId", &object::get(&ad, "creative_id")),
        ("universalAdId", &object::get(&ad, "universal_ad_id")),
        ("name", &object::get(&ad, "name")),
        ("durationMs", &duration_ms.into()),
        ("media", &media.iter().map(|file| media_object(&file)).collect::<Array>()),
    ]);
    object::set(&slot, "ad", &shown);
    object::set(&slot, "expiresAtMs", &expires_at_ms.into());
    let link = object::get(&object::get(&ad, "presentation"), "click_through");
    Some(Ok(Fill {
        index,
        slot,
        token: object::text(raw, "token")?,
        duration_ms,
        link: if link.is_string() { link } else { JsValue::NULL },
        media,
        life: Life { asked_at, ms: expires_at_ms - decided_at_ms },
        place: Cell::new(None),
        taken: Cell::new(false),
    }))
}

fn media_object(file: &JsValue) -> JsValue {
    let mime_type = object::text(file, "mime_type").unwrap_or_default();
    object::of(&[
        ("url", &object::get(file, "url")),
        ("mimeType", &mime_type.into()),
        ("width", &object::get(file, "width")),
        ("height", &object::get(file, "height")),
    ])
}

impl Fill {
    /// How much longer the token lives; past it the ad must not start. One clock stands still while a device sleeps, the
    /// other may be set; the later of the two is believed.
    pub(crate) fn left_ms(&self) -> f64 {
        let (now, asked_at) = (AskedAt::now(), self.life.asked_at);
        self.life.ms - (now.clock_ms - asked_at.clock_ms).max(now.unix_ms - asked_at.unix_ms)
    }

    /// The URL of the first file that `can_play` accepts by its type.
    pub(crate) fn playable(&self, can_play: impl Fn(&str) -> bool) -> Option<String> {
        self.media.iter().find_map(|file| {
            let is_playable = can_play(&object::text(&file, "mime_type").unwrap_or_default());
            object::text(&file, "url").filter(|_| is_playable)
        })
    }
}
