//! The tables that SQL sees, as views over files.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    duckdb::{Error, quoted},
    folder::Kept,
};

/// A column of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in SQL, as `BIGINT`.
    pub sql_type: &'static str,
    /// What it says, for people.
    pub about: String,
}

/// What a view reads.
#[derive(Clone, Debug)]
pub enum Source {
    /// The `part.parquet` in the folders `date=YYYY-MM-DD/hour=HH/` of this one; the view has a column `date` and a column `hour` more,
    /// unless the table has one of that name. A condition on those is all that keeps files from being opened.
    Hours(PathBuf),
    /// Likewise, in folders `date=YYYY-MM-DD/`; without a column more.
    Days(PathBuf),
    /// These files, as far as they are there.
    Files(Vec<PathBuf>),
    /// The files that something lists, all of them.
    Listed(Lister),
    /// A query over other views.
    Query(String),
}

/// What lists the files of a table, when it is asked for: they may be others each time.
#[derive(Clone)]
pub struct Lister(Arc<dyn Fn() -> Result<Vec<PathBuf>, String>>);

impl Lister {
    /// Of a function, which says why if it cannot.
    pub fn new(list: impl Fn() -> Result<Vec<PathBuf>, String> + 'static) -> Self {
        Self(Arc::new(list))
    }
}

impl fmt::Debug for Lister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lister")
    }
}

/// A table that SQL sees.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name.
    pub name: String,
    /// What one row is, for people.
    pub about: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Where its rows are.
    pub source: Source,
}

/// The columns that [`Source::Hours`] brings.
pub const PARTITION_COLUMNS: [(&str, &str, &str); 2] = [
    (
        "date",
        "DATE",
        "The day (UTC) of opened_at, from the folder's name: a condition on it opens no other day's files",
    ),
    ("hour", "BIGINT", "The hour (UTC) of opened_at, 0 to 23, likewise"),
];

impl View {
    /// The columns that SQL sees: its own, and those of the folders.
    pub fn all_columns(&self) -> Vec<Column> {
        let column =
            |(name, sql_type, about): (&str, _, &str)| Column { name: name.into(), sql_type, about: about.into() };
        self.columns.iter().cloned().chain(self.of_folders().map(column)).collect()
    }

    fn of_folders(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let of_hours = matches!(self.source, Source::Hours(_)).then_some(PARTITION_COLUMNS);
        of_hours.into_iter().flatten().filter(|(name, ..)| !self.columns.iter().any(|own| own.name == *name))
    }

    /// The files that it reads, and by which names, from which its columns `date` and `hour` are made.
    pub(crate) fn files(&self) -> Result<Vec<Kept>, Error> {
        let numbered = |files: Vec<PathBuf>| {
            files
                .into_iter()
                .enumerate()
                .map(|(index, path)| Kept { name: format!("{index:06}.parquet"), path })
                .collect()
        };
        Ok(match &self.source {
            Source::Hours(folder) => hours(folder),
            Source::Days(folder) => {
                numbered(within(folder, "date=").into_iter().map(|(_, day)| day.join(PART)).collect())
            }
            Source::Files(files) => numbered(files.clone()),
            Source::Listed(lister) => numbered((lister.0)().map_err(Error::Listing)?),
            Source::Query(_) => vec![],
        })
    }

    /// Whether a file that is gone is one that it lacks: of these, others hold what it held.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.source, Source::Listed(_))
    }

    /// The statement that makes it over the files in `folder`. A table of which there is no file yet is an empty one with its columns.
    ///
    /// The columns are said, not found: so no file is opened before it is known which have to be. A file of an older version has nulls
    /// where it lacks one.
    pub(crate) fn create(&self, folder: Option<&Path>) -> String {
        let name = &self.name;
        if let Source::Query(query) = &self.source {
            return format!("CREATE VIEW {name} AS {query};\n");
        }
        let Some(folder) = folder else { return format!("CREATE VIEW {name} AS {};\n", self.empty()) };
        let one = |column: &Column| {
            let Column { name, sql_type, .. } = column;
            format!("'{name}': {{name: '{name}', type: '{sql_type}', default_value: NULL}}")
        };
        let schema: Vec<String> = self.columns.iter().map(one).collect();
        let own = self.columns.iter().map(|column| format!("\"{}\"", column.name));
        let of_names = self.of_folders().map(|(name, ..)| format!("{} AS {name}", of_name(name)));
        let columns: Vec<String> = own.chain(of_names).collect();
        format!(
            "CREATE VIEW {name} AS SELECT {} FROM read_parquet({}, schema = MAP {{{}}}, filename = true);\n",
            columns.join(", "),
            quoted(&folder.join("*.parquet")),
            schema.join(", ")
        )
    }

    fn empty(&self) -> String {
        let columns = self.all_columns();
        let columns: Vec<String> =
            columns.iter().map(|column| format!("CAST(NULL AS {}) AS \"{}\"", column.sql_type, column.name)).collect();
        format!("SELECT {} WHERE false", columns.join(", "))
    }
}

/// A table's file of a day or an hour.
const PART: &str = "part.parquet";

/// A partition's column from a file's name in a session, `2026-11-22T07.parquet`: an expression that DuckDB looks through when it
/// chooses files.
fn of_name(column: &str) -> &'static str {
    match column {
        "date" => "CAST(left(right(filename, 21), 10) AS DATE)",
        _ => "CAST(left(right(filename, 10), 2) AS BIGINT)",
    }
}

/// The files of all hours, oldest first.
fn hours(folder: &Path) -> Vec<Kept> {
    let mut files = Vec::new();
    for (date, day) in within(folder, "date=") {
        for (hour, folder) in within(&day, "hour=") {
            if date.len() == 10 && hour.len() == 2 {
                files.push(Kept { name: format!("{date}T{hour}.parquet"), path: folder.join(PART) });
            }
        }
    }
    files
}

/// The folders whose name begins so, in order, with what is behind that.
fn within(folder: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = |entry: std::fs::DirEntry| {
        let value = entry.file_name().to_str()?.strip_prefix(prefix)?.to_owned();
        Some((value, entry.path()))
    };
    let mut folders: Vec<_> = entries.filter_map(named).collect();
    folders.sort();
    folders
}
