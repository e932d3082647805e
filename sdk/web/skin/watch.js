// Looks at an ad in a video, and lets the rules know what it does.

import { listen, now } from "./page.js";

const VIDEO_EVENTS = "playing timeupdate pause seeking seeked ratechange volumechange waiting stalled ended loadedmetadata error" +
  " enterpictureinpicture leavepictureinpicture emptied"; // the last so that a source that was taken away is noticed at once
const PAGE_EVENTS = "visibilitychange fullscreenchange webkitfullscreenchange";

/** How often a video is looked at that says nothing: a stall is silent. */
const LOOK_MS = 1_000;
/** How much of its area counts as in view: MRC's and VAST's half of its pixels. */
const AREA_MIN = 0.5;

/** How the watching of an ad ends. The first three are the rules' `end`. */
export const [DROPPED, SKIPPED, FAILED, BLOCKED, REPLACED] = [0, 1, 2, 3, 4];
/** VAST 4.3 §2.3.6.3. */
const MEDIA_TIMEOUT = 402;
const MEDIA_ERRORS = { 3: 405, 4: 401 };

const STALLED = 1 << 30;

/** Looks at `ad` until `finish` is called, by whoever ends it, with how; then calls `then` with that. `src`: its file, if it is ours and
 * all of what the video plays. `follow` does what is due. */
export function watch(rules, ad, video, { span, src }, follow, then) {
  const { place } = ad;
  const startMs = (span?.startTime || 0) * 1_000;
  const lengthMs = span?.endTime >= 0 ? span.endTime * 1_000 - startMs : ad.slot.ad.durationMs;
  let inView = window.IntersectionObserver ? undefined : isInWindow(video);
  let observer;

  const isThere = () => !src || (video.src === src && !video.srcObject);
  const extent = () => rules.extent(place, Boolean(span), span ? lengthMs : video.duration * 1_000);

  /** What there is to see: the bits of the rules' `Seen`. */
  function seen() {
    const { hidden } = document;
    const screen = document.fullscreenElement || document.webkitFullscreenElement;
    if (!observer) inView = isInWindow(video);
    const view = video === document.pictureInPictureElement || (inView && !hidden) ? 32 : !hidden && inView === undefined ? 64 : 0;
    const isFull = screen?.contains(video) || video.webkitDisplayingFullscreen;
    return [video.paused, video.seeking, video.ended, video.muted || video.volume <= 0, isFull]
      .reduce((bits, is, nth) => bits | (is ? 1 << nth : 0), view | (hidden ? 128 : 0));
  }

  function look({ type, target } = {}) {
    const positionMs = video.currentTime * 1_000 - startMs;
    if (!isThere()) return ad.finish?.(REPLACED);
    // Somebody else's file is gone, and what comes is another.
    if (type === "emptied" && !src && ad.hasBegun) return ad.finish?.(DROPPED);
    if (type === "loadedmetadata") extent();
    // Subtitles and sources inside of the video fail, too, and it plays all the same.
    if (type === "error" && target === video && (!span || (positionMs >= 0 && positionMs < lengthMs))) {
      return ad.finish?.(FAILED, MEDIA_ERRORS[video.error?.code] || 400);
    }
    // By the time that we hear of a jump, the video may have arrived.
    const due = rules.look(place, now(), positionMs, video.playbackRate, seen() | (type === "seeking" ? 2 : 0));
    follow(ad, due);
    if (ad.isClosed || (src && video.ended)) return ad.finish?.(DROPPED);
    if (src && due & STALLED) return ad.finish?.(FAILED, MEDIA_TIMEOUT);
    return undefined;
  }

  const stops = [listen(video, VIDEO_EVENTS, look), listen(document, PAGE_EVENTS, look)];
  const timer = setInterval(look, LOOK_MS);
  if (window.IntersectionObserver) {
    observer = new IntersectionObserver((entries) => {
      const { intersectionRatio, boundingClientRect: { width, height } } = entries[entries.length - 1];
      inView = width * height > 0 && intersectionRatio >= AREA_MIN; // what has no area is in view as a whole, says the standard
      look();
    }, { threshold: AREA_MIN });
    observer.observe(video);
  }
  ad.finish = (how, code) => {
    ad.finish = undefined;
    clearInterval(timer);
    observer?.disconnect();
    for (const stop of stops) stop();
    then(isThere() ? how : REPLACED, code);
  };
  if (src) rules.begin(place, now(), seen() & ~7); // it is about to play from its beginning, whatever the video did before
  else extent();
}

/** Whether half of it is inside the window; nobody knows, if a frame hides what of it the page shows. */
function isInWindow(video) {
  if (window.parent !== window) return undefined;
  const { left, right, top, bottom, width, height } = video.getBoundingClientRect();
  const inside = (begin, end, room) => Math.max(Math.min(end, room) - Math.max(begin, 0), 0);
  return width * height > 0 && inside(left, right, innerWidth) * inside(top, bottom, innerHeight) >= AREA_MIN * width * height;
}
