// The SDK beside hls.js: `content` plays the SDK's ads in the video of an hls.js player; `reportInterstitials` has the SDK report
// the ads that hls.js plays by itself.

/** @typedef {import("./hlsjs.js").HlsPlayer} HlsPlayer */
/** @typedef {import("../types/slotkeeper.js").AdBreak} AdBreak */
/** @typedef {import("../types/slotkeeper.js").AdEvent} AdEvent */
/** @typedef {import("../types/slotkeeper.js").AdEventName} AdEventName */
/** @typedef {import("../types/slotkeeper.js").Observation} Observation */

/** An asset of the edge's list, and what hls.js makes of it.
 * @typedef {{ DURATION: number, "X-SLOTKEEPER-OPPORTUNITY"?: string, "X-AD-CREATIVE-SIGNALING"?: Signaling }} Asset
 * @typedef {{ payload?: { tracking?: { type: AdEventName, urls: string[] }[] }[] }} Signaling
 * @typedef {{ ASSETS?: Asset[], "X-SLOTKEEPER-ANSWER"?: { break_id: string } }} AssetList
 * @typedef {{ assetListResponse: AssetList | null, assetList: object[] }} Interstitial
 * @typedef {{ duration: number | null, error?: Error }} PlayedAsset
 * @typedef {{ event: Interstitial, asset: PlayedAsset, assetListIndex: number, player: AssetPlayer | null }} AssetTold
 * @typedef {{ timelineOffset: number, destroyed: boolean }} AssetPlayer
 */

/** An ad that hls.js plays, and where it ends in the video.
 * @typedef {{ observation: Observation, asset: PlayedAsset, endTime: number }} Playing
 */

/** What went wrong with an asset, and whether hls.js has given it up for that: it tells of everything, also of what it tries again.
 * @typedef {{ code: number, isFatal: () => boolean }} Fault
 */

/** How long the content may have nothing to show, once it is back, before hls.js is told again to load. */
const STALL_MS = 3_000;
/** How often it is told. Past that, the content is the app's trouble, and the break is over. */
const TRIES_MAX = 4;

/** VAST 4.3 §2.3.6.3. */
const VAST_GENERAL_LINEAR_ERROR = 400;
const VAST_FILE_NOT_FOUND = 401;
const VAST_MEDIA_TIMEOUT = 402;
const VAST_PROBLEM_DISPLAYING = 405;

/** @type {typeof import("./hlsjs.js").content} */
export const content = (hls) => {
  /** @type {null | { media: HTMLMediaElement, position: number, rate: number, wasPlaying: boolean, mayLoad: boolean }} */
  let away = null;
  return {
    suspend() {
      const { media } = hls;
      if (!media) return;
      away = {
        media,
        position: media.currentTime,
        rate: media.playbackRate,
        wasPlaying: !media.paused && !media.ended,
        mayLoad: hls.loadingEnabled,
      };
      hls.detachMedia();
    },
    async resume() {
      if (!away) return;
      const { media, position, rate, wasPlaying, mayLoad } = away;
      away = null;
      const isAttached = () => hls.media === media;
      if (!hls.url || hls.media !== null) return; // the app destroyed it, or attached it again
      hls.attachMedia(media);
      if (!wasPlaying) media.pause(); // or `autoplay` would play it
      media.playbackRate = rate;
      if (mayLoad) await bringBack(hls, media, hls.latestLevelDetails?.live ? -1 : position);
      if (wasPlaying && isAttached()) media.play().catch(() => {}); // the app sees on the element what it says
    },
  };
};

/** Loads the content into the video until there is something to show, and goes to where it was.
 *
 * @param {HlsPlayer} hls
 * @param {HTMLMediaElement} media
 * @param {number} position In seconds; -1 for where hls.js likes to begin. */
async function bringBack(hls, media, position) {
  const isBack = () => media.readyState >= HTMLMediaElement.HAVE_METADATA;
  for (let tries = 0; tries < TRIES_MAX && hls.media === media && !isBack(); tries += 1) {
    // On a busy machine hls.js may load nothing into a video that it got back; told again, it does.
    hls.startLoad(position);
    await eventWithin(media, "loadedmetadata", STALL_MS);
  }
  if (position > 0 && isBack() && hls.media === media) media.currentTime = position;
}

/** @param {HTMLMediaElement} media @param {string} name @param {number} ms @returns {Promise<void>} */
function eventWithin(media, name, ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      media.removeEventListener(name, done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    media.addEventListener(name, done);
  });
}

