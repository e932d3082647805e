//! The lake of a folder: what is written to it, and in which order, so that a process killed anywhere loses nothing and leaves nothing.
//!
//! Facts: the files first, then one transaction that lists them, moves the offset and says which hours are to be folded. An hour: its
//! files first, each replaced whole, then one transaction with its totals that says it is folded. A run that is killed in between does
//! the same again, and makes the same.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{File, OpenOptions, TryLockError},
    num::NonZero,
    path::Path,
    sync::Mutex,
    thread,
};

use bytes::Bytes;
use rusqlite::Connection;
use slotkeeper_core::{contract::RegistryRecord, id::RecordId};

use crate::{
    apart::{self, Apart},
    book::{self, RawFile},
    error::LakeError,
    file,
    fold::{self, DERIVED, Folded, PASS_ROWS, Raw},
    hour::Hour,
    raw::{LogEntry, RAW, Sorted},
    store::{Files, PART, Place, name_in},
    tables::{RAW_OPPORTUNITIES, Table},
};

/// About how many bytes of batches are in memory at once.
pub const CHUNK_BYTES: usize = 64 * 1024 * 1024;
/// An hour's table is merged into one file when it has more.
pub const FILES_MAX: usize = 16;
/// The most hours that are folded at once.
const THREADS_MAX: usize = 4;

/// Where batches come from.
pub trait Log {
    /// The entries after place `after`, in order: some of them, but at least one if there is one.
    fn read(&self, after: u64) -> Result<Vec<LogEntry>, Fault>;
    /// The place of the last entry; 0 when there is none.
    fn last_seq(&self) -> Result<u64, Fault>;
}

/// Where ads as sold come from: those of contracts. (What auctions sold is in the facts.)
pub trait Registry: Send {
    /// The ad as sold; `None` if it is not known (yet).
    fn record(&mut self, id: RecordId) -> Result<Option<RegistryRecord>, Fault>;
}

/// What went wrong outside the lake.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A lake that this process advances; no other does meanwhile.
pub struct Lake {
    pub(crate) files: Files,
    pub(crate) db: Connection,
    /// What bounds memory; less in tests.
    bounds: Bounds,
    /// Up to which entry those that builds of before could not read were tried again.
    tried_again: u64,
    /// Hours that could not be folded, as they were then: they wait until no other is to be.
    stuck: BTreeSet<(Hour, u64)>,
    _lock: File,
}

/// What bounds the lake's memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) chunk_bytes: usize,
    pub(crate) pass_rows: u64,
    pub(crate) files_max: usize,
    pub(crate) threads_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
        Self { chunk_bytes: CHUNK_BYTES, pass_rows: PASS_ROWS, files_max: FILES_MAX, threads_max: threads }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How far the log is in the lake now.
    pub consumed_seq: u64,
    /// How many entries were written.
    pub entries: usize,
    /// How many facts they held.
    pub facts: u64,
    /// How many hours were folded.
    pub hours: usize,
    /// How many facts those have.
    pub folded_rows: u64,
    /// How many files were merged into others.
    pub compacted: usize,
}

/// One round of keeping the lake up with a log that may grow meanwhile: what was logged when it began is written, and what builds of
/// before could not read; then what that touched is folded, then files are merged where there are many. However fast facts come, each
/// has its turn.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    goal: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Write,
    TryAgain,
    Fold,
    Merge,
}

impl Round {
    /// Begins a round.
    pub fn begin(log: &dyn Log) -> Result<Self, LakeError> {
        Ok(Self { goal: log.last_seq().map_err(LakeError::Outside)?, stage: Stage::Write })
    }
}

impl Step {
    /// Whether there was nothing to do, and so the round is over.
    #[must_use]
    pub fn found_nothing(&self) -> bool {
        self.entries == 0 && self.hours == 0 && self.compacted == 0
    }
}

impl Lake {
    /// Opens the lake of a place with its book, or starts one. What a killed run left unlisted is taken away.
    pub fn open(place: impl Into<Place>, book: &Path) -> Result<Self, LakeError> {
        let lock = lock(&book.with_extension("lock"))?;
        let (db, knows_no_breaks) = book::open(book)?;
        let files = Files::at(place)?;
        let (bounds, stuck) = (Bounds::default(), BTreeSet::new());
        let mut lake = Self { files, db, bounds, tried_again: 0, stuck, _lock: lock };
        lake.sweep()?;
        if knows_no_breaks {
            lake.note_breaks()?;
        }
        Ok(lake)
    }

