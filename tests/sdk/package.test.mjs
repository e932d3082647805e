// The SDK's npm package: what it says of itself is so, and what it exports can be installed, bundled and type-checked.
//
// It needs `cargo xtask build sdk`, and no network.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import ts from "typescript";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SDK = join(ROOT, "sdk");
const TOOLS = join(ROOT, "node_modules/.bin");
const MANIFEST = JSON.parse(readFileSync(join(SDK, "package.json"), "utf8"));
/** What a module of each name must hold. */
const EXPORTED = {
  slotkeeper: ["default", "AdClient"],
  "slotkeeper/tv": ["init", "AdClient"],
  "slotkeeper/adapters/hlsjs": ["content", "reportInterstitials"],
  "slotkeeper/adapters/shaka": ["content", "observeStitched"],
};

const run = (program, args, options = {}) => execFileSync(program, args, { encoding: "utf8", stdio: "pipe", ...options });

let app;
let packed;
before(() => {
  app = mkdtempSync(join(tmpdir(), "slotkeeper-package-"));
  [packed] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", app], { cwd: SDK }));
  const installed = join(app, "node_modules/slotkeeper");
  mkdirSync(installed, { recursive: true });
  run("tar", ["-xzf", join(app, packed.filename), "--strip-components=1", "-C", installed]);
});
after(() => rmSync(app, { recursive: true, force: true }));

test("the reference is what the types say", () => {
  run("node", ["sdk/api-reference.mjs", "--check"], { cwd: ROOT });
});

test("types, adapters and examples agree", () => {
  assert.equal(tsc(["-p", SDK]), "");
});

test("the package holds what it exports, with source maps, and nothing of the build's", () => {
  const held = packed.files.map(({ path }) => path);
  const exported = Object.values(MANIFEST.exports).flatMap((target) => (typeof target === "string" ? [target] : Object.values(target)));
  for (const file of exported) assert.ok(held.includes(file.replace("./", "")), `${file} is exported and not packed`);
  for (const script of held.filter((path) => /^dist\/(web|tv)\/.*\.js$/.test(path))) {
    assert.ok(held.includes(`${script}.map`), `${script} has no source map`);
    const map = JSON.parse(readFileSync(join(app, "node_modules/slotkeeper", `${script}.map`), "utf8"));
    assert.ok(map.sources.every((source) => !source.startsWith("/")), `${script} says where it was built`);
  }
  for (const file of ["README.md", "LICENSE", "CHANGELOG.md", "API.md"]) assert.ok(held.includes(file), `${file} is not packed`);
  const strange = held.filter((path) => !/\.(js|cjs|wasm|map|d\.ts|json|md)$|^LICENSE$/.test(path));
  assert.deepEqual(strange, []);
  assert.match(readFileSync(join(SDK, "CHANGELOG.md"), "utf8"), new RegExp(`^## \\[${MANIFEST.version}\\]`, "m"));
});

test("whatever it exports can be bundled by its name", () => {
  const [entry, bundle, meta] = ["entry.js", "bundle.js", "meta.json"].map((name) => join(app, name));
  for (const [name, expected] of Object.entries(EXPORTED)) {
    writeFileSync(entry, expected.map((one, index) => `export { ${one} as n${index} } from ${JSON.stringify(name)};`).join("\n"));
    // It fails for a name that an ES module does not export; of a script, any name may be asked.
    run(join(TOOLS, "esbuild"), [entry, "--bundle", "--format=esm", "--log-level=warning", `--metafile=${meta}`, `--outfile=${bundle}`]);
    const inputs = Object.keys(JSON.parse(readFileSync(meta, "utf8")).inputs);
    assert.ok(inputs.some((path) => path.includes("node_modules/slotkeeper/dist/")), `${name}: ${inputs}`);
  }
});

