// Measures each library in Chromium, in turn, over and over; prints one JSON object: the browser's version, and what the
// libraries took. A figure is the median of all rounds, less what a page with an empty listener took in the same round.
//
// `node run.mjs SDK_FOLDER VAST_CLIENT_SCRIPT`; CHROMIUM names the browser.

import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";

import { chromium } from "playwright-core";

import { Edge } from "./edge.mjs";

const EMPTY = "empty";
const LIBRARIES = ["web", "tv", "tv-twin", "vast-client"];
const ROUNDS = 3;
/** 120 looks each, after the first. */
const ADS = 20;
/** So many looks at 4 seconds of an ad, and in how many parts: of their times the median is told, so that what else the
 * machine does falls on few. */
const IDLE_TICKS = 20_000;
const IDLE_PARTS = 200;
const IDLE_TICK_S = 0.0002;
const HEAP_TICKS = 2_000;
const REPORTED_MS_MAX = 30_000;
const POLL_MS = 20;

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--no-first-run",
];
/** No garbage is collected unless asked: the young generation holds all that is measured. */
const UNCOLLECTED = "--min-semi-space-size=128 --max-semi-space-size=128";
/** Nothing is compiled beyond bytecode, as on a set where an ad is over before its listener was hot. */
const INTERPRETED = `${UNCOLLECTED} --no-opt --no-maglev --no-sparkplug`;

const [sdk, vastClient] = process.argv.slice(2);
const edge = new Edge({
  files: { "/page.js": new URL("page.js", import.meta.url), "/vast-client.js": pathToFileURL(vastClient) },
  folders: { web: pathToFileURL(`${sdk}/web/`), tv: pathToFileURL(`${sdk}/tv/`) },
});

function launch(v8Flags) {
  const args = v8Flags ? [...FLAGS, `--js-flags=${v8Flags}`] : FLAGS;
  return chromium.launch({ executablePath: process.env.CHROMIUM, args });
}

/** A page with one library. */
class Page {
  static async open(browser, library) {
    edge.reset();
    const page = new Page();
    page.library = library;
    page.context = await browser.newContext();
    page.page = await page.context.newPage();
    page.devtools = await page.context.newCDPSession(page.page);
    await page.page.goto(`${edge.url}/?library=${library}`);
    await page.page.waitForFunction(() => window.measured);
    // Of the main thread, and only while it runs: so it matters little what else the machine does.
    await page.devtools.send("Performance.enable", { timeDomain: "threadTicks" });
    await page.devtools.send("HeapProfiler.enable");
    return page;
  }

  do(what, ...given) {
    return this.page.evaluate(([what, given]) => window.measured[what](...given), [what, given]);
  }

  async metric(name) {
    const { metrics } = await this.devtools.send("Performance.getMetrics");
    return metrics.find((metric) => metric.name === name).value;
  }

  /** What is alive, in bytes. */
  async heap() {
    await this.devtools.send("HeapProfiler.collectGarbage");
    return this.metric("JSHeapUsedSize");
  }

  /** How long the main thread worked while `work` was done, in milliseconds. */
  async cpuMs(work) {
    const before = await this.metric("TaskDuration");
    await work();
    return (await this.metric("TaskDuration") - before) * 1000;
  }

  /** Plays so many ads, until `all` have been reported from beginning to end. */
  async play(ads, all) {
    await this.do("play", ads);
    const deadline = Date.now() + REPORTED_MS_MAX;
    while (this.library !== EMPTY && edge.wholeAds < all) {
      if (Date.now() > deadline) throw new Error(`${this.library} reported ${edge.wholeAds} of ${all} ads`);
      await delay(POLL_MS);
    }
  }
}

async function time(browser, library) {
  const page = await Page.open(browser, library);
  const blank = await page.heap();
  await page.do("load");
  const heap = await page.heap() - blank;
  const first = await page.cpuMs(() => page.play(1, 1));
  const others = await page.cpuMs(() => page.play(ADS, 1 + ADS));
  await page.do("intoQuarter");
  let parts;
  const idle = await page.cpuMs(async () => {
    parts = await page.do("idle", IDLE_PARTS, IDLE_TICKS / IDLE_PARTS, IDLE_TICK_S);
  });
  const memory = await page.do("memoryBytes");
  await page.context.close();
  return {
    "us-per-tick": median(parts) * 1000 * IDLE_PARTS / IDLE_TICKS,
    "cpu-us-per-tick": idle * 1000 / IDLE_TICKS,
    "cpu-ms-per-ad": others / ADS,
    "cpu-ms-first-ad": first,
    "heap-bytes-after-load": heap,
    "memory-bytes": memory,
  };
}

async function allocate(browser, library, name) {
  const page = await Page.open(browser, library);
  await page.do("load");
  await page.play(ADS, ADS); // until everything is compiled that ever will be
  await page.do("intoQuarter");
  await page.do("idle", 1, HEAP_TICKS, IDLE_TICK_S);
  const before = await page.heap();
  await page.do("idle", 1, HEAP_TICKS, IDLE_TICK_S);
  const grown = await page.metric("JSHeapUsedSize") - before;
  await page.context.close();
  return { [name]: grown / HEAP_TICKS };
}

/** What `measure` says of each library, less what it says of the empty page; medians of so many rounds. */
async function rounds(count, measure) {
  const all = Object.fromEntries(LIBRARIES.map((library) => [library, []]));
  for (let round = 0; round < count; round += 1) {
    const empty = await measure(EMPTY);
    for (const library of LIBRARIES) {
      const measured = Object.entries(await measure(library));
      all[library].push(Object.fromEntries(measured.map(([name, value]) => [name, value - empty[name]])));
    }
  }
  const medians = (rounds) => Object.fromEntries(Object.keys(rounds[0]).map((name) => [name, median(rounds.map((round) => round[name]))]));
  return Object.fromEntries(LIBRARIES.map((library) => [library, medians(all[library])]));
}

function median(values) {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Starts a browser for what is done with it. */
async function within(v8Flags, then) {
  const browser = await launch(v8Flags);
  try {
    return [browser.version(), await then(browser)];
  } finally {
    await browser.close();
  }
}

await edge.start();
try {
  // Bytes do not depend on what else the machine does.
  const allocated = (name) => (browser) => rounds(1, (library) => allocate(browser, library, name));
  const [version, times] = await within("", (browser) => rounds(ROUNDS, (library) => time(browser, library)));
  const [, compiled] = await within(UNCOLLECTED, allocated("heap-bytes-per-tick"));
  const [, interpreted] = await within(INTERPRETED, allocated("heap-bytes-per-tick-interpreted"));
  const libraries = LIBRARIES.map((library) => [library, { ...times[library], ...compiled[library], ...interpreted[library] }]);
  console.log(JSON.stringify({ version, rounds: ROUNDS, libraries: Object.fromEntries(libraries) }));
} finally {
  edge.stop();
}
