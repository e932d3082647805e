//! Which rows of a break stand: those of one decision. The rule is the live fold's, whose words on it are in
//! `worker/src/fold/opportunities.rs`.

use std::{cmp::Reverse, collections::BTreeMap};

use slotkeeper_core::id::DecisionId;

use super::{
    beacons::Beacons,
    slots::{SlotRow, Slots},
};

/// The rows that stand, in the order of their ids.
pub(super) fn standing<'a>(slots: &'a Slots, beacons: &Beacons) -> Vec<&'a SlotRow> {
    let mut rows: Vec<&SlotRow> = slots.rows.iter().collect();
    rows.sort_unstable_by_key(|row| (row.break_id, row.slot_index, row.hash));
    let mut standing: Vec<&SlotRow> = Vec::with_capacity(rows.len());
    for of_break in rows.chunk_by(|a, b| a.break_id == b.break_id) {
        if has_rivals(of_break) {
            standing.extend(elected(of_break, beacons));
        } else {
            standing.extend(of_break);
        }
    }
    standing.sort_unstable_by_key(|row| row.id);
    standing
}

/// Whether some rows of a break cannot stand beside each other. They are in the order of their slots.
fn has_rivals(of_break: &[&SlotRow]) -> bool {
    let by = |row: &SlotRow| (row.is_committed, row.decision_id);
    of_break.windows(2).any(|pair| pair[0].slot_index == pair[1].slot_index || by(pair[0]) != by(pair[1]))
}

/// The first decision: of which most ads began to play, then uncommitted before committed, then the earlier, then that of the
/// smallest hash. And of its rows of one slot, which no edge makes, the first by the same rule.
fn elected<'a>(of_break: &[&'a SlotRow], beacons: &Beacons) -> Vec<&'a SlotRow> {
    let began = |row: &SlotRow| row.token.is_some_and(|token| beacons.began(row.id, token));
    let mut decisions: BTreeMap<(bool, DecisionId), Vec<(bool, &SlotRow)>> = BTreeMap::new();
    for row in of_break {
        decisions.entry((row.is_committed, row.decision_id)).or_default().push((began(row), row));
    }
    let rank = |(is_committed, _): (bool, DecisionId), rows: &[(bool, &SlotRow)]| {
        let most_began = Reverse(rows.iter().filter(|(began, _)| *began).count());
        let earliest = rows.iter().map(|(_, row)| row.decided_at_ms).min();
        (most_began, is_committed, earliest, rows.iter().map(|(_, row)| row.hash).min())
    };
    let first = decisions.into_iter().min_by_key(|(decision, rows)| rank(*decision, rows));
    let mut rows = first.map(|(_, rows)| rows).unwrap_or_default();
    rows.sort_by_key(|(began, row)| (row.slot_index, !began, row.decided_at_ms, row.hash));
    rows.dedup_by_key(|(_, row)| row.slot_index);
    rows.into_iter().map(|(_, row)| row).collect()
}
