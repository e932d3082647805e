// Where one scenario plays: the page's server with its media, the edge, and the browser.

import { readFileSync } from "node:fs";
import http from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { Browser } from "./browser.mjs";
import { Edge, read } from "./edge.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const MIME = {
  ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".webm": "video/webm", ".html": "text/html",
};
/** Where a stalling server stops. Chromium reads blocks of 32 KiB, so with less nothing would begin. */
const STALL_AFTER_BYTES = 40_000;

const { newer } = JSON.parse(readFileSync(new URL("old-engines.json", import.meta.url), "utf8"));

/** How each skin is loaded, and what the page hides from it. `engines`: runs on these only. */
export const SKINS = {
  /** Browsers' skin. */
  web: { script: "/sdk/web/slotkeeper.js", hides: [] },
  tv: { script: "/sdk/tv/slotkeeper-tv.js", hides: [] },
  /** A set without WebAssembly. */
  "tv-twin": { script: "/sdk/tv/slotkeeper-tv.js", hides: ["WebAssembly"] },
  /** As on webOS 3, as far as hiding goes: nothing that is newer than Chromium 38. */
  "tv-oldest": { script: "/sdk/tv/slotkeeper-tv.js", hides: newer, engines: ["chromium-64"] },
};

export class Stage {
  constructor(scenario, skin, startable, sdk) {
    Object.assign(this, { scenario, skin, startable, sdk });
    this.heard = [];
    this.marks = new Set();
    this.outcome = null;
    this.isStalling = false;
    this.held = new Set();
    this.waiting = new Set();
  }

  async start() {
    this.edge = new Edge(this.scenario.breaks.map((slots) => slots.map((slot) => this.#slot(slot))));
    await this.edge.start();
    this.server = http.createServer((request, response) => {
      this.#serve(request, response).catch((error) => response.writeHead(500).end(String(error)));
    });
    await new Promise((resolve) => { this.server.listen(0, "127.0.0.1", resolve); });
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    this.profile = await mkdtemp(join(tmpdir(), "slotkeeper-engine-"));
    this.open("/page");
  }

  /** A browser with this page, on this run's profile. */
  open(path) {
    this.outcome = null;
    this.browser = new Browser(this.startable, this.profile, this.url + path);
    this.browser.ended.then(() => this.#changed());
  }

  async stop() {
    await this.browser?.kill();
    this.edge?.stop();
    this.held.forEach((release) => release());
    this.server?.close();
    this.server?.closeAllConnections();
    if (this.profile) await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Resolves when the page said that it got there, in vain or not. */
  marked(name) {
    return this.#until(() => this.marks.has(name) || this.outcome);
  }

  /** Resolves with what the page said at its end. */
  async over() {
    await this.#until(() => this.outcome);
    return this.outcome;
  }

  async #until(isSo) {
    while (!isSo()) await new Promise((resolve) => { this.waiting.add(resolve); });
  }

  #changed() {
    const waiting = [...this.waiting];
    this.waiting.clear();
    waiting.forEach((resolve) => resolve());
    this.edge.changed();
  }

  /** A slot that a scenario wrote, with the addresses of this run. */
  #slot({ isEmpty, media = "ad-3.webm", durationMs = 3_000, lifeMs = 3_600_000, clickUrl }) {
    return (number, index, decidedAtMs) => (isEmpty ? {
      slot_index: index, opportunity_id: `opportunity-${number}-${index}`, outcome: "unfilled", unfilled_reason: "frequency_capped",
    } : {
      slot_index: index, opportunity_id: `opportunity-${number}-${index}`, outcome: "filled", fill_reason: "guaranteed",
      token: token(number, index), expires_at_ms: decidedAtMs + lifeMs,
      ad: {
        ad_id: 7, creative_id: 7, universal_ad_id: "unknown", name: "Ad", duration_ms: durationMs,
        click_through: clickUrl,
        media: [{ url: `${this.url}/media/${media}`, mime_type: "video/webm", width: 320, height: 180 }],
      },
    });
  }

  async #serve(request, response) {
    const [path, query = ""] = request.url.split("?");
    if (path.startsWith("/control/")) return this.#control(path.slice(9), query, await read(request), response);
    if (path === "/page" || path === "/again") return send(response, "text/html", this.#page());
    if (path === "/scenario.js") return send(response, "text/javascript", `const scenario = ${this.#pageScript(request)};`);
    if (path === "/elsewhere") return send(response, "text/html", "<!doctype html><title>elsewhere</title>");
    if (path === "/page.js") return send(response, "text/javascript", readFileSync(join(HERE, "page.js")));
    const file = normalize(path).slice(1);
    if (file.startsWith("media/")) return this.#media(join(HERE, file), request, response);
    if (file.startsWith("sdk/")) return send(response, MIME[extname(file)] ?? "text/plain", readFileSync(join(this.sdk, file.slice(4))));
    return void response.writeHead(404).end();
  }

  #pageScript(request) {
    const isSecond = /\/again$/.test(request.headers.referer ?? "");
    const shared = Object.entries(this.scenario.shared ?? {}).map(([name, act]) => `t.${name} = ${act}; `);
    return `(t) => { ${shared.join("")}return (${isSecond ? this.scenario.again : this.scenario.page})(t); }`;
  }

  #page() {
    const { script, hides } = SKINS[this.skin];
    const run = { skin: this.skin, sdk: script, hides, edge: this.edge.url, fault: this.scenario.fault };
    return `<!doctype html><meta charset="utf-8"><title>scenario</title><body style="margin:0">
<video width="320" height="180" style="display:block"></video><div style="height:3000px"></div>
<script>window.run = ${JSON.stringify(run)};</script>
<script src="/scenario.js"></script><script src="/page.js"></script>`;
  }

