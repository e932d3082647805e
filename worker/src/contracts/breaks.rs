//! The breaks of a title, as its editors placed them.

use slotkeeper_core::{
    api::{DURATIONS_MAX, PodRequest, SLOT_MS_MAX, SLOT_MS_MIN, SLOTS_MAX, SlotRequest},
    contract::{BreakPosition, Placement, TitleBreak},
};

use super::{book::TITLE_MS_MAX, fields::Fields, values};

/// The most breaks of one title.
const BREAKS_MAX: usize = 64;
/// All of them together, as JSON: a plan holds them.
const BYTES_MAX: usize = 32 * 1024;

/// The `breaks` of a title that is `title_ms` long, if that is known.
pub(super) fn read(title: &Fields<'_>, title_ms: Option<u32>) -> Vec<TitleBreak> {
    let mut breaks: Vec<TitleBreak> = Vec::new();
    for fields in title.tables("breaks", BREAKS_MAX) {
        let before = breaks.last().map(place);
        breaks.extend(title_break(fields, title_ms, before));
    }
    let bytes = serde_json::to_string(&breaks).map_or(0, |json| json.len());
    if bytes > BYTES_MAX {
        title.fault("breaks", format!("{bytes} bytes as JSON; a title's breaks may have {BYTES_MAX}"));
    }
    breaks
}

/// What breaks are in the order of.
fn place(one: &TitleBreak) -> (u8, u32) {
    (one.position as u8, one.at_ms)
}

fn title_break(fields: Fields<'_>, title_ms: Option<u32>, before: Option<(u8, u32)>) -> Option<TitleBreak> {
    let position = fields.required("position", values::position).map(|position| position.value);
    let at_ms = match position {
        Some(BreakPosition::Midroll) => fields.required("at_ms", values::integer(1..=TITLE_MS_MAX)).map(|at| at.value),
        Some(_) => {
            fields.forbidden("at_ms", "only a midroll stands within its title");
            Some(0)
        }
        None => fields.optional("at_ms", values::integer(0..=TITLE_MS_MAX)).map(|at| at.value),
    };
    let slots: Vec<_> = fields.tables("slots", SLOTS_MAX).into_iter().map(slot).collect();
    let pod = fields.table("pod").map(pod);
    match (slots.is_empty(), &pod) {
        (true, None) => fields.fault("slots", "a break has slots or a pod"),
        (false, Some(_)) => fields.fault("pod", "a break has either slots or a pod"),
        _ => {}
    }
    let placed = TitleBreak { position: position?, at_ms: at_ms?, ..TitleBreak::default() };
    if let Some(title_ms) = title_ms.filter(|title_ms| placed.at_ms >= *title_ms) {
        fields.fault("at_ms", format!("{} must be less than the title's duration_ms, {title_ms}", placed.at_ms));
    }
    if before.is_some_and(|before| before >= place(&placed)) {
        let wanted =
            "breaks are in order: at most one preroll, midrolls each later than the one before, at most one postroll";
        fields.fault("position", format!("{} after the break before it; {wanted}", shown(&placed)));
    }
    fields.end();
    // What could not be read is noted, and nothing will be booked.
    Some(TitleBreak {
        slots: slots.into_iter().collect::<Option<_>>()?,
        pod: pod.map_or(Some(None), |pod| pod.map(Some))?,
        ..placed
    })
}

fn shown(one: &TitleBreak) -> String {
    match one.position {
        BreakPosition::Midroll => format!("a midroll at {} ms cannot stand", one.at_ms),
        other => format!("a {} cannot stand", other.as_str()),
    }
}

fn slot(fields: Fields<'_>) -> Option<SlotRequest> {
    let longest = fields.required("max_duration_ms", values::integer(SLOT_MS_MIN..=SLOT_MS_MAX)).map(|ms| ms.value);
    let shortest = fields.optional("min_duration_ms", values::integer(0..=longest.unwrap_or(SLOT_MS_MAX)));
    let durations_ms = durations(&fields);
    let placement = fields.optional("placement", values::placement).map_or(Placement::Ad, |placement| placement.value);
    fields.end();
    Some(SlotRequest {
        max_duration_ms: longest?,
        min_duration_ms: shortest.map_or(0, |ms| ms.value),
        durations_ms,
        placement,
    })
}

fn pod(fields: Fields<'_>) -> Option<PodRequest> {
    let duration_ms = fields.required("duration_ms", values::integer(SLOT_MS_MIN..=SLOT_MS_MAX)).map(|ms| ms.value);
    let max_ads = fields.required("max_ads", values::integer(1..=SLOTS_MAX));
    let longest_max = duration_ms.unwrap_or(SLOT_MS_MAX);
    let longest = fields.optional("max_ad_ms", values::integer(1..=longest_max)).map(|ms| ms.value);
    let shortest = fields.optional("min_ad_ms", values::integer(0..=longest.unwrap_or(longest_max)));
    let only = durations(&fields);
    let floor = fields.optional("min_cpm_per_second", values::cpm);
    fields.end();
    Some(PodRequest {
        duration_ms: duration_ms?,
        max_ads: u8::try_from(max_ads?.value).ok()?,
        min_ad_ms: shortest.map_or(0, |ms| ms.value),
        max_ad_ms: longest.unwrap_or(0),
        durations_ms: only,
        min_cpm_micros_per_second: floor.map_or(0, |floor| floor.value.unsigned_abs()),
    })
}

fn durations(fields: &Fields<'_>) -> Vec<u32> {
    let read = fields.values("durations_ms", DURATIONS_MAX, values::integer(SLOT_MS_MIN..=SLOT_MS_MAX));
    read.into_iter().map(|ms| ms.value).collect()
}
