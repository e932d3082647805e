//! The end of a world: what the origin's tables must say, from what was asked, answered and reported.

use std::{cmp::Reverse, collections::BTreeMap, rc::Rc};

use slotkeeper_core::{
    beacon::Event,
    fact::Recording,
    id::{OpportunityId, RecordId, ViewerKey},
    impression::Quartile,
    plan::Plan,
    pod::{Opportunity, Outcome},
};

use crate::{
    oracle::{BreakBook, Oracle, Shown, share_a_window},
    origin,
    terms::{DAY_MS, Span},
    world::World,
};

/// A row that stands, as the table has it.
struct Standing {
    id: String,
    recording: String,
    outcome: String,
    ad: Option<u32>,
    decision: String,
    viewer: String,
}

/// An impression, as the table has it.
#[derive(Debug, PartialEq, Eq)]
struct Earned {
    start_at: u64,
    passed: bool,
    micros: i64,
}

type Beacons = BTreeMap<Event, u64>;

/// Checks everything that can only be known when all is shipped and folded.
pub fn close(world: &Rc<World>) {
    if world.stores.iter().any(|store| store.outbox_len() > 0) {
        world.violated("1 conservation: shipped", None, "an outbox is never emptied".into());
    }
    let Some((standing, earned)) = origin::read_tables(world, |db| {
        let mut rows = BTreeMap::new();
        let mut select = db.prepare(
            "SELECT break_id, slot_index, opportunity_id, recording, outcome, ad_id, decision_id, viewer
             FROM fct_ad_opportunities",
        )?;
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let standing = Standing {
                id: row.get(2)?,
                recording: row.get(3)?,
                outcome: row.get(4)?,
                ad: row.get(5)?,
                decision: row.get(6)?,
                viewer: row.get(7)?,
            };
            rows.insert((row.get::<_, String>(0)?, row.get::<_, u8>(1)?), standing);
        }
        let mut earned = BTreeMap::new();
        let mut select = db.prepare(
            "SELECT opportunity_id, start_at_ms, threshold_passed, recognized_revenue_micros FROM fct_ad_impressions",
        )?;
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let one =
                Earned { start_at: row.get::<_, i64>(1)?.unsigned_abs(), passed: row.get(2)?, micros: row.get(3)? };
            earned.insert(row.get::<_, String>(0)?, one);
        }
        Ok((rows, earned))
    }) else {
        return;
    };
    let mut oracle = world.oracle.borrow_mut();
    conservation(world, &mut oracle, standing, earned);
    caps(world, &mut oracle);
    decided_again(world, &mut oracle);
    drop(oracle);
    origin::compare_from_zero(world);
}

