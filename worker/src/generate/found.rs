//! What the origin's books say, as figures with the truth's names.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};
use rusqlite::{Connection, Row};
use slotkeeper_core::{id::OpportunityId, time::UnixMillis};
use slotkeeper_lake::{columns::Rows, file, tables};
use slotkeeper_world::{
    Figures,
    truth::{CreativeLine, HourLine, Sums},
};

use super::GenerateError;
use crate::{
    data_dir::{self, DataDir},
    fold::parsed,
};

const HOUR_MS: u64 = 3_600_000;

/// The figures of one set of books.
pub(super) struct Found {
    /// All but those by hour.
    pub(super) figures: Figures,
    hours: Hours,
    /// Beginnings of the names of figures that these books do not hold.
    untold: &'static [&'static str],
}

/// Slots by hour.
enum Hours {
    Counted(BTreeMap<u64, Figures>),
    /// The file of each hour, to be read when it is asked for.
    Files(BTreeMap<u64, PathBuf>),
}

impl Found {
    /// Whether the books say anything of a figure.
    pub(super) fn tells(&self, figure: &str) -> bool {
        !self.untold.iter().any(|untold| figure.starts_with(untold))
    }

    /// The slots of an hour, which is asked for once.
    pub(super) fn hour(&mut self, hour_at_ms: u64) -> Result<Figures, GenerateError> {
        match &mut self.hours {
            Hours::Counted(hours) => Ok(hours.remove(&hour_at_ms).unwrap_or_default()),
            Hours::Files(files) => files.remove(&hour_at_ms).map_or_else(|| Ok(Figures::new()), |file| slots_in(&file)),
        }
    }

    /// The slots of hours that nobody asked for.
    pub(super) fn hours_left(&mut self) -> Result<Vec<Figures>, GenerateError> {
        let left: Vec<u64> = match &self.hours {
            Hours::Counted(hours) => hours.keys().copied().collect(),
            Hours::Files(files) => files.keys().copied().collect(),
        };
        left.into_iter().map(|hour| self.hour(hour)).collect()
    }
}

/// What the live fold says; nothing before it was run.
pub(super) fn in_fold(data: &DataDir) -> Result<Option<Found>, GenerateError> {
    if !data.fold().exists() {
        return Ok(None);
    }
    let db = data_dir::connect_read_only(&data.fold())?;
    if !data_dir::has_table(&db, "fct_ad_opportunities")? {
        return Ok(None);
    }
    let mut counted = Counted::default();
    let mut select = db.prepare(
        "SELECT o.opportunity_id, o.title_id, o.position, o.outcome, coalesce(o.fill_reason, o.unfilled_reason),
             o.flight_id, o.creative_id, o.invalid_traffic IS NOT NULL, s.settled = 'released',
             i.furthest_quartile, i.threshold_passed, i.recognized_revenue_micros, i.currency, i.skip_at_ms IS NOT NULL,
             i.error_at_ms IS NOT NULL
         FROM fct_ad_opportunities o LEFT JOIN fill_states s USING (opportunity_id)
             LEFT JOIN fct_ad_impressions i USING (opportunity_id)",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        counted.count(row)?;
    }
    drop(rows);
    let reach = "SELECT o.campaign_id, count(DISTINCT o.viewer)
         FROM fct_ad_impressions i JOIN fct_ad_opportunities o USING (opportunity_id)
         WHERE o.invalid_traffic IS NULL GROUP BY o.campaign_id"; // sorted on disk: viewers are many
    let mut select = db.prepare(reach)?;
    for campaign in select.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, u64>(1)?)))? {
        let (campaign, viewers) = campaign?;
        counted.figures.insert(format!("campaign {campaign}: reach"), viewers.into());
    }
    Ok(Some(counted.found()))
}

/// Sums over the live fold's rows.
#[derive(Default)]
struct Counted {
    figures: Figures,
    hours: BTreeMap<u64, Figures>,
    creatives: BTreeMap<u32, CreativeLine>,
}

impl Counted {
    fn count(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let id: OpportunityId = parsed(row, 0)?;
        let opened_at = id.opened_at();
        let hour = HourLine {
            hour_at_ms: opened_at.0 / HOUR_MS * HOUR_MS,
            title_id: row.get(1)?,
            position: row.get(2)?,
            outcome: row.get(3)?,
            reason: row.get(4)?,
            slots: 1,
            invalid: u64::from(row.get::<_, bool>(7)?),
        };
        hour.figures_into(self.hours.entry(hour.hour_at_ms).or_default());
        *self.figures.entry("slots".into()).or_default() += 1;
        *self.figures.entry(hour.outcome).or_default() += 1;
        let Some(flight_id) = row.get::<_, Option<u32>>(5)? else { return Ok(()) };
        let furthest: Option<String> = row.get(9)?;
        let names = ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"];
        let reached = names.iter().position(|name| Some(*name) == furthest.as_deref()).map_or(0, |place| place + 1);
        let (is_valid, began): (bool, bool) = (!row.get::<_, bool>(7)?, reached > 0);
        let sums = Sums {
            filled: 1,
            impressed: u64::from(began),
            released: u64::from(row.get::<_, Option<bool>>(8)?.unwrap_or(false)),
            delivered: u64::from(is_valid && row.get::<_, Option<bool>>(10)?.unwrap_or(false)),
            completes: u64::from(reached == 5),
            revenue_micros: row.get::<_, Option<i64>>(11)?.unwrap_or(0),
            ..Sums::default()
        };
        let currency: Option<String> = row.get(12)?;
        sums.figures_into(&mut self.figures, &day_of(opened_at), flight_id, currency.as_deref().unwrap_or_default());

        let creative_id: u32 = row.get(6)?;
        let creative = self.creatives.entry(creative_id).or_default();
        creative.creative_id = creative_id;
        creative.filled += 1;
        creative.reached.iter_mut().take(reached).for_each(|count| *count += 1);
        creative.skips += u64::from(began && row.get::<_, bool>(13)?);
        creative.errors += u64::from(began && row.get::<_, bool>(14)?);
        Ok(())
    }

