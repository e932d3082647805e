// The SDK's examples, as somebody who tries them finds them: each plays its breaks and goes on with the film.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { serve } from "../../sdk/examples/serve.mjs";
import { ORIGIN, inState, launch } from "./browser.mjs";

let browser;
let examples;
before(async () => {
  browser = await launch();
  examples = await serve(ORIGIN);
});
after(async () => {
  await browser?.close();
  examples?.server.closeAllConnections();
  examples?.server.close();
});

async function open(path) {
  const page = await (await browser.newContext()).newPage();
  // Televisions let an app play by itself; a desktop's browser does if it is silent.
  await page.addInitScript(() => {
    addEventListener("DOMContentLoaded", () => {
      document.querySelector("video").muted = true;
    });
  });
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(`${examples.url}/${path}`);
  return { page, complaints };
}

const shown = (page) => page.locator("#events li").allTextContents();
const isPlaying = (page) =>
  page.waitForFunction(() => {
    const video = document.querySelector("video");
    return !video.paused && video.currentTime > 4 && video.videoWidth > 0;
  });

test("a film in a plain video has its two breaks", { timeout: 120_000 }, async () => {
  const { page, complaints } = await open("web.html");
  await page.click("#watch:enabled");
  for (const state of ["preroll", "film", "midroll", "film-again"]) await inState(page, state);
  await isPlaying(page);
  const events = await shown(page);
  assert.equal(events.filter((text) => text === "breakEnd").length, 2, events.join("\n"));
  assert.ok(events.filter((text) => text.startsWith("complete")).length >= 2, events.join("\n"));
  assert.deepEqual(complaints, []);
  await page.context().close();
});

for (const path of ["hlsjs.html", "shaka.html"]) {
  test(`${path}: the break is played in the player's own video, and the film goes on`, { timeout: 120_000 }, async () => {
    const { page, complaints } = await open(path);
    await page.click("#watch:enabled");
    await inState(page, "midroll");
    await inState(page, "film-again");
    await isPlaying(page);
    const events = await shown(page);
    assert.ok(events.some((text) => text.startsWith("start")) && events.at(-1).startsWith("complete"), events.join("\n"));
    assert.deepEqual(complaints, []);
    await page.context().close();
  });
}

test("the television's app plays, hears its keys, and gives back what it did not play when it is left", { timeout: 120_000 }, async () => {
  const { page, complaints } = await open("tv/index.html");
  await inState(page, "preroll");
  await page.locator("#notice", { hasText: "Ad:" }).waitFor();
  const press = (key) => page.evaluate((keyCode) => {
    document.dispatchEvent(Object.assign(new Event("keydown"), { keyCode }));
  }, key);
  await press(19); // pauses
  await page.waitForFunction(() => document.querySelector("video").paused);
  await press(415); // plays on
  await page.waitForFunction(() => !document.querySelector("video").paused);
  const parted = page.waitForRequest((request) => request.url().endsWith("/v1/beacons") && /notUsed/.test(request.postData() ?? ""));
  await press(461); // leaves
  await parted;
  await inState(page, "gone");
  assert.deepEqual(complaints, []);
  await page.context().close();
});
