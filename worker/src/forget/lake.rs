//! A viewer in the lake.

use std::collections::BTreeSet;

use slotkeeper_core::{
    decision::Decision,
    id::{BreakId, ViewerKey},
};
use slotkeeper_lake::{Forgetting, Lake, Place, Traces, hour::Hour};

use super::{
    ForgetError, Progress,
    receipts::{self, Unfinished},
    rewrite,
};
use crate::{
    data_dir::DataDir,
    lake::{mirror, place},
    log::SqliteLog,
    registry::Registry,
};

/// Takes the viewer out of the files of their hours, and folds those again.
pub(super) fn rewrite(
    data: &DataDir,
    log: &SqliteLog,
    unfinished: &Unfinished,
    progress: Progress<'_>,
) -> Result<(), ForgetError> {
    let Some(mut lake) = open(data, log)? else { return Ok(mirror::prune(data)?) };
    progress(&format!("rewriting {} hours of the lake", unfinished.hours.len()));
    let hours: BTreeSet<Hour> = unfinished.hours.iter().filter_map(|at| Hour::of(*at)).collect();
    let forgetting = Forgetting {
        name: &unfinished.receipt_id[..8],
        breaks: &unfinished.breaks,
        hours: &hours,
        viewer: unfinished.known_as,
        hashes: &unfinished.hashes,
        sessions: &unfinished.sessions,
        left: &|decision: &Decision, sold| rewrite::what_was_sold(decision, unfinished.known_as, sold),
        entry_now: &|seq, before| Ok(receipts::hash_now(log, seq, before)?),
    };
    let mut registry = Registry::open(&data.contracts())?;
    lake.forget(&forgetting, &mut registry)?;
    Ok(mirror::prune(data)?)
}

/// What the lake alone tells of a viewer, and of breaks that the log says are theirs, because the log begins later: what it began with
/// was dropped for its age.
pub(super) fn traces_behind_the_log(
    data: &DataDir,
    log: &SqliteLog,
    viewer: ViewerKey,
    known: &BTreeSet<BreakId>,
) -> Result<Traces, ForgetError> {
    let first = log.first_seq()?;
    if first <= 1 {
        return Ok(Traces::default());
    }
    has_book_or_log(data, log)?;
    Ok(Traces::look(place(data)?, &data.lake_db(), viewer, known, first)?)
}

/// The lake, if its book is there. Without its book nobody knows what is in it, and it is made again from the log.
fn open(data: &DataDir, log: &SqliteLog) -> Result<Option<Lake>, ForgetError> {
    let (place, book) = (place(data)?, data.lake_db());
    if book.exists() {
        return Ok(Some(Lake::open(place, &book)?));
    }
    if !matches!(&place, Place::Folder(folder) if !folder.exists()) {
        has_book_or_log(data, log)?;
        Lake::open(place, &book)?.clear()?;
    }
    Ok(None)
}

/// Where the lake alone has what the log began with, nothing of it may be taken for left over.
fn has_book_or_log(data: &DataDir, log: &SqliteLog) -> Result<(), ForgetError> {
    if data.lake_db().exists() || log.is_whole()? { Ok(()) } else { Err(ForgetError::NoBook(data.lake_db())) }
}
