// The product in a real browser: a viewer watches the demo, and the books say exactly what the viewer saw.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  EDGE, QUARTILES, api, eventsOn, eventually, freshProfile, inState, launch, openPage, openPlayer, playedNames, rowsOf,
  screenshot,
} from "./browser.mjs";

/** What someone who watches "The Lighthouse" for the first time is shown; `worker/demo/contracts.toml` says why. */
const FIRST_TIME = [
  { position: "preroll", reasons: ["guaranteed", "guaranteed"] },
  { position: "midroll", reasons: ["guaranteed", "house_ad", "frequency_capped"] },
];
/** What an impression earns once it has played that far, by the same contracts: CPM ÷ 1000, in whole micros. */
const TERMS = {
  "aurora-coffee-6": { threshold: "complete", micros: 25_000 },
  "northwind-cars-6": { threshold: "midpoint", micros: 32_500 },
  "fjord-travel-6": { threshold: "start", micros: 18_333 },
};
/** How far two event times may be from what playing at normal speed makes them, on a busy machine. */
const TIMING_TOLERANCE_MS = 2_500;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const slotsOf = (breaks) => breaks.flatMap(({ asked, answer }) =>
  answer.slots.map((slot) => ({ ...slot, title_id: asked.title_id, position: asked.position, break_id: answer.break_id })));
const isFilled = (slot) => slot.outcome === "filled";
const idsOf = (slots) => slots.map((slot) => slot.opportunity_id);

/** What must be the same in the edge's answer and in the origin's row. */
function core({ opportunity_id, break_id, slot_index, title_id, position, outcome, fill_reason, unfilled_reason }) {
  return {
    opportunity_id, break_id, slot_index, title_id, position, outcome,
    fill_reason: fill_reason ?? null, unfilled_reason: unfilled_reason ?? null,
  };
}

/** Waits until the origin has all of these events for each of these slots, and returns its rows in the slots' order. */
async function rowsWith(slots, eventsFor) {
  const ids = idsOf(slots);
  const hasAll = (rows) => slots.every((slot) => {
    const row = rows.get(slot.opportunity_id);
    return row && eventsFor(slot).every((event) => playedNames(row).includes(event));
  });
  const rows = await eventually("every row and beacon at the origin", () => rowsOf(ids), hasAll, 45_000);
  return ids.map((id) => rows.get(id));
}

/** A played ad's row: every quartile once, in order, at the times that playing takes, earning what it should. */
function assertPlayed(row) {
  assert.deepEqual(playedNames(row), QUARTILES, row.ad.creative.name);
  assert.equal(row.furthest_quartile, "complete");
  assertEarned(row);
  const at = new Map(row.events.map(({ event, at_ms }) => [event, at_ms]));
  const tookMs = at.get("complete") - at.get("start");
  assert.ok(Math.abs(tookMs - row.ad.duration_ms) < TIMING_TOLERANCE_MS, `${tookMs} of ${row.ad.duration_ms} ms`);
  assert.ok(at.get("start") >= row.decided_at_ms, "nothing plays before it is decided");
}

/** An impression earns all of its price past its threshold and nothing before; our own promotions earn nothing. */
function assertEarned(row) {
  const name = row.ad.creative.slug;
  if (row.fill_reason !== "guaranteed") {
    assert.equal(row.recognized_revenue_micros, 0, name);
    return;
  }
  const { threshold, micros } = TERMS[name];
  const passed = QUARTILES.indexOf(row.furthest_quartile) >= QUARTILES.indexOf(threshold);
  assert.equal(row.threshold_passed, passed, name);
  assert.equal(row.recognized_revenue_micros, passed ? micros : 0, name);
  assert.equal(row.currency, "USD", name);
}

function assertUnplayed(row) {
  assert.deepEqual(playedNames(row), []);
  assert.equal(row.furthest_quartile, null);
  assert.equal(row.recognized_revenue_micros, null);
}