  #control(what, query, body, response) {
    const given = body ? JSON.parse(body) : null;
    if (what === "edge") this.edge.set(given);
    if (what === "media") this.#setStalling(given.stalls);
    if (what === "mark") this.marks.add(query);
    if (what === "heard") this.heard.push(given);
    if (what === "over") this.outcome = given;
    this.#changed();
    send(response, "text/plain", "");
  }

  #setStalling(stalls) {
    this.isStalling = stalls;
    if (stalls) return;
    this.held.forEach((release) => release());
    this.held.clear();
  }

  /** A file, whole or in part; the rest of it only when the server does not stall. */
  async #media(path, request, response) {
    let bytes;
    try {
      bytes = readFileSync(path);
    } catch {
      return void response.writeHead(404).end();
    }
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const from = Number(first ?? 0);
    const to = last ? Math.min(Number(last), bytes.length - 1) : bytes.length - 1;
    const headers = { "content-type": "video/webm", "accept-ranges": "bytes", "cache-control": "no-store", "content-length": to - from + 1 };
    if (first !== undefined) headers["content-range"] = `bytes ${from}-${to}/${bytes.length}`;
    response.writeHead(first === undefined ? 200 : 206, headers);
    const stop = STALL_AFTER_BYTES;
    if (this.isStalling && to > stop) {
      if (from < stop) response.write(bytes.subarray(from, stop));
      await new Promise((resolve) => { this.held.add(resolve); });
      return void response.end(bytes.subarray(Math.max(from, stop), to + 1));
    }
    return void response.end(bytes.subarray(from, to + 1));
  }
}

function send(response, type, body) {
  response.writeHead(200, { "content-type": type, "cache-control": "no-store" }).end(body);
}

/** A token as long as the edge's, that says whose it is. */
export const token = (number, index) => `b${number}s${index}_`.padEnd(64, "t");
/** Whose token it is: `0.1` is the second slot of the first break. */
export const slotOf = (given) => /^b(\d+)s(\d+)_t+$/.exec(given)?.slice(1).join(".") ?? `unknown ${given}`;
