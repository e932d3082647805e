// The rules are the same wherever they run: a script of random calls, with what each gave natively, is played against the wasm and
// against its twin in JavaScript. SDK_SCRIPT names the script, which `cargo run -p slotkeeper-sdk-tv --example script FILE` writes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { makers } from "./tv.mjs";

const CALLS_MIN = 20_000;
const TEXT_BYTES = 8_192;
/** These put a text into the buffer before the call; the others that have one find it there after it. */
const READ = new Set(["start", "add"]);

assert.ok(process.env.SDK_SCRIPT, "set SDK_SCRIPT to a script of calls");
const lines = readFileSync(process.env.SDK_SCRIPT, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));

for (const [name, make] of Object.entries(makers)) {
  test(`${name} gives what the native core gives, byte for byte`, () => {
    let core;
    let bytes;
    const seen = new Map();
    lines.forEach(([call, given, expected, text], at) => {
      if (call === "new") {
        core = make();
        bytes = new Uint8Array(core.memory.buffer, core.text(), TEXT_BYTES);
        return;
      }
      if (READ.has(call)) bytes.set(Buffer.from(text));
      const result = core[call](...given.map(Number));
      const where = `line ${at + 1}: ${call}(${given})`;
      if (call === "wait") assert.ok(Object.is(result, Number(expected)), `${where} is ${result}, not ${expected}`);
      else assert.equal((result ?? 0) >>> 0, Number(expected) >>> 0, where);
      if (text !== undefined && !READ.has(call)) {
        assert.equal(Buffer.from(bytes.subarray(0, result)).toString("latin1"), text, where);
      }
      // For a script that proves something: which events came, and which calls wrote.
      if (call === "look" || call === "end" || call === "click") {
        for (let bit = 0; bit < 32; bit += 1) if (result >>> bit & 1) seen.set(bit, (seen.get(bit) ?? 0) + 1);
      }
      if (text) seen.set(call, (seen.get(call) ?? 0) + 1);
    });
    assert.ok(lines.length > CALLS_MIN, `${lines.length} calls`);
    for (let bit = 0; bit <= 18; bit += 1) assert.ok(seen.has(bit), `nothing made bit ${bit} due`);
    for (const bit of [30, 31]) assert.ok(seen.has(bit), `nothing made bit ${bit} due`);
    for (const call of ["batch", "parting", "record", "names"]) assert.ok(seen.get(call) >= 10, `${call} wrote hardly ever`);
  });
}
