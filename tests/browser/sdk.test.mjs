// The SDK in a real browser against an edge whose answers the test writes: what the demo never provokes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { EDGE, ORIGIN, QUARTILES, eventually, inState, launch, openPage } from "./browser.mjs";

const AD_MS = 6_000;
const PROVOKED = /Failed to load resource/;
const NAMES = [...QUARTILES, "pause", "resume", "mute", "unmute", "skip", "error", "notUsed", "breakStart", "breakEnd"];

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A slot as the edge answers it. The token says which slot it is. */
function filled(index, { url = `${ORIGIN}/media/aurora-coffee-6.webm`, lifeMs = 60_000 } = {}) {
  return {
    slot_index: index, opportunity_id: `opportunity-${index}`, outcome: "filled", fill_reason: "guaranteed",
    token: `token-${index}`, expires_at_ms: 1_000_000 + lifeMs,
    ad: {
      ad_id: index, creative_id: index, universal_ad_id: "unknown", name: `Ad ${index}`, duration_ms: AD_MS,
      media: [{ url, mime_type: "video/webm", width: 640, height: 360 }],
    },
  };
}

const unfilled = (index) => ({
  slot_index: index, opportunity_id: `opportunity-${index}`, outcome: "unfilled", unfilled_reason: "pacing_throttled",
});

const headers = { "access-control-allow-origin": "*", "content-type": "application/json" };

/** A page with the SDK, a film, a client and a break of these slots; and what the edge was sent. */
async function open(slots, { answerBreak, answerBeacons, answerReceipts, receipt } = {}) {
  const { page, complaints } = await openPage(browser, "player.html", { expected: PROVOKED });
  const asked = [];
  const batches = [];
  const receipts = [];
  await page.route(`${EDGE}/v1/breaks`, (route) => {
    const request = route.request().postDataJSON();
    asked.push(request);
    const answer = { request_id: request.request_id, break_id: "b", plan_version: 1, decided_at_ms: 1_000_000, slots, receipt };
    return answerBreak?.(route, asked.length) ?? route.fulfill({ status: 200, headers, json: answer });
  });
  await page.route(`${EDGE}/v1/beacons`, (route) => {
    const [head, ...lines] = route.request().postData().trimEnd().split("\n");
    const [version, session_id, sequence, lost, held] = head.split(" ");
    assert.equal(version, "sk1");
    const beacons = lines.map((line) => line.split(" ")).map(([token, event, age, detail]) => ({ token, event, age: Number(age), detail: Number(detail) }));
    batches.push({ session_id, sequence: Number(sequence), lost: Number(lost), held: Number(held ?? 0), beacons });
    const json = { session_id, sequence: Number(sequence), accepted: beacons.length, refused: [] };
    return answerBeacons?.(route, batches.length, json) ?? route.fulfill({ status: 202, headers, json });
  });
  await page.route(`${EDGE}/v1/receipts`, (route) => {
    receipts.push({ text: route.request().postData(), type: route.request().headers()["content-type"] });
    return answerReceipts?.(route, receipts.length) ?? route.fulfill({ status: 202, headers, json: { accepted: 1 } });
  });
  await page.locator("#play:enabled").waitFor();
  await page.evaluate(async ([edgeUrl, names]) => {
    const { default: init, AdClient } = await import("/sdk/slotkeeper.js");
    await init();
    window.client = await AdClient.load({ edgeUrl, profileId: "p" });
    window.told = [];
    for (const name of names) window.client.on(name, ({ type, slotIndex }) => window.told.push([type, slotIndex ?? null]));
    window.options = { titleId: "t", position: "midroll", slots: [{ maxDurationMs: 10_000 }] };
    window.video = document.querySelector("video");
    window.video.muted = false;
    window.video.src = "media/the-lighthouse.webm";
  }, [EDGE, NAMES]);
  const told = () => page.evaluate(() => window.told);
  const sent = () => batches.flatMap(({ beacons }) => beacons.map(({ token, event }) => `${token} ${event}`));
  return { page, complaints, asked, batches, receipts, told, sent };
}

