// One library in a page of its own, which tracks ads in a video that only says it plays: its position and the page's clock
// go on as they are told, so that an ad takes as long as what listens to it takes.
//
// What is put in place of the browser's own also does what it stands in for, so that nobody is spared a call.

const AD_S = 30;
/** As often as Chromium tells, and batches leave after each quarter. */
const TICK_S = 0.25;
const TICKS_PER_QUARTER = 30;
const PAGE_BYTES = 65_536;

const library = new URLSearchParams(location.search).get("library");
const trueNow = performance.now.bind(performance);
/** Where the clock and the video are. An array, since a number of its own would be an allocation each time that it changes. */
const at = new Float64Array([trueNow(), 0]);
const [CLOCK_MS, POSITION_S] = [0, 1];
let hasEnded = false;

performance.now = () => {
  trueNow();
  return at[CLOCK_MS];
};
const began = Date.now() - at[CLOCK_MS];
const trueDate = Date.now;
Date.now = () => {
  trueDate();
  return began + at[CLOCK_MS];
};

const video = document.querySelector("video");
/** The rest (its speed, its sound, that it does not seek) it says by itself. */
const SAYS = {
  currentTime: () => at[POSITION_S], duration: () => AD_S, paused: () => false, ended: () => hasEnded, readyState: () => 4,
};
for (const [name, value] of Object.entries(SAYS)) {
  const { get } = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, name);
  Object.defineProperty(video, name, {
    get() {
      get.call(this);
      return value();
    },
    set() {},
  });
}

/** How much memory the library's wasm, or its twin without one, has. */
let memoryBytes = () => 0;
function watchMemory() {
  for (const name of ["instantiate", "instantiateStreaming"]) {
    const real = WebAssembly[name];
    WebAssembly[name] = async (...given) => {
      const made = await real.apply(WebAssembly, given);
      const { memory } = (made.instance ?? made).exports;
      memoryBytes = () => memory.buffer.byteLength;
      return made;
    };
  }
}
function watchBuffers() {
  const Real = ArrayBuffer;
  window.ArrayBuffer = class extends Real {
    constructor(bytes) {
      super(bytes);
      if (bytes >= PAGE_BYTES) memoryBytes = () => bytes;
    }
  };
}

const listen = (listeners) => {
  const all = Object.entries(listeners);
  all.forEach(([name, listener]) => video.addEventListener(name, listener));
  return () => all.forEach(([name, listener]) => video.removeEventListener(name, listener));
};
const turn = () => new Promise((resolve) => { setTimeout(resolve); });

async function ours({ init, AdClient }) {
  await init();
  const client = await AdClient.load({ edgeUrl: location.origin, profileId: "p" });
  const options = { titleId: "t", position: "midroll", slots: [{ maxDurationMs: AD_S * 1000 }] };
  return {
    async begin() {
      const adBreak = await client.requestBreak(options);
      const observation = adBreak.observe(video, 0);
      return () => {
        observation?.stop();
        adBreak.discard();
      };
    },
    flush: () => client.flush(),
  };
}

const LIBRARIES = {
  /** What there is before anybody does anything. */
  async empty() {
    return { begin: async () => listen({ timeupdate() {} }), flush: turn };
  },
  async web() {
    watchMemory();
    const { default: init, AdClient } = await import("/web/slotkeeper.js");
    return ours({ init, AdClient });
  },
  async tv() {
    watchMemory();
    return television();
  },
  async "tv-twin"() {
    delete window.WebAssembly;
    watchBuffers();
    return television();
  },
  /** As its documentation says. */
  async "vast-client"() {
    const { VASTClient, VASTTracker } = await import("/vast-client.js");
    const client = new VASTClient();
    return {
      async begin() {
        const { ads: [ad] } = await client.get(`${location.origin}/vast`);
        const tracker = new VASTTracker(client, ad, ad.creatives.find(({ type }) => type === "linear"));
        return listen({
          playing: () => tracker.trackImpression(),
          timeupdate: () => tracker.setProgress(video.currentTime),
          ended: () => tracker.complete(),
        });
      },
      flush: turn,
    };
  },
};

async function television() {
  await new Promise((resolve, reject) => {
    const script = Object.assign(document.createElement("script"), { src: "/tv/slotkeeper-tv.js" });
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });
  return ours(window.Slotkeeper);
}

const tick = new Event("timeupdate");
/** How long so many looks take, in milliseconds. */
function ticks(count, seconds) {
  const start = trueNow();
  for (let left = count; left > 0; left -= 1) {
    at[POSITION_S] += seconds;
    at[CLOCK_MS] += seconds * 1000;
    video.dispatchEvent(tick);
  }
  return trueNow() - start;
}

let loaded;
let stop = () => {};

async function begin() {
  at[POSITION_S] = 0;
  hasEnded = false;
  stop = await loaded.begin();
  video.dispatchEvent(new Event("playing"));
}

async function end() {
  hasEnded = true;
  video.dispatchEvent(new Event("ended"));
  stop();
  await loaded.flush();
}

window.measured = {
  /** The library, and its first ad about to play. */
  async load() {
    loaded = await LIBRARIES[library]();
    await begin();
  },
  /** So many ads from beginning to end, the first of them begun already. */
  async play(ads) {
    for (let left = ads; left > 0; left -= 1) {
      for (let quarter = 0; quarter < 4; quarter += 1) {
        ticks(TICKS_PER_QUARTER, TICK_S);
        await loaded.flush();
      }
      await end();
      await begin();
    }
  },
  /** Into the ad that has begun, to where nothing falls due for a while. */
  async intoQuarter() {
    ticks(TICKS_PER_QUARTER + 10, TICK_S);
    await loaded.flush();
  },
  /** So many looks, in so many parts, at which nothing falls due; how long each part took, in milliseconds. */
  idle: (parts, count, seconds) => Array.from({ length: parts }, () => ticks(count, seconds)),
  memoryBytes: () => memoryBytes(),
};
