//! What must hold, worked out from what was asked, answered, stored and reported, by other means than the system's own.
//!
//! It counts over plain lists, reads the viewer's stored bytes itself, and calls neither `core::caps` nor the fold. What
//! can be seen at once is checked at once; the rest when a world ends ([`crate::books`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    rc::Rc,
};

use slotkeeper_core::{
    api::{BeaconResponse, BreakRequest, BreakResponse, SlotOutcome},
    beacon::{Batch, Event},
    contract::{Placement, PodPosition},
    decision::Decision,
    fact::{BeaconFact, Fact, FactBatch, Recording},
    id::{BreakId, DecisionId, OpportunityId, RecordId, SessionKey, ViewerKey},
    pod::Opportunity,
    receipt,
};
use slotkeeper_edge::sqlite::{Row, Value};

use crate::{
    store::{StoreDb, break_id, viewer},
    terms::{DAY_MS, Span},
    world::{Layout, SKEW_MS_MAX, World},
};

/// How a viewer's state is stored: so many bytes a claim.
pub const RECORD_BYTES: usize = 66;
/// What an answer may take beyond its deadline: the last millisecond of each wait.
const SLACK_MS: u64 = 5;

/// One claim as the oracle knows it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub slot: OpportunityId,
    pub break_id: BreakId,
    /// Its place among all commits: what was committed before was there to be counted.
    pub order: u64,
    pub flight: u32,
    pub creative: u32,
    pub ad: u32,
    pub record: RecordId,
    pub session: Option<SessionKey>,
    pub edition: u64,
    pub taken_at: u64,
    pub lease_until: u64,
    /// When its ad began to play, by the store.
    pub confirmed_at: Option<u64>,
    /// It left the viewer's state: released, expired, or no window counts it any more.
    pub is_gone: bool,
    /// When an accepted start says that its ad began to play.
    pub started_at: Option<u64>,
}

#[derive(Default)]
pub struct ViewerBook {
    pub shown: Vec<Shown>,
}

/// What is known of a break.
pub struct BreakBook {
    pub viewer: ViewerKey,
    pub asked: BreakRequest,
    pub committed: Option<Committed>,
    /// How often it was answered without a commit, and how often of those with a receipt only.
    pub answered: u32,
    pub with_receipt: u32,
    /// What is durable at the origin.
    pub rows: Vec<(Recording, Opportunity)>,
}

impl BreakBook {
    /// How many slots it may have.
    pub fn slots(&self) -> RangeInclusive<usize> {
        match &self.asked.pod {
            Some(pod) => 1..=usize::from(pod.max_ads),
            None => self.asked.slots.len()..=self.asked.slots.len(),
        }
    }

    /// How many it has, by the rows of the decision that stands.
    pub fn made(&self, rows: &[&Opportunity]) -> usize {
        let last = rows.iter().map(|row| usize::from(row.slot_index) + 1).max();
        last.unwrap_or_default().clamp(*self.slots().start(), *self.slots().end())
    }
}

pub struct Committed {
    pub order: u64,
    pub answer: Vec<u8>,
    pub rows: Vec<Opportunity>,
}

/// What a token speaks for.
#[derive(Clone, Copy, Debug)]
struct TokenBook {
    slot: OpportunityId,
    ad: u32,
    only: Option<Event>,
    expires_at: u64,
}

/// How many of what there were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub breaks: u64,
    pub answers: u64,
    pub degraded: u64,
    pub receipts: u64,
    pub slots: u64,
    pub filled: u64,
    pub beacons: u64,
    pub refused: u64,
    pub impressions: u64,
    pub rows_lost_with_their_viewer: u64,
    pub claims: u64,
}

