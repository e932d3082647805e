//! From a query string to a break request: how a player without our code asks.
//!
//! `GET /v1/vast`, `/v1/asset-list` and the tags of `/v1/vmap` share these parameters; `docs/players.md` has the table.
//! Names that mean something in OpenRTB 2.6 or to those who pass consent on carry those names. What is not known is
//! ignored; what is known is read strictly, and a fault names the parameter, the value and the bound.

mod params;

use core::fmt::Write as _;

pub use params::{Params, QUERY_BYTES_MAX};
pub(crate) use params::{encode, fault, push};
use slotkeeper_core::{
    api::{BreakRequest, InvalidField, PodRequest, SLOTS_MAX, SlotRequest, Tracking},
    consent::Privacy,
    contract::{BreakPosition, TitleBreak},
    id::{AdId, mint_request_id},
    plan::Plan,
    time::UnixMillis,
};

use crate::{Client, Platform, Reply, breaks::Asked, route::Tag};

/// The break that a document is asked with at this edge, or the refusal to send.
pub async fn ask(platform: &impl Platform, client: Client, tag: &Tag) -> Result<Asked, Reply> {
    let now = platform.now();
    resolved(platform, client, BreakQuery::parse(&tag.query, now).map_err(Reply::invalid)?, &tag.base, now).await
}

/// The break that was asked for at `now`, with its slots looked up if it asks for a title's break.
pub(crate) async fn resolved(
    platform: &impl Platform,
    client: Client,
    query: BreakQuery,
    base: &str,
    now: UnixMillis,
) -> Result<Asked, Reply> {
    let bytes = if query.title_break.is_some() { platform.plan(None).await } else { None };
    let plan = bytes.as_deref().and_then(|bytes| Plan::open(bytes).ok());
    let request = query.resolve(plan.as_ref()).map_err(|unresolved| match unresolved {
        Unresolved::Invalid(fault) => Reply::invalid(fault),
        Unresolved::NoPlan => no_plan(),
    })?;
    Asked::of(request, client, base, platform.settings(), now).map_err(Reply::invalid)
}

/// 503: where a title's breaks are, only a plan says.
pub(crate) fn no_plan() -> Reply {
    let message = "there is no plan here to look the break up in; try again, or say its slots";
    Reply::try_again("plan_unavailable", message.into())
}

/// What a query string asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakQuery {
    /// The request; without slots, pod and position where they are to be those of [`title_break`](Self::title_break).
    pub request: BreakRequest,
    /// `break`: the title's break of this number, from 1, as its editors placed it.
    pub title_break: Option<u16>,
}

const SECONDS: &str = "seconds, with at most 3 decimals";
const EACH_SECONDS: &str = "seconds, each with at most 3 decimals, with commas between them";
const FLAG: &str = "0 or 1";
const NUMBERS: &str = "whole numbers with commas between them";

impl BreakQuery {
    /// Reads a query string. Without `request_id` the request is one of its own, dated `now`: whoever tries again with the
    /// same URL then opens another break.
    pub fn parse(query: &str, now: UnixMillis) -> Result<Self, InvalidField> {
        let params = Params::new(query)?;
        let request = BreakRequest {
            request_id: params.get("request_id")?.unwrap_or_else(|| mint_request_id(query.as_bytes(), now)),
            profile_id: params.required("profile")?,
            session_id: params.get("session")?,
            title_id: params.required("title")?,
            position: position(&params)?.unwrap_or_default(),
            slots: slots(&params)?,
            pod: pod(&params)?,
            max_duration_ms: None,
            tier: params.get("tier")?,
            country: params.get("country")?,
            region: params.get("region")?,
            device: params.get("device")?,
            segments: params.list("segments", "names with commas between them", |name| Some(name.to_owned()))?,
            previous_ads: params.list("prev", NUMBERS, |id| whole(id).map(AdId))?,
            privacy: privacy(&params)?,
            tracking: Tracking::default(),
        };
        let title_break = title_break(&params)?;
        match (title_break, &request) {
            (None, request) => request.validate().map_err(named_as_asked)?,
            // The slots are not known yet; all else can be checked.
            (Some(_), request) => {
                let slots = vec![SlotRequest { max_duration_ms: 1_000, ..SlotRequest::default() }];
                BreakRequest { slots, ..request.clone() }.validate().map_err(named_as_asked)?;
            }
        }
        Ok(Self { request, title_break })
    }

