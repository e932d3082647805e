//! The lake of a data directory: between its log and its registry, and `slotkeeper-lake`, which knows neither.

pub mod mirror;
pub mod place;
mod s3;

use std::time::Duration;

use slotkeeper_core::{contract::RegistryRecord, id::RecordId};
use slotkeeper_lake::{
    Fault, Lake, LakeError, Log as LakeLog, LogEntry, Registry as LakeRegistry, Round, Status, Step,
};
use tokio::sync::watch;

use crate::{
    data_dir::DataDir,
    forget,
    log::{Entry, Log, LogError, SqliteLog},
    registry::Registry,
};
pub use place::{PlaceError, Shelf, place};

/// How often a serving origin looks for what has come.
const EVERY: Duration = Duration::from_mins(1);
/// How many entries of the log are read at once.
const ENTRIES_READ: usize = 64;

/// The lake with what it is made from.
pub struct Advancing {
    lake: Lake,
    log: SqliteLog,
    registry: Registry,
}

/// Why the lake could not be advanced.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The lake itself.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Where its files are.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The registry.
    #[error("contracts.db: {0}")]
    Registry(#[from] rusqlite::Error),
    /// A viewer is half forgotten: the log is rewritten, and the lake knows it as it was.
    #[error(
        "lake: a viewer is forgotten in the log and not everywhere yet; run `slotkeeper forget` again, or `slotkeeper serve`, which \
         finishes it"
    )]
    Forgetting,
    /// What the log has no more is in the lake alone, and the lake's book does not know of it.
    #[error(
        "lake: the log begins at entry {first}, and lake.db says that the lake has it to entry {consumed} only: what lies \
         between is in no file that it lists; put the lake.db of a backup back, and leave the folder as it is"
    )]
    LogBeginsLater {
        /// The log's first entry.
        first: u64,
        /// How far the book goes.
        consumed: u64,
    },
}

impl Advancing {
    /// Opens the lake of a data directory, or starts one. Its log and its contracts are there already.
    pub fn open(data: &DataDir) -> Result<Self, AdvanceError> {
        let log = SqliteLog::open_read_only(&data.log())?;
        let registry = Registry::open(&data.contracts())?;
        if forget::is_unfinished(&log).map_err(|error| LogError(error.to_string()))? {
            return Err(AdvanceError::Forgetting);
        }
        // Before the lake is opened, which takes away what its book does not list.
        let first = log.first_seq()?;
        let consumed = Status::read(&data.lake_db())?.map_or(0, |status| status.consumed_seq);
        if consumed + 1 < first {
            return Err(AdvanceError::LogBeginsLater { first, consumed });
        }
        Ok(Self { lake: Lake::open(place(data)?, &data.lake_db())?, log, registry })
    }

    /// Begins a round of writing, folding and merging.
    pub fn round(&self) -> Result<Round, AdvanceError> {
        Ok(Round::begin(&self.log)?)
    }

    /// Does some of a round; see [`Lake::step`].
    pub fn step(&mut self, round: &mut Round) -> Result<Step, AdvanceError> {
        Ok(self.lake.step(round, &self.log, &mut self.registry)?)
    }

    /// Merges the files of one hour's table that has many.
    pub fn compact(&mut self) -> Result<Step, AdvanceError> {
        Ok(self.lake.compact_next()?)
    }

    /// Empties the lake.
    pub fn clear(&mut self) -> Result<(), AdvanceError> {
        Ok(self.lake.clear()?)
    }
}

impl LakeLog for SqliteLog {
    fn read(&self, after: u64) -> Result<Vec<LogEntry>, Fault> {
        let entry =
            |entry: Entry| LogEntry { seq: entry.seq, received_at: entry.received.at, bytes: entry.received.bytes };
        Ok(Log::read(self, after, ENTRIES_READ)?.into_iter().map(entry).collect())
    }

    fn last_seq(&self) -> Result<u64, Fault> {
        Ok(Log::last_seq(self)?)
    }
}

impl LakeRegistry for Registry {
    fn record(&mut self, id: RecordId) -> Result<Option<RegistryRecord>, Fault> {
        Ok(self.get(id)?.cloned())
    }
}

/// Keeps the lake up with the log while the origin serves: a round every minute, one step at a time, so that it stops soon when told
/// to. What it cannot do it tells, and tries again: facts wait in the log.
pub async fn keep_advancing(data: DataDir, mut stop: watch::Receiver<bool>) {
    let mut advancing = None;
    while !*stop.borrow() {
        let (opened, data) = (advancing.take(), data.clone());
        let stepped = tokio::task::spawn_blocking(move || {
            let (mut advancing, mut round) = if let Some(under_way) = opened {
                under_way
            } else {
                // Whatever is booked while the origin serves is exported by who books it.
                if let Err(error) = crate::dims::export(&data) {
                    crate::tell!("slotkeeper: the dimensions are not exported: {error}");
                }
                let advancing = Advancing::open(&data)?;
                let round = advancing.round()?;
                (advancing, round)
            };
            let done = advancing.step(&mut round)?;
            if done.found_nothing() {
                round = advancing.round()?;
            }
            Ok::<_, AdvanceError>(((advancing, round), done))
        });
        let found_nothing = match stepped.await {
            Ok(Ok((opened, done))) => {
                advancing = Some(opened);
                done.found_nothing()
            }
            Ok(Err(error)) => {
                crate::tell!("slotkeeper: {error}");
                true
            }
            Err(error) => {
                crate::tell!("slotkeeper: the lake has panicked, and is tried again: {error}");
                true
            }
        };
        if found_nothing {
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
}
