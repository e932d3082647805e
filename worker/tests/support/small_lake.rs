//! A small lake: slots made up by the rule of a seed, and the files of every table that they are in.
#![allow(dead_code, reason = "every test program uses some of these")]
#![allow(clippy::cast_possible_wrap, clippy::struct_field_names, reason = "small numbers, and columns' names")]

use std::{collections::BTreeMap, fs, path::Path};

use slotkeeper_lake::{
    columns::Rows,
    file,
    tables::{self, Kind, Table},
};

/// 2026-11-20T00:00:00Z.
pub(crate) const DAY_0_MS: i64 = 1_795_132_800_000;
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// How far ads play, in the order of playing.
pub(crate) const QUARTILES: [&str; 5] = ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"];

/// A slot and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) id: String,
    pub(crate) break_id: String,
    pub(crate) slot_index: i64,
    pub(crate) opened_at: i64,
    pub(crate) viewer: String,
    pub(crate) title: &'static str,
    pub(crate) position: &'static str,
    pub(crate) country: Option<&'static str>,
    pub(crate) device: Option<&'static str>,
    pub(crate) is_crawler: bool,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Unfilled(&'static str),
    Filled(Fill),
}

/// A fill; all numbers of its booking follow from the flight's.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    pub(crate) reason: &'static str,
    pub(crate) flight: i64,
    pub(crate) settled: Option<&'static str>,
    /// Of an impression, how far it got: a place in [`QUARTILES`].
    pub(crate) reached: usize,
    pub(crate) revenue: i64,
    pub(crate) currency: Option<&'static str>,
    pub(crate) is_skipped: bool,
    pub(crate) has_failed: bool,
}

impl Fill {
    pub(crate) fn campaign(&self) -> i64 {
        self.flight / 2
    }

    pub(crate) fn advertiser(&self) -> i64 {
        self.flight / 4
    }

    pub(crate) fn creative(&self) -> i64 {
        self.flight * 10 + 1
    }

    pub(crate) fn is_impression(&self) -> bool {
        self.settled == Some("impressed")
    }

    pub(crate) fn is_delivered(&self) -> bool {
        self.is_impression() && self.revenue > 0
    }
}

impl Slot {
    pub(crate) fn hour(&self) -> i64 {
        self.opened_at / HOUR_MS * HOUR_MS
    }

    pub(crate) fn day(&self) -> String {
        date(self.opened_at)
    }

    pub(crate) fn fill(&self) -> Option<&Fill> {
        if let Outcome::Filled(fill) = &self.outcome { Some(fill) } else { None }
    }

    pub(crate) fn impression(&self) -> Option<&Fill> {
        self.fill().filter(|fill| fill.is_impression())
    }

    pub(crate) fn unfilled(&self) -> Option<&'static str> {
        if let Outcome::Unfilled(reason) = self.outcome { Some(reason) } else { None }
    }
}

pub(crate) fn date(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap().strftime("%Y-%m-%d").to_string()
}

/// Numbers that look like chance, the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Three days of ad breaks, on each of which caps begin to block at another hour.
pub(crate) fn slots() -> Vec<Slot> {
    let mut dice = Dice(11);
    let mut slots = vec![];
    for hour in (0..72).filter(|hour| hour % 5 != 4) {
        for break_no in 0..20 {
            let opened_at = DAY_0_MS + hour * HOUR_MS + dice.below(3_600_000) as i64;
            let break_id = format!("{:032x}", hour * 1_000 + break_no);
            let viewer = format!("{:032x}", dice.below(25));
            let (title, position) = (dice.one_of(&["the-lighthouse", "tides"]), dice.one_of(&["preroll", "midroll"]));
            let (country, device) =
                (dice.one_of(&[Some("DE"), Some("US"), None]), dice.one_of(&[Some("tv"), Some("phone")]));
            let is_crawler = dice.below(12) == 0;
            for slot_index in 0..=dice.below(3) as i64 {
                let is_capped = hour % 24 > 14 + hour / 24 && dice.below(3) == 0;
                let outcome = if is_capped {
                    Outcome::Unfilled("frequency_capped")
                } else if dice.below(6) == 0 {
                    Outcome::Unfilled(dice.one_of(&["no_eligible_demand", "pacing_throttled", "consent_denied"]))
                } else {
                    Outcome::Filled(fill(&mut dice, is_crawler))
                };
                let id = format!(
                    "{:08x}-{:04x}-7000-8000-{slot_index:04x}{break_no:08x}",
                    opened_at >> 16,
                    opened_at & 0xffff
                );
                let (break_id, viewer) = (break_id.clone(), viewer.clone());
                slots.push(Slot {
                    id,
                    break_id,
                    slot_index,
                    opened_at,
                    viewer,
                    title,
                    position,
                    country,
                    device,
                    is_crawler,
                    outcome,
                });
            }
        }
    }
    slots
}

