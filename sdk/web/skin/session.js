// What a client and its breaks share: the rules, the ads that more may become of, and whom to tell.

import { read } from "./answer.js";
import { openDelivery } from "./delivery.js";
import { badArgument, destroyed } from "./failure.js";
import { freshId, listen, now } from "./page.js";
import { DROPPED } from "./watch.js";

/** By their codes. */
const EVENTS = [
  "", "start", "firstQuartile", "midpoint", "thirdQuartile", "complete", "pause", "resume", "mute", "unmute", "skip", "error", "notUsed",
  "clickThrough", "playerExpand", "playerCollapse", "viewable", "notViewable", "viewUndetermined",
];
const START = 1;
const ERROR = 11;
export const BREAK_START = "breakStart";
export const BREAK_END = "breakEnd";
export const isEvent = (name) => EVENTS.indexOf(name) > 0 || name === BREAK_START || name === BREAK_END;

// What is due, beside events; less than 0, nothing more can happen to the ad.
const RECORD = 1;

export function openSession(rules, { edgeUrl, profileId, sessionId: named, storage } = {}) {
  if (typeof edgeUrl !== "string") throw badArgument("edgeUrl", "must be the URL of the edge");
  const sessionId = named ?? freshId(); // null is what storage says of a name that it does not have
  // A session the app named may have had a page before this one; its numbers go on from the time, not from 0.
  if (!rules.start(`${sessionId}`, named != null ? Date.now() / 1_000 : 0, now())) {
    throw badArgument("sessionId", "must be 1 to 64 letters, digits, hyphens or underscores");
  }
  const url = `${edgeUrl.replace(/\/+$/, "")}/v1/`;
  const delivery = openDelivery(rules, url, storage !== false);
  const touch = () => rules.touch(now());
  let handlers = [];

  const session = {
    rules,
    url,
    profileId,
    sessionId,
    delivery,
    touch,
    isDestroyed: false,
    /** Of which more may become. */
    ads: [],
    /** Gives back what was asked for ahead of time. */
    giveBackAhead() {},

    on(name, handler) {
      handlers = [...handlers, [name, handler]];
    },
    off(name, handler) {
      handlers = handlers.filter(([on, held]) => on !== name || held !== handler);
    },
    /** Tells the app's handlers. One that throws is the app's fault and nobody else's trouble. */
    tell(type, { requestId, breakId }, more) {
      for (const [name, handler] of handlers) {
        if (name === type) {
          try {
            handler({ type, requestId, breakId, ...more });
          } catch (error) {
            console.error(error);
          }
        }
      }
    },
    /** Does what is due of an ad: keeps what must not be lost, then tells the app. */
    follow(ad, due, errorCode) {
      if (!due) return; // nearly always
      if (due & RECORD) delivery.save();
      if ((due >> START) & 1) ad.hasBegun = true;
      if (due < 0 && !ad.isClosed) {
        ad.isClosed = true;
        rules.release(ad.place);
        session.ads.splice(session.ads.indexOf(ad), 1);
      }
      const { slotIndex, opportunityId, ad: told } = ad.slot;
      for (const code of EVENTS.keys()) {
        if (code && (due >> code) & 1) {
          session.tell(EVENTS[code], ad.opened, { slotIndex, opportunityId, ad: told, ...(code === ERROR && { errorCode }) });
        }
      }
      delivery.schedule();
    },
    /** The ad comes to its end without having played to it. */
    end(ad, how, errorCode = 0) {
      if (!ad.isClosed) session.follow(ad, rules.end(ad.place, how, errorCode, now()), errorCode);
    },
    /** The ads of a break that nobody plays are reported not used. */
    discard(opened) {
      for (const ad of opened.ads) {
        if (!ad.isTaken) {
          ad.isTaken = true;
          session.end(ad, DROPPED);
        }
      }
    },
    /** The viewer followed the link of an ad; returns it. */
    click(ad) {
      if (!ad) return null;
      if (!ad.isClosed) session.follow(ad, rules.click(ad.place, now()));
      return ad.link;
    },
    /** Takes a break that was decided. */
    open(answer, askedAt) {
      const opened = read(answer, askedAt, url);
      if (answer.receipt) delivery.takeReceipt(answer.receipt);
      opened.ads = opened.ads.filter((ad) => {
        ad.opened = opened;
        ad.place = rules.add(`${ad.token}`, ad.slot.ad.durationMs);
        if (ad.place < 0) console.warn("Slotkeeper: an ad is not played, since it could not be reported");
        return ad.place >= 0;
      });
      session.ads.push(...opened.ads);
      if (session.isDestroyed) {
        session.discard(opened);
        delivery.part();
        throw destroyed();
      }
      return opened;
    },
    destroy() {
      if (session.isDestroyed) return;
      session.isDestroyed = true;
      session.giveBackAhead();
      const ads = [...session.ads];
      for (const ad of ads) {
        ad.isTaken = true;
        session.end(ad, DROPPED);
      }
      handlers = [];
      for (const ad of ads) ad.finish?.(DROPPED);
      delivery.stop(() => stops.splice(0).forEach((stop) => stop()));
    },
  };

  /** The page goes. What has not begun will not be played here: it is given back at once, rather than block the viewer's caps until its
   * lease is over. Should the page come back (browsers may keep it), its breaks go on without these ads. */
  function leave() {
    session.giveBackAhead();
    for (const ad of [...session.ads]) {
      if (!ad.hasBegun) {
        ad.isTaken = true;
        session.end(ad, DROPPED);
        ad.finish?.(DROPPED);
      }
    }
    delivery.part();
  }

  const stops = [
    listen(document, "visibilitychange freeze", ({ type }) => {
      if (document.hidden || type === "freeze") delivery.part();
      else delivery.comeBack();
    }),
    listen(window, "pagehide", leave),
    listen(window, "pageshow online", delivery.comeBack),
    listen(window, "pointerdown keydown touchstart", touch),
  ];
  delivery.schedule();
  return session;
}
