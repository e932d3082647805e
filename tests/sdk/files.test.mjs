// What televisions can load: wasm as it first was, in one page of memory; scripts in ES5 that use what Chromium 38 has.

import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "acorn";
import binaryen from "binaryen";

import { makers, script, twin, wasm } from "./tv.mjs";

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

for (const [name, text] of Object.entries({ script, twin })) {
  test(`the ${name} is ES5 and names nothing that came after Chromium 38`, () => {
    const names = new Set();
    const tree = parse(text, { ecmaVersion: 5, sourceType: "script" });
    visit(tree, (node) => {
      if (node.type === "Identifier") names.add(node.name);
    });
    const LATER = [
      "fetch", "URL", "Map", "Set", "Symbol", "Proxy", "Reflect", "IntersectionObserver", "CustomEvent", "AbortController",
      "assign", "entries", "values", "includes", "from", "find", "findIndex", "padStart", "startsWith", "endsWith", "repeat",
      "finally", "append", "remove", "closest", "dataset", "classList", "BigInt", "globalThis", "queueMicrotask",
    ];
    assert.deepEqual(LATER.filter((later) => names.has(later)), []);
  });
}

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

function visit(node, see) {
  if (Array.isArray(node)) node.forEach((one) => visit(one, see));
  else if (node && typeof node.type === "string") {
    see(node);
    Object.values(node).forEach((child) => visit(child, see));
  }
}