    /// Notes the hours of all breaks, in a book of before they were.
    fn note_breaks(&mut self) -> Result<(), LakeError> {
        let commit = self.db.transaction()?;
        let mut is_whole = true;
        for file in book::files(&commit, RAW_OPPORTUNITIES.name, None)? {
            let path = name_in(&RAW_OPPORTUNITIES, file.hour, &file.name);
            let read = self.files.get(&path);
            if let Ok(rows) = read.and_then(|bytes| file::read(&apart::IDS, bytes).map_err(LakeError::file(&path))) {
                apart::note(&commit, file.hour, &apart::breaks_of(&rows))?;
            } else {
                // The fold of its hour says which and why; the others go on, and these are learnt once it is mended.
                is_whole = false;
                book::dirty(&commit, file.hour, 0)?;
            }
        }
        if is_whole {
            book::breaks_noted(&commit)?;
        }
        Ok(commit.commit()?)
    }

    /// How far the log is in the lake.
    pub fn consumed_seq(&self) -> Result<u64, LakeError> {
        Ok(book::offset(&self.db)?.0)
    }

    /// How many hours are to be folded.
    pub fn dirty_hours(&self) -> Result<usize, LakeError> {
        Ok(book::dirty_hours(&self.db, usize::MAX >> 1)?.len())
    }

    /// Does some of a round: writes entries of the log, folds hours, or merges the files of one. What it holds in memory is bounded.
    pub fn step(&mut self, round: &mut Round, log: &dyn Log, registry: &mut dyn Registry) -> Result<Step, LakeError> {
        if round.stage == Stage::Write {
            let wrote = self.write_next(log)?; // also of a log that seems to have nothing new: it may be another
            if wrote.consumed_seq >= round.goal {
                round.stage = Stage::TryAgain;
            }
            if wrote.entries > 0 {
                return Ok(wrote);
            }
        }
        if round.stage == Stage::TryAgain {
            let wrote = self.write_now_readable(log)?;
            if wrote.entries > 0 {
                return Ok(wrote);
            }
            round.stage = Stage::Fold;
        }
        if round.stage == Stage::Fold {
            let folded = self.fold_next(registry)?;
            if folded.hours > 0 {
                return Ok(folded);
            }
            round.stage = Stage::Merge;
        }
        self.compact_next()
    }

    /// Does one round. Tells `progress` of every step.
    pub fn advance(
        &mut self,
        log: &dyn Log,
        registry: &mut dyn Registry,
        progress: &mut dyn FnMut(&Step),
    ) -> Result<(), LakeError> {
        let mut round = Round::begin(log)?;
        loop {
            let step = self.step(&mut round, log, registry)?;
            if step.found_nothing() {
                return Ok(());
            }
            progress(&step);
        }
    }

    /// Writes the next entries of the log.
    pub fn write_next(&mut self, log: &dyn Log) -> Result<Step, LakeError> {
        let (consumed, last_hash) = book::offset(&self.db)?;
        let entries = self.next_chunk(log, consumed, last_hash.as_deref())?;
        let Some(last) = entries.last() else { return Ok(Step { consumed_seq: consumed, ..Step::default() }) };
        let (last_seq, last_hash, count) = (last.seq, entry_hash(last), entries.len());
        let sorted = sorted(&entries, self.bounds.threads_max);
        drop(entries);
        let facts = sorted.counts.received;
        let listed = put_raw(&self.files, &sorted, self.bounds.threads_max)?;

        let commit = self.db.transaction()?;
        list(&commit, &listed, &sorted)?;
        book::set_offset(&commit, last_seq, &last_hash)?;
        self.files.step()?;
        commit.commit()?;
        self.files.step()?;
        Ok(Step { consumed_seq: last_seq, entries: count, facts, ..Step::default() })
    }

    /// Writes what an entry holds that a build of before could not read, if this one can. Each is tried once.
    fn write_now_readable(&mut self, log: &dyn Log) -> Result<Step, LakeError> {
        while let Some(seq) = book::next_unreadable(&self.db, self.tried_again)? {
            self.tried_again = seq;
            let entries = log.read(seq - 1).map_err(LakeError::Outside)?;
            let Some(entry) = entries.first().filter(|entry| entry.seq == seq) else { continue };
            let sorted = Sorted::of(std::slice::from_ref(entry));
            if !sorted.unreadable.is_empty() {
                continue;
            }
            let listed = put_raw(&self.files, &sorted, self.bounds.threads_max)?;
            let commit = self.db.transaction()?;
            list(&commit, &listed, &sorted)?;
            book::now_readable(&commit, seq)?;
            self.files.step()?;
            commit.commit()?;
            let facts = sorted.counts.received;
            return Ok(Step { consumed_seq: self.consumed_seq()?, entries: 1, facts, ..Step::default() });
        }
        Ok(Step { consumed_seq: self.consumed_seq()?, ..Step::default() })
    }

