// One browser, in a process group of its own, with a profile that may outlive it.
//
// Old builds speak an old DevTools protocol, so nobody drives them: the page acts by itself. Only DevTools' list of pages
// is asked, over HTTP, which has not changed since 2012: it is how a tab is closed.

import { spawn } from "node:child_process";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--no-zygote", "--disable-dev-shm-usage", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
  "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0",
];
const SAID_BYTES_MAX = 4_000;

/** Those that run. None outlives this program, however it is ended, short of SIGKILL. */
const running = new Set();
process.on("exit", () => running.forEach((browser) => browser.signal()));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(130));

export class Browser {
  /** `startable`: what `engines.mjs` says of an engine. */
  constructor({ program, environment }, profile, url) {
    const inherited = { ...process.env };
    delete inherited.DISPLAY;
    this.child = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, url], {
      detached: true, // a group of its own
      env: { ...inherited, HOME: profile, FONTCONFIG_PATH: "/etc/fonts", ...environment },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.said = "";
    this.devtools = new Promise((resolve) => {
      this.child.stderr.setEncoding("utf8").on("data", (text) => {
        this.said = (this.said + text).slice(-SAID_BYTES_MAX);
        const port = /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(this.said)?.[1];
        if (port) resolve(`http://127.0.0.1:${port}`);
      });
    });
    running.add(this);
    this.ended = new Promise((resolve) => {
      this.child.on("error", (error) => resolve(error.message));
      this.child.on("exit", (code, signal) => resolve(signal ?? `status ${code}`));
    }).finally(() => running.delete(this));
  }

  /** Closes the tab whose address begins with `url`. The page gets to know, as from a click on its cross. */
  async closeTab(url) {
    const devtools = await this.devtools;
    const tabs = await (await fetch(`${devtools}/json/list`)).json();
    const tab = tabs.find((tab) => tab.url.startsWith(url));
    await (await fetch(`${devtools}/json/close/${tab.id}`)).text();
  }

  /** Kills all of its processes at once, as a power cut does. Resolves when it is gone. */
  async kill() {
    this.signal();
    await this.ended;
  }

  signal() {
    try {
      process.kill(-this.child.pid, "SIGKILL");
    } catch {
      // all of it has ended
    }
  }
}
