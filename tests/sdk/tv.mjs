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

const glue = readFileSync(new URL("../../sdk/tv/glue.js", import.meta.url), "utf8");

/** The exports' names are short; these are what Rust calls them. */
const rust = readFileSync(new URL("../../sdk/tv/src/exports.rs", import.meta.url), "utf8");
const names = [...rust.matchAll(/^ {4}"(\w)" (\w+)\(/gm)].map(([, short, name]) => [name, short]);

export const shortNames = names.map(([, short]) => short);

const named = (exports) => Object.fromEntries(names.map(([name, short]) => {
  assert.equal(typeof exports[short], "function", name);
  return [name, exports[short]];
}));

/** Of the glue: what joins what the wasm writes to the text that is posted. */
const [, joining] = glue.match(/^( {2}\/\/ The name of each event at its code[^]*?^ {2}}\n)/m) ?? assert.fail("there is no join");
export const joined = new Function(`${joining}\nreturn join;`)();

/** Ways to make a fresh instance's exports. */
export const makers = {
  wasm: () => named(new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports),
  twin() {
    // As a page runs it: it leaves its maker at its own element.
    const document = { currentScript: {} };
    new Function("document", twin)(document);
    assert.equal(typeof document.currentScript.instantiate, "function");
    return named(document.currentScript.instantiate());
  },
};
