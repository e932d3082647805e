//! A copy in the data directory of what a store has of the lake, to be asked in SQL: DuckDB here reads files, not stores.
//!
//! It is brought level before every question: the store is listed, what differs is fetched, what is gone goes. So an answer is of the
//! store as it was listed, or of a file that came after. Nothing is made of the copy: it may be deleted at any time.
//!
//! A file is known by what the store calls its content, and by its length and time here; so a copy that a killed run left, or that
//! somebody touched, is fetched again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use slotkeeper_lake::{Files, LakeError, Listed, tables};

use super::place::{PlaceError, Remote};
use crate::{
    books::{CAMPAIGN_PACING_DAILY, MAKEGOOD_LEDGER, MAKEGOODS},
    data_dir::{self, DataDir, replace_file},
    sql::{raw_files, tables::DIMENSIONS},
};

/// How much is copied, unless [`BYTES_MAX_VARIABLE`] says otherwise.
const BYTES_MAX: u64 = 64 << 30;
/// The variable of the environment that says how much is copied.
const BYTES_MAX_VARIABLE: &str = "SLOTKEEPER_LAKE_MIRROR_BYTES_MAX";
/// How many files are fetched at once.
const FETCHES: usize = 8;
/// How often a listing is made anew because the lake was advanced under it.
const TRIES_MAX: u32 = 5;
/// How long one waits for another that brings the copy level.
const WAIT_MAX: Duration = Duration::from_mins(10);
const WAIT: Duration = Duration::from_millis(50);
/// What the names of the tables of facts begin with.
const RAW: &str = "raw_";

/// What is wanted of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All but the facts as they came.
    Tables,
    /// Those.
    Facts,
    /// Everything.
    Everything,
}

impl Wanted {
    fn tables(self) -> impl Iterator<Item = &'static str> {
        let others = [&CAMPAIGN_PACING_DAILY, &MAKEGOODS, &MAKEGOOD_LEDGER].into_iter().chain(DIMENSIONS);
        let is_wanted = move |name: &&str| match self {
            Self::Tables => !name.starts_with(RAW),
            Self::Facts => name.starts_with(RAW),
            Self::Everything => true,
        };
        tables::ALL.into_iter().chain(others).map(|table| table.name).filter(is_wanted)
    }
}

/// Brings the folder of the lake level with the store; nothing of a lake that is in its folder.
pub fn bring(data: &DataDir, wanted: Wanted) -> Result<(), PlaceError> {
    let Some(mirror) = Mirror::open(data)? else { return Ok(()) };
    for _ in 0..TRIES_MAX {
        mirror.level(wanted, true)?;
        if wanted == Wanted::Tables || mirror.has_all_facts(data)? {
            break;
        }
    }
    Ok(())
}

/// Takes away what the store does not have any more, of all tables: whoever was forgotten there is forgotten here.
pub fn prune(data: &DataDir) -> Result<(), PlaceError> {
    Mirror::open(data)?.map_or(Ok(()), |mirror| mirror.level(Wanted::Everything, false))
}

struct Mirror {
    folder: PathBuf,
    known: PathBuf,
    url: String,
    files: Files,
    /// One at a time; released when dropped, or when the process dies.
    _lock: File,
}

/// A file that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    e_tag: Option<String>,
    bytes: u64,
    /// When it was written here, in nanoseconds.
    at_ns: u128,
}

impl Mirror {
    fn open(data: &DataDir) -> Result<Option<Self>, PlaceError> {
        let Some(Remote { url, place }) = Remote::of(data)? else { return Ok(None) };
        let lock = locked(&data.lake_mirror().with_extension("mirror.lock"))?;
        let files = Files::at(place).map_err(|source| PlaceError::Store { url: url.clone(), source })?;
        Ok(Some(Self { folder: data.lake(), known: data.lake_mirror(), url, files, _lock: lock }))
    }