/** @type {typeof import("./hlsjs.js").reportInterstitials} */
export const reportInterstitials = (hls, client) => {
  /** The breaks of the lists that were loaded, by id: a list that is loaded again is the same break.
   * @type {Map<string, AdBreak>} */
  const breaks = new Map();
  const vendors = vendorsCalls(client);
  const film = comingBack(hls);
  /** Where all of it plays. While an ad does, hls.js itself is detached. @type {HTMLMediaElement | null} */
  let media = hls.media;
  /** @type {Playing | null} */
  let playing = null;
  /** What hls.js said last that was wrong with an asset. @type {WeakMap<PlayedAsset, Fault>} */
  const faults = new WeakMap();

  /** @param {Interstitial} event */
  const adopt = (event) => {
    const answer = event.assetListResponse?.["X-SLOTKEEPER-ANSWER"];
    if (!answer) return null;
    const known = breaks.get(answer.break_id);
    if (known) return known;
    const adBreak = client.adoptBreak(answer);
    breaks.set(answer.break_id, adBreak);
    for (const asset of event.assetListResponse?.ASSETS ?? []) vendors.learn(asset);
    return adBreak;
  };

  /** Observes the ad that hls.js is about to play. Now, and not when it plays: our listeners have to hear of its end before
   * hls.js takes it away. @param {AssetTold} told */
  const observe = ({ event, asset, assetListIndex, player }) => {
    const adBreak = adopt(event);
    const listed = event.assetListResponse?.ASSETS?.[assetListIndex];
    const slot = adBreak?.slots.find(({ opportunityId }) => opportunityId === listed?.["X-SLOTKEEPER-OPPORTUNITY"]);
    if (!adBreak || !listed || !slot || !media) return null;
    // The ad has a video of its own, from 0, or its place in the content's.
    const startTime = player?.timelineOffset ?? 0;
    const endTime = startTime + (asset.duration ?? listed.DURATION);
    const observation = adBreak.observe(/** @type {HTMLVideoElement} */ (media), slot.slotIndex, { startTime, endTime });
    return { observation, asset, endTime };
  };

  const leave = () => {
    if (!playing) return;
    const { asset, observation } = playing;
    playing = null;
    const fault = faults.get(asset);
    if (fault?.isFatal()) {
      faults.delete(asset);
      observation.error(fault.code);
    }
    observation.stop();
  };

  const listeners = {
    hlsMediaAttaching: (/** @type {{ media: HTMLMediaElement }} */ told) => {
      media = told.media;
    },
    hlsAssetListLoaded: (/** @type {AssetTold} */ { event }) => {
      adopt(event);
    },
    hlsInterstitialAssetStarted: (/** @type {AssetTold} */ told) => {
      leave();
      playing = observe(told);
    },
    hlsInterstitialAssetEnded: leave,
    hlsInterstitialAssetError: (/** @type {AssetTold & { type: string, details: string }} */ told) => {
      const { asset, player } = told;
      if (!asset) return;
      faults.set(asset, { code: vastErrorCode(told), isFatal: () => !!asset.error || !!player?.destroyed });
      // Once it has told, it gives the asset up or not; by then the next one may have begun.
      queueMicrotask(attempt(() => {
        const fault = faults.get(asset);
        if (!fault?.isFatal()) return;
        if (playing?.asset === asset) return leave();
        faults.delete(asset);
        observe(told)?.observation.error(fault.code); // it never began
      }));
    },
    hlsInterstitialEnded: (/** @type {AssetTold} */ { event }) => {
      leave();
      adopt(event)?.discard();
      film.expect();
    },
    hlsInterstitialStarted: () => film.forget(),
    hlsDestroying: () => reports.stop(),
  };
  /** @type {[string, (name: string, told: any) => void][]} */
  const listening = Object.entries(listeners).map(([name, listener]) => [
    name,
    (_name, told) => attempt(() => listener(told))(),
  ]);
  for (const [name, listener] of listening) hls.on(name, listener);

  const reports = {
    skip() {
      if (!playing || !media) return;
      const { observation, endTime } = playing;
      playing = null;
      observation.skip();
      media.currentTime = endTime; // hls.js can skip whole interstitials only, and not where the playlist forbids it
    },
    click: () => playing?.observation.click() ?? null,
    stop() {
      for (const [name, listener] of listening) hls.off(name, listener);
      leave();
      for (const adBreak of breaks.values()) adBreak.discard();
      vendors.stop();
      film.forget();
    },
  };
  return reports;
};

/** Has hls.js load again, where it hands the video back after an ad and then loads nothing into it.
 * @param {HlsPlayer} hls */
function comingBack(hls) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const forget = () => clearTimeout(timer);
  const expect = (tries = 1) => {
    forget();
    timer = setTimeout(() => {
      const { media } = hls;
      if (media && media.readyState >= HTMLMediaElement.HAVE_METADATA) return;
      hls.startLoad(-1);
      if (tries < TRIES_MAX) expect(tries + 1);
    }, STALL_MS);
  };
  return { expect, forget };
}

/** Reporting must not stop the player: what goes wrong is shown where the app's developer looks.
 * @param {() => void} act */
function attempt(act) {
  return () => {
    try {
      act();
    } catch (error) {
      console.error(error);
    }
  };
}

/** @param {{ type: string, details: string }} told hls.js's error */
function vastErrorCode({ type, details }) {
  if (/timeout/i.test(details)) return VAST_MEDIA_TIMEOUT;
  if (type === "networkError") return VAST_FILE_NOT_FOUND;
  if (type === "mediaError") return VAST_PROBLEM_DISPLAYING;
  return VAST_GENERAL_LINEAR_ERROR;
}

/** Calls the URLs of vendors that are booked to be called by the player, when the SDK says that their event happened.
 * @param {import("../types/slotkeeper.js").AdClient} client */
function vendorsCalls(client) {
  /** By event, then by opportunity. @type {Map<AdEventName, Map<string, string[]>>} */
  const urls = new Map();
  /** @param {AdEvent} event */
  const call = ({ type, opportunityId = "" }) => {
    // Their answers are nobody's business, and few let a page read them.
    for (const url of urls.get(type)?.get(opportunityId) ?? []) {
      fetch(url, { mode: "no-cors", credentials: "omit", keepalive: true }).catch(() => {});
    }
  };
  return {
    /** @param {Asset} asset */
    learn(asset) {
      const opportunity = asset["X-SLOTKEEPER-OPPORTUNITY"] ?? "";
      for (const { type, urls: called } of asset["X-AD-CREATIVE-SIGNALING"]?.payload?.[0]?.tracking ?? []) {
        if (!urls.has(type)) {
          urls.set(type, new Map());
          client.on(type, call);
        }
        urls.get(type)?.set(opportunity, called);
      }
    },
    stop() {
      for (const type of urls.keys()) client.off(type, call);
    },
  };
}
