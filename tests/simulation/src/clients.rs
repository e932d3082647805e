//! The viewers: who watches when, what their players ask, play and report, and how they misbehave.

use std::rc::Rc;

use slotkeeper_core::{
    api::{BreakRequest, BreakResponse, PodRequest, SlotOutcome, SlotRequest, Tracking},
    beacon::{Batch, Event},
    contract::{BreakPosition, Placement},
    id::{AdId, BreakId, OpportunityId},
    time::UnixMillis,
};
use slotkeeper_edge::Reply;

use crate::{
    faults::Fault,
    scheduler::Owner,
    terms::{DAY_MS, HOUR_MS, MINUTE_MS},
    world::{Call, World},
};

/// How long a client waits for an answer.
const PATIENCE_MS: u64 = 3_000;
const QUARTILES: [Event; 4] = [Event::FirstQuartile, Event::Midpoint, Event::ThirdQuartile, Event::Complete];

/// Plans who opens a break when; answers the moments, in order, from now.
pub fn plan_viewing(world: &Rc<World>, breaks: u64) -> Vec<u64> {
    let rng = &world.rng;
    let steepness = 0.5 + rng.unit();
    #[expect(clippy::cast_precision_loss, reason = "at most 200")]
    let weights: Vec<f64> = (1..=world.profiles.len()).map(|n| (n as f64).powf(-steepness)).collect();
    let total: f64 = weights.iter().sum();
    let by_popularity = || {
        let mut left = rng.unit() * total;
        weights
            .iter()
            .position(|weight| {
                left -= weight;
                left <= 0.0
            })
            .unwrap_or_default()
    };
    let mut moments = Vec::new();
    while (moments.len() as u64) < breaks {
        let profile = by_popularity();
        let device = rng.below(world.profiles[profile].devices);
        let mut at = rng.below(world.span_ms);
        for _ in 0..rng.between(1, 6) {
            let together = if world.faults.strikes(Fault::DevicesAtOnce) { rng.between(2, 5) } else { 1 };
            for n in 0..together {
                let at = at + if n == 0 { 0 } else { rng.below(12) };
                moments.push(at);
                let (there, device) = (world.clone(), device + n);
                world.clock.after(at, move || {
                    there.clock.spawn(Owner::World, watch(there.clone(), profile, device));
                });
            }
            at += rng.log_between(2 * MINUTE_MS, 25 * MINUTE_MS);
        }
    }
    moments.sort_unstable();
    moments
}

/// One device in one break.
struct Player {
    world: Rc<World>,
    profile: usize,
    device: u64,
    session: String,
    sequence: u32,
}

async fn watch(world: Rc<World>, profile: usize, device: u64) {
    let session = world.session_id(profile, device);
    let mut player = Player { world: world.clone(), profile, device, session, sequence: 0 };
    let request = player.request();
    let storms = world.faults.strikes(Fault::RetryStorm);
    if storms {
        for _ in 0..world.rng.between(2, 8) {
            let (there, request) = (world.clone(), request.clone());
            let edge = world.rng.index(world.edges);
            world.clock.spawn(Owner::World, async move {
                there.clock.sleep(there.rng.log_between(1, 2_000)).await;
                there.call(edge, request, PATIENCE_MS).await;
            });
        }
    }
    let Some(reply) = player.ask(&request).await else { return };
    if world.rng.chance(0.02) {
        // Asks again although it was answered: the same pod must come.
        let edge = world.rng.index(world.edges);
        world.clock.sleep(world.rng.log_between(1, 10 * MINUTE_MS)).await;
        world.call(edge, request, PATIENCE_MS).await;
    }
    let Ok(response) = serde_json::from_slice::<BreakResponse>(&reply.body) else { return };
    if world.faults.strikes(Fault::ClientVanishes) {
        return;
    }
    if let Some(receipt) = response.receipt.clone() {
        world.clock.spawn(Owner::World, post_receipt(world.clone(), receipt, profile));
    }
    player.play(&response).await;
}

