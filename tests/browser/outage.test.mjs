// The real edge without its store and without its origin: what only the player has then, arrives later. Alone on its stack,
// since it takes everything away. Environment beside browser.mjs's: ORIGIN_PID and EDGE_PID, the latter a spin-host.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { EDGE, QUARTILES, eventNames, eventually, freshProfile, launch, openPage, rowsOf } from "./browser.mjs";

const [ORIGIN_PID, EDGE_PID] = ["ORIGIN_PID", "EDGE_PID"].map((name) => Number(process.env[name]));

let browser;
before(async () => {
  assert.ok(ORIGIN_PID > 1 && EDGE_PID > 1, "say with ORIGIN_PID and EDGE_PID what to take away");
  browser = await launch();
});
after(() => browser?.close());

/** Returns once both are gone: a signal is heard when the other process gets to it. */
const takeAway = async () => {
  process.kill(ORIGIN_PID, "SIGSTOP");
  process.kill(EDGE_PID, "SIGUSR1"); // every call to its store fails
  await eventually("an edge alone", async () => (await someBreak()).receipt, (receipt) => receipt !== undefined);
};
const someBreak = async () => {
  const slots = [{ max_duration_ms: 10_000 }];
  const [request_id, profile_id] = [freshProfile("request"), freshProfile("passer-by")];
  const body = JSON.stringify({ request_id, profile_id, title_id: "the-lighthouse", position: "midroll", slots });
  return (await fetch(`${EDGE}/v1/breaks`, { method: "POST", body })).json();
};
const giveBack = () => {
  process.kill(EDGE_PID, "SIGHUP");
  process.kill(ORIGIN_PID, "SIGCONT");
};

test("a break that only the player knows of is in the books once the origin is back", { timeout: 120_000 }, async () => {
  const { page } = await openPage(browser, "player.html", { expected: /Failed to load resource/ });
  const answers = [];
  const posted = [];
  page.on("response", async (response) => {
    if (response.url() === `${EDGE}/v1/receipts`) posted.push(response.status());
    if (response.url() === `${EDGE}/v1/breaks` && response.ok()) answers.push(await response.json());
  });
  await page.locator("#play:enabled").waitFor();
  await page.evaluate(async ([edgeUrl, profileId]) => {
    const { default: init, AdClient } = await import("/sdk/slotkeeper.js");
    await init();
    window.client = await AdClient.load({ edgeUrl, profileId });
  }, [EDGE, freshProfile("castaway")]);

  try {
    await takeAway();
    await page.evaluate(async () => {
      const slots = Array(3).fill({ maxDurationMs: 10_000 });
      window.adBreak = await window.client.requestBreak({ titleId: "the-lighthouse", position: "midroll", slots });
    });
    assert.ok(await page.evaluate(() => window.client.flush()) > 0, "the receipt waits");
  } finally {
    giveBack();
  }
  const { receipt, slots } = answers.at(-1);
  assert.match(receipt, /^[\w-]+$/);
  const reasons = slots.map((slot) => slot.fill_reason ?? slot.unfilled_reason);
  assert.deepEqual(reasons, ["guaranteed", "cap_check_unavailable", "cap_check_unavailable"], "Fjord has no cap");

  await page.evaluate(() => window.adBreak.play(document.querySelector("video")));
  const ids = slots.map((slot) => slot.opportunity_id);
  const quartiles = (row) => eventNames(row).filter((name) => QUARTILES.includes(name)); // `viewable` comes when it comes
  const isComplete = (rows) => rows.size === ids.length && quartiles(rows.get(ids[0])).length === QUARTILES.length;
  const rows = await eventually("every row and beacon at the origin", () => rowsOf(ids), isComplete, 60_000);
  assert.deepEqual(ids.map((id) => rows.get(id).recording), Array(3).fill("uncommitted"));
  assert.deepEqual(ids.map((id) => rows.get(id).fill_reason ?? rows.get(id).unfilled_reason), reasons);
  assert.deepEqual(quartiles(rows.get(ids[0])), QUARTILES);
  assert.equal(rows.get(ids[0]).recognized_revenue_micros, 18_333);
  await eventually("nothing waits", () => page.evaluate(() => window.client.beacons.waiting), (count) => count === 0, 45_000);
  assert.equal(posted.at(-1), 202);
  assert.ok(posted.length > 1, "it was refused while the origin was away");
  await page.context().close();
});