test("an app in TypeScript finds the types of whatever it imports", () => {
  const names = Object.entries(EXPORTED);
  const source = names.map(([name, [first]], index) =>
    `import ${first === "default" ? `n${index}` : `{ ${first} as n${index} }`} from ${JSON.stringify(name)};`);
  writeFileSync(join(app, "app.ts"), `${source.join("\n")}
import type { AdBreak, Content } from "slotkeeper";
declare const adBreak: AdBreak;
declare const content: Content;
export const playing: Promise<void> = adBreak.play(document.createElement("video"), { content });
export const known: Function[] = [${names.map((_, index) => `n${index}`).join(", ")}];
// @ts-expect-error: a misspelt option is no option
adBreak.play(document.createElement("video"), { contents: content });
`);
  for (const resolution of ["bundler", "nodenext"]) {
    const module = resolution === "bundler" ? "esnext" : "nodenext";
    const said = tsc([
      "--noEmit", "--strict", "--lib", "es2022,dom", "--target", "es2022", "--module", module, "--moduleResolution", resolution, join(app, "app.ts"),
    ]);
    assert.equal(said, "", resolution);
  }
});

test("the television's scripts and its example are ES5", () => {
  const tv = join(SDK, "dist/tv");
  const scripts = readdirSync(tv).filter((name) => name.endsWith(".js")).map((name) => join(tv, name));
  const example = ["app.js", "config.js"].map((name) => join(SDK, "examples/tv", name));
  for (const file of [...scripts, ...example]) assert.deepEqual(newerThanEs5(file), [], file);
  assert.notDeepEqual(newerThanEs5(join(SDK, "examples/web.js")), [], "what is newer is seen");
});

test("each example names scripts that are there", () => {
  const examples = join(SDK, "examples");
  for (const page of ["web.html", "hlsjs.html", "shaka.html", "tv/index.html"]) {
    const html = readFileSync(join(examples, page), "utf8");
    const folder = join(examples, page, "..");
    for (const [, source] of html.matchAll(/(?:src="|": ")(?:\.\/)?([^"]+\.m?js)"/g)) {
      const places = [
        join(folder, source),
        join(ROOT, source),
        join(SDK, "dist", source.replace("slotkeeper/", "")),
        join(SDK, "dist/tv", source.replace("slotkeeper/", "")),
      ];
      assert.ok(places.some(existsSync), `${page}: ${source}`);
    }
  }
  const { version } = JSON.parse(readFileSync(join(examples, "tv/appinfo.json"), "utf8"));
  assert.equal(version, MANIFEST.version);
  assert.match(readFileSync(join(examples, "tv/config.xml"), "utf8"), new RegExp(`version="${MANIFEST.version}"`));
});

/** What the TypeScript compiler says. */
function tsc(args) {
  try {
    return run(join(TOOLS, "tsc"), args);
  } catch (error) {
    return error.stdout;
  }
}

/** The syntax of a script that came after ES5, by the compiler's names for it. */
function newerThanEs5(file) {
  const { SyntaxKind } = ts;
  const NEWER = new Set([
    SyntaxKind.ArrowFunction, SyntaxKind.ClassDeclaration, SyntaxKind.ClassExpression, SyntaxKind.TemplateExpression,
    SyntaxKind.NoSubstitutionTemplateLiteral, SyntaxKind.TaggedTemplateExpression, SyntaxKind.SpreadElement, SyntaxKind.SpreadAssignment,
    SyntaxKind.ForOfStatement, SyntaxKind.ShorthandPropertyAssignment, SyntaxKind.MethodDeclaration, SyntaxKind.ComputedPropertyName,
    SyntaxKind.ObjectBindingPattern, SyntaxKind.ArrayBindingPattern, SyntaxKind.AwaitExpression, SyntaxKind.YieldExpression,
    SyntaxKind.ImportDeclaration, SyntaxKind.ExportDeclaration, SyntaxKind.MetaProperty, SyntaxKind.BigIntLiteral,
    SyntaxKind.QuestionQuestionToken, SyntaxKind.QuestionDotToken, SyntaxKind.AsteriskAsteriskToken,
  ]);
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const found = new Set(source.parseDiagnostics.map(({ messageText }) => messageText));
  const look = (node) => {
    const isBlockScoped = ts.isVariableDeclarationList(node) && node.flags & ts.NodeFlags.BlockScoped;
    const isDefault = ts.isParameter(node) && (node.initializer || node.dotDotDotToken);
    const isGenerator = ts.isFunctionLike(node) && (node.asteriskToken || ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Async);
    if (NEWER.has(node.kind) || isBlockScoped || isDefault || isGenerator) found.add(SyntaxKind[node.kind]);
    ts.forEachChild(node, look);
  };
  look(source);
  return [...found];
}
