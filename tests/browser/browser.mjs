// What the browser tests share: one Chromium, pages that must not complain, and the origin's API.
//
// Environment: ORIGIN_URL and EDGE_URL say where the product runs; CHROMIUM names another browser; EDGE_RUNTIME, if set,
// goes into the names of the screenshots.

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

export const ORIGIN = required("ORIGIN_URL");
export const EDGE = required("EDGE_URL");
export const QUARTILES = ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"];

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--no-first-run",
  // Without it Chromium says that it is headless, and is taken for a crawler: nothing it plays would be billed.
  "--user-agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
];
const POLL_MS = 100;

function required(name) {
  const url = process.env[name];
  assert.ok(url, `set ${name} to where the product runs`);
  return url.replace(/\/+$/, "");
}

function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const candidates = ["chromium", "chromium-browser", "google-chrome"].flatMap((name) =>
    folders.map((folder) => join(folder, name)));
  return candidates.find(existsSync) ?? "/usr/bin/chromium";
}

export function launch() {
  return chromium.launch({ executablePath: findChromium(), args: FLAGS });
}

/** A profile that nobody had before. */
export function freshProfile(name) {
  return `${name}-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
}

/** A page, and everything it complained about. `expected` names complaints that a test provokes. */
export async function openPage(browser, path, { expected = /^$/, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  const complain = (text) => expected.test(text) || complaints.push(text);
  page.on("console", (message) => {
    if (message.type() === "error") complain(`${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => complain(String(error)));
  await page.goto(`${ORIGIN}/${path}`);
  return { page, complaints };
}

/** The player, ready to be played, and the break answers it gets. */
export async function openPlayer(browser, profile, options) {
  const opened = await openPage(browser, `player.html?profile=${profile}`, options);
  const breaks = [];
  opened.page.on("response", async (response) => {
    if (response.url() === `${EDGE}/v1/breaks` && response.request().method() === "POST") {
      breaks.push({ asked: response.request().postDataJSON(), answer: await response.json() });
    }
  });
  await opened.page.locator("#play:enabled").waitFor();
  return { ...opened, breaks };
}

export const inState = (page, state, timeout = 60_000) =>
  page.locator(`body[data-state="${state}"]`).waitFor({ timeout });

/** The SDK's events as the player listed them, oldest first. */
export async function eventsOn(page) {
  const listed = await page.locator("#events li").evaluateAll((rows) =>
    rows.map(({ dataset }) => ({ event: dataset.event, opportunityId: dataset.opportunityId })));
  return listed.reverse();
}

export async function api(path) {
  const response = await fetch(`${ORIGIN}/api/v1/${path}`);
  assert.equal(response.status, 200, path);
  return response.json();
}

/** The origin's rows of these opportunities, by id. Newest slots come first, so one page holds a test's. */
export async function rowsOf(ids) {
  const { slots } = await api("slots?limit=200");
  return new Map(slots.filter((slot) => ids.includes(slot.opportunity_id)).map((slot) => [slot.opportunity_id, slot]));
}

/** Asks `read` again until `isGood`; fails with what it read last. */
export async function eventually(what, read, isGood, withinMs = 15_000) {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const value = await read();
    if (isGood(value)) return value;
    if (Date.now() > deadline) assert.fail(`not within ${withinMs} ms: ${what}\n${JSON.stringify(value, null, 1)}`);
    await delay(POLL_MS);
  }
}

export const eventNames = (row) => row.events.map(({ event }) => event);

const VIEWS = ["viewable", "notViewable", "viewUndetermined"];
/** All but what says whether it was in view, which depends on how busy the machine is. */
export const playedNames = (row) => eventNames(row).filter((event) => !VIEWS.includes(event));

const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../target", import.meta.url));

export async function screenshot(page, name, options = {}) {
  const folder = join(target, "screenshots");
  mkdirSync(folder, { recursive: true });
  const file = [process.env.EDGE_RUNTIME, name].filter(Boolean).join("-");
  await page.screenshot({ path: join(folder, `${file}.png`), animations: "disabled", ...options });
}
