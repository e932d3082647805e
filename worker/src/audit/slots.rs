//! Law 1: every slot that was ever told of is one row, filled or unfilled.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::RangeInclusive,
};

use rusqlite::types::Value;
use slotkeeper_core::{
    beacon::Event,
    fact::{Fact, Recording},
    pod::{Fill, FillReason, Outcome},
};

use super::{
    Books, Law,
    logged::LoggedRow,
    tables::{Cells, KeptDecision, ROW, StandingRow, differences, number, text},
};

pub(super) fn check(books: &Books) -> Law {
    let mut law = Law::new(1, "conservation: a slot is one row, filled or unfilled");
    let standing = &books.tables.standing;
    for row in standing {
        filled_xor_unfilled(row, &mut law);
    }
    whole_breaks(books, &mut law);
    one_decision(books, &mut law);
    same_as_the_log(books, &mut law);
    columns(books, &mut law);
    sums(books, &mut law);
    law.checked = format!("{} slots, {} decisions", standing.len(), books.tables.decisions.len());
    refused(books, &mut law);
    law.note(books.logged.unreadable, "batches of the log cannot be read by this build");
    law
}

fn filled_xor_unfilled(row: &StandingRow, law: &mut Law) {
    let is_filled = row.fill_reason.is_some() && row.campaign_id.is_some() && row.ad_id.is_some();
    let is_unfilled = row.unfilled_reason.is_some() && row.campaign_id.is_none() && row.ad_id.is_none();
    let is_one = match row.outcome.as_str() {
        "filled" => is_filled && row.unfilled_reason.is_none(),
        "unfilled" => is_unfilled && row.fill_reason.is_none(),
        _ => false,
    };
    if !is_one {
        law.finds(
            "neither_or_both",
            &row.opportunity_id,
            format!("its outcome is {}, its columns say otherwise", row.outcome),
        );
    }
}

/// What no table can hold is counted there, edge by edge.
fn refused(books: &Books, law: &mut Law) {
    let (logged, counted) = (&books.logged.counts, &books.tables.counts);
    let edges: BTreeSet<&String> = logged.keys().chain(counted.keys()).collect();
    for edge in edges {
        let [is, should] = [counted, logged].map(|counts| counts.get(edge).copied().unwrap_or_default());
        if is != should {
            let message = format!("{is:?} facts are counted as received and refused; by the log they are {should:?}");
            law.finds("counts_differ", edge, message);
        }
    }
    let facts = books.logged.refused() - books.logged.unreadable as u64;
    law.note(facts.try_into().unwrap_or(usize::MAX), "facts refused: they contradict themselves, or are out of bounds");
}

/// The slots of a break are 0 to one less than its decision was asked for, each once; of a dynamic pod, which makes its own
/// slots, no more than that, and none between is missing.
fn whole_breaks(books: &Books, law: &mut Law) {
    let asked: HashMap<String, &RangeInclusive<usize>> =
        books.logged.decisions.iter().map(|(id, (_, slots))| (id.to_string(), slots)).collect();
    let mut breaks: BTreeMap<&str, Vec<&StandingRow>> = BTreeMap::new();
    for row in &books.tables.standing {
        breaks.entry(&row.break_id).or_default().push(row);
    }
    for (break_id, rows) in &breaks {
        let mut slots: Vec<u64> = rows.iter().map(|row| row.slot_index).collect();
        slots.sort_unstable();
        let made = slots.last().map_or(0, |last| usize::try_from(*last).unwrap_or(usize::MAX).saturating_add(1));
        let of_rows = rows.iter().filter_map(|row| asked.get(&row.decision_id));
        let most = of_rows
            .max_by_key(|slots| *slots.end())
            .map_or(slots.len(), |slots| made.clamp(*slots.start(), *slots.end()));
        let is_refused =
            |slot: &u64| !slots.contains(slot) && rows.iter().any(|row| books.logged.refuses(&row.decision_id, *slot));
        let expected: Vec<u64> = (0..most as u64).filter(|slot| !is_refused(slot)).collect();
        if slots != expected {
            law.finds("break_not_whole", break_id, format!("it has the slots {slots:?}; {most} were asked for"));
        }
    }
    let refused: HashSet<String> =
        books.logged.refused_rows.iter().map(|row| row.row.decision_id.to_string()).collect();
    // Of who was forgotten, what an auction sold is kept in a decision that no row names.
    let forgotten: HashSet<String> = books.forgotten.iter().map(ToString::to_string).collect();
    let is_lost = |decision: &&KeptDecision| {
        decision.rows == 0 && !refused.contains(&decision.decision_id) && !forgotten.contains(&decision.break_id)
    };
    for decision in books.tables.decisions.iter().filter(is_lost) {
        let message = format!("decision {} came, and none of its rows", decision.decision_id);
        law.finds("break_lost", &decision.break_id, message);
    }
}

