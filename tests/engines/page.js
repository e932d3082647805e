// What every scenario's page has: the SDK in one of its skins, a video, and a line to the harness. It runs in engines of
// 2018: no syntax newer than ES2017.

/* global scenario: what this page does */
(function () {
  "use strict";

  const NAMES = [
    "start", "firstQuartile", "midpoint", "thirdQuartile", "complete", "pause", "resume", "mute", "unmute", "skip", "error",
    "notUsed", "clickThrough", "playerExpand", "playerCollapse", "viewable", "notViewable", "viewUndetermined",
    "breakStart", "breakEnd",
  ];
  const WAIT_MS_MAX = 20000;
  const run = window.run;
  const assign = Object.assign; // which may be hidden

  // The true time, whatever becomes of the page's clock: when the page began, and how long that is ago.
  const began = Date.now() - performance.now();
  const now = () => Math.round(began + performance.now());

  // The device's clock may be set while it runs.
  const RealDate = Date;
  let shiftMs = 0;
  window.Date = function (...given) {
    return given.length > 0 ? new RealDate(...given) : new RealDate(RealDate.now() + shiftMs);
  };
  window.Date.prototype = RealDate.prototype;
  assign(window.Date, { now: () => RealDate.now() + shiftMs, UTC: RealDate.UTC, parse: RealDate.parse });

  function post(path, body) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", path);
      request.onload = () => resolve(request.responseText);
      request.onerror = () => reject(new Error(`${path}: no answer`));
      request.send(JSON.stringify(body === undefined ? null : body));
    });
  }

  function loadScript(url) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = url;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${url} does not load`));
      document.head.appendChild(script);
    });
  }

  /** Takes away what an older engine does not have: names such as `fetch` or `Element.prototype.closest`. */
  function hide(names) {
    for (const path of names) {
      const parts = path.split(".");
      const name = parts.pop();
      const holder = parts.reduce((object, part) => object && object[part], window);
      if (holder) delete holder[name];
      if (holder && holder[name] !== undefined) throw new Error(`${path} cannot be hidden`);
    }
    // Before Chromium 50, play() returned nothing.
    const play = HTMLMediaElement.prototype.play;
    if (names.indexOf("fetch") >= 0) HTMLMediaElement.prototype.play = function () { play.call(this).catch(() => {}); };
  }

  async function loadSdk() {
    hide(run.hides);
    if (run.skin === "web") {
      const sdk = await import(run.sdk);
      return { init: sdk.default, AdClient: sdk.AdClient };
    }
    await loadScript(run.sdk);
    return window.Slotkeeper;
  }

  const heard = [];
  const waiting = new Set();
  function wake() {
    waiting.forEach((look) => look());
  }

  /** Resolves once `isSo()`; looks whenever an event was heard, the video changed or a frame's time has passed. */
  function until(what, isSo, withinMs) {
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + (withinMs || WAIT_MS_MAX);
      const look = () => {
        const is = isSo();
        const isLate = performance.now() > deadline;
        if (!is && !isLate) return;
        waiting.delete(look);
        if (is) resolve(is);
        else reject(new Error(`waited in vain until ${what}; heard ${JSON.stringify(heard.map((one) => one.key))}`));
      };
      waiting.add(look);
      look();
    });
  }
  setInterval(wake, 20);

  const video = document.querySelector("video");
  const t = {
    video, heard, until, run,
    edge: (fault) => post("/control/edge", fault),
    media: (state) => post("/control/media", state),
    /** Tells the harness that this point was reached. */
    mark: (name) => post(`/control/mark?${name}`),
    /** For a page that will be left. */
    forever: () => new Promise(() => {}),
    now,
    setClock(ms) { shiftMs = ms; },

    async load(config) {
      const { init, AdClient } = await loadSdk();
      await init();
      t.client = await AdClient.load(assign({ edgeUrl: run.edge, profileId: "p" }, config));
      for (const name of NAMES) t.client.on(name, hear);
      return t.client;
    },
    request(options) {
      return t.client.requestBreak(t.options(options));
    },
    options: (options) =>
      assign({ titleId: "t", position: "midroll", slots: [{ maxDurationMs: 30000 }] }, options),
    /** A break, asked for and playing: `over` resolves when it is over. */
    async begin() {
      if (!t.client) await t.load();
      t.adBreak = await t.request();
      t.over = t.adBreak.play(video);
      t.over.catch(() => {});
      return t.adBreak;
    },
    async playThrough() {
      await t.begin();
      await t.over;
    },
    /** Waits until this was heard of this slot, `0.1` being the second of the first break. */
    heardOf: (name, slot) => until(`${name} of ${slot}`, () => heard.some((one) => one.key === `${slot} ${name}`)),
    /** Waits until the video stands at `seconds` or behind. */
    at: (seconds) => until(`the video is at ${seconds} s`, () => video.currentTime >= seconds),
    /** Once an ad plays and has been reported to start. */
    started: (slot) => t.heardOf("start", slot || "0.0"),
    next: (name) => new Promise((resolve) => { video.addEventListener(name, resolve, { once: true }); }),
    /** Sends until nothing waits. */
    async settle() {
      const deadline = performance.now() + WAIT_MS_MAX;
      while (await t.client.flush() > 0) {
        if (performance.now() > deadline) throw new Error(`beacons wait in vain: ${JSON.stringify(t.client.beacons)}`);
        await new Promise((resolve) => { setTimeout(resolve, 100); });
      }
    },
    /** The page as an app's launcher, a tab bar or a screen saver would hide it. */
    setHidden(isHidden) {
      define(document, "hidden", isHidden);
      define(document, "visibilityState", isHidden ? "hidden" : "visible");
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    },
    setFullscreen(element) {
      for (const name of ["fullscreenElement", "webkitFullscreenElement"]) define(document, name, element);
      for (const name of ["fullscreenchange", "webkitfullscreenchange"]) document.dispatchEvent(new Event(name, { bubbles: true }));
    },
  };

  function define(object, name, value) {
    Object.defineProperty(object, name, { configurable: true, get: () => value });
  }

  function hear(event) {
    const slot = event.slotIndex === undefined || event.slotIndex === null ? "" : `.${event.slotIndex}`;
    const one = { key: `${event.breakId.slice(1)}${slot} ${event.type}`, atMs: now(), code: event.errorCode };
    heard.push(one);
    post("/control/heard", one).catch(() => {});
    wake();
  }

  for (const name of ["timeupdate", "playing", "pause", "ended", "seeked", "error", "waiting"]) video.addEventListener(name, wake);

  scenario(t).then(() => t.client && t.settle()).then(
    () => post("/control/over", { beacons: t.client && t.client.beacons }),
    (error) => post("/control/over", { error: `${error && (error.code || error.name)}: ${error && error.message}` }),
  );
}());
