//! What the log says, read again by plain loops: every different row of every slot, every event at its earliest time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::RangeInclusive,
};

use slotkeeper_core::{
    beacon::Event,
    caps::Claim,
    fact::{Fact, FactBatch, Recording},
    id::{AdId, BreakId, DecisionId, OpportunityId, RecordId},
    pod::Opportunity,
};

use super::{AuditError, Progress, refused};
use crate::log::Log;

/// How many entries are read at once.
const ENTRIES_READ: usize = 256;
/// Who is counted for entries that cannot be read.
const UNREADABLE: &str = "(unreadable)";

/// A row as it was logged.
#[derive(Clone, Debug)]
pub(super) struct LoggedRow {
    /// In which entry first.
    pub(super) seq: u64,
    /// Of those that sent it, the one whose name is the least.
    pub(super) edge_id: String,
    pub(super) recording: Recording,
    pub(super) row: Opportunity,
}

impl LoggedRow {
    /// Its claim, which only a committed row has.
    pub(super) fn claim(&self) -> Option<&Claim> {
        self.row.fill()?.claim.as_ref()
    }

    /// What beacons must name to speak of this row's ad.
    pub(super) fn token(&self) -> Option<Token> {
        let fill = self.row.fill()?;
        Some((self.row.opportunity_id, fill.ad_id, fill.record_id))
    }
}

/// What a beacon's token says.
pub(super) type Token = (OpportunityId, AdId, RecordId);

/// When an event was first seen, and in which entry of the log it first came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) at_ms: u64,
    pub(super) seq: u64,
    pub(super) received_at_ms: u64,
}

/// What was said of one ad beside its events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// The longest that a viewer had touched nothing.
    pub(super) idle_s: Option<u32>,
    /// The least code of its errors.
    pub(super) error_code: Option<u16>,
    /// The events that crawlers reported, as bits.
    pub(super) by_crawlers: u64,
}

/// Everything in the log up to one entry.
#[derive(Default)]
pub(super) struct Logged {
    pub(super) slots: BTreeMap<(BreakId, u8), Vec<LoggedRow>>,
    pub(super) events: HashMap<Token, HashMap<Event, Seen>>,
    pub(super) said: HashMap<Token, Said>,
    /// Of each client session, the most that it said it lost.
    pub(super) losses: BTreeMap<String, u64>,
    /// Of which break each decision is, and how many slots it may have made.
    pub(super) decisions: BTreeMap<DecisionId, (BreakId, RangeInclusive<usize>)>,
    /// Ads as auctions sold them, as JSON, by the address of their content.
    pub(super) auction_records: HashMap<String, String>,
    /// Entries that no build of today can read.
    pub(super) unreadable: usize,
    /// Rows that no table holds: they contradict themselves, or are out of bounds.
    pub(super) refused_rows: Vec<LoggedRow>,
    /// The same of decisions.
    pub(super) refused_decisions: BTreeSet<String>,
    /// Of every edge, how many facts were received and how many of them no table holds.
    pub(super) counts: BTreeMap<String, [u64; 2]>,
    /// Whose each id is: of the break of which it was logged first.
    breaks: HashMap<OpportunityId, BreakId>,
}

impl Logged {
    /// Reads the log up to and including entry `last`.
    pub(super) fn read(log: &dyn Log, last: u64, progress: Progress<'_>) -> Result<Self, AuditError> {
        let mut logged = Self::default();
        let mut at = 0;
        while at < last {
            let entries = log.read(at, ENTRIES_READ)?;
            if entries.is_empty() {
                return Err(AuditError::ShortLog { folded: last, last: at });
            }
            for entry in entries.into_iter().filter(|entry| entry.seq <= last) {
                at = entry.seq;
                if let Ok(batch) = serde_json::from_slice::<FactBatch>(&entry.received.bytes) {
                    batch.facts.into_iter().for_each(|fact| logged.take(entry.seq, &batch.edge_id, fact));
                } else {
                    logged.unreadable += 1;
                    let counts = logged.counts.entry(UNREADABLE.into()).or_default();
                    *counts = counts.map(|count| count + 1);
                }
            }
            progress(&format!("read {at} of {last} batches of the log"));
        }
        Ok(logged)
    }

