//! The public JSON of the edge: what a player asks and what it is answered.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    contract::BreakPosition,
    id::{AdId, BreakId, CreativeId, OpportunityId},
    pod::{FillReason, UnfilledReason},
    time::UnixMillis,
};

/// The largest break request, in bytes.
pub const BREAK_REQUEST_BYTES_MAX: usize = 16 * 1024;
/// The most slots in one break.
pub const SLOTS_MAX: usize = 16;
/// The shortest slot, in milliseconds.
pub const SLOT_MS_MIN: u32 = 1_000;
/// The longest slot and the longest break, in milliseconds.
pub const SLOT_MS_MAX: u32 = 600_000;
/// The longest identifier that a caller may choose, in bytes.
pub const CALLER_ID_BYTES_MAX: usize = 128;

/// `POST /v1/breaks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakRequest {
    /// Chosen by the caller, the same for every try: a retry is not a second break. A UUID version 7 serves best.
    pub request_id: String,
    /// Who watches, resolved by the caller.
    pub profile_id: String,
    /// The viewing session, named by the caller: what caps per session count within. Without it, ads with such caps are
    /// not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What is watched.
    pub title_id: String,
    /// Where the break stands.
    pub position: BreakPosition,
    /// The places for ads, in playing order.
    pub slots: Vec<SlotRequest>,
    /// The most that all ads together may last; without it, only the slots bound them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_ms: Option<u32>,
    /// The viewer's subscription tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The class of device: `tv`, `web`, `phone`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What the caller will report with.
    #[serde(default)]
    pub tracking: Tracking,
}

/// One place for one ad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotRequest {
    /// The longest ad that fits.
    pub max_duration_ms: u32,
}

/// How a player reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracking {
    /// With the SDK: one token a slot, events named beside it.
    #[default]
    Token,
    /// With GET requests: also a URL for every quartile and for errors.
    Pixels,
}

/// A field that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidField {
    /// Where, as a path: `slots[2].max_duration_ms`.
    pub field: String,
    /// The value and the bound.
    pub message: String,
}

impl BreakRequest {
    /// Checks every bound. The first violation is reported.
    pub fn validate(&self) -> Result<(), InvalidField> {
        caller_id("request_id", &self.request_id)?;
        caller_id("profile_id", &self.profile_id)?;
        caller_id("title_id", &self.title_id)?;
        let optional = [
            ("session_id", &self.session_id),
            ("tier", &self.tier),
            ("country", &self.country),
            ("device", &self.device),
        ];
        for (field, value) in optional {
            value.as_deref().map_or(Ok(()), |value| caller_id(field, value))?;
        }
        if !(1..=SLOTS_MAX).contains(&self.slots.len()) {
            return invalid("slots", alloc::format!("{} slots; a break has 1 to {SLOTS_MAX}", self.slots.len()));
        }
        for (index, slot) in self.slots.iter().enumerate() {
            duration(&alloc::format!("slots[{index}].max_duration_ms"), slot.max_duration_ms)?;
        }
        self.max_duration_ms.map_or(Ok(()), |ms| duration("max_duration_ms", ms))
    }
}

fn caller_id(field: &str, value: &str) -> Result<(), InvalidField> {
    let len = value.len();
    if !(1..=CALLER_ID_BYTES_MAX).contains(&len) {
        return invalid(field, alloc::format!("{len} bytes; it must have 1 to {CALLER_ID_BYTES_MAX}"));
    }
    if let Some(odd) = value.chars().find(|char| !(' '..='~').contains(char)) {
        return invalid(field, alloc::format!("holds {odd:?}; it must be printable ASCII"));
    }
    Ok(())
}

fn duration(field: &str, ms: u32) -> Result<(), InvalidField> {
    if (SLOT_MS_MIN..=SLOT_MS_MAX).contains(&ms) {
        return Ok(());
    }
    invalid(field, alloc::format!("{ms}; it must be from {SLOT_MS_MIN} to {SLOT_MS_MAX} milliseconds"))
}

fn invalid(field: &str, message: String) -> Result<(), InvalidField> {
    Err(InvalidField { field: field.into(), message })
}

