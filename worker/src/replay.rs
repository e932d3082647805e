//! Deciding stored breaks again, from what was recorded: law 9.
//!
//! A row names the decision it comes from by the address of its content; the decision names the plan by its version. With
//! both, the same function that decided decides again, and the row it gives is held against the stored one, column by
//! column.

use std::{collections::VecDeque, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _, types::Value};
use serde::Serialize;
use slotkeeper_core::{
    decide::Witness,
    decision::Decision,
    fact::Recording,
    id::{DecisionId, OpportunityId},
    keys::Keyring,
    plan::{Plan, PlanSource, build},
    pod::{Opportunity, Pod},
};

use crate::{
    data_dir::{self, DataDir},
    fold::{self, Columns, Place},
    plan,
};

/// How many plans stay open. Breaks come in the order of their plans, but for a few.
const PLANS_OPEN_MAX: usize = 4;

/// Why a stored slot cannot be decided again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A database of the data directory.
    #[error("data directory: {0}")]
    Database(#[from] rusqlite::Error),
    /// No row, standing or superseded, has this id.
    #[error("opportunity {0}: no such slot is stored here; its row may not have been shipped or folded yet")]
    UnknownOpportunity(OpportunityId),
    /// The row names a decision that never came.
    #[error("opportunity {slot}: its decision {decision_id} is not here; an older edge sent the row without it")]
    UnknownDecision {
        /// Of which slot.
        slot: String,
        /// Which.
        decision_id: String,
    },
    /// What is kept under the decision's address is not it.
    #[error("decision {decision_id}: what is kept under this address was altered: {reason}")]
    AlteredDecision {
        /// Under which address.
        decision_id: String,
        /// How that is known.
        reason: String,
    },
    /// The decision does not know the slot.
    #[error("opportunity {slot}: decision {decision_id} is of another break, or of one with fewer slots")]
    OtherDecision {
        /// Which slot.
        slot: String,
        /// Which decision.
        decision_id: String,
    },
    /// The plan is gone.
    #[error("plan {0}: it is not kept here (any more), and without it nothing decided from it can be decided again")]
    UnknownPlan(u64),
    /// The plan cannot be built again.
    #[error("plan {version}: what is kept of it is no plan: {reason}")]
    UnreadablePlan {
        /// Which.
        version: u64,
        /// Why.
        reason: String,
    },
}

/// A plan as it was decided from.
#[derive(Debug)]
pub struct KeptPlan {
    /// What it was built from.
    pub source: PlanSource,
    bytes: Vec<u8>,
}

impl KeptPlan {
    fn build(source: PlanSource) -> Result<Self, ReplayError> {
        let version = source.version;
        let unreadable =
            |reason: &dyn std::fmt::Display| ReplayError::UnreadablePlan { version, reason: reason.to_string() };
        // Any key will do: it signs, and has no part in deciding.
        let keys = Keyring::parse(&format!("1:{}", "00".repeat(32))).map_err(|error| unreadable(&error))?;
        let bytes = build(&source, &keys).map_err(|error| unreadable(&error))?;
        Plan::open(&bytes).map_err(|error| unreadable(&error))?;
        Ok(Self { source, bytes })
    }

    fn open(&self) -> Option<Plan<'_>> {
        Plan::open(&self.bytes).ok()
    }
}

/// A column in which the row decided again differs from the stored one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which column.
    pub column: String,
    /// What is stored.
    pub stored: String,
    /// What it should be.
    pub replayed: String,
}

/// Decides what a data directory holds again.
pub struct Replayer {
    fold: Connection,
    contracts: Connection,
    scratch: Connection,
    open: VecDeque<(u64, Arc<KeptPlan>)>,
}

impl Replayer {
    /// Opens existing tables and bookings, for reading.
    pub fn open(data: &DataDir) -> rusqlite::Result<Self> {
        let scratch = Connection::open_in_memory()?;
        scratch.execute_batch(fold::SCHEMA)?;
        Ok(Self {
            fold: data_dir::connect_read_only(&data.fold())?,
            contracts: data_dir::connect_read_only(&data.contracts())?,
            scratch,
            open: VecDeque::new(),
        })
    }

    /// Reads the folded tables as they are now from here on, whatever is folded meanwhile.
    pub(crate) fn stay_at_this_moment(&self) -> rusqlite::Result<()> {
        self.fold.execute_batch("BEGIN; SELECT consumed_seq FROM fold_offset") // it begins with what is read first
    }

