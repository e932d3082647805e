// The API of both skins of the SDK: `slotkeeper` (web: an ES module) and `slotkeeper/tv` (an ES5 script, whose names are
// properties of a global `Slotkeeper`; see slotkeeper-tv.d.ts). They differ in how they load and in nothing else. sdk/API.md is
// made of this file.

/** Makes the module ready: loads and starts its wasm. Once; later calls wait for the first. Call it before anything else.
 *
 * @param source Where the wasm lies, if not beside the script.
 */
export default function init(source?: string | URL): Promise<void>;

/** Where to ask, and for whom. */
export interface ClientConfig {
  /** The edge, such as `https://ads.example`. */
  edgeUrl: string;
  /** Who watches; may be given with each break instead. */
  profileId?: string;
  /** The viewing session, which caps per session count: 1 to 64 letters, digits, hyphens or underscores. It is logged as it is,
   * so make it at random, not of who watches. Without it, the client makes one. */
  sessionId?: string;
  /** Whether beacons that the origin does not have yet are also written to `localStorage`, so that they survive a power cut and
   * are sent at the next start. True unless told. */
  storage?: boolean;
}

/** Where a break stands in what is watched. */
export type BreakPosition = "preroll" | "midroll" | "postroll";

/** One ad break to fill. */
export interface BreakOptions {
  /** What is watched. */
  titleId: string;
  /** Where the break stands. */
  position: BreakPosition;
  /** The places for ads, in playing order: 1 to 16. */
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

/** A file of an ad. */
export interface Media {
  /** Where it lies. */
  url: string;
  /** Its MIME type; empty where none is booked. */
  mimeType: string;
  /** Pixels. */
  width: number;
  /** Pixels. */
  height: number;
}

/** An ad to play. */
export interface Ad {
  /** The ad's number. */
  adId: number;
  /** Its video's number. */
  creativeId: number;
  /** Its registered id, or `unknown`. */
  universalAdId: string;
  /** What people call it. */
  name: string;
  /** Its length, as booked. */
  durationMs: number;
  /** Its files, best first. The first one that the browser can play is played. */
  media: Media[];
}

/** A place that holds an ad, and why. */
export interface FilledSlot {
  /** Its place in the break, from 0. */
  slotIndex: number;
  /** Its key in the books. */
  opportunityId: string;
  /** It holds an ad. */
  outcome: "filled";
  /** Why this ad: `guaranteed`, `auction`, `house_ad`. */
  fillReason: string;
  /** What to play. */
  ad: Ad;
  /** By the edge's clock, when the ad must not be started any more. */
  expiresAtMs: number;
}

/** A place that holds none, and why. */
export interface UnfilledSlot {
  /** Its place in the break, from 0. */
  slotIndex: number;
  /** Its key in the books. */
  opportunityId: string;
  /** It holds no ad, which is an answer and not an error. */
  outcome: "unfilled";
  /** Why: `frequency_capped`, `pacing_throttled`, `no_eligible_demand`, … */
  unfilledReason: string;
}

/** A place of a break. */
export type Slot = FilledSlot | UnfilledSlot;

/** Events of an ad, by their names in VAST 4.3 and OMID, and the two of a break. */
export type AdEventName =
  | "start" | "firstQuartile" | "midpoint" | "thirdQuartile" | "complete"
  | "pause" | "resume" | "mute" | "unmute" | "skip" | "error" | "notUsed" | "clickThrough"
  | "playerExpand" | "playerCollapse" | "viewable" | "notViewable" | "viewUndetermined"
  | "breakStart" | "breakEnd";

/** What happened. Of `breakStart` and `breakEnd`, only the first three are there. */
export interface AdEvent {
  /** What. */
  type: AdEventName;
  /** The id under which the break was asked for. */
  requestId: string;
  /** The break. */
  breakId: string;
  /** The ad's place in it. */
  slotIndex?: number;
  /** The ad's key in the books. */
  opportunityId?: string;
  /** The ad. */
  ad?: Ad;
  /** With `error`: the VAST error code. */
  errorCode?: number;
}

/** Part of a video, in seconds of the video. */
export interface Span {
  /** Where the ad begins; 0 unless told. */
  startTime?: number;
  /** Where it ends; without it, it lasts as long as the ad. */
  endTime?: number;
}

/** Beacons, and receipts of breaks, that the origin has not acknowledged. */
export interface BeaconCounts {
  /** Kept, and sent again until acknowledged. */
  waiting: number;
  /** Lost, because more waited than are kept. The origin is told how many. */
  overflowed: number;
  /** Refused for good, such as those of an expired ad. */
  refused: number;
}

/** What the promises of this package reject with, and what its calls throw. */
export interface SlotkeeperError extends Error {
  /** Which error it is among others. */
  name: "SlotkeeperError";
  /** A stable name: the edge's, or `edge_unreachable`, `edge_error`, `edge_answer_malformed`, `invalid_argument`, `slot_taken`,
   * `break_playing`, `play_not_allowed`, `client_destroyed`. */
  code: string;
  /** The field at fault, where it is one field's fault. */
  field: string | null;
  /** The HTTP status, where the edge answered. */
  status: number | null;
}

/** What puts a player's content away before the ads and brings it back after them, where the video's source cannot simply be set
 * again: Media Source players such as hls.js and Shaka, for which there are adapters. */
export interface Content {
  /** Lets go of the video, and remembers what `resume` needs. The ads wait for it. */
  suspend(): Promise<void> | void;
  /** Takes the video again, and leaves it as it was: same position, speed, playing or paused. `play` resolves after it. */
  resume(): Promise<void> | void;
}

/** How a break is played. */
export interface PlayOptions {
  /** Whoever plays the content, if it is not a file that the video has as its source. */
  content?: Content;
}

/** A viewer's session: requests ad breaks and reports what was played. */
export class AdClient {
  private constructor();

