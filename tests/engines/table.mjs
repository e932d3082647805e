// The results as a table: for reading, and for programs.

const COUNTS = ["expected", "arrived", "duplicated", "invented", "lost"];

/** Markdown of cells, aligned. */
function table(heads, rows) {
  const cells = [heads, heads.map(() => "---"), ...rows].map((row) => row.map(String));
  const widths = heads.map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  return cells.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |`).join("\n");
}

/** How one run went, in a word: `12`, all arrived; `12 +4`, four of them came again; `11/12` one is lost; `!1`, one is invented. */
function word({ counts: { expected, arrived, duplicated, invented }, problems }) {
  const parts = [arrived === expected ? expected : `${arrived}/${expected}`];
  if (duplicated) parts.push(`+${duplicated}`);
  if (invented) parts.push(`!${invented}`);
  if (problems.length) parts.push("FAILED");
  return parts.join(" ");
}

/** A line for each scenario, a column for each engine and skin; and what must be known to read it. */
export function matrix(results, { seconds, skipped }) {
  const columns = [...new Set(results.map(({ engine, skin }) => `${engine} ${skin}`))];
  const scenarios = [...new Set(results.map(({ scenario }) => scenario))];
  const byPlace = new Map(results.map((result) => [`${result.scenario} ${result.engine} ${result.skin}`, result]));
  const rows = scenarios.map((scenario) => [
    scenario, ...columns.map((column) => (byPlace.has(`${scenario} ${column}`) ? word(byPlace.get(`${scenario} ${column}`)) : "")),
  ]);
  const heads = ["scenario", ...columns.map((column) => column.replace(/^chromium-?/, "").trim())];
  const notes = new Map(results.filter(({ note }) => note).map(({ scenario, note }) => [scenario, note]));
  return [
    table(heads, rows), "",
    `${results.length} runs in ${seconds} s, ${results.filter(({ problems }) => problems.length).length} failed.`,
    ...skipped.map(({ engine, why }) => `SKIPPED: ${engine}: ${why}.`),
    ...[...notes].map(([scenario, note]) => `*${scenario}*: ${note}.`), "",
  ].join("\n");
}

/** A line for each run. */
export function list(results) {
  const rows = results.map(({ scenario, engine, skin, counts, problems }) =>
    [scenario, engine, skin, ...COUNTS.map((count) => counts[count]), problems.length ? "FAILED" : ""]);
  return `${table(["scenario", "engine", "skin", ...COUNTS, ""], rows)}\n`;
}

/** What a skin on an engine adds up to, over all scenarios. */
export function totals(results) {
  const sums = new Map();
  for (const { engine, skin, counts, problems } of results) {
    const key = `${engine} ${skin}`;
    const sum = sums.get(key) ?? { engine, skin, runs: 0, failed: 0, ...Object.fromEntries(COUNTS.map((count) => [count, 0])) };
    sum.runs += 1;
    sum.failed += problems.length ? 1 : 0;
    COUNTS.forEach((count) => { sum[count] += counts[count]; });
    sums.set(key, sum);
  }
  return [...sums.values()];
}

/** The same as Markdown. */
export function totalsTable(sums) {
  const heads = ["engine", "skin", "runs", "failed", ...COUNTS];
  return `${table(heads, sums.map((sum) => heads.map((head) => sum[head])))}\n`;
}