/// What stands of a break: the rows of one decision. Of several, the one of which most ads began to play comes first; then one that
/// was not committed; then the earlier; then the one with the least hash. Of two rows of one slot, the first by the same rule.
fn should_stand(books: &Books, rows: &[&LoggedRow]) -> BTreeMap<u64, String> {
    let rank = |row: &LoggedRow| {
        let began = books.logged.seen(row, Event::Start).is_some();
        (!began, row.recording == Recording::Committed, row.row.decided_at.0, hash(row))
    };
    let mut decisions: BTreeMap<(bool, String), Vec<&LoggedRow>> = BTreeMap::new();
    for row in rows {
        let key = (row.recording == Recording::Committed, row.row.decision_id.to_string());
        decisions.entry(key).or_default().push(row);
    }
    let least = |rows: &[&LoggedRow]| {
        let ranks: Vec<_> = rows.iter().map(|row| rank(row)).collect();
        let began = ranks.iter().filter(|rank| !rank.0).count();
        let decided_at = ranks.iter().map(|rank| rank.2).min();
        (Reverse(began), ranks[0].1, decided_at, ranks.iter().map(|rank| rank.3.clone()).min())
    };
    let first = decisions.into_values().min_by_key(|rows| least(rows)).unwrap_or_default();
    let mut standing: BTreeMap<u64, &LoggedRow> = BTreeMap::new();
    for row in first {
        let stands = standing.entry(row.row.slot_index.into()).or_insert(row);
        if rank(row) < rank(stands) {
            *stands = row;
        }
    }
    standing.into_iter().map(|(slot, row)| (slot, hash(row))).collect()
}

/// Of every break the rows of one decision stand, and of the right one.
fn one_decision(books: &Books, law: &mut Law) {
    let mut logged: BTreeMap<String, Vec<&LoggedRow>> = BTreeMap::new();
    for row in books.logged.rows() {
        logged.entry(row.row.break_id.to_string()).or_default().push(row);
    }
    let mut standing: BTreeMap<&str, BTreeMap<u64, &StandingRow>> = BTreeMap::new();
    for row in &books.tables.standing {
        standing.entry(&row.break_id).or_default().insert(row.slot_index, row);
    }
    for (break_id, rows) in &logged {
        let should = should_stand(books, rows);
        let is = standing.remove(break_id.as_str()).unwrap_or_default();
        for slot in should.keys().filter(|slot| !is.contains_key(slot)) {
            law.finds("slot_lost", break_id, format!("slot {slot} is in the log and has no row that stands"));
        }
        for (slot, row) in is {
            match should.get(&slot) {
                Some(hash) if *hash == row.content_hash => {}
                Some(_) => {
                    law.finds("other_row_stands", &row.opportunity_id, format!("slot {slot} of break {break_id}"));
                }
                None => {
                    let message =
                        format!("slot {slot} is of another decision than the one that stands of break {break_id}");
                    law.finds("slot_of_no_answer", &row.opportunity_id, message);
                }
            }
        }
    }
}

/// Every row of the log is in the tables, and every row of the tables in the log, word for word.
fn same_as_the_log(books: &Books, law: &mut Law) {
    let standing =
        books.tables.standing.iter().map(|row| (row.break_id.clone(), row.slot_index, row.content_hash.clone()));
    let kept: HashSet<(String, u64, String)> = standing.chain(books.tables.superseded.iter().cloned()).collect();
    let mut logged = HashSet::new();
    for ((break_id, slot_index), rows) in &books.logged.slots {
        let (break_id, slot_index) = (break_id.to_string(), u64::from(*slot_index));
        for row in rows {
            let key = (break_id.clone(), slot_index, hash(row));
            if !kept.contains(&key) {
                law.finds("row_lost", row.row.opportunity_id, "a row of the log is not in the tables as it was logged");
            }
            logged.insert(key);
        }
    }
    for (break_id, slot_index, _) in kept.difference(&logged) {
        law.finds("row_invented", break_id, format!("the row of slot {slot_index} is not in the log"));
    }
}

