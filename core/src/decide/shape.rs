//! What a break has room for: its places, and the time that all ads together may take.

use alloc::{vec, vec::Vec};

use crate::{
    api::{BreakRequest, PodRequest, SLOT_MS_MAX, SLOT_MS_MIN},
    contract::{Placement, PodPosition},
};

/// One place for one ad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) max_ms: u32,
    min_ms: u32,
    /// The only lengths that fit; any, if there are none.
    durations_ms: &'a [u32],
    placement: Placement,
    is_first: bool,
    is_last: bool,
}

impl Place<'_> {
    /// Whether an ad of this length fits into `room_ms` here.
    pub(super) fn takes(&self, duration_ms: u32, room_ms: u32) -> bool {
        duration_ms <= self.max_ms.min(room_ms)
            && duration_ms >= self.min_ms
            && (self.durations_ms.is_empty() || self.durations_ms.contains(&duration_ms))
    }

    /// Whether what is sold so may stand here.
    pub(super) fn is_for(&self, placement: Placement, position: PodPosition) -> bool {
        self.placement == placement
            && match position {
                PodPosition::Any => true,
                PodPosition::First => self.is_first,
                PodPosition::Last => self.is_last,
            }
    }

    /// Whether the two take the same ads, those with a position of their own aside.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        Place { is_first: other.is_first, is_last: other.is_last, ..*self } == *other
    }
}

/// The places of a break.
pub(super) struct Shape<'a> {
    /// In playing order. Of a dynamic pod, as many as there may be, each of which may come to be the first and the last.
    pub(super) places: Vec<Place<'a>>,
    /// The most that all ads together may last.
    pub(super) time_ms: u32,
    pub(super) pod: Option<&'a PodRequest>,
}

impl<'a> Shape<'a> {
    pub(super) fn of(request: &'a BreakRequest) -> Self {
        let break_ms = request.max_duration_ms.unwrap_or(u32::MAX);
        let Some(pod) = &request.pod else {
            let last = request.slots.len().saturating_sub(1);
            let places = request.slots.iter().enumerate().map(|(index, slot)| Place {
                max_ms: slot.max_duration_ms.min(SLOT_MS_MAX),
                min_ms: slot.min_duration_ms,
                durations_ms: &slot.durations_ms,
                placement: slot.placement,
                is_first: index == 0,
                is_last: index == last,
            });
            return Self { places: places.collect(), time_ms: break_ms, pod: None };
        };
        let place = Place {
            max_ms: longest_ad(pod).min(SLOT_MS_MAX),
            min_ms: pod.min_ad_ms,
            durations_ms: &pod.durations_ms,
            placement: Placement::Ad,
            is_first: true,
            is_last: true,
        };
        let time_ms = pod.duration_ms.min(break_ms);
        Self { places: vec![place; pod.max_ads.into()], time_ms, pod: Some(pod) }
    }

    /// Whether a slot is for ads, and not for bumpers or sponsorships.
    pub(super) fn is_for_ads(&self, slot_index: u8) -> bool {
        self.places.get(usize::from(slot_index)).is_none_or(|place| place.placement == Placement::Ad)
    }

    /// How long an ad in one more slot of a dynamic pod may be, with `left_ms` of its time left.
    pub(super) fn slot_ms(&self, left_ms: u32) -> u32 {
        left_ms.min(self.pod.map_or(u32::MAX, longest_ad))
    }

    /// Whether a dynamic pod of `ads` with `left_ms` of its time left has an unfilled slot.
    pub(super) fn has_open_slot(&self, ads: usize, left_ms: u32) -> bool {
        let least_ms = self.pod.map_or(0, |pod| pod.min_ad_ms).max(SLOT_MS_MIN);
        ads == 0 || (ads < self.places.len() && left_ms >= least_ms)
    }
}

fn longest_ad(pod: &PodRequest) -> u32 {
    if pod.max_ad_ms == 0 { pod.duration_ms } else { pod.max_ad_ms }
}
