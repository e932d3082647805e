//! Making up a world in a data folder: its contracts, its log, and the truth beside them.
//!
//! The contracts are imported and planned with as any others, so that ids and registry records are the real ones; the log
//! is written as the collector writes it. What the people of the world do is [`slotkeeper_world`]'s.

pub mod check;
mod found;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use serde::{Deserialize, Serialize};
use slotkeeper_core::{keys::Keyring, time::UnixMillis};
use slotkeeper_world::{InvalidParams, Params, Script, Sink, Sold, SoldAd, Truth, UnsoldAd, truth::HourTruth};

use crate::{
    contracts::{Contracts, Format, ImportError},
    data_dir::{DataDir, DataDirError},
    lake::PlaceError,
    log::{Log, LogError, Received, SqliteLog},
    plan::{self, MakePlanError},
    registry::Registry,
};

/// How many bytes of entries go into one commit of the log.
const COMMIT_BYTES: usize = 16 * 1024 * 1024;
/// How many commits may wait to be written.
const COMMITS_WAITING: usize = 2;

/// Why no world was made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// There is one already, or something else.
    #[error("{folder} has a {what}: generate into an empty folder")]
    NotEmpty {
        /// Which folder.
        folder: PathBuf,
        /// What is in it.
        what: String,
    },
    /// A parameter is out of its bounds.
    #[error(transparent)]
    Params(#[from] InvalidParams),
    /// The folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The contracts were refused.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The origin booked something else than the script says.
    #[error("{flight}: booked from {starts_at} to {ends_at}, and the script says otherwise")]
    BookedOtherwise {
        /// Which flight.
        flight: String,
        /// What was booked.
        starts_at: u64,
        /// What was booked.
        ends_at: u64,
    },
    /// No plan was made of them.
    #[error(transparent)]
    Plan(#[from] MakePlanError),
    /// An ad has no registry record.
    #[error(transparent)]
    Unsold(#[from] UnsoldAd),
    /// The bookings cannot be read.
    #[error("generate: {0}")]
    Database(#[from] rusqlite::Error),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] slotkeeper_books::ledger::LedgerError),
    /// A question cannot be asked.
    #[error(transparent)]
    Sql(#[from] crate::sql::SqlError),
    /// A question does not take what it is asked with.
    #[error(transparent)]
    Question(#[from] slotkeeper_query::question::InvalidValue),
    /// The lake's files cannot be read where they are.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The truth cannot be written or read.
    #[error("{path}: {reason}")]
    Truth {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Where the truth of a world is.
#[derive(Clone, Debug)]
pub struct TruthFolder(PathBuf);

/// What a world was made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The parameters.
    #[serde(flatten)]
    pub params: Params,
    /// The first instant.
    pub starts_at_ms: u64,
    /// The instant after the last slot.
    pub ends_at_ms: u64,
    /// Of each day, the plan that was decided from.
    pub plan_versions: Vec<u64>,
}

impl TruthFolder {
    /// Beside the log of this data folder.
    pub fn of(data: &DataDir) -> Self {
        Self(data.path().join("truth"))
    }

    /// What the world was made from. Written last: without it, the world is not whole.
    pub fn manifest(&self) -> PathBuf {
        self.0.join("manifest.json")
    }

    /// All sums but those by hours.
    pub fn truth(&self) -> PathBuf {
        self.0.join("truth.json")
    }

    /// Slots by hour, title, position and outcome: one JSON object a line, in the order of hours. As all that follow.
    pub fn hours(&self) -> PathBuf {
        self.0.join("slots_by_hour.jsonl")
    }

    /// The same slots by hour, country, device and outcome.
    pub fn places(&self) -> PathBuf {
        self.0.join("slots_by_place.jsonl")
    }

    /// What slots earned, by hour, position and currency.
    pub fn earned(&self) -> PathBuf {
        self.0.join("revenue_by_hour.jsonl")
    }

    /// Of each quarter of an hour, its slots, and what each flight delivered.
    pub fn quarters(&self) -> PathBuf {
        self.0.join("delivered_by_quarter.jsonl")
    }

    /// Reads what is in one of its files.
    pub fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, GenerateError> {
        let fault = |reason: String| GenerateError::Truth { path: path.into(), reason };
        let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| fault(error.to_string()))
    }
}

/// Makes a world in an empty folder. `progress` is told of the slots there are.
pub fn generate(params: &Params, data: &DataDir, progress: &mut dyn FnMut(u64)) -> Result<Truth, GenerateError> {
    let script = Script::of(params)?;
    refuse_unless_empty(data)?;
    let mut contracts = Contracts::open(&data.contracts())?;
    let registry = Registry::open(&data.contracts())?;
    let sold = sell(params, &script, &mut contracts, registry)?;
    let folder = TruthFolder::of(data);
    let io = |error: io::Error| GenerateError::Truth { path: folder.0.clone(), reason: error.to_string() };
    fs::create_dir_all(&folder.0).map_err(io)?;
    let mut log = SqliteLog::open(&data.log())?;
    let (commits, waiting) = sync_channel::<Vec<Received>>(COMMITS_WAITING);
    // Compressing and fsyncing take about as long as making it up.
    let writer = thread::spawn(move || waiting.iter().try_for_each(|commit| log.append(&commit).map(drop)));
    let mut written = Written {
        commits,
        commit: Vec::new(),
        commit_bytes: 0,
        hours: JsonLines::create(folder.hours())?,
        places: JsonLines::create(folder.places())?,
        earned: JsonLines::create(folder.earned())?,
        quarters: JsonLines::create(folder.quarters())?,
        progress,
    };
    let made = slotkeeper_world::generate(params, &script, &sold, &mut written);
    let ended = written.end();
    // If the log could not be written, that is why the others ended.
    writer.join().unwrap_or_else(|_| Err(LogError("the thread that writes it has panicked".into())))?;
    ended?;
    let truth = made?;
    write_json(&folder.truth(), &truth)?;
    let manifest = Manifest {
        params: params.clone(),
        starts_at_ms: params.starts_at().0,
        ends_at_ms: params.ends_at().0,
        plan_versions: sold.plan_versions,
    };
    write_json(&folder.manifest(), &manifest)?;
    Ok(truth)
}

/// Makes a world and writes nothing of it: how large it would be, and how long making it takes without a disk.
pub fn dry_run(params: &Params, progress: &mut dyn FnMut(u64)) -> Result<Truth, GenerateError> {
    let script = Script::of(params)?;
    let folder = Path::new("file:dry-run?mode=memory&cache=shared");
    let mut contracts = Contracts::open(folder)?;
    let registry = Registry::over(rusqlite::Connection::open(folder)?);
    let sold = sell(params, &script, &mut contracts, registry)?;
    slotkeeper_world::generate(params, &script, &sold, &mut Unwritten { progress })
}

fn refuse_unless_empty(data: &DataDir) -> Result<(), GenerateError> {
    let entries = SqliteLog::last_seq_at(&data.log())?;
    let what = if entries > 0 {
        format!("log of {entries} entries")
    } else if data.contracts().exists() || data.log().exists() {
        "contracts.db or log.db".into()
    } else {
        return Ok(());
    };
    Err(GenerateError::NotEmpty { folder: data.path().into(), what })
}

/// Books the script, and makes a plan of every day: so every ad has its registry record.
fn sell(
    params: &Params,
    script: &Script,
    contracts: &mut Contracts,
    mut registry: Registry,
) -> Result<Sold, GenerateError> {
    let [first, paused] = script.contracts();
    contracts.import("contracts.toml", &first, Format::Toml)?;
    // Only signs what is sent to edges, and there are none.
    let key = blake3::hash(&params.seed.to_le_bytes()).to_hex();
    let keys = Keyring::parse(&format!("1:{key}")).unwrap_or_else(|_| unreachable!("64 hexadecimal digits"));
    let mut sold = Sold::default();
    let booked = contracts.booked()?;
    for flight in &script.flights {
        let is_it = |booked: &&crate::contracts::BookedFlight| {
            booked.slug == flight.slug && (booked.starts_at, booked.ends_at) == (flight.starts_at, flight.ends_at)
        };
        if !booked.flights.iter().any(|booked| is_it(&booked)) {
            let (starts_at, ends_at) = (flight.starts_at.0, flight.ends_at.0);
            return Err(GenerateError::BookedOtherwise { flight: flight.slug.clone(), starts_at, ends_at });
        }
    }
    for day in 0..u64::from(params.days) {
        let now = params.starts_at().plus_ms(day * 24 * 3_600_000);
        let made = plan::make(contracts, &plan::Feedback::default(), None, &keys, now)?;
        sold.plan_versions.push(made.source.version);
        for flight in made.source.flights.iter().filter(|_| day == 0) {
            let Some(booked) = booked.flights.iter().find(|booked| booked.flight_id == flight.flight_id) else {
                continue;
            };
            for ad in &flight.ads {
                let creative = booked.ads.iter().find(|booked| booked.ad_id == ad.ad_id);
                let (Some(creative), Some(record)) = (creative, registry.get(ad.record_id)?) else { continue };
                let (flight, creative) = (booked.slug.clone(), creative.creative.clone());
                sold.ads.push(SoldAd { flight, creative, record: record.clone() });
            }
        }
    }
    contracts.import("contracts.toml", &paused, Format::Toml)?;
    Ok(sold)
}

/// A world as it is written to a data folder.
struct Written<'a> {
    commits: SyncSender<Vec<Received>>,
    commit: Vec<Received>,
    commit_bytes: usize,
    hours: JsonLines,
    places: JsonLines,
    earned: JsonLines,
    quarters: JsonLines,
    progress: &'a mut dyn FnMut(u64),
}

impl Written<'_> {
    fn commit(&mut self) -> Result<(), GenerateError> {
        self.commit_bytes = 0;
        let commit = std::mem::take(&mut self.commit);
        self.commits.send(commit).map_err(|_| LogError("it is not written any more".into()).into())
    }

    fn end(mut self) -> Result<(), GenerateError> {
        self.commit()?;
        [self.hours, self.places, self.earned, self.quarters].into_iter().try_for_each(JsonLines::end)
    }
}

/// A file of one JSON object a line.
struct JsonLines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl JsonLines {
    fn create(path: PathBuf) -> Result<Self, GenerateError> {
        match File::create(&path) {
            Ok(file) => Ok(Self { path, file: BufWriter::new(file) }),
            Err(error) => Err(GenerateError::Truth { path, reason: error.to_string() }),
        }
    }

    fn write<T: Serialize>(&mut self, lines: &[T]) -> Result<(), GenerateError> {
        let line = |line| {
            serde_json::to_writer(&mut self.file, line)?;
            self.file.write_all(b"\n")
        };
        let written: io::Result<()> = lines.iter().try_for_each(line);
        written.map_err(|error| GenerateError::Truth { path: self.path.clone(), reason: error.to_string() })
    }

    fn end(mut self) -> Result<(), GenerateError> {
        self.file.flush().map_err(|error| GenerateError::Truth { path: self.path, reason: error.to_string() })
    }
}

impl Sink for Written<'_> {
    type Error = GenerateError;

    fn entry(&mut self, at: UnixMillis, batch: Vec<u8>) -> Result<(), GenerateError> {
        self.commit_bytes += batch.len();
        self.commit.push(Received { at, bytes: batch });
        if self.commit_bytes > COMMIT_BYTES { self.commit() } else { Ok(()) }
    }

    fn hour(&mut self, hour: &HourTruth) -> Result<(), GenerateError> {
        self.hours.write(&hour.slots)?;
        self.places.write(&hour.places)?;
        self.earned.write(&hour.earned)?;
        self.quarters.write(&hour.quarters)
    }

    fn progress(&mut self, slots: u64) -> Result<(), GenerateError> {
        (self.progress)(slots);
        Ok(())
    }
}

/// A world that is only counted.
struct Unwritten<'a> {
    progress: &'a mut dyn FnMut(u64),
}

impl Sink for Unwritten<'_> {
    type Error = GenerateError;

    fn entry(&mut self, _: UnixMillis, _: Vec<u8>) -> Result<(), GenerateError> {
        Ok(())
    }

    fn hour(&mut self, _: &HourTruth) -> Result<(), GenerateError> {
        Ok(())
    }

    fn progress(&mut self, slots: u64) -> Result<(), GenerateError> {
        (self.progress)(slots);
        Ok(())
    }
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), GenerateError> {
    let fault = |reason: String| GenerateError::Truth { path: path.into(), reason };
    let mut json = serde_json::to_vec_pretty(value).map_err(|error| fault(error.to_string()))?;
    json.push(b'\n');
    fs::write(path, json).map_err(|error| fault(error.to_string()))
}
