// The adapters with the real hls.js and the real Shaka Player: what they put away comes back as it was.
//
// The page is one of the origin's with its policy, emptied, so that films and the edge are what they are to any page of it; the
// players and the adapters are put beside it here.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import {
  EDGE, ORIGIN, QUARTILES, eventNames, eventually, freshProfile, launch, openPage, rowsOf,
} from "./browser.mjs";

const ROOT = new URL("../../", import.meta.url);
const FILES = {
  "hlsjs.js": "sdk/adapters/hlsjs.js",
  "shaka.js": "sdk/adapters/shaka.js",
  "hls.mjs": "node_modules/hls.js/dist/hls.mjs",
  "shaka-player.js": "node_modules/shaka-player/dist/shaka-player.compiled.js",
  "slotkeeper-tv.js": "sdk/dist/tv/slotkeeper-tv.js",
  "slotkeeper-tv.wasm": "sdk/dist/tv/slotkeeper-tv.wasm",
};
const TYPES = { js: "text/javascript", mjs: "text/javascript", wasm: "application/wasm" };
const FILM = "/media/hls/the-lighthouse/index.m3u8";
const AD = "/media/aurora-coffee-6.webm";
const FILM_S = 24;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function openAdapters() {
  const { page, complaints } = await openPage(browser, "index.html", {
    expected: /503 .*\/v1\/beacons/, // on a busy machine; the SDK sends them again
  });
  await page.route(`${ORIGIN}/adapters/**`, async (route) => {
    const name = new URL(route.request().url()).pathname.split("/").pop();
    const body = await readFile(fileURLToPath(new URL(FILES[name], ROOT)));
    return route.fulfill({ contentType: TYPES[name.split(".").pop()], body });
  });
  await page.evaluate(() => {
    const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, width: 480, height: 270 });
    document.body.replaceChildren(video);
  });
  for (const name of ["shaka-player.js", "slotkeeper-tv.js"]) await page.addScriptTag({ url: `adapters/${name}` });
  await page.evaluate((film) => {
    const video = document.querySelector("video");
    const event = (name) => new Promise((resolve) => video.addEventListener(name, resolve, { once: true }));
    /** How each player is made, and given the film. */
    window.players = {
      hlsjs: async () => {
        const [{ default: Hls }, { content }] = await Promise.all([import("/adapters/hls.mjs"), import("/adapters/hlsjs.js")]);
        const hls = new Hls({ enableWorker: false });
        hls.loadSource(film);
        hls.attachMedia(video);
        if (video.readyState === 0) await event("loadedmetadata");
        return {
          content: content(hls),
          isAttached: () => hls.media === video,
          attachAt: async (seconds) => {
            hls.attachMedia(video);
            await event("loadedmetadata");
            video.currentTime = seconds;
            await video.play();
          },
          detach: () => hls.detachMedia(),
          destroy: () => hls.destroy(),
        };
      },
      shaka: async () => {
        const { content } = await import("/adapters/shaka.js");
        const player = new shaka.Player();
        await player.attach(video);
        await player.load(film);
        if (video.readyState === 0) await event("loadedmetadata");
        return {
          content: content(player),
          isAttached: () => player.getMediaElement() === video,
          attachAt: async (seconds) => {
            await player.attach(video);
            await player.load(film, seconds);
            await video.play();
          },
          detach: () => player.detach(),
          destroy: () => player.destroy(),
        };
      },
    };
    window.video = video;
    window.event = event;
    /** Plays up to a time. */
    window.playTo = async (seconds) => {
      await video.play().catch(() => {}); // a player that loads something else meanwhile goes on by itself
      while (video.currentTime < seconds) await event("timeupdate");
    };
    /** What the SDK does between the two: a file in the video, played for a while. */
    window.showAd = async (url) => {
      video.src = url;
      await playTo(0.5);
    };
    window.state = () => ({
      position: video.currentTime,
      rate: video.playbackRate,
      paused: video.paused,
      ended: video.ended,
      width: video.videoWidth,
    });
  }, FILM);
  return { page, complaints };
}