/// Laws 1 and 6: one row a slot, the right one, and its impression earns what was sold, once.
fn conservation(
    world: &World,
    oracle: &mut Oracle,
    mut standing: BTreeMap<(String, u8), Standing>,
    mut earned: BTreeMap<String, Earned>,
) {
    let prices = prices(world);
    let breaks = std::mem::take(&mut oracle.breaks);
    let beacons = std::mem::take(&mut oracle.beacons);
    for (id, book) in &breaks {
        let whose = Some(book.viewer);
        let committed = book.committed.as_ref();
        let with_receipt_only = committed.is_none() && book.answered == book.with_receipt;
        if book.rows.is_empty() && with_receipt_only {
            if book.answered > 0 {
                oracle.tally.rows_lost_with_their_viewer += *book.slots().start() as u64;
            }
        } else {
            let decided = standing.get(&(id.to_string(), 0)).map(|row| (row.recording.clone(), row.decision.clone()));
            let chosen_rows = rows_that_stand(book, &beacons, decided.as_ref());
            oracle.hold(world, "1 conservation", whose, chosen_rows.is_some(), || {
                format!("the rows of break {id} are not those of the decision that should stand")
            });
            let chosen_rows = chosen_rows.unwrap_or_default();
            for place in 0..book.made(&chosen_rows) {
                let place = u8::try_from(place).unwrap_or(u8::MAX);
                let row = standing.remove(&(id.to_string(), place));
                oracle.hold(world, "1 conservation", whose, row.is_some(), || {
                    format!("slot {place} of break {id} has no row")
                });
                let Some(row) = row else { continue };
                oracle.tally.slots += 1;
                let chosen = chosen_rows.iter().find(|chosen| {
                    chosen.slot_index == place
                        && chosen.opportunity_id.to_string() == row.id
                        && chosen.decision_id.to_string() == row.decision
                        && chosen.fill().map(|fill| fill.ad_id.0) == row.ad
                });
                let is_theirs = chosen.is_some() && row.viewer == book.viewer.to_string();
                oracle.hold(world, "1 conservation", whose, is_theirs, || {
                    format!("the row of slot {place} of break {id} is not of the decision that stands")
                });
                let Some(chosen) = chosen else { continue };
                let is_filled = matches!(chosen.outcome, Outcome::Filled(_));
                oracle.tally.filled += u64::from(is_filled);
                oracle.hold(world, "1 conservation", whose, is_filled == (row.outcome == "filled"), || {
                    format!("slot {place} of break {id} is {} and was not", row.outcome)
                });
                let expected = chosen.fill().and_then(|fill| {
                    let state = beacons.get(&(chosen.opportunity_id, fill.ad_id.0, fill.record_id))?;
                    worth(state, prices.get(&fill.record_id)?)
                });
                let found = earned.remove(&row.id);
                oracle.tally.impressions += u64::from(found.is_some());
                oracle.hold(world, "6 revenue once", whose, found == expected, || {
                    format!("slot {}: the tables say {found:?}, the beacons {expected:?}", row.id)
                });
            }
        }
        if let Some(committed) = committed {
            let shipped = committed.rows.iter().all(|row| book.rows.contains(&(Recording::Committed, row.clone())));
            oracle.hold(world, "1 conservation: shipped", whose, shipped, || {
                format!("rows of break {id} were committed and never reached the origin")
            });
        }
    }
    oracle.hold(world, "1 conservation", None, standing.is_empty(), || {
        format!("{} rows of slots that nobody asked for", standing.len())
    });
    oracle.hold(world, "6 revenue once", None, earned.is_empty(), || {
        format!("{} impressions of no row that stands", earned.len())
    });
    oracle.breaks = breaks;
    oracle.beacons = beacons;
}

/// The rows of the decision that the tables let stand, if it may: of a break's decisions the least, one of which an ad began
/// to play, then one that was not committed, then the earlier.
fn rows_that_stand<'a>(
    book: &'a BreakBook,
    beacons: &BTreeMap<(OpportunityId, u32, RecordId), Beacons>,
    decided: Option<&(String, String)>,
) -> Option<Vec<&'a Opportunity>> {
    let mut decisions: BTreeMap<(bool, String), Vec<&Opportunity>> = BTreeMap::new();
    for (recording, row) in &book.rows {
        let key = (*recording == Recording::Committed, row.decision_id.to_string());
        decisions.entry(key).or_default().push(row);
    }
    let began = |row: &&Opportunity| {
        row.fill().is_some_and(|fill| {
            let state = beacons.get(&(row.opportunity_id, fill.ad_id.0, fill.record_id));
            state.is_some_and(|state| state.contains_key(&Event::Start))
        })
    };
    let rank = |(is_committed, _): &(bool, String), rows: &[&Opportunity]| {
        let decided_at = rows.iter().map(|row| row.decided_at.0).min();
        (Reverse(rows.iter().filter(|row| began(row)).count()), *is_committed, decided_at)
    };
    let first = decisions.iter().map(|(key, rows)| rank(key, rows)).min();
    let (recording, decision) = decided?;
    let key = (recording == "committed", decision.clone());
    let rows = decisions.get(&key)?;
    (Some(rank(&key, rows)) == first).then(|| rows.clone())
}

/// By ad as sold: price of a thousand, whether it was paid for, and how far it must play.
fn prices(world: &World) -> BTreeMap<RecordId, (i64, bool, Quartile)> {
    let mut prices = BTreeMap::new();
    for edition in world.editions() {
        for record in &edition.records {
            let house = edition.flight(record.flight_id.0).is_some_and(|flight| flight.is_house);
            prices.insert(record.record_id(), (record.cpm.micros, !house, record.completion_threshold));
        }
    }
    prices
}