/// By days, titles and campaigns, from the tables alone.
fn sums(books: &Books, law: &mut Law) {
    let mut of: BTreeMap<(u64, &str), [u64; 3]> = BTreeMap::new();
    for row in &books.tables.standing {
        let sums = of.entry((row.day, &row.title_id)).or_default();
        sums[0] += 1;
        sums[1] += u64::from(row.outcome == "filled");
        sums[2] += u64::from(row.outcome == "unfilled");
    }
    for ((day, title), [all, filled, unfilled]) in of {
        if all != filled + unfilled {
            law.finds(
                "sums_differ",
                format!("{title}, day {day}"),
                format!("{all} slots, {filled} filled, {unfilled} unfilled"),
            );
        }
    }
    let mut fills: BTreeMap<u64, u64> = BTreeMap::new();
    for campaign in books.tables.standing.iter().filter_map(|row| row.campaign_id) {
        *fills.entry(campaign).or_default() += 1;
    }
    let mut impressions: BTreeMap<u64, u64> = BTreeMap::new();
    for impression in &books.tables.impressions {
        *impressions.entry(impression.campaign_id).or_default() += 1;
    }
    for (campaign, count) in impressions {
        let filled = fills.get(&campaign).copied().unwrap_or(0);
        if count > filled {
            law.finds("sums_differ", format!("campaign {campaign}"), format!("{count} impressions of {filled} fills"));
        }
    }
}

fn hash(row: &LoggedRow) -> String {
    let fact = Fact::Opportunity { recording: row.recording, row: row.row.clone() };
    let json = serde_json::to_vec(&fact).unwrap_or_else(|_| unreachable!("a fact has string keys only"));
    blake3::hash(&json).to_hex()[..32].into()
}

/// Every column of every row says what was logged, those of rows that do not stand too.
fn columns(books: &Books, law: &mut Law) {
    let logged: HashMap<String, Cells<{ ROW.len() }>> = books
        .logged
        .rows()
        .map(|row| (format!("{}/{}/{}", row.row.break_id, row.row.slot_index, hash(row)), as_stored(row)))
        .collect();
    for row in &books.tables.rows {
        let [Value::Text(id), Value::Text(break_id), Value::Integer(slot_index), Value::Text(hash), ..] = row else {
            law.finds("row_altered", format!("{:?}", row[0]), "its key is not of the schema");
            continue;
        };
        // One that is not in the log is found by that.
        let Some(should) = logged.get(&format!("{break_id}/{slot_index}/{hash}")) else { continue };
        let differences = differences(&ROW, row, should);
        if !differences.is_empty() {
            law.finds("row_altered", id, differences.join("; "));
        }
    }
}

/// What the columns of a row should say.
fn as_stored(logged: &LoggedRow) -> Cells<{ ROW.len() }> {
    let row = &logged.row;
    let (fill, mut reasons) = (row.fill(), (Value::Null, Value::Null));
    match &row.outcome {
        Outcome::Filled(fill) => {
            reasons.0 = text(match fill.fill_reason {
                FillReason::Guaranteed => "guaranteed",
                FillReason::Auction => "auction",
                FillReason::HouseAd => "house_ad",
            });
        }
        Outcome::Unfilled { unfilled_reason } => reasons.1 = text(unfilled_reason.as_str()),
    }
    let of_fill = |column: fn(&Fill) -> u64| number(fill.map(column));
    [
        text(row.opportunity_id),
        text(row.break_id),
        number(u64::from(row.slot_index)),
        text(hash(logged)),
        text(match logged.recording {
            Recording::Committed => "committed",
            Recording::Uncommitted => "uncommitted",
        }),
        text(&logged.edge_id),
        text(row.viewer),
        text(&row.title_id),
        text(row.position.as_str()),
        number(u64::from(row.max_duration_ms)),
        number(row.decided_at.0),
        number(row.plan_version),
        text(row.decision_id),
        text(row.search.as_str()),
        row.invalid_traffic.map_or(Value::Null, |why| text(why.as_str())),
        number(u64::from(row.candidates)),
        text(serde_json::to_string(&row.eliminated).unwrap_or_default()),
        text(if fill.is_some() { "filled" } else { "unfilled" }),
        reasons.0,
        reasons.1,
        of_fill(|fill| fill.ad_id.0.into()),
        fill.map_or(Value::Null, |fill| text(fill.record_id)),
        of_fill(|fill| fill.booking.advertiser_id.0.into()),
        of_fill(|fill| fill.booking.campaign_id.0.into()),
        of_fill(|fill| fill.booking.flight_id.0.into()),
        of_fill(|fill| fill.booking.creative_id.0.into()),
        of_fill(|fill| fill.duration_ms.into()),
        of_fill(|fill| fill.expires_at.0),
        number(logged.claim().map(|claim| claim.counts_until.0)),
    ]
}
