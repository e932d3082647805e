//! What a viewer allows, and what follows from it for a decision.
//!
//! [`Permissions::of`] reads the signals as `docs/consent.md` tabulates them. It is pure and never fails: a signal that
//! cannot be read allows nothing.

mod bits;
mod gpp;
mod tcf;

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::api::InvalidField;

/// The longest that the TCF string and the GPP string may be together, in bytes.
pub const CONSENT_BYTES_MAX: usize = 8 * 1024;
/// The most sections of the GPP that can be said to be in force.
pub const SECTIONS_MAX: usize = 32;

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

impl Privacy {
    /// Checks the bounds of a request's privacy. The first violation is reported.
    pub fn validate(&self) -> Result<(), InvalidField> {
        let refuse = |field: &str, message| Err(InvalidField { field: field.into(), message });
        let [tcf, gpp] = [&self.tcf, &self.gpp].map(|text| text.as_ref().map_or(0, String::len));
        let is_too_long = |len: usize| {
            alloc::format!("{len} bytes; the TCF string and the GPP string have at most {CONSENT_BYTES_MAX} together")
        };
        if tcf > CONSENT_BYTES_MAX {
            return refuse("privacy.tcf", is_too_long(tcf));
        }
        if tcf + gpp > CONSENT_BYTES_MAX {
            return refuse("privacy.gpp", is_too_long(tcf + gpp));
        }
        if self.gpp_sid.len() > SECTIONS_MAX {
            let message = alloc::format!("{} sections; at most {SECTIONS_MAX}", self.gpp_sid.len());
            return refuse("privacy.gpp_sid", message);
        }
        Ok(())
    }
}

impl Permissions {
    /// Nothing but what one session needs.
    pub const LEAST: Self = Self { identity: Identity::Session, no_segments: true };

    /// What these signals allow: what each of them allows, taken together.
    pub fn of(privacy: &Privacy) -> Self {
        let objects = privacy.gpc || privacy.lmt;
        let of_tcf = match (privacy.gdpr, &privacy.tcf) {
            (Some(true), tcf) => tcf::permissions(tcf.as_deref()),
            _ => Self::default(), // the GDPR does not apply, or only as the GPP says
        };
        let of_objections = if objects { Self::LEAST } else { Self::default() };
        of_objections.and(of_tcf).and(gpp::permissions(privacy))
    }

    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let identity = if self.identity == Identity::Session { self.identity } else { other.identity };
        Self { identity, no_segments: self.no_segments || other.no_segments }
    }

    /// Whether nothing is forbidden.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests;
