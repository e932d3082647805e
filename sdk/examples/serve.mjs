// Serves the examples beside a running product: `node sdk/examples/serve.mjs ORIGIN [PORT]`, where ORIGIN is the address of the pages
// that `cargo xtask up` prints. What is not an example, the SDK or a player comes from there: films, and where the edge is.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { argv } from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

const EXAMPLES = new URL("./", import.meta.url);
/** Where a path lies in the repository. The first that fits. */
const FOLDERS = [
  ["/slotkeeper/", new URL("../dist/", EXAMPLES)],
  ["/tv/slotkeeper/", new URL("../dist/tv/", EXAMPLES)],
  ["/node_modules/", new URL("../../node_modules/", EXAMPLES)],
  ["/", EXAMPLES],
];
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".map": "application/json",
};

/** Begins to serve on 127.0.0.1; `port` 0 takes a free one. */
export async function serve(origin, port = 0) {
  const server = createServer((request, response) => {
    answer(request, origin).then(
      ({ status = 200, type, body }) => {
        response.writeHead(status, { "content-type": type });
        response.end(body);
      },
      (error) => {
        response.writeHead(502, { "content-type": "text/plain" });
        response.end(String(error));
      },
    );
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { server, url: `http://127.0.0.1:${server.address().port}` };
}

async function answer({ url }, origin) {
  const { pathname, search } = new URL(url, "http://localhost");
  const path = pathname === "/" ? "/web.html" : pathname;
  const [prefix, folder] = FOLDERS.find(([prefix]) => path.startsWith(prefix));
  const type = TYPES[extname(path)];
  const file = new URL(`.${path.slice(prefix.length - 1)}`, folder);
  if (type && file.href.startsWith(folder.href)) {
    const body = await readFile(file).catch(() => null);
    if (body) return { type, body };
  }
  const upstream = await fetch(`${origin}${pathname}${search}`);
  return {
    status: upstream.status,
    type: upstream.headers.get("content-type") ?? "application/octet-stream",
    body: Buffer.from(await upstream.arrayBuffer()),
  };
}

if (argv[1] && import.meta.url === pathToFileURL(fileURLToPath(pathToFileURL(argv[1]))).href) {
  const [origin, port] = argv.slice(2);
  if (!origin) throw new Error("usage: node sdk/examples/serve.mjs ORIGIN [PORT]; `cargo xtask up` prints ORIGIN");
  const { url } = await serve(origin.replace(/\/.*\.html$|\/$/, ""), Number(port ?? 0));
  for (const page of ["web.html", "hlsjs.html", "shaka.html", "tv/index.html"]) console.log(`${url}/${page}`);
}
