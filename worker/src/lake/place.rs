//! Where the lake of a data directory lies: in its folder, or in an S3-compatible store that `lake.place` names.
//!
//! It is chosen once, before anything is in the lake; every command finds it there. In a store, the object [`MARK`] says whose the
//! place is, so that two origins never take each other's files for what a killed run left.

use std::{
    fs,
    io::{self, ErrorKind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use slotkeeper_lake::{Files, LakeError, Place, Status};

use super::s3::{self, NotS3Url, S3Url};
use crate::{
    books::{CAMPAIGN_PACING_DAILY, MAKEGOOD_LEDGER, MAKEGOODS},
    data_dir::{DataDir, replace_file},
};

/// The object that says whose a place is.
pub const MARK: &str = "slotkeeper-lake.json";

/// What `lake.place` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Chosen {
    /// `s3://BUCKET/PREFIX`.
    url: String,
    /// Drawn when one was chosen first.
    lake_id: String,
    /// Whether the books' files are still to be put there.
    #[serde(default)]
    owes_books: bool,
}

/// What [`MARK`] holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    lake_id: String,
}

/// Why the place of a lake cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A file of the data directory.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What says where the lake lies is not what this program writes.
    #[error("{path}: {reason}")]
    Odd {
        /// Which.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// It names no place.
    #[error("--lake (SLOTKEEPER_LAKE): {0}")]
    Url(#[from] NotS3Url),
    /// The store, or what is in it.
    #[error("{url}: {source}")]
    Store {
        /// Where.
        url: String,
        /// Why.
        source: LakeError,
    },
    /// It cannot be set up.
    #[error("{url}: {source}")]
    SetUp {
        /// Where.
        url: String,
        /// Why.
        source: object_store::Error,
    },
    /// The lake's book.
    #[error(transparent)]
    Book(#[from] LakeError),
    /// There is a lake already, and not there.
    #[error(
        "--lake {asked}: the lake of this data directory is in {is}, with {consumed_seq} entries of the log: leave --lake away, or \
         make the lake anew there from the log: `slotkeeper lake rebuild --lake {asked}`"
    )]
    Elsewhere {
        /// Where it is.
        is: String,
        /// Where it should be.
        asked: String,
        /// How far the log is in it.
        consumed_seq: u64,
    },
    /// It is somebody else's.
    #[error(
        "{url}: the lake of another data directory is there (its {MARK} says {found}, this one's lake.place {own}): choose another \
         prefix; two would take each other's files away"
    )]
    Foreign {
        /// Where.
        url: String,
        /// Whose it is.
        found: String,
        /// What this one is.
        own: String,
    },
    /// The store has no lake, and the book says that there is one.
    #[error(
        "{url}: there is no {MARK}, and lake.db says that {consumed_seq} entries of the log are there: this is another store \
         (AWS_ENDPOINT_URL?), or it was emptied; if it was, and the log reaches back to its first entry, move lake.db away and run \
         `slotkeeper lake advance`"
    )]
    Gone {
        /// Where.
        url: String,
        /// How far the log was in it.
        consumed_seq: u64,
    },
    /// More than may be copied.
    #[error(
        "{url}: its tables have {bytes} bytes, and no more than {max} are copied to {folder} to be asked: give \
         SLOTKEEPER_LAKE_MIRROR_BYTES_MAX another value if there is room, or ask with an engine that reads the store itself"
    )]
    MirrorFull {
        /// Where.
        url: String,
        /// How many bytes there are.
        bytes: u64,
        /// How many there may be.
        max: u64,
        /// Where they would be.
        folder: PathBuf,
    },
    /// Another process copies for longer than anybody waits.
    #[error("{lock}: another process has been copying the lake for {} s; ask again when it is done", .waited.as_secs())]
    MirrorInUse {
        /// What it holds.
        lock: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// No random number.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// Where the lake of a data directory lies, if that is its own. In a store, that is looked up there.
pub fn place(data: &DataDir) -> Result<Place, PlaceError> {
    Ok(match Remote::of(data)? {
        None => Place::Folder(data.lake()),
        Some(remote) => remote.place,
    })
}

/// What people are told of where the lake is.
pub fn name(data: &DataDir) -> Result<String, PlaceError> {
    Ok(read(data)?.map_or_else(|| data.lake().display().to_string(), |chosen| chosen.url))
}

/// Makes sure that the lake of a data directory can lie at `url`: that a store answers there, and holds no other's lake. Changes nothing.
pub fn can_be(data: &DataDir, url: &str) -> Result<(), PlaceError> {
    let url = url.parse::<S3Url>()?;
    let store = connect(&url)?;
    let url = url.to_string();
    let fault = |source| PlaceError::Store { url: url.clone(), source };
    let Some(mark) = Files::at(Place::Objects(store)).map_err(fault)?.find(MARK).map_err(fault)? else { return Ok(()) };
    let own = read(data)?.map_or_else(|| "nothing".into(), |is| is.lake_id);
    is_own(&url, &mark, own)
}

/// Has the lake of a data directory lie at `url` from now on. Once anything is in it, it stays where it is.
pub fn choose(data: &DataDir, url: &str) -> Result<(), PlaceError> {
    let url = url.parse::<S3Url>()?.to_string();
    let is = read(data)?;
    if is.as_ref().is_some_and(|is| is.url == url) {
        return Ok(());
    }
    let consumed_seq = consumed(data)?;
    if consumed_seq > 0 {
        let is = is.map_or_else(|| data.lake().display().to_string(), |is| is.url);
        return Err(PlaceError::Elsewhere { is, asked: url, consumed_seq });
    }
    let lake_id = is.map_or_else(drawn, |is| Ok(is.lake_id))?;
    write(data, &Chosen { url, lake_id, owes_books: true })
}

/// Puts the books' files into a store: they are not folded of the log, and nobody else puts those of days closed long ago.
fn carry_books(data: &DataDir, to: &Files) -> Result<(), LakeError> {
    if !data.lake().is_dir() {
        return Ok(());
    }
    let from = Files::at(&data.lake())?;
    for table in [&CAMPAIGN_PACING_DAILY, &MAKEGOODS, &MAKEGOOD_LEDGER] {
        for file in from.below(table.name)? {
            put_what_differs(to, &file.name, from.get(&file.name)?.into())?;
        }
    }
    Ok(())
}

/// Puts a file, unless it is there already.
fn put_what_differs(to: &Files, name: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
    if to.find(name)?.is_some_and(|there| there == bytes) {
        return Ok(());
    }
    to.put(name, bytes)
}

/// Puts a file of a table that is not folded (of the bookings, of the books) where the lake is, unless it is there already.
pub struct Shelf {
    folder: PathBuf,
    remote: Option<(String, Files)>,
}

impl Shelf {
    /// That of a data directory.
    pub fn open(data: &DataDir) -> Result<Self, PlaceError> {
        let remote = match Remote::of(data)? {
            None => None,
            Some(Remote { url, place }) => {
                let files = Files::at(place).map_err(|source| PlaceError::Store { url: url.clone(), source })?;
                Some((url, files))
            }
        };
        Ok(Self { folder: data.lake(), remote })
    }

    /// Puts it, whole: whoever reads it reads the one of before or this one.
    pub fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), PlaceError> {
        let Some((url, files)) = &self.remote else {
            let path = self.folder.join(name);
            return replace_file(&path, &bytes).map_err(|source| PlaceError::Io { path, source });
        };
        put_what_differs(files, name, bytes).map_err(|source| PlaceError::Store { url: url.clone(), source })
    }
}

