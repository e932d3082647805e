// What the examples find in the page.

declare const shaka: typeof import("shaka-player").default;
declare const tizen: undefined | {
  application: { getCurrentApplication(): { exit(): void } };
  tvinputdevice?: { registerKey(name: string): void };
};
