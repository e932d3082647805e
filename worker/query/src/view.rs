//! The tables that SQL sees, as views over files.

use std::path::{Path, PathBuf};

use crate::duckdb::{quoted, quoted_list};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Whatever files there are under a folder `date=YYYY-MM-DD/hour=HH/`; the view has a column `date` and a column `hour` more,
    /// unless the table has one of that name. A condition on those is all that keeps files from being read.
    Hours(PathBuf),
    /// Likewise, in folders `date=YYYY-MM-DD/`; without a column more.
    Days(PathBuf),
    /// These files.
    Files(Vec<PathBuf>),
    /// A query over other views.
    Query(String),
}

/// A table that SQL sees.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// The statement that makes it. A table of which there is no file yet is an empty one with its columns.
    pub(crate) fn create(&self) -> String {
        let name = &self.name;
        if let Source::Query(query) = &self.source {
            return format!("CREATE VIEW {name} AS {query};\n");
        }
        match self.files() {
            Some(files) => {
                // What a file of an older version lacks is null there, as `union_by_name` has it; what none has yet is added below
                // by an empty table, which says the types, too.
                let columns: Vec<String> = self.all_columns().iter().map(|one| format!("\"{}\"", one.name)).collect();
                let columns = columns.join(", ");
                format!(
                    "CREATE VIEW {name} AS SELECT {columns} FROM (FROM ({}) UNION ALL BY NAME FROM {files});\n",
                    self.empty()
                )
            }
            None => format!("CREATE VIEW {name} AS {};\n", self.empty()),
        }
    }

    fn empty(&self) -> String {
        let columns = self.all_columns();
        let columns: Vec<String> =
            columns.iter().map(|column| format!("CAST(NULL AS {}) AS \"{}\"", column.sql_type, column.name)).collect();
        format!("SELECT {} WHERE false", columns.join(", "))
    }

    fn files(&self) -> Option<String> {
        let read = |files: String| format!("read_parquet({files}, union_by_name = true, hive_partitioning = false)");
        match &self.source {
            Source::Hours(folder) => has_file(folder, 2).then(|| self.hours(folder)),
            Source::Days(folder) => has_file(folder, 1).then(|| read(quoted(&folder.join("date=*/part.parquet")))),
            Source::Files(files) => (!files.is_empty()).then(|| read(quoted_list(files))),
            Source::Query(_) => None,
        }
    }

    /// A column of the table's own hides the folders' of that name only if those are not read as columns: then they are taken
    /// from the files' names, which DuckDB looks through as well when it chooses files.
    fn hours(&self, folder: &Path) -> String {
        let files = quoted(&folder.join("date=*/hour=*/part.parquet"));
        if self.of_folders().count() == PARTITION_COLUMNS.len() {
            let types = "hive_types = {'date': DATE, 'hour': BIGINT}";
            return format!("read_parquet({files}, union_by_name = true, hive_partitioning = true, {types})");
        }
        let of_name = |(name, sql_type, _): (&str, &str, &str)| {
            format!(
                ", CAST(regexp_extract(filename, '/{name}=([0-9-]+)/[^/]*/?part.parquet$', 1) AS {sql_type}) AS {name}"
            )
        };
        let of_names: String = self.of_folders().map(of_name).collect();
        let read = format!("read_parquet({files}, union_by_name = true, hive_partitioning = false, filename = true)");
        format!("(SELECT * EXCLUDE (filename){of_names} FROM {read})")
    }
}

/// Whether there is a `part.parquet` this many folders below.
fn has_file(folder: &Path, depth: usize) -> bool {
    if depth == 0 {
        return folder.join("part.parquet").is_file();
    }
    let folders = std::fs::read_dir(folder).into_iter().flatten().flatten();
    folders
        .filter(|entry| entry.file_name().as_encoded_bytes().contains(&b'='))
        .any(|entry| has_file(&entry.path(), depth - 1))
}
