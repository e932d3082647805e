//! Law 1: every slot that was ever told of is one row, filled or unfilled.

use std::collections::{BTreeMap, HashMap, HashSet};

use slotkeeper_core::{
    fact::Fact,
    pod::{FillReason, Outcome},
};

use super::{Books, Law, logged::LoggedRow, tables::StandingRow};

pub(super) fn check(books: &Books) -> Law {
    let mut law = Law::new(1, "conservation: a slot is one row, filled or unfilled");
    let standing = &books.tables.standing;
    for row in standing {
        filled_xor_unfilled(row, &mut law);
    }
    whole_breaks(books, &mut law);
    same_as_the_log(books, &mut law);
    sums(books, &mut law);
    law.checked = format!("{} slots, {} decisions", standing.len(), books.tables.decisions.len());
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

/// The slots of a break are 0 to one less than its decision was asked for, each once.
fn whole_breaks(books: &Books, law: &mut Law) {
    let asked: HashMap<String, usize> =
        books.logged.decisions.iter().map(|(id, (_, slots))| (id.to_string(), *slots)).collect();
    let mut breaks: BTreeMap<&str, Vec<&StandingRow>> = BTreeMap::new();
    for row in &books.tables.standing {
        breaks.entry(&row.break_id).or_default().push(row);
    }
    for (break_id, rows) in &breaks {
        let mut slots: Vec<u64> = rows.iter().map(|row| row.slot_index).collect();
        slots.sort_unstable();
        let most = rows.iter().filter_map(|row| asked.get(&row.decision_id)).max().copied().unwrap_or(slots.len());
        let expected: Vec<u64> = (0..most as u64).collect();
        if slots != expected {
            law.finds("break_not_whole", break_id, format!("it has the slots {slots:?}; {most} were asked for"));
        }
    }
    for decision in books.tables.decisions.iter().filter(|decision| decision.rows == 0) {
        let message = format!("decision {} came, and none of its rows", decision.decision_id);
        law.finds("break_lost", &decision.break_id, message);
    }
}

/// Every row of the log is in the tables, and every row of the tables in the log, word for word.
fn same_as_the_log(books: &Books, law: &mut Law) {
    let standing =
        books.tables.standing.iter().map(|row| (row.break_id.clone(), row.slot_index, row.content_hash.clone()));
    let kept: HashSet<(String, u64, String)> = standing.chain(books.tables.superseded.iter().cloned()).collect();
    let by_slot: HashMap<(&str, u64), &StandingRow> =
        books.tables.standing.iter().map(|row| ((row.break_id.as_str(), row.slot_index), row)).collect();
    let mut logged = HashSet::new();
    for ((break_id, slot_index), rows) in &books.logged.slots {
        let (break_id, slot_index) = (break_id.to_string(), u64::from(*slot_index));
        let standing = by_slot.get(&(break_id.as_str(), slot_index));
        if standing.is_none() {
            let id = rows[0].row.opportunity_id;
            law.finds("slot_lost", id, format!("slot {slot_index} of break {break_id} is in the log and has no row"));
        }
        for row in rows {
            let key = (break_id.clone(), slot_index, hash(row));
            if !kept.contains(&key) {
                law.finds("row_lost", row.row.opportunity_id, "a row of the log is not in the tables as it was logged");
            }
            logged.insert(key);
        }
        if let Some(standing) = standing {
            let stands = rows.iter().find(|row| hash(row) == standing.content_hash);
            if stands.is_some_and(|row| !says_the_same(row, standing)) {
                law.finds("row_altered", &standing.opportunity_id, "its columns are not what was logged");
            }
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

fn says_the_same(logged: &LoggedRow, row: &StandingRow) -> bool {
    let fill = logged.row.fill();
    let reasons = match &logged.row.outcome {
        Outcome::Filled(fill) => match fill.fill_reason {
            FillReason::Guaranteed => (Some("guaranteed"), None),
            FillReason::HouseAd => (Some("house_ad"), None),
        },
        Outcome::Unfilled { unfilled_reason } => (None, Some(unfilled_reason.as_str())),
    };
    reasons == (row.fill_reason.as_deref(), row.unfilled_reason.as_deref())
        && logged.row.opportunity_id.to_string() == row.opportunity_id
        && logged.row.decision_id.to_string() == row.decision_id
        && logged.row.title_id == row.title_id
        && fill.map(|fill| u64::from(fill.ad_id.0)) == row.ad_id
        && fill.map(|fill| u64::from(fill.booking.campaign_id.0)) == row.campaign_id
        && fill.map(|fill| fill.record_id.to_string()) == row.record_id
}
