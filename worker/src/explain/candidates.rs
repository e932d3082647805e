//! What became of every flight that was looked at for one slot.

use std::borrow::Cow;

use serde::Serialize;
use slotkeeper_core::{
    api::SlotRequest,
    caps::{Booking, CLAIMS_MAX, Cap, CapScope, CapState, Showing, Viewer, Window},
    consent::{Identity, Permissions},
    contract::{Placement, PodPosition},
    decide::Witness,
    decision::Decision,
    id::{AdId, FlightId},
    plan::{AdSource, FlightSource, PlanSource},
    pod::{Pod, UnfilledReason},
};

use super::names::{Named, Names};

/// A flight that was looked at.
#[derive(Debug, Serialize)]
pub struct Candidate {
    /// The contract.
    pub flight: Named,
    /// What it belongs to.
    pub campaign: Named,
    /// Who pays.
    pub advertiser: Named,
    /// Whether it is guaranteed or a promotion of our own.
    pub class: slotkeeper_core::contract::DemandClass,
    /// What became of it.
    pub fate: Fate,
    /// Why it lost.
    pub reason: Option<UnfilledReason>,
    /// The same in words, with the numbers that matter.
    pub because: String,
    /// Its caps at that moment, where they decided.
    pub caps: Vec<CapCount>,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It filled the slot.
    Won,
    /// It might not.
    Lost,
    /// It might have stood there; the pod is worth more without.
    Outranked,
}

/// A cap and what it counted.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct CapCount {
    /// What it counts, as booked.
    #[serde(flatten)]
    pub cap: Cap,
    /// How many showings of the viewer it counted.
    pub count: usize,
    /// Whether that left no room.
    pub is_reached: bool,
    /// Which of the flight's creatives, for a cap that counts each by itself.
    pub creative: Option<u32>,
}

/// Hears what became of the candidates for one slot.
pub(super) struct Hearing {
    slot_index: u8,
    heard: Vec<(FlightId, Fate, Option<UnfilledReason>)>,
}

impl Hearing {
    pub(super) fn of(slot_index: u8) -> Self {
        Self { slot_index, heard: vec![] }
    }

    /// What it heard, with names and numbers: the winner first, then those that lost, then the others.
    pub(super) fn candidates(
        mut self,
        decision: &Decision,
        pod: &Pod,
        plan: Option<&PlanSource>,
        names: &Names<'_>,
    ) -> rusqlite::Result<Vec<Candidate>> {
        let Some(plan) = plan else { return Ok(vec![]) };
        self.heard.sort_by_key(|(_, fate, _)| match fate {
            Fate::Won => 0,
            Fate::Lost => 1,
            Fate::Outranked => 2,
        });
        let moment = Moment::of(decision, pod, self.slot_index);
        let found = self.heard.iter().filter_map(|(id, fate, reason)| {
            let flight = plan.flights.iter().find(|flight| flight.flight_id == *id)?;
            Some((flight, *fate, *reason))
        });
        found
            .map(|(flight, fate, reason)| {
                let caps = match reason {
                    Some(UnfilledReason::FrequencyCapped) => moment.counts(flight),
                    _ => vec![],
                };
                Ok(Candidate {
                    flight: names.flight(flight.flight_id.0)?,
                    campaign: names.campaign(flight.campaign_id.0)?,
                    advertiser: names.advertiser(flight.advertiser_id.0)?,
                    class: flight.class,
                    fate,
                    reason,
                    because: moment.because(flight, fate, reason, &caps),
                    caps,
                })
            })
            .collect()
    }
}

impl Witness for Hearing {
    fn lost(&mut self, slot_index: Option<u8>, flight: FlightId, reason: UnfilledReason) {
        if slot_index.is_none_or(|slot_index| slot_index == self.slot_index) {
            self.heard.push((flight, Fate::Lost, Some(reason)));
        }
    }

    fn won(&mut self, slot_index: u8, flight: FlightId, _: AdId) {
        if slot_index == self.slot_index {
            self.heard.push((flight, Fate::Won, None));
        }
    }

