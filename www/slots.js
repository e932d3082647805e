// The live list of slots: one page from the API, then every change as the origin tells it.

import { POSITIONS, QUARTILES, QUARTILE_WORDS, clock, make, money, reasonOf } from "./words.js";

const PAGE_SLOTS = 50;
const SHOWN_SLOTS_MAX = 1_000;
const SUMMARY_EVERY_MS = 1_000;
const RESYNC_EVERY_MS = 1_000;

const element = (id) => document.getElementById(id);
const body = element("slots");

/** By opportunity id: what is known of it, and its two table rows. */
const shown = new Map();
let next = null;

async function read(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

// ---- Rows

const cell = (label, attributes, ...children) => make("td", { "data-label": label, ...attributes }, ...children);

function outcomeCell(slot) {
  const { code, words } = reasonOf({ fillReason: slot.fill_reason, unfilledReason: slot.unfilled_reason });
  return cell(
    "Outcome",
    { class: "wide" },
    make("span", { class: `badge ${slot.outcome}` }, slot.outcome),
    ` ${words}`,
    make("code", {}, code),
  );
}

const nameOf = (booked) => booked?.name ?? booked?.slug ?? (booked ? `#${booked.id}` : "");

function adCell({ ad }) {
  if (!ad) return cell("Ad", { class: "none" }, "—");
  const isBooked = ad.flight?.id !== 0; // what an auction sold has no contract
  const contract = isBooked ? [nameOf(ad.campaign), nameOf(ad.flight)].filter(Boolean).join(" · ") : "by auction";
  return cell("Ad", { class: "wide" }, nameOf(ad.creative), make("div", { class: "quiet" }, nameOf(ad.advertiser)),
    make("div", { class: "quiet" }, contract));
}

function playedCell(slot) {
  if (slot.outcome !== "filled") return cell("Played", { class: "none" }, "—");
  const reached = QUARTILES.indexOf(slot.furthest_quartile);
  const words = reached < 0 ? "not begun" : QUARTILE_WORDS[slot.furthest_quartile];
  const parts = [1, 2, 3, 4].map((quarter) => make("i", { class: reached >= quarter ? "played" : undefined }));
  return cell("Played", {}, make("div", { class: "quartiles", role: "img", "aria-label": `Played: ${words}` }, ...parts),
    make("div", { class: "quiet" }, words));
}

function earnedCell(slot) {
  const earned = slot.recognized_revenue_micros;
  if (slot.invalid_traffic) return cell("Earned", { class: "number none" }, `not billed: ${slot.invalid_traffic}`);
  if (earned === null || earned === undefined) return cell("Earned", { class: "number none" }, "—");
  return cell("Earned", { class: "number" }, money(earned, slot.currency));
}

function row(slot, isOpen) {
  const button = make("button", { type: "button", class: "open", "aria-expanded": String(isOpen) }, clock(slot.decided_at_ms));
  button.addEventListener("click", () => toggle(slot.opportunity_id));
  const position = POSITIONS[slot.position] ?? slot.position;
  return make(
    "tr",
    {
      "data-opportunity-id": slot.opportunity_id,
      "data-outcome": slot.outcome,
      "data-reason": slot.fill_reason ?? slot.unfilled_reason,
      "data-furthest-quartile": slot.furthest_quartile,
    },
    cell("Time", {}, button),
    cell("Break", { class: "short" }, position, make("div", { class: "quiet" }, `slot ${slot.slot_index + 1}`)),
    cell("Title", { class: "short wide" }, slot.title_id),
    outcomeCell(slot),
    adCell(slot),
    playedCell(slot),
    earnedCell(slot),
  );
}

/** What has become of a fill; the words of the API. */
const FILL_STATES = {
  impressed: "impressed: its ad began to play",
  released: "released: it was reported not to play",
  expired: "expired: nothing was reported before its token died",
  open: "open: it may yet play",
};

/** Whether an ad could be seen, as its player measured; the words of the API. */
const VIEWABILITY = {
  viewable: "viewable: half of it for two seconds",
  not_viewable: "not viewable",
  undetermined: "nobody could tell",
};

function detail(slot) {
  const eliminated = Object.entries(slot.eliminated ?? {}).map(([reason, count]) =>
    make("li", {}, `${count} × ${reasonOf({ unfilledReason: reason }).words} `, make("code", {}, reason)));
  const code = (event) => (event === "error" && slot.error_code ? ` ${slot.error_code}` : "");
  const events = (slot.events ?? []).map(({ event, at_ms }) => make("li", {}, `${clock(at_ms)} ${event}${code(event)}`));
  const facts = [
    ["The fill is", FILL_STATES[slot.fill_state] ?? "no fill"],
    ["Flights looked at", String(slot.candidates)],
    ["Eliminated", eliminated.length > 0 ? make("ul", {}, ...eliminated) : "none"],
    ["Reported", events.length > 0 ? make("ul", {}, ...events) : "nothing"],
    ["In view", VIEWABILITY[slot.viewability] ?? "nobody said"],
    ["Idle", slot.idle_s === null || slot.idle_s === undefined ? "nobody said" : `the viewer had touched nothing for ${slot.idle_s} s`],
    ["Longest ad allowed", `${slot.max_duration_ms / 1000} s`],
    ["Decided by", `${slot.edge_id}, from plan ${slot.plan_version ?? "none"}, ${slot.recording}`],
    ["Opportunity", make("a", { href: `api/v1/slots/${slot.opportunity_id}/explain` }, make("code", {}, slot.opportunity_id))],
    ["Break", make("code", {}, slot.break_id)],
  ];
  const list = make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  return make("tr", { class: "detail" }, make("td", { colspan: 7 }, list));
}

function toggle(id) {
  const entry = shown.get(id);
  if (!entry) return;
  if (entry.detail) {
    entry.detail.remove();
    entry.detail = null;
  } else {
    entry.detail = detail(entry.slot);
    entry.row.after(entry.detail);
  }
  entry.row.querySelector(".open").setAttribute("aria-expanded", String(entry.detail !== null));
}

/** Newest break first; within a break in playing order. */
function comesBefore(a, b) {
  if (a.decided_at_ms !== b.decided_at_ms) return a.decided_at_ms > b.decided_at_ms;
  if (a.break_id !== b.break_id) return a.break_id > b.break_id;
  return a.slot_index < b.slot_index;
}

function show(slot, isFresh) {
  const known = shown.get(slot.opportunity_id);
  if (known) {
    replace(known, slot);
    return;
  }
  const entry = { slot, row: row(slot, false), detail: null };
  entry.row.classList.toggle("fresh", isFresh);
  shown.set(slot.opportunity_id, entry);
  const after = [...body.children].find((other) => {
    const id = other.dataset.opportunityId;
    return id !== undefined && comesBefore(slot, shown.get(id).slot);
  });
  body.insertBefore(entry.row, after ?? null);
  trim();
}

function replace(entry, slot) {
  const hadFocus = entry.row.contains(document.activeElement);
  const newRow = row(slot, entry.detail !== null);
  entry.row.replaceWith(newRow);
  if (entry.detail) {
    const newDetail = detail(slot);
    entry.detail.replaceWith(newDetail);
    entry.detail = newDetail;
  }
  Object.assign(entry, { slot, row: newRow });
  if (hadFocus) newRow.querySelector(".open").focus();
}

/** Drops the oldest rows past the bound. Older ones can then no longer be asked for: a gap would lie before them. */
function trim() {
  while (shown.size > SHOWN_SLOTS_MAX) {
    next = null;
    const rows = body.querySelectorAll("tr[data-opportunity-id]");
    const id = rows[rows.length - 1].dataset.opportunityId;
    const { row: last, detail: itsDetail } = shown.get(id);
    last.remove();
    itsDetail?.remove();
    shown.delete(id);
  }
}

// ---- Totals

function total(name, value, note) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, value, note ? make("small", {}, note) : null));
}