for (const player of ["hlsjs", "shaka"]) {
  test(`${player}: what played plays on from where it was, as fast as it did`, { timeout: 60_000 }, async () => {
    const { page, complaints } = await openAdapters();
    const { was, inAd, now } = await page.evaluate(async ({ name, ad }) => {
      const { content, isAttached } = await players[name]();
      video.playbackRate = 1.5;
      await playTo(5);
      const was = state();
      await content.suspend();
      const suspended = { isAttached: isAttached(), src: video.getAttribute("src") };
      await showAd(ad);
      const inAd = { ...suspended, src: video.currentSrc };
      await content.resume();
      await event("timeupdate");
      const now = { ...state(), isAttached: isAttached() };
      await playTo(now.position + 1);
      return { was, inAd, now };
    }, { name: player, ad: AD });
    assert.equal(inAd.isAttached, false, "it let go of the video");
    assert.ok(inAd.src.endsWith(AD), inAd.src);
    assert.ok(Math.abs(now.position - was.position) < 0.6, `${now.position} after ${was.position}`);
    assert.deepEqual([now.rate, now.paused, now.isAttached], [1.5, false, true]);
    assert.deepEqual(complaints, []);
    await page.context().close();
  });

  test(`${player}: what was paused stays paused where it was`, { timeout: 60_000 }, async () => {
    const { page, complaints } = await openAdapters();
    const now = await page.evaluate(async ({ name, ad }) => {
      const { content } = await players[name]();
      video.autoplay = true; // it must not play what the viewer paused
      video.pause();
      video.currentTime = 9;
      await event("seeked");
      await content.suspend();
      await showAd(ad);
      await content.resume();
      while (video.readyState < 4) await event("canplaythrough");
      // By the time that another one has begun by itself, this one would have.
      const other = Object.assign(document.createElement("video"), { muted: true, autoplay: true, src: ad });
      document.body.append(other);
      await new Promise((resolve) => other.addEventListener("playing", resolve));
      return state();
    }, { name: player, ad: AD });
    assert.ok(Math.abs(now.position - 9) < 0.1, `${now.position}`);
    assert.deepEqual([now.paused, now.rate], [true, 1]);
    assert.deepEqual(complaints, []);
    await page.context().close();
  });

  test(`${player}: before the first frame and after the last there are ads as well`, { timeout: 60_000 }, async () => {
    const { page, complaints } = await openAdapters();
    const [first, last] = await page.evaluate(async ({ name, ad }) => {
      const { content } = await players[name]();
      const around = async () => {
        await content.suspend();
        await showAd(ad);
        await content.resume();
        return state();
      };
      const first = await around();
      await playTo(1);
      video.currentTime = video.duration - 0.5;
      await event("ended");
      const last = await around();
      return [first, last];
    }, { name: player, ad: AD });
    assert.deepEqual([first.position, first.paused], [0, true]);
    assert.ok(Math.abs(last.position - FILM_S) < 0.5 && last.paused, JSON.stringify(last));
    assert.deepEqual(complaints, []);
    await page.context().close();
  });

  test(`${player}: an app that did something else with its player meanwhile is left alone`, { timeout: 60_000 }, async () => {
    const { page, complaints } = await openAdapters();
    const { destroyed, detached, moved } = await page.evaluate(async ({ name, ad }) => {
      const one = await players[name]();
      await one.content.suspend();
      await showAd(ad);
      await one.destroy();
      await one.content.resume();
      const destroyed = video.currentSrc;
      const other = await players[name]();
      await other.detach();
      await other.content.suspend();
      await showAd(ad);
      await other.content.resume();
      const detached = [other.isAttached(), video.currentSrc];
      await other.attachAt(0);
      await playTo(1);
      await other.content.suspend();
      await showAd(ad);
      await other.attachAt(15);
      while (video.currentTime < 15) await event("timeupdate");
      await other.content.resume();
      await event("timeupdate");
      return { destroyed, detached, moved: video.currentTime };
    }, { name: player, ad: AD });
    assert.ok(destroyed.endsWith(AD), "what the app destroyed does not come back");
    assert.equal(detached[0], false);
    assert.ok(detached[1].endsWith(AD), "nor what was not there before");
    assert.ok(moved >= 15, `what the app put back stays where it put it: ${moved}`);
    assert.deepEqual(complaints, []);
    await page.context().close();
  });
}