    /// The entries behind those in the lake: as many as are held at once.
    fn next_chunk(&self, log: &dyn Log, consumed: u64, last_hash: Option<&str>) -> Result<Vec<LogEntry>, LakeError> {
        let mut entries = Vec::new();
        if consumed > 0 {
            entries = log.read(consumed - 1).map_err(LakeError::Outside)?;
            let is_it = |entry: &LogEntry| entry.seq == consumed && Some(entry_hash(entry).as_str()) == last_hash;
            if !entries.first().is_some_and(is_it) {
                return Err(LakeError::OtherLog { consumed, last: log.last_seq().map_err(LakeError::Outside)? });
            }
            entries.remove(0);
        }
        let mut bytes = entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
        while bytes < self.bounds.chunk_bytes {
            let after = entries.last().map_or(consumed, |last: &LogEntry| last.seq);
            let next = log.read(after).map_err(LakeError::Outside)?;
            if next.is_empty() {
                break;
            }
            bytes += next.iter().map(|entry| entry.bytes.len()).sum::<usize>();
            entries.extend(next);
        }
        Ok(entries)
    }

    /// Folds some of the hours of which anything has come, or of which an ad as sold has become known. One that cannot be folded stays as
    /// it was and keeps no other from being so: it is told once nothing else is to be folded.
    pub fn fold_next(&mut self, registry: &mut dyn Registry) -> Result<Step, LakeError> {
        self.apply_now_known(registry)?;
        loop {
            let to_fold = book::dirty_hours(&self.db, self.bounds.threads_max + self.stuck.len())?;
            let others: Vec<_> = to_fold.iter().copied().filter(|hour| !self.stuck.contains(hour)).collect();
            let is_the_rest = others.is_empty();
            let mut hours = if is_the_rest { to_fold } else { others };
            hours.truncate(self.bounds.threads_max);
            let (done, failed) = self.fold_hours(hours, registry)?;
            match failed {
                Some(error) if is_the_rest => return Err(error),
                Some(_) if done.hours == 0 => {}
                _ => return Ok(done),
            }
        }
    }

