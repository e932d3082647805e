// How codes, times and money read to people. The codes are the stable names; see the design's glossary.

export const FILL_REASONS = {
  guaranteed: "A guaranteed flight",
  auction: "Won at auction",
  house_ad: "Our own promotion: no paying demand cleared",
};

export const UNFILLED_REASONS = {
  plan_unavailable: "There was no plan to decide from",
  no_eligible_demand: "Nothing sold matches this slot",
  content_unsuitable: "What matches may not run in a title of this rating",
  duration_exceeded: "What is suitable is too long for the slot",
  competitive_separation: "What fits would meet itself or a competitor in this break",
  pacing_throttled: "What may run is ahead of its plan",
  cap_check_unavailable: "The viewer's caps could not be checked",
  frequency_capped: "The viewer has seen what would run often enough",
  consent_denied: "The viewer's consent does not allow it",
  auction_unavailable: "The auction did not answer",
  decision_aborted: "The decision was broken off",
};

export const POSITIONS = { preroll: "Pre-roll", midroll: "Mid-roll", postroll: "Post-roll" };

export const QUARTILES = ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"];

export const QUARTILE_WORDS = {
  start: "began",
  firstQuartile: "a quarter",
  midpoint: "half",
  thirdQuartile: "three quarters",
  complete: "all of it",
};

/** A slot's reason, whatever its outcome: its code and what it means. */
export function reasonOf({ fillReason, unfilledReason }) {
  const code = fillReason ?? unfilledReason ?? "";
  return { code, words: FILL_REASONS[code] ?? UNFILLED_REASONS[code] ?? code.replaceAll("_", " ") };
}

/** Micros of a currency, with no digit lost and none to spare. XXX is ISO 4217's "no currency": what was never sold. */
export function money(micros, currency) {
  const amount = micros / 1e6;
  if (currency === "XXX") return String(amount);
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency, maximumFractionDigits: 6 }).format(amount);
  } catch {
    return `${amount} ${currency ?? ""}`.trim();
  }
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** Time of day. */
export function clock(ms) {
  return CLOCK.format(new Date(ms));
}

/** Makes an element: `make("li", { class: "x", "data-y": 1 }, "text", child, …)`. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
