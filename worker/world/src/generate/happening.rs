//! One break: asked for, decided, played, told of, and counted.

use slotkeeper_core::{
    beacon::Event,
    fact::{BeaconFact, ClientLoss, Recording},
    id::{AdId, OpportunityId, RecordId},
    keys::Pseudonyms,
    pod::UnfilledReason,
    time::UnixMillis,
};

use crate::{
    ads::Ads,
    audience::{Audience, COUNTRIES, EDGES},
    breaks::{Decided, Decider, Occasion, Slot},
    dice::{Dice, In10000, running_sums},
    outbox::Outbox,
    params::{DAY_MS, HOUR_MS, MINUTE_MS, Params},
    playing::{Told, play},
    truth::{EventLine, SessionLine, Stood, Tally},
    wire::{Facts, invalid_traffic},
};

/// Of breaks, those that a crawler asks for.
const CRAWLED: In10000 = 120;
/// Of a crawler's breaks, those whose ads are reported by what looks like a player.
const REPORTED_LIKE_A_VIEWER: In10000 = 1_500;
/// Of breaks, those of which two decisions are told.
const DECIDED_TWICE: In10000 = 80;
/// Of breaks, those whose rows come without a commit.
const UNCOMMITTED: In10000 = 80;
/// Of breaks, those of an edge that has no plan.
const WITHOUT_PLAN: In10000 = 12;
/// Of breaks, those whose facts another edge sends, too.
const SENT_BY_TWO: In10000 = 80;
/// Of breaks, those whose rows come minutes later.
const ROWS_LATE: In10000 = 100;
/// Of ads that play, those of which a player tells late: it had lost its network.
const TOLD_LATE: In10000 = 80;
/// Of beacons, those that are sent again.
const TOLD_TWICE: In10000 = 130;
/// Of beacons, those that take long enough for others to overtake them.
const OVERTAKEN: In10000 = 300;
/// Of beacons, those that a player loses to its own bounds.
const LOST: In10000 = 12;
/// Of ads, those of which a crawler reports, too; and those of which someone reports with the token of another ad.
const ALSO_CRAWLED: In10000 = 30;
const FORGED: In10000 = 25;
/// Of empty slots, those of which a player reports an error.
const EMPTY_FAILED: In10000 = 50;

/// So many breaks are told event by event, of all of the world alike.
const SAMPLES: u64 = 12;

/// A beacon is late when it comes later than this.
pub(crate) const LATE_MS: u64 = 5 * MINUTE_MS;

pub(super) struct Happening<'a> {
    pub(super) params: &'a Params,
    pub(super) ads: &'a Ads,
    pub(super) audience: Audience,
    pub(super) plan_versions: &'a [u64],
    pub(super) dice: Dice,
    pub(super) titles: Vec<u64>,
    pub(super) title_ids: Vec<String>,
    pub(super) secret: Pseudonyms,
    pub(super) breaks: u64,
    pub(super) told: Vec<Told>,
    pub(super) facts: Facts,
    pub(super) sampling: Sampling,
}

/// Breaks that are told event by event.
#[derive(Default)]
pub(super) struct Sampling {
    pub(super) taken: Vec<SessionLine>,
    /// Whether the present break may be one.
    is_due: bool,
    /// What was told of it.
    told: Vec<Reported>,
}

/// An event as it was told.
struct Reported {
    place: usize,
    token: (AdId, RecordId),
    is_invalid: bool,
    is_intruder: bool,
    line: EventLine,
}

/// Titles by popularity: the chance of each falls as 1 / rank.
pub(super) fn titles(count: u32) -> Vec<u64> {
    running_sums((1..=u64::from(count)).map(|rank| 1_000_000_000 / rank))
}

/// Whose pseudonyms these are.
pub(super) fn secret(seed: u64) -> Pseudonyms {
    let hex = blake3::hash(&seed.to_le_bytes()).to_hex();
    Pseudonyms::parse(&hex).unwrap_or_else(|| unreachable!("64 hexadecimal digits"))
}

