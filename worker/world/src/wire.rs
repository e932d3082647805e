//! Facts as edges send them: the core's types, as JSON.

use slotkeeper_core::{
    api::{BreakRequest, PodRequest, SlotRequest},
    auction::{Auction, Offer},
    caps::{CapState, Claim, ClaimState, Viewer},
    decision::Decision,
    fact::{BeaconFact, ClientLoss, Fact, Recording},
    id::{DecisionId, OpportunityId},
    pod::{Eliminated, Fill, InvalidTraffic, Opportunity, Outcome, Search, UnfilledReason},
    time::UnixMillis,
};

use crate::{
    ads::{Ad, Ads},
    audience::COUNTRIES,
    breaks::{Decided, Occasion, POSITIONS, Slot},
    dice::Dice,
    params::HOUR_MS,
};

const SLOT_MS: u32 = 30_000;
/// How long a token and a claim live.
const LEASE_MS: u64 = 2 * HOUR_MS;

/// Facts as text, with commas between them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) json: Vec<u8>,
    pub(crate) count: usize,
}

impl Facts {
    pub(crate) fn clear(&mut self) {
        self.json.clear();
        self.count = 0;
    }

    fn fact(&mut self, fact: &Fact) {
        if self.count > 0 {
            self.json.push(b',');
        }
        self.count += 1;
        serde_json::to_writer(&mut self.json, fact).unwrap_or_else(|_| unreachable!("string keys only, into memory"));
    }

    pub(crate) fn beacon(&mut self, beacon: BeaconFact) {
        self.fact(&Fact::Beacon(beacon));
    }

    pub(crate) fn loss(&mut self, loss: ClientLoss) {
        self.fact(&Fact::ClientLoss(loss));
    }

    /// A decision, if decisions are told, and the rows it made.
    pub(crate) fn decided(
        &mut self,
        dice: &mut Dice,
        occasion: &Occasion,
        decided: &Decided,
        (ads, title_id, tells_decision): (&Ads, &str, bool),
    ) {
        let mut decision_id = DecisionId(occasion.break_id.0);
        if tells_decision {
            let decision = decision(dice, occasion, decided, ads, title_id);
            decision_id = decision.id();
            self.fact(&Fact::Decision(Box::new(decision)));
        } else {
            let differs = decided.decided_at.0.to_be_bytes();
            decision_id.0[8..].iter_mut().zip(differs).for_each(|(byte, differs)| *byte ^= differs);
        }
        for (place, slot) in decided.slots.iter().enumerate() {
            let row = row(dice, occasion, decided, (ads, title_id, decision_id), place, *slot);
            self.fact(&Fact::Opportunity { recording: decided.recording, row });
        }
    }
}

fn decision(dice: &mut Dice, occasion: &Occasion, decided: &Decided, ads: &Ads, title_id: &str) -> Decision {
    let country = &COUNTRIES[occasion.country];
    let slot = SlotRequest { max_duration_ms: SLOT_MS, ..SlotRequest::default() };
    let pod = PodRequest { duration_ms: SLOT_MS * 6, max_ads: 8, ..PodRequest::default() };
    let asked = BreakRequest {
        title_id: title_id.into(),
        position: POSITIONS[occasion.position],
        slots: vec![slot; occasion.asked_slots.unwrap_or(0)],
        pod: occasion.asked_slots.is_none().then_some(pod),
        tier: Some(occasion.tier.into()),
        country: Some(country.code.into()),
        region: country.region.map(Into::into),
        device: Some(occasion.device.into()),
        ..BreakRequest::default()
    };
    Decision {
        break_id: occasion.break_id,
        viewer: occasion.viewer_key,
        session: Some(occasion.session),
        opened_at: occasion.opened_at,
        decided_at: decided.decided_at,
        plan_version: occasion.plan_version,
        asked,
        permissions: slotkeeper_core::consent::Permissions::default(),
        invalid_traffic: invalid_traffic(occasion.is_crawler),
        auction: auction(dice, decided, ads),
        caps: if decided.recording == Recording::Committed {
            CapState::Known(Viewer::default())
        } else {
            CapState::Unavailable
        },
    }
}

