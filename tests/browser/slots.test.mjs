// The list of slots against an origin whose answers the test writes: what the demo never provokes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { eventually, launch, openPage } from "./browser.mjs";

const SHOWN_SLOTS_MAX = 1_000;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** A slot as the API tells it; the higher the number, the newer. */
const slot = (number) => ({
  opportunity_id: `opportunity-${number}`, break_id: `break-${number}`, slot_index: 0, decided_at_ms: 1_800_000_000_000 + number,
  title_id: "t", position: "midroll", outcome: "unfilled", unfilled_reason: "pacing_throttled", max_duration_ms: 10_000,
  candidates: 0, eliminated: {}, events: [], edge_id: "e", plan_version: 1, recording: "committed", ad: null,
});

const json = (body) => ({ status: 200, contentType: "application/json", body: JSON.stringify(body) });

/** The page; its stream tells `events` once, and `answer` gives what is read of the slots. */
async function open(events, answer) {
  const { page, complaints } = await openPage(browser, "index.html"); // which reads nothing
  const reads = [];
  await page.route("**/api/v1/slots/stream", (route) =>
    route.fulfill({ status: 200, contentType: "text/event-stream", body: `retry: 600000\n\n${events}` }));
  await page.route(/\/api\/v1\/slots\?/, async (route) => {
    const query = new URL(route.request().url()).searchParams;
    reads.push(query.get("after"));
    await route.fulfill(json(await answer(query, reads.length)));
  });
  await page.goto(new URL("slots.html", page.url()).href);
  const listed = () => page.locator("#slots tr[data-opportunity-id]").evaluateAll((rows) =>
    rows.map(({ dataset }) => dataset.opportunityId));
  return { page, complaints, reads, listed };
}

const ids = (numbers) => numbers.map((number) => `opportunity-${number}`);

test("however often the stream asks for a new reading, one at a time is made", { timeout: 60_000 }, async () => {
  const tell = (number) => `event: slot\ndata: ${JSON.stringify(slot(number))}\n\n`;
  const resync = "event: resync\ndata: {}\n\n";
  let underWay = 0;
  let underWayMax = 0;
  const { page, complaints, reads, listed } = await open(resync.repeat(20) + tell(3) + resync.repeat(20), async () => {
    underWay += 1;
    underWayMax = Math.max(underWayMax, underWay);
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    underWay -= 1;
    return { slots: [3, 2, 1].map(slot), next: null };
  });
  await eventually("the slots", listed, (list) => list.length >= 3);
  await page.waitForTimeout(2_500); // for readings that should not come
  assert.deepEqual(await listed(), ids([3, 2, 1]));
  assert.equal(underWayMax, 1);
  assert.ok(reads.length <= 2, `${reads.length} readings`);
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("older slots can be asked for until the page is full, without a gap", { timeout: 60_000 }, async () => {
  const newest = 2_000;
  const { page, complaints, reads, listed } = await open("", (query) => {
    const from = Number(query.get("after") ?? newest);
    const numbers = Array.from({ length: 300 }, (_, index) => from - index);
    return { slots: numbers.map(slot), next: String(from - 300) };
  });
  const older = page.locator("#older");
  for (let count = 600; count <= 1_200; count += 300) {
    await older.click();
    await eventually("more rows", listed, (list) => list.length === Math.min(count, SHOWN_SLOTS_MAX));
  }
  assert.deepEqual(await listed(), ids(Array.from({ length: SHOWN_SLOTS_MAX }, (_, index) => newest - index)));
  assert.ok(await older.isHidden(), "a further one would leave a gap");
  assert.ok(await page.locator("#bound").isVisible());
  assert.deepEqual(reads, [null, "1700", "1400", "1100"]);
  assert.deepEqual(complaints, []);
  await page.context().close();
});
