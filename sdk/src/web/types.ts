/** Where to ask, and for whom. */
export interface ClientConfig {
  /** The edge, such as `https://ads.example`. */
  edgeUrl: string;
  /** Who watches; may be given with each break instead. */
  profileId?: string;
  /** The viewing session, which caps per session count: 1 to 64 letters, digits, hyphens or underscores. Without it, the
   * client makes one. */
  sessionId?: string;
}

/** One ad break to fill. */
export interface BreakOptions {
  /** What is watched. */
  titleId: string;
  /** Where the break stands. */
  position: "preroll" | "midroll" | "postroll";
  /** The places for ads, in playing order. */
  slots: { maxDurationMs: number }[];
  /** Who watches, unless the client knows. */
  profileId?: string;
  /** A UUID version 7, to ask for the same break again after a restart. Without it, the client makes one. */
  requestId?: string;
  /** The most that all ads together may last. */
  maxDurationMs?: number;
  /** The viewer's subscription tier. */
  tier?: string;
  /** ISO 3166-1 alpha-2. */
  country?: string;
  /** The class of device: `tv`, `web`, `phone`, … */
  device?: string;
}

/** An ad to play. */
export interface Ad {
  adId: number;
  creativeId: number;
  universalAdId: string;
  name: string;
  durationMs: number;
  media: { url: string; mimeType: string; width: number; height: number }[];
}

/** A place that holds an ad, and why. */
export interface FilledSlot {
  slotIndex: number;
  opportunityId: string;
  outcome: "filled";
  fillReason: string;
  ad: Ad;
  expiresAtMs: number;
}

/** A place that holds none, and why. */
export interface UnfilledSlot {
  slotIndex: number;
  opportunityId: string;
  outcome: "unfilled";
  unfilledReason: string;
}

export type Slot = FilledSlot | UnfilledSlot;

/** Events of an ad, by their VAST 4.3 names, and the two of a break. */
export type AdEventName =
  | "start" | "firstQuartile" | "midpoint" | "thirdQuartile" | "complete"
  | "pause" | "resume" | "mute" | "unmute" | "skip" | "error" | "notUsed"
  | "breakStart" | "breakEnd";

/** What happened. The last four are there for events of an ad. */
export interface AdEvent {
  type: AdEventName;
  requestId: string;
  breakId: string;
  slotIndex?: number;
  opportunityId?: string;
  ad?: Ad;
  /** With `error`: the VAST error code. */
  errorCode?: number;
}

/** Part of a video, in seconds. */
export interface Span {
  startTime?: number;
  endTime?: number;
}

/** Beacons, and receipts of breaks, that the origin has not acknowledged. */
export interface BeaconCounts {
  /** Kept, and sent again until acknowledged. */
  waiting: number;
  /** Lost, because more waited than are kept. */
  overflowed: number;
  /** Refused for good, such as those of an expired ad. */
  refused: number;
}

/** What the promises of this package reject with. */
export interface SlotkeeperError extends Error {
  name: "SlotkeeperError";
  /** A stable name: the edge's, or `edge_unreachable`, `invalid_argument`, `play_not_allowed`, … */
  code: string;
  /** The field at fault, where it is one field's fault. */
  field: string | null;
  /** The HTTP status, where the edge answered. */
  status: number | null;
}
