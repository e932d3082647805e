//! From a decided pod to what the player is told.

use slotkeeper_core::{
    api::{AdResponse, BreakResponse, MediaResponse, Pixel, SlotOutcome, SlotResponse, Tracking},
    auction::Offer,
    beacon::Event,
    keys::Keyring,
    plan::Plan,
    pod::{Fill, FillReason, Opportunity, Outcome, Pod},
    token::{EventClass, Token},
};

use crate::{breaks::Asked, clicks::leads_to};

/// What a player without the SDK can report, in the order VAST lists it.
const PIXEL_EVENTS: [Event; 7] = [
    Event::Start,
    Event::FirstQuartile,
    Event::Midpoint,
    Event::ThirdQuartile,
    Event::Complete,
    Event::Error,
    Event::NotUsed,
];

/// The response to a break request.
pub fn answer(pod: &Pod, plan: Option<&Plan<'_>>, asked: &Asked, keys: &Keyring) -> BreakResponse {
    BreakResponse {
        request_id: asked.request.request_id.clone(),
        break_id: asked.break_id,
        plan_version: plan.map(Plan::version),
        decided_at_ms: asked.now,
        slots: pod.slots.iter().map(|slot| answer_slot(slot, (plan, pod), asked, keys)).collect(),
        receipt: None,
    }
}

fn answer_slot(slot: &Opportunity, from: (Option<&Plan<'_>>, &Pod), asked: &Asked, keys: &Keyring) -> SlotResponse {
    let outcome = match &slot.outcome {
        Outcome::Unfilled { unfilled_reason } => SlotOutcome::Unfilled { unfilled_reason: *unfilled_reason },
        Outcome::Filled(fill) => {
            let token = token(slot, fill);
            let mut ad = answer_ad(fill, from);
            ad.click_through = leads_to("", &ad, token, keys); // a path, as of the pixels: who asks knows where
            SlotOutcome::Filled {
                fill_reason: fill.fill_reason,
                ad: Box::new(ad),
                token: token.seal(keys),
                expires_at_ms: fill.expires_at,
                pixels: (asked.request.tracking == Tracking::Pixels).then(|| pixels(token, keys)),
            }
        }
    };
    SlotResponse { slot_index: slot.slot_index, opportunity_id: slot.opportunity_id, outcome }
}

fn answer_ad(fill: &Fill, (plan, pod): (Option<&Plan<'_>>, &Pod)) -> AdResponse {
    let offers = pod.decision.auction.offers();
    if let Some(offer) = offers.iter().find(|offer| fill.fill_reason == FillReason::Auction && offer.fills(fill)) {
        return answer_offer(fill, offer);
    }
    let ad = plan.and_then(|plan| plan.ad(fill.ad_id)); // the plan it was decided from: always there
    let media = ad.iter().flat_map(|ad| &ad.media).map(|file| MediaResponse {
        url: file.url.into(),
        mime_type: file.mime_type.into(),
        width: file.width,
        height: file.height,
        bitrate_kbps: file.bitrate_kbps,
        codecs: file.codecs.map(Into::into),
    });
    AdResponse {
        ad_id: fill.ad_id,
        creative_id: fill.booking.creative_id,
        universal_ad_id: ad.as_ref().map_or("unknown", |ad| ad.universal_ad_id).into(),
        name: ad.as_ref().map_or("", |ad| ad.name).into(),
        duration_ms: fill.duration_ms,
        media: media.collect(),
        click_through: None,
        presentation: ad.map(|ad| ad.presentation).unwrap_or_default(),
    }
}

fn answer_offer(fill: &Fill, offer: &Offer) -> AdResponse {
    let media = offer.media.iter().map(|file| MediaResponse {
        url: file.url.clone(),
        mime_type: file.mime_type.clone(),
        width: file.width,
        height: file.height,
        bitrate_kbps: file.bitrate_kbps,
        codecs: file.codecs.clone(),
    });
    AdResponse {
        ad_id: fill.ad_id,
        creative_id: fill.booking.creative_id,
        universal_ad_id: offer.record.universal_ad_id.clone(),
        name: offer.name.clone(),
        duration_ms: fill.duration_ms,
        media: media.collect(),
        click_through: None,
        presentation: offer.presentation.clone(),
    }
}

fn pixels(token: Token, keys: &Keyring) -> Vec<Pixel> {
    let sealed = |event| Token { class: EventClass::Only(event), ..token }.seal(keys);
    PIXEL_EVENTS.into_iter().map(|event| Pixel { event, path: format!("/v1/t/{}", sealed(event)) }).collect()
}

/// What reports any event of a fill.
fn token(slot: &Opportunity, fill: &Fill) -> Token {
    Token {
        opportunity_id: slot.opportunity_id,
        ad_id: fill.ad_id,
        record_id: fill.record_id,
        class: EventClass::Any,
        holds_claim: fill.claim.is_some(),
        expires_at: fill.expires_at,
    }
}
