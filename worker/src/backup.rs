//! Backups: a data directory's state copied whole while the origin serves, and put back.
//!
//! **The order is the promise.** What is derived from a file is copied before it: so nothing in a backup is ahead of the log, and no
//! fact in the log names an ad or a flight that the contracts do not have. What came meanwhile is in the log's copy, and is folded
//! again after a restore.
//!
//! That holds while facts come. Nobody takes any away meanwhile: a forgetting, a retention and a lake made anew wait for the backup's
//! end, and it for theirs.
//!
//! A backup appears whole or not at all: it is made in a folder beside, which takes its name once every file is synced. So does a
//! restored directory.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use slotkeeper_core::time::UnixMillis;

use crate::{
    data_dir::{DataDir, DataDirError, connect_read_only},
    lake::{
        PlaceError,
        mirror::{self, Wanted},
    },
    log::{LogError, SqliteLog},
    sql::raw_files,
};

/// The databases that are copied, what is derived first. `fold.db` only if it cannot be folded again.
const DATABASES: [&str; 7] = ["fold.db", "trackers.db", "lake.db", "pacing.db", "ledger.db", "log.db", "contracts.db"];
/// The lake's files, each of which is replaced whole or never changed; and the book that says which count.
const LAKE: &str = "lake";
const LAKE_BOOK: &str = "lake.db";
/// How often the lake is copied anew because its files were merged under the copy.
const LAKE_TRIES_MAX: u32 = 5;
/// What says what a backup holds.
const MANIFEST: &str = "backup.json";
/// What the folder is called until it is whole.
const PARTIAL: &str = ".partial";
const READ_BYTES: usize = 1 << 20;

