// The worker's entry: exports the classes that Rust defines, and survives a Rust panic.
//
// After a panic the wasm instance is replaced, and a Durable Object that was alive then answers "stale object" for ever.
// So each class is wrapped, and rebuilds its inner object once when that happens. Its state is in storage.
import * as rust from "./bindgen/index.js";

function surviving(Inner) {
  return class {
    constructor(...args) {
      this.args = args;
      this.inner = new Inner(...args);
    }
    call(method, ...args) {
      try {
        return this.inner[method](...args);
      } catch (error) {
        if (!/stale object/.test(String(error))) throw error;
        this.inner = new Inner(...this.args);
        return this.inner[method](...args);
      }
    }
    fetch(request) {
      return this.call("fetch", request);
    }
    alarm() {
      return this.call("alarm");
    }
  };
}

export const Shard = surviving(rust.Shard);
export const PlanKeeper = surviving(rust.PlanKeeper);
export default { fetch: rust.fetch };
