//! What the facts in the lake say of a viewer: their breaks, and the sessions in which those were watched and reported.

use std::{collections::BTreeSet, path::Path};

use rusqlite::Connection;
use slotkeeper_core::{
    decision::Decision,
    id::{BreakId, OpportunityId, SessionKey, ViewerKey},
};

use crate::{
    book,
    columns::Rows,
    error::LakeError,
    file,
    hour::Hour,
    lake::Lake,
    store::{Files, Place, name_in},
    tables::{Column, RAW_BEACONS, RAW_DECISIONS, RAW_OPPORTUNITIES, Table, place_in},
};

/// Of the tables only what tells whose something is.
static SLOTS: Table = Table {
    columns: &[of(&RAW_OPPORTUNITIES, "break_id"), of(&RAW_OPPORTUNITIES, "viewer"), of(&RAW_OPPORTUNITIES, "session")],
    ..RAW_OPPORTUNITIES
};
static BEACONS: Table =
    Table { columns: &[of(&RAW_BEACONS, "opportunity_id"), of(&RAW_BEACONS, "session")], ..RAW_BEACONS };
static DECISIONS: Table = Table { columns: &[of(&RAW_DECISIONS, "content")], ..RAW_DECISIONS };

const fn of(table: &Table, name: &str) -> Column {
    table.columns[place_in(table, name)]
}

/// What the lake holds of a viewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Their breaks, with the hours in which those opened, or in which something was reported of them.
    pub breaks: BTreeSet<(BreakId, Hour)>,
    /// The sessions that are named with any of them.
    pub sessions: BTreeSet<SessionKey>,
}

impl Lake {
    /// What the lake's files hold of a viewer, and of breaks that are known to be theirs; but for files all of which came with entry
    /// `until` of the log or later. Reads the ids in all others.
    pub fn traces_of(&self, viewer: ViewerKey, known: &BTreeSet<BreakId>, until: u64) -> Result<Traces, LakeError> {
        traces(&self.files, &self.db, viewer, known, until)
    }
}

impl Traces {
    /// The same of a lake that another process may be advancing, which then may fail. Nothing is written.
    pub fn look(
        place: impl Into<Place>,
        book: &Path,
        viewer: ViewerKey,
        known: &BTreeSet<BreakId>,
        until: u64,
    ) -> Result<Self, LakeError> {
        match book::open_read_only(book)? {
            Some(db) => traces(&Files::at(place)?, &db, viewer, known, until),
            None => Ok(Self::default()),
        }
    }
}

fn traces(
    files: &Files,
    db: &Connection,
    viewer: ViewerKey,
    known: &BTreeSet<BreakId>,
    until: u64,
) -> Result<Traces, LakeError> {
    let (mut traces, name) = (Traces::default(), viewer.to_string());
    each_group(files, db, &SLOTS, until, &mut |hour, rows| {
        for row in (0..rows.len()).filter(|row| rows.column("viewer").text(*row) == Some(&name)) {
            traces.breaks.extend(parsed::<BreakId>(rows, "break_id", row).map(|id| (id, hour)));
            traces.sessions.extend(parsed::<SessionKey>(rows, "session", row));
        }
    })?;
    each_group(files, db, &DECISIONS, until, &mut |hour, rows| {
        let contents = (0..rows.len()).filter_map(|row| rows.column("content").text(row));
        let theirs = contents.filter(|content| content.contains(&name));
        for decision in theirs.filter_map(|content| serde_json::from_str::<Decision>(content).ok()) {
            if decision.viewer == viewer {
                traces.breaks.insert((decision.break_id, hour));
                traces.sessions.extend(decision.session);
            }
        }
    })?;
    let breaks: BTreeSet<BreakId> = traces.breaks.iter().map(|(id, _)| *id).chain(known.iter().copied()).collect();
    if breaks.is_empty() {
        return Ok(traces);
    }
    each_group(files, db, &BEACONS, until, &mut |hour, rows| {
        for row in 0..rows.len() {
            if let Some(id) = parsed(rows, "opportunity_id", row).and_then(|slot| break_of(&breaks, slot)) {
                traces.breaks.insert((id, hour));
                traces.sessions.extend(parsed::<SessionKey>(rows, "session", row));
            }
        }
    })?;
    Ok(traces)
}

/// Of which of these breaks a slot is.
pub(crate) fn break_of(breaks: &BTreeSet<BreakId>, slot: OpportunityId) -> Option<BreakId> {
    let (least, greatest) = slot.break_stem().range();
    breaks.range(least..=greatest).next().copied()
}

fn each_group(
    files: &Files,
    db: &Connection,
    table: &'static Table,
    until: u64,
    look: &mut dyn FnMut(Hour, &Rows),
) -> Result<(), LakeError> {
    for file in book::files(db, table.name, None)?.iter().filter(|file| file.first_seq < until) {
        let path = name_in(table, file.hour, &file.name);
        for group in file::FileGroups::open(table, files.get(&path)?).map_err(LakeError::file(&path))? {
            look(file.hour, &group.map_err(LakeError::file(&path))?);
        }
    }
    Ok(())
}

fn parsed<T: std::str::FromStr>(rows: &Rows, column: &str, row: usize) -> Option<T> {
    rows.column(column).text(row)?.parse().ok()
}