/// The answer to `POST /v1/breaks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakResponse {
    /// As asked.
    pub request_id: String,
    /// The break's own identity.
    pub break_id: BreakId,
    /// The plan decided from; null when there was none.
    pub plan_version: Option<u64>,
    /// The edge's clock when it decided.
    pub decided_at_ms: UnixMillis,
    /// One for every slot asked for, in order.
    pub slots: Vec<SlotResponse>,
    /// The rows of this break, sealed: neither the store nor the origin could take them. Whoever plays the pod posts this,
    /// as it is, to `/v1/receipts`, until it is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

/// One slot of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotResponse {
    /// Its place in the break, from 0.
    pub slot_index: u8,
    /// Its key in the books.
    pub opportunity_id: OpportunityId,
    /// Filled or unfilled.
    #[serde(flatten)]
    pub outcome: SlotOutcome,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum SlotOutcome {
    /// An ad to play.
    Filled {
        /// Why it is there.
        fill_reason: FillReason,
        /// What to play.
        ad: AdResponse,
        /// What to report with.
        token: String,
        /// When the token dies; do not start the ad after.
        expires_at_ms: UnixMillis,
        /// For players without the SDK, if asked for: what to GET, by event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pixels: Option<Vec<Pixel>>,
    },
    /// Nothing to play.
    Unfilled {
        /// Why.
        unfilled_reason: UnfilledReason,
    },
}

/// An ad to play.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdResponse {
    /// The ad.
    pub ad_id: AdId,
    /// Its video.
    pub creative_id: CreativeId,
    /// Its registered id, or `unknown`.
    pub universal_ad_id: String,
    /// What to call it.
    pub name: String,
    /// Its length.
    pub duration_ms: u32,
    /// Its files, best first.
    pub media: Vec<MediaResponse>,
}

/// A file to play.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaResponse {
    /// Where it is.
    pub url: String,
    /// Its MIME type.
    pub mime_type: String,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
}

/// A URL to GET when an event happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pixel {
    /// When.
    pub event: crate::beacon::Event,
    /// Path and query on the edge that answered.
    pub path: String,
}

/// The answer to `POST /v1/beacons`: what is durable at the origin, and what never will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeaconResponse {
    /// The batch's session.
    pub session_id: String,
    /// The batch's number: the client may forget it.
    pub sequence: u32,
    /// How many beacons were accepted.
    pub accepted: u32,
    /// Which were not; sending them again would not help.
    pub refused: Vec<RefusedBeacon>,
}

/// The answer to `POST /v1/receipts`: the rows are durable at the origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptResponse {
    /// How many facts it held.
    pub accepted: u32,
}

/// A beacon that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedBeacon {
    /// Its line in the batch, from 1; the head is line 1.
    pub line: usize,
    /// Why: `token_malformed`, `token_key_unknown`, `token_forged`, `token_expired`, `token_released`,
    /// `event_not_allowed`.
    pub code: String,
}

/// Every error has this one shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A stable name.
    pub code: String,
    /// The field at fault, where it is one field's fault.
    pub field: Option<String>,
    /// What was wrong with which value, and what would be right.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    fn request() -> BreakRequest {
        BreakRequest {
            request_id: "r".into(),
            profile_id: "p".into(),
            session_id: None,
            title_id: "t".into(),
            position: BreakPosition::Preroll,
            slots: vec![SlotRequest { max_duration_ms: 30_000 }],
            max_duration_ms: None,
            tier: None,
            country: None,
            device: None,
            tracking: Tracking::Token,
        }
    }

    #[test]
    fn a_request_out_of_bounds_is_refused_by_field() {
        type Change = fn(&mut BreakRequest);
        assert_eq!(request().validate(), Ok(()));
        let cases: [(&str, Change); 8] = [
            ("request_id", |r| r.request_id.clear()),
            ("profile_id", |r| r.profile_id = "x".repeat(129)),
            ("title_id", |r| r.title_id = "tab\there".into()),
            ("tier", |r| r.tier = Some(String::new())),
            ("slots", |r| r.slots.clear()),
            ("slots", |r| r.slots = vec![SlotRequest { max_duration_ms: 1_000 }; 17]),
            ("slots[0].max_duration_ms", |r| r.slots[0].max_duration_ms = 999),
            ("max_duration_ms", |r| r.max_duration_ms = Some(600_001)),
        ];
        for (field, change) in cases {
            let mut bad = request();
            change(&mut bad);
            assert_eq!(bad.validate().unwrap_err().field, field);
        }
    }
}
