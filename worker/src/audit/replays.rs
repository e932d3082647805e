//! Law 9: every decision that is kept, made again, gives the rows that are stored.

use std::collections::BTreeSet;

use slotkeeper_core::id::{BreakId, BreakStem, DecisionId, OpportunityId};

use super::{AuditError, Books, Law, Progress};
use crate::{
    fold::{self, Place},
    replay::{ReplayError, Replayer, number, text},
};

/// How often progress is told.
const TOLD_EVERY: usize = 1_000;

pub(super) fn check(
    replayer: &mut Replayer,
    books: &Books,
    max: usize,
    progress: Progress<'_>,
) -> Result<Law, AuditError> {
    let mut law = Law::new(9, "a decision can be replayed");
    let mut named: Vec<(&String, &String)> = books.tables.named_decisions.iter().collect();
    let all = named.len();
    if all > max {
        sample(&mut named, max).map_err(std::io::Error::other)?;
    }
    let forgotten: BTreeSet<BreakStem> = books.forgotten.iter().map(BreakId::stem).collect();
    let is_forgotten =
        |slot: &str| slot.parse().is_ok_and(|slot: OpportunityId| forgotten.contains(&slot.break_stem()));
    let (mut decided, mut slots, mut without_plan, mut of_forgotten) = (0usize, 0usize, 0usize, 0usize);
    for (count, (decision_id, slot)) in named.iter().enumerate() {
        if count.is_multiple_of(TOLD_EVERY) {
            progress(&format!("law 9: {count} of {} decisions", named.len()));
        }
        match replay(replayer, books, decision_id, slot, &mut law) {
            Ok(rows) => {
                decided += 1;
                slots += rows;
            }
            Err(ReplayError::UnknownPlan(_)) => without_plan += 1,
            Err(ReplayError::Database(error)) => return Err(error.into()),
            Err(ReplayError::UnknownDecision { .. }) if books.logged.refused_decisions.contains(*decision_id) => {}
            Err(ReplayError::UnknownDecision { .. }) if is_forgotten(slot) => of_forgotten += 1,
            Err(error @ ReplayError::UnknownDecision { .. }) => law.finds("decision_missing", slot, error.to_string()),
            Err(error @ ReplayError::AlteredDecision { .. }) => law.finds("decision_altered", slot, error.to_string()),
            Err(error) => law.finds("not_replayable", slot, error.to_string()),
        }
    }
    let sampled = if all > max { format!(", a random sample of {all}") } else { String::new() };
    law.checked = format!("{decided} decisions with {slots} rows{sampled}");
    law.note(of_forgotten, "decisions were about viewers who were forgotten: they are removed");
    law.note(without_plan, "decisions were made from a plan that is not kept (any more)");
    Ok(law)
}

/// Decides again, and holds every row that names the decision against what that gives. How many there are.
fn replay(
    replayer: &mut Replayer,
    books: &Books,
    decision_id: &str,
    slot: &str,
    law: &mut Law,
) -> Result<usize, ReplayError> {
    let unknown = || ReplayError::UnknownDecision { slot: slot.into(), decision_id: decision_id.into() };
    let id: DecisionId = decision_id.parse().map_err(|_| unknown())?;
    let decision = replayer.decision(id, slot)?;
    let plan = decision.plan_version.map(|version| replayer.plan(version)).transpose()?;
    let pod = Replayer::decide(&decision, plan.as_deref(), &mut ())?;
    let mut rows = 0;
    for again in &pod.slots {
        let of_slot = rows_of(replayer, again.opportunity_id, decision_id)?;
        if of_slot.is_empty() && !books.logged.refuses(decision_id, again.slot_index.into()) {
            let message =
                format!("decision {decision_id} decides slot {}, of which no such row is stored", again.slot_index);
            law.finds("replay_differs", again.opportunity_id, message);
        }
        for row in of_slot {
            rows += 1;
            if let Some(difference) = replayer.differences(&row, again)?.first() {
                let message =
                    format!("{}: stored {}, replayed {}", difference.column, difference.stored, difference.replayed);
                law.finds("replay_differs", again.opportunity_id, message);
            }
        }
    }
    Ok(rows)
}

/// The rows of a slot that were decided from `decision_id`.
fn rows_of(replayer: &Replayer, id: OpportunityId, decision_id: &str) -> rusqlite::Result<Vec<fold::Columns>> {
    let rows: Vec<(Place, fold::Columns)> = replayer.rows_of(id)?;
    let rows = rows.into_iter().map(|(_, row)| row);
    Ok(rows.filter(|row| text(row, "decision_id") == decision_id && number(row, "slot_index").is_some()).collect())
}

/// Keeps `count` of them, each with the same chance.
fn sample<T>(of: &mut Vec<T>, count: usize) -> Result<(), getrandom::Error> {
    for place in 0..count {
        let left = (of.len() - place) as u64;
        let drawn = usize::try_from(getrandom::u64()? % left).unwrap_or_default();
        of.swap(place, place + drawn);
    }
    of.truncate(count);
    Ok(())
}
