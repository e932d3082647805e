//! Taking viewers out of facts that are in the lake: their files are written anew without them, in one transaction of the book, and
//! their hours are folded again.
//!
//! Who is killed in between does it again: what is without them already is not touched.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rusqlite::params;
use slotkeeper_core::{
    decision::Decision,
    id::{BreakId, OpportunityId, RecordId, SessionKey, ViewerKey},
};

use crate::{
    book::{self, RawFile},
    columns::Rows,
    error::LakeError,
    file,
    hour::Hour,
    lake::{Fault, Lake, Registry},
    raw::RAW,
    store::name_in,
    tables::{RAW_BEACONS, RAW_DECISIONS, RAW_OPPORTUNITIES, Table},
    traces::break_of,
};

/// What of a row depends on its decision, and is not known without it.
const OF_ITS_DECISION: [&str; 5] = ["session", "tier", "country", "region", "device"];

/// Asked by the place of an entry, and the hash it had.
pub type EntryNow<'a> = dyn Fn(u64, &str) -> Result<Option<String>, Fault> + 'a;

/// Whom to take out, and what to put in their place.
pub struct Forgetting<'a> {
    /// What the files that are written are called, beside the entries that they hold; another for each forgetting.
    pub name: &'a str,
    /// The breaks of the viewer.
    pub breaks: &'a BTreeSet<BreakId>,
    /// The hours in which those opened.
    pub hours: &'a BTreeSet<Hour>,
    /// Whose the rows are from now on.
    pub viewer: ViewerKey,
    /// Of rows that were changed, the hash of their content before and now, as text.
    pub hashes: &'a BTreeMap<String, String>,
    /// New names of the sessions that said that they lost beacons.
    pub sessions: &'a BTreeMap<SessionKey, SessionKey>,
    /// What is left of a decision, if some of these ads were sold by it.
    pub left: &'a dyn Fn(&Decision, &HashSet<RecordId>) -> Option<Decision>,
    /// The hash of an entry of the log now, if it was changed and had this one before.
    pub entry_now: &'a EntryNow<'a>,
}

impl Forgetting<'_> {
    /// The hash of a row that is not in the log any more, once it is not the viewer's.
    #[must_use]
    pub fn hash_of_dropped(before: &str, viewer: ViewerKey) -> String {
        blake3::hash(format!("{before} {viewer}").as_bytes()).to_hex()[..32].to_owned()
    }

    fn hash_now(&self, before: &str) -> String {
        self.hashes.get(before).cloned().unwrap_or_else(|| Self::hash_of_dropped(before, self.viewer))
    }
}

/// A file written anew.
struct Rewritten {
    old: RawFile,
    /// None if nothing is left of it.
    new: Option<RawFile>,
    gone: u64,
}

impl Lake {
    /// Takes a viewer out of the facts, and folds their hours again.
    pub fn forget(&mut self, forgetting: &Forgetting<'_>, registry: &mut dyn Registry) -> Result<(), LakeError> {
        let mut rewritten = Vec::new();
        for hour in forgetting.hours {
            let sold = self.sold(forgetting, *hour)?;
            for table in RAW {
                for old in book::files(&self.db, table.name, Some(*hour))? {
                    rewritten.extend(self.rewrite(forgetting, table, old, &sold)?);
                }
            }
        }
        self.db.pragma_update(None, "secure_delete", true)?;
        let (consumed, before) = book::offset(&self.db)?;
        let now = match &before {
            Some(before) => (forgetting.entry_now)(consumed, before).map_err(LakeError::Outside)?,
            None => None,
        };
        let commit = self.db.transaction()?;
        for Rewritten { old, new, gone } in &rewritten {
            book::remove_file(&commit, old)?;
            if let Some(new) = new {
                book::add_file(&commit, new)?;
            }
            book::dirty(&commit, old.hour, 0)?;
            commit.execute("UPDATE counts SET received = received - ?1, decisions = decisions - ?1", [gone])?;
        }
        for (before, now) in forgetting.sessions {
            commit.execute(
                "UPDATE OR REPLACE client_losses SET session = ?2 WHERE session = ?1",
                params![before.to_string(), now.to_string()],
            )?;
        }
        if let Some(now) = now {
            book::set_offset(&commit, consumed, &now)?;
        }
        self.files.step()?;
        commit.commit()?;
        for one in &rewritten {
            self.files.delete(&path_of(&one.old))?;
        }
        let folded = loop {
            match self.fold_next(registry) {
                Ok(folded) if folded.hours > 0 => {}
                outcome => break outcome,
            }
        };
        // An hour that cannot be folded holds up nobody who is not in it.
        let left = book::dirty_hours(&self.db, u32::MAX as usize)?;
        if left.iter().any(|(hour, _)| forgetting.hours.contains(hour)) {
            folded?;
        }
        self.db.execute_batch("VACUUM")?;
        let is_busy: bool = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if is_busy { Err(LakeError::BeingRead) } else { Ok(()) }
    }

