// The edge's answer to a break request.

import { failure } from "./failure.js";

/** Now, by both clocks of this device. */
export const bothClocks = () => [performance.now(), Date.now()];

/** Reads an answer: the break as the app sees it, and its ads with what is for us only. */
export function read(answer, askedAt, url) {
  const need = (object, key) => {
    const value = object?.[key];
    if (value == null && key !== "plan_version") throw failure("edge_answer_malformed", `the edge's answer has no ${key}`);
    return value;
  };
  const decidedAtMs = need(answer, "decided_at_ms");
  const ads = [];
  const list = (object, key) => (Array.isArray(need(object, key)) ? object[key] : need({}, key));
  const slots = list(answer, "slots").map((raw, slotIndex) => {
    const slot = { slotIndex, opportunityId: need(raw, "opportunity_id"), outcome: need(raw, "outcome") };
    if (slot.outcome !== "filled") return { ...slot, unfilledReason: need(raw, "unfilled_reason") };
    const ad = need(raw, "ad");
    slot.fillReason = need(raw, "fill_reason");
    slot.ad = {
      adId: ad.ad_id, creativeId: ad.creative_id, universalAdId: ad.universal_ad_id, name: ad.name,
      durationMs: need(ad, "duration_ms"),
      media: list(ad, "media").map(({ url, mime_type: type, width, height }) => ({ url, mimeType: type || "", width, height })),
    };
    slot.expiresAtMs = need(raw, "expires_at_ms");
    ads.push({
      slot, token: need(raw, "token"),
      // A path of the edge, which counts the click; an auction's ad leads straight on.
      link: ad.click_through?.replace(/^\/v1\//, url) || null,
      files: slot.ad.media.map(({ url, mimeType }) => [url, mimeType]),
      // Its life is counted from before the edge decided it, so a device whose clock is wrong is right enough.
      diesAt: askedAt.map((at) => at + slot.expiresAtMs - decidedAtMs),
    });
    return slot;
  });
  return {
    requestId: need(answer, "request_id"), breakId: need(answer, "break_id"), planVersion: need(answer, "plan_version"),
    decidedAtMs, slots, ads,
  };
}

/** Whether the ad must not start any more. One clock stands still while a device sleeps, the other may be set; the later of the two is
 * believed. */
export const leftMs = ({ diesAt }) => Math.min(...bothClocks().map((at, nth) => diesAt[nth] - at));
