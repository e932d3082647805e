//! The rows of slots of a pass, each different one once.

use std::collections::{BTreeSet, HashMap, hash_map::Entry};

use slotkeeper_core::id::{AdId, BreakId, DecisionId, OpportunityId, RecordId};

use super::{
    Pass, Raw, Tally,
    beacons::Beacons,
    election::{self, Rival},
    for_each_group, parsed,
};
use crate::{
    apart::BreakKey,
    columns::Rows,
    error::LakeError,
    tables::{RAW_OPPORTUNITIES, place_in},
};

/// Where a row is: in which group, and where in it.
pub(super) type Place = (usize, usize);

/// A row, as much of it as the fold decides by.
pub(super) struct SlotRow {
    pub(super) id: OpportunityId,
    pub(super) break_id: BreakId,
    pub(super) slot_index: u8,
    pub(super) is_committed: bool,
    pub(super) decision_id: DecisionId,
    pub(super) decided_at_ms: u64,
    /// Sorts like its text.
    pub(super) hash: DecisionId,
    /// What beacons must name to speak of its ad.
    pub(super) token: Option<(AdId, RecordId)>,
    pub(super) place: Place,
    /// Where it came by the edge of the least name.
    pub(super) edge: Place,
    /// Where it came with its decision.
    pub(super) context: Place,
}

/// All rows of a pass.
pub(super) struct Slots {
    pub(super) groups: Vec<Rows>,
    pub(super) rows: Vec<SlotRow>,
}

/// Where columns are in the table.
pub(super) struct Columns {
    id: usize,
    break_id: usize,
    slot_index: usize,
    recording: usize,
    hash: usize,
    edge_id: usize,
    decision_id: usize,
    decided_at: usize,
    ad_id: usize,
    record_id: usize,
    context: [usize; 5],
}

/// Where a column is. Asked for every row, so to be asked when it is compiled: `const { place_of("…") }`.
pub(super) const fn place_of(name: &str) -> usize {
    place_in(&RAW_OPPORTUNITIES, name)
}

/// The columns that come from the decision.
pub(super) const CONTEXT: [&str; 5] = ["session", "tier", "country", "region", "device"];

impl Slots {
    pub(super) fn read(raw: &dyn Raw, pass: Pass, tally: &mut Tally) -> Result<Self, LakeError> {
        let columns = Columns {
            id: place_of("opportunity_id"),
            break_id: place_of("break_id"),
            slot_index: place_of("slot_index"),
            recording: place_of("recording"),
            hash: place_of("content_hash"),
            edge_id: place_of("edge_id"),
            decision_id: place_of("decision_id"),
            decided_at: place_of("decided_at"),
            ad_id: place_of("ad_id"),
            record_id: place_of("record_id"),
            context: CONTEXT.map(place_of),
        };
        let mut slots = Self { groups: Vec::new(), rows: Vec::new() };
        let mut known: HashMap<(BreakId, u8, DecisionId), usize> = HashMap::new();
        let mut breaks: HashMap<OpportunityId, BreakId> = HashMap::new();
        for_each_group(raw, &RAW_OPPORTUNITIES, |name, group| {
            let group = match taken(&group, columns.id, pass, name)? {
                Some(keep) if keep.iter().all(|keep| *keep) => group,
                Some(keep) => group.filtered(&keep),
                None => return Ok(()),
            };
            for index in 0..group.len() {
                let row = SlotRow::read(&group, &columns, (slots.groups.len(), index), name)?;
                // By a rare chance, an id that carries a part of its break's is that of two. The first that came keeps it.
                if *breaks.entry(row.id).or_insert(row.break_id) != row.break_id {
                    tally.refused += 1;
                    continue;
                }
                match known.entry((row.break_id, row.slot_index, row.hash)) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(slots.rows.len());
                        slots.rows.push(row);
                        tally.unique += 1;
                    }
                    Entry::Occupied(first) => {
                        tally.duplicate += 1;
                        slots.merge(*first.get(), &group, index, row.place, &columns);
                    }
                }
            }
            slots.groups.push(group);
            Ok(())
        })?;
        Ok(slots)
    }

    /// Of a row that came before: the least edge's name, and its decision if it came without.
    fn merge(&mut self, first: usize, group: &Rows, index: usize, place: Place, columns: &Columns) {
        let of = |(at, row): Place, column: usize| {
            let rows = self.groups.get(at).unwrap_or(group); // the one that is being read is not there yet
            rows.columns()[column].text(row)
        };
        let row = &self.rows[first];
        let is_less = group.columns()[columns.edge_id].text(index) < of(row.edge, columns.edge_id);
        let tells = |place| columns.context.iter().any(|column| of(place, *column).is_some());
        let tells_more = !tells(row.context) && tells(place);
        let row = &mut self.rows[first];
        if is_less {
            row.edge = place;
        }
        if tells_more {
            row.context = place;
        }
    }

    /// What elections in other hours need of the rows of these breaks.
    pub(super) fn told(&self, breaks: &BTreeSet<BreakKey>, beacons: &Beacons) -> Vec<Rival> {
        if breaks.is_empty() {
            return Vec::new();
        }
        let theirs = self.rows.iter().filter(|row| breaks.contains(&BreakKey::of(row.break_id)));
        theirs.map(|row| election::as_rival(row, beacons)).collect()
    }

    /// What a row's column holds.
    pub(super) fn text(&self, (group, row): Place, column: usize) -> Option<&str> {
        self.groups[group].columns()[column].text(row)
    }

    pub(super) fn int(&self, (group, row): Place, column: usize) -> Option<i64> {
        self.groups[group].columns()[column].int(row)
    }
}

/// Which rows of a group are of the pass; `None` if none are.
fn taken(group: &Rows, id: usize, pass: Pass, name: &str) -> Result<Option<Vec<bool>>, LakeError> {
    let mut keep = Vec::with_capacity(group.len());
    for row in 0..group.len() {
        keep.push(pass.takes(parsed(group, "opportunity_id", id, row, name)?));
    }
    Ok(keep.contains(&true).then_some(keep))
}

impl SlotRow {
    fn read(rows: &Rows, columns: &Columns, place: Place, name: &str) -> Result<Self, LakeError> {
        let row = place.1;
        let damaged = |column| LakeError::Damaged { name: name.into(), row, column };
        let int = |column: usize| rows.columns()[column].int(row);
        let token = match (int(columns.ad_id), rows.columns()[columns.record_id].is_present(row)) {
            (Some(ad), true) => {
                let ad = AdId(u32::try_from(ad).map_err(|_| damaged("ad_id"))?);
                Some((ad, parsed(rows, "record_id", columns.record_id, row, name)?))
            }
            _ => None,
        };
        let slot_index = int(columns.slot_index).and_then(|index| u8::try_from(index).ok());
        let decided_at = int(columns.decided_at).and_then(|at| u64::try_from(at).ok());
        Ok(Self {
            id: parsed(rows, "opportunity_id", columns.id, row, name)?,
            break_id: parsed(rows, "break_id", columns.break_id, row, name)?,
            slot_index: slot_index.ok_or_else(|| damaged("slot_index"))?,
            is_committed: rows.columns()[columns.recording].text(row) == Some("committed"),
            decision_id: parsed(rows, "decision_id", columns.decision_id, row, name)?,
            decided_at_ms: decided_at.ok_or_else(|| damaged("decided_at"))?,
            hash: parsed(rows, "content_hash", columns.hash, row, name)?,
            token,
            place,
            edge: place,
            context: place,
        })
    }
}