    /// What the rows of the breaks hold: of decisions, the terms of what was sold are left.
    fn sold(&self, forgetting: &Forgetting<'_>, hour: Hour) -> Result<HashSet<RecordId>, LakeError> {
        let mut sold = HashSet::new();
        for file in book::files(&self.db, RAW_OPPORTUNITIES.name, Some(hour))? {
            self.each_group(&RAW_OPPORTUNITIES, &file, |rows| {
                for index in 0..rows.len() {
                    if is_theirs(forgetting, rows, index) {
                        sold.extend(parsed::<RecordId>(rows, "record_id", index));
                    }
                }
                Ok(())
            })?;
        }
        Ok(sold)
    }

    /// Writes a file anew if it holds anything of them. It is not listed yet.
    fn rewrite(
        &self,
        forgetting: &Forgetting<'_>,
        table: &'static Table,
        old: RawFile,
        sold: &HashSet<RecordId>,
    ) -> Result<Option<Rewritten>, LakeError> {
        let name = format!("{:012}-{:012}-{}.parquet", old.first_seq, old.last_seq, forgetting.name);
        let path = name_in(table, old.hour, &name);
        let mut writer = file::FileWriter::new(table).map_err(LakeError::file(&path))?;
        let (mut rows, mut gone, mut changed) = (0, 0, false);
        self.each_group(table, &old, |group| {
            for index in 0..group.len() {
                let Some(new) = changes(forgetting, table, group, index, sold) else {
                    gone += 1;
                    continue;
                };
                changed |= !new.is_empty();
                rows += 1;
                let mut row = writer.row().map_err(LakeError::file(&path))?;
                for (column, from) in table.columns.iter().zip(group.columns()) {
                    match new.get(column.name) {
                        Some(value) => row.text_or_null(value.as_deref()),
                        None => row.copy(from, index),
                    };
                }
            }
            Ok(())
        })?;
        if !changed && gone == 0 {
            return Ok(None);
        }
        let bytes = writer.finish().map_err(LakeError::file(&path))?;
        let new = RawFile { name, rows, bytes: bytes.len() as u64, ..old.clone() };
        if rows > 0 {
            self.files.put(&path, bytes)?;
        }
        Ok(Some(Rewritten { old, new: (rows > 0).then_some(new), gone }))
    }

    fn each_group(
        &self,
        table: &'static Table,
        file: &RawFile,
        mut look: impl FnMut(&Rows) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let path = name_in(table, file.hour, &file.name);
        for group in file::FileGroups::open(table, self.files.get(&path)?).map_err(LakeError::file(&path))? {
            look(&group.map_err(LakeError::file(&path))?)?;
        }
        Ok(())
    }
}

/// What of a row changes, by column; `None` if nothing of it stays.
fn changes(
    forgetting: &Forgetting<'_>,
    table: &Table,
    rows: &Rows,
    index: usize,
    sold: &HashSet<RecordId>,
) -> Option<BTreeMap<&'static str, Option<String>>> {
    let mut changes = BTreeMap::new();
    if table.name == RAW_BEACONS.name {
        let slot = parsed::<OpportunityId>(rows, "opportunity_id", index);
        let is_theirs = slot.is_some_and(|slot| break_of(forgetting.breaks, slot).is_some());
        if is_theirs && rows.column("session").is_present(index) {
            changes.insert("session", None);
        }
    } else if is_theirs(forgetting, rows, index) && table.name == RAW_OPPORTUNITIES.name {
        let viewer = forgetting.viewer.to_string();
        if rows.column("viewer").text(index) != Some(&viewer) {
            changes.extend(OF_ITS_DECISION.map(|name| (name, None)));
            changes.insert("content_hash", Some(forgetting.hash_now(rows.column("content_hash").text(index)?)));
            changes.insert("viewer", Some(viewer));
        }
    } else if is_theirs(forgetting, rows, index) && table.name == RAW_DECISIONS.name {
        let decision: Decision = serde_json::from_str(rows.column("content").text(index)?).ok()?;
        if decision.viewer != forgetting.viewer {
            let left = (forgetting.left)(&decision, sold)?;
            changes.insert("decision_id", Some(left.id().to_string()));
            changes.insert("content", serde_json::to_string(&left).ok());
        }
    }
    Some(changes)
}

fn is_theirs(forgetting: &Forgetting<'_>, rows: &Rows, index: usize) -> bool {
    parsed::<BreakId>(rows, "break_id", index).is_some_and(|break_id| forgetting.breaks.contains(&break_id))
}

fn parsed<T: std::str::FromStr>(rows: &Rows, column: &str, index: usize) -> Option<T> {
    rows.column(column).text(index)?.parse().ok()
}

fn path_of(file: &RawFile) -> String {
    let table = RAW.into_iter().find(|table| table.name == file.table);
    table.map_or_else(|| file.name.clone(), |table| name_in(table, file.hour, &file.name))
}
