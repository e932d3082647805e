//! A viewer in the lake.

use std::collections::BTreeSet;

use slotkeeper_core::{
    decision::Decision,
    id::{BreakId, ViewerKey},
    time::UnixMillis,
};
use slotkeeper_lake::{Forgetting, Lake, hour::Hour};

use super::{
    ForgetError, Progress,
    receipts::{self, Unfinished},
    rewrite,
};
use crate::{data_dir::DataDir, log::SqliteLog, registry::Registry};

/// Takes the viewer out of the files of their hours, and folds those again.
pub(super) fn rewrite(
    data: &DataDir,
    log: &SqliteLog,
    unfinished: &Unfinished,
    progress: Progress<'_>,
) -> Result<(), ForgetError> {
    let Some(mut lake) = open(data)? else { return Ok(()) };
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
    Ok(lake.forget(&forgetting, &mut registry)?)
}

/// The breaks of a viewer that only the lake knows, because the log begins later: what it begins with was dropped for its age.
pub(super) fn breaks_behind_the_log(
    data: &DataDir,
    log: &SqliteLog,
    viewer: ViewerKey,
    progress: Progress<'_>,
) -> Result<BTreeSet<(BreakId, UnixMillis)>, ForgetError> {
    if log.is_whole()? {
        return Ok(BTreeSet::new());
    }
    let Some(lake) = open(data)? else { return Ok(BTreeSet::new()) };
    progress("looking for the viewer in the lake, which goes back further than the log");
    Ok(lake.breaks_of(viewer)?.into_iter().map(|(break_id, hour)| (break_id, hour.begin())).collect())
}

fn open(data: &DataDir) -> Result<Option<Lake>, ForgetError> {
    let book = data.lake_db();
    Ok(if book.exists() { Some(Lake::open(&data.lake(), &book)?) } else { None })
}