const request = (page) => page.evaluate(async () => {
  try {
    window.adBreak = await window.client.requestBreak(window.options);
    return { slots: window.adBreak.slots };
  } catch ({ name, code, field, status, message }) {
    return { name, code, field, status, message };
  }
});

/** Gives the break back, then flushes so many times; how many beacons and receipts wait after each. */
function discardAndFlush(page, times) {
  return page.evaluate(async (times) => {
    window.adBreak.discard();
    const after = [];
    for (let left = times; left > 0; left -= 1) after.push(await window.client.flush());
    return after;
  }, times);
}

const failed = (route, status, error) => route.fulfill({ status, headers, json: { error } });

test("a break is asked for again under one request id, until the edge answers", async () => {
  const { page, asked } = await open([filled(0), unfilled(1)], {
    answerBreak: (route, nth) =>
      [null, route.abort.bind(route, "connectionrefused"), () => failed(route, 503, { code: "x", field: null, message: "y" })][nth]?.(),
  });
  const { slots } = await request(page);
  assert.equal(asked.length, 3);
  assert.equal(new Set(asked.map(({ request_id }) => request_id)).size, 1);
  const sessionId = await page.evaluate(() => window.client.sessionId);
  assert.deepEqual(asked.map(({ session_id }) => session_id), Array(3).fill(sessionId), "what caps per session count within");
  assert.match(asked[0].request_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(slots.map(({ outcome, fillReason, unfilledReason, ad }) => [outcome, fillReason ?? unfilledReason, ad?.name]), [
    ["filled", "guaranteed", "Ad 0"],
    ["unfilled", "pacing_throttled", undefined],
  ]);
  await page.context().close();
});

test("what the edge refuses is not asked again, and says which field was wrong", async () => {
  const error = { code: "invalid_request", field: "slots[0].max_duration_ms", message: "10; it must be from 1000" };
  const { page, asked } = await open([], { answerBreak: (route) => failed(route, 400, error) });
  assert.deepEqual(await request(page), { name: "SlotkeeperError", ...error, status: 400 });
  assert.equal(asked.length, 1);
  await page.context().close();
});

test("ads that fail or have expired are passed over, and the content comes back as it was", { timeout: 60_000 }, async () => {
  const broken = filled(0, { url: `${ORIGIN}/media/no-such-file.webm` });
  const { page, complaints, told, sent } = await open([broken, filled(1, { lifeMs: 0 }), unfilled(2), filled(3)]);
  await request(page);
  const after = await page.evaluate(async () => {
    const { video } = window;
    video.currentTime = 5;
    video.loop = true;
    await video.play();
    await window.adBreak.play(video);
    await new Promise((resolve) => video.addEventListener("playing", resolve, { once: true }));
    return { path: new URL(video.currentSrc).pathname, at: video.currentTime, paused: video.paused, loop: video.loop };
  });
  assert.deepEqual({ ...after, at: Math.floor(after.at) }, { path: "/media/the-lighthouse.webm", at: 5, paused: false, loop: true });
  const expected = [["error", 0], ["notUsed", 1], ...QUARTILES.map((name) => [name, 3])];
  assert.deepEqual(await told(), [["breakStart", null], ...expected, ["breakEnd", null]]);
  const beacons = expected.map(([name, index]) => `token-${index} ${name}`);
  const isOfPlaying = (beacon) => !/View|view/.test(beacon);
  await eventually("all beacons", sent, (list) => list.filter(isOfPlaying).length >= beacons.length);
  assert.deepEqual(sent().filter(isOfPlaying), beacons);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("pauses, sound and a skip are told; what was not seen is not", { timeout: 60_000 }, async () => {
  const { page, told } = await open([filled(0), filled(1)]);
  await request(page);
  await page.evaluate(() => {
    window.over = window.adBreak.play(window.video);
  });
  const has = (name, index) => eventually(name, told, (list) => list.some(([type, slot]) => type === name && slot === index));
  await has("start", 0);
  for (const [act, name] of [
    [() => window.video.pause(), "pause"],
    [() => window.video.play(), "resume"],
    [() => { window.video.muted = true; }, "mute"],
    [() => { window.video.muted = false; }, "unmute"],
    [() => window.adBreak.skip(), "skip"],
  ]) {
    await page.evaluate(act);
    await has(name, 0);
  }
  await has("start", 1);
  await page.evaluate(() => { window.video.currentTime = 5.5; });
  await page.evaluate(() => window.over);
  const expected = [["start", 0], ["pause", 0], ["resume", 0], ["mute", 0], ["unmute", 0], ["skip", 0], ["start", 1]];
  assert.deepEqual(await told(), [["breakStart", null], ...expected, ["breakEnd", null]], "the second was jumped through");
  await page.context().close();
});

test("an ad inside a stream is reported from what played of it, not from where the viewer jumped", { timeout: 60_000 }, async () => {
  const { page, told } = await open([filled(0)]);
  await request(page);
  await page.evaluate(async () => {
    const { video } = window;
    window.adBreak.observe(video, 0, { startTime: 2, endTime: 6 });
    video.currentTime = 1.5;
    await video.play();
    const reach = (time) => new Promise((resolve) => {
      video.addEventListener("timeupdate", function look() {
        if (video.currentTime >= time) resolve(video.removeEventListener("timeupdate", look));
      });
    });
    await reach(2.4);
    video.currentTime = 5.7; // over everything, and out of the ad
    await reach(6.5);
    window.jumped = [...window.told];
    video.currentTime = 1.9; // back, and through all of it
    await reach(6.5);
  });
  assert.deepEqual(await page.evaluate(() => window.jumped), [["start", 0]]);
  assert.deepEqual(await told(), QUARTILES.map((name) => [name, 0]));
  await page.context().close();
});

test("a batch is kept, with its number, until the edge says that the origin has it", { timeout: 60_000 }, async () => {
  const { page, batches } = await open([filled(0)], {
    answerBeacons: (route, nth) => [
      null,
      () => failed(route, 503, { code: "origin_unreachable", field: null, message: "" }),
      () => route.fulfill({ status: 200, headers, body: "<html>a captive portal</html>" }),
      () => route.fulfill({ status: 202, headers, json: { session_id: "s", sequence: 99, accepted: 1, refused: [] } }),
    ][nth]?.(),
  });
  await request(page);
  const waiting = await discardAndFlush(page, 4);
  assert.deepEqual(waiting, [1, 1, 1, 0]);
  const [{ sequence }] = batches;
  assert.deepEqual(batches.map((batch) => [batch.sequence, batch.beacons.length]), Array(4).fill([sequence, 1]));
  const ages = batches.map(({ beacons: [{ age }] }) => age);
  assert.deepEqual(ages, ages.toSorted((a, b) => a - b), "the age is that of each sending");
  await page.context().close();
});

test("a receipt is kept until the edge says that the origin has its rows, and keeps no beacon waiting", { timeout: 60_000 }, async () => {
  const receipt = "AbC-_".repeat(500);
  const { page, receipts, batches } = await open([filled(0)], {
    receipt,
    answerReceipts: (route, nth) => [
      null,
      () => failed(route, 503, { code: "receipt_not_recorded", field: null, message: "" }),
      () => route.fulfill({ status: 200, headers, body: "<html>a captive portal</html>" }),
      () => route.abort("connectionrefused"),
    ][nth]?.(),
  });
  await request(page);
  const waiting = await discardAndFlush(page, 4);
  assert.deepEqual(waiting, [1, 1, 1, 0]);
  assert.equal(batches.length, 1, "the beacon was taken at once");
  assert.deepEqual(receipts.map(({ text }) => text), Array(4).fill(receipt));
  assert.ok(receipts.every(({ type }) => type.startsWith("text/plain")), "which a browser sends without asking first");
  assert.deepEqual(await page.evaluate(() => window.client.beacons), { waiting: 0, overflowed: 0, refused: 0 });
  await page.context().close();
});

test("what the edge will never take is not sent again: a receipt that is too old, a beacon of a released ad", { timeout: 60_000 }, async () => {
  const { page, receipts, batches } = await open([filled(0)], {
    receipt: "old",
    answerReceipts: (route) => failed(route, 410, { code: "receipt_expired", field: "body", message: "" }),
    answerBeacons: (route, _nth, answer) => route.fulfill({
      status: 202, headers, json: { ...answer, accepted: 0, refused: [{ line: 2, code: "token_released" }] },
    }),
  });
  await request(page);
  const [waiting, counts] = await page.evaluate(async () => {
    window.adBreak.discard();
    return [await window.client.flush(), window.client.beacons];
  });
  assert.equal(waiting, 0);
  assert.deepEqual(counts, { waiting: 0, overflowed: 0, refused: 2 });
  assert.deepEqual([receipts.length, batches.length], [1, 1]);
  await page.context().close();
});

test("a page that goes gives back the ads that have not begun, and hands its receipt to the browser", { timeout: 60_000 }, async () => {
  const { page, told, sent, receipts } = await open([filled(0), filled(1), filled(2)], {
    receipt: "rows",
    answerReceipts: (route) => failed(route, 503, { code: "receipt_not_recorded", field: null, message: "" }),
  });
  await request(page);
  await page.evaluate(() => {
    window.adBreak.observe(document.createElement("video"), 2);
    window.over = window.adBreak.play(window.video);
  });
  await eventually("start", told, (list) => list.some(([type]) => type === "start"));
  await eventually("a receipt that was not taken", () => receipts.length, (count) => count > 0);
  const before = receipts.length;
  await page.evaluate(() => window.dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true })));
  const unused = (await told()).filter(([type]) => type === "notUsed");
  assert.deepEqual(unused, [["notUsed", 1], ["notUsed", 2]], "the one in play goes on");
  await eventually("what the browser was handed", sent, (list) => list.includes("token-2 notUsed"));
  await eventually("the receipt, again", () => receipts.length, (count) => count > before);
  // The page came back after all: the ad in play ends, and the content returns.
  await page.evaluate(() => window.over);
  assert.deepEqual((await told()).at(-2), ["complete", 0]);
  assert.ok(!sent().includes("token-0 notUsed"));
  await page.context().close();
});

