//! Reading the stores of the edges: whose claims they hold, which breaks they remember, what they have not shipped.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use redis::IntoConnectionInfo as _;
use rusqlite::{Connection, OptionalExtension as _};
use slotkeeper_core::{
    caps::{Claim, Viewer},
    fact::Fact,
    id::{BreakId, ViewerKey},
};

use super::logged::Logged;
use crate::data_dir;

/// Where an edge keeps its claims.
#[derive(Clone, Debug)]
pub enum EdgeStore {
    /// One SQLite file: Spin's.
    Sqlite(PathBuf),
    /// A folder of SQLite files, one a Durable Object: workerd's.
    DurableObjects(PathBuf),
    /// A Redis that nodes share.
    Redis(redis::ConnectionInfo),
}

/// Why a store could not be read.
#[derive(Debug, thiserror::Error)]
#[error("edge store {store}: {reason}")]
pub struct StoreError {
    store: String,
    reason: String,
}

impl fmt::Display for EdgeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::DurableObjects(folder) => write!(f, "durable-objects:{}", folder.display()),
            Self::Redis(server) => write!(f, "redis://{}", server.addr), // without its password
        }
    }
}

impl FromStr for EdgeStore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("durable-objects", folder)) if !folder.is_empty() => Ok(Self::DurableObjects(folder.into())),
            Some(("redis", _)) => text.into_connection_info().map(Self::Redis).map_err(|error| error.to_string()),
            _ => Err("an edge store is sqlite:FILE, durable-objects:FOLDER or redis://…".into()),
        }
    }
}

/// What a store holds.
#[derive(Default)]
pub(super) struct StoreBook {
    /// What to call it.
    pub(super) name: String,
    pub(super) viewers: BTreeMap<ViewerKey, Vec<Claim>>,
    /// Viewers whose state is no list of claims.
    pub(super) unreadable: Vec<ViewerKey>,
    /// The breaks it remembers.
    pub(super) breaks: BTreeSet<BreakId>,
    /// What it has not shipped.
    pub(super) outbox: Logged,
}

impl EdgeStore {
    pub(super) fn read(&self) -> Result<StoreBook, StoreError> {
        let mut book = StoreBook { name: self.to_string(), ..StoreBook::default() };
        let failed = |reason: String| StoreError { store: self.to_string(), reason };
        match self {
            Self::Sqlite(path) => {
                if !read_file(path, &mut book).map_err(|error| failed(error.to_string()))? {
                    return Err(failed("it has no table viewer_states; is it an edge's database?".into()));
                }
            }
            Self::DurableObjects(folder) => {
                let files = sqlite_files(folder).map_err(|error| failed(error.to_string()))?;
                let mut shards = 0;
                for file in &files {
                    let is_shard =
                        read_file(file, &mut book).map_err(|error| failed(format!("{}: {error}", file.display())))?;
                    shards += usize::from(is_shard);
                }
                if shards == 0 {
                    return Err(failed(format!("none of its {} SQLite files is a shard's", files.len())));
                }
            }
            Self::Redis(server) => super::redis::read(server, &mut book).map_err(|error| failed(error.to_string()))?,
        }
        Ok(book)
    }
}

impl StoreBook {
    /// Takes in a viewer's state as it is stored.
    pub(super) fn take_state(&mut self, viewer: ViewerKey, bytes: &[u8]) {
        match Viewer::decode(bytes) {
            Ok(state) => self.viewers.entry(viewer).or_default().extend(state.claims()),
            Err(_) => self.unreadable.push(viewer),
        }
    }

    /// Takes in an entry of the outbox; one that cannot be read leaves its claims without rows.
    pub(super) fn take_facts(&mut self, json: &[u8]) {
        let facts: Vec<Fact> = serde_json::from_slice(json).unwrap_or_default();
        for fact in facts {
            self.outbox.take(u64::MAX, "", fact);
        }
    }
}

/// Reads one database, as it is at one moment; whether it is one of an edge's claims.
fn read_file(path: &Path, book: &mut StoreBook) -> rusqlite::Result<bool> {
    let db = data_dir::connect_read_only(path)?;
    let snapshot = db.unchecked_transaction()?;
    let is_store = snapshot
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'viewer_states'", [], |_| Ok(()))
        .optional()?;
    if is_store.is_none() {
        return Ok(false);
    }
    viewers(&snapshot, book)?;
    let mut breaks = snapshot.prepare("SELECT break_id FROM breaks")?;
    for id in breaks.query_map([], |row| row.get::<_, [u8; 16]>(0))? {
        book.breaks.insert(BreakId(id?));
    }
    let mut outbox = snapshot.prepare("SELECT facts FROM outbox ORDER BY sequence")?;
    for facts in outbox.query_map([], |row| row.get::<_, String>(0))? {
        book.take_facts(facts?.as_bytes());
    }
    Ok(true)
}

fn viewers(db: &Connection, book: &mut StoreBook) -> rusqlite::Result<()> {
    let mut states = db.prepare("SELECT viewer, state FROM viewer_states")?;
    let states = states.query_map([], |row| Ok((ViewerKey(row.get(0)?), row.get::<_, Vec<u8>>(1)?)))?;
    for state in states {
        let (viewer, bytes) = state?;
        book.take_state(viewer, &bytes);
    }
    Ok(())
}

/// Every SQLite file in a folder and the folders in it.
fn sqlite_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "sqlite") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