    /// The request, with the slots of the title's break if it asks for that.
    pub fn resolve(self, plan: Option<&Plan<'_>>) -> Result<BreakRequest, Unresolved> {
        let Some(number) = self.title_break else { return Ok(self.request) };
        let plan = plan.ok_or(Unresolved::NoPlan)?;
        let (_, mut breaks) = plan.title_breaks(&self.request.title_id).unwrap_or_default();
        let place = usize::from(number) - 1; // parse() refuses 0
        if place >= breaks.len() {
            let message = format!("{number}; title {:?} has {} breaks", self.request.title_id, breaks.len());
            return Err(Unresolved::Invalid(fault("break", message)));
        }
        let TitleBreak { position, slots, pod, .. } = breaks.swap_remove(place);
        let request = BreakRequest { position, slots, pod, ..self.request };
        request.validate().map_err(Unresolved::Invalid)?;
        Ok(request)
    }

    /// The query string that [`parse`](Self::parse) reads this from. Of a request that came some other way it says what
    /// the parameters can say: no placements, bounds and durations of single slots, and no `max_duration_ms`.
    pub fn render(&self) -> String {
        let mut query = String::new();
        let request = &self.request;
        push(&mut query, "profile", &request.profile_id);
        push(&mut query, "title", &request.title_id);
        push(&mut query, "request_id", &request.request_id);
        match self.title_break {
            Some(number) => push(&mut query, "break", &number.to_string()),
            None => render_places(&mut query, request),
        }
        let optional = [
            ("session", &request.session_id),
            ("tier", &request.tier),
            ("country", &request.country),
            ("region", &request.region),
            ("device", &request.device),
            ("gdpr_consent", &request.privacy.tcf),
            ("gpp", &request.privacy.gpp),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                push(&mut query, name, value);
            }
        }
        push_list(&mut query, "segments", &request.segments, Clone::clone);
        push_list(&mut query, "prev", &request.previous_ads, ToString::to_string);
        push_list(&mut query, "gpp_sid", &request.privacy.gpp_sid, ToString::to_string);
        if let Some(applies) = request.privacy.gdpr {
            push(&mut query, "gdpr", if applies { "1" } else { "0" });
        }
        for (name, is_on) in [("gpc", request.privacy.gpc), ("lmt", request.privacy.lmt)] {
            if is_on {
                push(&mut query, name, "1");
            }
        }
        query
    }
}

/// Why the slots of a title's break cannot be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// There is no plan to look the break up in; later there may be one.
    NoPlan,
    /// The title has no such break.
    Invalid(InvalidField),
}

fn render_places(query: &mut String, request: &BreakRequest) {
    push(query, "position", request.position.as_str());
    push_list(query, "slots", &request.slots, |slot| seconds(slot.max_duration_ms));
    let Some(pod) = &request.pod else { return };
    push(query, "poddur", &seconds(pod.duration_ms));
    push(query, "maxseq", &pod.max_ads.to_string());
    for (name, ms) in [("minduration", pod.min_ad_ms), ("maxduration", pod.max_ad_ms)] {
        if ms > 0 {
            push(query, name, &seconds(ms));
        }
    }
    push_list(query, "rqddurs", &pod.durations_ms, |ms| seconds(*ms));
    if pod.min_cpm_micros_per_second > 0 {
        push(query, "mincpmpersec", &decimal(pod.min_cpm_micros_per_second, 6));
    }
}

fn push_list<T>(query: &mut String, name: &str, items: &[T], text: impl Fn(&T) -> String) {
    if !items.is_empty() {
        push(query, name, &items.iter().map(text).collect::<Vec<_>>().join(","));
    }
}

fn position(params: &Params<'_>) -> Result<Option<BreakPosition>, InvalidField> {
    let all = [BreakPosition::Preroll, BreakPosition::Midroll, BreakPosition::Postroll];
    params.parsed("position", "preroll, midroll or postroll", |text| {
        all.into_iter().find(|position| position.as_str() == text)
    })
}

fn slots(params: &Params<'_>) -> Result<Vec<SlotRequest>, InvalidField> {
    let lengths = params.list("slots", EACH_SECONDS, milliseconds)?;
    Ok(lengths.into_iter().map(|ms| SlotRequest { max_duration_ms: ms, ..SlotRequest::default() }).collect())
}

