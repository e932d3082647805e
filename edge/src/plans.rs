//! `PUT /v1/plan`: the origin publishes what may be sold.

use serde_json::json;
use slotkeeper_core::plan::{Plan, PlanError};

use crate::{Platform, Reply, platform::PlanStored};

/// Checks a plan whole and puts it in force, unless a newer one is.
pub(crate) async fn put(platform: &impl Platform, body: &[u8]) -> Reply {
    let plan = match Plan::verify(body, &platform.settings().keys) {
        Ok(plan) => plan,
        Err(error) => return refuse(error),
    };
    let version = plan.version();
    if plan.valid_until() <= platform.now() {
        let message = format!("plan {version} ended at {} (Unix ms)", plan.valid_until().0);
        return Reply::error(422, "plan_expired", Some("valid_until"), message);
    }
    if !plan.is_valid_at(platform.now()) {
        let message = format!("plan {version} is not in force yet; publish it when it is");
        return Reply::error(422, "plan_not_yet_valid", Some("valid_from"), message);
    }
    match platform.store_plan(version, body).await {
        Ok(PlanStored::Stored) => Reply::json(200, &json!({ "plan_version": version, "status": "stored" })),
        Ok(PlanStored::AlreadyCurrent) => {
            Reply::json(200, &json!({ "plan_version": version, "status": "already_current" }))
        }
        Ok(PlanStored::Older { current }) => {
            let message = format!("plan {version} is older than plan {current}, which is in force");
            Reply::error(409, "plan_older", Some("version"), message)
        }
        Err(error) => Reply::error(503, "plan_not_stored", None, error.to_string()),
    }
}

fn refuse(error: PlanError) -> Reply {
    let (status, code) = match error {
        PlanError::NotAPlan | PlanError::Length { .. } => (400, "plan_malformed"),
        PlanError::UnknownKey(_) => (403, "plan_key_unknown"),
        PlanError::Forged => (403, "plan_forged"),
        PlanError::Inconsistent(_) => (422, "plan_inconsistent"),
    };
    Reply::error(status, code, Some("body"), error.to_string())
}
