//! The keeper of the plan: one object, so that two racing publications cannot bring back the older plan.
//!
//! Workers ask it at most once a second each, and are sent the bytes only when there is a newer plan.

use slotkeeper_core::plan::Plan;
use slotkeeper_edge::{
    route::path_of,
    sql,
    sqlite::{Value, blob, first_number},
    store::StoreError,
};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::{platform::failed, store::Database};

/// A row of a Durable Object's SQLite holds at most 2 MB, so a plan is stored in parts.
const PART_BYTES: usize = 1024 * 1024;

/// The Durable Object.
#[durable_object]
pub struct PlanKeeper {
    database: Database,
}

impl DurableObject for PlanKeeper {
    fn new(state: State, _env: Env) -> Self {
        Self { database: Database::new(&state.storage()) }
    }

    /// `POST /put` with a verified plan: 200 stored, 208 already in force, 409 older (the body is the version in force).
    /// `POST /newer-than/{version}`: 200 with the plan in force if it is newer, else 204.
    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let url = request.inner().url();
        let answered = match path_of(&url).strip_prefix("/newer-than/") {
            Some(version) => self.newer_than(version.parse().unwrap_or(0)),
            None => self.put(&request.bytes().await?),
        };
        match answered {
            Ok((204, _)) => Ok(Response::empty()?.with_status(204)),
            Ok((status, body)) => Ok(Response::from_bytes(body)?.with_status(status)),
            Err(error) => Response::error(error.to_string(), 503),
        }
    }
}

impl PlanKeeper {
    fn newer_than(&self, version: u64) -> std::result::Result<(u16, Vec<u8>), StoreError> {
        match self.in_force()? {
            Some(current) if current > version => {
                let parts = "SELECT bytes FROM plan_parts WHERE version = ?1 ORDER BY part";
                let parts = self.database.execute(parts, vec![Value::Integer(current)])?;
                let bytes = parts.into_iter().flatten().flat_map(|part| match part {
                    Value::Blob(bytes) => bytes,
                    _ => Vec::new(),
                });
                Ok((200, bytes.collect()))
            }
            _ => Ok((204, Vec::new())),
        }
    }

    /// The parts first, then the pointer to them, then the older parts go: an error on the way leaves the plan in force
    /// as it was. A crash does anyway, because the runtime writes what one turn does together.
    fn put(&self, bytes: &[u8]) -> std::result::Result<(u16, Vec<u8>), StoreError> {
        let version = Plan::open(bytes).map_err(failed)?.version();
        match self.in_force()? {
            Some(current) if current > version => return Ok((409, current.to_string().into_bytes())),
            Some(current) if current == version => return Ok((208, Vec::new())),
            _ => {}
        }
        for (part, bytes) in (0..).zip(bytes.chunks(PART_BYTES)) {
            let insert = "INSERT OR REPLACE INTO plan_parts(version, part, bytes) VALUES (?1, ?2, ?3)";
            self.database.execute(insert, vec![Value::Integer(version), Value::Integer(part), blob(bytes)])?;
        }
        self.database.execute(sql::PUT_PLAN_IN_FORCE, vec![Value::Integer(version)])?;
        self.database.execute("DELETE FROM plan_parts WHERE version <> ?1", vec![Value::Integer(version)])?;
        Ok((200, Vec::new()))
    }

    fn in_force(&self) -> std::result::Result<Option<u64>, StoreError> {
        self.database.execute(sql::PLAN_IN_FORCE_TABLE, vec![])?;
        let parts = "CREATE TABLE IF NOT EXISTS plan_parts(
          version INTEGER NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (version, part))";
        self.database.execute(parts, vec![])?;
        Ok(first_number(&self.database.execute(sql::PLAN_IN_FORCE, vec![])?))
    }
}
