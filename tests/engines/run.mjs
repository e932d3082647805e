// Runs scenarios on engines with skins, and says what arrived of what: `node run.mjs --help`.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { ENGINES, FOLDER, startable } from "./engines.mjs";
import { SCENARIOS } from "./scenarios/all.mjs";
import { SKINS, Stage } from "./stage.mjs";
import { list, matrix, totals, totalsTable } from "./table.mjs";
import { judge } from "./verdict.mjs";

/** How long a run may take, with its browser's start. */
const RUN_MS_MAX = 60_000;
/** How long what was handed to the browser may take to arrive after its page has gone. */
const ARRIVAL_MS_MAX = 10_000;
/** How many of those that failed are played again. */
const AGAIN_MAX = 12;
/** How long nothing more must come, once all has. Nothing announces that nothing will. */
const QUIET_MS = 400;

const HELP = `node tests/engines/run.mjs [--engine NAME]… [--skin NAME]… [--scenario TEXT]… [--jobs N] [--times N] [--sdk FOLDER] [--list]

  --engine    ${ENGINES.map(({ name }) => name).join(", ")}; all, if none is named
  --skin      ${Object.keys(SKINS).join(", ")}; all, if none is named
  --scenario  those with TEXT in their name
  --jobs      how many at a time
  --times     how often each
  --sdk       the folder that is served as /sdk
  --out       the folder for sdk-scenarios.md and .json
  --list      names the scenarios, runs none`;

const { values: options } = parseArgs({
  options: {
    engine: { type: "string", multiple: true }, skin: { type: "string", multiple: true },
    scenario: { type: "string", multiple: true }, jobs: { type: "string", default: "8" }, times: { type: "string", default: "1" },
    sdk: { type: "string", default: fileURLToPath(new URL("../../sdk/dist", import.meta.url)) },
    out: { type: "string", default: dirname(FOLDER) },
    list: { type: "boolean" }, help: { type: "boolean" }, verbose: { type: "boolean" },
  },
});

function chosen(what, names, wanted, isMeant = (name, text) => name === text) {
  const unknown = (wanted ?? []).find((text) => !names.some((name) => isMeant(name, text)));
  if (unknown !== undefined) throw new Error(`no ${what} is called ${unknown}; there are: ${names.join(", ")}`);
  return names.filter((name) => !wanted || wanted.some((text) => isMeant(name, text)));
}

/** One scenario on one engine with one skin. */
async function run({ scenario, engine, skin, startable }) {
  const stage = new Stage(scenario, skin, startable, options.sdk);
  const problems = [];
  try {
    await stage.start();
    await within(RUN_MS_MAX, play(scenario, stage));
  } catch (error) {
    problems.push(String(error.message ?? error));
  }
  const { problems: found, ...counts } = judge(scenario, stage);
  problems.push(...found);
  if (problems.length && !stage.heard.length) problems.push(`the engine said: ${stage.browser?.said.slice(-600)}`);
  if (options.verbose) console.log(JSON.stringify({ heard: stage.heard, batches: stage.edge.batches }, null, 1));
  await stage.stop();
  return { scenario: scenario.name, note: scenario.note, engine: engine.name, skin, counts, problems };
}

/** To where nothing more can come: the page says that nothing waits; or it has gone, and what it left has arrived. */
async function play(scenario, stage) {
  const engineEnded = stage.browser.ended.then((how) => {
    if (!scenario.drive) throw new Error(`the engine ended: ${how}`);
    return new Promise(() => {}); // it was meant to
  });
  const all = Promise.all([scenario.drive?.(stage), scenario.isLeft ? stage.marked("leaving") : stage.over()]);
  await Promise.race([all, engineEnded]);
  if (scenario.isLeft) await within(ARRIVAL_MS_MAX, stage.edge.until(() => judge(scenario, stage).lost === 0)).catch(() => {});
  await new Promise((resolve) => { setTimeout(resolve, QUIET_MS); });
}

function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not over after ${ms} ms`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function main() {
  if (options.help) return console.log(HELP);
  if (options.list) return SCENARIOS.forEach(({ name }) => console.log(name));
  const contains = (name, text) => name.includes(text);
  const scenarios = chosen("scenario", SCENARIOS.map(({ name }) => name), options.scenario, contains);
  const skins = chosen("skin", Object.keys(SKINS), options.skin);
  const engines = chosen("engine", ENGINES.map(({ name }) => name), options.engine);

  const skipped = [];
  const jobs = [];
  for (const engine of ENGINES.filter(({ name }) => engines.includes(name))) {
    const how = startable(engine);
    if (how.missing) {
      skipped.push({ engine: engine.name, why: how.missing });
      continue;
    }
    for (const skin of skins.filter((skin) => SKINS[skin].engines?.includes(engine.name) ?? true)) {
      if (!existsSync(join(options.sdk, SKINS[skin].script.slice(5)))) throw new Error(`${options.sdk} has no ${SKINS[skin].script.slice(5)}`);
      for (const scenario of SCENARIOS.filter(({ name }) => scenarios.includes(name))) {
        for (let nth = 0; nth < Number(options.times); nth += 1) jobs.push({ scenario, engine, skin, startable: how });
      }
    }
  }

  const began = performance.now();
  const results = new Array(jobs.length);
  let next = 0;
  await Promise.all(Array.from({ length: Number(options.jobs) }, async () => {
    while (next < jobs.length) {
      const at = next;
      next += 1;
      const result = await run(jobs[at]);
      results[at] = result;
      const { scenario, engine, skin, problems } = result;
      if (problems.length) console.log(`FAILED: ${scenario} on ${engine} with ${skin}\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
    }
  }));

  // Eight browsers on a small machine starve each other, and a scenario is made of moments. So what failed is played once more, alone:
  // what is wrong with the SDK fails again. Where much fails, it is not the machine.
  const toPlayAgain = results.flatMap(({ problems }, at) => (problems.length ? [at] : []));
  if (Number(options.jobs) > 1 && toPlayAgain.length <= AGAIN_MAX) {
    for (const at of toPlayAgain) {
      const alone = await run(jobs[at]);
      console.log(`ALONE: ${alone.scenario} on ${alone.engine} with ${alone.skin}: ${alone.problems.join("; ") || "as it should be"}`);
      results[at] = alone;
    }
  }

  const seconds = Math.round((performance.now() - began) / 1_000);
  const overview = matrix(results, { seconds, skipped });
  const sums = totals(results);
  mkdirSync(options.out, { recursive: true });
  writeFileSync(join(options.out, "sdk-scenarios.md"), [overview, totalsTable(sums), list(results)].join("\n"));
  writeFileSync(join(options.out, "sdk-scenarios.json"), `${JSON.stringify({ seconds, skipped, totals: sums, results }, null, 1)}\n`);
  console.log(`\n${overview}\n${totalsTable(sums)}`);
  const failed = results.filter(({ problems }) => problems.length).length;
  // As `node --test` counts, for whoever adds up.
  console.log(`# pass ${results.length - failed}\n# fail ${failed}\n# skipped ${skipped.length}`);
  if (failed > 0) process.exitCode = 1;
}

await main();
