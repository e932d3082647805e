# The edge on plain workerd, as `cargo xtask up` and the contract tests run it. `xtask::workerd` fills in what stands in
# {{ }}; paths are relative to the rendered file, which lies beside the two modules.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    # Where the Durable Objects keep their SQLite files.
    (name = "storage", disk = (path = {{storage}}, writable = true)),
    # workerd lets a worker reach public addresses only, unless told; the origin is on this machine.
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [ (name = "http", address = {{listen}}, http = (), service = "edge") ],
);

const edge :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = embed "index.js"),
    (name = "index_bg.wasm", wasm = embed "index_bg.wasm"),
  ],
  compatibilityDate = "2026-04-01",
  globalOutbound = "internet",
  durableObjectNamespaces = [
    (className = "Shard", uniqueKey = "slotkeeper-shard", enableSql = true),
    (className = "PlanKeeper", uniqueKey = "slotkeeper-plan-keeper", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "storage"),
  bindings = [
    (name = "SHARDS", durableObjectNamespace = "Shard"),
    (name = "PLAN", durableObjectNamespace = "PlanKeeper"),
{{variables}}  ],
);
