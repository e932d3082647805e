// The television's skin against the real product: a break is played, and the origin's rows are what was shown, no more and no
// less. Once with its wasm, once with the twin that sets without WebAssembly get.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { EDGE, ORIGIN, QUARTILES, eventNames, eventually, freshProfile, launch, openPage, rowsOf } from "./browser.mjs";

/** What a viewer who stays in front of it does not do: of an ad that is let play, nothing else may be told. */
const SHOWN = [...QUARTILES, "viewable"];

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

for (const [what, hides] of [["its wasm", []], ["its twin", ["WebAssembly"]]]) {
  test(`the tv skin with ${what} plays a break, and the books say what was shown`, { timeout: 120_000 }, async () => {
    const { page, complaints } = await openPage(browser, "index.html");
    const loaded = [];
    page.on("request", (request) => loaded.push(new URL(request.url()).pathname));
    await page.evaluate((names) => names.forEach((name) => delete window[name]), hides);
    await page.addScriptTag({ url: `${ORIGIN}/sdk/tv/slotkeeper-tv.js` });
    const { slots, told } = await page.evaluate(playBreak, { edgeUrl: EDGE, profileId: freshProfile("tv") });

    assert.equal(loaded.includes("/sdk/tv/slotkeeper-tv.asm.js"), hides.length > 0, "the twin is there for those who need it");
    const filled = slots.filter(({ outcome }) => outcome === "filled");
    assert.deepEqual(slots.map(({ fillReason, unfilledReason }) => fillReason ?? unfilledReason), ["guaranteed", "guaranteed"]);
    assert.deepEqual(told, filled.flatMap(({ opportunityId }) => SHOWN.map((event) => `${opportunityId} ${event}`)).sort());

    const ids = filled.map(({ opportunityId }) => opportunityId);
    const isThere = (rows) => ids.every((id) => rows.has(id) && SHOWN.every((event) => eventNames(rows.get(id)).includes(event)));
    const rows = await eventually("every beacon at the origin", () => rowsOf(ids), isThere, 30_000);
    for (const id of ids) {
      assert.deepEqual(eventNames(rows.get(id)).sort(), [...SHOWN].sort());
      assert.equal(rows.get(id).furthest_quartile, "complete");
    }
    assert.deepEqual(complaints, []);
    await page.context().close();
  });
}

/** In the page: asks for a break, plays it, and waits until nothing of it waits. */
async function playBreak(config) {
  const video = document.createElement("video");
  video.style.cssText = "position:fixed;top:0;left:0;width:640px;height:360px";
  document.body.append(video);
  await window.Slotkeeper.init();
  const client = await window.Slotkeeper.AdClient.load(config);
  const told = [];
  const names = [
    "start", "firstQuartile", "midpoint", "thirdQuartile", "complete", "pause", "resume", "mute", "unmute", "skip", "error",
    "notUsed", "clickThrough", "playerExpand", "playerCollapse", "viewable", "notViewable", "viewUndetermined",
  ];
  for (const name of names) client.on(name, (event) => told.push(`${event.opportunityId} ${event.type}`));
  const adBreak = await client.requestBreak({
    titleId: "the-lighthouse", position: "preroll", slots: [{ maxDurationMs: 10_000 }, { maxDurationMs: 10_000 }],
  });
  await adBreak.play(video);
  const deadline = performance.now() + 20_000;
  while (await client.flush() > 0) {
    if (performance.now() > deadline) throw new Error(`beacons wait in vain: ${JSON.stringify(client.beacons)}`);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  return { slots: adBreak.slots, told: told.sort() };
}
