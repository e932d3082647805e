//! Forgetting a viewer: whoever asks to be forgotten is in nothing here any more, and the books say the same as before.
//!
//! ```text
//! fold.db removed ─▶ log.db rewritten, with a receipt ─▶ log.db vacuumed ─▶ trackers.db ─▶ lake ─▶ receipt done
//!                    (one transaction)                  └──────── again, if killed ────────┘
//! ```
//!
//! Every row of theirs gets one random viewer in place of the pseudonym, so that what was reached, capped and earned is counted as
//! before; what was known when deciding is removed. See docs/forget.md for what goes and what stays.
//!
//! **Invariants.** No sum of slots, impressions or money changes. Killed between any two steps, the next run does the rest, which
//! needs no pseudonym: the receipt says what. The tables are removed first, so no fold ever goes on from a log that it has not read.

mod calls;
mod found;
mod lake;
mod receipts;
mod rewrite;
mod tables;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use slotkeeper_core::{
    id::{BreakId, BreakStem, ViewerKey},
    time::UnixMillis,
};
use slotkeeper_lake::LakeError;

use crate::{
    data_dir::{self, DataDir, DataDirError, ServeLock},
    lake::PlaceError,
    log::{LogError, SqliteLog},
    sql::SESSIONS,
};
use found::Found;
use receipts::Unfinished;
pub(crate) use receipts::forgotten_breaks;
use rewrite::NewNames;

const HOUR_MS: u64 = 3_600_000;
/// How long the questions of now are waited for, as whoever reads a database is.
const ANSWERS_MAX: Duration = Duration::from_secs(10);
const ANSWERS_LOOK: Duration = Duration::from_millis(50);

/// Told what is being done.
pub type Progress<'a> = &'a dyn Fn(&str);

/// Why a viewer is not forgotten (yet). Run again, it goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The directory cannot be used, or is being served.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// There is nothing that could hold a viewer.
    #[error("{0}: no data directory of an origin: it has no log.db")]
    NoOrigin(PathBuf),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What is kept beside the log, or what was made of it.
    #[error("forget: {0}")]
    Database(#[from] rusqlite::Error),
    /// A file that was made of the log.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// What was there before is still beside a database.
    #[error(
        "{0}: somebody reads it, so what was there before cannot be erased; end that (a question, a backup, an SQL shell), and run \
         this again: it does what is left"
    )]
    BeingRead(PathBuf),
    /// What only the lake has cannot be looked through.
    #[error(
        "{0}: there is none, and the log does not reach back to its first entry: what was dropped of it is in the lake's files alone, \
         and they cannot be read without their book; put the lake.db of a backup back, and run this again"
    )]
    NoBook(PathBuf),
    /// Where its files are.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// No new name could be drawn.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// It was ended by whoever watched the steps.
    #[error("stopped after {0:?}")]
    Stopped(Step),
}

/// What was forgotten, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// The receipt's name; none if there was nothing to forget, or nothing was written.
    pub receipt_id: Option<String>,
    /// How many rows of slots had the viewer.
    pub rows: u64,
    /// How many decisions about them were removed.
    pub decisions: u64,
    /// How many beacons spoke of their slots.
    pub beacons: u64,
    /// How many times a session of theirs said that it lost beacons.
    pub losses: u64,
    /// In how many entries of the log all of that was.
    pub entries: u64,
    /// In how many breaks.
    pub breaks: u64,
}

/// What is done one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The folded tables are gone; of a log whose beginning was dropped they stay, and are changed later.
    TablesRemoved,
    /// The log is rewritten, and there is a receipt.
    LogRewritten,
    /// Nothing of before is in the log's file.
    LogErased,
    /// No call about them waits.
    CallsDropped,
    /// The lake does not know them.
    LakeRewritten,
}

/// What the log of `data` holds of a viewer. Nothing is written.
pub fn look(data: &DataDir, viewer: ViewerKey, progress: Progress<'_>) -> Result<Forgotten, ForgetError> {
    has_log(data)?;
    Ok(find(data, &SqliteLog::open_read_only(&data.log())?, viewer, progress)?.summary(None))
}

