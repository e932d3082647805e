// What televisions can load: wasm as it first was, in one page of memory. `tests/engines/es5.test.mjs` is about the scripts.

import assert from "node:assert/strict";
import { test } from "node:test";

import binaryen from "binaryen";

import { makers, script, wasm } from "./tv.mjs";

const PAGE_BYTES = 65_536;

test("the wasm is valid as wasm first was, imports nothing, and exports no more than its calls and one memory", () => {
  const module = binaryen.readBinary(wasm);
  module.setFeatures(binaryen.Features.MVP);
  assert.ok(module.validate());
  const compiled = new WebAssembly.Module(wasm);
  assert.deepEqual(WebAssembly.Module.imports(compiled), []);
  const exported = WebAssembly.Module.exports(compiled);
  assert.deepEqual(exported.filter(({ kind }) => kind !== "function"), [{ name: "memory", kind: "memory" }]);
  assert.deepEqual(exported.filter(({ name }) => name.startsWith("_")), []);
});

test("the wasm has one page of memory, and never grows it", () => {
  const { memory } = makers.wasm();
  assert.equal(memory.buffer.byteLength, PAGE_BYTES);
  // 0x40 0x00 is memory.grow; in text, it is called so.
  assert.doesNotMatch(binaryen.readBinary(wasm).emitText(), /memory\.grow/);
});

test("the script defines Slotkeeper and nothing else, and as a module not even that", () => {
  const window = {};
  const document = { currentScript: { src: "https://app.example/slotkeeper-tv.js" } };
  new Function("window", "document", "module", script)(window, document, undefined);
  assert.deepEqual(Object.keys(window), ["Slotkeeper"]);
  assert.deepEqual(Object.keys(window.Slotkeeper), ["init", "AdClient"]);
  const module = { exports: {} };
  new Function("window", "document", "module", script)(window, document, module);
  assert.deepEqual(Object.keys(module.exports), ["init", "AdClient"]);
});
