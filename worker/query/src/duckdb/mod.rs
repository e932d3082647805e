//! DuckDB's C API, made safe: the library, one database in memory with its connection, and what a statement answers.
//!
//! Everything unsafe of this crate is in this module, and each pointer in a type that gives it back when dropped.
#![expect(unsafe_code, reason = "DuckDB is a C library")]

mod chunk;
mod ffi;

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char},
    path::{Path, PathBuf},
    ptr::null_mut,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use ffi::{Functions, Pointer, RawResult, SUCCESS, statement};

use crate::value::Value;

/// The variable that says where the library is.
pub const LIBRARY_VARIABLE: &str = "SLOTKEEPER_DUCKDB";
/// The library's name, where the variable says nothing: beside the program, then where the system looks for libraries.
const LIBRARY_NAME: &str = if cfg!(target_os = "macos") { "libduckdb.dylib" } else { "libduckdb.so" };
/// How long after a statement's time is up it is told again to end: it may have been between two of its steps.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no library, or none that is DuckDB of this API.
    #[error(
        "DuckDB is not here ({reason}): set {LIBRARY_VARIABLE} to the path of {LIBRARY_NAME} of DuckDB 1.5, or put that file beside \
         the slotkeeper program; `npm install @duckdb/node-bindings-linux-x64@1.5.6-r.1` brings one, and so do the releases on \
         duckdb.org"
    )]
    NoLibrary {
        /// What was tried, and why it failed.
        reason: String,
    },
    /// DuckDB says no.
    #[error("{0}")]
    DuckDb(String),
    /// Longer than it may take.
    #[error("the answer was not there in {0:?}; ask for less: fewer days, or one of a breakdown's values")]
    OutOfTime(Duration),
    /// A text with a zero byte.
    #[error("{0} holds a zero byte")]
    ZeroByte(&'static str),
    /// No SQL.
    #[error("there is no statement in the SQL")]
    NoStatement,
    /// A parameter without a value.
    #[error("the SQL asks for a parameter ${0}, of which no value was given")]
    NoValue(String),
    /// A value without a parameter.
    #[error("the SQL has no parameter ${0}")]
    NoParameter(String),
    /// A statement that reaches out.
    #[error(
        "{0} is not run here: an answer goes to a file by --format and --out, and nothing but the tables is opened"
    )]
    ReachesOut(&'static str),
    /// More or less than the one question that a file can hold the answer of.
    #[error("a file holds the answer of one SELECT; here are {0} statements, or another kind of one")]
    NotOneQuestion(u64),
    /// A session's own files cannot be made.
    #[error("{path}: {source}; a session keeps the files that it reads by hard links there, beside the lake's own")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of an answer cannot be written.
    #[error("{path}: {source}")]
    Out {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Which files a table has cannot be read.
    #[error("{0}")]
    Listing(String),
    /// A table's files go faster than they can be kept.
    #[error("the files of {0} are merged faster than they can be opened; ask again")]
    Moves(String),
    /// A column that cannot be read as it is.
    #[error(
        "column {column} is of a type that is not read here; give it as text: CAST({column} AS VARCHAR), or to_json({column})"
    )]
    Type {
        /// Which.
        column: String,
    },
}

/// The library.
#[derive(Clone)]
pub struct DuckDb(Arc<Functions>);