/// Forgets a viewer, after it has done what a killed run left undone.
pub fn forget(
    data: &DataDir,
    viewer: ViewerKey,
    now: UnixMillis,
    progress: Progress<'_>,
) -> Result<Forgotten, ForgetError> {
    forget_watched(data, viewer, now, progress, &|_| Ok(()))
}

/// The same; `watch` hears of every step that is done, and may end it there by an error.
pub fn forget_watched(
    data: &DataDir,
    viewer: ViewerKey,
    now: UnixMillis,
    progress: Progress<'_>,
    watch: &dyn Fn(Step) -> Result<(), ForgetError>,
) -> Result<Forgotten, ForgetError> {
    has_log(data)?;
    let lock = data.lock_for_serving()?;
    let _past = data.lock_for_rewriting()?;
    finish_left(data, &lock, now, progress, watch)?;
    let mut log = SqliteLog::open(&data.log())?;
    let found = find(data, &log, viewer, progress)?;
    if found.is_nothing() {
        return Ok(found.summary(None));
    }
    crate::lake::place(data)?; // a store that does not answer is told before anything is half done
    if log.is_whole()? {
        remove_tables(data)?;
    }
    watch(Step::TablesRemoved)?;
    progress(&format!("rewriting {} entries of the log", found.entries.len()));
    let receipt_id = rewrite_log(&mut log, &found, now)?;
    watch(Step::LogRewritten)?;
    if let Some(unfinished) = receipts::unfinished(&log)? {
        finish(data, &log, &unfinished, now, progress, watch)?;
    }
    Ok(found.summary(Some(receipt_id)))
}

/// Does what a killed forgetting left undone, before anybody serves.
pub(crate) fn finish_before_serving(
    data: &DataDir,
    lock: &ServeLock,
    now: UnixMillis,
    progress: Progress<'_>,
) -> Result<(), ForgetError> {
    if !data.log().exists() || !is_unfinished(&SqliteLog::open(&data.log())?)? {
        return Ok(());
    }
    let _past = data.lock_for_rewriting()?;
    finish_left(data, lock, now, progress, &|_| Ok(()))
}

fn finish_left(
    data: &DataDir,
    _lock: &ServeLock,
    now: UnixMillis,
    progress: Progress<'_>,
    watch: &dyn Fn(Step) -> Result<(), ForgetError>,
) -> Result<(), ForgetError> {
    let log = SqliteLog::open(&data.log())?;
    while let Some(unfinished) = receipts::unfinished(&log)? {
        progress(&format!("finishing what receipt {} left undone", unfinished.receipt_id));
        finish(data, &log, &unfinished, now, progress, watch)?;
    }
    Ok(())
}

/// What there is of a viewer, in the log and behind it.
fn find(data: &DataDir, log: &SqliteLog, viewer: ViewerKey, progress: Progress<'_>) -> Result<Found, ForgetError> {
    let behind = |known: &BTreeSet<BreakId>| lake::traces_behind_the_log(data, log, viewer, known);
    Found::read(log, viewer, behind, progress)
}

/// Whether a forgetting is not done everywhere yet.
pub(crate) fn is_unfinished(log: &SqliteLog) -> Result<bool, ForgetError> {
    Ok(receipts::unfinished(log)?.is_some())
}

fn has_log(data: &DataDir) -> Result<(), ForgetError> {
    if data.log().exists() { Ok(()) } else { Err(ForgetError::NoOrigin(data.log())) }
}

/// All that comes after the log's own transaction. Every step may be done again.
fn finish(
    data: &DataDir,
    log: &SqliteLog,
    unfinished: &Unfinished,
    now: UnixMillis,
    progress: Progress<'_>,
    watch: &dyn Fn(Step) -> Result<(), ForgetError>,
) -> Result<(), ForgetError> {
    if log.is_whole()? {
        remove_tables(data)?; // a build of before may have folded meanwhile
    } else {
        remove_old_tables(data)?;
        tables::rewrite(&data.fold(), log, unfinished)?;
    }
    progress("erasing what was there before from log.db");
    log.leave_nothing_behind()?;
    watch(Step::LogErased)?;
    let stems: BTreeSet<BreakStem> = unfinished.breaks.iter().map(BreakId::stem).collect();
    calls::drop_calls(&data.trackers(), log, &stems, now)?;
    watch(Step::CallsDropped)?;
    lake::rewrite(data, log, unfinished, progress)?;
    remove_kept(data)?;
    watch(Step::LakeRewritten)?;
    receipts::finish(log, &unfinished.receipt_id)?;
    Ok(log.leave_nothing_behind()?)
}