    fn outranked(&mut self, slot_index: u8, flight: FlightId) {
        if slot_index == self.slot_index {
            self.heard.push((flight, Fate::Outranked, None));
        }
    }

    fn wants_all(&self) -> bool {
        true
    }
}

/// How things stood in the slot: the pod holds its ads in all the others.
struct Moment<'a> {
    decision: &'a Decision,
    /// The viewer with the claims of the other slots; nothing where the store could not say.
    viewer: Option<Viewer>,
    slot: Cow<'a, SlotRequest>,
    room_ms: u32,
    left_ms: u32,
}

impl<'a> Moment<'a> {
    fn of(decision: &'a Decision, pod: &Pod, slot_index: u8) -> Self {
        let others = || pod.slots.iter().filter(|slot| slot.slot_index != slot_index).filter_map(|slot| slot.fill());
        let viewer = match &decision.caps {
            CapState::Known(viewer) => {
                let mut viewer = viewer.clone();
                others().filter_map(|fill| fill.claim).for_each(|claim| {
                    if viewer.claims().len() < CLAIMS_MAX {
                        viewer.add(claim);
                    }
                });
                Some(viewer)
            }
            CapState::Unavailable => None,
        };
        let asked = &decision.asked;
        let used_ms: u32 = others().map(|fill| fill.duration_ms).sum();
        let pod_ms = asked.pod.as_ref().map_or(u32::MAX, |pod| pod.duration_ms);
        let left_ms = match asked.max_duration_ms.unwrap_or(u32::MAX).min(pod_ms) {
            u32::MAX => u32::MAX,
            most_ms => most_ms.saturating_sub(used_ms),
        };
        let slot = match &asked.pod {
            Some(pod) => Cow::Owned(SlotRequest {
                max_duration_ms: if pod.max_ad_ms == 0 { pod.duration_ms } else { pod.max_ad_ms },
                min_duration_ms: pod.min_ad_ms,
                durations_ms: pod.durations_ms.clone(),
                placement: Placement::Ad,
            }),
            None => asked.slots.get(usize::from(slot_index)).map_or_else(Cow::default, Cow::Borrowed),
        };
        let room_ms = slot.max_duration_ms.min(left_ms);
        Self { decision, viewer, slot, room_ms, left_ms }
    }

    fn fits(&self, ad: &AdSource) -> bool {
        let of_length = self.slot.durations_ms.is_empty() || self.slot.durations_ms.contains(&ad.duration_ms);
        of_length && (self.slot.min_duration_ms..=self.room_ms).contains(&ad.duration_ms)
    }

    /// What each cap of the flight counts; of a cap per creative, for each creative that fits.
    fn counts(&self, flight: &FlightSource) -> Vec<CapCount> {
        let Some(viewer) = &self.viewer else { return vec![] };
        let now = self.decision.decided_at;
        let mut counts = Vec::new();
        for (place, ad) in flight.ads.iter().filter(|ad| self.fits(ad)).enumerate() {
            // What is not counted by creative is the same for each of the flight's.
            let of_flight = flight.caps.iter().filter(|cap| place == 0 || cap.scope == CapScope::Creative);
            counts.extend(of_flight.chain(&ad.caps).map(|cap| {
                let count = viewer.live(cap, &self.showing(flight, ad), now);
                let creative = (cap.scope == CapScope::Creative).then_some(ad.creative_id.0);
                CapCount { cap: *cap, count, is_reached: count >= cap.limit as usize, creative }
            }));
        }
        counts
    }

    fn showing(&self, flight: &FlightSource, ad: &AdSource) -> Showing {
        Showing {
            booking: Booking {
                advertiser_id: flight.advertiser_id,
                campaign_id: flight.campaign_id,
                flight_id: flight.flight_id,
                creative_id: ad.creative_id,
            },
            flight_starts_at: flight.starts_at,
            break_stem: self.decision.break_id.stem(),
            session: self.decision.session,
        }
    }

