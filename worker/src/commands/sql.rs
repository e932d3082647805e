//! `slotkeeper sql`.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use slotkeeper::{
    data_dir::DataDir,
    lake::mirror::{self, Wanted},
    say, sql, tell,
};
use slotkeeper_query::{Answer, Bounds, Question, print, question::Kind, session::Values};

/// The largest SQL that is read, in bytes.
const SQL_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Args)]
pub(crate) struct Sql {
    /// One or more statements; `-` reads them from standard input
    #[arg(value_name = "SQL", required_unless_present_any = ["file", "tables"], conflicts_with_all = ["file", "tables"])]
    statements: Option<String>,
    /// A file with the statements. If its head describes parameters, as those of worker/sql do, it is held to that
    #[arg(long, value_name = "FILE", conflicts_with = "tables")]
    file: Option<PathBuf>,
    /// List the tables and what is in their columns
    #[arg(long)]
    tables: bool,
    #[command(flatten)]
    asking: Asking,
}

/// How something is asked, and where its answer goes.
#[derive(Args)]
pub(crate) struct Asking {
    /// The folder that holds all state
    #[arg(long, env = "SLOTKEEPER_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// A value of a parameter: `$NAME` in the SQL. Of an empty value it is null
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, String)>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The file that the answer goes to, outside of the data folder
    #[arg(long, value_name = "FILE", required_if_eq("format", "parquet"))]
    out: Option<PathBuf>,
    /// A folder that the SQL may read beside the tables; give it once for each
    #[arg(long = "allow", value_name = "DIR")]
    allowed: Vec<PathBuf>,
    /// The most rows of an answer; it is an error if there are more
    #[arg(long, default_value_t = 100_000, value_name = "ROWS")]
    rows: usize,
    /// How long all of it may take; 0 is as long as it likes
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    timeout: u64,
}

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// Comma-separated values with a head
    Csv,
    /// A line of JSON for every answer: {"columns": […], "rows": [[…], …], "cut": false}
    Json,
    /// A Parquet file, of one statement
    Parquet,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a parameter is given as NAME=VALUE")?;
    Ok((name.trim_start_matches('$').to_owned(), value.to_owned()))
}

impl Sql {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if self.tables {
            let data = self.asking.data()?;
            list_tables(&data, self.asking.format);
            return Ok(ExitCode::SUCCESS);
        }
        let question = match (&self.file, &self.statements) {
            (Some(file), _) => {
                let name = file.display().to_string();
                Question::read(&name, &read(file)?).map_err(anyhow::Error::msg)?
            }
            (None, sql) => {
                let sql = sql.as_deref().unwrap_or_default();
                let sql =
                    if sql == "-" { read_all(std::io::stdin()).context("standard input")? } else { sql.to_owned() };
                Question::read("this SQL", &sql).map_err(anyhow::Error::msg)?
            }
        };
        self.asking.ask(&question)
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let opened = std::fs::File::open(file).with_context(|| file.display().to_string())?;
    read_all(opened).with_context(|| file.display().to_string())
}

fn read_all(from: impl std::io::Read) -> anyhow::Result<String> {
    let mut sql = String::new();
    let bytes = from.take(SQL_BYTES_MAX + 1).read_to_string(&mut sql)?;
    anyhow::ensure!(bytes as u64 <= SQL_BYTES_MAX, "more than {SQL_BYTES_MAX} bytes of SQL");
    Ok(sql)
}

