// Reports what hls.js plays of asset lists, by the ad creative signaling in them (SVTA 2053-2). hls.js plays interstitials
// and reports nothing; a player that reads the signaling itself, such as shaka, needs none of this.

const KEY = "X-AD-CREATIVE-SIGNALING";
/** The shares of an ad that are reported, by VAST's names. */
const QUARTILES = { firstQuartile: 0.25, midpoint: 0.5, thirdQuartile: 0.75 };
/** Playing moves the playhead in small steps, also on a busy machine; what is farther was skipped. */
const STEP_S_MAX = 2;

/**
 * Reports on `hls`, whose media is `video`. `Events` are hls.js's; `onReport` is told of every URL that is called, with a
 * promise of its outcome: true if it was taken, false if not, null if nobody can know.
 */
export function reportInterstitials(hls, Events, video, onReport) {
  let playing = null;

  const report = (ad, type) => {
    if (ad.reported.has(type)) return;
    ad.reported.add(type);
    const urls = ad.slot.tracking.filter((event) => event.type === type).flatMap((event) => event.urls);
    for (const url of urls) onReport({ type, url, asset: ad.asset, taken: call(url) });
  };

  /** A quartile has played when all before it has: after a jump there are none. */
  const look = () => {
    if (!playing || video.seeking) return;
    const position = playing.player?.currentTime ?? 0;
    const step = position - playing.position;
    if (step <= 0) return;
    if (step > STEP_S_MAX) playing.hasJumped = true;
    playing.position = position;
    report(playing, "start");
    if (playing.hasJumped) return;
    for (const [type, share] of Object.entries(QUARTILES)) {
      if (position >= share * playing.slot.duration) report(playing, type);
    }
  };

  hls.on(Events.INTERSTITIAL_ASSET_STARTED, (_name, { event, assetListIndex, player }) => {
    playing = adOf(event, assetListIndex, player);
  });
  video.addEventListener("timeupdate", look);
  hls.on(Events.INTERSTITIAL_ASSET_ENDED, () => {
    if (!playing) return;
    look();
    const isAtItsEnd = playing.position > 0.75 * playing.slot.duration && !playing.hasJumped;
    if (isAtItsEnd && (video.ended || playing.position >= playing.slot.duration - 0.5)) report(playing, "complete");
    playing = null;
  });
  hls.on(Events.INTERSTITIAL_ASSET_ERROR, (_name, { event, assetListIndex, player }) => {
    const isPlaying = playing?.index === assetListIndex && playing.event === event;
    const ad = isPlaying ? playing : adOf(event, assetListIndex, player);
    if (ad) report(ad, "error");
    if (isPlaying) playing = null;
  });
  hls.on(Events.DESTROYING, () => video.removeEventListener("timeupdate", look));
}

/** The ad at a place of an asset list; null if nothing is to be reported of it. */
function adOf(event, index, player) {
  const asset = event.assetListResponse?.ASSETS?.[index];
  const slot = asset?.[KEY]?.payload?.[0];
  if (!slot?.tracking) return null;
  return { event, index, asset, slot, player, position: 0, hasJumped: false, reported: new Set() };
}

/** Calls a URL. Vendors seldom let a page read their answer: then it went out, and no more is known. */
function call(url) {
  return fetch(url, { keepalive: true, credentials: "omit" }).then((answer) => answer.ok, () => null);
}
