// `slotkeeper/adapters/hlsjs`: the SDK beside hls.js 1.6 and later.

import type { AdClient, Content } from "../types/slotkeeper.js";

/** What of an hls.js player is needed here; every `Hls` has it. */
export interface HlsPlayer {
  /** Where it plays; null while it is detached. */
  readonly media: HTMLMediaElement | null;
  /** What it plays; null before `loadSource` and after `destroy`. */
  readonly url: string | null;
  /** Whether it may load. */
  readonly loadingEnabled: boolean;
  /** What is known of the playlist that was loaded last. */
  readonly latestLevelDetails: { live: boolean } | null;
  attachMedia(media: HTMLMediaElement): void;
  detachMedia(): void;
  startLoad(startPosition?: number): void;
  on(event: any, listener: (...told: any[]) => void): void;
  off(event: any, listener: (...told: any[]) => void): void;
}

/** What `adBreak.play(video, { content: content(hls) })` puts away and brings back: the stream that `hls` plays in `video`. It
 * comes back at its position (a live stream where hls.js joins it), with its speed, playing or paused as it was. An `hls` that is
 * not attached when the ads begin, or that the app destroys or attaches meanwhile, is left alone.
 *
 * @param hls The player of the content, with no interstitials in it. */
export function content(hls: HlsPlayer): Content;

/** What reports the ads that hls.js plays. */
export interface InterstitialReports {
  /** The viewer skipped the ad in play: it is reported, and hls.js goes on with what follows it. */
  skip(): void;
  /** The viewer followed the link of the ad in play: reports `clickThrough`.
   *
   * @returns The link to open, or null if no ad plays or it has none. */
  click(): string | null;
  /** Looks no longer. Ads that had not begun are reported `notUsed`. Destroying `hls` does this by itself. */
  stop(): void;
}

/** Has the SDK report the ads that hls.js plays as HLS interstitials, where `X-ASSET-LIST` leads to the edge's `/v1/asset-list` with
 * `sdk=1` among its parameters. Other interstitials are left alone. Call it before `hls.loadSource`. The client's events tell
 * what happens. Where hls.js loads nothing of the content after an ad, which happens on a busy machine, it is told again to load.
 *
 * @param hls The player.
 * @param client Who reports. Give the playlist the client's `sessionId` as `session`, for caps per session to count within it. */
export function reportInterstitials(hls: HlsPlayer, client: AdClient): InterstitialReports;
