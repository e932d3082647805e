//! Everything outside the guest, and the one point that every call to it passes.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bytes::Bytes;

use super::DEFAULT_LABEL;
use super::clock::Clock;
use super::fault::{Fault, Injection, Op, Ops, Rules};
use super::journal::{Call, Journal};
use super::key_value_file::KeyValueFile;
use super::lock;
use super::outbound::Route;
use super::output::Output;

/// Traps kept; a test that makes more has long failed.
const TRAPS_MAX: usize = 1_000;

// The names that Spin gives these files in `.spin/`, so that a folder can change hands.
const DATABASE_FILE: &str = "sqlite_db.db";
const KEY_VALUE_FILE: &str = "sqlite_key_value.db";

/// Everything outside the guest: stores, variables, clock, outbound HTTP, faults and the journal.
///
/// The stores live in a folder. They outlast the world: a new one over the same folder finds them as they were left.
/// All methods may be called while the guest runs.
pub struct World {
    folder: PathBuf,
    pub(super) key_value: KeyValueFile,
    pub(super) clock: Arc<Clock>,
    pub(super) output: Output,
    variables: Mutex<HashMap<String, String>>,
    route: Mutex<Route>,
    rules: Mutex<Rules>,
    journal: Mutex<Journal>,
    traps: Mutex<Vec<String>>,
}

/// How a call goes on that was not refused.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verdict {
    /// Wait this long before doing the work.
    pub(super) delay: Option<Duration>,
    /// Do the work, but report this error.
    pub(super) ambiguous: Option<&'static str>,
}

impl World {
    /// A world over the stores in `folder`, which is created if need be. It has the real time, no variables, no network
    /// and no faults. Make it inside the test's runtime: its clocks start from tokio's.
    pub fn new(folder: impl AsRef<Path>) -> anyhow::Result<Arc<Self>> {
        let folder = folder.as_ref().to_path_buf();
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let file = folder.join(KEY_VALUE_FILE);
        let key_value = KeyValueFile::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
        Ok(Arc::new(World {
            folder,
            key_value,
            clock: Arc::new(Clock::new()),
            output: Output::default(),
            variables: Mutex::default(),
            route: Mutex::default(),
            rules: Mutex::default(),
            journal: Mutex::default(),
            traps: Mutex::default(),
        }))
    }

    /// The file of the SQLite database that guests open as "default".
    pub fn database_file(&self) -> PathBuf {
        self.folder.join(DATABASE_FILE)
    }

    /// A connection of the test's own to the guests' SQLite database, to create its schema or look into it. Neither
    /// faults nor the journal know of it.
    pub fn open_database(&self) -> rusqlite::Result<rusqlite::Connection> {
        rusqlite::Connection::open(self.database_file())
    }

    /// Reads a value of the guests' default key-value store. Neither faults nor the journal know of it.
    pub fn key_value(&self, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        self.key_value.with(|store| store.get(DEFAULT_LABEL, key))
    }

    /// Writes a value to the guests' default key-value store. Neither faults nor the journal know of it.
    pub fn set_key_value(&self, key: &str, value: impl AsRef<[u8]>) -> rusqlite::Result<()> {
        self.key_value.with(|store| store.set(DEFAULT_LABEL, key, value.as_ref()))
    }

    /// Sets a variable of the guest.
    pub fn set_variable(&self, name: impl Into<String>, value: impl Into<String>) {
        lock(&self.variables).insert(name.into(), value.into());
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        lock(&self.variables).get(name).cloned()
    }

    /// Answers every outbound request of the guest by this function instead of sending it.
    pub fn route_outbound(
        &self,
        answer: impl Fn(http::Request<Bytes>) -> http::Response<Bytes> + Send + Sync + 'static,
    ) {
        *lock(&self.route) = Route::Answered(Arc::new(answer));
    }

    /// Really sends the guest's outbound requests if they go to a loopback address by its number, as in
    /// `http://127.0.0.1:8080/` or `redis://127.0.0.1:6379`, and denies all others.
    pub fn allow_loopback(&self) {
        *lock(&self.route) = Route::Loopback;
    }

    pub(super) fn route(&self) -> Route {
        lock(&self.route).clone()
    }

    /// Sets the guest's wall clock, which goes on from there with tokio's time.
    pub fn set_wall_clock(&self, time: SystemTime) {
        self.clock.set_wall(time);
    }

    /// Moves the guest's wall clock ahead, and nothing else: timers and the monotonic clock follow
    /// `tokio::time::advance`, which moves all clocks.
    pub fn advance(&self, by: Duration) {
        self.clock.advance_wall(by);
    }