impl DuckDb {
    /// Loads the library that [`LIBRARY_VARIABLE`] names, else the one beside this program, else the system's.
    pub fn load() -> Result<Self, Error> {
        if let Some(path) = std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()) {
            return Self::load_from(Path::new(&path));
        }
        let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(LIBRARY_NAME)));
        match beside.filter(|path| path.is_file()) {
            Some(path) => Self::load_from(&path),
            None => Self::load_from(Path::new(LIBRARY_NAME)),
        }
    }

    /// Loads this library.
    pub fn load_from(path: &Path) -> Result<Self, Error> {
        let fail = |error: libloading::Error| Error::NoLibrary { reason: format!("{}: {error}", path.display()) };
        Ok(Self(Arc::new(Functions::load(path).map_err(fail)?)))
    }

    /// Its version, as `v1.5.6`.
    pub fn version(&self) -> String {
        // SAFETY: it takes nothing, and gives a text that is never freed.
        unsafe { text((self.0.library_version)()) }
    }

    /// A database in memory, with these settings.
    pub fn open(&self, settings: &[(&str, String)]) -> Result<Connection, Error> {
        let functions = Arc::clone(&self.0);
        let settings = settings
            .iter()
            .map(|(name, value)| Ok((c_text("a setting", name)?, c_text("a setting", value)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut opened = Connection { functions, database: null_mut(), handle: null_mut() };
        let functions = &opened.functions;
        // SAFETY: every pointer given is one that the function before made, or to a variable of ours that outlives the call; the
        // configuration is destroyed once, whatever happened; what is open by then is closed when `opened` is dropped.
        unsafe {
            let mut config: Pointer = null_mut();
            if (functions.create_config)(&raw mut config) != SUCCESS {
                return Err(Error::DuckDb("no memory for a configuration".into()));
            }
            let mut state = SUCCESS;
            let mut reason = String::from("a setting is refused");
            for (name, value) in &settings {
                if state == SUCCESS {
                    state = (functions.set_config)(config, name.as_ptr(), value.as_ptr());
                    reason = format!("the setting {} is refused: {}", name.to_string_lossy(), value.to_string_lossy());
                }
            }
            if state == SUCCESS {
                let mut error: *mut c_char = null_mut();
                state = (functions.open_ext)(c":memory:".as_ptr(), &raw mut opened.database, config, &raw mut error);
                if !error.is_null() {
                    reason = text(error);
                    (functions.free)(error.cast());
                }
            }
            (functions.destroy_config)(&raw mut config);
            if state == SUCCESS {
                state = (functions.connect)(opened.database, &raw mut opened.handle);
            }
            if state != SUCCESS {
                return Err(Error::DuckDb(reason));
            }
        }
        Ok(opened)
    }
}

/// A database in memory. It is gone when this is dropped.
pub struct Connection {
    functions: Arc<Functions>,
    database: Pointer,
    handle: Pointer,
}

/// How much of an answer is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many rows are passed over first.
    pub rows_skipped: usize,
    /// How many rows; there may be more.
    pub rows_max: usize,
    /// When it must be there, all statements and their preparation included.
    pub deadline: Option<Deadline>,
}

/// When an answer must be there.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    time_max: Duration,
}

impl Deadline {
    /// This long after `began`.
    pub fn after(began: Instant, time_max: Duration) -> Self {
        Self { at: began + time_max, time_max }
    }

    /// An error once it has passed.
    pub fn check(self) -> Result<(), Error> {
        if Instant::now() < self.at { Ok(()) } else { Err(Error::OutOfTime(self.time_max)) }
    }
}

/// What a statement answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<Value>>,
    /// Whether there were more rows than were wanted.
    pub is_cut: bool,
}

impl Connection {
    /// Runs what this program itself says, of one or more statements.
    pub fn set_up(&self, sql: &str) -> Result<(), Error> {
        let limits = Limits { rows_skipped: 0, rows_max: 0, deadline: None };
        self.each(sql, &BTreeMap::new(), limits, Trust::Own).map(|_| ())
    }

    /// Runs every statement of what somebody asks, with these values of its parameters, and gives the answers of those that have
    /// one.
    pub fn ask(
        &self,
        sql: &str,
        values: &BTreeMap<String, Option<String>>,
        limits: Limits,
    ) -> Result<Vec<Table>, Error> {
        names_nothing_that_writes(sql)?;
        self.within(limits.deadline, || self.each(sql, values, limits, Trust::Asked))
    }

    /// Writes the answer of the one question that somebody asks as a Parquet file.
    pub fn write(
        &self,
        sql: &str,
        values: &BTreeMap<String, Option<String>>,
        file: &Path,
        limits: Limits,
    ) -> Result<(), Error> {
        names_nothing_that_writes(sql)?;
        self.within(limits.deadline, || {
            self.is_one_question(sql)?;
            let sql = sql.trim_end().trim_end_matches(';');
            let sql = format!("COPY (\n{sql}\n) TO {} (FORMAT parquet, COMPRESSION zstd)", quoted(file));
            self.each(&sql, values, limits, Trust::Own).map(|_| ())
        })
    }

