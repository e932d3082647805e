//! Facts as an edge would send them.
#![allow(dead_code, reason = "every test program uses some of these")]

use slotkeeper_core::{
    beacon::Event,
    caps::{Booking, Claim, ClaimState},
    contract::{BreakPosition, DemandClass, RegistryRecord},
    fact::{BeaconFact, ClientLoss, Fact, Recording},
    id::{
        AdId, AdvertiserId, BreakId, CampaignId, CreativeId, DecisionId, FlightId, OpportunityId, SessionKey, ViewerKey,
    },
    impression::Quartile,
    money::{Currency, Money},
    pod::{Eliminated, Fill, FillReason, InvalidTraffic, Opportunity, Outcome, Search, UnfilledReason},
    time::UnixMillis,
};

/// When everything happens.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
/// The beacons of an ad that plays to its end.
pub(crate) const QUARTILES: [Event; 5] =
    [Event::Start, Event::FirstQuartile, Event::Midpoint, Event::ThirdQuartile, Event::Complete];

/// A guaranteed ad as sold at a CPM of 18.333333 USD, billed at the midpoint; all its ids are `n`.
pub(crate) fn record(n: u32) -> RegistryRecord {
    RegistryRecord {
        ad_id: AdId(n),
        creative_id: CreativeId(n),
        flight_id: FlightId(n),
        campaign_id: CampaignId(n),
        advertiser_id: AdvertiserId(n),
        class: DemandClass::Guaranteed,
        cpm: Money { micros: 18_333_333, currency: Currency::parse("USD").unwrap() },
        completion_threshold: Quartile::Midpoint,
        starts_at: NOW,
        ends_at: NOW.plus_ms(1_000_000_000),
        duration_ms: 6_000,
        universal_ad_id: "unknown".into(),
        trackers: vec![],
    }
}

/// A promo as booked; all its ids are `n`.
pub(crate) fn house_record(n: u32) -> RegistryRecord {
    RegistryRecord { class: DemandClass::House, completion_threshold: Quartile::Start, ..record(n) }
}

/// The row of an empty slot.
pub(crate) fn unfilled(break_no: u32, slot_index: u8) -> Opportunity {
    let break_id = BreakId((u128::from(break_no) << 64).to_be_bytes()); // within the bits that opportunity ids carry
    Opportunity {
        opportunity_id: OpportunityId::mint(break_id, slot_index, NOW),
        break_id,
        slot_index,
        viewer: ViewerKey([3; 16]),
        title_id: "the-lighthouse".into(),
        position: BreakPosition::Midroll,
        max_duration_ms: 10_000,
        decided_at: NOW,
        plan_version: Some(7),
        decision_id: DecisionId([7; 16]),
        search: Search::Exact,
        invalid_traffic: None,
        outcome: Outcome::Unfilled { unfilled_reason: UnfilledReason::FrequencyCapped },
        candidates: 2,
        eliminated: Eliminated { frequency_capped: 2, ..Eliminated::default() },
    }
}

/// The row of a slot that shows the ad of `record`, with its claim.
pub(crate) fn filled(break_no: u32, slot_index: u8, record: &RegistryRecord) -> Opportunity {
    let row = unfilled(break_no, slot_index);
    let booking = Booking {
        advertiser_id: record.advertiser_id,
        campaign_id: record.campaign_id,
        flight_id: record.flight_id,
        creative_id: record.creative_id,
    };
    let claim = Claim {
        opportunity_id: row.opportunity_id,
        booking,
        session: None,
        state: ClaimState::Reserved,
        at: NOW,
        lease_until: NOW.plus_ms(7_200_000),
        counts_until: NOW.plus_ms(3_600_000),
    };
    let fill = Fill {
        fill_reason: if record.class == DemandClass::House { FillReason::HouseAd } else { FillReason::Guaranteed },
        ad_id: record.ad_id,
        record_id: record.record_id(),
        booking,
        duration_ms: record.duration_ms,
        expires_at: NOW.plus_ms(7_200_000),
        claim: Some(claim),
    };
    Opportunity { outcome: Outcome::Filled(fill), ..row }
}

/// As the outbox ships it.
pub(crate) fn committed(row: &Opportunity) -> Fact {
    Fact::Opportunity { recording: Recording::Committed, row: row.clone() }
}

/// As an edge sends it whose store is down.
pub(crate) fn uncommitted(row: &Opportunity) -> Fact {
    Fact::Opportunity { recording: Recording::Uncommitted, row: row.clone() }
}

/// A row as an edge makes it of a crawler's request.
pub(crate) fn crawled(row: Opportunity) -> Opportunity {
    Opportunity { invalid_traffic: Some(InvalidTraffic::Crawler), ..row }
}

/// A beacon as an edge sends it that had it from a crawler.
pub(crate) fn by_crawler(fact: Fact) -> Fact {
    let Fact::Beacon(beacon) = fact else { panic!("{fact:?} is no beacon") };
    Fact::Beacon(BeaconFact { invalid_traffic: Some(InvalidTraffic::Crawler), ..beacon })
}

/// A beacon whose player says for how long the viewer has touched nothing.
pub(crate) fn idle(fact: Fact, idle_s: u32) -> Fact {
    let Fact::Beacon(beacon) = fact else { panic!("{fact:?} is no beacon") };
    Fact::Beacon(BeaconFact { idle_s: Some(idle_s), ..beacon })
}

/// An error whose player says what went wrong.
pub(crate) fn coded(fact: Fact, error_code: u16) -> Fact {
    let Fact::Beacon(beacon) = fact else { panic!("{fact:?} is no beacon") };
    Fact::Beacon(BeaconFact { error_code: Some(error_code), ..beacon })
}

/// That a session has lost so many beacons.
pub(crate) fn lossy(session: u8, lost: u32) -> Fact {
    Fact::ClientLoss(ClientLoss { session: SessionKey([session; 8]), lost })
}

/// A beacon for `row` with a token of `record`, `at` milliseconds after [`NOW`].
pub(crate) fn beacon(row: &Opportunity, record: &RegistryRecord, event: Event, at: u64) -> Fact {
    Fact::Beacon(BeaconFact {
        opportunity_id: row.opportunity_id,
        ad_id: record.ad_id,
        record_id: record.record_id(),
        event,
        at: NOW.plus_ms(at),
        received_at: NOW.plus_ms(at + 50),
        session: Some(SessionKey([5; 8])),
        invalid_traffic: None,
        error_code: None,
        idle_s: None,
    })
}