  /** Makes a client. Rejects with a `SlotkeeperError` if the configuration cannot be used. */
  static load(config: ClientConfig): Promise<AdClient>;

  /** Asks the edge to fill a break. Tries a few times under one request id, so however many tries reach the edge, there is one
   * break. If `prefetchBreak` asked for the same one before and none of its ads expired, that is the answer. Rejects with a
   * `SlotkeeperError`; then play on without ads. */
  requestBreak(options: BreakOptions): Promise<AdBreak>;

  /** Asks for a break ahead of time and keeps it for `requestBreak` with the same options. One at a time: another prefetch gives
   * the first back. What is not asked for in time, or expires, is reported `notUsed`. */
  prefetchBreak(options: BreakOptions): Promise<void>;

  /** A break that somebody else asked for, such as your server or a playlist.
   *
   * @param answer The edge's answer to `POST /v1/breaks`, as it came. */
  adoptBreak(answer: object): AdBreak;

  /** Calls `handler` at every event of this name, of any ad of this client. */
  on(name: AdEventName, handler: (event: AdEvent) => void): void;

  /** No longer calls `handler` at events of this name. */
  off(name: AdEventName, handler: (event: AdEvent) => void): void;

  /** Sends the waiting beacons and receipts now. Resolves to how many still wait: 0, or more when the edge cannot be reached. */
  flush(): Promise<number>;

  /** The viewer touched something that this page does not hear of: a native key of the remote control, a voice command. Beacons
   * carry how long ago that was, so that the origin can tell a television that plays to an empty room. */
  interacted(): void;

  /** The viewing session, as caps per session count it and beacons name it. */
  readonly sessionId: string;

  /** What became of beacons and receipts that are not acknowledged. */
  readonly beacons: BeaconCounts;

  /** Ends the session: ads in play stop and the content comes back, and ads not started are reported `notUsed`. The browser
   * gets the beacons to deliver, and while the page lives on they are still sent until the origin has them. The client cannot
   * be used again. */
  destroy(): void;
}

/** One interruption: its slots, filled and unfilled, each with its reason. */
export class AdBreak {
  private constructor();

  /** The id under which it was asked for. */
  readonly requestId: string;

  /** Its own id. */
  readonly breakId: string;

  /** The plan it was decided from; null when there was none. */
  readonly planVersion: number | null;

  /** When it was decided, by the edge's clock. */
  readonly decidedAtMs: number;

  /** One for every slot asked for, in order. */
  readonly slots: Slot[];

  /** Plays the ads one after the other in `video`, then puts back what was there: source, position, speed, and whether it
   * played. Resolves when the break is over. An ad that fails is reported and passed over; an ad that expired is not started.
   * Rejects with `play_not_allowed` when the browser wants a click first: call it again from one. An app that gives `video`
   * another source meanwhile ends the break: `video` stays as the app left it, and the ads not yet started are reported
   * `notUsed`. */
  play(video: HTMLVideoElement, options?: PlayOptions): Promise<void>;

  /** Only reports the ad of this slot while someone else plays it in `video`, such as a stitched stream or another player.
   * Throws a `SlotkeeperError`: `invalid_argument` if the slot holds no ad, `slot_taken` if it is played or observed already.
   *
   * @param span The part of the video that is the ad; without it, the whole. */
  observe(video: HTMLVideoElement, slotIndex: number, span?: Span): Observation;

  /** The viewer skipped the ad in play: it is reported, and the next one plays. */
  skip(): void;

  /** The viewer followed the link of the ad in play: reports `clickThrough`.
   *
   * @returns The link to open, or null if the ad has none. */
  click(): string | null;

  /** The app gives up the ad in play: it is reported, and the next one plays.
   *
   * @param code A VAST error code; 400 unless told. */
  error(code?: number): void;

  /** The ads not yet started will not be played: they are reported `notUsed`, and the edge may sell the viewer's attention
   * again. */
  discard(): void;
}

/** An ad that someone else plays. */
export class Observation {
  private constructor();

  /** The viewer skipped the ad. */
  skip(): void;

  /** The viewer followed the ad's link: reports `clickThrough`.
   *
   * @returns The link to open, or null if the ad has none. */
  click(): string | null;

  /** Whoever plays the ad gave it up.
   *
   * @param code A VAST error code; 400 unless told. */
  error(code?: number): void;

  /** No longer looks at the video. An ad that had not started, nor been skipped, may be played or observed again. */
  stop(): void;
}
