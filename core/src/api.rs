//! The public JSON of the edge: what a player asks and what it is answered.

use alloc::{boxed::Box, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    consent::Privacy,
    contract::{BreakPosition, Placement, Presentation},
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

/// The most audience segments, and the most ads of the break before.
pub const SEGMENTS_MAX: usize = 64;
/// The most durations that a slot can be asked to have.
pub const DURATIONS_MAX: usize = 16;

/// `POST /v1/breaks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The places for ads, in playing order. Either these or [`pod`](Self::pod).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<SlotRequest>,
    /// Time for ads, of which the decision makes slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodRequest>,
    /// The most that all ads together may last; without it, only the slots bound them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_ms: Option<u32>,
    /// The viewer's subscription tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// ISO 3166-2, such as `US-CA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The class of device: `tv`, `web`, `phone`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The audience segments that the viewer is in, resolved by the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<String>,
    /// The ads of the break before this one, in the same viewing: their advertisers and categories stay away from this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous_ads: Vec<AdId>,
    /// What the viewer allows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privacy: Privacy,
    /// What the caller will report with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tracking: Tracking,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One place for one ad.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotRequest {
    /// The longest ad that fits.
    pub max_duration_ms: u32,
    /// The shortest ad that is wanted; 0 for any.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_duration_ms: u32,
    /// The only durations that fit, if there are any here: OpenRTB's `rqddurs`, in milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub durations_ms: Vec<u32>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub placement: Placement,
}

/// Time for ads, in the words of OpenRTB 2.6: as many ads as fit, and no more than `max_ads`.
///
/// Its slots are the ads it gets; if time for one more ad is left then, and one more is allowed, that is an unfilled slot
/// of that length.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodRequest {
    /// The length of all ads together, at most: `poddur`, in milliseconds.
    pub duration_ms: u32,
    /// The most ads: `maxseq`.
    pub max_ads: u8,
    /// The shortest ad that is wanted; 0 for any: `minduration`, in milliseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_ad_ms: u32,
    /// The longest ad that is wanted; 0 for any: `maxduration`, in milliseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_ad_ms: u32,
    /// The only durations that fit, if there are any here: `rqddurs`, in milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub durations_ms: Vec<u32>,
    /// The least that an auction's ad must pay a second, as the CPM of one second: `mincpmpersec`, in micros.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_cpm_micros_per_second: u64,
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
            ("region", &self.region),
            ("device", &self.device),
        ];
        for (field, value) in optional {
            value.as_deref().map_or(Ok(()), |value| caller_id(field, value))?;
        }
        match &self.pod {
            Some(_) if !self.slots.is_empty() => return invalid("pod", "a break has either slots or a pod".into()),
            Some(pod) => pod.validate()?,
            None if (1..=SLOTS_MAX).contains(&self.slots.len()) => {}
            None => {
                return invalid("slots", alloc::format!("{} slots; a break has 1 to {SLOTS_MAX}", self.slots.len()));
            }
        }
        for (index, slot) in self.slots.iter().enumerate() {
            let field = |name: &str| alloc::format!("slots[{index}].{name}");
            duration(&field("max_duration_ms"), slot.max_duration_ms)?;
            at_most(&field("min_duration_ms"), slot.min_duration_ms, slot.max_duration_ms)?;
            durations(&field("durations_ms"), &slot.durations_ms)?;
        }
        self.max_duration_ms.map_or(Ok(()), |ms| duration("max_duration_ms", ms))?;
        if self.segments.len() > SEGMENTS_MAX {
            return invalid("segments", alloc::format!("{} segments; at most {SEGMENTS_MAX}", self.segments.len()));
        }
        for (index, segment) in self.segments.iter().enumerate() {
            caller_id(&alloc::format!("segments[{index}]"), segment)?;
        }
        if self.previous_ads.len() > SLOTS_MAX {
            return invalid("previous_ads", alloc::format!("{} ads; at most {SLOTS_MAX}", self.previous_ads.len()));
        }
        self.privacy.validate()
    }

    /// How many slots it has, at most.
    pub fn slots_max(&self) -> usize {
        self.pod.as_ref().map_or(self.slots.len(), |pod| pod.max_ads.into())
    }
}