#[derive(Default)]
pub struct Oracle {
    pub viewers: BTreeMap<ViewerKey, ViewerBook>,
    pub breaks: BTreeMap<BreakId, BreakBook>,
    tokens: BTreeMap<String, TokenBook>,
    commits: u64,
    in_force: u64,
    /// Slots of which an error or `notUsed` arrived, and of which a start did.
    released: BTreeSet<OpportunityId>,
    started: BTreeSet<OpportunityId>,
    /// What may be reported: it arrived with a genuine token in time.
    reportable: BTreeSet<(OpportunityId, u32, Event)>,
    pub decisions: BTreeMap<DecisionId, Decision>,
    pub beacons: BTreeMap<(OpportunityId, u32, RecordId), BTreeMap<Event, u64>>,
    reported: BTreeSet<(OpportunityId, u32, Event)>,
    pub tally: Tally,
    checks: BTreeMap<&'static str, u64>,
}

impl Oracle {
    /// Counts a check of a law.
    pub fn checked(&mut self, law: &'static str) {
        *self.checks.entry(law).or_default() += 1;
    }

    pub fn checks(&self) -> &BTreeMap<&'static str, u64> {
        &self.checks
    }

    /// Counts a check, and says what is wrong if it does not hold.
    pub fn hold(
        &mut self,
        world: &World,
        law: &'static str,
        whose: Option<ViewerKey>,
        holds: bool,
        what: impl FnOnce() -> String,
    ) {
        self.checked(law);
        if !holds {
            world.violated(law, whose, what());
        }
    }

    /// A break was asked for; any number of times.
    pub fn asked(&mut self, break_id: BreakId, viewer: ViewerKey, request: &BreakRequest) {
        if !self.breaks.contains_key(&break_id) {
            self.tally.breaks += 1;
            let asked = request.clone();
            let fresh = BreakBook { viewer, asked, committed: None, answered: 0, with_receipt: 0, rows: Vec::new() };
            self.breaks.insert(break_id, fresh);
        }
    }

    /// A commit took effect.
    pub fn committed(&mut self, world: &Rc<World>, store: &StoreDb, parameters: &[Value]) {
        let (Some(id), Some(whose), Value::Blob(answer), Value::Text(facts)) =
            (break_id(&parameters[0]), viewer(&parameters[1]), &parameters[5], &parameters[7])
        else {
            return world.violated("4 no claim without a row", None, "a commit of another shape".into());
        };
        let facts: Vec<Fact> = serde_json::from_str(facts).unwrap_or_default();
        let rows: Vec<Opportunity> = facts
            .into_iter()
            .filter_map(|fact| match fact {
                Fact::Opportunity { recording: Recording::Committed, row } => Some(row),
                _ => None,
            })
            .collect();
        self.commits += 1;
        let order = self.commits;
        let known = self.breaks.get(&id).map(|book| (book.slots(), book.viewer, book.committed.is_some()));
        self.hold(
            world,
            "5 a retry is no second break",
            Some(whose),
            known.as_ref().is_none_or(|known| !known.2),
            || format!("break {id} is committed a second time"),
        );
        let in_order = rows.iter().enumerate().all(|(n, row)| usize::from(row.slot_index) == n);
        let agrees = in_order && known.is_some_and(|(slots, viewer, _)| slots.contains(&rows.len()) && viewer == whose);
        self.hold(world, "1 conservation", Some(whose), agrees, || {
            format!("break {id} is committed with {} rows, which is not what was asked", rows.len())
        });
        self.check_pod(world, whose, id, &rows);
        self.take_claims(world, whose, id, order, &rows);
        if let Some(book) = self.breaks.get_mut(&id) {
            book.committed = Some(Committed { order, answer: answer.clone(), rows });
        }
        self.reconcile(world, store, whose);
    }

    /// What a pod may hold, whatever the lottery drew: as asked, as sold, and no two rivals.
    fn check_pod(&mut self, world: &World, whose: ViewerKey, id: BreakId, rows: &[Opportunity]) {
        let Some(asked) = self.breaks.get(&id).map(|book| book.asked.clone()) else { return };
        let pod_ms = asked.pod.as_ref().map_or(u32::MAX, |pod| pod.duration_ms);
        let total_ms: u32 = rows.iter().filter_map(|row| Some(row.fill()?.duration_ms)).sum();
        let mut faults = Vec::new();
        if total_ms > pod_ms.min(asked.max_duration_ms.unwrap_or(u32::MAX)) {
            faults.push(format!("its ads last {total_ms} ms"));
        }
        let last_filled = rows.iter().rposition(|row| row.fill().is_some());
        let last = if asked.pod.is_some() { last_filled } else { rows.len().checked_sub(1) };
        let mut rivals = BTreeSet::new();
        let mut creatives = BTreeSet::new();
        for (n, row) in rows.iter().enumerate() {
            let Some(fill) = row.fill() else { continue };
            let edition = row.plan_version.unwrap_or_default();
            let Some(flight) = world.flight(edition, fill.booking.flight_id.0) else { continue };
            let placement = asked.slots.get(n).map(|slot| slot.placement).unwrap_or_default();
            let longest_ms = asked.slots.get(n).map_or(pod_ms, |slot| slot.max_duration_ms);
            let is_in_place = match flight.position {
                PodPosition::Any => true,
                PodPosition::First => n == 0,
                PodPosition::Last => Some(n) == last,
            };
            if flight.placement != placement || !is_in_place || fill.duration_ms > longest_ms {
                faults.push(format!("slot {n} holds an ad of flight {}, which is not for it", flight.flight));
            }
            let is_again = !creatives.insert(fill.booking.creative_id.0) || asked.previous_ads.contains(&fill.ad_id);
            if is_again {
                faults.push(format!("slot {n} shows creative {} again", fill.booking.creative_id));
            }
            if !flight.is_house && flight.placement == Placement::Ad {
                let mut marks = vec![format!("advertiser {}", flight.advertiser)];
                marks.extend(flight.category.clone());
                faults.extend(marks.into_iter().filter(|mark| !rivals.insert(mark.clone())));
            }
        }
        self.hold(world, "a pod as asked and as sold", Some(whose), faults.is_empty(), || {
            format!("break {id}: {}", faults.join("; "))
        });
    }

    /// The claims of a commit: each keeps every cap, counted by what was committed before it.
    fn take_claims(&mut self, world: &World, whose: ViewerKey, id: BreakId, order: u64, rows: &[Opportunity]) {
        for row in rows {
            let Some(fill) = row.fill() else { continue };
            let edition = row.plan_version.unwrap_or_default();
            let is_counted = world.is_counted(edition, fill.booking.flight_id.0);
            self.hold(world, "4 no fill without a claim", Some(whose), fill.claim.is_some() == is_counted, || {
                format!("slot {} holds ad {} with claim {:?}", row.opportunity_id, fill.ad_id, fill.claim)
            });
            let Some(claim) = fill.claim else { continue };
            self.tally.claims += 1;
            let shown = Shown {
                slot: row.opportunity_id,
                break_id: id,
                order,
                flight: fill.booking.flight_id.0,
                creative: fill.booking.creative_id.0,
                ad: fill.ad_id.0,
                record: fill.record_id,
                session: claim.session,
                edition,
                taken_at: row.decided_at.0,
                lease_until: fill.expires_at.0,
                confirmed_at: None,
                is_gone: false,
                started_at: None,
            };
            self.check_live(world, whose, &shown);
            self.viewers.entry(whose).or_default().shown.push(shown);
        }
    }

    /// Law 2, at once: what is live when a claim is taken.
    fn check_live(&mut self, world: &World, whose: ViewerKey, taken: &Shown) {
        let Some(flight) = world.flight(taken.edition, taken.flight) else { return };
        let now = taken.taken_at;
        for cap in &flight.caps {
            let book = self.viewers.entry(whose).or_default();
            let counts = |other: &&Shown| {
                let may_play = other.confirmed_at.is_none() && !other.is_gone && other.lease_until > now;
                let is_same = world.is_same_thing(cap.scope, other, taken);
                is_same
                    && (may_play || other.confirmed_at.is_some())
                    && match (cap.span, other.confirmed_at) {
                        (Span::Break, _) => other.break_id == taken.break_id,
                        (Span::Session, None) => other.session == taken.session,
                        (Span::Session, Some(at)) => other.session == taken.session && at + DAY_MS > now,
                        (_, None) => true,
                        (Span::Rolling { ms }, Some(at)) => at + ms > now,
                        (Span::Days { days, ahead_ms }, Some(at)) => {
                            (at + ahead_ms) / DAY_MS + days > (now + ahead_ms) / DAY_MS
                        }
                        (Span::Lifetime, Some(at)) => at >= flight.starts_at_ms,
                    }
            };
            let live: Vec<Shown> = book.shown.iter().filter(counts).cloned().collect();
            self.hold(world, "2 caps: live claims", Some(whose), live.len() < cap.limit as usize, || {
                format!("{taken:?} takes a claim under {cap:?} of flight {}, where these live: {live:?}", taken.flight)
            });
        }
    }

    /// A claim was settled in the store.
    pub fn settled(&mut self, world: &Rc<World>, store: &StoreDb, parameters: &[Value]) {
        if let Some(whose) = viewer(&parameters[0]) {
            self.reconcile(world, store, whose);
        }
    }

    /// Compares what is stored of a viewer with what is known of them.
    fn reconcile(&mut self, world: &World, store: &StoreDb, whose: ViewerKey) {
        let now = world.clock.now_ms();
        let book = self.viewers.entry(whose).or_default();
        let state = store.state(whose).unwrap_or_default();
        if !state.len().is_multiple_of(RECORD_BYTES) {
            return; // damaged by a fault: what is stored proves nothing, until it has been forgotten
        }
        let mut stored: BTreeMap<OpportunityId, (Option<u64>, u32)> = BTreeMap::new();
        for record in state.chunks_exact(RECORD_BYTES) {
            let mut id = OpportunityId::default();
            id.0.copy_from_slice(&record[..16]);
            let at = record[40..48].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
            let flight = record[24..28].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
            stored.insert(id, ((record[64] == 1).then_some(at), flight));
        }
        let mut faults: Vec<(&'static str, String)> = Vec::new();
        let mut checks = 0;
        for shown in &mut book.shown {
            checks += 1;
            let found = stored.remove(&shown.slot);
            match (found, shown.confirmed_at) {
                (None, _) if shown.is_gone => {}
                (None, None) => {
                    let expired = shown.lease_until <= now + SKEW_MS_MAX;
                    if !expired && !self.released.contains(&shown.slot) {
                        faults.push(("4 claims and rows", format!("the claim of slot {} vanished", shown.slot)));
                    }
                    shown.is_gone = true;
                }
                (None, Some(at)) => {
                    // What an edge whose clock is behind would count must be there.
                    if world.counts_still(shown, at, now.saturating_sub(SKEW_MS_MAX / 2)) {
                        faults
                            .push(("4 claims and rows", format!("slot {} counts, and its claim is gone", shown.slot)));
                    }
                    shown.is_gone = true;
                }
                (Some((_, flight)), _) if shown.is_gone || flight != shown.flight => {
                    faults.push(("4 claims and rows", format!("the claim of slot {} is back", shown.slot)));
                }
                (Some((None, _)), Some(_)) => {
                    faults.push(("2 caps: settled once", format!("slot {} is no more confirmed", shown.slot)));
                }
                (Some((at, _)), None) => {
                    if let Some(at) = at {
                        if at < shown.taken_at || !self.started.contains(&shown.slot) {
                            let what = format!("slot {} is confirmed at {at} by nobody's start", shown.slot);
                            faults.push(("2 caps: settled once", what));
                        }
                        shown.confirmed_at = Some(at);
                    }
                }
                (Some((Some(at), _)), Some(before)) => {
                    if at != before {
                        faults.push(("2 caps: settled once", format!("slot {} began twice", shown.slot)));
                    }
                }
            }
        }
        for slot in stored.keys() {
            faults.push(("4 claims and rows", format!("the store holds a claim of slot {slot}, which has no row")));
        }
        *self.checks.entry("4 claims and rows").or_default() += checks;
        for (law, what) in faults {
            world.violated(law, Some(whose), what);
        }
    }

    /// The outbox is about to lose these entries: the origin must have them.
    pub fn outbox_deleted(&mut self, world: &Rc<World>, entries: &[Row]) {
        for entry in entries {
            let Some(Value::Text(facts)) = entry.first() else { continue };
            let facts: Vec<Fact> = serde_json::from_str(facts).unwrap_or_default();
            for fact in facts {
                let Fact::Opportunity { row, .. } = fact else { continue };
                let is_there = self.breaks.get(&row.break_id).is_some_and(|book| has(book, Recording::Committed, &row));
                self.hold(world, "1 conservation: shipped", Some(row.viewer), is_there, || {
                    format!("the row of slot {} leaves the outbox, and the origin does not have it", row.opportunity_id)
                });
            }
        }
    }

    /// The plan in force is this one now.
    pub fn plan_in_force(&mut self, world: &Rc<World>, version: u64) {
        let before = self.in_force;
        self.in_force = version;
        self.hold(world, "plans move forward", None, version >= before, || {
            format!("plan {version} is in force, where plan {before} was")
        });
    }

    /// The version in force, for what is asked from now on.
    pub fn in_force(&self) -> u64 {
        self.in_force
    }

    /// A batch is durable at the origin.
    pub fn durable(&mut self, world: &Rc<World>, bytes: &[u8]) {
        let Ok(batch) = serde_json::from_slice::<FactBatch>(bytes) else {
            return world.violated("10 bounds", None, "the log holds what is not a batch".into());
        };
        for fact in batch.facts {
            match fact {
                Fact::Decision(decision) => {
                    self.decisions.insert(decision.id(), *decision);
                }
                Fact::Opportunity { recording, row } => self.durable_row(world, recording, &row),
                Fact::Beacon(beacon) => self.durable_beacon(world, &beacon),
                Fact::ClientLoss(loss) => {
                    world.violated(
                        "10 bounds",
                        None,
                        format!("a client lost {} beacons, and none overflowed", loss.lost),
                    );
                }
            }
        }
    }

    fn durable_row(&mut self, world: &World, recording: Recording, row: &Opportunity) {
        let whose = row.viewer;
        let holds_claim = row.fill().is_some_and(|fill| fill.claim.is_some());
        let is_capped = row
            .fill()
            .is_some_and(|fill| world.is_counted(row.plan_version.unwrap_or_default(), fill.booking.flight_id.0));
        self.hold(
            world,
            "3 in doubt, no fill",
            Some(whose),
            recording == Recording::Committed || !(holds_claim || is_capped),
            || format!("slot {} was filled with a capped ad without a commit", row.opportunity_id),
        );
        let asked = self.breaks.get_mut(&row.break_id).filter(|book| usize::from(row.slot_index) < *book.slots().end());
        let is_asked = asked.as_ref().is_some_and(|book| book.viewer == whose);
        let is_committed =
            |book: &BreakBook| book.committed.as_ref().is_some_and(|committed| committed.rows.contains(row));
        let is_of_commit = recording == Recording::Uncommitted || asked.as_ref().is_some_and(|book| is_committed(book));
        if let Some(book) = asked
            && !has(book, recording, row)
        {
            book.rows.push((recording, row.clone()));
        }
        self.hold(world, "1 conservation", Some(whose), is_asked && is_of_commit, || {
            format!("a {recording:?} row of slot {} that nobody asked for or committed", row.opportunity_id)
        });
    }

    fn durable_beacon(&mut self, world: &World, beacon: &BeaconFact) {
        let key = (beacon.opportunity_id, beacon.ad_id.0, beacon.event);
        self.reported.insert(key);
        let is_genuine = self.reportable.contains(&key);
        let whose = self.viewer_of(beacon.opportunity_id);
        self.hold(world, "6 revenue once: genuine", whose, is_genuine, || {
            format!("{} of slot {} was taken without a token in force", beacon.event, beacon.opportunity_id)
        });
        if beacon.event == Event::Start {
            let book = whose.and_then(|whose| self.viewers.get_mut(&whose));
            let shown = book.and_then(|book| {
                book.shown.iter_mut().find(|shown| shown.slot == beacon.opportunity_id && shown.ad == beacon.ad_id.0)
            });
            if let Some(shown) = shown {
                let (stored, known) = (shown.confirmed_at, shown.clone());
                shown.started_at = Some(shown.started_at.map_or(beacon.at.0, |at| at.min(beacon.at.0)));
                self.hold(world, "6 revenue once: released", whose, stored == Some(beacon.at.0), || {
                    format!("a start at {} was taken of {known:?}", beacon.at.0)
                });
            }
        }
        let state = self.beacons.entry((beacon.opportunity_id, beacon.ad_id.0, beacon.record_id)).or_default();
        let at = state.entry(beacon.event).or_insert(beacon.at.0);
        *at = (*at).min(beacon.at.0);
    }

    fn viewer_of(&self, slot: OpportunityId) -> Option<ViewerKey> {
        let (least, greatest) = slot.break_stem().range();
        self.breaks.range(least..=greatest).next().map(|(_, book)| book.viewer)
    }

    /// A break was answered.
    pub fn answered(&mut self, world: &Rc<World>, id: BreakId, body: &[u8], in_force_when_asked: u64, now: u64) {
        let Ok(response) = serde_json::from_slice::<BreakResponse>(body) else {
            return world.violated("1 conservation", None, format!("break {id}: an answer that cannot be read"));
        };
        let Some(book) = self.breaks.get_mut(&id) else { return };
        let whose = book.viewer;
        let in_order = response.slots.iter().enumerate().all(|(n, slot)| usize::from(slot.slot_index) == n);
        let (asked, answered) = (book.slots(), response.slots.len());
        book.answered += 1;
        let committed = book.committed.as_ref().map(|committed| (committed.answer == body, committed.rows.clone()));
        self.tally.answers += 1;
        self.hold(world, "1 conservation", Some(whose), in_order && asked.contains(&answered), || {
            format!("break {id} has {asked:?} slots and is answered with {answered}")
        });
        for slot in &response.slots {
            let SlotOutcome::Filled { ad, token, expires_at_ms, pixels, .. } = &slot.outcome else { continue };
            // Tokens keep whole seconds after the slot's own time.
            let opened_at = slot.opportunity_id.opened_at().0;
            let expires_at = opened_at + (expires_at_ms.0 - opened_at).div_ceil(1_000) * 1_000;
            let of = |only| TokenBook { slot: slot.opportunity_id, ad: ad.ad_id.0, only, expires_at };
            self.tokens.insert(token.clone(), of(None));
            for pixel in pixels.iter().flatten() {
                let text = pixel.path.trim_start_matches("/v1/t/").to_owned();
                self.tokens.insert(text, of(Some(pixel.event)));
            }
        }
        match committed {
            Some((true, rows)) => {
                self.checked("5 a retry is no second break");
                let is_current = world.layout == Layout::Sharded
                    || rows.iter().all(|row| {
                        row.plan_version.is_none_or(|version| version >= in_force_when_asked) || row.decided_at.0 != now
                    });
                self.hold(world, "plans move forward", Some(whose), is_current, || {
                    format!("break {id} was decided from a plan before plan {in_force_when_asked}")
                });
            }
            _ => self.answered_without_commit(world, id, &response, now),
        }
    }

    /// The answer is not the committed one: then its rows are at the origin or in the answer, and no capped ad is in it.
    fn answered_without_commit(&mut self, world: &Rc<World>, id: BreakId, response: &BreakResponse, now: u64) {
        self.tally.degraded += 1;
        let sealed: Option<Vec<Opportunity>> = response.receipt.as_ref().map(|text| {
            let facts = receipt::open(text, world.keys(), slotkeeper_core::time::UnixMillis(now)).unwrap_or_default();
            facts
                .into_iter()
                .filter_map(|fact| match fact {
                    Fact::Opportunity { recording: Recording::Uncommitted, row } => Some(row),
                    _ => None,
                })
                .collect()
        });
        let Some(book) = self.breaks.get_mut(&id) else { return };
        let whose = book.viewer;
        if sealed.is_some() {
            book.with_receipt += 1;
            self.tally.receipts += 1;
        }
        let rows: Vec<&Opportunity> = match &sealed {
            Some(rows) => rows.iter().collect(),
            None => book.rows.iter().filter(|row| row.0 == Recording::Uncommitted).map(|row| &row.1).collect(),
        };
        let missing: Vec<OpportunityId> = response
            .slots
            .iter()
            .filter(|slot| {
                !rows.iter().any(|row| {
                    row.opportunity_id == slot.opportunity_id
                        && row.decided_at == response.decided_at_ms
                        && match &slot.outcome {
                            SlotOutcome::Filled { ad, .. } => row.fill().is_some_and(|fill| fill.ad_id == ad.ad_id),
                            SlotOutcome::Unfilled { .. } => row.fill().is_none(),
                        }
                })
            })
            .map(|slot| slot.opportunity_id)
            .collect();
        let capped = rows.iter().any(|row| {
            row.fill().is_some_and(|fill| {
                fill.claim.is_some() || world.is_counted(row.plan_version.unwrap_or_default(), fill.booking.flight_id.0)
            })
        });
        let has_receipt = sealed.is_some();
        self.hold(world, "5 one pod, or one that is honest", Some(whose), missing.is_empty(), || {
            format!("break {id} is answered otherwise than committed, and the rows of {missing:?} are nowhere")
        });
        self.hold(world, "3 in doubt, no fill", Some(whose), !(has_receipt && capped), || {
            format!("break {id}: a capped ad in an answer without a commit")
        });
    }

    /// A reply took its time.
    pub fn timed(&mut self, world: &World, what: &str, took_ms: u64, deadline_ms: u64) {
        self.hold(world, "10 bounds", None, took_ms <= deadline_ms + SLACK_MS, || {
            format!("{what} was answered after {took_ms} ms; its deadline is {deadline_ms} ms")
        });
    }

    /// A batch of beacons arrived at an edge whose clock says `now`.
    pub fn beacons_arrived(&mut self, body: &str, now: u64) {
        let Ok(batch) = Batch::parse(body) else { return };
        for beacon in batch.beacons {
            self.beacon_arrived(beacon.token, beacon.event, now);
        }
    }

    /// A pixel arrived.
    pub fn pixel_arrived(&mut self, token: &str, now: u64) {
        if let Some(event) = self.tokens.get(token).and_then(|token| token.only) {
            self.beacon_arrived(token, event, now);
        }
    }

    fn beacon_arrived(&mut self, token: &str, event: Event, now: u64) {
        self.tally.beacons += 1;
        let Some(known) = self.tokens.get(token) else { return };
        if known.expires_at <= now || known.only.is_some_and(|only| only != event) {
            return;
        }
        self.reportable.insert((known.slot, known.ad, event));
        match event {
            Event::Start => self.started.insert(known.slot),
            Event::Error | Event::NotUsed => self.released.insert(known.slot),
            _ => false,
        };
    }

    /// A batch was acknowledged: every line is durable, or was refused for a reason.
    pub fn beacons_acknowledged(&mut self, world: &Rc<World>, sent: &str, body: &[u8], now: u64) {
        let (Ok(batch), Ok(response)) = (Batch::parse(sent), serde_json::from_slice::<BeaconResponse>(body)) else {
            return world.violated("6 revenue once", None, "beacons were acknowledged in no readable words".into());
        };
        for (line, beacon) in (2..).zip(&batch.beacons) {
            let known = self.tokens.get(beacon.token).copied();
            let whose = known.and_then(|known| self.viewer_of(known.slot));
            let refused = response.refused.iter().find(|refused| refused.line == line).map(|refused| &*refused.code);
            let in_force =
                known.is_some_and(|known| known.expires_at > now && known.only.is_none_or(|only| only == beacon.event));
            let event = beacon.event;
            match (refused, known) {
                (None, Some(known)) => {
                    let is_there = self.reported.contains(&(known.slot, known.ad, event));
                    self.hold(world, "acknowledged is durable", whose, is_there, || {
                        format!("{event} of slot {} was acknowledged, and the origin does not have it", known.slot)
                    });
                    self.hold(world, "6 revenue once: genuine", whose, in_force, || {
                        format!("{event} of slot {} was taken after its token's life", known.slot)
                    });
                }
                (None, None) => world.violated("6 revenue once: genuine", None, "a forged token was taken".into()),
                (Some(code), Some(known)) => {
                    self.tally.refused += 1;
                    let book = whose.and_then(|whose| self.viewers.get(&whose));
                    let shown = book.and_then(|book| {
                        book.shown.iter().find(|shown| shown.slot == known.slot && shown.ad == known.ad)
                    });
                    let is_dead = shown.is_none_or(|shown| shown.confirmed_at.is_none());
                    let is_right = if code == "token_released" { in_force && is_dead } else { !in_force };
                    self.hold(world, "6 revenue once: refused", whose, is_right, || {
                        format!("{event} of slot {} was refused as {code}", known.slot)
                    });
                }
                (Some(_), None) => self.tally.refused += 1,
            }
        }
    }

    /// A pixel was answered with its image.
    pub fn pixel_acknowledged(&mut self, world: &Rc<World>, token: &str) {
        let Some(known) = self.tokens.get(token).copied() else {
            return world.violated("6 revenue once: genuine", None, "a forged pixel was taken".into());
        };
        let is_there = known.only.is_some_and(|event| self.reported.contains(&(known.slot, known.ad, event)));
        let whose = self.viewer_of(known.slot);
        self.hold(world, "acknowledged is durable", whose, is_there, || {
            format!("a pixel of slot {} was acknowledged, and the origin does not have it", known.slot)
        });
    }

    /// A receipt was taken.
    pub fn receipt_acknowledged(&mut self, world: &Rc<World>, text: &str, now: u64) {
        let opened = receipt::open(text, world.keys(), slotkeeper_core::time::UnixMillis(now));
        let Ok(facts) = opened else {
            return world.violated("6 revenue once: genuine", None, "a forged receipt was taken".into());
        };
        for fact in facts {
            let Fact::Opportunity { recording, row } = fact else { continue };
            let is_there = self.breaks.get(&row.break_id).is_some_and(|book| has(book, recording, &row));
            self.hold(world, "acknowledged is durable", Some(row.viewer), is_there, || {
                format!("a receipt of slot {} was acknowledged, and the origin does not have it", row.opportunity_id)
            });
        }
    }
}

fn has(book: &BreakBook, recording: Recording, row: &Opportunity) -> bool {
    book.rows.iter().any(|(known, there)| *known == recording && there == row)
}

/// Whether two showings that began at `one` and `other` are within one window of a cap: the naive law.
pub fn share_a_window(span: Span, one: u64, other: u64) -> bool {
    match span {
        Span::Rolling { ms } => one.abs_diff(other) < ms,
        Span::Days { days, ahead_ms } => {
            let day = |at: u64| (at + ahead_ms) / DAY_MS;
            day(one).abs_diff(day(other)) < days
        }
        Span::Session => one.abs_diff(other) < DAY_MS,
        Span::Break | Span::Lifetime => true,
    }
}