    /// Every row of the slot that `id` names, the one that stands first, as they are at one moment.
    pub(crate) fn rows_of(&self, id: OpportunityId) -> rusqlite::Result<Vec<(Place, Columns)>> {
        if !self.fold.is_autocommit() {
            return fold::rows_of(&self.fold, id);
        }
        let one_moment = self.fold.unchecked_transaction()?;
        fold::rows_of(&one_moment, id)
    }

    /// The folded tables.
    pub fn fold(&self) -> &Connection {
        &self.fold
    }

    /// The bookings.
    pub fn contracts(&self) -> &Connection {
        &self.contracts
    }

    /// The decision of this address, which `slot` names.
    pub fn decision(&self, decision_id: DecisionId, slot: &str) -> Result<Decision, ReplayError> {
        let id = decision_id.to_string();
        let content: Option<String> = self
            .fold
            .prepare_cached("SELECT content FROM decisions WHERE decision_id = ?1")?
            .query_row([&id], |row| row.get(0))
            .optional()?;
        let unknown = || ReplayError::UnknownDecision { slot: slot.into(), decision_id: id.clone() };
        let content = content.ok_or_else(unknown)?;
        let altered = |reason| ReplayError::AlteredDecision { decision_id: id.clone(), reason };
        let decision: Decision = serde_json::from_str(&content).map_err(|error| altered(error.to_string()))?;
        let actual = decision.id();
        if actual != decision_id {
            return Err(altered(format!("its content has the address {actual}")));
        }
        Ok(decision)
    }

    /// The plan of this version.
    pub fn plan(&mut self, version: u64) -> Result<Arc<KeptPlan>, ReplayError> {
        if let Some((_, plan)) = self.open.iter().find(|(open, _)| *open == version) {
            return Ok(Arc::clone(plan));
        }
        let source = plan::kept(&self.contracts, version)?.ok_or(ReplayError::UnknownPlan(version))?;
        let plan = Arc::new(KeptPlan::build(source)?);
        self.open.truncate(PLANS_OPEN_MAX - 1);
        self.open.push_front((version, Arc::clone(&plan)));
        Ok(plan)
    }

    /// Decides again, before a witness.
    pub fn decide(
        decision: &Decision,
        plan: Option<&KeptPlan>,
        witness: &mut impl Witness,
    ) -> Result<Pod, ReplayError> {
        let opened = plan.and_then(KeptPlan::open);
        let version = decision.plan_version.unwrap_or_default();
        decision.decide_again(opened.as_ref(), witness).ok_or(ReplayError::UnknownPlan(version))
    }

    /// What the tables would hold of a row decided again, recorded as `stored` is.
    pub(crate) fn columns(&self, stored: &Columns, replayed: &Opportunity) -> rusqlite::Result<Columns> {
        fold::columns_of(&self.scratch, recording(stored), replayed)
    }

    /// Where a row decided again differs from the stored one.
    pub(crate) fn differences(&self, stored: &Columns, replayed: &Opportunity) -> rusqlite::Result<Vec<Difference>> {
        let replayed = self.columns(stored, replayed)?;
        let pairs = stored.iter().zip(replayed).filter(|((_, stored), (_, replayed))| stored != replayed);
        let difference = |((column, stored), (_, replayed)): (&(String, Value), (String, Value))| Difference {
            column: column.clone(),
            stored: shown(stored),
            replayed: shown(&replayed),
        };
        Ok(pairs.map(difference).collect())
    }
}

/// How a stored row was recorded.
pub(crate) fn recording(row: &Columns) -> Recording {
    if text(row, "recording") == "committed" { Recording::Committed } else { Recording::Uncommitted }
}

/// What a text column holds; nothing for NULL.
pub(crate) fn text<'a>(row: &'a Columns, column: &str) -> &'a str {
    match value(row, column) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// What a column of numbers holds.
pub(crate) fn number(row: &Columns, column: &str) -> Option<u64> {
    match value(row, column) {
        Some(Value::Integer(number)) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn value<'a>(row: &'a Columns, column: &str) -> Option<&'a Value> {
    row.iter().find(|(name, _)| name == column).map(|(_, value)| value)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Real(_) | Value::Blob(_) => "not of the schema".into(),
    }
}
