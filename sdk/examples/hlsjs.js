// A film that hls.js plays, with a break in its middle, in one <video>: hls.js lets go of it for the ads and takes it again.

import Hls from "hls.js";
import init, { AdClient } from "slotkeeper";
import { content } from "slotkeeper/adapters/hlsjs";

const FILM = "media/hls/the-lighthouse/index.m3u8";
const MIDROLL_AT_S = 4;
const video = /** @type {HTMLVideoElement} */ (document.querySelector("video"));
const button = /** @type {(id: string) => HTMLButtonElement} */ ((id) => document.querySelector(`#${id}`));

// Where the edge is; an app knows that by itself.
const { edge_url: edgeUrl } = await (await fetch("api/v1/config")).json();
await init();
const client = await AdClient.load({ edgeUrl, profileId: `viewer-${Math.random().toString(36).slice(2)}` });

const hls = new Hls({ enableInterstitialPlayback: false }); // the SDK plays the ads
hls.loadSource(FILM);
hls.attachMedia(video);

/** @type {import("slotkeeper").AdBreak | undefined} */
let current;

async function midroll() {
  if (video.currentTime < MIDROLL_AT_S) return;
  video.removeEventListener("timeupdate", midroll);
  try {
    current = await client.requestBreak({ titleId: "the-lighthouse", position: "midroll", slots: [{ maxDurationMs: 10_000 }] });
    document.body.dataset.state = "midroll";
    await current.play(video, { content: content(hls) });
  } catch (error) {
    show(String(error));
  }
  document.body.dataset.state = "film-again";
}

button("watch").addEventListener("click", () => {
  video.addEventListener("timeupdate", midroll);
  video.play();
});
button("skip").addEventListener("click", () => current?.skip());
for (const name of /** @type {const} */ (["start", "midpoint", "complete", "skip", "error"])) {
  client.on(name, ({ type, ad }) => show(`${type} ${ad?.name}`));
}

/** @param {string} text */
function show(text) {
  document.querySelector("#events")?.append(Object.assign(document.createElement("li"), { textContent: text }));
}

button("watch").disabled = false;
