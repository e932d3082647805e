// What televisions can load: wasm as it first was, in one page of memory. `tests/engines/es5.test.mjs` is about the scripts.

import assert from "node:assert/strict";
import { test } from "node:test";

import binaryen from "binaryen";

import { script, shortNames, wasm } from "./tv.mjs";

test("the wasm is valid as wasm first was, imports nothing, and exports no more than its calls", () => {
  const module = binaryen.readBinary(wasm);
  module.setFeatures(binaryen.Features.MVP);
  assert.ok(module.validate());
  const compiled = new WebAssembly.Module(wasm);
  assert.deepEqual(WebAssembly.Module.imports(compiled), []);
  const exported = WebAssembly.Module.exports(compiled);
  assert.deepEqual(exported.map(({ name }) => name).sort(), shortNames.sort());
});

test("the wasm has one page of memory, and never grows it", () => {
  const text = binaryen.readBinary(wasm).emitText();
  assert.match(text, /\(memory \S+ 1( 1)?\)/);
  assert.doesNotMatch(text, /memory\.grow/);
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
