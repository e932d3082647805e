//! The questions that are shipped, over HTTP. One is answered at a time: each has a DuckDB of its own, which takes all threads.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::Serialize;
use slotkeeper_query::{
    Error, Question, Value,
    question::{InvalidValue, Kind},
    session::Values,
};
use tokio::sync::Semaphore;

use super::Api;
use crate::{
    data_dir::DataDir,
    error::ApiError,
    sql::{self, API_BOUNDS, SqlError, questions},
};

/// How many questions may be answered or wait for it.
const WAITING_MAX: usize = 16;

/// What answers questions.
#[derive(Clone)]
pub struct Asker {
    data: DataDir,
    waiting: Arc<Semaphore>,
    one: Arc<Semaphore>,
}

impl Asker {
    /// Over this data directory.
    pub fn new(data: DataDir) -> Self {
        Self { data, waiting: Arc::new(Semaphore::new(WAITING_MAX)), one: Arc::new(Semaphore::new(1)) }
    }

    async fn answer(self, question: Question, values: Values) -> Result<Answered, ApiError> {
        let place = self.waiting.try_acquire_owned();
        let place = place
            .map_err(|_| ApiError::busy("too_many_questions", "too many questions wait already; ask again later"))?;
        let turn = self.one.acquire_owned().await.map_err(|closed| ApiError::internal(&closed))?;
        let answering = tokio::task::spawn_blocking(move || {
            let _until_answered = (place, turn); // whether or not the client still waits
            let session = sql::start(&self.data, vec![], vec![])?;
            Ok::<_, SqlError>(session.ask(&question.sql, &values, API_BOUNDS)?)
        });
        let answers = answering.await.map_err(|panic| ApiError::internal(&panic))??;
        let Some(answer) = answers.into_iter().next_back() else {
            return Err(ApiError::internal(&"a question without an answer"));
        };
        Ok(Answered { columns: answer.columns, rows: answer.rows, cut: answer.is_cut })
    }
}

/// A question that can be asked.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// What it is asked by.
    name: String,
    /// In a few words.
    title: String,
    /// What it tells.
    answers: String,
    /// What it can be asked with.
    parameters: Vec<ListedParameter>,
    /// The columns of its answer.
    columns: Vec<ListedColumn>,
}

/// What a question can be asked with.
#[derive(Debug, Serialize)]
pub struct ListedParameter {
    /// Its name.
    name: String,
    /// What it may be, in words.
    takes: String,
    /// Whether it must be given.
    required: bool,
    /// What it is if it is not given.
    default: Option<String>,
    /// What it says.
    about: String,
}

/// A column of an answer.
#[derive(Debug, Serialize)]
pub struct ListedColumn {
    /// Its name.
    name: String,
    /// What it says.
    about: String,
}

/// An answer.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// The names of its columns.
    columns: Vec<String>,
    /// Its rows. Whole numbers are exact, whatever their size: a reader that takes numbers for floats loses digits of large ones.
    rows: Vec<Vec<Value>>,
    /// Whether there are more rows than these.
    cut: bool,
}

pub(super) async fn list() -> Json<Vec<Listed>> {
    Json(questions::all().into_iter().filter(|question| file_parameter(question).is_none()).map(listed).collect())
}

fn listed(question: Question) -> Listed {
    let parameter = |one: slotkeeper_query::Parameter| ListedParameter {
        name: one.name,
        takes: one.kind.says(),
        required: one.is_required,
        default: one.default,
        about: one.about,
    };
    let column = |(name, about)| ListedColumn { name, about };
    Listed {
        name: question.name,
        title: question.title,
        answers: question.answers,
        parameters: question.parameters.into_iter().map(parameter).collect(),
        columns: question.columns.into_iter().map(column).collect(),
    }
}

/// The parameter of a question that is a file, which nobody names over HTTP.
fn file_parameter(question: &Question) -> Option<&str> {
    question.parameters.iter().find(|one| one.kind == Kind::File).map(|one| one.name.as_str())
}

pub(super) async fn answer(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Answered>, ApiError> {
    let Query(query) = query.map_err(|rejection| ApiError::field("query", rejection.body_text()))?;
    let Some(question) = questions::named(&name) else {
        return Err(ApiError::not_found("question of this name; GET /v1/questions lists them"));
    };
    if let Some(parameter) = file_parameter(&question) {
        let message = format!("{name} reads a file, which only the command line does: slotkeeper ask {name}");
        return Err(ApiError::field(parameter, message));
    }
    let mut given = Values::new();
    for (name, value) in query {
        if given.insert(name.clone(), Some(value)).is_some() {
            return Err(ApiError::field(&name, "given more than once"));
        }
    }
    let values = question.values(&given)?;
    api.questions.answer(question, values).await.map(Json)
}

impl From<InvalidValue> for ApiError {
    fn from(invalid: InvalidValue) -> Self {
        Self::field(&invalid.parameter, invalid.reason)
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        let SqlError::Query(query) = &error else { return Self::internal(&error) };
        match query {
            Error::NoLibrary { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_duckdb", error.to_string()),
            Error::OutOfTime(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "out_of_time", error.to_string()),
            // What a question itself says of its parameters, by `error()`.
            Error::DuckDb(message) if message.starts_with("Invalid Input Error: ") => Self::new(
                StatusCode::BAD_REQUEST,
                "invalid_question",
                message.trim_start_matches("Invalid Input Error: "),
            ),
            _ => Self::internal(&error),
        }
    }
}