fn fill(dice: &mut Dice, is_crawler: bool) -> Fill {
    let reason = dice.one_of(&["guaranteed", "guaranteed", "guaranteed", "auction", "house_ad"]);
    let flight = if reason == "auction" { 0 } else { 4 + dice.below(5) as i64 };
    let settled = dice.one_of(&[Some("impressed"), Some("impressed"), Some("impressed"), Some("released"), None]);
    let reached = if settled == Some("impressed") { dice.below(5) } else { 0 };
    let earns = settled == Some("impressed") && reached >= 2 && !is_crawler && reason != "house_ad";
    let revenue = if earns { 18_333 + dice.below(9_000) as i64 } else { 0 };
    let currency = (settled == Some("impressed")).then_some(if flight % 3 == 0 { "EUR" } else { "USD" });
    let (is_skipped, has_failed) = (reached < 4 && dice.below(5) == 0, reached < 4 && dice.below(9) == 0);
    Fill { reason, flight, settled, reached, revenue, currency, is_skipped, has_failed }
}

/// A value of a row; what is not named is null, or nothing of its kind.
pub(crate) enum Cell {
    Text(String),
    TextOrNull(Option<String>),
    Int(i64),
    IntOrNull(Option<i64>),
    Bool(bool),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Option<&str>> for Cell {
    fn from(text: Option<&str>) -> Self {
        Self::TextOrNull(text.map(Into::into))
    }
}

impl From<i64> for Cell {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<Option<i64>> for Cell {
    fn from(int: Option<i64>) -> Self {
        Self::IntOrNull(int)
    }
}

impl From<bool> for Cell {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

/// Writes a row of what is named.
pub(crate) fn row(rows: &mut Rows, cells: &[(&str, Cell)]) {
    let table = rows.table();
    for (name, _) in cells {
        assert!(table.column(name).is_some(), "{} has no column {name}", table.name);
    }
    let mut row = rows.row();
    for column in table.columns {
        let cell = cells.iter().find(|(name, _)| *name == column.name).map(|(_, cell)| cell);
        match (column.kind, cell) {
            (_, Some(Cell::Text(text))) => row.text(text),
            (_, Some(Cell::TextOrNull(text))) => row.text_or_null(text.as_deref()),
            (_, Some(Cell::Int(int))) => row.int(*int),
            (_, Some(Cell::IntOrNull(int))) => row.int_or_null(*int),
            (_, Some(Cell::Bool(bool))) => row.bool(*bool),
            (Kind::Text, None) if column.nullable => row.text_or_null(None),
            (Kind::Text, None) => row.text(""),
            (Kind::Int | Kind::Time, None) if column.nullable => row.int_or_null(None::<i64>),
            (Kind::Int | Kind::Time, None) => row.int(0),
            (Kind::Bool, None) => row.bool(false),
        };
    }
}

/// Writes a table's file.
pub(crate) fn write(lake: &Path, folder: &str, rows: &Rows) {
    let folder = lake.join(rows.table().name).join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("part.parquet"), file::write(rows).unwrap()).unwrap();
}

/// The files of these slots, in all tables that they are in.
pub(crate) fn write_slots(lake: &Path, slots: &[Slot]) {
    let mut hours: BTreeMap<i64, Vec<&Slot>> = BTreeMap::new();
    for slot in slots {
        hours.entry(slot.hour()).or_default().push(slot);
    }
    for (hour, slots) in hours {
        let folder = format!("date={}/hour={:02}", date(hour), hour / HOUR_MS % 24);
        let of = |table: &'static Table, add: &dyn Fn(&mut Rows, &Slot)| {
            let mut rows = Rows::new(table);
            for slot in &slots {
                add(&mut rows, slot);
            }
            write(lake, &folder, &rows);
        };
        of(&tables::OPPORTUNITIES, &opportunity);
        of(&tables::IMPRESSIONS, &impression);
        of(&tables::EVENTS, &events);
        of(&tables::HOURLY, &hourly);
    }
}

fn crawler(slot: &Slot) -> Option<&'static str> {
    slot.is_crawler.then_some("crawler")
}