/** A film with a pre-roll, as hls.js plays it and the SDK reports it; and what was asked of the edge. */
async function openInterstitials(profile) {
  const opened = await openAdapters();
  const asked = { lists: [], pixels: [] };
  opened.page.on("response", async (response) => {
    if (response.url().startsWith(`${EDGE}/v1/asset-list?`)) asked.lists.push(await response.json());
    if (response.url().startsWith(`${EDGE}/v1/t/`)) asked.pixels.push(response.url());
  });
  const watch = () => opened.page.evaluate(async ({ edge, profile, counted }) => {
    await Slotkeeper.init();
    window.client = await Slotkeeper.AdClient.load({ edgeUrl: edge, profileId: profile });
    window.told = [];
    for (const name of counted) {
      client.on(name, ({ type, slotIndex }) => told.push([slotIndex, type]));
    }
    window.toldOf = (type, slotIndex) => new Promise((resolve) => {
      const hear = (event) => event.slotIndex === slotIndex && resolve();
      client.on(type, hear);
    });
    const [{ default: Hls }, { reportInterstitials }] = await Promise.all([import("/adapters/hls.mjs"), import("/adapters/hlsjs.js")]);
    window.hls = new Hls({
      enableWorker: false, enableDateRangeMetadataCues: false, enableEmsgMetadataCues: false, enableID3MetadataCues: false,
    });
    window.reports = reportInterstitials(hls, client);
    const query = new URLSearchParams({
      title: "the-lighthouse", profile, session: client.sessionId, device: "web", sdk: "1",
    });
    hls.loadSource(`${edge}/v1/interstitials.m3u8?${query}`);
    hls.attachMedia(video);
    video.play().catch(() => {});
  }, { edge: EDGE, profile, counted: COUNTED });
  return { ...opened, asked, watch };
}

/** What is compared: whether the video was in view is another test's. */
const COUNTED = [...QUARTILES, "skip", "error", "notUsed"];

const opportunities = (list) => list["X-SLOTKEEPER-ANSWER"].slots.map((slot) => slot.opportunity_id);

/** The events of each of a list's ads in the books, once they are as expected. */
async function booked(list, expected) {
  const ids = opportunities(list);
  const read = async () => {
    const rows = await rowsOf(ids);
    return ids.map((id) => (rows.has(id) ? eventNames(rows.get(id)).filter((name) => COUNTED.includes(name)) : null));
  };
  return eventually("what was played in the books", read, (is) => JSON.stringify(is) === JSON.stringify(expected), 30_000);
}

test("hls.js: what it plays of an interstitial is reported by the SDK, and by nobody else", { timeout: 90_000 }, async () => {
  const { page, complaints, asked, watch } = await openInterstitials(freshProfile("adapter"));
  await watch();
  await page.evaluate(() => toldOf("complete", 1));
  await page.evaluate(() => playTo(1));
  await booked(asked.lists[0], [QUARTILES, QUARTILES]);
  assert.deepEqual(await page.evaluate(() => told), [0, 1].flatMap((slot) => QUARTILES.map((name) => [slot, name])));
  assert.deepEqual(asked.pixels, []);
  assert.equal(await page.evaluate(async () => client.flush()), 0);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("hls.js: an ad that is skipped is over, and the next one plays", { timeout: 90_000 }, async () => {
  const { page, complaints, asked, watch } = await openInterstitials(freshProfile("adapter-skip"));
  await watch();
  await page.evaluate(async () => {
    await toldOf("firstQuartile", 0);
    reports.skip();
    await toldOf("complete", 1);
    await playTo(1);
  });
  await booked(asked.lists[0], [["start", "firstQuartile", "skip"], QUARTILES]);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("hls.js: an ad that cannot be loaded is an error, and the next one plays", { timeout: 90_000 }, async () => {
  const { page, asked, watch } = await openInterstitials(freshProfile("adapter-error"));
  let first;
  await page.route(`${ORIGIN}/media/hls/*-6/**`, (route) => {
    const folder = new URL(route.request().url()).pathname.split("/").at(-2);
    first ??= folder;
    return folder === first ? route.fulfill({ status: 404 }) : route.fallback();
  });
  await watch();
  await page.evaluate(() => toldOf("complete", 1));
  await booked(asked.lists[0], [["error"], QUARTILES]);
  await page.context().close();
});

test("hls.js: a player that is destroyed gives back what it had not played", { timeout: 90_000 }, async () => {
  const { page, complaints, asked, watch } = await openInterstitials(freshProfile("adapter-gone"));
  await watch();
  await page.evaluate(async () => {
    await toldOf("start", 0);
    hls.destroy();
    await client.flush();
  });
  await booked(asked.lists[0], [["start"], ["notUsed"]]);
  assert.deepEqual(complaints, []);
  await page.context().close();
});
