//! Stitchers (server-side ad insertion): they ask for a viewer's device, which they name in `X-Device-IP` and
//! `X-Device-User-Agent`. Anybody could write those headers, so they are honoured only with the bearer of a stitcher that the
//! deployment names, and refused from anybody else rather than ignored: a stitcher that is not known would otherwise be
//! taken for one viewer with an odd player.

use std::net::IpAddr;

use crate::{Head, Reply, Settings};

/// The longest user agent read, in bytes.
pub const USER_AGENT_BYTES_MAX: usize = 1_024;

/// A viewer's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its address, if it was said.
    pub address: Option<IpAddr>,
    /// Its player, if it was said.
    pub user_agent: Option<String>,
}

/// The device that a stitcher asks for; nothing, if the request names none.
pub(crate) fn device(head: &Head<'_>, settings: &Settings) -> Result<Option<Device>, Reply> {
    let (address, user_agent) = (head.device_address, head.device_user_agent);
    let field = match (address, user_agent) {
        (None, None) => return Ok(None),
        (Some(_), _) => "x-device-ip",
        (None, Some(_)) => "x-device-user-agent",
    };
    if !is_from_stitcher(head, settings) {
        let message = format!("{field} needs the bearer of a stitcher that this edge knows");
        return Err(Reply::error(401, "unauthorized", Some(field), message));
    }
    let refuse = |field, message| Err(Reply::error(400, "invalid_request", Some(field), message));
    let address = match address.map(|text| text.trim().parse()) {
        Some(Err(_)) => return refuse("x-device-ip", "it must be an IPv4 or IPv6 address".into()),
        address => address.transpose().unwrap_or_default(),
    };
    if let Some(len) = user_agent.map(str::len).filter(|len| *len > USER_AGENT_BYTES_MAX) {
        let message = format!("{len} bytes; it must have at most {USER_AGENT_BYTES_MAX}");
        return refuse("x-device-user-agent", message);
    }
    Ok(Some(Device { address, user_agent: user_agent.map(Into::into) }))
}

/// Whose address a limit is about: the device's, if a stitcher says it, or else the client's own.
pub(crate) fn viewer_address<'a>(head: &Head<'a>, settings: &Settings) -> Option<&'a str> {
    match head.device_address {
        Some(address) if is_from_stitcher(head, settings) => Some(address),
        _ => head.client_address,
    }
}

/// Whether a request carries the bearer of a stitcher that this edge knows.
pub(crate) fn is_from_stitcher(head: &Head<'_>, settings: &Settings) -> bool {
    head.bearer().is_some_and(|bearer| settings.stitchers.accept(bearer))
}