    /// Folds these hours, as they are now. Tells of one that cannot be folded, if there is one.
    fn fold_hours(
        &mut self,
        hours: Vec<(Hour, u64)>,
        registry: &mut dyn Registry,
    ) -> Result<(Step, Option<LakeError>), LakeError> {
        self.stuck.extend(&hours);
        let mut inputs = Vec::new();
        for (hour, version) in hours {
            let mut raw = HourFiles { files: &self.files, hour, tables: BTreeMap::new() };
            for table in RAW {
                raw.tables.insert(table.name, book::files(&self.db, table.name, Some(hour))?);
            }
            inputs.push((hour, version, raw, apart::of_hour(&self.db, hour)?));
        }
        let db = Mutex::new((&mut self.db, registry));
        let ask = |id: RecordId| {
            let mut both = db.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match book::auction_record(both.0, id)? {
                Some(record) => Ok(Some(record)),
                None => both.1.record(id).map_err(LakeError::Outside),
            }
        };
        let (files, pass_rows) = (&self.files, self.bounds.pass_rows);
        let fold_one = |hour: Hour, raw: &HourFiles<'_>, apart: &Apart| {
            let folded = fold::fold_hour(hour, raw, raw.rows(), pass_rows, apart, &mut |id| ask(id))?;
            let Folded { files: parts, totals, tally, unknown, rivals } = folded;
            let _replacing = files.replacing()?;
            for (table, bytes) in DERIVED.iter().zip(parts) {
                files.put(&name_in(table, hour, PART), bytes)?;
            }
            Ok::<_, LakeError>((totals, tally, unknown, rivals))
        };
        let folded = in_parallel(self.bounds.threads_max, inputs, |(hour, version, raw, apart)| {
            Ok(fold_one(hour, &raw, &apart).map(|folded| (hour, version, apart.breaks, folded)))
        })?;
        let (folded, failed): (Vec<_>, Vec<Result<_, LakeError>>) = folded.into_iter().partition(Result::is_ok);
        let commit = self.db.transaction()?;
        let (mut folded_rows, count) = (0, folded.len());
        for (hour, version, breaks, (totals, tally, unknown, rivals)) in folded.into_iter().flatten() {
            self.stuck.remove(&(hour, version));
            folded_rows += tally.unique + tally.duplicate + tally.refused;
            book::folded(&commit, hour, version, &totals, tally, unknown.into_iter())?;
            apart::tell(&commit, hour, &breaks, &rivals)?;
        }
        self.files.step()?;
        commit.commit()?;
        self.files.step()?;
        let step = Step { consumed_seq: self.consumed_seq()?, hours: count, folded_rows, ..Step::default() };
        Ok((step, failed.into_iter().find_map(Result::err)))
    }

    /// Lets hours be folded again that were folded without an ad as sold that is known by now.
    fn apply_now_known(&mut self, registry: &mut dyn Registry) -> Result<(), LakeError> {
        for record in book::unknown_records(&self.db)? {
            let is_known = book::auction_record(&self.db, record)?.is_some()
                || registry.record(record).map_err(LakeError::Outside)?.is_some();
            if is_known {
                let commit = self.db.transaction()?;
                book::now_known(&commit, record)?;
                commit.commit()?;
            }
        }
        Ok(())
    }

    /// Merges the files of one hour's table that has many. What is folded of them stays what it is.
    pub fn compact_next(&mut self) -> Result<Step, LakeError> {
        for table in RAW {
            if let Some(hour) = book::crowded_hours(&self.db, table.name, self.bounds.files_max)?.first() {
                let merged = self.compact(table, *hour)?;
                return Ok(Step { consumed_seq: self.consumed_seq()?, compacted: merged, ..Step::default() });
            }
        }
        Ok(Step { consumed_seq: self.consumed_seq()?, ..Step::default() })
    }

    fn compact(&mut self, table: &'static Table, hour: Hour) -> Result<usize, LakeError> {
        let old = book::files(&self.db, table.name, Some(hour))?;
        let (Some(first), Some(last)) = (old.first(), old.last()) else { return Ok(0) };
        let name = format!("{:012}-{:012}-merged.parquet", first.first_seq, last.last_seq);
        let path = name_in(table, hour, &name);
        let mut merged = file::FileWriter::new(table).map_err(LakeError::file(&path))?;
        for one in &old {
            let of = name_in(table, hour, &one.name);
            for group in file::FileGroups::open(table, self.files.get(&of)?).map_err(LakeError::file(&of))? {
                let group = group.map_err(LakeError::file(&of))?;
                for index in 0..group.len() {
                    let mut row = merged.row().map_err(LakeError::file(&path))?;
                    for column in group.columns() {
                        row.copy(column, index);
                    }
                }
            }
        }
        let bytes = merged.finish().map_err(LakeError::file(&path))?;
        let new = RawFile {
            table: table.name.into(),
            hour,
            name,
            rows: old.iter().map(|file| file.rows).sum(),
            bytes: bytes.len() as u64,
            first_seq: first.first_seq,
            last_seq: last.last_seq,
        };
        self.files.put(&path, bytes)?;
        let commit = self.db.transaction()?;
        for one in &old {
            book::remove_file(&commit, one)?;
        }
        book::add_file(&commit, &new)?;
        self.files.step()?;
        commit.commit()?;
        for one in &old {
            self.files.delete(&name_in(table, hour, &one.name))?;
        }
        Ok(old.len())
    }

    /// Empties the lake, so that it is made anew from the log.
    pub fn clear(&mut self) -> Result<(), LakeError> {
        book::clear(&self.db)?;
        self.sweep()?;
        for table in DERIVED {
            for name in self.files.list(table)? {
                self.files.delete(&name)?;
            }
        }
        Ok(())
    }

    /// Takes away what a killed run left: files that are not listed, and those it was writing.
    fn sweep(&self) -> Result<(), LakeError> {
        for table in RAW {
            let listed: HashSet<String> = book::files(&self.db, table.name, None)?
                .iter()
                .map(|file| name_in(table, file.hour, &file.name))
                .collect();
            for name in self.files.list(table)?.iter().filter(|name| !listed.contains(*name)) {
                self.files.delete(name)?;
            }
        }
        let all: Vec<&Table> = RAW.into_iter().chain(DERIVED).collect();
        self.files.sweep_unfinished(&all)
    }

    #[cfg(test)]
    pub(crate) fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    #[cfg(test)]
    pub(crate) fn break_off_after(&self, steps: Option<u32>) {
        *self.files.steps.left.lock().unwrap() = steps;
    }
}