impl Player {
    fn request(&self) -> Call {
        let (world, rng) = (&self.world, &self.world.rng);
        let profile = &world.profiles[self.profile];
        let mut random = [0; 16];
        random[..8].copy_from_slice(&rng.next().to_le_bytes());
        let its_clock = world.clock.now_ms().saturating_sub(rng.below(3 * MINUTE_MS)) + rng.below(3 * MINUTE_MS);
        let dated = || OpportunityId::mint(BreakId(random), 0, UnixMillis(its_clock)).to_string();
        let placement = || {
            if rng.chance(0.9) { Placement::Ad } else { *rng.pick(&[Placement::Bumper, Placement::Sponsorship]) }
        };
        let slot = |_| SlotRequest {
            max_duration_ms: *rng.pick(&[15_000, 30_000, 30_000, 60_000]),
            placement: placement(),
            ..SlotRequest::default()
        };
        let pod = rng.chance(0.25).then(|| PodRequest {
            duration_ms: *rng.pick(&[15_000, 45_000, 90_000]),
            max_ads: *rng.pick(&[1, 3, 6]),
            max_ad_ms: if rng.chance(0.3) { 15_000 } else { 0 },
            ..PodRequest::default()
        });
        let previous_ads =
            if rng.chance(0.2) { vec![AdId(u32::try_from(rng.between(10, 130)).unwrap_or_default())] } else { vec![] };
        let request = BreakRequest {
            request_id: if rng.chance(0.85) { dated() } else { format!("request {}", rng.next()) },
            profile_id: profile.id.clone(),
            session_id: rng.chance(0.93).then(|| self.session.clone()),
            title_id: format!("title-{}", rng.below(20)),
            position: *rng.pick(&[BreakPosition::Preroll, BreakPosition::Midroll, BreakPosition::Postroll]),
            slots: match pod {
                Some(_) => vec![],
                None => (0..*rng.pick(&[1, 2, 2, 3, 3, 4, 5, 6])).map(slot).collect(),
            },
            pod,
            previous_ads,
            max_duration_ms: rng.chance(0.3).then(|| *rng.pick(&[30_000, 60_000, 120_000])),
            tier: None,
            country: None,
            device: None,
            tracking: if rng.chance(0.07) { Tracking::Pixels } else { Tracking::Token },
            ..BreakRequest::default()
        };
        let body = serde_json::to_vec(&request).unwrap_or_default();
        Call { method: "POST", path: "/v1/breaks".into(), body, whose: Some(profile.viewer) }
    }

    /// Mostly the edge next to the device, else any.
    fn edge(&self) -> usize {
        if self.world.rng.chance(0.8) {
            (self.profile + usize::try_from(self.device).unwrap_or_default()) % self.world.edges
        } else {
            self.world.rng.index(self.world.edges)
        }
    }

    async fn ask(&self, request: &Call) -> Option<Reply> {
        for _ in 0..5 {
            if let Some(reply) = self.world.call(self.edge(), request.clone(), PATIENCE_MS).await
                && reply.status == 200
            {
                return Some(reply);
            }
            self.world.clock.sleep(self.world.rng.log_between(50, 8_000)).await;
        }
        None
    }

    async fn play(&mut self, response: &BreakResponse) {
        let world = self.world.clone();
        let (rng, faults) = (&world.rng, &world.faults);
        let mut unsent: Vec<(String, Event, u64)> = Vec::new();
        if faults.strikes(Fault::LateStart) {
            let late_ms = if rng.chance(0.5) {
                rng.below(world.lease_ms)
            } else {
                (world.lease_ms + rng.below(12 * MINUTE_MS)).saturating_sub(7 * MINUTE_MS)
            };
            world.clock.sleep(late_ms).await;
        }
        for slot in &response.slots {
            let SlotOutcome::Filled { ad, token, pixels, .. } = &slot.outcome else { continue };
            let now = || world.clock.now_ms();
            if let Some(pixels) = pixels {
                for pixel in pixels.iter().take(rng.index(6)) {
                    self.send_pixel(pixel.path.clone());
                }
                continue;
            }
            if faults.strikes(Fault::ContraryBeacons) {
                let contrary = *rng.pick(&[Event::Error, Event::NotUsed]);
                for event in [Event::Start, contrary] {
                    self.send(vec![(token.clone(), event, now())]);
                }
                continue;
            }
            if faults.strikes(Fault::NotPlayed) {
                let event = *rng.pick(&[Event::Error, Event::NotUsed]);
                if rng.chance(0.3) {
                    unsent.push((token.clone(), Event::Start, now()));
                }
                unsent.push((token.clone(), event, now()));
                if rng.chance(0.3) {
                    // A player that reports a start of what it gave up: its token is dead.
                    let late = (token.clone(), Event::Start, now());
                    self.send(std::mem::take(&mut unsent));
                    world.clock.sleep(rng.log_between(10, 60_000)).await;
                    self.send(vec![late]);
                }
                continue;
            }
            unsent.push((token.clone(), Event::Start, now()));
            let watched = if rng.chance(0.55) { 4 } else { rng.index(4) };
            for event in QUARTILES.into_iter().take(watched) {
                world.clock.sleep(u64::from(ad.duration_ms) / 4).await;
                unsent.push((token.clone(), event, now()));
            }
            if rng.chance(0.1) {
                unsent.push((
                    token.clone(),
                    *rng.pick(&[Event::Pause, Event::Resume, Event::Mute, Event::Skip]),
                    now(),
                ));
            }
            if rng.chance(0.4) {
                self.send(std::mem::take(&mut unsent));
            }
            if faults.strikes(Fault::ForgedToken) {
                let place = rng.index(token.len());
                let altered: String = token
                    .chars()
                    .enumerate()
                    .map(|(n, char)| {
                        if n != place {
                            char
                        } else if char == 'A' {
                            'B'
                        } else {
                            'A'
                        }
                    })
                    .collect();
                self.send(vec![(altered, Event::Start, now())]);
            }
        }
        self.send(unsent);
    }

