//! The questions that are shipped, over HTTP. One is answered at a time: each has a DuckDB of its own, which takes all threads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use slotkeeper_query::{
    Answer, Bounds, Error, Question, print,
    question::{InvalidValue, Kind},
    session::Values,
};
use tokio::{sync::Semaphore, time::timeout_at};

use super::Api;
use crate::{
    data_dir::DataDir,
    error::ApiError,
    lake::mirror,
    sql::{self, API_BOUNDS, SqlError, questions},
};

/// How many questions may be answered or wait for it.
const WAITING_MAX: usize = 16;
/// How many rows of an answer can be passed over.
const OFFSET_MAX: usize = 1_000_000;
/// How long after its time a DuckDB that was told to end is waited for; it ends nevertheless.
const ENDING_MAX: Duration = Duration::from_secs(2);
/// Whether there are more rows than these, beside a CSV file, which has no place for it.
const CUT: &str = "slotkeeper-cut";

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

    /// The time runs from `began`: for its turn, for DuckDB's start and for the answer.
    async fn answer(
        self,
        began: Instant,
        question: Question,
        values: Values,
        bounds: Bounds,
    ) -> Result<Answer, ApiError> {
        let place = self.waiting.try_acquire_owned();
        let place = place
            .map_err(|_| ApiError::busy("too_many_questions", "too many questions wait already; ask again later"))?;
        let time_max = bounds.time_max.unwrap_or(Duration::MAX);
        let turn = timeout_at((began + time_max).into(), self.one.acquire_owned()).await;
        let turn = turn.map_err(|_| {
            let message = format!("the questions before this one took all of its {time_max:?}; ask again later");
            ApiError::busy("too_many_questions", message)
        })?;
        let turn = turn.map_err(|closed| ApiError::internal(&closed))?;
        let answering = tokio::task::spawn_blocking(move || {
            let _until_answered = (place, turn); // whether or not the client still waits
            mirror::bring(&self.data, mirror::Wanted::Tables).map_err(SqlError::from)?;
            let session = sql::start(&self.data, vec![], vec![])?;
            Ok::<_, SqlError>(session.ask_since(began, &question.sql, &values, bounds)?)
        });
        let answers = timeout_at((began + time_max + ENDING_MAX).into(), answering).await;
        let answers = answers.map_err(|_| SqlError::Query(Error::OutOfTime(time_max)))?;
        let answers = answers.map_err(|panic| ApiError::internal(&panic))??;
        answers.into_iter().next_back().ok_or_else(|| ApiError::internal(&"a question without an answer"))
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

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

impl Format {
    /// As the request's head would have it: of JSON and CSV the one that it names first, JSON without either.
    fn of(head: &HeaderMap) -> Self {
        let accepted = head.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut types =
            accepted.flat_map(|value| value.split(',')).map(|one| one.split(';').next().unwrap_or(one).trim());
        match types.find(|one| ["text/csv", "application/json", "*/*"].contains(one)) {
            Some("text/csv") => Self::Csv,
            _ => Self::Json,
        }
    }

    /// Whole numbers are exact, whatever their size: a reader that takes numbers for floats loses digits of large ones.
    fn response(self, answer: &Answer) -> Response {
        match self {
            Self::Json => Json(print::Json::of(answer)).into_response(),
            Self::Csv => {
                let cut = if answer.is_cut { "true" } else { "false" };
                let head = [(header::CONTENT_TYPE.as_str(), "text/csv; charset=utf-8; header=present"), (CUT, cut)];
                (head, print::csv(answer)).into_response()
            }
        }
    }
}

/// What is asked for beside the question's own parameters.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    bounds: Bounds,
    format: Format,
}

impl Wanted {
    /// Takes it out of what was given.
    fn of(given: &mut Values, head: &HeaderMap) -> Result<Self, ApiError> {
        let mut bounds = API_BOUNDS;
        bounds.rows_max = number(given, "limit", 1, API_BOUNDS.rows_max)?.unwrap_or(API_BOUNDS.rows_max);
        bounds.rows_skipped = number(given, "offset", 0, OFFSET_MAX)?.unwrap_or(0);
        let format = match given.remove("format").flatten().as_deref() {
            None => Format::of(head),
            Some("json") => Format::Json,
            Some("csv") => Format::Csv,
            Some(odd) => return Err(ApiError::field("format", format!("{odd:?}; it must be json or csv"))),
        };
        Ok(Self { bounds, format })
    }
}

