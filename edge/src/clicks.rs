//! `GET /v1/c/{token}`: a viewer follows an ad's link. It leads where the ad was booked to lead, and nowhere that the request
//! says.
//!
//! The click is handed to the origin first, but the viewer is sent on whether or not the origin takes it in time: a click
//! bills nothing, and somebody is waiting. A click that the origin did not take is lost.

use core::fmt::Write as _;

use slotkeeper_core::{
    api::AdResponse,
    auction::is_sold_by_auction,
    beacon::Event,
    contract::Presentation,
    keys::Keyring,
    plan::Plan,
    token::{EventClass, Token},
};

use crate::{
    Client, Platform, Reply,
    beacons::{record_click, refuse_token},
    platform::within,
    xml::clean_url,
};

/// Where an ad's link leads, if it has one that a browser may follow.
pub(crate) fn click_through(presentation: &Presentation) -> Option<&str> {
    let url = presentation.click_through.as_deref()?.trim();
    (url.starts_with("https://") || url.starts_with("http://")).then_some(url)
}

/// What a click on an ad opens: what was booked, by way of the edge at `base`; of an auction's ad, which no plan knows, what it
/// says itself.
pub(crate) fn leads_to(base: &str, ad: &AdResponse, token: Token, keys: &Keyring) -> Option<String> {
    let url = click_through(&ad.presentation)?;
    if is_sold_by_auction(ad.ad_id) {
        return Some(url.into());
    }
    let token = Token { class: EventClass::Only(Event::ClickThrough), ..token };
    Some(format!("{base}/v1/c/{}", token.seal(keys)))
}

/// Sends the viewer on.
pub(crate) async fn follow(platform: &impl Platform, client: Client, token: &str) -> Reply {
    let (now, settings) = (platform.now(), platform.settings());
    let token = match Token::open(token, &settings.keys, now) {
        Ok(token) => token,
        Err(error) => return refuse_token(error),
    };
    if token.class != EventClass::Only(Event::ClickThrough) {
        let message = "this token is not that of a click".into();
        return Reply::error(400, "event_not_allowed", Some("token"), message);
    }
    let plan = within(platform.wait_ms(settings.store_deadline_ms), platform.plan(None)).await.flatten();
    let plan = plan.as_deref().and_then(|bytes| Plan::open(bytes).ok());
    let ad = plan.and_then(|plan| plan.ad(token.ad_id));
    let Some(url) = ad.as_ref().and_then(|ad| click_through(&ad.presentation)) else {
        let message = format!("ad {} is not in the plan any more, or leads nowhere", token.ad_id);
        return Reply::error(410, "ad_unknown", Some("token"), message);
    };
    // Lost if it takes longer: see above.
    let _ = within(platform.wait_ms(settings.decision_deadline_ms), record_click(platform, client, token, now)).await;
    Reply::redirect(location(url))
}

/// The URL as a header can carry it: ASCII, and nothing that could end the header.
fn location(url: &str) -> String {
    let mut location = String::with_capacity(url.len());
    for byte in clean_url(url).bytes() {
        match byte {
            b'!'..=b'~' => location.push(byte.into()),
            byte => {
                let _ = write!(location, "%{byte:02X}"); // writing to a String cannot fail
            }
        }
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_only_what_a_browser_may_follow_and_a_header_can_carry() {
        let of = |url: &str| Presentation { click_through: Some(url.into()), ..Presentation::default() };
        for url in ["", "javascript:alert(1)", "//other.example", "/v1/plan", "data:text/html,x"] {
            assert_eq!(click_through(&of(url)), None, "{url:?}");
        }
        let booked = of(" https://brand.example/é?a=b&t=[TIMESTAMP]\r\nset-cookie: x=1 ");
        let url = click_through(&booked).map(location);
        assert_eq!(url.as_deref(), Some("https://brand.example/%C3%A9?a=b&t=[TIMESTAMP]%0D%0Aset-cookie:%20x=1"));
    }
}