fn worth(state: &Beacons, (cpm, is_paid, threshold): &(i64, bool, Quartile)) -> Option<Earned> {
    let order = [Event::Start, Event::FirstQuartile, Event::Midpoint, Event::ThirdQuartile, Event::Complete];
    let reached = order.iter().take_while(|event| state.contains_key(event)).count();
    let needed = match threshold {
        Quartile::Start => 1,
        Quartile::First => 2,
        Quartile::Midpoint => 3,
        Quartile::Third => 4,
        Quartile::Complete => 5,
    };
    let passed = reached >= needed;
    let start_at = *state.get(&Event::Start)?;
    Some(Earned { start_at, passed, micros: if passed && *is_paid { (cpm + 500) / 1_000 } else { 0 } })
}

/// Law 2: in every window of every cap, no more ads began to play than its limit, by viewer. Of a set of showings, the
/// one that was committed last had counted all others.
fn caps(world: &World, oracle: &mut Oracle) {
    let viewers = std::mem::take(&mut oracle.viewers);
    for (whose, book) in &viewers {
        let began: Vec<&Shown> = book.shown.iter().filter(|shown| shown.started_at.is_some()).collect();
        for last in &began {
            check_caps(world, oracle, *whose, &began, last);
        }
    }
    oracle.viewers = viewers;
}

fn check_caps(world: &World, oracle: &mut Oracle, whose: ViewerKey, began: &[&Shown], last: &Shown) {
    let Some(flight) = world.flight(last.edition, last.flight) else { return };
    let at = last.started_at.unwrap_or_default();
    for cap in &flight.caps {
        let others = began.iter().filter(|other| {
            (other.order, other.slot) < (last.order, last.slot)
                && world.is_same_thing(cap.scope, other, last)
                && match cap.span {
                    Span::Break => other.break_id == last.break_id,
                    Span::Session => other.session == last.session && last.session.is_some(),
                    Span::Lifetime => other.started_at >= Some(flight.starts_at_ms),
                    Span::Rolling { .. } | Span::Days { .. } => true,
                }
        });
        let times: Vec<u64> =
            others.filter_map(|other| other.started_at).filter(|other| share_a_window(cap.span, *other, at)).collect();
        // Of all windows that hold this showing, the fullest.
        let within =
            |first: u64, length: u64| times.iter().filter(|time| (first..first + length).contains(*time)).count();
        let beginnings = times.iter().copied().filter(|time| *time <= at).chain([at]);
        let most = match cap.span {
            Span::Break | Span::Lifetime => times.len(),
            Span::Rolling { ms } => beginnings.map(|first| within(first, ms)).max().unwrap_or_default(),
            Span::Session => beginnings.map(|first| within(first, DAY_MS)).max().unwrap_or_default(),
            Span::Days { days, ahead_ms } => {
                let today = (at + ahead_ms) / DAY_MS;
                let first_days = today + 1 - days..=today;
                first_days.map(|day| within(day * DAY_MS - ahead_ms, days * DAY_MS)).max().unwrap_or_default()
            }
        };
        oracle.hold(world, "2 caps never breach", Some(whose), most < cap.limit as usize, || {
            format!(
                "{} ads began to play in one window of {cap:?} of flight {}; the last committed was slot {}, at {at}",
                most + 1,
                last.flight,
                last.slot
            )
        });
    }
}

/// Law 9: what was decided is decided again, from what was recorded.
fn decided_again(world: &World, oracle: &mut Oracle) {
    let decisions = std::mem::take(&mut oracle.decisions);
    let breaks = std::mem::take(&mut oracle.breaks);
    for book in breaks.values() {
        for (_, row) in &book.rows {
            let decision = decisions.get(&row.decision_id);
            oracle.hold(world, "9 decided again", Some(book.viewer), decision.is_some(), || {
                format!("what slot {} was decided from is not recorded", row.opportunity_id)
            });
        }
    }
    for (id, decision) in &decisions {
        let edition = decision.plan_version.and_then(|version| world.edition(version));
        let plan = edition.as_ref().and_then(|edition| Plan::open(&edition.bytes).ok());
        let again = decision.decide_again(plan.as_ref(), &mut ()).map(|pod| pod.slots).unwrap_or_default();
        let Some(book) = breaks.get(&decision.break_id) else { continue };
        let rows: Vec<&Opportunity> =
            book.rows.iter().map(|(_, row)| row).filter(|row| row.decision_id == *id).collect();
        let same = !again.is_empty() && rows.iter().all(|row| again.contains(row));
        oracle.hold(world, "9 decided again", Some(book.viewer), same, || {
            format!("decision {id} of break {} gives other rows now", decision.break_id)
        });
    }
    oracle.decisions = decisions;
    oracle.breaks = breaks;
}
