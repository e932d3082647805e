//! Breaks that have rows in several hours: tries of one request whose id does not tell its time, or that came again long after.
//!
//! The book knows the hours of every break (`breaks`), so one that comes to a second hour is noticed when it is written, whichever
//! came first (`breaks_apart`). Of such a break each hour tells the others what elections need of its rows (`rivals`) when it is
//! folded; those that were told something new are folded again. What an hour tells is of its own facts alone, so that ends.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Row, params};
use slotkeeper_core::id::{BreakId, OpportunityId};

use crate::{
    book::{dirty, hour_of, parsed},
    columns::Rows,
    fold::Rival,
    hour::{HOUR_MS, Hour},
    tables::{Column, RAW_OPPORTUNITIES, Table, place_in},
};

/// As much of a break's id as the book keeps, and as its opportunity ids carry. Two that share it are looked at together, and told
/// apart by all of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BreakKey(i64);

impl BreakKey {
    pub(crate) fn of(id: BreakId) -> Self {
        Self(i64::from_be_bytes(std::array::from_fn(|index| id.0[index])))
    }

    fn of_slot(id: OpportunityId) -> Self {
        let stem = id.break_stem();
        Self(i64::from_be_bytes(std::array::from_fn(|index| stem.0[index])))
    }
}

/// Of [`RAW_OPPORTUNITIES`] only what tells the breaks.
pub(crate) const IDS: Table = Table { columns: ID, ..RAW_OPPORTUNITIES };
const ID: &[Column] = &[RAW_OPPORTUNITIES.columns[place_in(&RAW_OPPORTUNITIES, "opportunity_id")]];

/// The breaks of some rows of slots.
pub(crate) fn breaks_of(rows: &Rows) -> BTreeSet<BreakKey> {
    let ids = rows.column(ID[0].name);
    let id = |row| ids.text(row).and_then(|text| text.parse().ok()).map(BreakKey::of_slot);
    (0..rows.len()).filter_map(id).collect()
}

/// What an hour's election must know of other hours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Apart {
    /// Of its breaks, those that other hours have rows of.
    pub(crate) breaks: BTreeSet<BreakKey>,
    /// Those rows.
    pub(crate) rivals: Vec<Rival>,
}

/// Notes the breaks of an hour. Hours of which one is then known to have rows elsewhere are to be folded.
pub(crate) fn note(db: &Connection, hour: Hour, breaks: &BTreeSet<BreakKey>) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT OR IGNORE INTO breaks VALUES (?1, ?2)")?;
    let mut to_fold = BTreeSet::new();
    for key in breaks {
        if insert.execute(params![key.0, number_of(hour)])? == 0 {
            continue;
        }
        let others = others(db, *key, hour)?;
        if !others.is_empty() {
            for one in others.into_iter().chain([hour]) {
                let insert = "INSERT OR IGNORE INTO breaks_apart VALUES (?1, ?2)";
                let is_new = db.prepare_cached(insert)?.execute(params![one.begin().0, key.0])? > 0;
                // One that has told already hears of this hour's rows when those are told.
                if is_new || one == hour {
                    to_fold.insert(one);
                }
            }
        }
    }
    to_fold.into_iter().try_for_each(|hour| dirty(db, hour, 0))
}

/// What an hour's election must know of other hours, as far as those told.
pub(crate) fn of_hour(db: &Connection, hour: Hour) -> rusqlite::Result<Apart> {
    let mut select = db.prepare_cached("SELECT break_key FROM breaks_apart WHERE hour_at_ms = ?1")?;
    let breaks: BTreeSet<BreakKey> =
        select.query_map([hour.begin().0], |row| Ok(BreakKey(row.get(0)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut rivals = Vec::new();
    for key in &breaks {
        rivals.extend(told(db, *key)?.into_iter().filter(|(of, _)| *of != hour).map(|(_, rival)| rival));
    }
    Ok(Apart { breaks, rivals })
}

/// What an hour tells of its rows of breaks that others have rows of, too. Others that are told something new are to be folded.
pub(crate) fn tell(db: &Connection, hour: Hour, breaks: &BTreeSet<BreakKey>, rivals: &[Rival]) -> rusqlite::Result<()> {
    let mut now: BTreeMap<BreakKey, BTreeSet<&Rival>> = BTreeMap::new();
    for rival in rivals {
        now.entry(BreakKey::of(rival.break_id)).or_default().insert(rival);
    }
    let mut to_fold = BTreeSet::new();
    for key in breaks {
        let before = told(db, *key)?;
        let before: BTreeSet<&Rival> = before.iter().filter(|(of, _)| *of == hour).map(|(_, rival)| rival).collect();
        let now = now.remove(key).unwrap_or_default();
        if before == now {
            continue;
        }
        db.prepare_cached("DELETE FROM rivals WHERE break_key = ?1 AND hour_at_ms = ?2")?
            .execute(params![key.0, hour.begin().0])?;
        for rival in now {
            write(db, *key, hour, rival)?;
        }
        to_fold.extend(others(db, *key, hour)?); // also those that are being folded with what was told before
    }
    to_fold.into_iter().try_for_each(|hour| dirty(db, hour, 0))
}

/// The other hours of a break.
fn others(db: &Connection, key: BreakKey, hour: Hour) -> rusqlite::Result<Vec<Hour>> {
    db.prepare_cached("SELECT hour_no FROM breaks WHERE break_key = ?1 AND hour_no <> ?2")?
        .query_map(params![key.0, number_of(hour)], |row| hour_at(row.get(0)?))?
        .collect()
}

/// What was told of a break, and by which hour.
fn told(db: &Connection, key: BreakKey) -> rusqlite::Result<Vec<(Hour, Rival)>> {
    db.prepare_cached(
        "SELECT hour_at_ms, break_id, slot_index, content_hash, recording, decision_id, decided_at_ms, began FROM rivals
         WHERE break_key = ?1",
    )?
    .query_map([key.0], |row| Ok((hour_of(row, 0)?, rival(row)?)))?
    .collect()
}

fn rival(row: &Row<'_>) -> rusqlite::Result<Rival> {
    Ok(Rival {
        break_id: parsed(row, 1)?,
        slot_index: row.get(2)?,
        hash: parsed(row, 3)?,
        is_committed: row.get::<_, String>(4)? == "committed",
        decision_id: parsed(row, 5)?,
        decided_at_ms: row.get(6)?,
        began: row.get(7)?,
    })
}

fn write(db: &Connection, key: BreakKey, hour: Hour, rival: &Rival) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO rivals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(params![
        key.0,
        hour.begin().0,
        rival.break_id.to_string(),
        rival.slot_index,
        rival.hash.to_string(),
        if rival.is_committed { "committed" } else { "uncommitted" },
        rival.decision_id.to_string(),
        rival.decided_at_ms,
        rival.began
    ])?;
    Ok(())
}

/// Hours since 1970: a third of the bytes of its first millisecond.
fn number_of(hour: Hour) -> u64 {
    hour.begin().0 / HOUR_MS
}

fn hour_at(number: u64) -> rusqlite::Result<Hour> {
    let at = slotkeeper_core::time::UnixMillis(number.saturating_mul(HOUR_MS));
    Hour::of(at).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, i64::try_from(number).unwrap_or(i64::MAX)))
}
