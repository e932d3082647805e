//! What a viewer allows, and what follows from it for a decision.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

/// The signals of consent, as the caller got them. Absent is not asked, which is not refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Privacy {
    /// Whether the GDPR applies, in OpenRTB's `regs.gdpr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gdpr: Option<bool>,
    /// The TCF string of the viewer, version 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcf: Option<String>,
    /// The GPP string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpp: Option<String>,
    /// The ids of the GPP's sections in force.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpp_sid: Vec<u16>,
    /// Global Privacy Control is on.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub gpc: bool,
    /// The device's "limit ad tracking" is on.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub lmt: bool,
}

/// What a decision may use, worked out from [`Privacy`]. The default allows everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// As whom the viewer may be remembered.
    #[serde(skip_serializing_if = "Identity::is_default")]
    pub identity: Identity,
    /// Audience segments must not be used.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub no_segments: bool,
}

/// As whom a viewer may be remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// As the profile, from session to session.
    #[default]
    Profile,
    /// Within one session only: no cap that counts longer can be kept, and what carries one is declined.
    Session,
}

impl Identity {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Permissions {
    /// Whether nothing is forbidden.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
