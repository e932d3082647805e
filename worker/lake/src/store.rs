//! Where files lie: a folder or an S3-compatible store, behind `object_store`, used without async from any thread.
//!
//! **Invariants.** A file appears whole or not at all, and is durable when `put` returns: in a folder it is written beside, synced and
//! renamed over the one before; in a store it is one PUT, which either is the object from then on or has not been. So a reader sees
//! the file of before or this one, a killed writer leaves nothing half there, and what is put again is the same bytes under the same
//! name. What is listed is what was put: the store must answer a listing with all that was put before (S3 does).

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, local::LocalFileSystem, path::Path};
use tokio::runtime::{Builder, Runtime};

use crate::{error::LakeError, hour::Hour, tables::Table};

/// The one file of a derived table's hour.
pub const PART: &str = "part.parquet";
/// The largest object that one PUT makes; of more, a killed writer would leave parts behind that cost money and that nobody lists.
const OBJECT_BYTES_MAX: u64 = 5 << 30;

/// Where the files of a lake lie.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder, which is made if there is none.
    Folder(PathBuf),
    /// In a store of objects.
    Objects(Arc<dyn ObjectStore>),
}

impl From<&FilePath> for Place {
    fn from(folder: &FilePath) -> Self {
        Self::Folder(folder.into())
    }
}

impl From<&PathBuf> for Place {
    fn from(folder: &PathBuf) -> Self {
        Self::Folder(folder.clone())
    }
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path, from where the lake begins, with `/`.
    pub name: String,
    /// How large.
    pub bytes: u64,
    /// What tells this content from another under the same name; none of a file in a folder.
    pub e_tag: Option<String>,
}

/// In a lake's folder, held while the files of an hour are replaced. Whoever shares it while opening files of several tables has those
/// of one fold.
pub const REPLACING: &str = ".replacing.lock";
/// How long the files of an hour wait for whoever opens some: that is a matter of milliseconds.
const SHARED_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether they have ended.
const SHARED_LOOK: Duration = Duration::from_millis(2);

/// The files of a lake.
pub struct Files {
    store: Arc<dyn ObjectStore>,
    runtime: Blocking,
    /// Of a folder, where.
    folder: Option<PathBuf>,
    #[cfg(test)]
    pub(crate) steps: Steps,
}

impl Files {
    /// Those of a place.
    pub fn at(place: impl Into<Place>) -> Result<Self, LakeError> {
        let (store, folder, runtime): (Arc<dyn ObjectStore>, _, _) = match place.into() {
            Place::Folder(folder) => {
                let io = |source| LakeError::Io { path: folder.clone(), source };
                std::fs::create_dir_all(&folder).map_err(io)?;
                let store = LocalFileSystem::new_with_prefix(&folder)?.with_fsync(!cfg!(test));
                (Arc::new(store), Some(folder), Builder::new_current_thread().build())
            }
            // Its connections live on a thread of their own, whoever waits for an answer or does not.
            Place::Objects(store) => (store, None, Builder::new_multi_thread().worker_threads(1).enable_all().build()),
        };
        let runtime = Blocking(Some(runtime.map_err(|error| LakeError::Outside(error.into()))?));
        Ok(Self {
            store,
            runtime,
            folder,
            #[cfg(test)]
            steps: Steps::default(),
        })
    }