    /// What is one SELECT by itself stays inside the parentheses that are put around it.
    fn is_one_question(&self, sql: &str) -> Result<(), Error> {
        let statements = Statements::extract(self, sql)?;
        if statements.count == 1 && statements.prepare(0)?.kind() == statement::SELECT {
            Ok(())
        } else {
            Err(Error::NotOneQuestion(statements.count))
        }
    }

    fn each(
        &self,
        sql: &str,
        values: &BTreeMap<String, Option<String>>,
        limits: Limits,
        trust: Trust,
    ) -> Result<Vec<Table>, Error> {
        let statements = Statements::extract(self, sql)?;
        let mut unused: Vec<&String> = values.keys().collect();
        let mut answers = Vec::new();
        for index in 0..statements.count {
            limits.deadline.map_or(Ok(()), Deadline::check)?;
            let prepared = statements.prepare(index)?;
            if trust == Trust::Asked {
                prepared.stays_inside(sql)?;
            }
            prepared.bind(values, &mut unused)?;
            answers.extend(prepared.run(limits)?);
        }
        match unused.first() {
            Some(name) => Err(Error::NoParameter((*name).clone())),
            None => Ok(answers),
        }
    }

    /// Runs `work`, and interrupts the statements that it waits for when the time is up.
    fn within<T>(&self, deadline: Option<Deadline>, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let Some(deadline) = deadline else { return work() };
        let interrupt = Interrupt { functions: &self.functions, handle: self.handle };
        let (done, is_done) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let watch = scope.spawn(move || {
                let interrupt = interrupt; // all of it, not a field
                let mut patience = deadline.at.saturating_duration_since(Instant::now());
                let mut is_late = false;
                while is_done.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                    is_late = true;
                    interrupt.now();
                    patience = INTERRUPT_AGAIN;
                }
                is_late
            });
            let outcome = work();
            drop(done);
            let is_late = watch.join().unwrap_or(true);
            match outcome {
                Err(_) if is_late => Err(Error::OutOfTime(deadline.time_max)),
                outcome => outcome,
            }
        })
    }
}

/// Refuses what would write before its kind is known, or be no statement of its own. These names are all that DuckDB 1.5 is known to have of
/// it; what they are in does not matter, so that no comment or quote hides them.
fn names_nothing_that_writes(sql: &str) -> Result<(), Error> {
    let words: Vec<String> = words(sql).map(str::to_ascii_lowercase).collect();
    let place = |name: &str| words.iter().position(|word| word == name);
    let then_database =
        |verb: &str| place(verb).is_some_and(|verb| words[verb..].iter().any(|word| word == "database"));
    // Merely preparing it makes its folder.
    if then_database("export") {
        return Err(Error::ReachesOut("EXPORT DATABASE"));
    }
    // It becomes the statements of files that nobody has seen.
    if then_database("import") || place("import_database").is_some() {
        return Err(Error::ReachesOut("IMPORT DATABASE"));
    }
    // Table functions that write where they are told, locked settings or not; and what runs SQL that is put together.
    for name in ["enable_logging", "enable_profiling"] {
        if place(name).is_some() {
            return Err(Error::ReachesOut(name));
        }
    }
    if place("json_execute_serialized_sql").is_some() || calls_query(sql) {
        return Err(Error::ReachesOut("SQL in a text"));
    }
    Ok(())
}

/// Whether `query(…)` may be called: what follows the word is no other word.
fn calls_query(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let mut behind = sql.match_indices("query").filter(|(at, _)| {
        let before = sql[..*at].chars().next_back();
        !before.is_some_and(is_of_word)
    });
    behind.any(|(at, word)| {
        let behind = &sql[at + word.len()..];
        let next = behind.trim_start().trim_start_matches('"').trim_start();
        !behind.starts_with(is_of_word) && ["(", "/*", "--"].iter().any(|begin| next.starts_with(begin))
    })
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: both are what was opened, or null, which these functions take; neither is used after.
        unsafe {
            (self.functions.disconnect)(&raw mut self.handle);
            (self.functions.close)(&raw mut self.database);
        }
    }
}

