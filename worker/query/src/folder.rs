//! The folder of one session: hard links to the files that it reads, and what it spills to disk. It is gone when the session is.
//!
//! The lake replaces its files by renaming others over them, and DuckDB opens a file by its name more than once for one answer: at
//! the head, and again for the rows. A link holds one state of the file, whatever becomes of the name.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use crate::duckdb::{Deadline, Error};

/// The most sessions at a time, in all processes.
pub const SESSIONS_MAX: usize = 1_000;

/// In the folder of all sessions, held while one is made or the dead are swept.
const GATE: &str = "gate.lock";
/// How often it is looked whether files are still being replaced.
const LOOK: std::time::Duration = std::time::Duration::from_millis(2);
/// In a session's folder, held while it lives.
const LIFE: &str = "life.lock";

/// A session's own folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _life: File,
}

/// A file of a table, and the name it has in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl Folder {
    /// Makes one among `sessions`, and takes away those of sessions that were killed.
    pub(crate) fn make(sessions: &Path) -> Result<Self, Error> {
        fs::create_dir_all(sessions).map_err(fault(sessions))?;
        let gate = sessions.join(GATE);
        let _gate = locked(&gate).map_err(fault(&gate))?;
        sweep(sessions).map_err(fault(sessions))?;
        for number in 0..SESSIONS_MAX {
            let path = sessions.join(number.to_string());
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    made.map_err(fault(&path))?;
                    let life = path.join(LIFE);
                    let life = locked(&life).map_err(fault(&life))?;
                    return Ok(Self { path, _life: life });
                }
            }
        }
        let full = io::Error::other(format!("{SESSIONS_MAX} sessions live already, which is the bound"));
        Err(fault(sessions)(full))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where DuckDB puts what does not fit into memory.
    pub(crate) fn spill(&self) -> PathBuf {
        self.path.join("spill")
    }

    /// Where an answer is written before it goes to its file.
    pub(crate) fn answer(&self) -> PathBuf {
        self.path.join("answer.parquet")
    }

    /// Keeps these files of a table, and says where; none if all are gone. One that is gone is left out, or if `is_whole`, an error of
    /// kind [`io::ErrorKind::NotFound`].
    pub(crate) fn keep(
        &self,
        table: &str,
        files: &[Kept],
        is_whole: bool,
        deadline: Option<Deadline>,
    ) -> Result<Option<PathBuf>, Error> {
        let folder = self.path.join(table);
        fs::create_dir(&folder).map_err(fault(&folder))?;
        let mut is_empty = true;
        for file in files {
            deadline.map_or(Ok(()), Deadline::check)?;
            match link(&file.path, &folder.join(&file.name)) {
                Err(gone) if gone.kind() == io::ErrorKind::NotFound && !is_whole => {}
                linked => {
                    linked.map_err(fault(&file.path))?;
                    is_empty = false;
                }
            }
        }
        Ok((!is_empty).then_some(folder))
    }

    /// Lets the files of a table go.
    pub(crate) fn let_go(&self, table: &str) -> Result<(), Error> {
        let folder = self.path.join(table);
        fs::remove_dir_all(&folder).map_err(fault(&folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path); // what stays is swept by the next session
    }
}

/// Links a file, whatever it is replaced by meanwhile: of one that goes between the finding of its name and the linking, Linux says
/// that it is not there, and its successor is.
fn link(file: &Path, name: &Path) -> io::Result<()> {
    loop {
        match fs::hard_link(file, name) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound && file.exists() => {}
            linked => return linked,
        }
    }
}

/// Takes away what sessions that were killed have left, and says how many live: they hold the lake's files as those were.
pub fn living_sessions(sessions: &Path) -> io::Result<usize> {
    if !sessions.exists() {
        return Ok(0);
    }
    let _gate = locked(&sessions.join(GATE))?;
    sweep(sessions)
}

/// Takes away the folders that no living session holds; how many do.
fn sweep(sessions: &Path) -> io::Result<usize> {
    let mut living = 0;
    for entry in fs::read_dir(sessions)? {
        let path = entry?.path();
        if path.is_dir() {
            if is_dead(&path)? {
                let _ = fs::remove_dir_all(&path); // it may be taking itself away, and what stays is swept next time
            } else {
                living += 1;
            }
        }
    }
    Ok(living)
}

fn is_dead(session: &Path) -> io::Result<bool> {
    match OpenOptions::new().write(true).open(session.join(LIFE)) {
        Ok(life) => match life.try_lock() {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(error),
        },
        // Killed before it had one: whoever is about to have one holds the gate.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(session.exists()),
        Err(error) => Err(error),
    }
}

fn locked(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
    file.lock()?;
    Ok(file)
}

/// Shares a lock, once whoever holds it has ended.
pub(crate) fn shared(path: &Path, deadline: Option<Deadline>) -> Result<File, Error> {
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(path).map_err(fault(path))?;
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            Err(fs::TryLockError::Error(error)) => return Err(fault(path)(error)),
        }
        deadline.map_or(Ok(()), Deadline::check)?;
    }
}

fn fault(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Folder { path, source }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    #[test]
    fn a_file_that_is_replaced_without_end_is_linked_every_time() {
        const TIMES: u32 = 20_000;
        let folder = tempfile::tempdir().unwrap();
        let [file, other] = ["file", "other"].map(|name| folder.path().join(name));
        fs::write(&file, "").unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    fs::write(&other, "").unwrap();
                    fs::rename(&other, &file).unwrap();
                }
            });
            let linked: io::Result<()> =
                (0..TIMES).try_for_each(|number| link(&file, &folder.path().join(number.to_string())));
            is_over.store(true, Relaxed);
            linked.unwrap();
        });
    }
}