/// Why there is no backup, or nothing was restored. What was there before is untouched.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A database cannot be copied.
    #[error("{path}: {source}")]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The lake's files cannot be read where they are.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The lake's files are merged faster than they can be copied.
    #[error("{0}: its files were merged while they were copied, {LAKE_TRIES_MAX} times; back up when less is going on")]
    LakeMoves(PathBuf),
    /// There is something already.
    #[error("{0}: there is something already; name a folder that is not there or is empty")]
    NotEmpty(PathBuf),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It cannot be used, or is being rewritten.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// Nothing to back up.
    #[error("{0}: no data directory of an origin: it has no log.db")]
    NoOrigin(PathBuf),
    /// It is no backup.
    #[error("{path}: no backup: {reason}")]
    NoBackup {
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file is not what was backed up.
    #[error("{path}: not what was backed up: {found}, and the backup was made with {expected}; nothing was restored")]
    Altered {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The build that made it.
    pub slotkeeper: String,
    /// When it was begun.
    pub at_ms: UnixMillis,
    /// In the order in which they were copied.
    pub files: Vec<BackedUp>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Where it is, from the data directory, with `/`.
    pub path: String,
    /// How large.
    pub bytes: u64,
    /// BLAKE3 of its content.
    pub hash: String,
}

impl Manifest {
    /// How many bytes all files have together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Copies the state of `data` to the folder `to`, which must not be there or be empty. `progress` hears of every database and folder.
pub fn back_up(data: &Path, to: &Path, now: UnixMillis, progress: &dyn Fn(&str)) -> Result<Manifest, BackupError> {
    if !data.join("log.db").exists() {
        return Err(BackupError::NoOrigin(data.into()));
    }
    let _past = DataDir::open(data)?.lock_for_copying()?;
    let partial = begin(to)?;
    let mut files = Vec::new();
    let folds_again = SqliteLog::open_read_only(&data.join("log.db"))?.is_whole()?;
    for name in DATABASES {
        if data.join(name).exists() && !(name == "fold.db" && folds_again) {
            progress(name);
            copy_database(&data.join(name), &partial.join(name))?;
            files.push(described(&partial, name)?);
        }
        if name == LAKE_BOOK {
            copy_lake(data, &partial, &mut files, progress)?;
        }
    }
    let manifest = Manifest { slotkeeper: env!("CARGO_PKG_VERSION").into(), at_ms: now, files };
    let json = serde_json::to_vec_pretty(&manifest).unwrap_or_else(|_| unreachable!("plain values"));
    write_synced(&partial.join(MANIFEST), &json)?;
    finish(&partial, to)?;
    Ok(manifest)
}

/// Copies the lake's files, and its book again if files that it lists were merged meanwhile into others that it does not.
fn copy_lake(
    data: &Path,
    partial: &Path,
    files: &mut Vec<BackedUp>,
    progress: &dyn Fn(&str),
) -> Result<(), BackupError> {
    let book = partial.join(LAKE_BOOK);
    for _ in 0..LAKE_TRIES_MAX {
        progress(LAKE);
        mirror::bring(&DataDir::open(data)?, Wanted::Everything)?;
        let known = files.len();
        copy_folder(data, partial, LAKE, files)?;
        if !book.exists() || is_complete(&book, &partial.join(LAKE))? {
            return Ok(());
        }
        files.truncate(known);
        fs::remove_dir_all(partial.join(LAKE)).map_err(io_error(partial))?;
        fs::remove_file(&book).map_err(io_error(&book))?;
        files.retain(|file| file.path != LAKE_BOOK);
        copy_database(&data.join(LAKE_BOOK), &book)?;
        files.push(described(partial, LAKE_BOOK)?);
    }
    Err(BackupError::LakeMoves(data.join(LAKE)))
}

/// Whether every file of facts is there that the lake's book lists.
fn is_complete(book: &Path, lake: &Path) -> Result<bool, BackupError> {
    let database = |source| BackupError::Database { path: book.into(), source };
    let db = connect_read_only(book).map_err(database)?;
    for table in slotkeeper_lake::tables::ALL {
        let listed = raw_files(Some(&db), lake, table.name).map_err(database)?;
        if !listed.iter().all(|file| file.exists()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts a backup back as the data directory `data`, which must not be there or be empty, once every file is what was backed up.
pub fn restore(from: &Path, data: &Path, progress: &dyn Fn(&str)) -> Result<Manifest, BackupError> {
    let manifest = read_manifest(from)?;
    for file in &manifest.files {
        let found = described(from, &file.path)?;
        if found != *file {
            let say = |file: &BackedUp| format!("{} bytes, BLAKE3 {}", file.bytes, file.hash);
            return Err(BackupError::Altered { path: from.join(&file.path), found: say(&found), expected: say(file) });
        }
    }
    progress("every file is what was backed up");
    let partial = begin(data)?;
    for file in &manifest.files {
        copy_file(&from.join(&file.path), &partial.join(&file.path))?;
    }
    finish(&partial, data)?;
    Ok(manifest)
}

fn read_manifest(from: &Path) -> Result<Manifest, BackupError> {
    let no_backup = |reason: String| BackupError::NoBackup { path: from.into(), reason };
    let json = fs::read(from.join(MANIFEST)).map_err(|error| no_backup(format!("{MANIFEST}: {error}")))?;
    let manifest: Manifest =
        serde_json::from_slice(&json).map_err(|error| no_backup(format!("{MANIFEST}: {error}")))?;
    // Paths come from a file that anybody may have written: none may lead out of the folder.
    let is_inside = |path: &str| !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    match manifest.files.iter().find(|file| !is_inside(&file.path)) {
        Some(odd) => Err(no_backup(format!("{MANIFEST}: {:?} is no path within it", odd.path))),
        None => Ok(manifest),
    }
}

/// The folder to make `target` in; what a killed run left there goes.
fn begin(target: &Path) -> Result<PathBuf, BackupError> {
    let is_free = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !is_free {
        return Err(BackupError::NotEmpty(target.into()));
    }
    let mut partial = target.as_os_str().to_owned();
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(io_error(&partial))?;
    }
    fs::create_dir_all(&partial).map_err(io_error(&partial))?;
    Ok(partial)
}

/// Gives the folder its name.
fn finish(partial: &Path, target: &Path) -> Result<(), BackupError> {
    sync_folder(partial)?;
    fs::rename(partial, target).map_err(io_error(target))?; // over an empty folder, if there is one
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => Ok(()),
    }
}

/// One moment of a database, whoever writes to it meanwhile.
fn copy_database(from: &Path, to: &Path) -> Result<(), BackupError> {
    let database = |source| BackupError::Database { path: from.into(), source };
    let path = to.to_str().ok_or_else(|| io_error(to)(io::Error::other("not a path in UTF-8")))?;
    connect_read_only(from).map_err(database)?.execute("VACUUM INTO ?1", [path]).map_err(database)?;
    sync(to)
}

/// Every file below `data/folder`, in the order of their names; those that are not whole yet (`#` in their names) are left out, and so
/// is what begins with a point: what sessions of SQL keep while they live.
fn copy_folder(data: &Path, to: &Path, folder: &str, files: &mut Vec<BackedUp>) -> Result<(), BackupError> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let path = data.join(&folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(io_error(&path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(&path)(error)),
        };
        let mut names: Vec<_> = entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        for name in names {
            let inner = format!("{folder}/{name}");
            if data.join(&inner).is_dir() {
                folders.push(inner);
            } else if !name.contains('#') {
                match copy_file(&data.join(&inner), &to.join(&inner)) {
                    // Merged with others since it was listed: what it was merged into holds all of it.
                    Err(BackupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                    copied => {
                        copied?;
                        files.push(described(to, &inner)?);
                    }
                }
            }
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), BackupError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(io_error(parent))?;
    }
    fs::copy(from, to).map_err(io_error(from))?;
    sync(to)
}

fn described(folder: &Path, path: &str) -> Result<BackedUp, BackupError> {
    let file = folder.join(path);
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    let mut reader = File::open(&file).map_err(io_error(&file))?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = reader.read(&mut buffer).map_err(io_error(&file))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
    Ok(BackedUp { path: path.into(), bytes, hash: hasher.finalize().to_hex().to_string() })
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    fs::write(path, bytes).map_err(io_error(path))?;
    sync(path)
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io_error(path))
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    sync(path)
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |source| BackupError::Io { path: path.into(), source }
}