impl PodRequest {
    fn validate(&self) -> Result<(), InvalidField> {
        duration("pod.duration_ms", self.duration_ms)?;
        if !(1..=SLOTS_MAX).contains(&usize::from(self.max_ads)) {
            return invalid("pod.max_ads", alloc::format!("{}; it must be from 1 to {SLOTS_MAX}", self.max_ads));
        }
        at_most("pod.min_ad_ms", self.min_ad_ms, self.duration_ms)?;
        at_most("pod.max_ad_ms", self.max_ad_ms, self.duration_ms)?;
        durations("pod.durations_ms", &self.durations_ms)
    }
}

fn at_most(field: &str, ms: u32, max_ms: u32) -> Result<(), InvalidField> {
    if ms <= max_ms { Ok(()) } else { invalid(field, alloc::format!("{ms}; it must be at most {max_ms} milliseconds")) }
}

fn durations(field: &str, all: &[u32]) -> Result<(), InvalidField> {
    if all.len() > DURATIONS_MAX {
        return invalid(field, alloc::format!("{} durations; at most {DURATIONS_MAX}", all.len()));
    }
    all.iter().try_for_each(|ms| duration(field, *ms))
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
    /// One for every slot asked for, in order; of a [`PodRequest`], one for every ad and, if time for one more is left, one
    /// that is unfilled.
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
        ad: Box<AdResponse>,
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
    /// What to open when the viewer follows its link, if it has one: a path of the edge, which counts the click and sends the
    /// viewer on; of an auction's ad, what it says itself. Who reports `clickThrough` as well is counted once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click_through: Option<String>,
    /// What else goes with it, as booked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub presentation: Presentation,
}

/// A file to play.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaResponse {
    /// Where it is.
    pub url: String,
    /// Its MIME type.
    pub mime_type: String,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Kilobits a second, if booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate_kbps: Option<u32>,
    /// RFC 6381 names, if booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codecs: Option<String>,
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
            slots: vec![SlotRequest { max_duration_ms: 30_000, ..SlotRequest::default() }],
            ..BreakRequest::default()
        }
    }

    #[test]
    fn a_request_out_of_bounds_is_refused_by_field() {
        type Change = fn(&mut BreakRequest);
        assert_eq!(request().validate(), Ok(()));
        let cases: [(&str, Change); 15] = [
            ("request_id", |r| r.request_id.clear()),
            ("profile_id", |r| r.profile_id = "x".repeat(129)),
            ("title_id", |r| r.title_id = "tab\there".into()),
            ("tier", |r| r.tier = Some(String::new())),
            ("slots", |r| r.slots.clear()),
            ("slots", |r| r.slots = vec![r.slots[0].clone(); 17]),
            ("slots[0].max_duration_ms", |r| r.slots[0].max_duration_ms = 999),
            ("slots[0].min_duration_ms", |r| r.slots[0].min_duration_ms = 30_001),
            ("slots[0].durations_ms", |r| r.slots[0].durations_ms = vec![0]),
            ("pod", |r| r.pod = Some(PodRequest::default())),
            ("pod.duration_ms", |r| (r.slots, r.pod) = (vec![], Some(PodRequest::default()))),
            ("pod.max_ads", |r| {
                r.slots.clear();
                r.pod = Some(PodRequest { duration_ms: 60_000, max_ads: 17, ..PodRequest::default() });
            }),
            ("segments[1]", |r| r.segments = vec!["a".into(), String::new()]),
            ("max_duration_ms", |r| r.max_duration_ms = Some(600_001)),
            ("privacy.tcf", |r| r.privacy.tcf = Some("C".repeat(8_193))),
        ];
        for (field, change) in cases {
            let mut bad = request();
            change(&mut bad);
            assert_eq!(bad.validate().unwrap_err().field, field);
        }
    }
}