/** The growth of the origin's totals over a test. */
function growth(before, now) {
  const revenue = (summary) => Object.fromEntries(summary.revenue.map((entry) => [entry.currency, entry.recognized_revenue_micros]));
  const [was, is] = [revenue(before), revenue(now)];
  const earned = Object.entries(is).map(([currency, micros]) => [currency, micros - (was[currency] ?? 0)]);
  return {
    opportunities: now.opportunities - before.opportunities,
    filled: now.filled.total - before.filled.total,
    unfilled: now.unfilled.total - before.unfilled.total,
    impressions: now.impressions.total - before.impressions.total,
    earned: Object.fromEntries(earned.filter(([, micros]) => micros !== 0)),
  };
}

function earnedBy(rows) {
  const earned = {};
  for (const { currency, recognized_revenue_micros: micros } of rows) {
    if (micros) earned[currency] = (earned[currency] ?? 0) + micros;
  }
  return earned;
}

/** A viewer's mid-ad closing of the tab, for the last test to look at again. */
let parted;

test("a film watched to the end: every slot and every quartile is in the books, once", { timeout: 180_000 }, async () => {
  const summaryBefore = await api("summary");
  const { page, complaints, breaks } = await openPlayer(browser, freshProfile("watcher"));
  const live = await openPage(browser, "slots.html", { colorScheme: "light" });
  await live.page.locator('#live[data-live="open"]').waitFor();

  await page.click("#play");
  await page.locator('#events li[data-event="midpoint"]').first().waitFor({ timeout: 30_000 });
  await screenshot(page, "player-mid-ad");
  await inState(page, "done", 120_000);
  await screenshot(page, "player-done", { fullPage: true });

  // What the edge answered.
  const decided = breaks.map(({ asked, answer }) =>
    ({ position: asked.position, reasons: answer.slots.map((slot) => slot.fill_reason ?? slot.unfilled_reason) }));
  assert.deepEqual(decided, FIRST_TIME);
  const slots = slotsOf(breaks);
  const filled = slots.filter(isFilled);

  // What the SDK said on the page.
  const expected = breaks.flatMap(({ answer }) => [
    { event: "breakStart" },
    ...answer.slots.filter(isFilled).flatMap(({ opportunity_id }) =>
      QUARTILES.map((event) => ({ event, opportunityId: opportunity_id }))),
    { event: "breakEnd" },
  ]);
  assert.deepEqual(await eventsOn(page), expected.map((entry) => ({ opportunityId: undefined, ...entry })));
  assert.deepEqual(
    await page.locator("video").evaluate((video) => [new URL(video.currentSrc).pathname, video.ended]),
    ["/media/the-lighthouse.webm", true],
    "the film is back, and at its end",
  );

  // What the origin has.
  const rows = await rowsWith(slots, (slot) => (isFilled(slot) ? QUARTILES : []));
  assert.deepEqual(rows.map(core), slots.map(core));
  rows.forEach((row) => (isFilled(row) ? assertPlayed(row) : assertUnplayed(row)));
  const summary = await api("summary");
  assert.equal(summary.conservation.holds, true);
  assert.deepEqual(growth(summaryBefore, summary), {
    opportunities: slots.length,
    filled: filled.length,
    unfilled: slots.length - filled.length,
    impressions: filled.length,
    earned: earnedBy(rows),
  });

  // What the live page shows, without being asked again.
  for (const row of rows) {
    const shown = live.page.locator(`tr[data-opportunity-id="${row.opportunity_id}"][data-outcome="${row.outcome}"]`);
    await shown.and(live.page.locator(`[data-reason="${row.fill_reason ?? row.unfilled_reason}"]`)).waitFor({ timeout: 5_000 });
    if (isFilled(row)) await shown.and(live.page.locator('[data-furthest-quartile="complete"]')).waitFor({ timeout: 5_000 });
  }
  await live.page.locator('tr[data-outcome="unfilled"] .open').first().click();
  await live.page.locator("tr.detail", { hasText: "Flights looked at" }).waitFor();
  await live.page.locator('#totals[data-conservation="holds"]').waitFor();
  await screenshot(live.page, "slots-light", { fullPage: true });
  await live.page.emulateMedia({ colorScheme: "dark" });
  await screenshot(live.page, "slots-dark", { fullPage: true });
  await live.page.setViewportSize({ width: 390, height: 844 });
  await screenshot(live.page, "slots-phone", { fullPage: true });
  for (const phone of [live.page, page]) {
    await phone.setViewportSize({ width: 390, height: 844 });
    assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= 390), "nothing is wider than a phone");
  }
  await screenshot(page, "player-phone", { fullPage: true });

  assert.deepEqual([...complaints, ...live.complaints], []);
  await Promise.all([page.context().close(), live.page.context().close()]);
});