/// Who tells of an ad, and as what.
struct Teller<'a> {
    occasion: &'a Occasion,
    decided_at: UnixMillis,
    opportunity_id: OpportunityId,
    place: usize,
    ad_id: AdId,
    record_id: RecordId,
    is_invalid: bool,
    /// It is not the slot's own player.
    is_intruder: bool,
    is_forged: bool,
    /// When its slot begins to play.
    begins_at: UnixMillis,
}

impl Happening<'_> {
    /// Lets one break happen in the minute that begins at `minute`. How many slots there were: at most `room`.
    pub(super) fn one_break(
        &mut self,
        decider: &Decider,
        countries: &[u64],
        minute: UnixMillis,
        room: u64,
        (outbox, tally): (&mut Outbox, &mut Tally),
    ) -> u64 {
        self.sampling.begin_break(self.params.slots, self.params.slots - room);
        let (mut occasion, count) = self.occasion(decider, countries, minute, room);
        let (decisions, shown) = self.decisions(decider, &occasion, count, room);
        if decisions.iter().any(|decided| decided.slots.len() != count) {
            occasion.asked_slots = None;
        }
        for decided in &decisions {
            self.tell_rows(&occasion, decided, outbox, tally);
        }
        let is_alone = decisions.len() == 1;
        let proved = self.playback(&occasion, &decisions[shown], is_alone, outbox, tally);
        let stands = standing(&decisions, shown, &proved);
        let superseded: usize = decisions.iter().map(|decided| decided.slots.len()).sum();
        self.take_sample(&occasion, &decisions[stands]);
        tally.sent.superseded_rows += (superseded - decisions[stands].slots.len()) as u64;
        for (place, slot) in decisions[stands].slots.iter().enumerate() {
            // What the shown decision's ads proved is nothing of another decision's.
            let proved = if stands == shown { proved[place] } else { 0 };
            tally.count(
                self.ads,
                &Stood {
                    opened_at: occasion.opened_at,
                    title: occasion.title,
                    position: occasion.position,
                    country: occasion.country,
                    device: occasion.device,
                    viewer: occasion.viewer,
                    slot: *slot,
                    is_crawler: occasion.is_crawler,
                    proved,
                },
            );
        }
        decisions[stands].slots.len() as u64
    }

    fn occasion(&mut self, decider: &Decider, countries: &[u64], minute: UnixMillis, room: u64) -> (Occasion, usize) {
        let dice = &mut self.dice;
        self.breaks += 1;
        let country = dice.by_weight(countries);
        let viewer = self.audience.viewer(dice, country);
        let opened_at = minute.plus_ms(dice.below(MINUTE_MS));
        let position = decider.position(dice);
        let count = decider.slot_count(dice, position).min(usize::try_from(room).unwrap_or(usize::MAX));
        let day = opened_at.since_ms(self.params.starts_at()) / DAY_MS;
        let profile = format!("viewer-{viewer}");
        let plan = self.plan_versions.get(usize::try_from(day).unwrap_or_default()).copied();
        let occasion = Occasion {
            break_id: self.secret.break_id(&profile, &format!("break-{}", self.breaks)),
            viewer,
            viewer_key: self.secret.viewer(&profile),
            session: self.secret.session(&profile, &format!("evening-{day}")),
            opened_at,
            title: dice.by_weight(&self.titles),
            position,
            country,
            device: self.audience.device(dice),
            tier: self.audience.tier(viewer),
            is_crawler: dice.chance(CRAWLED),
            plan_version: if dice.chance(WITHOUT_PLAN) { None } else { plan },
            asked_slots: Some(count),
        };
        (occasion, count)
    }

    /// The decisions of a break, and which of them was shown.
    fn decisions(&mut self, decider: &Decider, occasion: &Occasion, count: usize, room: u64) -> (Vec<Decided>, usize) {
        let dice = &mut self.dice;
        let decided_at = occasion.opened_at.plus_ms(dice.between(2, 40));
        let slots = if occasion.plan_version.is_some() {
            decider.decide(dice, self.ads, occasion.position, count)
        } else {
            vec![Slot::Empty(UnfilledReason::PlanUnavailable); count]
        };
        let recording = if dice.chance(UNCOMMITTED) { Recording::Uncommitted } else { Recording::Committed };
        let first = Decided { recording, decided_at, slots };
        if occasion.plan_version.is_none() || room <= count as u64 || !dice.chance(DECIDED_TWICE) {
            return (vec![first], 0);
        }
        // The other was decided of other inputs: it holds other ads, and of time it may have made more slots, or fewer.
        let other_count = (count + dice.place(3)).saturating_sub(1).clamp(1, 8);
        let mut other = decider.decide(dice, self.ads, occasion.position, other_count);
        for (other, first) in other.iter_mut().zip(&first.slots) {
            if other == first && matches!(other, Slot::Filled(_)) {
                *other = Slot::Empty(UnfilledReason::NoEligibleDemand);
            }
        }
        let later = decided_at.plus_ms(dice.between(300, 4_000));
        let earlier_or_later = if dice.chance(5_000) { later } else { occasion.opened_at };
        let (shown, hidden) = match dice.below(3) {
            // A commit of which the edge did not hear landed; the viewer was answered without one.
            0 => (Recording::Uncommitted, Recording::Committed),
            // The edge sent rows and answered 503; a retry was committed.
            1 => (Recording::Committed, Recording::Uncommitted),
            // Both came without a commit.
            _ => (Recording::Uncommitted, Recording::Uncommitted),
        };
        let shown = Decided { recording: shown, ..first };
        let hidden = Decided { recording: hidden, decided_at: earlier_or_later, slots: other };
        if self.dice.chance(5_000) { (vec![shown, hidden], 0) } else { (vec![hidden, shown], 1) }
    }

    fn tell_rows(&mut self, occasion: &Occasion, decided: &Decided, outbox: &mut Outbox, tally: &mut Tally) {
        let with = (self.ads, self.title_ids[occasion.title].as_str(), self.params.decisions);
        self.facts.clear();
        self.facts.decided(&mut self.dice, occasion, decided, with);
        let dice = &mut self.dice;
        let late = if dice.chance(ROWS_LATE) { dice.between(MINUTE_MS, 40 * MINUTE_MS) } else { 0 };
        let at = decided.decided_at.plus_ms(dice.between(100, 5_000) + late);
        let edge = COUNTRIES[occasion.country].edge;
        outbox.send(edge, at, &self.facts);
        tally.sent.facts += self.facts.count as u64;
        tally.sent.decisions += u64::from(self.params.decisions);
        tally.sent.rows += decided.slots.len() as u64;
        if dice.chance(SENT_BY_TWO) {
            let other = (usize::from(edge) + 1 + dice.place(EDGES.len() - 1)) % EDGES.len();
            let again = at.plus_ms(dice.between(1_000, HOUR_MS));
            outbox.send(u8::try_from(other).unwrap_or_default(), again, &self.facts);
            tally.sent.facts += self.facts.count as u64;
            tally.sent.repeated += self.facts.count as u64;
        }
    }

    /// Plays what was shown. Of each slot, what was proved, by event code.
    fn playback(
        &mut self,
        occasion: &Occasion,
        shown: &Decided,
        is_alone: bool,
        outbox: &mut Outbox,
        tally: &mut Tally,
    ) -> Vec<u32> {
        let mut begins_at = shown.decided_at.plus_ms(self.dice.between(300, 3_000));
        let mut proved = Vec::with_capacity(shown.slots.len());
        let mut lost = 0;
        let is_invalid = occasion.is_crawler && !self.dice.chance(REPORTED_LIKE_A_VIEWER);
        for (place, slot) in shown.slots.iter().enumerate() {
            let slot_index = u8::try_from(place).unwrap_or_default();
            let mut teller = Teller {
                occasion,
                decided_at: shown.decided_at,
                opportunity_id: OpportunityId::mint(occasion.break_id, slot_index, occasion.opened_at),
                place,
                ad_id: AdId(0),
                record_id: RecordId::default(),
                is_invalid,
                is_intruder: false,
                is_forged: false,
                begins_at,
            };
            let Slot::Filled(number) = *slot else {
                if self.dice.chance(EMPTY_FAILED) {
                    self.told.clear();
                    self.told.push(Told { event: Event::Error, after_ms: 0, idle_s: None, error_code: Some(303) });
                    self.tell(&teller, outbox, tally);
                }
                proved.push(0);
                continue;
            };
            let ad = &self.ads.all[number];
            (teller.ad_id, teller.record_id) = (ad.ad_id, ad.record_id);
            play(&mut self.dice, ad, &mut self.told);
            let before = self.told.len();
            if !teller.is_invalid {
                let dice = &mut self.dice;
                self.told.retain(|_| !dice.chance(LOST));
            }
            lost += before - self.told.len();
            let told = self.told.iter().fold(0, |mask, told| mask | 1u32 << told.event.code());
            proved.push(if teller.is_invalid { 0 } else { told });
            self.tell(&teller, outbox, tally);
            begins_at = begins_at.plus_ms(ad.duration_ms.into());
            if is_alone && !occasion.is_crawler {
                self.intrude(&mut teller, number, outbox, tally);
            }
        }
        if lost > 0 {
            self.tell_loss(occasion, lost, begins_at, outbox, tally);
        }
        proved
    }

    /// What proves nothing: a crawler's reports, and those with the token of another ad.
    fn intrude(&mut self, teller: &mut Teller<'_>, number: usize, outbox: &mut Outbox, tally: &mut Tally) {
        let is_crawler = self.dice.chance(ALSO_CRAWLED);
        if !is_crawler && !self.dice.chance(FORGED) {
            return;
        }
        (teller.is_invalid, teller.is_intruder) = (is_crawler, true);
        let mut ad = &self.ads.all[number];
        if !is_crawler {
            let other = (number + 1 + self.dice.place(self.ads.all.len() - 1)) % self.ads.all.len();
            ad = &self.ads.all[other];
            (teller.ad_id, teller.record_id, teller.is_forged) = (ad.ad_id, ad.record_id, true);
        }
        play(&mut self.dice, ad, &mut self.told);
        self.tell(teller, outbox, tally);
    }

    /// Tells what is in `told`.
    fn tell(&mut self, teller: &Teller<'_>, outbox: &mut Outbox, tally: &mut Tally) {
        let told_late = if self.dice.chance(TOLD_LATE) { self.lateness() } else { 0 };
        let session = reporting(self.breaks, &self.secret);
        for index in 0..self.told.len() {
            let told = self.told[index];
            let dice = &mut self.dice;
            let at = teller.begins_at.plus_ms(told.after_ms + dice.below(40));
            let overtaken = if dice.chance(OVERTAKEN) { dice.between(5_000, 4 * MINUTE_MS) } else { 0 };
            let mut received_at = at.plus_ms(dice.between(20, 2_500) + overtaken + told_late);
            let times = 1 + u64::from(dice.chance(TOLD_TWICE));
            self.sampling.note(teller, &told, at, times);
            for time in 0..times {
                let beacon = BeaconFact {
                    opportunity_id: teller.opportunity_id,
                    ad_id: teller.ad_id,
                    record_id: teller.record_id,
                    event: told.event,
                    at: at.plus_ms(time * self.dice.below(50)),
                    received_at,
                    session: Some(session),
                    invalid_traffic: invalid_traffic(teller.is_invalid),
                    error_code: told.error_code,
                    idle_s: told.idle_s,
                };
                let sent = &mut tally.sent;
                sent.beacons += 1;
                sent.facts += 1;
                sent.repeated_beacons += u64::from(time > 0);
                sent.late_beacons += u64::from(received_at.since_ms(beacon.at) > LATE_MS);
                sent.invalid_beacons += u64::from(teller.is_invalid);
                sent.forged_beacons += u64::from(teller.is_forged);
                self.facts.clear();
                self.facts.beacon(beacon);
                outbox.send(COUNTRIES[teller.occasion.country].edge, received_at, &self.facts);
                received_at = received_at.plus_ms(self.dice.between(1_000, 30 * MINUTE_MS));
            }
        }
        debug_assert!(teller.decided_at <= teller.begins_at);
    }

    /// Keeps what was told of a break that is to be told event by event. `standing` is what its slots came to.
    fn take_sample(&mut self, occasion: &Occasion, standing: &Decided) {
        if !self.sampling.is_wanted() {
            return;
        }
        let counts = |reported: &Reported| {
            let holds = |ad: usize| (self.ads.all[ad].ad_id, self.ads.all[ad].record_id) == reported.token;
            !reported.is_invalid && matches!(standing.slots.get(reported.place), Some(Slot::Filled(ad)) if holds(*ad))
        };
        let event = |reported: &Reported| EventLine {
            slot_index: reported.line.slot_index.filter(|_| reported.place < standing.slots.len()),
            counts: counts(reported),
            ..reported.line.clone()
        };
        let events = self.sampling.told.iter().map(event).collect();
        self.sampling.taken.push(SessionLine {
            break_id: occasion.break_id.to_string(),
            session: reporting(self.breaks, &self.secret).to_string(),
            title_id: self.title_ids[occasion.title].clone(),
            position: crate::breaks::POSITIONS[occasion.position].as_str().into(),
            events,
        });
    }

    /// A player tells what it lost with the next beacon that it does not lose: here with one of a resumed player.
    fn tell_loss(&mut self, occasion: &Occasion, lost: usize, at: UnixMillis, outbox: &mut Outbox, tally: &mut Tally) {
        self.facts.clear();
        let session = reporting(self.breaks, &self.secret);
        self.facts.loss(ClientLoss { session, lost: u32::try_from(lost).unwrap_or(u32::MAX) });
        outbox.send(COUNTRIES[occasion.country].edge, at.plus_ms(3_000), &self.facts);
        tally.sent.facts += 1;
        tally.sent.client_losses += 1;
        tally.sent.lost_beacons += lost as u64;
    }

    /// Minutes mostly, sometimes days.
    fn lateness(&mut self) -> u64 {
        let dice = &mut self.dice;
        match dice.below(10) {
            0..6 => dice.between(6 * MINUTE_MS, HOUR_MS),
            6..9 => dice.between(HOUR_MS, 12 * HOUR_MS),
            _ => dice.between(12 * HOUR_MS, 3 * DAY_MS),
        }
    }
}