fn pod(params: &Params<'_>) -> Result<Option<PodRequest>, InvalidField> {
    let Some(duration_ms) = params.parsed("poddur", SECONDS, milliseconds)? else {
        for name in ["maxseq", "minduration", "maxduration", "rqddurs", "mincpmpersec"] {
            if let Some(value) = params.get(name)? {
                return Err(fault(name, format!("{value:?}; it must come with poddur")));
            }
        }
        return Ok(None);
    };
    let most = u8::try_from(SLOTS_MAX).unwrap_or(u8::MAX);
    Ok(Some(PodRequest {
        duration_ms,
        max_ads: params.parsed("maxseq", "a whole number from 1 to 16", whole)?.unwrap_or(most),
        min_ad_ms: params.parsed("minduration", SECONDS, milliseconds)?.unwrap_or_default(),
        max_ad_ms: params.parsed("maxduration", SECONDS, milliseconds)?.unwrap_or_default(),
        durations_ms: params.list("rqddurs", EACH_SECONDS, milliseconds)?,
        min_cpm_micros_per_second: params
            .parsed("mincpmpersec", "an amount of money, with at most 6 decimals", |text| fixed(text, 6))?
            .unwrap_or_default(),
    }))
}

fn title_break(params: &Params<'_>) -> Result<Option<u16>, InvalidField> {
    let number = params.parsed("break", "a whole number from 1", |text| whole(text).filter(|number| *number > 0))?;
    if number.is_some() {
        for name in ["position", "slots", "poddur"] {
            if let Some(value) = params.get(name)? {
                return Err(fault(name, format!("{value:?}; it must not come with break, which says it")));
            }
        }
    }
    Ok(number)
}

fn privacy(params: &Params<'_>) -> Result<Privacy, InvalidField> {
    let flag = |name| params.parsed(name, FLAG, |text| ["0", "1"].iter().position(|word| *word == text));
    Ok(Privacy {
        gdpr: flag("gdpr")?.map(|value| value == 1),
        tcf: params.get("gdpr_consent")?,
        gpp: params.get("gpp")?,
        gpp_sid: params.list("gpp_sid", NUMBERS, whole)?,
        gpc: flag("gpc")? == Some(1),
        lmt: flag("lmt")? == Some(1),
    })
}

/// Says of a fault what the query string calls it, and what would be right there.
fn named_as_asked(mut fault: InvalidField) -> InvalidField {
    let name = match fault.field.as_str() {
        "profile_id" => "profile",
        "title_id" => "title",
        "session_id" => "session",
        "pod" | "pod.duration_ms" => "poddur",
        "pod.max_ads" => "maxseq",
        "pod.min_ad_ms" => "minduration",
        "pod.max_ad_ms" => "maxduration",
        "pod.durations_ms" => "rqddurs",
        "previous_ads" => "prev",
        field if field.starts_with("slots") => "slots",
        field if field.starts_with("segments") => "segments",
        field => field,
    };
    if fault.field == "slots" && fault.message.starts_with("0 slots") {
        fault.message.push_str(". Say slots, poddur or break");
    }
    fault.field = name.to_owned();
    fault
}

/// Digits and nothing else: no sign, no space.
fn whole<T: core::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn milliseconds(seconds: &str) -> Option<u32> {
    fixed(seconds, 3).and_then(|ms| ms.try_into().ok())
}

fn seconds(ms: u32) -> String {
    decimal(ms.into(), 3)
}

/// A decimal number with at most `places` decimals, as so many of the last place.
fn fixed(text: &str, places: u32) -> Option<u64> {
    let (whole_part, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let given = u32::try_from(decimals.len()).ok().filter(|given| (1..=places).contains(given))?;
    let decimals = whole::<u64>(decimals)?.checked_mul(10_u64.pow(places - given))?;
    whole::<u64>(whole_part)?.checked_mul(10_u64.pow(places))?.checked_add(decimals)
}

/// The shortest text that [`fixed`] reads as `value`.
fn decimal(value: u64, places: u32) -> String {
    let one = 10_u64.pow(places);
    let (whole_part, decimals) = (value / one, value % one);
    let mut text = whole_part.to_string();
    if decimals > 0 {
        let _ = write!(text, ".{decimals:0width$}", width = places as usize); // writing to a String cannot fail
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

#[cfg(test)]
mod tests;
