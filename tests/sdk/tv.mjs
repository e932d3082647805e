// The television's files as built, and instances of them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = process.env.SDK_TV ?? fileURLToPath(new URL("../../sdk/dist/tv", import.meta.url));

export const read = (name) => readFileSync(join(folder, name));

export const wasm = read("slotkeeper-tv.wasm");
export const script = read("slotkeeper-tv.js").toString();
export const twin = read("slotkeeper-tv.asm.js").toString();

/** Ways to make a fresh instance's exports. */
export const makers = {
  wasm: () => new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports,
  twin() {
    // As a page runs it: it leaves its maker at its own element.
    const document = { currentScript: {} };
    new Function("document", twin)(document);
    assert.equal(typeof document.currentScript.instantiate, "function");
    return document.currentScript.instantiate();
  },
};
