//! A DuckDB of one's own, with the lake's tables in it and nothing else in reach.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    duckdb::{Connection, DuckDb, Error, Limits, Table, quoted, quoted_list},
    view::View,
};

/// What a session may use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many threads.
    pub threads: usize,
    /// How much memory before it goes to disk.
    pub memory_max_bytes: u64,
    /// Where that is; made when needed.
    pub spill: PathBuf,
    /// The folders it may read beside the lake.
    pub folders: Vec<PathBuf>,
    /// The files it may read, or write where an answer is one.
    pub files: Vec<PathBuf>,
}

/// How much of an answer is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many rows of a statement; an answer says if there were more.
    pub rows_max: usize,
    /// How long one statement may take.
    pub time_max: Option<Duration>,
}

/// What a statement answers.
pub type Answer = Table;

/// Values of parameters by name, without the `$`.
pub type Values = BTreeMap<String, Option<String>>;

/// A DuckDB with views.
pub struct Session {
    connection: Connection,
}

impl Session {
    /// Starts one with these views over the lake in the folder `lake`.
    pub fn start(duckdb: &DuckDb, settings: &Settings, lake: &Path, views: &[View]) -> Result<Self, Error> {
        let connection = duckdb.open(&[
            ("threads", settings.threads.to_string()),
            ("memory_limit", format!("{}B", settings.memory_max_bytes)),
            ("temp_directory", settings.spill.display().to_string()),
            ("autoinstall_known_extensions", "false".into()),
            ("autoload_known_extensions", "false".into()),
            ("allow_community_extensions", "false".into()),
            ("preserve_insertion_order", "true".into()),
        ])?;
        let mut folders = settings.folders.clone();
        folders.push(lake.to_owned());
        let mut sql = String::from("SET TimeZone = 'UTC';\n");
        for view in views {
            sql += &view.create();
        }
        // In this order: which folders can be reached cannot be said any more once others cannot, and then nothing can.
        sql += "SET allowed_directories = ";
        sql += &quoted_list(&folders);
        sql += ";\nSET allowed_paths = ";
        sql += &quoted_list(&settings.files);
        sql += ";\nSET enable_external_access = false;\nSET lock_configuration = true;\n";
        connection.set_up(&sql)?;
        Ok(Self { connection })
    }

    /// The answers of those of the statements that have one.
    pub fn ask(&self, sql: &str, values: &Values, bounds: Bounds) -> Result<Vec<Answer>, Error> {
        self.connection.ask(sql, values, Limits { rows_max: bounds.rows_max, time_max: bounds.time_max })
    }

    /// Writes the answer of the one statement `sql` as a Parquet file, which must be one of the files of the settings.
    pub fn write_parquet(&self, sql: &str, values: &Values, file: &Path, bounds: Bounds) -> Result<(), Error> {
        let sql = sql.trim_end().trim_end_matches(';');
        let sql = format!("COPY (\n{sql}\n) TO {} (FORMAT parquet, COMPRESSION zstd)", quoted(file));
        self.connection.write(&sql, values, Limits { rows_max: 0, time_max: bounds.time_max })
    }
}
