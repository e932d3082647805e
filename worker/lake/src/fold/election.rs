//! Which rows of a break stand: those of one decision. The rule is the live fold's, whose words on it are in
//! `worker/src/fold/opportunities.rs`.
//!
//! Tries of one break may have opened in different hours. What other hours hold of it is told as [`Rival`]s: each hour elects among
//! all of them, by the same rule, and so all elect the same; and of those elected it has the rows that are its own.

use std::{cmp::Reverse, collections::BTreeMap};

use slotkeeper_core::id::{BreakId, DecisionId};

use super::{
    beacons::Beacons,
    slots::{SlotRow, Slots},
};

/// A row of a break that has rows in several hours: as much of it as elections in the others need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rival {
    pub(crate) break_id: BreakId,
    pub(crate) slot_index: u8,
    pub(crate) hash: DecisionId,
    pub(crate) is_committed: bool,
    pub(crate) decision_id: DecisionId,
    pub(crate) decided_at_ms: u64,
    /// Whether its ad began to play.
    pub(crate) began: bool,
}

/// The rows that stand, in the order of their ids. `rivals` are of other hours.
pub(super) fn standing<'a>(slots: &'a Slots, beacons: &Beacons, rivals: &[Rival]) -> Vec<&'a SlotRow> {
    let mut rows: Vec<Row<'a, '_>> = slots.rows.iter().map(Row::Here).collect();
    rows.extend(rivals.iter().map(Row::Elsewhere));
    rows.sort_unstable_by_key(|row| (row.break_id(), row.slot_index(), row.hash()));
    let mut standing: Vec<&SlotRow> = Vec::with_capacity(slots.rows.len());
    for of_break in rows.chunk_by(|a, b| a.break_id() == b.break_id()) {
        if has_rivals(of_break) {
            standing.extend(elected(of_break, beacons).into_iter().filter_map(Row::here));
        } else {
            standing.extend(of_break.iter().filter_map(|row| row.here()));
        }
    }
    standing.sort_unstable_by_key(|row| row.id);
    standing
}

/// What elections in other hours need of a row.
pub(super) fn as_rival(row: &SlotRow, beacons: &Beacons) -> Rival {
    Rival {
        break_id: row.break_id,
        slot_index: row.slot_index,
        hash: row.hash,
        is_committed: row.is_committed,
        decision_id: row.decision_id,
        decided_at_ms: row.decided_at_ms,
        began: began(row, beacons),
    }
}

fn began(row: &SlotRow, beacons: &Beacons) -> bool {
    row.token.is_some_and(|token| beacons.began(row.id, token))
}

/// A row of this hour or of another.
#[derive(Clone, Copy)]
enum Row<'a, 'b> {
    Here(&'a SlotRow),
    Elsewhere(&'b Rival),
}

impl<'a> Row<'a, '_> {
    fn here(self) -> Option<&'a SlotRow> {
        match self {
            Self::Here(row) => Some(row),
            Self::Elsewhere(_) => None,
        }
    }

    fn break_id(&self) -> BreakId {
        match self {
            Self::Here(row) => row.break_id,
            Self::Elsewhere(row) => row.break_id,
        }
    }

    fn slot_index(&self) -> u8 {
        match self {
            Self::Here(row) => row.slot_index,
            Self::Elsewhere(row) => row.slot_index,
        }
    }

    fn hash(&self) -> DecisionId {
        match self {
            Self::Here(row) => row.hash,
            Self::Elsewhere(row) => row.hash,
        }
    }

    fn decision(&self) -> (bool, DecisionId) {
        match self {
            Self::Here(row) => (row.is_committed, row.decision_id),
            Self::Elsewhere(row) => (row.is_committed, row.decision_id),
        }
    }

    fn decided_at_ms(&self) -> u64 {
        match self {
            Self::Here(row) => row.decided_at_ms,
            Self::Elsewhere(row) => row.decided_at_ms,
        }
    }

    fn began(&self, beacons: &Beacons) -> bool {
        match self {
            Self::Here(row) => began(row, beacons),
            Self::Elsewhere(row) => row.began,
        }
    }
}

/// Whether some rows of a break cannot stand beside each other. They are in the order of their slots.
fn has_rivals(of_break: &[Row<'_, '_>]) -> bool {
    of_break
        .windows(2)
        .any(|pair| pair[0].slot_index() == pair[1].slot_index() || pair[0].decision() != pair[1].decision())
}

/// The first decision: of which most ads began to play, then uncommitted before committed, then the earlier, then that of the
/// smallest hash. And of its rows of one slot, which no edge makes, the first by the same rule.
fn elected<'a, 'b>(of_break: &[Row<'a, 'b>], beacons: &Beacons) -> Vec<Row<'a, 'b>> {
    let mut decisions: BTreeMap<(bool, DecisionId), Vec<(bool, Row<'a, 'b>)>> = BTreeMap::new();
    for row in of_break {
        decisions.entry(row.decision()).or_default().push((row.began(beacons), *row));
    }
    let rank = |(is_committed, _): (bool, DecisionId), rows: &[(bool, Row<'_, '_>)]| {
        let most_began = Reverse(rows.iter().filter(|(began, _)| *began).count());
        let earliest = rows.iter().map(|(_, row)| row.decided_at_ms()).min();
        (most_began, is_committed, earliest, rows.iter().map(|(_, row)| row.hash()).min())
    };
    let first = decisions.into_iter().min_by_key(|(decision, rows)| rank(*decision, rows));
    let mut rows = first.map(|(_, rows)| rows).unwrap_or_default();
    rows.sort_by_key(|(began, row)| (row.slot_index(), !began, row.decided_at_ms(), row.hash()));
    rows.dedup_by_key(|(_, row)| row.slot_index());
    rows.into_iter().map(|(_, row)| row).collect()
}
