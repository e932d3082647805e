// The page: its clocks, its randomness, its requests, its events.

export const now = () => performance.now();

export const noop = () => {};

/** A UUID version 7: twelve digits of time, then randomness. The edge dates a break by it. */
export function freshId() {
  const random = crypto.getRandomValues(new Uint8Array(32));
  const time = `0${Date.now().toString(16)}`.slice(-12);
  let nth = 0;
  return "xxxxxxxx-xxxx-7xxx-yxxx-xxxxxxxxxxxx".replace(/[xy]/g, (kind) => {
    const bits = random[nth] & 15;
    return time[nth++] || (kind === "y" ? (bits & 3) | 8 : bits).toString(16);
  });
}

/** Calls `hear` at these events; returns how to stop. It hears them before anyone can keep them away. */
export function listen(target, names, hear) {
  const all = names.split(" ");
  const options = { capture: true, passive: true };
  for (const name of all) target.addEventListener(name, hear, options);
  return () => {
    for (const name of all) target.removeEventListener(name, hear, options);
  };
}

/** Posts a text as text/plain, which needs no CORS preflight. Resolves to the status, 0 if nobody answered, and to the answer. */
export function post(url, text, timeoutMs) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.onloadend = () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText) || answer;
      } catch {}
      resolve({ status: request.status, answer });
    };
    try {
      request.open("POST", url);
      request.timeout = timeoutMs;
      request.send(text);
    } catch {
      request.onloadend(); // nobody answers what could not be sent
    }
  });
}

/** Gives the browser a text to post when it likes, even after this page. Returns whether it took it. */
export function handOver(url, text) {
  try {
    return navigator.sendBeacon(url, text);
  } catch {
    return false;
  }
}
