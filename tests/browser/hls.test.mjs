// HLS interstitials in a real browser: a stock player plays what asset lists say, and the books say exactly what was shown.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  EDGE, QUARTILES, api, eventNames, eventually, freshProfile, inState, launch, openPage, rowsOf, screenshot,
} from "./browser.mjs";

/** How far two event times may be from what playing at normal speed makes them, on a busy machine. */
const TIMING_TOLERANCE_MS = 2_500;
const FILM_S = 24;
const PIXEL = `${EDGE}/v1/t/`;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** The page, ready to be played; the asset lists it gets, and the pixels it calls. */
async function openHls(profile) {
  const opened = await openPage(browser, `hls.html?profile=${profile}`);
  const lists = [];
  const pixels = [];
  opened.page.on("response", async (response) => {
    if (response.url().startsWith(`${EDGE}/v1/asset-list?`)) lists.push({ url: response.url(), list: await response.json() });
    if (response.url().startsWith(PIXEL)) pixels.push({ url: response.url(), status: response.status() });
  });
  await opened.page.locator("#play:enabled").waitFor();
  return { ...opened, lists, pixels };
}

/** All rows of a break at the origin, in the order of its slots. */
async function rowsOfBreak(breakId) {
  const { slots } = await api("slots?limit=200");
  return slots.filter((slot) => slot.break_id === breakId).sort((a, b) => a.slot_index - b.slot_index);
}

/** What played, as the page saw it: the film or an ad, by the folder of its playlist, whenever it changed. */
async function watchScreen(page) {
  await page.evaluate(() => {
    window.shown = [];
    const note = () => {
      const ad = document.body.dataset.state === "ad" ? document.querySelector("#breaks li[data-playing]")?.dataset.opportunityId : "film";
      if (ad && window.shown.at(-1) !== ad && document.getElementById("video").currentTime > 0.3) window.shown.push(ad);
    };
    document.getElementById("video").addEventListener("timeupdate", note);
  });
}

const opportunity = (asset) => asset["X-SLOTKEEPER-OPPORTUNITY"];

test("content, a pod, content to the end: what was shown is what is in the books", { timeout: 180_000 }, async () => {
  const { page, complaints, lists, pixels } = await openHls(freshProfile("hls"));
  await watchScreen(page);
  await page.click("#play");
  await page.locator('#events li[data-event="midpoint"]').first().waitFor({ timeout: 60_000 });
  await screenshot(page, "hls-mid-ad");
  await inState(page, "content");
  await inState(page, "ad");
  await inState(page, "done", 120_000);
  await screenshot(page, "hls-done", { fullPage: true });

  // Two breaks were asked for by one playback; each was answered with ads.
  assert.deepEqual(lists.map(({ url }) => new URL(url).searchParams.get("_HLS_interstitial_id")), ["break-1", "break-2"]);
  const playbacks = new Set(lists.map(({ url }) => new URL(url).searchParams.get("_HLS_primary_id")));
  assert.equal(playbacks.size, 1);
  const [preroll, midroll] = lists.map(({ list }) => list.ASSETS.map(opportunity));
  assert.ok(preroll.length > 0 && midroll.length > 0, JSON.stringify(lists));

  // All of them were shown, in their order, with the film between and after them, and it played to its end.
  assert.deepEqual(await page.evaluate(() => window.shown), [...preroll, "film", ...midroll, "film"]);
  const [position, ended] = await page.locator("video").evaluate((video) => [video.currentTime, video.ended]);
  assert.ok(ended && Math.abs(position - FILM_S) < 0.5, `${position} s`);

  // The rows of the breaks: what is filled was listed and played; what is unfilled says why, and nothing was shown.
  const ads = [...preroll, ...midroll];
  const isWhole = (rows) => ads.every((id) => rows.has(id) && rows.get(id).furthest_quartile === "complete");
  await eventually("every row and beacon at the origin", () => rowsOf(ads), isWhole, 45_000);
  for (const [{ list }, expected, position] of [[lists[0], preroll, "preroll"], [lists[1], midroll, "midroll"]]) {
    const rows = await rowsOfBreak(list["X-SLOTKEEPER-BREAK"]);
    assert.deepEqual(rows.filter(({ outcome }) => outcome === "filled").map((row) => row.opportunity_id), expected);
    assert.ok(rows.every((row) => row.position === position && row.title_id === "the-lighthouse"));
    for (const row of rows) (row.outcome === "filled" ? assertPlayed : assertUnplayed)(row);
  }
  const all = (await Promise.all(lists.map(({ list }) => rowsOfBreak(list["X-SLOTKEEPER-BREAK"])))).flat();
  assert.ok(all.length > ads.length, "a slot that nobody fills is a row all the same");

  // The beacons: each quartile of each ad once, and nothing else; the page shows what was sent.
  const listed = lists.flatMap(({ list }) => list.ASSETS).flatMap(trackedQuartiles);
  assert.deepEqual(pixels.map(({ url }) => url), listed);
  assert.ok(pixels.every(({ status }) => status === 200));
  const events = await page.locator('#events li[data-taken="true"]').evaluateAll((rows) =>
    rows.map(({ dataset }) => [dataset.opportunityId, dataset.event]).reverse());
  assert.deepEqual(events, ads.flatMap((id) => QUARTILES.map((event) => [id, event])));

  // Loaded again by the same playback, a list is the same break.
  const again = await (await fetch(lists[0].url)).json();
  assert.deepEqual(again, lists[0].list);
  const now = (await Promise.all(lists.map(({ list }) => rowsOfBreak(list["X-SLOTKEEPER-BREAK"])))).flat();
  assert.equal(now.length, all.length);
  assert.equal((await api("summary")).conservation.holds, true);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

/** What an asset says to call at its quartiles, in their order. */
function trackedQuartiles(asset) {
  const { tracking } = asset["X-AD-CREATIVE-SIGNALING"].payload[0];
  return QUARTILES.flatMap((name) => tracking.filter(({ type }) => type === name)).flatMap(({ urls }) => urls);
}

function assertPlayed(row) {
  assert.deepEqual(eventNames(row), QUARTILES, row.ad.creative.name);
  assert.equal(row.fill_state, "impressed");
  const at = new Map(row.events.map(({ event, at_ms }) => [event, at_ms]));
  const tookMs = at.get("complete") - at.get("start");
  assert.ok(Math.abs(tookMs - row.ad.duration_ms) < TIMING_TOLERANCE_MS, `${tookMs} of ${row.ad.duration_ms} ms`);
}

function assertUnplayed(row) {
  assert.deepEqual(eventNames(row), []);
  assert.ok(row.unfilled_reason, "explained");
}

test("an ad that was left in its middle is not complete", { timeout: 90_000 }, async () => {
  const { page, complaints, lists } = await openHls(freshProfile("hls-leaver"));
  await page.click("#play");
  await page.locator('#events li[data-event="midpoint"]').first().waitFor({ timeout: 60_000 });
  await page.close({ runBeforeUnload: false });

  const [shown, ...rest] = lists[0].list.ASSETS.map(opportunity);
  const played = ["start", "firstQuartile", "midpoint"];
  const isThere = (rows) => played.every((event) => rows.has(shown) && eventNames(rows.get(shown)).includes(event));
  const rows = await eventually("what played", () => rowsOf([shown, ...rest]), isThere);
  assert.deepEqual(eventNames(rows.get(shown)), played);
  for (const id of rest) assert.deepEqual(eventNames(rows.get(id)), [], "what was not reached reports nothing");
  assert.deepEqual(complaints, []);
});
