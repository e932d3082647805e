// Slotkeeper for browsers. The API is sdk/types/slotkeeper.d.ts; the rules behind it are wasm (../src/rules.rs).

import load, { Rules } from "./slotkeeper.js";
import { AdBreak, Observation } from "./ad_break.js";
import { bothClocks, leftMs } from "./answer.js";
import { badArgument, destroyed, failure } from "./failure.js";
import { freshId, noop, post } from "./page.js";
import { isEvent, openSession } from "./session.js";

export { AdBreak, Observation };

/** How often one break is asked for, and how long each answer may take: a viewer waits. */
const TRIES_MAX = 4;
const TRY_MS_MAX = 4_000;
const RETRY_MS_FIRST = 250;
const RETRY_MS_MAX = 2_000;

let ready;

export default function init(source) {
  ready = ready || load(source && { module_or_path: source }).then(noop, (error) => {
    ready = undefined; // next time, maybe
    throw error;
  });
  return ready;
}

export class AdClient {
  constructor(session) {
    this.session = session;
    session.giveBackAhead = () => {
      const { ahead } = this;
      this.ahead = undefined;
      if (ahead) {
        clearTimeout(ahead.timer);
        ahead.opening.then((opened) => session.discard(opened), noop);
        if (ahead.opened) session.discard(ahead.opened); // at once: the page may be going
      }
    };
  }

  static async load(config) {
    await init();
    return new AdClient(openSession(new Rules(), config));
  }

  async requestBreak(options) {
    const { session, ahead } = this;
    if (ahead?.key === JSON.stringify(options) && (!ahead.opened || ahead.opened.ads.every((ad) => leftMs(ad) > 0))) {
      this.ahead = undefined;
      clearTimeout(ahead.timer);
      const opened = await ahead.opening.catch(noop);
      if (opened?.ads.every((ad) => leftMs(ad) > 0)) return new AdBreak(session, opened);
      if (opened) session.discard(opened); // it took its time
    }
    return new AdBreak(session, await this.ask(options));
  }

  async prefetchBreak(options) {
    const { session } = this;
    session.giveBackAhead();
    const ahead = { key: JSON.stringify(options), opening: this.ask(options) };
    this.ahead = ahead;
    try {
      ahead.opened = await ahead.opening;
    } catch (error) {
      if (this.ahead === ahead) this.ahead = undefined;
      throw error;
    }
    if (this.ahead === ahead && ahead.opened.ads.length) {
      ahead.timer = setTimeout(session.giveBackAhead, Math.min(...ahead.opened.ads.map(leftMs)));
    }
  }

  adoptBreak(answer) {
    const { session } = this;
    if (session.isDestroyed) throw destroyed();
    return new AdBreak(session, session.open(answer, bothClocks()));
  }

  on(name, handler) {
    if (!isEvent(name)) throw badArgument("name", `${name} is not an event; see AdEventName`);
    this.session.on(name, handler);
  }

  off(name, handler) {
    this.session.off(name, handler);
  }

  flush() {
    return this.session.delivery.flush();
  }

  interacted() {
    this.session.touch();
  }

  get sessionId() {
    return this.session.sessionId;
  }

  get beacons() {
    const { rules, delivery } = this.session;
    return { waiting: delivery.waiting(), overflowed: rules.lost(0), refused: rules.refused(0) };
  }

  destroy() {
    this.session.destroy();
  }

  /** Posts the request until there is an answer, a bounded number of times. The edge judges the values; what is missing is left out and
   * named by it. */
  async ask(options) {
    const { session } = this;
    if (session.isDestroyed) throw destroyed();
    const { requestId = freshId(), profileId = session.profileId, slots, tier, country, device, position } = options;
    if (!profileId) throw badArgument("profileId", "give it here or to AdClient.load");
    const askedAt = bothClocks();
    const body = JSON.stringify({
      request_id: requestId, profile_id: profileId, session_id: session.sessionId, title_id: options.titleId, position,
      slots: slots?.map(({ maxDurationMs }) => ({ max_duration_ms: maxDurationMs })),
      max_duration_ms: options.maxDurationMs, tier, country, device,
    });
    for (let tries = 1; ; tries += 1) {
      if (session.isDestroyed) throw destroyed();
      const { status, answer } = await post(`${session.url}breaks`, body, TRY_MS_MAX);
      if (status >= 200 && status < 300) return session.open(answer, askedAt);
      const { code = "edge_error", message = `the edge answered ${status}`, field } = answer.error || {};
      const error = status ?
        failure(code, message, field, status) :
        failure("edge_unreachable", `no answer from ${session.url}breaks`);
      if (tries >= TRIES_MAX || (status && status < 500 && status !== 408 && status !== 429)) throw error;
      // Half of the wait by chance, so that clients which failed together do not come back together.
      const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_FIRST * 2 ** (tries - 1)) * (1 + Math.random()) / 2;
      await new Promise((resolve) => { setTimeout(resolve, waitMs); });
    }
  }
}
