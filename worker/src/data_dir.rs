//! The data directory: all state of an origin, SQLite files and a folder of Parquet.
//!
//! | file | what | if it is lost |
//! | --- | --- | --- |
//! | `log.db` | every batch of facts as received; the source of truth | the facts are lost |
//! | `contracts.db` | what is booked, the registry of ads as sold, the plans published | bookings are lost |
//! | `trackers.db` | which vendors were called, and which are to be | some are not called; none twice |
//! | `ledger.db` | what is owed to advertisers for short deliveries; of some origins in PostgreSQL | what was agreed about it is lost |
//! | `pacing.db` | how every flight stood at the end of each day | days are closed again |
//! | `fold.db` | the tables folded from log and contracts, for the pages | it is folded again |
//! | `lake/`, `lake.db` | facts by the hour and the tables folded from them, for questions; which files there are, and totals | both are made again, as far back as the log goes: `slotkeeper lake rebuild` |
//! | `lake.place` | the store that the lake is in instead of the folder, which then holds a copy to be asked, as `lake.mirror` notes | the lake is looked for in the folder, and is not there |

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

/// The log's file in it.
pub(crate) const LOG: &str = "log.db";
/// How long one statement waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Where an origin keeps its state.
#[derive(Clone, Debug)]
pub struct DataDir(PathBuf);

/// Why the data directory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or read.
    #[error("data directory {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another `serve` works in it.
    #[error("data directory {0}: another `slotkeeper serve` is using it; stop that one first")]
    InUse(PathBuf),
    /// Another close works on its books.
    #[error(
        "data directory {0}: another `slotkeeper close` or `slotkeeper ledger` is writing its books; try again when it is done"
    )]
    BooksInUse(PathBuf),
    /// Somebody copies or rewrites what would be rewritten.
    #[error(
        "data directory {0}: `slotkeeper backup`, `forget`, `retention` or `lake rebuild` is at work in it; try again when it is done"
    )]
    BeingCopied(PathBuf),
    /// Somebody rewrites what would be copied.
    #[error(
        "data directory {0}: `slotkeeper forget`, `retention` or `lake rebuild` is rewriting it; try again when it is done"
    )]
    BeingRewritten(PathBuf),
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: every commit is fsynced.
    Durable,
    /// A killed process; after a power cut the last commits may be missing, never half there. For what can be derived
    /// again.
    Derived,
}

/// Holds the directory for one `serve`; released when dropped, or when the process dies.
#[derive(Debug)]
pub struct ServeLock {
    _file: File,
}

/// Holds the books for one close; released when dropped, or when the process dies.
#[derive(Debug)]
pub struct BooksLock {
    _file: File,
}

/// Holds what was written once for whoever copies it, or whoever rewrites it; released when dropped, or when the process dies.
#[derive(Debug)]
pub struct PastLock {
    _file: File,
}

impl DataDir {
    /// Makes the directory if there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        std::fs::create_dir_all(&path).map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The log's file.
    pub fn log(&self) -> PathBuf {
        self.0.join(LOG)
    }

    /// The folded tables' file.
    pub fn fold(&self) -> PathBuf {
        self.0.join("fold.db")
    }

    /// The folder of the lake's files.
    pub fn lake(&self) -> PathBuf {
        self.0.join("lake")
    }

    /// The lake's book: which files there are, and totals.
    pub fn lake_db(&self) -> PathBuf {
        self.0.join("lake.db")
    }

    /// What says where else than in its folder the lake is.
    pub fn lake_place(&self) -> PathBuf {
        self.0.join("lake.place")
    }

    /// What is in the folder of the lake if that is a copy of what a store has.
    pub fn lake_mirror(&self) -> PathBuf {
        self.0.join("lake.mirror")
    }

    /// The vendors' calls' file.
    pub fn trackers(&self) -> PathBuf {
        self.0.join("trackers.db")
    }

