// The content of a video, put away for the ads and brought back after them.

import { failure } from "./failure.js";
import { listen, noop } from "./page.js";

/** How long the content may take to be put away, or to open again. Past it, the break is over all the same. */
const CONTENT_MS_MAX = 10_000;

/** Waits for a promise, for so long. */
function within(promise, late) {
  let timer;
  const tooLate = new Promise((resolve, reject) => {
    timer = setTimeout(() => (late ? reject(late) : resolve()), CONTENT_MS_MAX);
  });
  return Promise.race([promise, tooLate]).finally(() => clearTimeout(timer));
}

/** Has the content's player put it away. */
export async function suspend(content) {
  const suspending = (async () => content.suspend())();
  const late = failure("content_not_suspended", "the content's player did not let go of the video in time");
  try {
    await within(suspending, late);
  } catch (error) {
    // It may let go yet, and nobody else would give the video back.
    if (error === late) suspending.then(() => content.resume()).catch(noop);
    throw error;
  }
}

/** Remembers the content and makes the video ready for ads. */
export function takeStage(video, content) {
  const { srcObject, currentTime, playbackRate, loop } = video;
  const src = video.getAttribute("src");
  const wasPlaying = !video.paused && !video.ended;
  if (!content && srcObject) video.srcObject = null;
  video.loop = false; // A video that loops never ends.
  const abandon = () => {
    video.loop = loop;
  };
  return {
    /** Leaves the video as the app has it now; only what was taken from it for the ads comes back. */
    abandon,
    /** Puts the content back as it was. */
    async restore() {
      abandon();
      if (content) return within((async () => content.resume())()).catch((error) => console.error(error));
      let stop;
      const opened = new Promise((resolve) => {
        stop = listen(video, "loadedmetadata error", ({ target }) => target === video && resolve());
      });
      if (src === null || srcObject) video.removeAttribute("src");
      if (srcObject) video.srcObject = srcObject;
      else if (src === null) video.load();
      else video.src = src;
      video.playbackRate = playbackRate;
      if (currentTime > 0 || wasPlaying) await within(opened);
      stop();
      if (currentTime > 0) video.currentTime = currentTime;
      if (wasPlaying) video.play()?.catch(noop); // which tells the app nothing it does not see on the element
    },
  };
}