impl Asking {
    /// Asks it, and writes the answer.
    pub(super) fn ask(&self, question: &Question) -> anyhow::Result<ExitCode> {
        let data = self.data()?;
        let (values, files) = self.values(question)?;
        let out = self.out.as_deref().map(|out| outside(out, &data)).transpose()?;
        let folders = self.allowed.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
        mirror::bring(&data, Wanted::Tables)?;
        let session = sql::start(&data, folders, files)?;
        let time_max = (self.timeout > 0).then(|| Duration::from_secs(self.timeout));
        let bounds = Bounds { rows_skipped: 0, rows_max: self.rows, time_max };
        if self.format == Format::Parquet {
            let out = out.context("--format parquet needs --out FILE")?;
            session.write_parquet(&question.sql, &values, &out, bounds)?;
            return Ok(ExitCode::SUCCESS);
        }
        let answers = session.ask(&question.sql, &values, bounds)?;
        let text: Vec<String> = answers.iter().map(|answer| self.written(answer)).collect();
        let text = text.join(if self.format == Format::Table { "\n" } else { "" });
        match out {
            Some(out) => std::fs::write(&out, text).with_context(|| out.display().to_string())?,
            None if text.is_empty() => {}
            None => say!("{}", text.strip_suffix('\n').unwrap_or(&text)),
        }
        if answers.iter().any(|answer| answer.is_cut) {
            tell!(
                "slotkeeper: there are more rows than {}, which are not shown; give --rows, or ask for less",
                self.rows
            );
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn data(&self) -> anyhow::Result<DataDir> {
        let folder =
            self.data.as_deref().context("--data (SLOTKEEPER_DATA): missing; it is the folder that holds all state")?;
        anyhow::ensure!(folder.is_dir(), "--data {}: there is no such folder", folder.display());
        Ok(DataDir::open(folder)?)
    }

    /// The values to ask with, and the files that they name. What says nothing of its parameters takes any.
    fn values(&self, question: &Question) -> anyhow::Result<(Values, Vec<PathBuf>)> {
        let mut given = Values::new();
        for (name, value) in &self.params {
            let is_first = given.insert(name.clone(), (!value.is_empty()).then(|| value.clone())).is_none();
            anyhow::ensure!(is_first, "--param {name}: given more than once");
        }
        if question.parameters.is_empty() && question.title.is_empty() {
            return Ok((given, vec![]));
        }
        let mut values = question.values(&given)?;
        let mut files = vec![];
        for parameter in question.parameters.iter().filter(|parameter| parameter.kind == Kind::File) {
            if let Some(Some(value)) = values.get_mut(&parameter.name) {
                let file = std::path::absolute(&*value)?;
                *value = file.display().to_string();
                files.push(file);
            }
        }
        Ok((values, files))
    }

    fn written(&self, answer: &Answer) -> String {
        match self.format {
            Format::Csv => print::csv(answer),
            Format::Json => print::json(answer) + "\n",
            Format::Table | Format::Parquet => print::table(answer),
        }
    }
}

/// The file's whole path, if it is not in the data folder, by whatever way.
fn outside(out: &Path, data: &DataDir) -> anyhow::Result<PathBuf> {
    let refused = || format!("--out {}", out.display());
    let name = out.file_name().with_context(refused)?;
    let folder =
        std::path::absolute(out)?.parent().map(Path::canonicalize).with_context(refused)?.with_context(refused)?;
    let file = folder.join(name);
    // What a link at that name leads to would be written.
    let leads_to = file.canonicalize().unwrap_or_else(|_| file.clone());
    let data = data.path().canonicalize()?;
    anyhow::ensure!(
        !file.starts_with(&data) && !leads_to.starts_with(&data),
        "--out {}: it is in the data folder {}, where nothing but Slotkeeper's own files may be",
        out.display(),
        data.display()
    );
    Ok(file)
}

fn list_tables(data: &DataDir, format: Format) {
    let views = sql::views(data);
    if format == Format::Json {
        for view in views {
            let column = |column: slotkeeper_query::view::Column| serde_json::json!({ "name": column.name, "type": column.sql_type, "about": column.about });
            let columns: Vec<_> = view.all_columns().into_iter().map(column).collect();
            say!("{}", serde_json::json!({ "name": view.name, "about": view.about, "columns": columns }));
        }
        return;
    }
    for view in views {
        say!("{}: {}", view.name, view.about);
        for column in view.all_columns() {
            say!("    {:26} {:12} {}", column.name, column.sql_type, column.about);
        }
        say!("");
    }
}
