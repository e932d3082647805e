// Carries beacons, and what else waits, to the edge until it says that the origin has them.

import { freshId, handOver, now, post } from "./page.js";
import { openStorage } from "./storage.js";

/** How long an answer may take: the edge answers once the origin's disk has the batch. */
const ANSWER_MS_MAX = 10_000;
/** How long a client that was destroyed goes on trying. The page may live on for days; a token does not. */
const DESTROYED_MS_MAX = 600_000;
/** How old what others left may be: tokens expire long before. */
const WEEK_MS = 7 * 24 * 3_600_000;
/** The most of theirs that is taken over, of each kind. */
const TAKEN_OVER_MAX = 8;
/** The most receipts kept: they are what an edge answers while its store and its origin are both down, so this is an hour or more of
 * watching. And the longest that an edge takes. */
const RECEIPTS_MAX = 16;
const RECEIPT_CHARS_MAX = 160 * 1024;
/** The most of receipts handed to `sendBeacon` for one parting. With the beacons it stays below the 64 KiB that browsers hold for a
 * page. */
const PARTING_CHARS_MAX = 40 * 1024;

/** How many beacons a batch has. */
const count = (batch) => Math.max(1, batch.split("\n").length - 2);

export function openDelivery(rules, edgeUrl, isStorageWanted) {
  const storage = openStorage(isStorageWanted);
  const key = storage.keyOf(false, freshId());
  const beacons = `${edgeUrl}beacons`;
  const receipts = `${edgeUrl}receipts`;
  /** What is sent besides the client's own beacons: receipts, and records that other clients left. These may still live, in another
   * tab: the origin takes a beacon twice as once. */
  const letters = [];
  let flushing = [];
  let timer;
  let isSending = false;
  let untilMs = Infinity;
  let whenDone;

  for (const letter of storage.found()) {
    letter.count = letter.isReceipt ? 1 : count(letter.text);
    const before = letters.filter(({ isReceipt }) => isReceipt === letter.isReceipt).length;
    if (letter.writtenAt < Date.now() - WEEK_MS) {
      rules.lost(letter.count);
      storage.write(letter.key);
    } else if (before < TAKEN_OVER_MAX) {
      letters.push(letter);
    }
  }

  const waiting = () => letters.reduce((sum, letter) => sum + letter.count, rules.waiting());

  /** Stores what must not be lost, or that there is nothing. */
  const save = () => storage.write(key, rules.record(now()) && rules.text());

  /** Sets the timer to the next sending. */
  function schedule() {
    clearTimeout(timer);
    const waitMs = rules.wait(now(), letters.length > 0);
    const isOver = now() >= untilMs;
    if (isSending) return;
    if (waitMs >= 0 && !isOver) timer = setTimeout(send, waitMs);
    else if (untilMs < Infinity) whenDone();
  }

  /** Posts a text. Resolves to how many of its beacons the edge will never take; −1 if nobody knows what became of it. Anything may
   * answer 200, and a proxy may answer 403: only what speaks as the edge does is believed. */
  async function deliver(isReceipt, text) {
    const { status, answer } = await post(isReceipt ? receipts : beacons, text, ANSWER_MS_MAX);
    const [, sessionId, sequence] = text.split(" ", 3);
    if (answer.error?.code) {
      // A damaged record is refused as a whole, and never better.
      const isFinal = status === 400 || status === 413 || (isReceipt && (status === 403 || status === 410));
      return isFinal ? (isReceipt ? 1 : count(text)) : -1;
    }
    const isIts = isReceipt ? answer.accepted >= 0 : answer.session_id === sessionId && answer.sequence === Number(sequence);
    return status === 202 && isIts ? answer.refused?.length || 0 : -1;
  }

  async function sendLetter() {
    const [letter] = letters;
    if (!letter) return 0;
    // A record as it is sent: its first line tells how long it lay.
    const heldMs = Math.max(0, Date.now() - letter.writtenAt);
    const text = letter.isReceipt ? letter.text : letter.text.replace("\n", ` ${heldMs}\n`);
    const refused = await deliver(letter.isReceipt, text);
    if (refused < 0) {
      letters.push(...letters.splice(0, 1)); // it keeps no other
    } else {
      rules.refused(refused);
      remove(letter);
    }
    return refused;
  }

  async function sendBatch() {
    const sequence = rules.batch(now());
    if (!sequence) return 0;
    const refused = await deliver(false, rules.text());
    if (refused >= 0) {
      rules.settled(sequence, refused, now());
      save();
    }
    return refused;
  }

  /** Posts the oldest of each. A row before what is reported of it, though the origin takes them in any order; neither keeps the
   * other. */
  async function send() {
    if (isSending) return;
    isSending = true;
    clearTimeout(timer);
    // What throws is a text that was none; it keeps nobody either.
    const sendings = [sendLetter(), sendBatch()].map((sending) => sending.catch(() => -1));
    const hasFailed = (await Promise.all(sendings)).some((refused) => refused < 0);
    if (hasFailed) rules.failed(now(), Math.random());
    else rules.delivered(now());
    isSending = false;
    if (hasFailed || !waiting()) tellFlushing();
    schedule();
  }

  function tellFlushing() {
    for (const resolve of flushing) resolve(waiting());
    flushing = [];
  }

  function remove(letter) {
    const at = letters.indexOf(letter);
    if (at >= 0) letters.splice(at, 1);
    // Who wrote it may live in another tab, and have written more since.
    if (storage.read(letter.key) === letter.value) storage.write(letter.key);
  }

  return {
    save,
    schedule,
    waiting,
    /** Sends now. Resolves to how many wait once all are gone, or a sending failed. */
    flush() {
      return new Promise((resolve) => {
        flushing.push(resolve);
        rules.hurry(now());
        if (!waiting() || now() >= untilMs) tellFlushing();
        schedule();
      });
    },
    /** Takes the rows of a break that nobody else could take. */
    takeReceipt(text) {
      if (typeof text !== "string" || !text || text.length > RECEIPT_CHARS_MAX) return rules.refused(1);
      const held = letters.filter(({ isReceipt }) => isReceipt);
      if (held.length >= RECEIPTS_MAX) {
        remove(held[0]);
        rules.lost(1);
      }
      const itsKey = storage.keyOf(true, freshId());
      storage.write(itsKey, text);
      rules.gather(now());
      letters.push({ key: itsKey, value: storage.read(itsKey), text, isReceipt: true, count: 1 });
      return schedule();
    },
    /** The page may never run again: everything goes to the browser, which outlives it. What the browser holds no more of stays here,
     * for a page that lives on. Beacons first: they are small. */
    part() {
      let room = PARTING_CHARS_MAX;
      while (rules.parting(now()) && handOver(beacons, rules.text())) rules.parted();
      for (const letter of letters) {
        const { isReceipt, isParted, text } = letter;
        if (isReceipt && !isParted && text.length <= room && handOver(receipts, text)) {
          letter.isParted = true;
          room -= text.length;
        }
      }
    },
    /** The page lives on, or better times have come. */
    comeBack() {
      for (const letter of letters) letter.isParted = false;
      rules.back(now());
      schedule();
    },
    /** Nothing more will come. Since nobody learns whether the browser delivers what it was handed, it goes on carrying, and calls
     * `then` when nothing is left to do. */
    stop(then) {
      this.part();
      untilMs = now() + DESTROYED_MS_MAX;
      whenDone = then;
      rules.hurry(now());
      schedule();
    },
  };
}
