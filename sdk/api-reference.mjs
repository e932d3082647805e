// Makes sdk/API.md of the types that the package ships: `node sdk/api-reference.mjs`. With `--check` it only says whether API.md is
// what they make, and exits with 1 if it is not.

import { readFileSync, writeFileSync } from "node:fs";
import { argv, exit } from "node:process";

import ts from "typescript";

/** What is described, in this order: what to import, and where its types are. */
const MODULES = [
  { name: "slotkeeper", file: "types/slotkeeper.d.ts" },
  { name: "slotkeeper/tv", file: "types/slotkeeper-tv.d.ts" },
  { name: "slotkeeper/adapters/hlsjs", file: "adapters/hlsjs.d.ts" },
  { name: "slotkeeper/adapters/shaka", file: "adapters/shaka.d.ts" },
];
const OUTPUT = new URL("API.md", import.meta.url);

const HEAD = `# API reference

Made of the types by \`node sdk/api-reference.mjs\`; [README.md](README.md) says what it is for. Times that end in \`Ms\` are
milliseconds, those of a \`Span\` seconds, as a video has them.
`;

function render({ name, file }) {
  const text = readFileSync(new URL(file, import.meta.url), "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, /* setParentNodes */ true);
  const exported = source.statements.filter((node) => ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Export);
  const passedOn = source.statements.filter(ts.isExportDeclaration).flatMap((node) =>
    node.exportClause.elements.map((element) => `[\`${element.name.text}\`](#${anchor(element.name.text)})`));
  const parts = [`## \`${name}\``, intro(text)];
  if (passedOn.length > 0) parts.push(`As in \`slotkeeper\`: ${passedOn.join(", ")}.`);
  return [...parts, ...exported.map((node) => declaration(node, source))].filter(Boolean).join("\n\n");
}

/** The comment that a file begins with. */
const intro = (text) =>
  text.match(/^(?:\/\/.*\n)+/)?.[0].replace(/^\/\/ ?/gm, "").trim() ?? "";

const anchor = (name) => name.toLowerCase();

function declaration(node, source) {
  if (ts.isClassDeclaration(node)) {
    const members = node.members.filter((member) => !ts.isConstructorDeclaration(member));
    return [title(node), about(node), ...members.map((member) => classMember(member, node.name.text, source))].join("\n\n");
  }
  if (ts.isInterfaceDeclaration(node)) return [title(node), about(node), table(node, source)].join("\n\n");
  return [title(node), about(node), code(node.getText(source)), ...notes(node)].filter(Boolean).join("\n\n");
}

const title = (node) => `### ${node.name.text}`;

function classMember(member, owner, source) {
  const isStatic = ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Static;
  const subject = isStatic ? owner : SUBJECTS[owner];
  const name = member.name.getText(source);
  const call = ts.isMethodDeclaration(member) ? `(${member.parameters.map((one) => one.name.getText(source)).join(", ")})` : "";
  return [`#### \`${subject}.${name}${call}\``, code(member.getText(source)), about(member), ...notes(member)].join("\n\n");
}

/** What a thing of each class is called in examples. */
const SUBJECTS = { AdClient: "client", AdBreak: "adBreak", Observation: "observation" };

function table(node, source) {
  const rows = node.members.map((member) => {
    const isOptional = member.questionToken ? "?" : "";
    const type = ts.isMethodSignature(member)
      ? `(${member.parameters.map((one) => one.getText(source)).join(", ")}) => ${member.type.getText(source)}`
      : member.type.getText(source);
    const said = [about(member), ...notes(member)].join(" ").replaceAll("\n", " ");
    return `| \`${member.name.getText(source)}${isOptional}\` | \`${type.replaceAll("|", "\\|")}\` | ${said} |`;
  });
  return ["| | type | |", "| --- | --- | --- |", ...rows].join("\n");
}

/** The declaration as it is written, without its comments and what TypeScript needs of it only. */
function code(text) {
  const shown = text.replace(/^export (default )?(declare )?/, "").replace(/^readonly /, "");
  return ["```ts", shown, "```"].join("\n");
}

function about(node) {
  return prose(ts.getJSDocCommentsAndTags(node).find(ts.isJSDoc)?.comment);
}

/** Its `@param` and `@returns`. */
function notes(node) {
  return ts.getJSDocTags(node).map((tag) => {
    const said = prose(tag.comment);
    return ts.isJSDocParameterTag(tag) ? `\`${tag.name.getText()}\`: ${said}` : `Returns: ${said}`;
  });
}

const prose = (comment) => (ts.getTextOfJSDocComment(comment) ?? "").trim();

const reference = `${[HEAD, ...MODULES.map(render)].join("\n")}\n`.replace(/\n{3,}/g, "\n\n");
if (!argv.includes("--check")) {
  writeFileSync(OUTPUT, reference);
} else if (readFileSync(OUTPUT, "utf8") !== reference) {
  console.error("sdk/API.md is not what the types say; run `node sdk/api-reference.mjs`");
  exit(1);
}
