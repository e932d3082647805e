// The demo player: a film, two ad breaks, and everything the SDK says about them.
//
// What happens is on the page for people and in data attributes for tests: `body[data-state]` is idle, ad, content or
// done; `#events` lists the SDK's events; `#breaks` lists the slots.

import init, { AdClient } from "./sdk/slotkeeper.js";
import { edgeUrl, getReady, prepareForm, setState } from "./demo.js";
import { POSITIONS, clock, make, reasonOf } from "./words.js";

const FILM = "media/the-lighthouse.webm";
const MIDROLL_AT_S = 12;
const SLOT = { maxDurationMs: 10_000 };
const AD_EVENTS = [
  "start", "firstQuartile", "midpoint", "thirdQuartile", "complete",
  "pause", "resume", "mute", "unmute", "skip", "error", "notUsed",
];

const element = (id) => document.getElementById(id);
const video = element("video");
let client;
let current;

function log(event) {
  const { type, slotIndex, opportunityId, ad, errorCode, words } = event;
  const about = [ad?.name ?? words, errorCode && `VAST error ${errorCode}`].filter(Boolean).join(" · ");
  const now = Date.now();
  element("events").prepend(
    make(
      "li",
      { "data-event": type, "data-slot-index": slotIndex, "data-opportunity-id": opportunityId },
      make("time", { datetime: new Date(now).toISOString() }, clock(now)),
      make("b", {}, type),
      make("span", { title: about }, about),
    ),
  );
}

function showBreak(adBreak, position) {
  const filled = adBreak.slots.filter((slot) => slot.outcome === "filled").length;
  const rows = adBreak.slots.map((slot) => {
    const { code, words } = reasonOf(slot);
    return make(
      "li",
      {
        "data-slot-index": slot.slotIndex,
        "data-opportunity-id": slot.opportunityId,
        "data-outcome": slot.outcome,
        "data-reason": code,
      },
      make("span", {}, `${slot.slotIndex + 1}.`),
      make("span", {}, slot.ad?.name ?? "No ad"),
      make("span", { class: `badge ${slot.outcome}` }, slot.outcome),
      make("span", { class: "quiet" }, `${words} `, make("code", {}, code)),
    );
  });
  const panel = make(
    "section",
    { class: "break", "data-break-id": adBreak.breakId, "data-position": position },
    make("h3", {}, POSITIONS[position], make("span", { class: "quiet" }, `${filled} of ${rows.length} filled`)),
    make("ol", {}, ...rows),
  );
  const breaks = element("breaks");
  if (!breaks.querySelector("section")) breaks.replaceChildren();
  breaks.append(panel);
}

function markPlaying(opportunityId) {
  for (const row of document.querySelectorAll("#breaks li")) {
    row.toggleAttribute("data-playing", row.dataset.opportunityId === opportunityId);
  }
}

/** Asks for a break and plays it. Whatever goes wrong, the film goes on. */
async function runBreak(position, slotCount) {
  try {
    const titleId = element("title").value;
    const slots = Array(slotCount).fill(SLOT);
    current = await client.requestBreak({ titleId, position, slots, device: "web" });
    showBreak(current, position);
    element("adlabel").textContent = "Ad";
    setState("ad", `${POSITIONS[position]}: ads`);
    await current.play(video);
  } catch (error) {
    log({ type: "requestFailed", words: [error.code, error.field, error.message].filter(Boolean).join(" · ") });
  }
  current = undefined;
  markPlaying();
}

/** Resolves when the film reaches a time, or ends before. */
function filmReaches(seconds) {
  return new Promise((resolve) => {
    const look = () => {
      if (video.currentTime < seconds && !video.ended) return;
      video.removeEventListener("timeupdate", look);
      video.removeEventListener("ended", look);
      resolve();
    };
    video.addEventListener("timeupdate", look);
    video.addEventListener("ended", look);
  });
}

async function watch() {
  element("play").disabled = true;
  element("breaks").replaceChildren();
  element("events").replaceChildren();
  client?.destroy();
  client = await openClient();
  video.src = FILM;
  await runBreak("preroll", 2);
  setState("content", "The film");
  await video.play();
  await filmReaches(MIDROLL_AT_S);
  await runBreak("midroll", 3);
  setState("content", "The film goes on");
  await filmReaches(Infinity);
  await client.flush();
  setState("done", "The end");
  element("play").textContent = "Play again";
  element("play").disabled = false;
}

async function openClient() {
  const opened = await AdClient.load({ edgeUrl: edge, profileId: element("profile").value });
  for (const name of AD_EVENTS) opened.on(name, log);
  for (const name of ["breakStart", "breakEnd"]) opened.on(name, log);
  opened.on("start", ({ slotIndex, opportunityId, ad }) => {
    element("adlabel").textContent = `Ad ${slotIndex + 1} · ${ad.name}`;
    markPlaying(opportunityId);
  });
  return opened;
}

function showBeacons() {
  if (!client) return;
  const { waiting, refused } = client.beacons;
  const parts = [`${waiting} beacon${waiting === 1 ? "" : "s"} waiting`, refused > 0 && `${refused} refused`];
  const text = parts.filter(Boolean).join(" · ");
  if (element("beacons").textContent !== text) element("beacons").textContent = text;
}

element("skip").addEventListener("click", () => current?.skip());
prepareForm(() => {
  watch().catch((error) => {
    setState("idle", `Stopped: ${error.message}`);
    element("play").disabled = false;
  });
});
setInterval(showBeacons, 250);
const edge = await getReady(async () => (await Promise.all([edgeUrl(), init()]))[0]);