impl Sampling {
    /// Of `slots` there are `so_far`.
    fn begin_break(&mut self, slots: u64, so_far: u64) {
        let taken = self.taken.len() as u64;
        self.is_due = taken < SAMPLES && so_far * SAMPLES >= slots * taken;
        self.told.clear();
    }

    fn note(&mut self, teller: &Teller<'_>, told: &Told, at: UnixMillis, times: u64) {
        if !self.is_due {
            return;
        }
        let line = EventLine {
            at_ms: at.0,
            event: told.event.as_str().into(),
            opportunity_id: teller.opportunity_id.to_string(),
            slot_index: u8::try_from(teller.place).ok(),
            ad_id: teller.ad_id.0,
            counts: false,
            deliveries: times,
            error_code: told.error_code,
        };
        let token = (teller.ad_id, teller.record_id);
        let (is_invalid, is_intruder) = (teller.is_invalid, teller.is_intruder);
        self.told.push(Reported { place: teller.place, token, is_invalid, is_intruder, line });
    }

    /// Every other sample is one in which somebody reports who should not.
    fn is_wanted(&self) -> bool {
        let wants_intruder = self.taken.len() % 2 == 1;
        self.is_due && !self.told.is_empty() && (!wants_intruder || self.told.iter().any(|told| told.is_intruder))
    }
}

/// Which decision of a break stands: of which most ads began to play, then what was not committed, then the earlier.
fn standing(decisions: &[Decided], shown: usize, proved: &[u32]) -> usize {
    let began = proved.iter().filter(|proved| **proved >> Event::Start.code() & 1 == 1).count();
    let rank = |place: &usize| {
        let decided = &decisions[*place];
        let began = if *place == shown { began } else { 0 };
        (std::cmp::Reverse(began), decided.recording == Recording::Committed, decided.decided_at)
    };
    (0..decisions.len()).min_by_key(rank).unwrap_or_default()
}

/// The session in which the player of a break reports.
fn reporting(number: u64, secret: &Pseudonyms) -> slotkeeper_core::id::SessionKey {
    secret.reporting_session(&format!("session-{number}"))
}