test("a tab closed in the middle of an ad: what played until then arrived, and the rest is given back", { timeout: 90_000 }, async () => {
  const profile = freshProfile("leaver");
  const { page, complaints, breaks } = await openPlayer(browser, profile);
  await page.click("#play");
  await page.locator('#events li[data-event="midpoint"]').first().waitFor({ timeout: 30_000 });
  await page.close({ runBeforeUnload: false });

  const slots = slotsOf(breaks);
  const first = slots.find(isFilled);
  const played = ["start", "firstQuartile", "midpoint"];
  const rows = await rowsWith(slots, (slot) => (slot === first ? played : isFilled(slot) ? ["notUsed"] : []));
  parted = { slots, first, played };
  assertParted(rows);
  assert.deepEqual(complaints, []);

  // Its caps are free again: the ad that did not play may come at once, the one that did may not.
  const [shown, unused] = slots.filter(isFilled).map((slot) => slot.ad.ad_id);
  const again = await fetch(`${EDGE}/v1/breaks`, {
    method: "POST",
    body: JSON.stringify({ ...breaks[0].asked, request_id: freshProfile("again") }),
  });
  const ads = (await again.json()).slots.map((slot) => slot.ad?.ad_id);
  assert.ok(ads.includes(unused) && !ads.includes(shown), `${ads} after ${shown} was shown and ${unused} was not`);
});

function assertParted(rows) {
  for (const row of rows) {
    if (row.opportunity_id === parted.first.opportunity_id) {
      assert.deepEqual(playedNames(row), parted.played);
      assert.equal(row.furthest_quartile, "midpoint");
      assertEarned(row);
    } else if (row.outcome === "filled") {
      assert.deepEqual(playedNames(row), ["notUsed"]);
      assert.equal(row.fill_state, "released");
      assert.equal(row.furthest_quartile, null);
      assert.ok(!row.recognized_revenue_micros);
    } else {
      assertUnplayed(row);
    }
  }
}

test("an edge that takes no beacons for a while: everything arrives after", { timeout: 120_000 }, async () => {
  const provoked = /Failed to load resource.*\/v1\/beacons/;
  const { page, complaints, breaks } = await openPlayer(browser, freshProfile("patient"), { expected: provoked });
  await page.route(`${EDGE}/v1/beacons`, (route) => route.abort("connectionrefused"));
  await page.click("#play");
  await inState(page, "content");

  const slots = slotsOf(breaks);
  const filled = slots.filter(isFilled);
  assert.ok(filled.length > 0);
  const waiting = filled.length * [...QUARTILES, "viewable"].length;
  await page.locator("#beacons", { hasText: new RegExp(`^${waiting} beacons waiting`) }).waitFor({ timeout: 5_000 });
  const during = await rowsWith(slots, () => []);
  during.forEach(assertUnplayed);

  await page.unroute(`${EDGE}/v1/beacons`);
  await page.locator("#beacons", { hasText: /^0 beacons waiting$/ }).waitFor({ timeout: 45_000 });
  const rows = await rowsWith(slots, (slot) => (isFilled(slot) ? QUARTILES : []));
  rows.forEach((row) => (isFilled(row) ? assertPlayed(row) : assertUnplayed(row)));
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("the closed tab's slots are still as they were when it closed", async () => {
  assert.ok(parted, "the tab was closed");
  assertParted(await rowsWith(parted.slots, () => []));
});