    /// What the guest's wall clock shows.
    pub fn wall_clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.clock.wall()
    }

    /// Lets `fault` strike the next `times` calls that do one of `ops` to a key of the form `pattern`, in which `*`
    /// stands for any text. `u32::MAX` times is for ever. See [`Op`] for what the key of each kind of call is; of
    /// several rules about one call, the oldest strikes.
    pub fn inject(&self, ops: impl Into<Ops>, pattern: &str, times: u32, fault: Fault) -> Injection {
        self.inject_after(0, ops, pattern, times, fault)
    }

    /// As [`World::inject`], but spares the first `spared` such calls: to strike at each point of a sequence in turn.
    pub fn inject_after(&self, spared: u32, ops: impl Into<Ops>, pattern: &str, times: u32, fault: Fault) -> Injection {
        lock(&self.rules).add(ops.into(), pattern, spared, times, fault)
    }

    /// Forgets all injected faults.
    pub fn clear_faults(&self) {
        lock(&self.rules).clear();
    }

    /// The latest 65,536 calls of all guests, oldest first.
    pub fn journal(&self) -> Vec<Call> {
        lock(&self.journal).calls()
    }

    /// How many calls in the journal are round trips to a store: see [`Op::is_round_trip`].
    pub fn round_trips(&self) -> usize {
        self.journal().iter().filter(|call| call.op.is_round_trip()).count()
    }

    /// Empties the journal.
    pub fn clear_journal(&self) {
        lock(&self.journal).clear();
    }

    /// Why instances died that did not end by themselves, oldest first: they trapped, or a request in them did not end
    /// within its time. Those that [`SpinHost::stop`](super::SpinHost::stop) ended are not among them.
    pub fn traps(&self) -> Vec<String> {
        lock(&self.traps).clone()
    }

    pub(super) fn note_trap(&self, reason: String) {
        self.note(&format!("a guest instance died: {reason}"));
        let mut traps = lock(&self.traps);
        if traps.len() < TRAPS_MAX {
            traps.push(reason);
        }
    }

    /// Writes a line of the host's own among the guests' output.
    pub(super) fn note(&self, line: &str) {
        self.output.append(format!("[host] {line}\n").as_bytes());
    }

    /// The latest 1 MiB that guests wrote to standard output and error; lines that begin with `[host]` say why
    /// instances died and why requests got no response.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// From now on also shows the guests' output on the standard error of this process.
    pub fn inherit_output(&self) {
        self.output.inherit();
    }

    /// The one point that every call to a back end passes: notes it in the journal and lets a fault strike.
    ///
    /// The outer error is a trap, the inner one is refused with this text.
    pub(super) fn meet(&self, op: Op, key: &str) -> wasmtime::Result<Result<Verdict, &'static str>> {
        let fault = lock(&self.rules).strike(op, key);
        lock(&self.journal).note(op, key, fault);
        let verdict = match fault {
            None => Ok(Verdict::default()),
            Some(Fault::Hang(delay)) => Ok(Verdict { delay: Some(delay), ..Verdict::default() }),
            Some(Fault::Ambiguous(error)) => Ok(Verdict { ambiguous: Some(error), ..Verdict::default() }),
            Some(Fault::Error(error)) => Err(error),
            Some(Fault::Trap) => wasmtime::bail!("injected trap in {op:?} {key}"),
        };
        Ok(verdict)
    }

    /// Does `work` for a guest, unless a fault strikes. `error` makes the guest's error of an injected one.
    ///
    /// The work is a task of its own: it is done even if the guest gives up waiting.
    pub(super) async fn call<R, E>(
        &self,
        op: Op,
        key: &str,
        error: fn(String) -> E,
        work: impl Future<Output = Result<R, E>> + Send + 'static,
    ) -> wasmtime::Result<Result<R, E>>
    where
        R: Send + 'static,
        E: Send + 'static,
    {
        let verdict = match self.meet(op, key)? {
            Ok(verdict) => verdict,
            Err(refused) => return Ok(Err(error(refused.to_owned()))),
        };
        let done = tokio::spawn(async move {
            if let Some(delay) = verdict.delay {
                tokio::time::sleep(delay).await;
            }
            work.await
        })
        .await
        .unwrap_or_else(|panic| Err(error(panic.to_string())));
        Ok(match verdict.ambiguous {
            Some(ambiguous) => done.and(Err(error(ambiguous.to_owned()))),
            None => done,
        })
    }
}
