// `slotkeeper/tv`: a classic script that defines `Slotkeeper`, or a CommonJS module of the same names.

export { AdBreak, AdClient, Observation } from "./slotkeeper.js";
export type {
  Ad, AdEvent, AdEventName, BeaconCounts, BreakOptions, BreakPosition, ClientConfig, Content, FilledSlot, Media, PlayOptions, Slot,
  SlotkeeperError, Span, UnfilledSlot,
} from "./slotkeeper.js";

/** Makes the script ready: loads its wasm or, on a set without WebAssembly, the same program as ES5 (`slotkeeper-tv.asm.js`). Once;
 * later calls wait for the first. Call it before anything else.
 *
 * @param source Where the wasm lies, if not beside the script.
 */
export function init(source?: string): Promise<void>;

export as namespace Slotkeeper;
