// The rules are the same wherever they run: a script of random calls, with what each gave natively, is played against the wasm and
// against its twin in JavaScript, and the texts that the glue makes of it are those that the native core writes. SDK_SCRIPT names the script, which `cargo run -p slotkeeper-sdk-tv --example script FILE` writes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { joined, makers } from "./tv.mjs";

const CALLS_MIN = 20_000;
assert.ok(process.env.SDK_SCRIPT, "set SDK_SCRIPT to a script of calls");
const lines = readFileSync(process.env.SDK_SCRIPT, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

for (const [name, make] of Object.entries(makers)) {
  test(`${name} gives what the native core gives, byte for byte`, () => {
    let core;
    let sessionId;
    let tokens;
    const seen = new Map();
    lines.forEach(([call, given, expected, text], at) => {
      if (call === "new") {
        core = make();
        tokens = [];
        return;
      }
      const result = core[call](...given.map(Number));
      const where = `line ${at + 1}: ${call}(${given})`;
      assert.equal((result ?? 0) >>> 0, Number(expected) >>> 0, where);
      if (call === "start") sessionId = text;
      if (call === "add" && result >= 0) tokens[result] = text;
      if (call === "write") {
        assert.equal(result ? joined(result, core.number, sessionId, tokens) : "", text, where);
        if (text) seen.set(`write ${given[0]}`, (seen.get(`write ${given[0]}`) ?? 0) + 1);
      }
      // For a script that proves something: which events came, and which calls wrote.
      if (call === "look" || call === "act") {
        for (let bit = 0; bit < 32; bit += 1) if (result >>> bit & 1) seen.set(bit, (seen.get(bit) ?? 0) + 1);
      }
    });
    assert.ok(lines.length > CALLS_MIN, `${lines.length} calls`);
    for (let bit = 0; bit <= 18; bit += 1) assert.ok(seen.has(bit), `nothing made bit ${bit} due`);
    for (const bit of [30, 31]) assert.ok(seen.has(bit), `nothing made bit ${bit} due`);
    for (const what of [0, 1, 2]) assert.ok(seen.get(`write ${what}`) >= 10, `${what} was written hardly ever`);
  });
}
