//! The best pod against the greedy's: what both are worth, and what finding them takes.
//!
//! `pod table` decides many breaks of every size, and prints one JSON object a size. `pod once SLOTS ELIGIBLE` decides one
//! break, for callgrind to count within [`measured_decide`].
//!
//! Of a pod of S slots, half the breaks ask for S slots of 30 s within 20 s a slot altogether, and half for a dynamic pod
//! of as much time: so lengths have to be weighed against each other. Each flight has one creative of 6 to 60 s; four
//! flights share an advertiser, and advertisers share a category.

use std::{env, hint::black_box, time::Instant};

use anyhow::{Result, bail};
use serde_json::json;
use slotkeeper_core::{
    api::{BreakRequest, PodRequest, SlotRequest},
    caps::{Cap, CapScope, CapState, Viewer, Window},
    consent::Permissions,
    contract::{BreakPosition, DemandClass},
    decide::{Effort, Occasion, Witness, decide, decide_before},
    id::{AdId, AdvertiserId, BreakId, CampaignId, CreativeId, FlightId, RecordId, ViewerKey},
    keys::Keyring,
    plan::{AdSource, FlightSource, Plan, PlanSource, build},
    pod::{Pod, Search},
    time::UnixMillis,
};

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const HOUR_MS: u64 = 3_600_000;
const SLOTS: [u8; 3] = [4, 8, 12];
const ELIGIBLE: [u32; 3] = [10, 100, 1_000];
const BREAKS: u32 = 200;
const LENGTHS_MS: [u32; 8] = [15_000, 30_000, 20_000, 15_000, 10_000, 30_000, 6_000, 60_000];

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["table"] => {
            for slots in SLOTS {
                for eligible in ELIGIBLE {
                    println!("{}", measure(slots, eligible)?);
                }
            }
            Ok(())
        }
        ["once", slots, eligible] => {
            let bytes = plan(eligible.parse()?)?;
            let request = request(slots.parse()?, 0);
            measured_decide(&Plan::open(&bytes)?, &CapState::Known(Viewer::default()), &occasion(&request, 0));
            Ok(())
        }
        _ => bail!("usage: pod table | pod once SLOTS ELIGIBLE"),
    }
}

#[derive(Default)]
struct Heard(Effort);

impl Witness for Heard {
    fn searched(&mut self, effort: &Effort) {
        self.0 = *effort;
    }
}

#[inline(never)]
fn measured_decide(plan: &Plan<'_>, caps: &CapState, occasion: &Occasion<'_>) -> Pod {
    black_box(decide(Some(black_box(plan)), black_box(caps), black_box(occasion)))
}

fn measure(slots: u8, eligible: u32) -> Result<serde_json::Value> {
    let bytes = plan(eligible)?;
    let plan = Plan::open(&bytes)?;
    let caps = CapState::Known(Viewer::default());
    let mut efforts = Vec::new();
    let mut micros = Vec::new();
    for number in 0..BREAKS {
        let request = request(slots, number);
        let mut heard = Heard::default();
        let begun = Instant::now();
        black_box(decide_before(Some(&plan), &caps, &occasion(&request, number), &mut heard));
        micros.push(begun.elapsed().as_micros());
        efforts.push(heard.0);
    }
    micros.sort_unstable();
    let mut looks: Vec<u32> = efforts.iter().map(|effort| effort.looks).collect();
    looks.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let ratios = efforts.iter().map(|effort| effort.greedy.guaranteed as f64 / effort.found.guaranteed.max(1) as f64);
    let ratio = ratios.sum::<f64>() / f64::from(BREAKS);
    let count = |is: fn(&Effort) -> bool| efforts.iter().filter(|effort| is(effort)).count();
    let nodes: u64 = efforts.iter().map(|effort| u64::from(effort.nodes)).sum();
    Ok(json!({
        "slots": slots,
        "eligible": eligible,
        "exact_of_200": count(|effort| effort.search == Search::Exact),
        "greedy_is_best_of_200": count(|effort| effort.greedy == effort.found),
        "greedy_worth_of_best": (ratio * 10_000.0).round() / 10_000.0,
        "nodes_mean": nodes / u64::from(BREAKS),
        "looks_median": looks[looks.len() / 2],
        "looks_max": looks[looks.len() - 1],
        "micros_median": u64::try_from(micros[micros.len() / 2])?,
        "micros_max": u64::try_from(micros[micros.len() - 1])?,
    }))
}

fn plan(eligible: u32) -> Result<Vec<u8>> {
    let source = PlanSource {
        version: 1,
        created_at: NOW,
        valid_from: NOW.minus_ms(HOUR_MS),
        valid_until: NOW.plus_ms(HOUR_MS),
        lease_ms: 7_200_000,
        titles: vec![],
        flights: (1..=eligible).map(flight).collect(),
    };
    Ok(build(&source, &Keyring::parse(&format!("1:{:064x}", 7))?)?)
}

fn flight(id: u32) -> FlightSource {
    let advertiser = id / 4;
    let category = advertiser % 40;
    FlightSource {
        flight_id: FlightId(id),
        campaign_id: CampaignId(id),
        advertiser_id: AdvertiserId(advertiser),
        class: DemandClass::Guaranteed,
        starts_at: NOW.minus_ms(24 * HOUR_MS),
        ends_at: NOW.plus_ms(24 * HOUR_MS),
        allocation: 1_000 + id % 97 * 50,
        caps: vec![Cap { scope: CapScope::Campaign, limit: 2, window: Window::Rolling { ms: HOUR_MS } }],
        category: (category < 30).then(|| format!("category {category}")),
        ads: vec![AdSource {
            ad_id: AdId(id),
            creative_id: CreativeId(id),
            record_id: RecordId(u64::from(id).to_le_bytes()),
            duration_ms: LENGTHS_MS[(id * 5 % 8) as usize],
            universal_ad_id: "unknown".into(),
            name: format!("ad {id}"),
            ..AdSource::default()
        }],
        ..FlightSource::default()
    }
}

fn request(slots: u8, number: u32) -> BreakRequest {
    let time_ms = u32::from(slots) * 20_000;
    let request = BreakRequest {
        request_id: "request".into(),
        profile_id: "profile".into(),
        title_id: "title".into(),
        position: BreakPosition::Midroll,
        ..BreakRequest::default()
    };
    if number.is_multiple_of(2) {
        let pod = PodRequest { duration_ms: time_ms, max_ads: slots, ..PodRequest::default() };
        return BreakRequest { pod: Some(pod), ..request };
    }
    let slot = SlotRequest { max_duration_ms: 30_000, ..SlotRequest::default() };
    BreakRequest { slots: vec![slot; slots.into()], max_duration_ms: Some(time_ms), ..request }
}

/// Breaks of the same number draw the same.
fn occasion(request: &BreakRequest, number: u32) -> Occasion<'_> {
    let mut break_id = BreakId([7; 16]);
    break_id.0[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    Occasion {
        request,
        break_id,
        viewer: ViewerKey([2; 16]),
        session: None,
        permissions: Permissions::default(),
        invalid_traffic: None,
        auction: &slotkeeper_core::auction::Auction::NotAsked,
        opened_at: NOW,
        now: NOW,
    }
}