function showSummary(summary) {
  const { opportunities, filled, fill_states: fills, unfilled, impressions, revenue, conservation, client_losses: losses } = summary;
  const share = (count) => (opportunities > 0 ? `${((100 * count) / opportunities).toFixed(1)} %` : "");
  const earned = revenue.map((entry) => money(entry.recognized_revenue_micros, entry.currency)).join(" + ");
  element("totals").replaceChildren(
    total("Slots", opportunities.toLocaleString("en"),
      conservation.holds ? "= filled + unfilled, none lost" : "do not add up"),
    total("Filled", filled.total.toLocaleString("en"), share(filled.total)),
    total("Not played", (fills.released + fills.expired).toLocaleString("en"),
      `${fills.released} released, ${fills.expired} expired; ${fills.open} open`),
    total("Unfilled", unfilled.total.toLocaleString("en"), share(unfilled.total)),
    total("Impressions", impressions.total.toLocaleString("en"), `${impressions.threshold_passed} past their threshold${
      losses?.beacons ? `; ${losses.beacons} beacons lost by ${losses.sessions} clients` : ""}`),
    total("Earned", earned || "nothing yet"),
  );
  element("totals").dataset.conservation = conservation.holds ? "holds" : "broken";
  const bars = [["filled", filled.by_reason], ["unfilled", unfilled.by_reason]].flatMap(([outcome, reasons]) =>
    Object.entries(reasons).sort((a, b) => b[1] - a[1]).flatMap(([reason, count]) => bar(outcome, reason, count, opportunities)));
  element("reasons").replaceChildren(...(bars.length > 0 ? bars : [make("dt", { class: "quiet" }, "No slot yet")]));
}