/// A place in a store.
pub(super) struct Remote {
    pub(super) url: String,
    pub(super) place: Place,
}

impl Remote {
    /// That of a data directory, which has made sure that it is its own; none if its lake is in its folder.
    pub(super) fn of(data: &DataDir) -> Result<Option<Self>, PlaceError> {
        let Some(chosen) = read(data)? else { return Ok(None) };
        let place = Place::Objects(connect(&chosen.url.parse()?)?);
        claim(data, &chosen, &place)?;
        Ok(Some(Self { url: chosen.url, place }))
    }
}

fn connect(url: &S3Url) -> Result<Arc<dyn ObjectStore>, PlaceError> {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    s3::connect(url, variables, s3::Patience::default())
        .map_err(|source| PlaceError::SetUp { url: url.to_string(), source })
}

/// Makes sure that the place is this data directory's, or makes it so, and that the books' files are there: before anybody asks what is.
fn claim(data: &DataDir, chosen: &Chosen, place: &Place) -> Result<(), PlaceError> {
    let Chosen { url, lake_id, owes_books } = chosen;
    let fault = |source| PlaceError::Store { url: url.into(), source };
    let files = Files::at(place.clone()).map_err(fault)?;
    let mut mark = files.find(MARK).map_err(fault)?;
    if mark.is_none() {
        let consumed_seq = consumed(data)?;
        if consumed_seq > 0 {
            return Err(PlaceError::Gone { url: url.into(), consumed_seq });
        }
        carry_books(data, &files).map_err(fault)?;
        let put = files.put_new(MARK, json(&Mark { lake_id: lake_id.into() }));
        mark = files.find(MARK).map_err(fault)?; // somebody else may have been first; or it was put, and the answer lost
        if mark.is_none() {
            put.map_err(fault)?;
        }
    }
    is_own(url, &mark.unwrap_or_default(), lake_id.clone())?;
    if *owes_books {
        carry_books(data, &files).map_err(fault)?;
        write(data, &Chosen { owes_books: false, ..chosen.clone() })?;
    }
    Ok(())
}

/// Whether a mark is this data directory's.
fn is_own(url: &str, mark: &[u8], own: String) -> Result<(), PlaceError> {
    let found =
        serde_json::from_slice::<Mark>(mark).map_or_else(|_| "what no origin writes".into(), |mark| mark.lake_id);
    if found == own { Ok(()) } else { Err(PlaceError::Foreign { url: url.into(), found, own }) }
}

fn consumed(data: &DataDir) -> Result<u64, PlaceError> {
    Ok(Status::read(&data.lake_db())?.map_or(0, |status| status.consumed_seq))
}

fn read(data: &DataDir) -> Result<Option<Chosen>, PlaceError> {
    let path = data.lake_place();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PlaceError::Io { path, source }),
    };
    let odd =
        |error: serde_json::Error| PlaceError::Odd { path: path.display().to_string(), reason: error.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(odd)
}

fn write(data: &DataDir, chosen: &Chosen) -> Result<(), PlaceError> {
    let path = data.lake_place();
    replace_file(&path, &json(chosen)).map_err(|source| PlaceError::Io { path, source })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| unreachable!("plain values"))
}

fn drawn() -> Result<String, PlaceError> {
    let mut drawn = [0; 16];
    getrandom::fill(&mut drawn).map_err(|error| PlaceError::Random(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(drawn)))
}