    /// Puts a file in the place of the one of this name, if there is one.
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
        if self.folder.is_none() && bytes.len() as u64 > OBJECT_BYTES_MAX {
            return Err(LakeError::TooLarge { name: name.into(), bytes: bytes.len() as u64, max: OBJECT_BYTES_MAX });
        }
        self.step()?;
        self.runtime.block_on(self.store.put(&Path::from(name), bytes.into()))?;
        self.step()
    }

    /// Holds off whoever opens files of several tables, until it is dropped; but not those who have stopped in the midst of it.
    /// Nothing of a store that is no folder.
    pub(crate) fn replacing(&self) -> Result<Option<File>, LakeError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let path = folder.join(REPLACING);
        let io = |source| LakeError::Io { path: path.clone(), source };
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(io)?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Err(TryLockError::Error(source)) => return Err(io(source)),
                Err(TryLockError::WouldBlock) if begin.elapsed() < SHARED_MAX => std::thread::sleep(SHARED_LOOK),
                _ => return Ok(Some(file)),
            }
        }
    }

    /// Puts a file if there is none of this name. Whether there was none.
    pub fn put_new(&self, name: &str, bytes: Vec<u8>) -> Result<bool, LakeError> {
        match self.runtime.block_on(self.store.put_opts(&Path::from(name), bytes.into(), PutMode::Create.into())) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The content of a file.
    pub fn get(&self, name: &str) -> Result<Bytes, LakeError> {
        let path = Path::from(name);
        Ok(self.runtime.block_on(async { self.store.get(&path).await?.bytes().await })?)
    }

    /// The content of a file, if there is one.
    pub fn find(&self, name: &str) -> Result<Option<Bytes>, LakeError> {
        match self.get(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(LakeError::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a file away; one that is gone is none.
    pub fn delete(&self, name: &str) -> Result<(), LakeError> {
        self.step()?;
        match self.runtime.block_on(self.store.delete(&Path::from(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// All files below a folder of this name, in the order of their names.
    pub fn below(&self, folder: &str) -> Result<Vec<Listed>, LakeError> {
        let prefix = Path::from(folder);
        let found: Vec<_> = self.runtime.block_on(self.store.list(Some(&prefix)).try_collect())?;
        let listed = found.into_iter().map(|file| Listed {
            name: file.location.to_string(),
            bytes: file.size,
            e_tag: file.e_tag.filter(|_| self.folder.is_none()),
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    /// All files of a table.
    pub(crate) fn list(&self, table: &Table) -> Result<Vec<String>, LakeError> {
        Ok(self.below(table.name)?.into_iter().map(|file| file.name).collect())
    }

    /// Takes away what a killed run left of files that it was writing: they are not listed, by `object_store` either.
    pub(crate) fn sweep_unfinished(&self, tables: &[&Table]) -> Result<(), LakeError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut folders: Vec<PathBuf> = tables.iter().map(|table| folder.join(table.name)).collect();
        while let Some(folder) = folders.pop() {
            let io = |source| LakeError::Io { path: folder.clone(), source };
            if !folder.exists() {
                continue;
            }
            for entry in std::fs::read_dir(&folder).map_err(io)? {
                let path = entry.map_err(io)?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().contains(".parquet#") {
                    std::fs::remove_file(&path).map_err(io)?;
                }
            }
        }
        Ok(())
    }

    /// Where a test breaks off.
    #[cfg_attr(not(test), expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests break off here"))]
    pub(crate) fn step(&self) -> Result<(), LakeError> {
        #[cfg(test)]
        return self.steps.next();
        #[cfg(not(test))]
        Ok(())
    }
}

/// A runtime that may be dropped anywhere: one that waits for its threads panics where waiting is not allowed.
struct Blocking(Option<Runtime>);

impl Blocking {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.as_ref().unwrap_or_else(|| unreachable!("it is there until it is dropped")).block_on(future)
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The name of a file of a table's hour.
pub(crate) fn name_in(table: &Table, hour: Hour, file: &str) -> String {
    format!("{}/{}/{file}", table.name, hour.folder())
}

/// How many steps a test lets pass.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Steps {
    pub(crate) left: std::sync::Mutex<Option<u32>>,
}

#[cfg(test)]
impl Steps {
    fn next(&self) -> Result<(), LakeError> {
        match &mut *self.left.lock().unwrap() {
            None => Ok(()),
            Some(0) => Err(LakeError::BrokenOff),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_the_same_in_a_folder_and_in_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let places = [Place::from(folder.path()), Place::Objects(Arc::new(object_store::memory::InMemory::new()))];
        for place in places {
            let is_folder = matches!(place, Place::Folder(_));
            let files = Files::at(place).unwrap();
            let [one, other] =
                ["table/date=2026-11-22/hour=07/part.parquet", "table/date=2026-11-22/hour=06/part.parquet"];
            assert_eq!(files.find(one).unwrap(), None);
            files.put(one, b"before".into()).unwrap();
            files.put(one, b"now".into()).unwrap();
            files.put(other, b"else".into()).unwrap();
            files.put("table_of_a_longer_name/part.parquet", b"apart".into()).unwrap();
            assert_eq!(files.get(one).unwrap(), "now");
            let listed = files.below("table").unwrap();
            assert_eq!(
                listed.iter().map(|file| (file.name.as_str(), file.bytes)).collect::<Vec<_>>(),
                [(other, 4), (one, 3)]
            );
            assert!(listed.iter().all(|file| file.e_tag.is_none() == is_folder));
            assert!(!files.put_new(one, b"another's".into()).unwrap());
            assert!(files.put_new("mark", b"mine".into()).unwrap());
            assert_eq!((files.get(one).unwrap(), files.get("mark").unwrap()), ("now".into(), "mine".into()));
            files.delete(one).unwrap();
            files.delete(one).unwrap(); // what is gone is no error
            assert_eq!(files.find(one).unwrap(), None);
        }
    }
}