test("an ad that is loading when the page goes is given back and does not play on", { timeout: 60_000 }, async () => {
  const { page, told } = await open([filled(0, { url: `${ORIGIN}/media/never-comes.webm` })]);
  await page.route("**/never-comes.webm", () => {}); // no answer, ever
  await request(page);
  await page.evaluate(() => {
    window.over = window.adBreak.play(window.video);
  });
  await eventually("the break begins", told, (list) => list.length > 0);
  await page.evaluate(() => {
    window.dispatchEvent(new PageTransitionEvent("pagehide"));
    return window.over;
  });
  assert.deepEqual(await told(), [["breakStart", null], ["notUsed", 0], ["breakEnd", null]]);
  assert.equal(await page.evaluate(() => new URL(window.video.currentSrc).pathname), "/media/the-lighthouse.webm");
  await page.context().close();
});

test("the ads of a break that nobody holds any more are given back", { timeout: 60_000 }, async () => {
  const { page, sent } = await open([filled(0)]);
  await request(page);
  await page.evaluate(() => { window.adBreak = undefined; });
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("HeapProfiler.collectGarbage");
  await eventually("notUsed", sent, (list) => list.includes("token-0 notUsed"));
  await page.context().close();
});

test("destroying the client ends the ad, brings the content back and reports the rest not used", { timeout: 60_000 }, async () => {
  const { page, told, sent } = await open([filled(0), filled(1)]);
  await request(page);
  await page.evaluate(() => {
    window.over = window.adBreak.play(window.video);
  });
  await eventually("start", told, (list) => list.some(([type]) => type === "start"));
  const error = await page.evaluate(async () => {
    window.client.destroy();
    await window.over;
    return window.client.requestBreak(window.options).catch(({ code }) => code);
  });
  assert.equal(error, "client_destroyed");
  assert.equal(await page.evaluate(() => new URL(window.video.currentSrc).pathname), "/media/the-lighthouse.webm");
  await eventually("the last beacons", sent, (list) => list.includes("token-1 notUsed"));
  assert.deepEqual([...new Set(sent())], ["token-0 start", "token-0 notViewable", "token-1 notUsed"]);
  await page.context().close();
});

