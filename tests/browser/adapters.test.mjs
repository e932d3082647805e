// The adapters with the real hls.js and the real Shaka Player: what they put away comes back as it was.
//
// The page is made here, on the origin's own address, so that the media and the edge are what they are to any page.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { ORIGIN, launch, openPage } from "./browser.mjs";

const ROOT = new URL("../../", import.meta.url);
const FILES = {
  "hlsjs.js": "sdk/adapters/hlsjs.js",
  "shaka.js": "sdk/adapters/shaka.js",
  "hls.mjs": "node_modules/hls.js/dist/hls.mjs",
  "shaka-player.js": "node_modules/shaka-player/dist/shaka-player.compiled.js",
};
const PAGE = `<!doctype html><title>Adapters</title><script src="shaka-player.js"></script>
<video id="video" muted playsinline width="480" height="270"></video>`;
const FILM = "/media/hls/the-lighthouse/index.m3u8";
const AD = "/media/aurora-coffee-6.webm";
const FILM_S = 24;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function openAdapters() {
  const { page, complaints } = await openPage(browser, "icon.svg", { expected: /favicon/ }); // anything of the origin; the next one is ours
  await page.route(`${ORIGIN}/adapters/**`, async (route) => {
    const name = new URL(route.request().url()).pathname.split("/").pop();
    if (name === "") return route.fulfill({ contentType: "text/html", body: PAGE });
    const body = await readFile(fileURLToPath(new URL(FILES[name], ROOT)), "utf8");
    return route.fulfill({ contentType: "text/javascript", body });
  });
  await page.goto(`${ORIGIN}/adapters/`);
  await page.evaluate((film) => {
    const video = document.getElementById("video");
    const event = (name) => new Promise((resolve) => video.addEventListener(name, resolve, { once: true }));
    /** How each player is made, and given the film. */
    window.players = {
      hlsjs: async () => {
        const [{ default: Hls }, { content }] = await Promise.all([import("./hls.mjs"), import("./hlsjs.js")]);
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
        const { content } = await import("./shaka.js");
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
      await video.play();
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