/// Whose a statement is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Own,
    Asked,
}

/// What can be called from another thread, and nothing else can: DuckDB says so of `duckdb_interrupt`.
struct Interrupt<'a> {
    functions: &'a Functions,
    handle: Pointer,
}

// SAFETY: see the type; the connection outlives the scope of the thread.
unsafe impl Send for Interrupt<'_> {}

impl Interrupt<'_> {
    fn now(&self) {
        // SAFETY: see the type.
        unsafe { (self.functions.interrupt)(self.handle) }
    }
}

/// The statements of some SQL.
struct Statements<'a> {
    connection: &'a Connection,
    extracted: Pointer,
    count: u64,
}

impl<'a> Statements<'a> {
    fn extract(connection: &'a Connection, sql: &str) -> Result<Self, Error> {
        let sql = c_text("the SQL", sql)?;
        let mut statements = Self { connection, extracted: null_mut(), count: 0 };
        let functions = &connection.functions;
        // SAFETY: the text lives through the call, which copies it; what it makes is destroyed when `statements` is dropped.
        unsafe {
            statements.count =
                (functions.extract_statements)(connection.handle, sql.as_ptr(), &raw mut statements.extracted);
            if statements.count == 0 {
                let reason = text((functions.extract_statements_error)(statements.extracted));
                return Err(if reason.is_empty() { Error::NoStatement } else { Error::DuckDb(reason) });
            }
        }
        Ok(statements)
    }

    fn prepare(&self, index: u64) -> Result<Prepared<'a>, Error> {
        let functions = &*self.connection.functions;
        let mut prepared = Prepared { functions, prepared: null_mut() };
        // SAFETY: `extracted` holds more statements than `index`; what it makes is destroyed when `prepared` is dropped.
        unsafe {
            let connection = self.connection.handle;
            let state =
                (functions.prepare_extracted_statement)(connection, self.extracted, index, &raw mut prepared.prepared);
            if state != SUCCESS {
                return Err(Error::DuckDb(text((functions.prepare_error)(prepared.prepared))));
            }
        }
        Ok(prepared)
    }
}

impl Drop for Statements<'_> {
    fn drop(&mut self) {
        // SAFETY: it is what was extracted, or null, which the function takes.
        unsafe { (self.connection.functions.destroy_extracted)(&raw mut self.extracted) }
    }
}

/// A statement that can be run.
struct Prepared<'a> {
    functions: &'a Functions,
    prepared: Pointer,
}

impl Prepared<'_> {
    fn kind(&self) -> u32 {
        // SAFETY: the statement is prepared.
        unsafe { (self.functions.prepared_statement_type)(self.prepared) }
    }

    /// Whether it only reads, or changes what is in memory. That it opens no other file is the settings' business; here it is that
    /// it writes none, as those settings cannot tell reading from writing.
    fn stays_inside(&self, sql: &str) -> Result<(), Error> {
        let copies = || words(sql).any(|word| word.eq_ignore_ascii_case("copy"));
        Err(Error::ReachesOut(match self.kind() {
            statement::EXPLAIN if copies() => "COPY in EXPLAIN",
            kind if statement::INSIDE.contains(&kind) => return Ok(()),
            statement::COPY => "COPY",
            statement::LOAD => "INSTALL or LOAD",
            statement::ATTACH | statement::COPY_DATABASE => "ATTACH",
            statement::PREPARE | statement::EXECUTE => "PREPARE or EXECUTE",
            statement::CALL | statement::PRAGMA => "CALL or PRAGMA",
            _ => "a statement of this kind",
        }))
    }

    fn bind(&self, values: &BTreeMap<String, Option<String>>, unused: &mut Vec<&String>) -> Result<(), Error> {
        // SAFETY: the statement is prepared, and has as many parameters as it says, the first of which is 1; a parameter's name
        // is a text that the library lets us free; a value is copied by the call.
        unsafe {
            for index in 1..=(self.functions.nparams)(self.prepared) {
                let name_there = (self.functions.parameter_name)(self.prepared, index);
                let name = text(name_there);
                (self.functions.free)(name_there.cast_mut().cast());
                unused.retain(|one| **one != name);
                let state = match values.get(&name) {
                    None => return Err(Error::NoValue(name)),
                    Some(None) => (self.functions.bind_null)(self.prepared, index),
                    Some(Some(value)) => {
                        let length = value.len() as u64;
                        (self.functions.bind_varchar_length)(self.prepared, index, value.as_ptr().cast(), length)
                    }
                };
                if state != SUCCESS {
                    return Err(Error::DuckDb(format!("the value of parameter ${name} cannot be bound")));
                }
            }
        }
        Ok(())
    }

    /// Its answer, if it is a statement that has one.
    fn run(&self, limits: Limits) -> Result<Option<Table>, Error> {
        let mut running = Running { functions: self.functions, pending: null_mut(), result: RawResult::NONE };
        // SAFETY: the statement is prepared and its parameters bound; what these make is destroyed when `running` is dropped.
        unsafe {
            if (self.functions.pending_prepared_streaming)(self.prepared, &raw mut running.pending) != SUCCESS {
                return Err(Error::DuckDb(text((self.functions.pending_error)(running.pending))));
            }
            if (self.functions.execute_pending)(running.pending, &raw mut running.result) != SUCCESS {
                return Err(running.error());
            }
        }
        running.read(limits)
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // SAFETY: it is what was prepared, or null, which the function takes.
        unsafe { (self.functions.destroy_prepare)(&raw mut self.prepared) }
    }
}