/// Rewrites the entries, and writes the receipt: both or nothing.
fn rewrite_log(log: &mut SqliteLog, found: &Found, now: UnixMillis) -> Result<String, ForgetError> {
    let random = |error: getrandom::Error| ForgetError::Random(error.to_string());
    let names = NewNames::draw(found).map_err(random)?;
    let mut drawn = [0; 16];
    getrandom::fill(&mut drawn).map_err(random)?;
    let receipt_id = format!("{:032x}", u128::from_be_bytes(drawn));
    let rewriting = log.rewriting()?;
    receipts::make_tables(rewriting.beside())?;
    receipts::begin(rewriting.beside(), &receipt_id, now, found, names.viewer())?;
    for (before, now) in names.sessions() {
        receipts::note_name(rewriting.beside(), "session", &before.to_string(), &now.to_string())?;
    }
    for seq in &found.entries {
        let Some(entry) = rewriting.entry(*seq)? else { continue };
        receipts::note_entry(rewriting.beside(), &entry)?;
        let mut renamed = Vec::new();
        let bytes = rewrite::without(found, &names, &entry.received.bytes, |before, now| renamed.push((before, now)));
        rewriting.replace(*seq, &bytes)?;
        for (before, now) in renamed {
            receipts::note_name(rewriting.beside(), "row", &before.to_string(), &now.to_string())?;
        }
    }
    rewriting.commit()?;
    Ok(receipt_id)
}

/// The folded tables: `serve` folds them again from the log.
fn remove_tables(data: &DataDir) -> Result<(), ForgetError> {
    remove_old_tables(data)?;
    remove_database(&data.fold())
}

/// Leaves nothing in a database or beside it of what it held before.
fn erase(db: &rusqlite::Connection, path: &Path) -> Result<(), ForgetError> {
    if data_dir::leave_nothing_behind(db)? { Ok(()) } else { Err(ForgetError::BeingRead(path.into())) }
}

/// What questions keep of the lake while they are answered, and left of it if they were killed. Those of now are waited for.
fn remove_kept(data: &DataDir) -> Result<(), ForgetError> {
    let path = data.lake().join(SESSIONS);
    let begin = Instant::now();
    loop {
        match slotkeeper_query::living_sessions(&path) {
            Ok(0) => return Ok(()),
            Ok(_) if begin.elapsed() < ANSWERS_MAX => thread::sleep(ANSWERS_LOOK),
            Ok(_) => return Err(ForgetError::BeingRead(path)),
            Err(source) => return Err(ForgetError::Io { path, source }),
        }
    }
}

/// The tables of an earlier build, put aside.
fn remove_old_tables(data: &DataDir) -> Result<(), ForgetError> {
    remove_database(&data.fold().with_extension("db.old"))
}

fn remove_database(path: &Path) -> Result<(), ForgetError> {
    // The log of writes goes first: what is left without it is an earlier state of the tables, and never a mixture.
    for end in ["-wal", "-shm", ""] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        remove(Path::new(&name))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), ForgetError> {
    data_dir::remove_file(path).map_err(|source| ForgetError::Io { path: path.into(), source })
}

impl Found {
    fn summary(&self, receipt_id: Option<String>) -> Forgotten {
        let breaks: BTreeSet<BreakId> = self.breaks.iter().map(|(break_id, _)| *break_id).collect();
        Forgotten {
            receipt_id,
            rows: self.rows,
            decisions: self.decisions,
            beacons: self.beacons,
            losses: self.losses,
            entries: self.entries.len() as u64,
            breaks: breaks.len() as u64,
        }
    }
}