    /// Takes one fact in.
    pub(super) fn take(&mut self, seq: u64, edge_id: &str, fact: Fact) {
        let is_refused = match &fact {
            Fact::Opportunity { row, .. } => {
                refused::row(row) || *self.breaks.entry(row.opportunity_id).or_insert(row.break_id) != row.break_id
            }
            Fact::Decision(decision) => refused::decision(decision),
            Fact::Beacon(beacon) => refused::beacon(beacon),
            Fact::ClientLoss(loss) => refused::loss(loss),
        };
        let counts = self.counts.entry(edge_id.into()).or_default();
        counts[0] += 1;
        counts[1] += u64::from(is_refused);
        match fact {
            Fact::Opportunity { recording, row } if is_refused => {
                self.refused_rows.push(LoggedRow { seq, edge_id: edge_id.into(), recording, row });
            }
            Fact::Decision(decision) if is_refused => {
                self.refused_decisions.insert(decision.id().to_string());
            }
            Fact::Beacon(_) | Fact::ClientLoss(_) if is_refused => {}
            Fact::ClientLoss(loss) => {
                let most = self.losses.entry(loss.session.to_string()).or_default();
                *most = u64::from(loss.lost).max(*most);
            }
            Fact::Beacon(beacon) if beacon.invalid_traffic.is_some() => {
                let token = (beacon.opportunity_id, beacon.ad_id, beacon.record_id);
                self.said.entry(token).or_default().by_crawlers |= 1 << beacon.event.code(); // and it proves nothing
            }
            Fact::Opportunity { recording, row } => {
                let rows = self.slots.entry((row.break_id, row.slot_index)).or_default();
                match rows.iter_mut().find(|known| known.recording == recording && known.row == row) {
                    Some(known) if edge_id < known.edge_id.as_str() => known.edge_id = edge_id.into(),
                    Some(_) => {}
                    None => rows.push(LoggedRow { seq, edge_id: edge_id.into(), recording, row }),
                }
            }
            Fact::Decision(decision) => {
                for offer in decision.auction.offers() {
                    let json = serde_json::to_string(&offer.record).unwrap_or_default();
                    let id = blake3::hash(json.as_bytes()).to_hex()[..16].to_owned();
                    self.auction_records.insert(id, json);
                }
                let most = decision.asked.slots_max();
                let least = if decision.asked.pod.is_some() { 1 } else { most };
                self.decisions.insert(decision.id(), (decision.break_id, least..=most));
            }
            Fact::Beacon(beacon) => {
                let token = (beacon.opportunity_id, beacon.ad_id, beacon.record_id);
                let new = Seen { at_ms: beacon.at.0, seq, received_at_ms: beacon.received_at.0 };
                let seen = self.events.entry(token).or_default().entry(beacon.event).or_insert(new);
                seen.at_ms = seen.at_ms.min(new.at_ms);
                seen.received_at_ms = seen.received_at_ms.min(new.received_at_ms);
                let said = self.said.entry(token).or_default();
                said.idle_s = said.idle_s.max(beacon.idle_s);
                let codes = [said.error_code, beacon.error_code];
                said.error_code = codes.into_iter().flatten().min();
            }
        }
    }

    /// How many facts no table holds.
    pub(super) fn refused(&self) -> u64 {
        self.counts.values().map(|[_, refused]| refused).sum()
    }

    /// Whether the row that a decision made of a slot was logged and is refused.
    pub(super) fn refuses(&self, decision_id: &str, slot_index: u64) -> bool {
        let is_it = |row: &LoggedRow| {
            u64::from(row.row.slot_index) == slot_index && row.row.decision_id.to_string() == decision_id
        };
        self.refused_rows.iter().any(is_it)
    }

    /// Every row.
    pub(super) fn rows(&self) -> impl Iterator<Item = &LoggedRow> {
        self.slots.values().flatten()
    }

    /// When an event of a row's own ad was first seen.
    pub(super) fn seen(&self, row: &LoggedRow, event: Event) -> Option<Seen> {
        self.events.get(&row.token()?)?.get(&event).copied()
    }

    /// Whether a row's ad was reported not to play.
    pub(super) fn is_released(&self, row: &LoggedRow) -> Option<Seen> {
        self.seen(row, Event::Error).or_else(|| self.seen(row, Event::NotUsed))
    }
}