    /// Posts beacons until they are acknowledged or refused, for some time.
    fn send(&mut self, beacons: Vec<(String, Event, u64)>) {
        if beacons.is_empty() {
            return;
        }
        self.sequence += 1;
        let world = self.world.clone();
        let (rng, faults) = (&world.rng, &world.faults);
        let later_ms = if faults.strikes(Fault::Replay) { Some(rng.log_between(1_000, 3 * DAY_MS)) } else { None };
        let (session, sequence, whose) = (self.session.clone(), self.sequence, world.profiles[self.profile].viewer);
        let edge = self.edge();
        let post = move |world: Rc<World>, edge: usize, replayed: bool| {
            let lines = beacons.clone();
            let session = session.clone();
            world.clock.clone().spawn(Owner::World, async move {
                let mut edge = edge;
                let mut pause_ms = 1_000;
                for _ in 0..6 {
                    let now = world.clock.now_ms();
                    let beacon = |(token, event, at): &(String, Event, u64)| {
                        let age_ms = if replayed { 0 } else { now - at };
                        format!("{token} {event} {age_ms}\n")
                    };
                    let text = format!("sk1 {session} {sequence}\n{}", lines.iter().map(beacon).collect::<String>());
                    debug_assert!(Batch::parse(&text).is_ok(), "{text}");
                    let call = Call {
                        method: "POST",
                        path: "/v1/beacons".into(),
                        body: text.into_bytes(),
                        whose: Some(whose),
                    };
                    let reply = world.call(edge, call, PATIENCE_MS).await;
                    if reply.is_some_and(|reply| reply.status < 500) || world.faults.strikes(Fault::ClientVanishes) {
                        return;
                    }
                    world.clock.sleep(pause_ms).await;
                    pause_ms = (pause_ms * 3).min(HOUR_MS);
                    edge = world.rng.index(world.edges);
                }
            });
        };
        post(world.clone(), edge, false);
        if let Some(ms) = later_ms {
            let there = world.clone();
            world.clock.after(ms, move || {
                let edge = there.rng.index(there.edges);
                let as_new = there.rng.chance(0.5);
                post(there.clone(), edge, as_new);
            });
        }
    }

    fn send_pixel(&self, path: String) {
        let (world, edge) = (self.world.clone(), self.edge());
        let whose = Some(world.profiles[self.profile].viewer);
        world.clock.clone().spawn(Owner::World, async move {
            for _ in 0..2 {
                let call = Call { method: "GET", path: path.clone(), body: Vec::new(), whose };
                if world.call(edge, call, PATIENCE_MS).await.is_some_and(|reply| reply.status < 500) {
                    return;
                }
                world.clock.sleep(world.rng.log_between(500, 60_000)).await;
            }
        });
    }
}

/// Posts a receipt until it is taken, for some time; at times again, or altered.
async fn post_receipt(world: Rc<World>, receipt: String, profile: usize) {
    let whose = Some(world.profiles[profile].viewer);
    if world.faults.strikes(Fault::ForgedReceipt) {
        let place = world.rng.index(receipt.len());
        let mut altered = receipt.clone().into_bytes();
        altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
        let call = Call { method: "POST", path: "/v1/receipts".into(), body: altered, whose };
        world.call(world.rng.index(world.edges), call, PATIENCE_MS).await;
    }
    let times = if world.faults.strikes(Fault::ReceiptAgain) { 2 } else { 1 };
    for _ in 0..times {
        let mut pause_ms = 1_000;
        for _ in 0..8 {
            let body = receipt.clone().into_bytes();
            let call = Call { method: "POST", path: "/v1/receipts".into(), body, whose };
            let reply = world.call(world.rng.index(world.edges), call, PATIENCE_MS).await;
            if reply.is_some_and(|reply| reply.status < 500) {
                break;
            }
            world.clock.sleep(pause_ms).await;
            pause_ms = (pause_ms * 3).min(6 * HOUR_MS);
        }
        world.clock.sleep(world.rng.log_between(1_000, 8 * DAY_MS)).await;
    }
}