function bar(outcome, reason, count, of) {
  const strip = make("div", { class: `bar ${outcome}` });
  strip.style.setProperty("--share", String(count / Math.max(of, 1)));
  const words = reasonOf({ unfilledReason: reason }).words;
  return [make("dt", { title: words }, make("code", {}, reason)), make("dd", {}, strip), make("dd", {}, String(count))];
}

let summaryTimer = null;

/** Reads the totals again soon; many changes make one reading. */
function summarySoon(afterMs) {
  summaryTimer ??= setTimeout(async () => {
    summaryTimer = null;
    try {
      showSummary(await read("api/v1/summary"));
    } catch {
      // The stream says whether the origin is there; the next change reads again.
    }
  }, afterMs);
}

// ---- The page and the stream

/** What the stream tells while a page is being read; it is newer than the page, so it is shown after it. */
let toldMeanwhile = null;

let lastReading = Promise.resolve();

/** One reading at a time: each goes on from the rows that the one before left. */
function inTurn(reading) {
  const mine = lastReading.then(reading);
  lastReading = mine.catch(() => {});
  return mine;
}

async function readFirstPage() {
  toldMeanwhile = [];
  try {
    const page = await read(`api/v1/slots?limit=${PAGE_SLOTS}`);
    body.replaceChildren();
    shown.clear();
    showPage(page);
  } finally {
    toldMeanwhile.forEach((slot) => show(slot, true));
    toldMeanwhile = null;
    showEnds();
  }
  summarySoon(0);
}

function showPage(page) {
  next = page.next ?? null;
  page.slots.forEach((slot) => show(slot, false));
  showEnds();
}

/** What stands below the rows: more to ask for, nothing at all, or why there is no more. */
function showEnds() {
  element("older").hidden = next === null;
  element("empty").hidden = shown.size > 0;
  element("bound").hidden = shown.size < SHOWN_SLOTS_MAX;
}

function setLive(state, words) {
  const live = element("live");
  if (live.dataset.live === state) return;
  live.dataset.live = state;
  live.textContent = words;
}

async function readOlder() {
  if (next === null) return; // The reading before this one came to the end.
  showPage(await read(`api/v1/slots?limit=${PAGE_SLOTS}&after=${encodeURIComponent(next)}`));
}

element("older").addEventListener("click", () => {
  inTurn(readOlder).catch((error) => setLive("lost", error.message));
});

const delay = (ms) => new Promise((resolve) => { setTimeout(resolve, Math.max(0, ms)); });

let resyncWaits = false;
let resyncedAt = -Infinity;

/** Reads everything again, soon; however often it is asked for meanwhile, once. */
function resync() {
  if (resyncWaits) return;
  resyncWaits = true;
  inTurn(async () => {
    await delay(resyncedAt + RESYNC_EVERY_MS - performance.now());
    resyncWaits = false;
    resyncedAt = performance.now();
    await readFirstPage();
  }).then(() => setLive("open", "Live"), (error) => setLive("lost", error.message));
}

// Listening comes first and reading second, so nothing falls between them.
const stream = new EventSource("api/v1/slots/stream");
stream.addEventListener("open", resync);
stream.addEventListener("resync", resync);
stream.addEventListener("error", () => setLive("lost", "The origin does not answer; trying again"));
stream.addEventListener("slot", ({ data }) => {
  const slot = JSON.parse(data);
  if (toldMeanwhile) {
    toldMeanwhile.push(slot);
  } else {
    show(slot, true);
    showEnds();
  }
  summarySoon(SUMMARY_EVERY_MS);
});
