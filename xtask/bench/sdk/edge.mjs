// The edge and the ad server that the measured libraries ask and report to, and their files: on one origin, so that
// nobody's requests are asked for twice.

import { readFileSync } from "node:fs";
import http from "node:http";

const PAGE = `<!doctype html><title>measured</title><video width="640" height="360"></video>
<script type="module" src="/page.js"></script>`;
const AD_MS = 30_000;
const LIFE_MS = 24 * 3_600_000;
const QUARTILES = ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"];
const TYPES = { js: "text/javascript", wasm: "application/wasm", map: "application/json" };

export class Edge {
  /** `files`: what lies at which path; `folders`: what lies below which. */
  constructor({ files, folders }) {
    this.files = files;
    this.folders = folders;
    this.asked = 0;
    /** `token event`, once each, of the events that everybody reports. */
    this.reported = new Set();
    this.server = http.createServer((request, response) => this.#serve(request, response));
  }

  async start() {
    await new Promise((resolve) => { this.server.listen(0, "127.0.0.1", resolve); });
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }

  /** Forgets what was reported, and how often it was asked. */
  reset() {
    this.asked = 0;
    this.reported.clear();
  }

  /** How many ads were reported from beginning to end. */
  get wholeAds() {
    return this.reported.size / QUARTILES.length;
  }

  #serve(request, response) {
    const path = request.url.split("?")[0];
    const [, first, second, third] = path.split("/");
    const send = (status, type, body) => {
      // Isolated pages have a clock of 5 µs.
      const isolated = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
      response.writeHead(status, { "content-type": type, "cache-control": "no-store", ...isolated }).end(body);
    };
    const json = (status, value) => send(status, TYPES.map, JSON.stringify(value));
    if (path === "/") return send(200, "text/html", PAGE);
    if (path === "/vast") return send(200, "text/xml", this.#vast());
    if (first === "pixel") {
      this.#report(second, third);
      return response.writeHead(204).end();
    }
    if (first === "v1") {
      return read(request).then((body) => (second === "breaks" ? json(200, this.#break(JSON.parse(body))) : json(202, this.#batch(body))));
    }
    const file = this.files[path] ?? (this.folders[first] && second && new URL(second, this.folders[first]));
    if (!file) return send(404, "text/plain", "");
    return send(200, TYPES[path.split(".").at(-1)] ?? "text/plain", readFileSync(file));
  }

  #break({ request_id }) {
    const token = this.#token();
    const decided_at_ms = Date.now();
    const slot = {
      slot_index: 0, opportunity_id: token, outcome: "filled", fill_reason: "guaranteed", token,
      expires_at_ms: decided_at_ms + LIFE_MS,
      ad: {
        ad_id: 1, creative_id: 1, universal_ad_id: "unknown", name: "Ad", duration_ms: AD_MS,
        media: [{ url: `${this.url}/ad.webm`, mime_type: "video/webm", width: 640, height: 360 }],
      },
    };
    return { request_id, break_id: token, plan_version: 1, decided_at_ms, slots: [slot] };
  }

  #batch(text) {
    const [head, ...lines] = text.trimEnd().split("\n");
    const [version, session_id, sequence] = head.split(" ");
    if (version !== "sk1") throw new Error(`no head of a batch: ${head}`);
    for (const line of lines) this.#report(...line.split(" "));
    return { session_id, sequence: Number(sequence), accepted: lines.length, refused: [] };
  }

  #vast() {
    const token = this.#token();
    const url = (event) => `<![CDATA[${this.url}/pixel/${token}/${event}]]>`;
    const trackers = QUARTILES.map((event) => `<Tracking event="${event}">${url(event)}</Tracking>`).join("");
    return `<VAST version="4.3"><Ad id="1"><InLine><AdSystem>s</AdSystem><AdTitle>Ad</AdTitle><AdServingId>${token}</AdServingId>
<Impression>${url("impression")}</Impression><Creatives><Creative id="1"><UniversalAdId idRegistry="unknown">unknown</UniversalAdId>
<Linear><Duration>00:00:30</Duration><TrackingEvents>${trackers}</TrackingEvents><MediaFiles>
<MediaFile delivery="progressive" type="video/webm" width="640" height="360"><![CDATA[${this.url}/ad.webm]]></MediaFile>
</MediaFiles></Linear></Creative></Creatives></InLine></Ad></VAST>`;
  }

  #token() {
    this.asked += 1;
    return `ad${this.asked}`.padEnd(64, "-"); // as long as the edge's
  }

  #report(token, event) {
    if (QUARTILES.includes(event)) this.reported.add(`${token} ${event}`);
  }
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}
