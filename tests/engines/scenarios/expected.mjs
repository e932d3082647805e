// What is expected of an ad, in the words of its events.

export const QUARTILES = ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"];
/** All of an ad that was in view. */
export const WHOLE = [...QUARTILES, "viewable"];

/** Three seconds of picture and sound. */
export const SHORT = {};
/** Eight: long enough to be left in the middle, with two seconds between its quartiles. */
export const LONG = { media: "ad-8.webm", durationMs: 8_000 };
