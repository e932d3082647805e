// A film in a plain <video>, with a break before it and one in its middle.

import init, { AdClient } from "slotkeeper";

const FILM = "media/the-lighthouse.webm";
const MIDROLL_AT_S = 4;
const video = /** @type {HTMLVideoElement} */ (document.querySelector("video"));
const button = /** @type {(id: string) => HTMLButtonElement} */ ((id) => document.querySelector(`#${id}`));

/** @param {"preroll" | "midroll"} position @returns {import("slotkeeper").BreakOptions} */
const breakAt = (position) => ({ titleId: "the-lighthouse", position, slots: [{ maxDurationMs: 10_000 }], device: "web" });

// Where the edge is; an app knows that by itself.
const { edge_url: edgeUrl } = await (await fetch("api/v1/config")).json();
await init();
const client = await AdClient.load({ edgeUrl, profileId: `viewer-${Math.random().toString(36).slice(2)}` });

/** @type {import("slotkeeper").AdBreak | undefined} */
let current;

/** Plays a break. Whatever goes wrong with it, the film goes on.
 * @param {"preroll" | "midroll"} position */
async function runBreak(position) {
  try {
    current = await client.requestBreak(breakAt(position));
    document.body.dataset.state = position;
    await current.play(video);
  } catch (error) {
    show(String(error));
  }
  current = undefined;
}

/** @param {number} seconds @returns {Promise<void>} */
const filmReaches = (seconds) =>
  new Promise((resolve) => {
    const look = () => {
      if (video.currentTime < seconds) return;
      video.removeEventListener("timeupdate", look);
      resolve();
    };
    video.addEventListener("timeupdate", look);
  });

button("watch").addEventListener("click", async () => {
  video.src = FILM;
  await runBreak("preroll");
  document.body.dataset.state = "film";
  await video.play();
  await client.prefetchBreak(breakAt("midroll")).catch(() => {}); // asked again when it is time
  await filmReaches(MIDROLL_AT_S);
  await runBreak("midroll");
  document.body.dataset.state = "film-again";
});
button("skip").addEventListener("click", () => current?.skip());

/** @type {import("slotkeeper").AdEventName[]} */
const SHOWN = ["breakStart", "start", "firstQuartile", "midpoint", "thirdQuartile", "complete", "skip", "error", "breakEnd"];
for (const name of SHOWN) client.on(name, ({ type, ad }) => show(ad ? `${type} ${ad.name}` : type));

/** @param {string} text */
function show(text) {
  document.querySelector("#events")?.append(Object.assign(document.createElement("li"), { textContent: text }));
}

button("watch").disabled = false;