    fn found(self) -> Found {
        let mut figures = self.figures;
        self.creatives.values().for_each(|line| line.figures_into(&mut figures));
        Found { figures, hours: Hours::Counted(self.hours), untold: &[] }
    }
}

/// What the lake says: its totals, and its counts by hour; nothing before it was folded.
pub(super) fn in_lake(data: &DataDir) -> Result<Option<Found>, GenerateError> {
    let (totals, hours) = (data.path().join("lake.db"), data.path().join("lake").join(tables::HOURLY.name));
    if !totals.exists() || !hours.exists() {
        return Ok(None);
    }
    let mut figures = totals_in(&data_dir::connect_read_only(&totals)?)?;
    let files = files_of(&hours)?;
    for file in files.values() {
        creatives_in(file, &mut figures)?;
    }
    // Whom a campaign reached is in no total: it takes all impressions at once.
    Ok(Some(Found { figures, hours: Hours::Files(files), untold: &["campaign "] }))
}

fn totals_in(db: &Connection) -> rusqlite::Result<Figures> {
    let mut figures = Figures::new();
    let slots = "SELECT coalesce(sum(slots), 0), coalesce(sum(filled), 0), coalesce(sum(unfilled), 0) FROM slot_totals";
    let counts: [i64; 3] = db.query_row(slots, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
    figures.extend(["slots", "filled", "unfilled"].into_iter().zip(counts).map(|(name, n)| (name.into(), n.into())));
    let mut select = db.prepare(
        "SELECT quarter_at_ms, flight_id, currency, filled, impressed, released, delivered, completes, revenue_micros
         FROM flight_totals",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let sums = Sums {
            filled: row.get(3)?,
            impressed: row.get(4)?,
            released: row.get(5)?,
            delivered: row.get(6)?,
            completes: row.get(7)?,
            revenue_micros: row.get(8)?,
            ..Sums::default()
        };
        let day = day_of(UnixMillis(row.get(0)?));
        sums.figures_into(&mut figures, &day, row.get(1)?, &row.get::<_, String>(2)?);
    }
    Ok(figures)
}

/// The one file of each hour, by when it begins.
fn files_of(table: &Path) -> Result<BTreeMap<u64, PathBuf>, GenerateError> {
    let fault = |error: io::Error| GenerateError::Truth { path: table.into(), reason: error.to_string() };
    let mut files = BTreeMap::new();
    for date in fs::read_dir(table).map_err(fault)? {
        let date = date.map_err(fault)?;
        for hour in fs::read_dir(date.path()).map_err(fault)? {
            let hour = hour.map_err(fault)?;
            let names = (date.file_name(), hour.file_name());
            let (date, hour_name) = (names.0.to_string_lossy(), names.1.to_string_lossy());
            let at = date.strip_prefix("date=").zip(hour_name.strip_prefix("hour="));
            let at = at.and_then(|(date, hour)| format!("{date}T{hour}:00:00Z").parse::<Timestamp>().ok());
            let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
            let file = hour.path().join("part.parquet");
            if let Some(at) = at.filter(|_| file.exists()) {
                files.insert(at, file);
            }
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Rows, GenerateError> {
    let fault = |reason: String| GenerateError::Truth { path: path.into(), reason };
    let opened = File::open(path).map_err(|error| fault(error.to_string()))?;
    file::read(&tables::HOURLY, opened).map_err(|error| fault(error.to_string()))
}

fn slots_in(path: &Path) -> Result<Figures, GenerateError> {
    let rows = read(path)?;
    let text = |name: &str, row| rows.column(name).text(row).map(String::from);
    let mut figures = Figures::new();
    for row in 0..rows.len() {
        let slots = rows.column("slots").int(row).unwrap_or_default().unsigned_abs();
        let line = HourLine {
            hour_at_ms: rows.column("hour").int(row).unwrap_or_default().unsigned_abs(),
            title_id: text("title_id", row).unwrap_or_default(),
            position: text("position", row).unwrap_or_default(),
            outcome: text("outcome", row).unwrap_or_default(),
            reason: text("fill_reason", row).or_else(|| text("unfilled_reason", row)).unwrap_or_default(),
            slots,
            invalid: if rows.column("invalid_traffic").is_present(row) { slots } else { 0 },
        };
        line.figures_into(&mut figures);
    }
    Ok(figures)
}

fn creatives_in(path: &Path, figures: &mut Figures) -> Result<(), GenerateError> {
    let rows = read(path)?;
    for row in 0..rows.len() {
        let int = |name: &str| rows.column(name).int(row).unwrap_or_default().unsigned_abs();
        let Some(creative) = rows.column("creative_id").int(row) else { continue };
        let line = CreativeLine {
            creative_id: u32::try_from(creative).unwrap_or_default(),
            filled: int("slots"),
            reached: ["impressed", "first_quartiles", "midpoints", "third_quartiles", "completes"].map(int),
            skips: int("skips"),
            errors: int("errors"),
            viewable: 0,
        };
        line.figures_into(figures);
    }
    Ok(())
}

/// The day (UTC) of an instant, as the truth names it.
fn day_of(at: UnixMillis) -> String {
    let at = Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or_default()).unwrap_or_default();
    at.to_zoned(TimeZone::UTC).date().to_string()
}
