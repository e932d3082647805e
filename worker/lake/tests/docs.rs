//! `docs/tables.md` says what the tables are: it is written from them. `UPDATE=1 cargo test -p slotkeeper-lake --test docs` does.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{fmt::Write as _, path::Path};

use slotkeeper_lake::{
    DERIVED, RAW,
    tables::{Kind, Table},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tables.md");

const HEAD: &str = "# The tables

<!-- Written from `worker/lake/src/tables.rs` by `UPDATE=1 cargo test -p slotkeeper-lake --test docs`. -->

The origin keeps facts, and the tables folded from them, as Parquet in the folder `lake/` of its data directory. Any engine that reads
Parquet may read them; times are instants in UTC, money is whole micros (millionths) of a currency, ids are text as in the API.

```text
lake/raw_beacons/date=2026-11-22/hour=17/000000000001-000000000640.parquet     as they came: read what lake.db lists, see below
lake/fct_ad_impressions/date=2026-11-22/hour=17/part.parquet                   folded: one file an hour, replaced whole
```

**The hour** of a slot is the one (UTC) in which its break opened, which its id tells. Beacons carry the slot's id: so all that is ever
reported of it is in one hour, however late it comes, and a day's slots, impressions and money add up over all tables. What is
counted by day here is counted on the day the break opened.

**Late facts.** A beacon may come days after its ad played. Its hour is folded again then, and its one file replaced. `hours.late` in
`lake.db` counts the facts that came more than an hour after the end of their hour; nothing else is done with them.

**What is folded is a function of the facts.** Folded again, in other pieces, or from the log's first entry: the files are the same, byte
for byte. Only these make them other: a fact that came since; an ad as sold that became known since (its hours are folded again).

**Breaks decided twice.** Of a break that was decided more than once, the rows of one decision stand: the one of which most ads began to
play, then an uncommitted one before a committed one, then the earlier, then the smaller hash. That is so also if its tries opened in
different hours, however far apart: of a request id that is a UUID version 7 every retry is in its hour, of any other a retry that is decided
anew (which takes a store that was down, or a retry after a day) opens when it comes. Each such hour tells the others what their elections
need, in `lake.db` (`rivals`), and is folded again when it is told something new. So one request id is one break, as in the live tables.

**As they came, or once.** In the `raw_…` tables a fact is as often as it was delivered. In the others it counts once: a row by the hash
of its content, an event by slot, ad, record, event, session and whether a crawler reported it.

**Reading raw files.** A run that was killed may leave files behind that hold facts which other files hold, too, until the next run
takes them away; and files are merged. Read those that `lake.db` lists: `SELECT table_name, hour_at_ms, name FROM raw_files`. The
others may be read by glob: `lake/fct_ad_opportunities/*/*/part.parquet`.

**Memory.** An hour of more than half a million facts is folded in several passes, and the result is the same.

**Changes.** A column may be added at the end, nullable: files of before read as nulls. Nothing else changes under a name.

`lake.db` (SQLite) holds the manifest, how far the log is in the lake, and totals by quarter of an hour, replaced with every fold of their
hour: `flight_totals` (by flight: filled, impressed, released, delivered, completes, revenue) and `slot_totals` (slots, filled,
unfilled). Pacing and make-goods are computed from these. `worker/lake/src/schema.sql` describes them.
";

fn section(doc: &mut String, table: &Table) {
    write!(doc, "\n### `{}`\n\n{}.\n\n| column | kind | what |\n| --- | --- | --- |\n", table.name, table.about)
        .unwrap();
    for column in table.columns {
        let kind = match column.kind {
            Kind::Text => "text",
            Kind::Int => "integer",
            Kind::Time => "timestamp",
            Kind::Bool => "boolean",
        };
        let nullable = if column.nullable { ", nullable" } else { "" };
        writeln!(doc, "| `{}` | {kind}{nullable} | {} |", column.name, column.about).unwrap();
    }
}

#[test]
fn the_page_on_the_tables_is_what_the_tables_are() {
    let mut doc = HEAD.to_owned();
    doc.push_str("\n## Folded\n");
    for table in DERIVED {
        section(&mut doc, table);
    }
    doc.push_str("\n## As they came\n");
    for table in RAW {
        section(&mut doc, table);
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &doc).unwrap();
    }
    let stored = std::fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    assert!(stored == doc, "docs/tables.md is out of date: UPDATE=1 cargo test -p slotkeeper-lake --test docs");
}