fn auction(dice: &mut Dice, decided: &Decided, ads: &Ads) -> Auction {
    let offer = |(place, slot): (usize, &Slot)| match slot {
        Slot::Filled(ad) => {
            let offer = ads.all[*ad].offer?;
            Some(Offer { slot_index: u8::try_from(place).unwrap_or_default(), ..ads.offers[offer].clone() })
        }
        Slot::Empty(_) => None,
    };
    let offers: Vec<Offer> = decided.slots.iter().enumerate().filter_map(offer).collect();
    if !offers.is_empty() {
        return Auction::Answered { offers, refused: vec![] };
    }
    if decided.slots.contains(&Slot::Empty(UnfilledReason::AuctionUnavailable)) {
        return Auction::Unavailable { why: "no answer in time".into() };
    }
    if dice.chance(300) { Auction::Answered { offers, refused: vec![303] } } else { Auction::NotAsked }
}

fn row(
    dice: &mut Dice,
    occasion: &Occasion,
    decided: &Decided,
    (ads, title_id, decision_id): (&Ads, &str, DecisionId),
    place: usize,
    slot: Slot,
) -> Opportunity {
    let slot_index = u8::try_from(place).unwrap_or_default();
    let opportunity_id = OpportunityId::mint(occasion.break_id, slot_index, occasion.opened_at);
    let mut eliminated = Eliminated::default();
    let outcome = match slot {
        Slot::Filled(ad) => Outcome::Filled(fill(&ads.all[ad], opportunity_id, occasion, decided)),
        Slot::Empty(unfilled_reason) => {
            eliminated.count(unfilled_reason);
            Outcome::Unfilled { unfilled_reason }
        }
    };
    if occasion.plan_version.is_some() {
        eliminated.no_eligible_demand = u16::try_from(dice.below(6)).unwrap_or_default();
    }
    if matches!(slot, Slot::Empty(UnfilledReason::NoEligibleDemand)) {
        eliminated.no_eligible_demand += 1;
    }
    Opportunity {
        opportunity_id,
        break_id: occasion.break_id,
        slot_index,
        viewer: occasion.viewer_key,
        title_id: title_id.into(),
        position: POSITIONS[occasion.position],
        max_duration_ms: SLOT_MS,
        decided_at: decided.decided_at,
        plan_version: occasion.plan_version,
        decision_id,
        search: if dice.chance(100) { Search::Greedy } else { Search::Exact },
        invalid_traffic: invalid_traffic(occasion.is_crawler),
        outcome,
        candidates: 8 + u16::try_from(dice.below(12)).unwrap_or_default(),
        eliminated,
    }
}

fn fill(ad: &Ad, opportunity_id: OpportunityId, occasion: &Occasion, decided: &Decided) -> Fill {
    let expires_at = decided.decided_at.plus_ms(LEASE_MS);
    // A claim is made in a commit: rows that came another way carry none.
    let claim = (ad.has_cap && decided.recording == Recording::Committed).then(|| Claim {
        opportunity_id,
        booking: ad.booking,
        session: Some(occasion.session),
        state: ClaimState::Reserved,
        at: decided.decided_at,
        lease_until: expires_at,
        counts_until: decided.decided_at.plus_ms(24 * HOUR_MS),
    });
    Fill {
        fill_reason: ad.reason,
        ad_id: ad.ad_id,
        record_id: ad.record_id,
        booking: ad.booking,
        duration_ms: ad.duration_ms,
        expires_at,
        claim,
    }
}

pub(crate) fn invalid_traffic(is_crawler: bool) -> Option<InvalidTraffic> {
    is_crawler.then_some(InvalidTraffic::Crawler)
}

/// A batch of facts of one edge.
pub(crate) fn batch(edge: &str, facts: &[u8]) -> Vec<u8> {
    let mut json = Vec::with_capacity(facts.len() + 64);
    json.extend_from_slice(b"{\"edge_id\":\"");
    json.extend_from_slice(edge.as_bytes());
    json.extend_from_slice(b"\",\"facts\":[");
    json.extend_from_slice(facts);
    json.extend_from_slice(b"]}");
    json
}

/// When a minute of Unix time begins.
pub(crate) fn minute_at(minute: u64) -> UnixMillis {
    UnixMillis(minute * crate::params::MINUTE_MS)
}
