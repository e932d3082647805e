//! The fold of one hour: from its facts as they came, and the ads as sold, to its tables and totals. Pure.
//!
//! The rules are those of the live fold (`worker/src/fold`), which the tests hold it against: of every break one decision stands
//! ([`election`]), also if some of its rows are of other hours, and what is shown of its slots is a join over their beacons ([`beacons`]).
//!
//! **Memory.** An hour of more than [`PASS_ROWS`] facts is folded in passes, by ranges of the bucket that every slot's id carries: so
//! all facts of a break are in one pass. What the passes made is merged. The files are the same, whichever the number of passes.

mod beacons;
mod election;
mod hourly;
mod merge;
mod slots;
mod tables;
mod totals;

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use slotkeeper_core::{
    contract::RegistryRecord,
    id::{OpportunityId, RecordId},
};

use crate::{
    apart::Apart,
    columns::Rows,
    error::LakeError,
    file::{FileGroups, FileWriter},
    hour::Hour,
    tables::{EVENTS, HOURLY, IMPRESSIONS, OPPORTUNITIES, RAW_BEACONS, RAW_OPPORTUNITIES, Table},
};
use beacons::Beacons;
pub(crate) use election::Rival;
use hourly::Hourly;
use slots::Slots;
pub(crate) use totals::Totals;

/// How many facts are folded at once, of each hour that is: about a quarter of a gigabyte.
pub const PASS_ROWS: u64 = 500_000;

/// The tables that are folded.
pub const DERIVED: [&Table; 4] = [&OPPORTUNITIES, &IMPRESSIONS, &EVENTS, &HOURLY];

/// What came, file by file, in the order in which it came.
pub(crate) trait Raw {
    /// How many files an hour's table has.
    fn files(&self, table: &'static Table) -> usize;
    /// One of them, and its name.
    fn file(&self, table: &'static Table, index: usize) -> Result<(String, Bytes), LakeError>;
}

/// The ads as sold.
pub(crate) type Terms<'a> = &'a mut dyn FnMut(RecordId) -> Result<Option<RegistryRecord>, LakeError>;

/// An hour's files and sums.
pub(crate) struct Folded {
    /// In the order of [`DERIVED`].
    pub(crate) files: [Vec<u8>; 4],
    pub(crate) totals: Totals,
    pub(crate) tally: Tally,
    /// Ads as sold that are not known.
    pub(crate) unknown: BTreeSet<RecordId>,
    /// What elections in other hours need of its rows.
    pub(crate) rivals: Vec<Rival>,
}

/// What became of an hour's facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) unique: u64,
    pub(crate) duplicate: u64,
    /// Rows under an id that another break's slot has.
    pub(crate) refused: u64,
}

/// What is known of the ads as sold, asked for once each.
pub(crate) struct KnownTerms<'a> {
    ask: Terms<'a>,
    known: HashMap<RecordId, Option<RegistryRecord>>,
}

impl KnownTerms<'_> {
    fn get(&mut self, id: RecordId) -> Result<Option<&RegistryRecord>, LakeError> {
        if !self.known.contains_key(&id) {
            let record = (self.ask)(id)?;
            self.known.insert(id, record);
        }
        Ok(self.known.get(&id).and_then(Option::as_ref))
    }

    fn unknown(&self) -> BTreeSet<RecordId> {
        self.known.iter().filter(|(_, record)| record.is_none()).map(|(id, _)| *id).collect()
    }
}

/// A part of the slots: those of a range of buckets.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    index: u32,
    of: u32,
}

impl Pass {
    fn takes(self, id: OpportunityId) -> bool {
        self.of == 1 || (u32::from(id.bucket()) * self.of) >> 16 == self.index
    }
}

/// What the passes write to.
pub(crate) struct Outputs {
    pub(crate) opportunities: FileWriter,
    pub(crate) impressions: FileWriter,
    pub(crate) events: FileWriter,
}

/// Folds an hour of `raw_rows` facts.
pub(crate) fn fold_hour(
    hour: Hour,
    raw: &dyn Raw,
    raw_rows: u64,
    pass_rows: u64,
    apart: &Apart,
    terms: Terms<'_>,
) -> Result<Folded, LakeError> {
    let of = u32::try_from(raw_rows.div_ceil(pass_rows).clamp(1, 1 << 16)).unwrap_or(1);
    let mut terms = KnownTerms { ask: terms, known: HashMap::new() };
    let (mut totals, mut tally, mut hourly) = (Totals::default(), Tally::default(), Hourly::default());
    let (mut runs, mut rivals) = (Vec::new(), Vec::new());
    for index in 0..of {
        let pass = Pass { index, of };
        let mut outputs = Outputs::new(if of == 1 { None } else { Some(merge::RUN_GROUP_ROWS) })?;
        let slots = Slots::read(raw, pass, &mut tally)?;
        let beacons = Beacons::read(raw, pass)?;
        rivals.extend(slots.told(&apart.breaks, &beacons));
        let standing = election::standing(&slots, &beacons, &apart.rivals);
        tables::write_pass(
            hour,
            &slots,
            &standing,
            &beacons,
            &mut terms,
            &mut outputs,
            &mut hourly,
            &mut totals,
            &mut tally,
        )?;
        runs.push(outputs.finish()?);
    }
    let files = match runs.len() {
        1 => runs.remove(0),
        _ => merge::merge(runs)?,
    };
    totals.check(hour, &hourly)?;
    let [opportunities, impressions, events] = files;
    let hourly = hourly.write(hour)?;
    Ok(Folded { files: [opportunities, impressions, events, hourly], totals, tally, unknown: terms.unknown(), rivals })
}

impl Outputs {
    fn new(group_rows: Option<usize>) -> Result<Self, LakeError> {
        let file = |table: &'static Table| {
            let file =
                group_rows.map_or_else(|| FileWriter::new(table), |rows| FileWriter::with_groups_of(table, rows));
            file.map_err(LakeError::file(table.name))
        };
        Ok(Self { opportunities: file(&OPPORTUNITIES)?, impressions: file(&IMPRESSIONS)?, events: file(&EVENTS)? })
    }

    fn finish(self) -> Result<[Vec<u8>; 3], LakeError> {
        Ok([
            self.opportunities.finish().map_err(LakeError::file(OPPORTUNITIES.name))?,
            self.impressions.finish().map_err(LakeError::file(IMPRESSIONS.name))?,
            self.events.finish().map_err(LakeError::file(EVENTS.name))?,
        ])
    }
}

/// All rows of a table's files, row group by row group, with the file's name.
fn for_each_group(
    raw: &dyn Raw,
    table: &'static Table,
    mut each: impl FnMut(&str, Rows) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    debug_assert!(table.name == RAW_OPPORTUNITIES.name || table.name == RAW_BEACONS.name);
    for index in 0..raw.files(table) {
        let (name, bytes) = raw.file(table, index)?;
        for group in FileGroups::open(table, bytes).map_err(LakeError::file(&name))? {
            each(&name, group.map_err(LakeError::file(&name))?)?;
        }
    }
    Ok(())
}

/// What a column of ours says, read from a file.
fn parsed<T: std::str::FromStr>(
    rows: &Rows,
    column: &'static str,
    place: usize,
    row: usize,
    name: &str,
) -> Result<T, LakeError> {
    rows.columns()[place].text(row).and_then(|text| text.parse().ok()).ok_or_else(|| LakeError::Damaged {
        name: name.into(),
        row,
        column,
    })
}