/// A statement that runs, row by row as they are taken.
struct Running<'a> {
    functions: &'a Functions,
    pending: Pointer,
    result: RawResult,
}

/// `duckdb_result_type` of a statement that has an answer.
const QUERY_RESULT: u32 = 3;

impl Running<'_> {
    fn read(&mut self, limits: Limits) -> Result<Option<Table>, Error> {
        // SAFETY: the result is one that was executed.
        let has_answer = unsafe { (self.functions.result_return_type)(self.result) } == QUERY_RESULT;
        let columns = if has_answer { chunk::columns(self.functions, &mut self.result) } else { Vec::new() };
        if let Some(odd) = columns.iter().find(|column| !column.is_read()) {
            return Err(Error::Type { column: odd.name.clone() });
        }
        let mut table =
            Table { columns: columns.iter().map(|column| column.name.clone()).collect(), ..Table::default() };
        let mut skipped = 0;
        // To the end also of those that answer nothing: it is then that they are done.
        while let Some(chunk) = chunk::Chunk::fetch(self.functions, self.result) {
            if !has_answer {
                continue;
            }
            let first = chunk.len().min(limits.rows_skipped - skipped);
            skipped += first;
            let room = limits.rows_max - table.rows.len();
            table.rows.extend((first..chunk.len().min(first + room)).map(|row| chunk.row(&columns, row)));
            if chunk.len() - first > room {
                table.is_cut = true;
                return Ok(Some(table));
            }
        }
        let error = self.error_text();
        if error.is_empty() { Ok(has_answer.then_some(table)) } else { Err(Error::DuckDb(error)) }
    }

    fn error(&mut self) -> Error {
        Error::DuckDb(self.error_text())
    }

    fn error_text(&mut self) -> String {
        // SAFETY: the result is one that was executed, or failed to be.
        unsafe { text((self.functions.result_error)(&raw mut self.result)) }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // SAFETY: both are what was made, or nothing, which these functions take.
        unsafe {
            (self.functions.destroy_result)(&raw mut self.result);
            (self.functions.destroy_pending)(&raw mut self.pending);
        }
    }
}

/// The words of some SQL, wherever they stand.
pub(crate) fn words(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|c: char| !is_of_word(c)).filter(|word| !word.is_empty())
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What a pointer of the library to a text says; nothing of a null pointer.
///
/// # Safety
///
/// It is null, or points to a text with a zero at its end.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

fn c_text(what: &'static str, text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::ZeroByte(what))
}

/// A path as SQL names it, in quotes.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "''"))
}

/// The paths as a list in SQL.
pub fn quoted_list(paths: &[PathBuf]) -> String {
    let quoted: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
    format!("[{}]", quoted.join(", "))
}
