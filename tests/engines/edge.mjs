// A stand-in for the edge, for what the real one never does on demand: it answers breaks that a scenario wrote, and takes
// beacons as badly as told. What it took is what an origin would have; everything that came is kept besides.

import http from "node:http";

/** How a request for beacons can go. What is not named in `takes` or `answers` goes well. */
const FAULTS = {
  well: {},
  refuses: { takes: false, answers: 500 },
  slow: { afterMs: 2_500 },
  /** The origin has it, the client is told that it failed: so it comes again. */
  takesAndFails: { answers: 500 },
  /** The origin has it, and the connection breaks before the answer. */
  takesAndHangsUp: { answers: "nothing" },
  /** The origin has it, and the answer speaks of another batch: so it is not this one's. */
  wrongSequence: { sequenceOffset: 1_000 },
  /** A proxy, a captive portal: 200 and a page. */
  notAnAnswer: { takes: false, answers: "a page" },
  hangsUp: { takes: false, answers: "nothing" },
};

const HEADERS = { "access-control-allow-origin": "*", "cache-control": "no-store" };

/** `# sk1 …` as {session, sequence, lost, heldMs, lines}, or an error that says what is wrong with it. */
export function parseBatch(text) {
  const [head, ...rest] = text.split("\n");
  const words = /^sk1 ([\w-]{1,64}) (\d+)(?: (\d+)(?: (\d+))?)?$/.exec(head);
  if (!words) throw new Error(`no head of a batch: ${JSON.stringify(head)}`);
  if (text.length > 65_536) throw new Error(`a batch of ${text.length} bytes`);
  if (rest.at(-1) === "") rest.pop();
  const lines = rest.map((line) => {
    const parts = /^([\w-]{1,80}) ([A-Za-z]+) (\d+)(?: (\d+))?$/.exec(line);
    if (!parts) throw new Error(`no line of a batch: ${JSON.stringify(line)}`);
    const [, token, event, ageMs, detail] = parts;
    return { token, event, ageMs: Number(ageMs), detail: detail === undefined ? null : Number(detail) };
  });
  const [, session, sequence, lost, heldMs] = words;
  return { session, sequence: Number(sequence), lost: Number(lost ?? 0), heldMs: Number(heldMs ?? 0), lines };
}

export class Edge {
  /** `breaks[n]` is what the n-th different request is answered: its slots. */
  constructor(breaks) {
    this.breaks = breaks;
    this.fault = { name: "well", times: Infinity };
    this.isDown = false;
    /** Every batch that came whole: `{ atMs, took, fault, type, …parseBatch }`. */
    this.batches = [];
    /** What no client may send. */
    this.malformed = [];
    this.answers = new Map();
    this.sockets = new Set();
    this.listeners = new Set();
    this.server = http.createServer((request, response) => this.#serve(request, response));
    this.server.on("connection", (socket) => this.#connected(socket));
  }

  async start() {
    await new Promise((resolve) => { this.server.listen(0, "127.0.0.1", resolve); });
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  stop() {
    this.server.close();
    this.sockets.forEach((socket) => socket.destroy());
  }

  /** `beacons`: a fault's name, for so many `times` (for good, if not said); `down`: nobody is there. */
  set({ beacons, times, down }) {
    if (beacons && !FAULTS[beacons]) throw new Error(`no fault is called ${beacons}`);
    if (beacons) this.fault = { name: beacons, times: times ?? Infinity };
    if (down === undefined) return;
    this.isDown = down;
    if (down) this.sockets.forEach((socket) => socket.destroy());
  }

  /** Resolves when `isSo` says so; it is asked after every batch. */
  async until(isSo) {
    while (!isSo()) await new Promise((resolve) => { this.listeners.add(resolve); });
  }

  /** Wakes who waits with `until`. */
  changed() {
    const listeners = [...this.listeners];
    this.listeners.clear();
    listeners.forEach((listener) => listener());
  }

  #connected(socket) {
    if (this.isDown) return void socket.destroy();
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("error", () => {});
  }

  async #serve(request, response) {
    if (request.method === "OPTIONS") {
      const allowed = { "access-control-allow-methods": "POST", "access-control-allow-headers": "content-type" };
      return void response.writeHead(204, { ...HEADERS, ...allowed }).end();
    }
    const body = await read(request);
    if (body === null) return undefined; // it broke off
    const path = request.url.split("?")[0];
    if (path === "/v1/breaks") return this.#answerBreak(JSON.parse(body), response);
    if (path === "/v1/beacons") return this.#takeBeacons(body, request.headers["content-type"] ?? "", response);
    return void response.writeHead(404, HEADERS).end();
  }

  #answerBreak(asked, response) {
    const number = this.answers.get(asked.request_id) ?? this.answers.size;
    this.answers.set(asked.request_id, number);
    const slots = this.breaks[number];
    if (!slots) return sendJson(response, 503, { error: { code: "no_such_break", field: null, message: "" } });
    const decided_at_ms = Date.now();
    const answer = {
      request_id: asked.request_id, break_id: `b${number}`, plan_version: 1, decided_at_ms,
      slots: slots.map((slot, index) => slot(number, index, decided_at_ms)),
    };
    return sendJson(response, 200, answer);
  }

  #takeBeacons(body, type, response) {
    const fault = this.fault.times > 0 ? this.fault.name : "well";
    this.fault.times -= 1;
    const { takes = true, answers = 202, afterMs = 0, sequenceOffset = 0 } = FAULTS[fault];
    let batch;
    try {
      batch = parseBatch(body);
    } catch (error) {
      this.malformed.push(error.message);
      this.changed();
      return sendJson(response, 400, { error: { code: "malformed", field: null, message: error.message } });
    }
    this.batches.push({ atMs: Date.now(), took: takes, fault, type, ...batch });
    const acknowledgement = {
      session_id: batch.session, sequence: batch.sequence + sequenceOffset, accepted: batch.lines.length, refused: [],
    };
    setTimeout(() => {
      if (answers === "nothing") response.socket?.destroy();
      else if (answers === "a page") response.writeHead(200, { ...HEADERS, "content-type": "text/html" }).end("<h1>Welcome</h1>");
      else if (answers === 202) sendJson(response, 202, acknowledgement);
      else sendJson(response, answers, { error: { code: "unavailable", field: null, message: "" } });
      this.changed();
    }, afterMs);
    return undefined;
  }
}

function sendJson(response, status, body) {
  response.writeHead(status, { ...HEADERS, "content-type": "application/json" }).end(JSON.stringify(body));
}

/** A request's body, or null if it broke off. */
export function read(request) {
  return new Promise((resolve) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (part) => { text += part; });
    request.on("end", () => resolve(text));
    request.on("error", () => resolve(null));
    request.on("aborted", () => resolve(null));
  });
}