    /// The make-goods' file, where they are not in a server.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger.db")
    }

    /// The closed days' file.
    pub fn pacing(&self) -> PathBuf {
        self.0.join("pacing.db")
    }

    /// The bookings' file.
    pub fn contracts(&self) -> PathBuf {
        self.0.join("contracts.db")
    }

    /// Takes the directory for one `serve`.
    pub fn lock_for_serving(&self) -> Result<ServeLock, DataDirError> {
        let file = self.lock("serve.lock")?;
        Ok(ServeLock { _file: file.ok_or_else(|| DataDirError::InUse(self.0.clone()))? })
    }

    /// Takes the books for one close, or whatever else changes them.
    pub fn lock_books(&self) -> Result<BooksLock, DataDirError> {
        let file = self.lock("books.lock")?;
        Ok(BooksLock { _file: file.ok_or_else(|| DataDirError::BooksInUse(self.0.clone()))? })
    }

    /// Takes what was written once to copy it: nobody rewrites it meanwhile, but others may copy it too. What comes may come.
    pub fn lock_for_copying(&self) -> Result<PastLock, DataDirError> {
        let file = self.lock_as("past.lock", File::try_lock_shared)?;
        Ok(PastLock { _file: file.ok_or_else(|| DataDirError::BeingRewritten(self.0.clone()))? })
    }

    /// Takes what was written once to rewrite it: nobody copies or rewrites it meanwhile.
    pub fn lock_for_rewriting(&self) -> Result<PastLock, DataDirError> {
        let file = self.lock("past.lock")?;
        Ok(PastLock { _file: file.ok_or_else(|| DataDirError::BeingCopied(self.0.clone()))? })
    }

    /// Nothing if somebody else has it.
    fn lock(&self, name: &str) -> Result<Option<File>, DataDirError> {
        self.lock_as(name, File::try_lock)
    }

    fn lock_as(
        &self,
        name: &str,
        try_lock: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Option<File>, DataDirError> {
        let path = self.0.join(name);
        let io = |source| DataDirError::Io { path: path.clone(), source };
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(io)?;
        match try_lock(&file) {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

/// Opens a database of the data directory for reading and writing, and makes the tables of `schema` that are missing.
pub fn connect(path: &Path, durability: Durability, schema: &str) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = if durability == Durability::Durable { "FULL" } else { "NORMAL" };
    db.pragma_update(None, "synchronous", synchronous)?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.execute_batch(&format!("BEGIN IMMEDIATE; {schema}; COMMIT;"))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Opens a database of the data directory for reading only.
pub fn connect_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Makes a database as small as what it holds, and leaves nothing of before in it or beside it. `false` if somebody reads it for longer
/// than a statement waits: then what was there before is still beside it.
pub(crate) fn leave_nothing_behind(db: &Connection) -> rusqlite::Result<bool> {
    db.pragma_update(None, "secure_delete", true)?;
    db.execute_batch("VACUUM")?;
    empty_wal(db)
}

/// Empties a database's log of writes; `false` if somebody reads from it for longer than a statement waits.
pub(crate) fn empty_wal(db: &Connection) -> rusqlite::Result<bool> {
    let is_busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(!is_busy)
}

/// Puts `bytes` in the place of a file, if they differ, and syncs them: whoever reads it, and whenever the machine dies, there is the
/// file of before or this one, whole. Makes its folder if there is none, and removes what a killed writer left there.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    remove_unfinished(path, folder)?;
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = File::create(&new)?;
    file.lock()?; // says that its writer lives
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

/// Removes what a killed [`replace_file`] was writing: files of its name that nobody has locked.
fn remove_unfinished(path: &Path, folder: &Path) -> io::Result<()> {
    let of = |name: &Path| {
        name.extension().is_some_and(|new| new == "new")
            && name.with_extension("").with_extension("") == path.with_extension("")
    };
    for entry in std::fs::read_dir(folder)? {
        let unfinished = entry?.path();
        if of(&unfinished) && File::open(&unfinished).is_ok_and(|file| file.try_lock().is_ok()) {
            remove_file(&unfinished)?;
        }
    }
    Ok(())
}

/// Removes a file; one that is not there is gone.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether a database has this table: whoever made the file may have been killed before it had any.
pub(crate) fn has_table(db: &Connection, name: &str) -> rusqlite::Result<bool> {
    db.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)", [name], |row| {
        row.get(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contracts::Contracts, log::SqliteLog};

    #[test]
    fn a_file_is_replaced_whole_and_what_a_killed_writer_left_beside_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("part.1.new"), "hal").unwrap();
        std::fs::write(at("other.1.new"), "of another").unwrap();
        let living = File::create(at("part.2.new")).unwrap();
        living.lock().unwrap();
        replace_file(&at("part.parquet"), b"whole").unwrap();
        let names = || {
            let entries = std::fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["other.1.new", "part.2.new", "part.parquet"]);
        drop(living); // as when its process is killed
        replace_file(&at("part.parquet"), b"whole").unwrap();
        assert_eq!(names(), ["other.1.new", "part.parquet"]);
        assert_eq!(std::fs::read(at("part.parquet")).unwrap(), b"whole");
    }

    #[test]
    fn two_origins_never_serve_one_directory() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path().join("new")).unwrap();
        let first = data.lock_for_serving().unwrap();
        assert!(matches!(data.lock_for_serving(), Err(DataDirError::InUse(_))));
        drop(first);
        assert!(data.lock_for_serving().is_ok());
    }

    #[test]
    fn what_cannot_be_derived_again_is_fsynced_at_every_commit() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let synchronous = |db: &Connection| db.query_row("PRAGMA synchronous", [], |row| row.get::<_, u8>(0)).unwrap();
        let full = 2;
        assert_eq!(synchronous(SqliteLog::open(&data.log()).unwrap().db()), full);
        assert_eq!(synchronous(Contracts::open(&data.contracts()).unwrap().db()), full);
    }
}
