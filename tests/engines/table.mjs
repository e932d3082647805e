// The results as a table: for reading, and for programs.

const COUNTS = ["expected", "arrived", "duplicated", "invented", "lost"];

const pad = (text, width) => String(text).padEnd(width);

/** Markdown: a line for each scenario, engine and skin. */
export function markdown(results, { seconds, skipped }) {
  const rows = results.map(({ scenario, engine, skin, counts, problems }) => [
    scenario, engine, skin, ...COUNTS.map((count) => counts?.[count] ?? "-"), problems.length ? "FAILED" : "",
  ]);
  const heads = ["scenario", "engine", "skin", ...COUNTS, ""];
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => String(row[column]).length)));
  const line = (cells) => `| ${cells.map((cell, column) => pad(cell, widths[column])).join(" | ")} |`;
  const notes = [...new Map(results.filter(({ note }) => note).map(({ scenario, note }) => [scenario, note]))];
  return [
    line(heads), line(widths.map((width) => "-".repeat(width))), ...rows.map(line), "",
    `${results.length} runs in ${seconds} s, ${results.filter(({ problems }) => problems.length).length} failed.`,
    ...skipped.map(({ engine, why }) => `SKIPPED: ${engine}: ${why}.`),
    ...notes.map(([scenario, note]) => `*${scenario}*: ${note}.`), "",
  ].join("\n");
}

/** What a skin on an engine adds up to, over all scenarios. */
export function totals(results) {
  const sums = new Map();
  for (const { engine, skin, counts, problems } of results) {
    const key = `${engine} ${skin}`;
    const sum = sums.get(key) ?? { engine, skin, runs: 0, failed: 0, ...Object.fromEntries(COUNTS.map((count) => [count, 0])) };
    sum.runs += 1;
    sum.failed += problems.length ? 1 : 0;
    COUNTS.forEach((count) => { sum[count] += counts?.[count] ?? 0; });
    sums.set(key, sum);
  }
  return [...sums.values()];
}
