//! What the log holds of a viewer.

use std::collections::{BTreeSet, HashMap, HashSet};

use slotkeeper_core::{
    auction::is_sold_by_auction,
    fact::{Fact, FactBatch},
    id::{BreakId, BreakStem, OpportunityId, RecordId, SessionKey, ViewerKey},
    pod::Opportunity,
    time::UnixMillis,
};
use slotkeeper_lake::Traces;

use super::{ForgetError, Progress, receipts::hour_of};
use crate::log::{Entry, Log, LogError};

/// How many entries are read at once.
const ENTRIES_READ: usize = 256;

/// Everything of one viewer.
pub(super) struct Found {
    pub(super) viewer: ViewerKey,
    pub(super) rows: u64,
    pub(super) decisions: u64,
    pub(super) beacons: u64,
    pub(super) losses: u64,
    /// With the hours in which they opened.
    pub(super) breaks: BTreeSet<(BreakId, UnixMillis)>,
    /// Sessions of their own, and those in which somebody reported their slots.
    pub(super) sessions: BTreeSet<SessionKey>,
    /// The entries that hold any of it.
    pub(super) entries: BTreeSet<u64>,
    /// What auctions sold them: money depends on it.
    pub(super) sold: HashSet<RecordId>,
    /// The breaks by what ids of slots tell of them.
    stems: HashMap<BreakStem, BreakId>,
}

impl Found {
    /// Reads all of the log, twice: beacons may come before the rows that say whose they are. In between, `behind` is asked what else
    /// is known of the viewer and of their breaks.
    pub(super) fn read(
        log: &dyn Log,
        viewer: ViewerKey,
        behind: impl FnOnce(&BTreeSet<BreakId>) -> Result<Traces, ForgetError>,
        progress: Progress<'_>,
    ) -> Result<Self, ForgetError> {
        let mut found = Self {
            viewer,
            rows: 0,
            decisions: 0,
            beacons: 0,
            losses: 0,
            breaks: BTreeSet::new(),
            sessions: BTreeSet::new(),
            entries: BTreeSet::new(),
            sold: HashSet::new(),
            stems: HashMap::new(),
        };
        let name = viewer.to_string();
        each_entry(log, &|seq| progress(&format!("looking for the viewer: entry {seq} of the log")), |entry| {
            if holds(&entry.received.bytes, name.as_bytes()) {
                found.entries.insert(entry.seq);
                for fact in facts_of(entry) {
                    found.take_row_or_decision(&fact);
                }
            }
        })?;
        let traces = behind(&found.breaks.iter().map(|(id, _)| *id).collect())?;
        for (break_id, hour) in traces.breaks {
            found.take_break(break_id, hour.begin());
        }
        found.sessions.extend(traces.sessions);
        if found.is_nothing() {
            return Ok(found);
        }
        let mut losses = Vec::new();
        each_entry(
            log,
            &|seq| progress(&format!("looking for what they reported: entry {seq} of the log")),
            |entry| {
                for fact in facts_of(entry) {
                    match fact {
                        Fact::Beacon(beacon) if found.is_theirs(beacon.opportunity_id) => {
                            let slot = beacon.opportunity_id;
                            let break_id = found.stems[&slot.break_stem()];
                            found.take_break(break_id, hour_of(slot)); // a try of it that nothing else may tell of
                            found.entries.insert(entry.seq);
                            found.sessions.extend(beacon.session);
                            found.beacons += 1;
                        }
                        Fact::ClientLoss(loss) => losses.push((entry.seq, loss.session)),
                        _ => {}
                    }
                }
            },
        )?;
        losses.retain(|(_, session)| found.sessions.contains(session));
        found.losses = losses.len() as u64;
        found.entries.extend(losses.into_iter().map(|(seq, _)| seq));
        Ok(found)
    }

    /// Whether the log does not know the viewer.
    pub(super) fn is_nothing(&self) -> bool {
        self.entries.is_empty() && self.breaks.is_empty() && self.sessions.is_empty()
    }

    /// Whether a slot is of one of the viewer's breaks, whenever that opened.
    pub(super) fn is_theirs(&self, slot: OpportunityId) -> bool {
        self.stems.contains_key(&slot.break_stem())
    }

    fn take_row_or_decision(&mut self, fact: &Fact) {
        match fact {
            Fact::Opportunity { row, .. } if row.viewer == self.viewer => self.take_row(row),
            Fact::Decision(decision) if decision.viewer == self.viewer => {
                self.decisions += 1;
                self.sessions.extend(decision.session);
                // Its rows may not have come, and what was reported of them all the same.
                let slot = OpportunityId::mint(decision.break_id, 0, decision.opened_at);
                self.take_break(decision.break_id, hour_of(slot));
            }
            _ => {}
        }
    }

    fn take_row(&mut self, row: &Opportunity) {
        self.rows += 1;
        self.take_break(row.break_id, hour_of(row.opportunity_id));
        let Some(fill) = row.fill() else { return };
        self.sessions.extend(fill.claim.and_then(|claim| claim.session));
        if is_sold_by_auction(fill.ad_id) {
            self.sold.insert(fill.record_id);
        }
    }

    fn take_break(&mut self, break_id: BreakId, hour: UnixMillis) {
        self.breaks.insert((break_id, hour));
        self.stems.insert(break_id.stem(), break_id);
    }
}

/// The facts of an entry; none of one that this build cannot read.
fn facts_of(entry: &Entry) -> Vec<Fact> {
    serde_json::from_slice::<FactBatch>(&entry.received.bytes).map(|batch| batch.facts).unwrap_or_default()
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn each_entry(log: &dyn Log, at: &dyn Fn(u64), mut look: impl FnMut(&Entry)) -> Result<(), LogError> {
    let mut after = 0;
    loop {
        let entries = log.read(after, ENTRIES_READ)?;
        let Some(last) = entries.last() else { return Ok(()) };
        after = last.seq;
        entries.iter().for_each(&mut look);
        at(after);
    }
}
