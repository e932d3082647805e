// The demo of HLS interstitials: hls.js plays the film and the ads, as any page would have it play; svta.js reports.
//
// What happens is on the page for people and in data attributes for tests: `body[data-state]` is idle, ad, content or
// done; `#events` lists what was reported and whether the edge took it; `#breaks` lists the asset lists.

import Hls from "./vendor/hls.min.mjs";
import { edgeUrl, getReady, prepareForm, setState } from "./demo.js";
import { reportInterstitials } from "./svta.js";
import { clock, make } from "./words.js";

/** Where breaks stand if the title has none booked, and their slots; the edge adds them to the playlist. */
const BREAKS = { at: "0,12", slots: "10,10,10" };

/** The pages' policy allows no worker from a blob, and no text track from a `data:` URL: the film has nothing to put in one. */
const WITHIN_POLICY = {
  enableWorker: false,
  enableDateRangeMetadataCues: false,
  enableEmsgMetadataCues: false,
  enableID3MetadataCues: false,
};

/** How long the film may have nothing to show after an ad. */
const STALL_MS = 3_000;

const element = (id) => document.getElementById(id);
const video = element("video");
let hls;
let watchdog;

function showReport({ type, url, asset, taken }) {
  const outcome = make("span", {}, "sent");
  const row = make(
    "li",
    { "data-event": type, "data-opportunity-id": asset["X-SLOTKEEPER-OPPORTUNITY"], "data-url": url },
    make("time", { datetime: new Date().toISOString() }, clock(Date.now())),
    make("b", {}, type),
    outcome,
  );
  element("events").prepend(row);
  taken.then((wasTaken) => {
    row.dataset.taken = wasTaken ?? "unknown";
    outcome.textContent = wasTaken ? "in the books" : wasTaken === false ? "not taken" : "sent";
  });
}

/** Shows an asset list, once. */
function showList({ identifier, assetListResponse: list }) {
  if (document.querySelector(`#breaks [data-interstitial-id="${identifier}"]`)) return;
  const rows = list.ASSETS.map((asset, index) =>
    make(
      "li",
      { "data-opportunity-id": asset["X-SLOTKEEPER-OPPORTUNITY"] },
      make("span", {}, `${index + 1}.`),
      make("span", {}, nameOf(asset)),
      make("span", { class: "quiet" }, `${asset.DURATION} s · `, make("code", {}, asset["X-SLOTKEEPER-OPPORTUNITY"])),
    ));
  const breaks = element("breaks");
  if (!breaks.querySelector("section")) breaks.replaceChildren();
  const words = rows.length === 0 ? "no ad" : `${rows.length} ad${rows.length === 1 ? "" : "s"}`;
  breaks.append(
    make(
      "section",
      { class: "break", "data-interstitial-id": identifier, "data-break-id": list["X-SLOTKEEPER-BREAK"] },
      make("h3", {}, identifier, make("span", { class: "quiet" }, words)),
      make("ol", {}, ...rows),
    ),
  );
}

/** An asset list names no ads: the folder of the ad's playlist does. */
const nameOf = (asset) => asset.URI.split("/").at(-2) ?? asset.URI;

function watch() {
  element("play").disabled = true;
  element("breaks").replaceChildren();
  element("events").replaceChildren();
  hls?.destroy();
  hls = new Hls(WITHIN_POLICY);
  const { Events } = Hls;
  let inAd = false;
  let hasResumed = false;
  const finish = () => {
    setState("done", "The end");
    element("play").textContent = "Play again";
    element("play").disabled = false;
  };
  const resume = () => {
    hasResumed = true;
    setState("content", "The film");
  };
  // On a busy machine hls.js may hand the video back and load nothing more into it; told to load, it goes on.
  clearInterval(watchdog);
  watchdog = setInterval(() => {
    if (hasResumed && !inAd && document.body.dataset.state === "content" && video.readyState === 0) hls.startLoad(-1);
  }, STALL_MS);
  hls.on(Events.ASSET_LIST_LOADED, (_name, { event }) => showList(event));
  hls.on(Events.INTERSTITIAL_STARTED, (_name, { event }) => {
    inAd = true;
    setState("ad", `${event.identifier}: ads`);
  });
  hls.on(Events.INTERSTITIAL_ASSET_STARTED, (_name, { event, assetListIndex }) => {
    showList(event); // hls.js starts the first one before it says that the list is loaded
    const asset = event.assetListResponse.ASSETS[assetListIndex];
    element("adlabel").textContent = `Ad ${assetListIndex + 1} of ${event.assetListResponse.ASSETS.length} · ${nameOf(asset)}`;
    for (const row of document.querySelectorAll("#breaks li")) {
      row.toggleAttribute("data-playing", row.dataset.opportunityId === asset["X-SLOTKEEPER-OPPORTUNITY"]);
    }
  });
  hls.on(Events.INTERSTITIAL_ENDED, (_name, { event }) => {
    inAd = false;
    document.querySelector("#breaks li[data-playing]")?.removeAttribute("data-playing");
    if (event.cue.post) finish();
    else resume();
  });
  hls.on(Events.INTERSTITIALS_PRIMARY_RESUMED, resume);
  hls.on(Events.ERROR, (_name, { fatal, details, error }) => {
    if (fatal) stop(`${details}: ${error.message}`);
  });
  video.onended = () => {
    if (!inAd) finish();
  };
  reportInterstitials(hls, Events, video, showReport);

  const query = new URLSearchParams({ title: element("title").value, profile: element("profile").value, device: "web", ...BREAKS });
  setState("content", "Loading");
  hls.loadSource(`${edge}/v1/interstitials.m3u8?${query}`);
  hls.attachMedia(video);
  video.play().catch(() => {}); // hls.js takes the video over for an ad, which interrupts this, and plays on by itself
}

function stop(words) {
  hls?.destroy();
  setState("idle", `Stopped: ${words}`);
  element("play").disabled = false;
}

prepareForm(watch);
const edge = await getReady(() => {
  if (!Hls.isSupported()) throw new Error("this browser has no Media Source Extensions");
  return edgeUrl();
});
