//! `GET /healthz`: is it up, and what does it decide from.

use serde_json::json;
use slotkeeper_core::{keys::Purpose, plan::Plan};

use crate::{Platform, Reply, platform::store_call};

/// Always 200 while the edge answers at all; `status` says whether the store answered and a valid plan is in force.
pub(crate) async fn report<P: Platform>(platform: &P) -> Reply {
    let settings = platform.settings();
    let deadline_ms = settings.store_deadline_ms;
    let in_force = store_call(platform.wait_ms(deadline_ms), deadline_ms, platform.plan_in_force()).await;
    let bytes = match in_force {
        Ok(Some(version)) => platform.plan(Some(version)).await,
        _ => None,
    };
    let plan = bytes.as_deref().and_then(|bytes| Plan::open(bytes).ok());
    let status = match (&in_force, plan) {
        (Err(_), _) => "store_unavailable",
        (Ok(_), Some(plan)) if plan.is_valid_at(platform.now()) => "ok",
        (Ok(_), _) => "no_valid_plan",
    };
    Reply::json(
        200,
        &json!({
            "status": status,
            "platform": P::NAME,
            "edge_id": settings.edge_id,
            "minting_key_id": settings.keys.minting(Purpose::Token).0,
            "plan_version": plan.map(|plan| plan.version()),
            "plan_valid_until_ms": plan.map(|plan| plan.valid_until().0),
        }),
    )
}
