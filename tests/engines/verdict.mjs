// What arrived, held against what should have.

import { slotOf } from "./stage.mjs";

/** How far the time of an event, by its age, may be from when the page heard of it: two busy cores take their time, and Chromium
 * itself may send a request again that a broken connection swallowed, with the ages of the first time. */
const AGE_MS_TOLERANCE = 2_500;

/** What a run amounts to: five counts, and everything that is wrong with it. */
export function judge(scenario, { edge, heard, outcome }) {
  const expected = new Set(Object.entries(scenario.expected).flatMap(([slot, events]) => events.map((event) => `${slot} ${event}`)));
  const taken = edge.batches.filter(({ took }) => took);
  const lines = taken.flatMap((batch) => batch.lines.map((line) => ({
    key: `${slotOf(line.token)} ${line.event}`, detail: line.detail, happenedAtMs: batch.atMs - line.ageMs - batch.heldMs,
  })));
  const arrived = new Set(lines.map(({ key }) => key));
  const lost = [...expected].filter((key) => !arrived.has(key));
  const invented = [...arrived].filter((key) => !expected.has(key));
  const duplicated = scenario.repeats ? repeatedWithinBatches(taken) : lines.length - arrived.size;

  const problems = [
    ...lost.map((key) => `lost: ${key}`),
    ...invented.map((key) => `invented: ${key}`),
    ...edge.malformed.map((what) => `malformed: ${what}`),
    ...edge.batches.filter(({ type }) => !type.startsWith("text/plain")).map(({ type }) => `a batch of type ${type}`),
    ...timesOff(lines, heard),
    ...notHeard(scenario, expected, heard),
    ...detailsOff(scenario, lines),
  ];
  if (duplicated > 0 && !scenario.duplicates) problems.push(`${duplicated} came twice`);
  if (outcome?.error) problems.push(`the page failed: ${outcome.error}`);
  const check = scenario.check?.({ edge, heard, batches: edge.batches });
  if (check) problems.push(check);
  return { expected: expected.size, arrived: expected.size - lost.length, duplicated, invented: invented.length, lost: lost.length, problems };
}

/** Beacons of batches that came more than once. */
function repeatedWithinBatches(taken) {
  const seen = new Set();
  let count = 0;
  for (const { session, sequence, lines } of taken) {
    const key = `${session} ${sequence}`;
    count += seen.has(key) ? lines.length : 0;
    seen.add(key);
  }
  return count;
}

/** Events that did not happen when they are said to have happened. */
function timesOff(lines, heard) {
  return lines.flatMap(({ key, happenedAtMs }) => {
    const times = heard.filter((one) => one.key === key).map(({ atMs }) => happenedAtMs - atMs);
    if (times.length === 0) return [];
    const offMs = times.reduce((least, off) => (Math.abs(off) < Math.abs(least) ? off : least));
    return Math.abs(offMs) <= AGE_MS_TOLERANCE ? [] : [`${key} is said to have happened ${offMs} ms after it did`];
  });
}

/** What the app was told must be what the origin is to have. */
function notHeard(scenario, expected, heard) {
  const told = new Set(heard.map(({ key }) => key).filter((key) => !/ break(Start|End)$/.test(key)));
  // A page that is being left may not get to say what it was told.
  const missing = scenario.isLeft || scenario.again ? [] : [...expected].filter((key) => !told.has(key));
  const more = scenario.heardMore ? [] : [...told].filter((key) => !expected.has(key));
  return [...missing.map((key) => `the app was not told of ${key}`), ...more.map((key) => `the app was told of ${key}`)];
}

function detailsOff(scenario, lines) {
  return Object.entries(scenario.details ?? {}).flatMap(([key, detail]) =>
    lines.filter((line) => line.key === key && line.detail !== detail).map((line) => `${key} says ${line.detail}, not ${detail}`));
}
