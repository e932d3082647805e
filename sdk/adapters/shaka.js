// The SDK beside Shaka Player: `content` plays the SDK's ads in the video of a Shaka player; `observeStitched` has the SDK report the
// ads that lie in its stream.

/** @typedef {import("../types/slotkeeper.js").Observation} Observation */

/** How long the content may take to open again. Past it, the break is over all the same. */
const OPEN_MS_MAX = 10_000;
/** Shaka's codes of what the app does by itself. */
const LOAD_INTERRUPTED = 7000;
const OBJECT_DESTROYED = 7003;

/** What was put away.
 * @typedef {object} Away
 * @property {HTMLMediaElement} media
 * @property {number} position In seconds.
 * @property {number} rate
 * @property {boolean} wasPlaying
 * @property {boolean} isLive
 * @property {unknown} asset What Shaka loads again: its preload or, of a file, its URL. Null if nothing was loaded.
 * @property {string | null} mimeType
 */

/** @type {typeof import("./shaka.js").content} */
export const content = (player) => {
  /** @type {Away | null} */
  let away = null;
  return {
    async suspend() {
      const media = player.getMediaElement();
      if (!media) return;
      const [url, mimeType] = [player.getAssetUri(), player.getMimeType()];
      const before = {
        media,
        position: media.currentTime,
        rate: media.playbackRate,
        wasPlaying: !media.paused && !media.ended,
        isLive: player.isLive(),
        mimeType,
      };
      // It keeps the manifest; of a file, which has none, there is only the URL.
      const preload = url === null ? await player.detach() : await player.detachAndSavePreload();
      away = { ...before, asset: preload ?? url };
    },
    async resume() {
      if (!away) return;
      const { media, position, rate, wasPlaying, isLive, asset, mimeType } = away;
      away = null;
      if (player.getMediaElement()) return; // the app attached it again
      try {
        await player.attach(media);
        if (asset) await player.load(asset, isLive ? null : position, mimeType);
        // Shaka goes to the position once the video knows how long it is, and does not wait for that.
        if (asset && media.readyState < HTMLMediaElement.HAVE_METADATA) await eventWithin(media, "loadedmetadata", OPEN_MS_MAX);
      } catch (error) {
        const { code } = /** @type {{ code?: number }} */ (error);
        if (code === LOAD_INTERRUPTED || code === OBJECT_DESTROYED) return; // the app wants something else
        throw error;
      }
      if (player.getMediaElement() !== media) return;
      if (!wasPlaying) media.pause(); // or `autoplay` would play it
      if (!isLive && media.currentTime !== position) media.currentTime = position;
      media.playbackRate = rate;
      if (wasPlaying) media.play().catch(() => {}); // the app sees on the element what it says
      if (!wasPlaying || rate === 1) return;
      // While it buffers, Shaka stops the video by its speed; then it may put the one before in place of this one.
      await eventWithin(media, "timeupdate", OPEN_MS_MAX);
      if (player.getMediaElement() === media) media.playbackRate = rate;
    },
  };
};

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

/** @type {typeof import("./shaka.js").observeStitched} */
export const observeStitched = (player, adBreak, ads) => {
  const media = /** @type {HTMLVideoElement | null} */ (player.getMediaElement());
  if (!media) throw new Error("attach the player to a video before its ads are observed");
  const observed = ads.map(({ slotIndex, startTime = 0, endTime }) => {
    const slot = adBreak.slots[slotIndex];
    const seconds = slot?.outcome === "filled" ? slot.ad.durationMs / 1000 : 0;
    const span = { startTime, endTime: endTime ?? startTime + seconds };
    return { ...span, observation: adBreak.observe(media, slotIndex, span) };
  });
  adBreak.discard(); // what is not in the stream will not be seen
  const atPlayhead = () => observed.find(({ startTime, endTime }) => media.currentTime >= startTime && media.currentTime < endTime);
  return {
    skip() {
      const ad = atPlayhead();
      if (!ad) return;
      ad.observation.skip();
      media.currentTime = ad.endTime;
    },
    click: () => atPlayhead()?.observation.click() ?? null,
    stop() {
      for (const { observation } of observed) observation.stop();
      adBreak.discard();
    },
  };
};