test("beacons are carried on after the client was destroyed, until the origin has them", { timeout: 60_000 }, async () => {
  const { page, batches } = await open([filled(0), filled(1)], {
    answerBeacons: (route, nth) =>
      nth <= 4 ? failed(route, 503, { code: "origin_unreachable", field: null, message: "" }) : undefined,
  });
  await request(page);
  const flushed = await page.evaluate(async () => {
    window.client.destroy();
    return window.client.flush();
  });
  assert.equal(flushed, 2, "it says what the failed sending left");
  const waiting = () => page.evaluate(() => window.client.beacons.waiting);
  await eventually("nothing waits", waiting, (count) => count === 0, 30_000);
  assert.ok(batches.length > 4);
  assert.equal(new Set(batches.map(({ sequence }) => sequence)).size, 1);
  assert.equal(await page.evaluate(() => window.client.flush()), 0);
  assert.deepEqual(await page.evaluate(() => window.client.beacons), { waiting: 0, overflowed: 0, refused: 0 });
  await page.context().close();
});

test("an ad that is loading, or watched for, when the client is destroyed was not used", { timeout: 60_000 }, async () => {
  const never = filled(0, { url: `${ORIGIN}/media/never-comes.webm` });
  const { page, told, sent } = await open([never, filled(1)]);
  await page.route("**/never-comes.webm", () => {}); // no answer, ever
  await request(page);
  await page.evaluate(async () => {
    const observed = window.adBreak.observe(document.createElement("video"), 1);
    window.over = window.adBreak.play(window.video);
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    window.client.destroy();
    window.toldAtOnce = [...window.told];
    observed.stop();
    await window.over;
  });
  const expected = [["breakStart", null], ["notUsed", 0], ["notUsed", 1]];
  assert.deepEqual(await page.evaluate(() => window.toldAtOnce), expected);
  assert.deepEqual(await told(), expected, "after which the handlers are gone");
  await eventually("the last beacons", sent, (list) => list.length >= 2);
  assert.deepEqual([...new Set(sent())].sort(), ["token-0 notUsed", "token-1 notUsed"]);
  await page.context().close();
});