    fn level(&self, wanted: Wanted, fetches: bool) -> Result<(), PlaceError> {
        let fault = |source| PlaceError::Store { url: self.url.clone(), source };
        let mut there = BTreeMap::new();
        for table in wanted.tables() {
            there.extend(self.files.below(table).map_err(fault)?.into_iter().map(|file| (file.name.clone(), file)));
        }
        if fetches {
            self.has_room(there.values().map(|file| file.bytes).sum())?;
        }
        let mut known = self.known();
        let stale: Vec<&Listed> = there.values().filter(|file| !self.is_level(file, known.get(&file.name))).collect();
        let stale_names: BTreeSet<&str> = stale.iter().map(|file| file.name.as_str()).collect();
        for name in wanted.tables().map(|table| self.here(table)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten()
        {
            if !there.contains_key(&name) || !fetches && stale_names.contains(name.as_str()) {
                known.remove(&name);
                remove(&self.folder.join(&name))?;
            }
        }
        if fetches {
            known.extend(self.fetch(&stale)?);
        }
        let json = serde_json::to_vec(&known).unwrap_or_else(|_| unreachable!("plain values"));
        replace_file(&self.known, &json).map_err(|source| PlaceError::Io { path: self.known.clone(), source })
    }

    fn has_room(&self, bytes: u64) -> Result<(), PlaceError> {
        let max = match std::env::var(BYTES_MAX_VARIABLE) {
            Err(_) => BYTES_MAX,
            Ok(text) => text.parse().map_err(|_| PlaceError::Odd {
                path: BYTES_MAX_VARIABLE.into(),
                reason: format!("{text:?} is no number of bytes"),
            })?,
        };
        if bytes <= max {
            return Ok(());
        }
        Err(PlaceError::MirrorFull { url: self.url.clone(), bytes, max, folder: self.folder.clone() })
    }

    /// What is here, as it was noted last; what is not noted is fetched again.
    fn known(&self) -> BTreeMap<String, Known> {
        fs::read(&self.known).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    }

    fn is_level(&self, there: &Listed, known: Option<&Known>) -> bool {
        let noted =
            known.filter(|known| known.e_tag.is_some() && known.e_tag == there.e_tag && known.bytes == there.bytes);
        noted.is_some_and(|noted| {
            seen(&self.folder.join(&there.name)).is_ok_and(|now| now == (noted.bytes, noted.at_ns))
        })
    }

    /// The names of a table's files in the folder.
    fn here(&self, table: &str) -> Result<Vec<String>, PlaceError> {
        let mut folders = vec![table.to_owned()];
        let mut names = Vec::new();
        while let Some(folder) = folders.pop() {
            let path = self.folder.join(&folder);
            let io = |source| PlaceError::Io { path: path.clone(), source };
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io(error)),
            };
            for entry in entries {
                let entry = entry.map_err(io)?;
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                if entry.file_type().map_err(io)?.is_dir() { folders.push(name) } else { names.push(name) }
            }
        }
        Ok(names)
    }

    /// Fetches files, some at a time.
    fn fetch(&self, stale: &[&Listed]) -> Result<BTreeMap<String, Known>, PlaceError> {
        let (queue, fetched) = (Mutex::new(stale.iter()), Mutex::new(Ok(BTreeMap::new())));
        let poisoned = "a thread has panicked, and so does this one";
        thread::scope(|scope| {
            for _ in 0..FETCHES.min(stale.len()) {
                scope.spawn(|| {
                    loop {
                        let Some(file) = queue.lock().expect(poisoned).next() else { return };
                        let one = self.fetch_one(file);
                        let mut all = fetched.lock().expect(poisoned);
                        match (&mut *all, one) {
                            (Ok(all), Ok(Some(known))) => {
                                all.insert(file.name.clone(), known);
                            }
                            (Ok(_), Ok(None)) => {}
                            (Ok(_), Err(error)) => *all = Err(error),
                            (Err(_), _) => return,
                        }
                    }
                });
            }
        });
        fetched.into_inner().expect(poisoned)
    }

    /// One file; none if it is gone since it was listed.
    fn fetch_one(&self, file: &Listed) -> Result<Option<Known>, PlaceError> {
        let fault = |source: LakeError| PlaceError::Store { url: self.url.clone(), source };
        let path = self.folder.join(&file.name);
        let Some(bytes) = self.files.find(&file.name).map_err(fault)? else {
            remove(&path)?;
            return Ok(None);
        };
        let io = |source| PlaceError::Io { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        let new = path.with_extension(format!("{}#", std::process::id())); // as `object_store` calls what is not whole yet
        fs::write(&new, &bytes).map_err(io)?;
        fs::rename(&new, &path).map_err(io)?;
        let (bytes, at_ns) = seen(&path).map_err(io)?;
        Ok(Some(Known { e_tag: file.e_tag.clone(), bytes, at_ns }))
    }

    /// Whether all files of facts are here that the book lists.
    fn has_all_facts(&self, data: &DataDir) -> Result<bool, PlaceError> {
        if !data.lake_db().is_file() {
            return Ok(true);
        }
        let fault = |error: rusqlite::Error| PlaceError::Book(error.into());
        let book = data_dir::connect_read_only(&data.lake_db()).map_err(fault)?;
        for table in slotkeeper_lake::RAW {
            let listed = raw_files(Some(&book), &self.folder, table.name).map_err(fault)?;
            if !listed.iter().all(|file| file.is_file()) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Waits until whoever else brings the copy level is done.
fn locked(path: &Path) -> Result<File, PlaceError> {
    let io = |source| PlaceError::Io { path: path.into(), source };
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(path).map_err(io)?;
    let until = Instant::now() + WAIT_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(WAIT),
            Err(TryLockError::WouldBlock) => {
                return Err(PlaceError::MirrorInUse { lock: path.into(), waited: WAIT_MAX });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
    }
}

/// A file's length, and when it was written.
fn seen(path: &Path) -> io::Result<(u64, u128)> {
    let found = fs::metadata(path)?;
    let at = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((found.len(), at.as_nanos()))
}

fn remove(path: &Path) -> Result<(), PlaceError> {
    data_dir::remove_file(path).map_err(|source| PlaceError::Io { path: path.into(), source })
}
