//! How many requests a minute one client may make of this instance: looked at before anything else of a request.
//!
//! It is this instance's own count. A worker's isolate lives long enough for it to matter; Spin ends an instance after
//! 128 requests, so there it only damps what one instance sees. The limit of a whole deployment belongs in front of it.

use slotkeeper_core::{
    limit::{Client, Limiter},
    time::UnixMillis,
};

use crate::{Head, Reply, Settings, stitcher};

/// How many clients an instance remembers; what that takes is some 40 KiB.
const CLIENTS_MAX: usize = 1_024;

/// Admits a request at `now`, or answers when to try again. `limiter` is kept by the instance between its requests. The
/// origin, with its bearer, is always admitted; and so is a request that no address is known of.
pub fn admit(
    limiter: &mut Option<Limiter>,
    head: &Head<'_>,
    settings: &Settings,
    now: UnixMillis,
) -> Result<(), Reply> {
    if head.is_from_origin(settings) {
        return Ok(());
    }
    let limiter = limiter.get_or_insert_with(|| Limiter::new(CLIENTS_MAX, settings.requests_per_minute));
    // A stitcher speaks for many viewers, of whom each has the limit of one.
    let address = stitcher::viewer_address(head, settings);
    limiter.admit(address.and_then(Client::parse), now).map_err(|seconds| {
        let bound = settings.requests_per_minute;
        let message = format!("more than {bound} requests a minute from your address; try again in {seconds} s");
        Reply::error(429, "too_many_requests", None, message).with_header("retry-after", seconds.to_string())
    })
}

#[cfg(test)]
mod tests {
    use slotkeeper_core::keys::Purpose;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn settings() -> Settings {
        let value = |name| match name {
            "keys" => Some(format!("1:{}", "07".repeat(32))),
            "pseudonym_key" => Some("9e".repeat(32)),
            "origin_url" => Some("http://origin".to_owned()),
            "edge_id" => Some("e".to_owned()),
            "requests_per_minute" => Some("8".to_owned()),
            _ => None,
        };
        Settings::read(value).unwrap()
    }

    fn head<'a>(address: Option<&'a str>, authorization: Option<&'a str>) -> Head<'a> {
        Head {
            method: "GET",
            path: "/",
            base: "",
            origin: None,
            device_address: None,
            device_user_agent: None,
            query: "",
            authorization,
            client_address: address,
            user_agent: None,
            sec_gpc: None,
        }
    }

    #[test]
    fn a_client_past_its_limit_is_told_when_to_come_back_and_the_origin_never_is() {
        let (settings, mut limiter) = (settings(), None);
        let mut refused = |head: &Head<'_>| admit(&mut limiter, head, &settings, NOW).err();
        let client = head(Some("192.0.2.1:5555"), None);
        assert_eq!([refused(&client), refused(&client)], [None, None], "two at once are a quarter of 8");
        let refusal = refused(&client).unwrap();
        assert_eq!(refusal.status, 429);
        assert!(refusal.headers.contains(&("retry-after", "8".into())), "{:?}", refusal.headers);

        let bearer = format!("Bearer {}", settings.keys.bearer(Purpose::Admin));
        assert_eq!(refused(&head(Some("192.0.2.1:5555"), Some(&bearer))), None);
        assert!(refused(&head(Some("192.0.2.1:5555"), Some("Bearer 1.00"))).is_some(), "a guess is no origin");
        assert_eq!(refused(&head(None, None)), None, "nobody in particular");
        assert_eq!(refused(&head(Some("192.0.2.2:5555"), None)), None, "a neighbour");
    }
}