/// Lists what was written, and notes what it holds beside and what it changes.
fn list(db: &Connection, files: &[RawFile], sorted: &Sorted) -> rusqlite::Result<()> {
    for file in files {
        book::add_file(db, file)?;
    }
    for (hour, rows) in &sorted.hours {
        book::dirty(db, *hour, rows.late)?;
        apart::note(db, *hour, &apart::breaks_of(&rows.tables[0]))?;
    }
    book::add_auctions(db, &sorted.auctions)?;
    book::add_losses(db, &sorted.losses)?;
    book::add_unreadable(db, &sorted.unreadable)?;
    book::add_counts(db, &sorted.counts)
}

/// Writes the files of these rows. They are not listed yet.
fn put_raw(files: &Files, sorted: &Sorted, threads: usize) -> Result<Vec<RawFile>, LakeError> {
    let all = sorted.hours.iter().flat_map(|(hour, rows)| rows.tables.iter().map(move |table| (*hour, rows, table)));
    let tables: Vec<_> = all.filter(|(_, _, table)| !table.is_empty()).collect();
    in_parallel(threads, tables, |(hour, rows, table)| {
        let name = format!("{:012}-{:012}.parquet", rows.first_seq, rows.last_seq);
        let path = name_in(table.table(), hour, &name);
        let bytes = file::write(table).map_err(LakeError::file(&path))?;
        let file = RawFile {
            table: table.table().name.into(),
            hour,
            name,
            rows: table.len() as u64,
            bytes: bytes.len() as u64,
            first_seq: rows.first_seq,
            last_seq: rows.last_seq,
        };
        files.put(&path, bytes)?;
        Ok(file)
    })
}

/// Of an entry: its place, its time and its bytes.
fn entry_hash(entry: &LogEntry) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&entry.seq.to_le_bytes());
    hasher.update(&entry.received_at.0.to_le_bytes());
    hasher.update(&entry.bytes);
    hasher.finalize().to_hex().to_string()
}

/// What entries hold, read by some threads and put together in their order.
fn sorted(entries: &[LogEntry], threads: usize) -> Sorted {
    let share = entries.len().div_ceil(threads).max(1);
    let parts = thread::scope(|scope| {
        let threads: Vec<_> = entries.chunks(share).map(|part| scope.spawn(|| Sorted::of(part))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or_default();
    parts.for_each(|part| all.append(part));
    all
}

/// Does `each` for all of them, some at a time; the outcomes in their order, or the first fault.
fn in_parallel<I: Send, O: Send>(
    threads: usize,
    inputs: Vec<I>,
    each: impl Fn(I) -> Result<O, LakeError> + Sync,
) -> Result<Vec<O>, LakeError> {
    let count = inputs.len();
    let queue = Mutex::new(inputs.into_iter().enumerate());
    let done = Mutex::new(Vec::with_capacity(count));
    let lock_failed = "a thread has panicked, and so does this one";
    thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect(lock_failed).next();
                    let Some((index, input)) = next else { return };
                    let outcome = each(input);
                    let failed = outcome.is_err();
                    done.lock().expect(lock_failed).push((index, outcome));
                    if failed {
                        queue.lock().expect(lock_failed).by_ref().for_each(drop);
                        return;
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().expect(lock_failed);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The raw files of an hour.
struct HourFiles<'a> {
    files: &'a Files,
    hour: Hour,
    tables: BTreeMap<&'static str, Vec<RawFile>>,
}

impl HourFiles<'_> {
    /// How many facts are to be folded. (Decisions are not: what they say of rows is in the rows.)
    fn rows(&self) -> u64 {
        self.tables.values().flatten().filter(|file| file.table != RAW[2].name).map(|file| file.rows).sum()
    }
}

impl Raw for HourFiles<'_> {
    fn files(&self, table: &'static Table) -> usize {
        self.tables.get(table.name).map_or(0, Vec::len)
    }

    fn file(&self, table: &'static Table, index: usize) -> Result<(String, Bytes), LakeError> {
        let name = name_in(table, self.hour, &self.tables[table.name][index].name);
        let bytes = self.files.get(&name)?;
        Ok((name, bytes))
    }
}

/// Holds the lake for one process; released when dropped, or when the process dies.
fn lock(path: &Path) -> Result<File, LakeError> {
    let io = |source| LakeError::Io { path: path.into(), source };
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LakeError::InUse(path.into())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}