fn number(given: &mut Values, name: &str, min: usize, max: usize) -> Result<Option<usize>, ApiError> {
    let Some(text) = given.remove(name).flatten() else { return Ok(None) };
    match text.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
        _ => Err(ApiError::field(name, format!("{text:?}; it must be a whole number from {min} to {max}"))),
    }
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
    head: HeaderMap,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, ApiError> {
    let began = Instant::now();
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
        if given.insert(name.clone(), (!value.is_empty()).then_some(value)).is_some() {
            return Err(ApiError::field(&name, "given more than once"));
        }
    }
    let Wanted { bounds, format } = Wanted::of(&mut given, &head)?;
    let values = question.values(&given)?;
    let answer = api.questions.answer(began, question, values, bounds).await?;
    Ok(format.response(&answer))
}

impl From<InvalidValue> for ApiError {
    fn from(invalid: InvalidValue) -> Self {
        Self::field(&invalid.parameter, invalid.reason)
    }
}

/// What was asked is checked before it comes here: what DuckDB says of a question that is shipped is the origin's fault.
impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        let SqlError::Query(query) = &error else { return Self::internal(&error) };
        match query {
            Error::NoLibrary { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_duckdb", error.to_string()),
            Error::OutOfTime(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "out_of_time", error.to_string()),
            Error::Moves(_) => Self::busy("lake_moves", error.to_string()),
            Error::DuckDb(message) if message.starts_with("Out of Memory Error: ") => {
                crate::tell!("slotkeeper: {error}");
                let message = "the answer needs more memory and disk than it may have; ask for less: fewer days, or one of a \
                               breakdown's values";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "out_of_memory", message)
            }
            _ => {
                crate::tell!("slotkeeper: a question cannot be answered: {error}");
                let message = "the tables cannot be read as they are; the origin's log says why";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable_tables", message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_has_a_parameter_that_every_question_is_asked_with() {
        for question in questions::all() {
            let names = question.parameters.iter().map(|one| one.name.as_str());
            assert!(!names.into_iter().any(|name| ["limit", "offset", "format"].contains(&name)), "{}", question.name);
        }
    }

    #[test]
    fn an_answer_is_written_as_the_request_would_have_it() {
        for (accept, expected) in [
            (None, Format::Json),
            (Some("*/*"), Format::Json),
            (Some("text/html, text/csv;q=0.9, */*"), Format::Csv),
            (Some("application/json, text/csv"), Format::Json),
        ] {
            let mut head = HeaderMap::new();
            head.extend(accept.map(|accept| (header::ACCEPT, accept.parse().unwrap())));
            assert_eq!(Format::of(&head), expected, "{accept:?}");
        }
    }

    #[tokio::test]
    async fn the_time_runs_while_a_question_waits_for_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        let asker = Asker::new(DataDir::open(folder.path()).unwrap());
        let _turn = Arc::clone(&asker.one).acquire_owned().await.unwrap();
        let bounds = Bounds { time_max: Some(Duration::from_millis(20)), ..API_BOUNDS };
        let question = questions::named("fill").unwrap();
        let values = question.values(&Values::new()).unwrap();
        let refused = asker.answer(Instant::now(), question, values, bounds).await.unwrap_err().into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn what_is_broken_is_not_called_the_asker_s_fault() {
        for (message, status) in [
            ("Invalid Input Error: No magic bytes found at end of file 'part.parquet'", 500),
            ("Invalid Error: TProtocolException: Invalid data", 500),
            ("Conversion Error: Could not convert string", 500),
            ("Out of Memory Error: failed to offload data block", 422),
        ] {
            let answered = ApiError::from(SqlError::Query(Error::DuckDb(message.into()))).into_response();
            assert_eq!(answered.status().as_u16(), status, "{message}");
        }
    }
}
