//! Where files lie: a folder or an S3-compatible store, behind `object_store`, used without async from any thread.
//!
//! A file appears whole or not at all, and is on disk when `put` returns.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, path::Path};
use tokio::runtime::{Builder, Runtime};

use crate::{error::LakeError, hour::Hour, tables::Table};

/// The one file of a derived table's hour.
pub const PART: &str = "part.parquet";

/// The files of a lake.
pub(crate) struct Files {
    store: Arc<dyn ObjectStore>,
    runtime: Blocking,
    /// Of a folder, where.
    folder: Option<PathBuf>,
    #[cfg(test)]
    pub(crate) steps: Steps,
}

impl Files {
    /// Those of a folder, which is made if there is none.
    pub(crate) fn in_folder(folder: &std::path::Path) -> Result<Self, LakeError> {
        let io = |source| LakeError::Io { path: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(io)?;
        let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(!cfg!(test));
        Self::over(Arc::new(store), Some(folder.into()))
    }

    fn over(store: Arc<dyn ObjectStore>, folder: Option<PathBuf>) -> Result<Self, LakeError> {
        let runtime = Builder::new_current_thread().build().map_err(|error| LakeError::Outside(error.into()))?;
        let runtime = Blocking(Some(runtime));
        Ok(Self {
            store,
            runtime,
            folder,
            #[cfg(test)]
            steps: Steps::default(),
        })
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
        self.step()?;
        self.runtime.block_on(self.store.put(&Path::from(name), bytes.into()))?;
        self.step()
    }

    pub(crate) fn get(&self, name: &str) -> Result<Bytes, LakeError> {
        let path = Path::from(name);
        Ok(self.runtime.block_on(async { self.store.get(&path).await?.bytes().await })?)
    }

    /// Takes a file away; one that is gone is none.
    pub(crate) fn delete(&self, name: &str) -> Result<(), LakeError> {
        self.step()?;
        match self.runtime.block_on(self.store.delete(&Path::from(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// All files of a table.
    pub(crate) fn list(&self, table: &Table) -> Result<Vec<String>, LakeError> {
        let prefix = Path::from(table.name);
        let found: Vec<_> = self.runtime.block_on(self.store.list(Some(&prefix)).try_collect())?;
        Ok(found.into_iter().map(|file| file.location.to_string()).collect())
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