fn opportunity(rows: &mut Rows, slot: &Slot) {
    let fill = slot.fill();
    row(
        rows,
        &[
            ("opportunity_id", slot.id.as_str().into()),
            ("opened_at", slot.opened_at.into()),
            ("break_id", slot.break_id.as_str().into()),
            ("slot_index", slot.slot_index.into()),
            ("viewer", slot.viewer.as_str().into()),
            ("title_id", slot.title.into()),
            ("position", slot.position.into()),
            ("country", slot.country.into()),
            ("device", slot.device.into()),
            ("invalid_traffic", crawler(slot).into()),
            ("outcome", if fill.is_some() { "filled" } else { "unfilled" }.into()),
            ("fill_reason", fill.map(|fill| fill.reason).into()),
            ("unfilled_reason", slot.unfilled().into()),
            ("ad_id", fill.map(Fill::creative).into()),
            ("record_id", fill.map(|_| "0123456789abcdef").into()),
            ("advertiser_id", fill.map(Fill::advertiser).into()),
            ("campaign_id", fill.map(Fill::campaign).into()),
            ("flight_id", fill.map(|fill| fill.flight).into()),
            ("creative_id", fill.map(Fill::creative).into()),
            ("settled", fill.and_then(|fill| fill.settled).into()),
        ],
    );
}

fn impression(rows: &mut Rows, slot: &Slot) {
    let Some(fill) = slot.impression() else { return };
    row(
        rows,
        &[
            ("opportunity_id", slot.id.as_str().into()),
            ("opened_at", slot.opened_at.into()),
            ("break_id", slot.break_id.as_str().into()),
            ("viewer", slot.viewer.as_str().into()),
            ("title_id", slot.title.into()),
            ("position", slot.position.into()),
            ("fill_reason", fill.reason.into()),
            ("advertiser_id", fill.advertiser().into()),
            ("campaign_id", fill.campaign().into()),
            ("flight_id", fill.flight.into()),
            ("creative_id", fill.creative().into()),
            ("furthest_quartile", QUARTILES[fill.reached].into()),
            ("threshold_passed", fill.is_delivered().into()),
            ("recognized_revenue_micros", fill.revenue.into()),
            ("currency", fill.currency.into()),
            ("invalid_traffic", crawler(slot).into()),
        ],
    );
}

/// The quartiles that were reached, ten seconds apart, the last one reported twice.
fn events(rows: &mut Rows, slot: &Slot) {
    let Some(fill) = slot.impression() else { return };
    for (index, event) in QUARTILES[..=fill.reached].iter().enumerate() {
        let session = &slot.viewer[16..];
        row(
            rows,
            &[
                ("opportunity_id", slot.id.as_str().into()),
                ("opened_at", slot.opened_at.into()),
                ("break_id", Some(slot.break_id.as_str()).into()),
                ("session", Some(session).into()),
                ("ad_id", fill.creative().into()),
                ("event", (*event).into()),
                ("at", (slot.opened_at + 10_000 * index as i64).into()),
                ("deliveries", if index == fill.reached { 2 } else { 1 }.into()),
                ("counts", true.into()),
            ],
        );
    }
}

/// A row of the counts for each slot: as good as fewer, larger ones, as every question sums them.
fn hourly(rows: &mut Rows, slot: &Slot) {
    let (fill, impression) = (slot.fill(), slot.impression());
    let reached = |place: usize| i64::from(impression.is_some_and(|fill| fill.reached >= place));
    let is = |is: bool| Cell::Int(is.into());
    row(
        rows,
        &[
            ("hour", slot.hour().into()),
            ("title_id", slot.title.into()),
            ("position", slot.position.into()),
            ("country", slot.country.into()),
            ("device", slot.device.into()),
            ("outcome", if fill.is_some() { "filled" } else { "unfilled" }.into()),
            ("fill_reason", fill.map(|fill| fill.reason).into()),
            ("unfilled_reason", slot.unfilled().into()),
            ("advertiser_id", fill.map(Fill::advertiser).into()),
            ("campaign_id", fill.map(Fill::campaign).into()),
            ("flight_id", fill.map(|fill| fill.flight).into()),
            ("creative_id", fill.map(Fill::creative).into()),
            ("currency", impression.and_then(|fill| fill.currency).into()),
            ("invalid_traffic", crawler(slot).into()),
            ("slots", 1.into()),
            ("impressed", is(impression.is_some())),
            ("released", is(fill.is_some_and(|fill| fill.settled == Some("released")))),
            ("first_quartiles", reached(1).into()),
            ("midpoints", reached(2).into()),
            ("third_quartiles", reached(3).into()),
            ("completes", reached(4).into()),
            ("skips", is(impression.is_some_and(|fill| fill.is_skipped))),
            ("errors", is(impression.is_some_and(|fill| fill.has_failed))),
            ("delivered", is(impression.is_some_and(Fill::is_delivered))),
            ("revenue_micros", fill.map_or(0, |fill| fill.revenue).into()),
        ],
    );
}
