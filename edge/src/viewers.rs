//! `DELETE /v1/viewers/{viewer}`: the origin has a viewer forgotten.

use serde_json::json;
use slotkeeper_core::id::ViewerKey;

use crate::{Platform, Reply};

/// Forgets a viewer's claims. Forgetting who is not known is done already.
pub(crate) async fn forget(platform: &impl Platform, viewer: &str) -> Reply {
    let Ok(viewer) = viewer.parse::<ViewerKey>() else {
        let message = format!("{viewer:?} is no viewer; it must be 32 hexadecimal digits");
        return Reply::error(400, "malformed_viewer", Some("viewer"), message);
    };
    match platform.forget_at_store(viewer).await {
        Ok(()) => Reply::json(200, &json!({ "status": "forgotten" })),
        Err(error) => Reply::try_again("viewer_not_forgotten", format!("{error}; ask again")),
    }
}
