// What is expected of an ad, in the words of its events.

export const QUARTILES = ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"];
/** All of an ad that was in view. */
export const WHOLE = [...QUARTILES, "viewable"];

/** Three seconds of picture and sound. */
export const SHORT = {};
/** Eight, with two between its quartiles. */
export const LONG = { media: "ad-8.webm", durationMs: 8_000 };
/** Half a minute: five seconds lie between when it counts as viewable and its first quartile, so a busy machine can leave it there. */
export const LONGEST = { media: "ad-30.webm", durationMs: 30_000 };
