//! What a break was decided from, recorded so that it can be decided again.
//!
//! A decision names the plan by its version and holds everything else: the break, the question, the clock, and the
//! viewer's claims as they were. Rows carry its content address, so inputs cannot be mixed up or altered unnoticed.

use alloc::string::String;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    api::{BreakRequest, Tracking},
    auction::Auction,
    caps::{CapState, Viewer},
    consent::{Permissions, Privacy},
    decide::{Occasion, Witness, decide_before},
    id::{BreakId, DecisionId, SessionKey, ViewerKey},
    plan::Plan,
    pod::{InvalidTraffic, Pod},
    time::UnixMillis,
};

/// The inputs of [`decide`](crate::decide::decide), but for the plan's own bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The break; also the seed.
    pub break_id: BreakId,
    /// Whose.
    pub viewer: ViewerKey,
    /// The viewing session, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionKey>,
    /// When the break opened.
    pub opened_at: UnixMillis,
    /// The clock.
    pub decided_at: UnixMillis,
    /// The plan, if there was one.
    pub plan_version: Option<u64>,
    /// What was asked, but for what names the viewer and what they allow: those are empty here.
    pub asked: BreakRequest,
    /// What the viewer allowed.
    #[serde(default, skip_serializing_if = "Permissions::is_default")]
    pub permissions: Permissions,
    /// If the request was not a viewer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_traffic: Option<InvalidTraffic>,
    /// What an auction gave.
    #[serde(default, skip_serializing_if = "Auction::is_not_asked")]
    pub auction: Auction,
    /// The viewer's claims, as stored and base64url; null where they were not known.
    #[serde(serialize_with = "write_caps", deserialize_with = "read_caps")]
    pub caps: CapState,
}

impl Decision {
    /// Records what is about to be decided from.
    pub fn of(plan: Option<&Plan<'_>>, caps: &CapState, occasion: &Occasion<'_>) -> Self {
        Self {
            break_id: occasion.break_id,
            viewer: occasion.viewer,
            session: occasion.session,
            opened_at: occasion.opened_at,
            decided_at: occasion.now,
            plan_version: plan.map(Plan::version),
            asked: BreakRequest {
                request_id: String::new(),
                profile_id: String::new(),
                session_id: None,
                privacy: Privacy::default(),
                tracking: Tracking::default(),
                ..occasion.request.clone()
            },
            permissions: occasion.permissions,
            invalid_traffic: occasion.invalid_traffic,
            auction: occasion.auction.clone(),
            caps: caps.clone(),
        }
    }

    /// Its content address: of its canonical JSON, which is the one this type writes.
    pub fn id(&self) -> DecisionId {
        let json = serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("string keys only"));
        let mut id = DecisionId::default();
        id.0.copy_from_slice(&blake3::hash(&json).as_bytes()[..16]);
        id
    }

    /// Decides again, from the plan of the version recorded, before a witness. `None` if `plan` is another.
    pub fn decide_again(&self, plan: Option<&Plan<'_>>, witness: &mut impl Witness) -> Option<Pod> {
        if plan.map(Plan::version) != self.plan_version {
            return None;
        }
        let occasion = Occasion {
            request: &self.asked,
            break_id: self.break_id,
            viewer: self.viewer,
            session: self.session,
            permissions: self.permissions,
            invalid_traffic: self.invalid_traffic,
            auction: &self.auction,
            opened_at: self.opened_at,
            now: self.decided_at,
        };
        Some(decide_before(plan, &self.caps, &occasion, witness))
    }
}

fn write_caps<S: Serializer>(caps: &CapState, serializer: S) -> Result<S::Ok, S::Error> {
    match caps {
        CapState::Known(viewer) => serializer.serialize_some(&Base64UrlUnpadded::encode_string(&viewer.encode())),
        CapState::Unavailable => serializer.serialize_none(),
    }
}

fn read_caps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CapState, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(CapState::Unavailable) };
    let bytes = Base64UrlUnpadded::decode_vec(&text).map_err(|_| de::Error::custom("caps is not base64url"))?;
    Viewer::decode(&bytes).map(CapState::Known).map_err(de::Error::custom)
}