    fn because(&self, flight: &FlightSource, fate: Fate, reason: Option<UnfilledReason>, caps: &[CapCount]) -> String {
        let Some(reason) = reason else {
            let allocation = flight.allocation;
            return match fate {
                Fate::Won => {
                    format!(
                        "the pod that is worth most in this break's draw has it, with an allocation of {allocation}"
                    )
                }
                Fate::Lost | Fate::Outranked => {
                    format!("it might stand here, with an allocation of {allocation}; the pod is worth more without")
                }
            };
        };
        match reason {
            UnfilledReason::PlanUnavailable => "there was no plan in force".into(),
            UnfilledReason::NoEligibleDemand if flight.placement != self.slot.placement => {
                "it is sold for another kind of slot".into()
            }
            UnfilledReason::NoEligibleDemand if flight.pod_position != PodPosition::Any => {
                "its dates, its targeting or what it excludes do not match, or its place in the pod is another".into()
            }
            UnfilledReason::NoEligibleDemand => {
                "its dates, its times, its targeting or what it excludes do not match".into()
            }
            UnfilledReason::AuctionUnavailable => "the auction could not be asked".into(),
            UnfilledReason::ConsentDenied => match self.decision.permissions {
                Permissions { identity: Identity::Profile, .. } => {
                    "it needs segments, and the viewer allows none".into()
                }
                Permissions { no_segments: false, .. } => {
                    "a cap that counts it looks beyond this session, and the viewer must not be recognised in another"
                        .into()
                }
                _ => "it needs segments or a cap that looks beyond this session, and the viewer allows neither".into(),
            },
            UnfilledReason::ContentUnsuitable => {
                "it may not run in this title, in one of its genres or of its rating".into()
            }
            UnfilledReason::DurationExceeded => {
                let shortest = flight.ads.iter().map(|ad| ad.duration_ms).min().unwrap_or_default();
                if shortest <= self.room_ms {
                    return "none of its ads has a length that the slot takes".into();
                }
                let room = if self.left_ms == self.room_ms { "left in the break" } else { "in the slot" };
                format!("its shortest ad lasts {} ms, and {} ms are {room}", shortest, self.room_ms)
            }
            UnfilledReason::CompetitiveSeparation => {
                "its advertiser, its category or its creative is in another slot, or in the break before".into()
            }
            UnfilledReason::PacingThrottled => "it is ahead of its plan and yields".into(),
            UnfilledReason::CapCheckUnavailable => self.not_checked().into(),
            UnfilledReason::FrequencyCapped => {
                let reached: Vec<String> = caps.iter().filter(|cap| cap.is_reached).map(reached).collect();
                match reached.len() {
                    0 => "a cap of another slot's ad counts it, and is reached".into(),
                    _ => reached.join("; "),
                }
            }
        }
    }

    fn not_checked(&self) -> &'static str {
        match &self.viewer {
            None => "this viewer's claims were not known, or changed too often",
            Some(viewer) if viewer.claims().len() >= CLAIMS_MAX => "the viewer holds as many claims as one may",
            Some(_) => "it has a cap per session, and the request named none",
        }
    }
}

fn reached(CapCount { cap, count, creative, .. }: &CapCount) -> String {
    let of = creative.map(|id| format!(" {id}")).unwrap_or_default();
    format!("{count} of {} a {}{of} in {}", cap.limit, scope(cap.scope), window(&cap.window))
}

fn scope(scope: CapScope) -> &'static str {
    match scope {
        CapScope::Creative => "creative",
        CapScope::Flight => "flight",
        CapScope::Campaign => "campaign",
        CapScope::Advertiser => "advertiser",
    }
}

fn window(window: &Window) -> String {
    match window {
        Window::Break => "the break".into(),
        Window::Session => "the session".into(),
        Window::Rolling { ms } => duration(*ms),
        Window::Calendar(_) => "its calendar's window".into(),
        Window::Lifetime => "the flight's life".into(),
    }
}

/// A length of time in the largest unit that divides it.
pub(crate) fn duration(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let whole = units.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{ms} ms"), |(unit, name)| format!("{} {name}", ms / unit))
}
