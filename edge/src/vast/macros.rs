//! The macros that a stitcher cannot fill in, because only the edge, or the device behind the stitcher, knows them.
//!
//! What changes from call to call (`[TIMESTAMP]`, `[CACHEBUSTING]`, `[ERRORCODE]`, playheads) is left for the stitcher, and so
//! is every word in brackets that is not here. Of those here, what nobody knows becomes `-1`, and what the viewer does
//! not want told `-2`, as the IAB's list of macros says. Values are percent-encoded.

use slotkeeper_core::{api::BreakRequest, consent::Identity, contract::BreakPosition};

use super::{Show, linear::registry_of};
use crate::{query::encode, stitcher::Device};

const UNKNOWN: &str = "-1";
const WITHHELD: &str = "-2";

/// What is known of a request that a stitcher made.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The viewer's device.
    pub device: &'a Device,
    /// What was asked.
    pub request: &'a BreakRequest,
    /// As whom the viewer may be remembered.
    pub identity: Identity,
}

impl Known<'_> {
    /// The URL with what is known of this showing.
    pub(super) fn fill(&self, url: &str, show: &Show<'_>) -> String {
        let mut filled = String::with_capacity(url.len());
        let mut rest = url;
        while let Some((before, from)) = rest.split_once('[') {
            filled.push_str(before);
            let value = from.split_once(']').and_then(|(name, after)| Some((self.value(name, show)?, after)));
            rest = if let Some((value, after)) = value {
                filled.push_str(&encode(&value));
                after
            } else {
                filled.push('[');
                from
            };
        }
        filled + rest
    }

    fn value(&self, name: &str, show: &Show<'_>) -> Option<String> {
        let privacy = &self.request.privacy;
        // Where the viewer must not be recognised in another session, nothing is told that identifies a device.
        let identifying = |value: Option<String>| match value {
            _ if self.identity == Identity::Session => WITHHELD.into(),
            value => value.unwrap_or_else(|| UNKNOWN.into()),
        };
        let known = |value: Option<&str>| value.unwrap_or(UNKNOWN).to_owned();
        Some(match name {
            "ADSERVINGID" => show.slot.opportunity_id.to_string(),
            "PODSEQUENCE" => show.number.to_string(),
            "UNIVERSALADID" => {
                let id = show.ad.universal_ad_id.trim();
                if id.is_empty() { UNKNOWN.into() } else { format!("{} {id}", registry_of(id)) }
            }
            "BREAKPOSITION" => match self.request.position {
                BreakPosition::Preroll => "1".into(),
                BreakPosition::Midroll => "2".into(),
                BreakPosition::Postroll => "3".into(),
            },
            "DEVICEIP" => identifying(self.device.address.map(|address| address.to_string())),
            "DEVICEUA" => known(self.device.user_agent.as_deref()),
            "IFA" | "IFATYPE" | "LATLONG" => identifying(None),
            "LIMITADTRACKING" => u8::from(privacy.lmt).to_string(),
            "GDPRCONSENT" => known(privacy.tcf.as_deref()),
            "REGULATIONS" => {
                known(privacy.gdpr.map(|applies| if applies { "gdpr" } else { "" }).filter(|law| !law.is_empty()))
            }
            "SERVERSIDE" => "1".into(), // a server calls, for a device that it names
            _ => return None,
        })
    }
}
