//! A DuckDB of one's own, with the lake's tables in it and nothing else in reach.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    duckdb::{Connection, Deadline, DuckDb, Error, Limits, Table, quoted_list, words},
    folder::{Folder, shared},
    view::{Source, View},
};

/// How often the files of a table are listed anew because some were merged before they were kept.
const LISTINGS_MAX: u32 = 20;

/// What a session may use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many threads.
    pub threads: usize,
    /// How much memory before it goes to disk.
    pub memory_max_bytes: u64,
    /// Where the folders of all sessions are, on the file system of the tables' files; made if there is none.
    pub sessions: PathBuf,
    /// Held by whoever replaces files of several tables that belong together, so that all or none are found replaced; made if there
    /// is none.
    pub replacing: PathBuf,
    /// The folders it may read beside the tables.
    pub folders: Vec<PathBuf>,
    /// The files it may read beside them.
    pub files: Vec<PathBuf>,
}

/// How much of an answer is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many rows of a statement are passed over first.
    pub rows_skipped: usize,
    /// How many rows of a statement; an answer says if there were more.
    pub rows_max: usize,
    /// How long all of it may take.
    pub time_max: Option<Duration>,
}

/// What a statement answers.
pub type Answer = Table;

/// Values of parameters by name, without the `$`.
pub type Values = BTreeMap<String, Option<String>>;

/// A DuckDB with views. A table is as it was when it was first asked for, until the session ends.
pub struct Session {
    connection: Connection, // closed before its folder goes
    views: Vec<View>,
    replacing: PathBuf,
    made: RefCell<BTreeSet<String>>,
    folder: Folder,
}

impl Session {
    /// Starts one that can be asked for these tables. None is looked at before it is.
    pub fn start(duckdb: &DuckDb, settings: &Settings, views: Vec<View>) -> Result<Self, Error> {
        let folder = Folder::make(&settings.sessions)?;
        let connection = duckdb.open(&[
            ("threads", settings.threads.to_string()),
            ("memory_limit", format!("{}B", settings.memory_max_bytes)),
            ("temp_directory", folder.spill().display().to_string()),
            ("autoinstall_known_extensions", "false".into()),
            ("autoload_known_extensions", "false".into()),
            ("allow_community_extensions", "false".into()),
            ("preserve_insertion_order", "true".into()),
        ])?;
        let mut folders = settings.folders.clone();
        folders.push(folder.path().to_owned());
        // In this order: which folders can be reached cannot be said any more once others cannot, and then nothing can.
        connection.set_up(&format!(
            "SET TimeZone = 'UTC';
             SET allowed_directories = {};
             SET allowed_paths = {};
             SET enable_external_access = false;
             SET lock_configuration = true;",
            quoted_list(&folders),
            quoted_list(&settings.files)
        ))?;
        let replacing = settings.replacing.clone();
        Ok(Self { connection, views, replacing, made: RefCell::default(), folder })
    }

    /// The answers of those of the statements that have one.
    pub fn ask(&self, sql: &str, values: &Values, bounds: Bounds) -> Result<Vec<Answer>, Error> {
        self.ask_since(Instant::now(), sql, values, bounds)
    }

    /// The same, where the time began to run before.
    pub fn ask_since(&self, began: Instant, sql: &str, values: &Values, bounds: Bounds) -> Result<Vec<Answer>, Error> {
        let limits = bounds.since(began);
        self.keep_tables(sql, limits.deadline)?;
        self.connection.ask(sql, values, limits)
    }

    /// Writes the answer of the one question `sql` as a Parquet file.
    pub fn write_parquet(&self, sql: &str, values: &Values, file: &Path, bounds: Bounds) -> Result<(), Error> {
        let limits = bounds.since(Instant::now());
        self.keep_tables(sql, limits.deadline)?;
        // DuckDB can write nowhere but here.
        let answer = self.folder.answer();
        self.connection.write(sql, values, &answer, limits)?;
        move_file(&answer, file).map_err(|source| Error::Out { path: file.into(), source })
    }

    /// Makes the views that the SQL may need and that there are not yet, of one state of all their files.
    fn keep_tables(&self, sql: &str, deadline: Option<Deadline>) -> Result<(), Error> {
        let _none_is_replaced = shared(&self.replacing, deadline)?;
        self.make_views(sql, deadline)
    }

    /// Those whose names are words of the SQL, wherever they stand.
    fn make_views(&self, sql: &str, deadline: Option<Deadline>) -> Result<(), Error> {
        let words: BTreeSet<String> = words(sql).map(str::to_ascii_lowercase).collect();
        let any = words.iter().any(|word| asks_for_any(word));
        for view in self.views.iter().filter(|view| any || words.contains(&view.name)) {
            if !self.made.borrow_mut().insert(view.name.clone()) {
                continue;
            }
            if let Source::Query(query) = &view.source {
                self.make_views(query, deadline)?;
            }
            if let Err(error) = self.make_view(view, deadline) {
                self.made.borrow_mut().remove(&view.name);
                let _ = self.folder.let_go(&view.name); // it may be that there is nothing yet
                return Err(error);
            }
        }
        Ok(())
    }

    fn make_view(&self, view: &View, deadline: Option<Deadline>) -> Result<(), Error> {
        for _ in 0..LISTINGS_MAX {
            match self.folder.keep(&view.name, &view.files()?, view.is_whole(), deadline) {
                Err(Error::Folder { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    self.folder.let_go(&view.name)?;
                }
                kept => return self.connection.set_up(&view.create(kept?.as_deref())),
            }
        }
        Err(Error::Moves(view.name.clone()))
    }
}

impl Bounds {
    fn since(self, began: Instant) -> Limits {
        let deadline = self.time_max.map(|time_max| Deadline::after(began, time_max));
        Limits { rows_skipped: self.rows_skipped, rows_max: self.rows_max, deadline }
    }
}

/// Whether a word is of what lists tables, or finds them by a name that is not in the SQL.
fn asks_for_any(word: &str) -> bool {
    const WORDS: [&str; 5] = ["describe", "information_schema", "query_table", "show", "sqlite_master"];
    WORDS.contains(&word) || word.starts_with("duckdb_") || word.starts_with("pg_")
}

/// Puts a file in the place of another, whole, be it on another file system.
fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    if fs::rename(from, to).is_ok() {
        return Ok(());
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = to.with_file_name(name);
    fs::copy(from, &new).and_then(|_| fs::rename(&new, to)).inspect_err(|_| {
        let _ = fs::remove_file(&new); // it may not have been made
    })
}
