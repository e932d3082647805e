//! Checking the laws against what is stored: the tables, the log, the bookings and the edges' stores.
//!
//! Everything is recomputed by code of its own: plain loops over all there is, slow and short, which share nothing with
//! the code they check but the shapes of the data. Two laws are exceptions by their nature: 8 folds again with the fold,
//! and 9 decides again with `decide`.

mod caps;
mod claims;
mod lake;
mod logged;
mod plans;
mod redis;
mod refold;
mod refused;
mod replays;
mod report;
mod reports;
mod revenue;
mod slots;
mod store;
mod tables;

use std::{
    collections::BTreeSet,
    thread::sleep,
    time::{Duration, Instant},
};

use slotkeeper_core::{id::BreakId, time::UnixMillis};

pub use report::{FINDINGS_LISTED_MAX, Finding, Law, Report};
pub use store::{EdgeStore, StoreError};

use crate::{
    clock,
    data_dir::{self, DataDir},
    forget::forgotten_breaks,
    log::{Log as _, LogError, SqliteLog},
    replay::Replayer,
};
use logged::Logged;
use store::StoreBook;
use tables::Tables;

/// How many decisions are made again when nobody says: all of them, up to this many.
pub const REPLAYS_DEFAULT: usize = 10_000;

/// How long an audit waits for the fold to catch up with the log.
const FOLD_PATIENCE: Duration = Duration::from_secs(10);

/// Told what the audit is at.
pub type Progress<'a> = &'a dyn Fn(&str);

/// What to audit.
pub struct Options<'a> {
    /// The origin's state.
    pub data: DataDir,
    /// The stores of its edges.
    pub stores: Vec<EdgeStore>,
    /// How many decisions are made again at most; a random sample if there are more.
    pub replays_max: usize,
    /// Told what the audit is at.
    pub progress: Progress<'a>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A database of the data directory.
    #[error("data directory: {0}")]
    Database(#[from] rusqlite::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An edge's store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lake.
    #[error(transparent)]
    Lake(#[from] slotkeeper_lake::LakeError),
    /// Where its files are.
    #[error(transparent)]
    Place(#[from] crate::lake::PlaceError),
    /// Folding again.
    #[error(transparent)]
    Fold(#[from] crate::fold::FoldError),
    /// The tables lag.
    #[error(
        "the tables are {0} batches behind the log, and nobody folds them; run `slotkeeper serve` on this data directory, \
         or until it has caught up"
    )]
    Behind(u64),
    /// The log begins later than what was folded.
    #[error(
        "the log begins at entry {0}: what was before was dropped for its age (`slotkeeper retention`), and no law can be \
         recomputed without it; audit before dropping, or audit a backup"
    )]
    LogBeginsLater(u64),
    /// The log ends before what was folded.
    #[error(
        "entry {folded} of the log is folded, but the log ends at {last}; it is another log, or an older copy of it"
    )]
    ShortLog {
        /// The last one folded.
        folded: u64,
        /// The last one there is.
        last: u64,
    },
    /// The folder for what is folded again.
    #[error("a temporary folder: {0}")]
    Temporary(#[from] std::io::Error),
}

/// All that is audited, read once.
struct Books {
    tables: Tables,
    logged: Logged,
    /// How far the log reached before the stores were read: what is in there by then is in the stores too.
    before_stores_seq: u64,
    stores: Vec<StoreBook>,
    /// The breaks of viewers who were forgotten: their decisions and claims are gone for that.
    forgotten: BTreeSet<BreakId>,
    /// When the stores were read.
    now: UnixMillis,
}

/// Audits everything. Nothing is written; the origin and its edges may go on working.
pub fn audit(options: &Options<'_>) -> Result<Report, AuditError> {
    let progress = options.progress;
    let log = SqliteLog::open_read_only(&options.data.log())?;
    let contracts = data_dir::connect_read_only(&options.data.contracts())?;

    if let Some(first) = log.read(0, 1)?.first().map(|first| first.seq).filter(|first| *first > 1) {
        return Err(AuditError::LogBeginsLater(first));
    }
    // In this order: a row that was logged before a store is read has its claim in there; and a claim found in there has
    // its row in what is folded after.
    let before_stores_seq = log.last_seq()?;
    let now = clock::now();
    let mut stores = Vec::new();
    for store in &options.stores {
        progress(&format!("reading {store}"));
        stores.push(store.read()?);
    }
    wait_for_the_fold(options, log.last_seq()?)?;
    let mut replayer = Replayer::open(&options.data)?;
    replayer.stay_at_this_moment()?; // one for all of the audit
    let tables = Tables::read(replayer.fold())?;
    let logged = Logged::read(&log, tables.consumed_seq, progress)?;
    let forgotten = forgotten_breaks(&options.data.log())?;
    let books = Books { tables, logged, before_stores_seq, stores, forgotten, now };
    let mut plans = plans::Plans::new(&contracts);

    progress("law 1: conservation");
    let mut laws = vec![slots::check(&books)];
    progress("law 2: caps");
    laws.push(caps::check(&books, &mut plans)?);
    progress("law 4: claims");
    laws.push(claims::check(&books, &mut plans)?);
    progress("law 6: revenue");
    laws.push(revenue::check(&books, &contracts)?);
    progress("law 8: folding the log from zero");
    laws.push(refold::check(&options.data, replayer.fold(), books.tables.consumed_seq)?);
    if options.data.lake_db().exists() {
        progress("law 8: the lake against the tables");
        laws.push(lake::check(&options.data, replayer.fold(), books.tables.consumed_seq)?);
    }
    progress("law 9: deciding again");
    laws.push(replays::check(&mut replayer, &books, options.replays_max, progress)?);
    Ok(Report { log_seq: books.tables.consumed_seq, laws })
}

fn wait_for_the_fold(options: &Options<'_>, last: u64) -> Result<(), AuditError> {
    let deadline = Instant::now() + FOLD_PATIENCE;
    let mut before = None;
    loop {
        let consumed: u64 = data_dir::connect_read_only(&options.data.fold())?.query_row(
            "SELECT consumed_seq FROM fold_offset",
            [],
            |row| row.get(0),
        )?;
        if consumed >= last {
            return Ok(());
        }
        (options.progress)(&format!("waiting for the fold: {consumed} of {last} batches"));
        if Instant::now() >= deadline && before.is_none_or(|before| before == consumed) {
            return Err(AuditError::Behind(last - consumed));
        }
        before = Some(consumed);
        sleep(Duration::from_millis(200));
    }
}
