// `slotkeeper/adapters/shaka`: the SDK beside Shaka Player 4.8 and later.

import type { AdBreak, Content, Span } from "../types/slotkeeper.js";

/** What of a Shaka player is needed here; every `shaka.Player` has it. */
export interface ShakaPlayer {
  getMediaElement(): HTMLMediaElement | null;
  getAssetUri(): string | null;
  getMimeType(): string | null;
  isLive(): boolean;
  attach(media: HTMLMediaElement): Promise<unknown>;
  detach(): Promise<unknown>;
  detachAndSavePreload(keepAdManager?: boolean, savePosition?: boolean): Promise<any>;
  load(asset: any, startTime?: number | null, mimeType?: string | null): Promise<unknown>;
}

/** What `adBreak.play(video, { content: content(player) })` puts away and brings back: the stream that `player` plays in `video`.
 * It comes back at its position (a live stream at its live edge), with its speed, playing or paused as it was, and without its
 * manifest being loaded again. A player that is not attached when the ads begin, or that the app destroys or attaches meanwhile,
 * is left alone.
 *
 * @param player The player of the content. */
export function content(player: ShakaPlayer): Content;

/** Where an ad of a break lies in a stream. */
export interface StitchedAd extends Span {
  /** Which ad of the break. */
  slotIndex: number;
}

/** What reports the ads of a stitched stream. Its calls are about the ad that the playhead is in. */
export interface StitchedReports {
  /** The viewer skipped the ad in play: it is reported, and the playhead goes to its end. */
  skip(): void;
  /** The viewer followed the link of the ad in play: reports `clickThrough`.
   *
   * @returns The link to open, or null if no ad plays or it has none. */
  click(): string | null;
  /** Looks no longer. Ads that had not begun are reported `notUsed`. */
  stop(): void;
}

/** Has the SDK report a break that the server has put into the stream itself.
 *
 * @param player The player of the stream.
 * @param adBreak The break, as `client.adoptBreak` gave it.
 * @param ads Where its ads lie, in seconds of the player's timeline: those of its slots that are in the stream. Ads that are not are
 * reported `notUsed`. */
export function observeStitched(player: ShakaPlayer, adBreak: AdBreak, ads: StitchedAd[]): StitchedReports;