test("an observed ad that was skipped before it began cannot be played any more; one let go can", { timeout: 60_000 }, async () => {
  const { page, told } = await open([filled(0), filled(1)]);
  await request(page);
  const again = await page.evaluate(() => {
    const observe = (index) => window.adBreak.observe(document.createElement("video"), index);
    observe(0).skip();
    observe(1).stop();
    return [0, 1].map((index) => {
      try {
        return observe(index) && "observed";
      } catch ({ code }) {
        return code;
      }
    });
  });
  assert.deepEqual(again, ["slot_taken", "observed"]);
  assert.deepEqual(await told(), [["notUsed", 0]]);
  await page.context().close();
});

test("an app that gives the video another source ends the break, and what then plays counts for no ad", { timeout: 60_000 }, async () => {
  const { page, complaints, told } = await open([filled(0), filled(1)]);
  await request(page);
  await page.evaluate(() => {
    window.over = window.adBreak.play(window.video);
  });
  await eventually("start", told, (list) => list.some(([type]) => type === "start"));
  const { path, at } = await page.evaluate(async () => {
    const { video } = window;
    video.src = "media/fjord-travel-6.webm";
    await window.over;
    await video.play();
    video.currentTime = 4;
    await new Promise((resolve) => { video.addEventListener("ended", resolve, { once: true }); });
    return { path: new URL(video.currentSrc).pathname, at: video.currentTime };
  });
  assert.equal(path, "/media/fjord-travel-6.webm");
  assert.ok(at > 5, "it played to its own end");
  assert.deepEqual(await told(), [["breakStart", null], ["start", 0], ["notUsed", 1], ["breakEnd", null]]);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("a click is reported once and leads where the ad says; an app that gives an ad up says why", { timeout: 60_000 }, async () => {
  const slot = filled(0);
  slot.ad.click_through = "/v1/c/link-0";
  const { page, told, batches } = await open([slot, filled(1)]);
  await request(page);
  const before = await page.evaluate(() => {
    for (const name of ["clickThrough", "viewable"]) window.client.on(name, ({ type, slotIndex }) => window.told.push([type, slotIndex]));
    window.client.on("error", ({ errorCode }) => { window.errorCode = errorCode; });
    const link = window.adBreak.click();
    window.over = window.adBreak.play(window.video);
    return link;
  });
  assert.equal(before, null, "nothing plays yet");
  const has = (name, index) => eventually(name, told, (list) => list.some(([type, slot]) => type === name && slot === index));
  await has("start", 0);
  await has("viewable", 0);
  assert.deepEqual(await page.evaluate(() => [window.adBreak.click(), window.adBreak.click()]), Array(2).fill(`${EDGE}/v1/c/link-0`));
  await page.evaluate(() => window.adBreak.error(405));
  await has("start", 1);
  await page.evaluate(() => { window.adBreak.skip(); return window.over; });
  const ofFirst = (await told()).filter(([type, index]) => index === 0 && type !== "firstQuartile" && type !== "midpoint");
  assert.deepEqual(ofFirst, [["start", 0], ["viewable", 0], ["clickThrough", 0], ["error", 0]]);
  assert.equal(await page.evaluate(() => window.errorCode), 405);
  const beacons = () => batches.flatMap((batch) => batch.beacons);
  await eventually("the error", beacons, (list) => list.some(({ event, detail }) => event === "error" && detail === 405));
  await page.context().close();
});

test("a break asked for ahead of time is the answer to the same question, once, and is given back otherwise", { timeout: 60_000 }, async () => {
  const { page, asked, told } = await open([filled(0)]);
  const same = await page.evaluate(async () => {
    await window.client.prefetchBreak(window.options);
    const first = await window.client.requestBreak(window.options);
    const second = await window.client.requestBreak(window.options);
    return [first.requestId, second.requestId];
  });
  assert.deepEqual(same, asked.map(({ request_id }) => request_id));
  await page.evaluate(async () => {
    await window.client.prefetchBreak(window.options);
    await window.client.prefetchBreak({ ...window.options, position: "preroll" });
  });
  assert.deepEqual(await told(), [["notUsed", 0]], "the first of the two");
  await page.context().close();
});

test("a break asked for too far ahead is given back when it expires", { timeout: 60_000 }, async () => {
  const { page, told } = await open([filled(0, { lifeMs: 1_500 })]);
  await page.evaluate(() => window.client.prefetchBreak(window.options));
  await eventually("given back", told, (list) => list.length > 0);
  assert.deepEqual(await told(), [["notUsed", 0]]);
  await page.context().close();
});

test("a break that somebody else asked for is played like one's own", { timeout: 60_000 }, async () => {
  const { page, asked, told } = await open([]);
  const answer = { request_id: "r", break_id: "b", plan_version: null, decided_at_ms: 1_000_000, slots: [unfilled(0), filled(1)] };
  const found = await page.evaluate((answer) => {
    window.adBreak = window.client.adoptBreak(answer);
    window.over = window.adBreak.play(window.video);
    return [window.adBreak.requestId, window.adBreak.planVersion, window.adBreak.slots.length];
  }, answer);
  assert.deepEqual(found, ["r", null, 2]);
  await eventually("start", told, (list) => list.some(([type, slot]) => type === "start" && slot === 1));
  assert.equal(asked.length, 0);
  await page.context().close();
});

test("what a crash left behind is sent at the next start, with its own time and under its own number", { timeout: 60_000 }, async () => {
  const { page, batches } = await open([filled(0)], {
    answerBeacons: (route, nth) => (nth <= 2 ? route.abort("connectionrefused") : undefined),
  });
  await request(page);
  await page.evaluate(() => { window.adBreak.discard(); return window.client.flush(); });
  const stored = () => page.evaluate(() => Object.entries(localStorage).filter(([key]) => key.startsWith("slotkeeper1:")));
  assert.equal((await stored()).length, 1);
  const sessionId = await page.evaluate(() => window.client.sessionId);
  const crash = await page.evaluate(() => Date.now());
  await page.reload(); // its beacons are refused, too, so only storage has them
  await page.locator("#play:enabled").waitFor();
  const waiting = await page.evaluate(async (edgeUrl) => {
    const { default: init, AdClient } = await import("/sdk/slotkeeper.js");
    await init();
    window.client = await AdClient.load({ edgeUrl, profileId: "p" });
    const { waiting } = window.client.beacons;
    await window.client.flush();
    return waiting;
  }, EDGE);
  assert.equal(waiting, 1);
  await eventually("it is sent", () => batches, (list) => list.some(({ held }) => held > 0));
  const replayed = batches.filter(({ held }) => held > 0);
  assert.ok(replayed.every(({ session_id }) => session_id === sessionId));
  assert.ok(replayed[0].held <= Date.now() - crash + 10_000);
  assert.deepEqual(replayed.at(-1).beacons.map(({ token, event }) => [token, event]), [["token-0", "notUsed"]]);
  await eventually("it is forgotten", stored, (list) => list.length === 0);
  await page.context().close();
});

test("what lay for more than a week is counted as lost, and storage that is not wanted is not touched", { timeout: 60_000 }, async () => {
  const { page, batches } = await open([filled(0)]);
  await page.evaluate(async (edgeUrl) => {
    localStorage.setItem("slotkeeper1:old", `${Date.now() - 8 * 24 * 3_600_000}\nsk1 s 1 0\ntoken start 0 0\ntoken midpoint 0 0\n`);
    const { AdClient } = await import("/sdk/slotkeeper.js");
    const unstored = await AdClient.load({ edgeUrl, profileId: "p", storage: false });
    window.kept = [localStorage.length, unstored.beacons.overflowed];
    window.client = await AdClient.load({ edgeUrl, profileId: "p" });
  }, EDGE);
  assert.deepEqual(await page.evaluate(() => window.kept), [1, 0]);
  assert.deepEqual(await page.evaluate(() => [localStorage.length, window.client.beacons]), [0, { waiting: 0, overflowed: 2, refused: 0 }]);
  await request(page);
  await page.evaluate(() => { window.adBreak.discard(); return window.client.flush(); });
  assert.equal(batches.at(-1).lost, 2, "the origin is told");
  await page.context().close();
});

test("a film goes on when the edge has no answer", { timeout: 60_000 }, async () => {
  const { page, complaints } = await open([], { answerBreak: (route) => route.abort("connectionrefused") });
  await page.click("#play");
  await inState(page, "content", 30_000);
  await page.locator('#events li[data-event="requestFailed"]', { hasText: "edge_unreachable" }).waitFor();
  await page.locator("video").evaluate((video) => new Promise((resolve) => {
    video.addEventListener("timeupdate", () => video.currentTime > 0.5 && resolve());
  }));
  assert.deepEqual(complaints, []);
  await page.context().close();
});
