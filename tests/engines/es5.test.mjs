// What is older than the oldest engine that the scenarios run on: the shipped files for televisions must parse there, and use
// nothing that is not there. SDK names the folder of the SDK as built.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { parse } from "acorn";

import { foreignNames } from "./names.mjs";

const FOLDER = process.env.SDK ?? fileURLToPath(new URL("../../sdk/dist", import.meta.url));
const SCRIPTS = ["slotkeeper-tv.js", "slotkeeper-tv.asm.js"];
const { oldest, since, guarded } = JSON.parse(readFileSync(new URL("old-engines.json", import.meta.url), "utf8"));

const shipped = (name) => readFileSync(join(FOLDER, "tv", name));
const repository = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const isOf = Object.hasOwn;
const asEs5 = (source) => parse(String(source), { ecmaVersion: 5, sourceType: "script" });

/** What is no platform's: what the wasm exports, what the API's types name, what the edge's answers hold. */
async function ours() {
  const module = await WebAssembly.compile(shipped("slotkeeper-tv.wasm"));
  const exported = WebAssembly.Module.exports(module).map(({ name }) => name);
  const typed = repository("sdk/types/slotkeeper.d.ts").match(/\w+/g);
  const answered = [...repository("edge/openapi.json").matchAll(/"(\w+)":/g)].map(([, name]) => name);
  return new Set([...exported, ...typed, ...answered]);
}

/** What a script takes that the oldest engine may not have. */
function tooNew(source, known) {
  const { globals, properties } = foreignNames(asEs5(source));
  const isThere = (name) => (isOf(since, name) && since[name] <= oldest) || isOf(guarded, name);
  return [
    ...globals.filter((name) => !isThere(name)),
    ...properties.filter((name) => !isThere(name) && (isOf(since, name) || !known.has(name))),
  ];
}

for (const name of SCRIPTS) {
  test(`${name} is ES5`, () => {
    asEs5(shipped(name));
  });

  test(`${name} uses nothing that Chromium ${oldest} lacks`, async () => {
    assert.deepEqual(tooNew(shipped(name), await ours()), [], "add to old-engines.json what is old enough, or guarded");
  });
}

test("what is too new is found", () => {
  assert.throws(() => asEs5("let x = 1"));
  assert.throws(() => asEs5("f(() => 1)"));
  const script = "(function () { var own = { made: 1 }; own.set2 = 2; fetch('/').then(own.made, own.set2); [].flat(); }());";
  assert.deepEqual(tooNew(script, new Set()), ["fetch", "flat"]);
});
