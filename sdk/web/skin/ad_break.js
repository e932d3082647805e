// `AdBreak` and `Observation`: the slots of one break, played or observed.

import { leftMs } from "./answer.js";
import { badArgument, destroyed, failure } from "./failure.js";
import { BREAK_END, BREAK_START } from "./session.js";
import { suspend, takeStage } from "./stage.js";
import { BLOCKED, DROPPED, FAILED, REPLACED, SKIPPED, watch } from "./watch.js";

/** VAST 4.3 §2.3.6.3. */
const GENERAL_LINEAR_ERROR = 400;
const MEDIA_NOT_SUPPORTED = 403;

/** Nobody holds its `AdBreak` any more, so nobody can play it. */
const forgotten = window.FinalizationRegistry && new FinalizationRegistry(({ session, opened }) => session.discard(opened));

export class AdBreak {
  constructor(session, opened) {
    this.inner = { session, opened };
    forgotten?.register(this, this.inner);
  }

  get requestId() {
    return this.inner.opened.requestId;
  }

  get breakId() {
    return this.inner.opened.breakId;
  }

  get planVersion() {
    return this.inner.opened.planVersion;
  }

  get decidedAtMs() {
    return this.inner.opened.decidedAtMs;
  }

  get slots() {
    return this.inner.opened.slots;
  }

  async play(video, { content } = {}) {
    const { session, opened } = this.inner;
    if (session.isDestroyed) throw destroyed();
    if (this.isPlaying) throw failure("break_playing", "this break is playing already");
    this.isPlaying = true; // and held, while it does
    session.tell(BREAK_START, opened);
    let stage;
    let problem;
    try {
      for (const ad of opened.ads) {
        const [url] = ad.files.find(([, type]) => !type || video.canPlayType(type)) || [];
        if (session.isDestroyed) break;
        if (ad.isTaken) continue;
        if (leftMs(ad) > 0 && url && !stage) {
          if (content) await suspend(content);
          stage = takeStage(video, content);
          if (ad.isTaken) continue; // meanwhile
        }
        ad.isTaken = true;
        if (leftMs(ad) <= 0) session.end(ad, DROPPED);
        else if (!url) session.end(ad, FAILED, MEDIA_NOT_SUPPORTED);
        else if (await this.playAd(ad, video, url) === REPLACED) {
          session.discard(opened);
          stage.abandon();
          stage = undefined;
          break;
        }
      }
    } catch (error) {
      problem = error;
    }
    await stage?.restore();
    this.isPlaying = false;
    session.tell(BREAK_END, opened);
    session.delivery.flush();
    if (problem) throw problem;
  }

  /** Plays a file. Resolves when its turn is over, to how; rejects if the browser wants a click first. */
  playAd(ad, video, url) {
    const { session } = this.inner;
    return new Promise((resolve, reject) => {
      video.src = url;
      watch(session.rules, ad, video, { src: video.src }, session.follow, (how, code) => {
        this.current = undefined;
        if (how === BLOCKED) {
          ad.isTaken = false;
          return reject(failure(
            "play_not_allowed", "the browser does not let this page play without a click; call play() again from one"));
        }
        // Nothing can follow; what was not complete stays so, and what never began was not used.
        session.end(ad, how === REPLACED ? DROPPED : how, code);
        return resolve(how);
      });
      this.current = ad;
      // What else can go wrong, the video's `error` event tells.
      video.play()?.catch(({ name }) => name === "NotAllowedError" && ad.finish?.(BLOCKED));
    });
  }

  observe(video, slotIndex, span) {
    const { session, opened } = this.inner;
    if (session.isDestroyed) throw destroyed();
    const ad = opened.ads.find(({ slot }) => slot.slotIndex === slotIndex);
    if (!ad) throw badArgument("slotIndex", `slot ${slotIndex} holds no ad`);
    if (ad.isTaken) throw failure("slot_taken", `slot ${slotIndex} is played or observed already`);
    ad.isTaken = true;
    return new Observation(this, ad, video, span);
  }

  skip() {
    this.current?.finish?.(SKIPPED);
  }

  click() {
    return this.inner.session.click(this.current);
  }

  error(code = GENERAL_LINEAR_ERROR) {
    this.current?.finish?.(FAILED, code);
  }

  discard() {
    const { session, opened } = this.inner;
    session.discard(opened);
  }
}

export class Observation {
  /** Holds the break, so that it is not given back while it is looked at. */
  constructor(adBreak, ad, video, span) {
    const { session } = adBreak.inner;
    Object.assign(this, { adBreak, ad });
    watch(session.rules, ad, video, { span }, session.follow, (how, code) => {
      if (how !== DROPPED || ad.hasBegun) session.end(ad, how, code);
      else ad.isTaken = Boolean(ad.isClosed);
    });
  }

  skip() {
    this.ad.finish?.(SKIPPED);
  }

  click() {
    return this.adBreak.inner.session.click(this.ad);
  }

  error(code = GENERAL_LINEAR_ERROR) {
    this.ad.finish?.(FAILED, code);
  }

  stop() {
    this.ad.finish?.(DROPPED);
  }
}
