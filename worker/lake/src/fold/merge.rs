//! Merging what the passes made: files that are each in the order of `opportunity_id`, and have no slot in common.

use bytes::Bytes;

use crate::{
    columns::Rows,
    error::LakeError,
    file::{FileGroups, FileWriter},
    tables::{EVENTS, IMPRESSIONS, OPPORTUNITIES, Table},
};

/// How many rows of each run are in memory.
pub(super) const RUN_GROUP_ROWS: usize = 8 * 1024;

/// The files of all runs.
pub(super) fn merge(runs: Vec<[Vec<u8>; 3]>) -> Result<[Vec<u8>; 3], LakeError> {
    let mut tables = [Vec::new(), Vec::new(), Vec::new()];
    for run in runs {
        run.into_iter().zip(&mut tables).for_each(|(file, of_table)| of_table.push(Bytes::from(file)));
    }
    let [opportunities, impressions, events] = tables;
    Ok([
        merge_table(&OPPORTUNITIES, opportunities)?,
        merge_table(&IMPRESSIONS, impressions)?,
        merge_table(&EVENTS, events)?,
    ])
}

/// Where a run is.
struct Run {
    groups: FileGroups<Bytes>,
    rows: Rows,
    next: usize,
}

impl Run {
    /// The id of its next row; `None` at its end.
    fn peek(&mut self, table: &'static Table) -> Result<Option<&str>, LakeError> {
        while self.next == self.rows.len() {
            let Some(group) = self.groups.next() else { return Ok(None) };
            self.rows = group.map_err(LakeError::file(table.name))?;
            self.next = 0;
        }
        Ok(self.rows.columns()[0].text(self.next))
    }
}

fn merge_table(table: &'static Table, files: Vec<Bytes>) -> Result<Vec<u8>, LakeError> {
    debug_assert_eq!(table.columns[0].name, "opportunity_id");
    let fault = || LakeError::file(table.name);
    let mut runs = Vec::new();
    for file in files {
        runs.push(Run { groups: FileGroups::open(table, file).map_err(fault())?, rows: Rows::new(table), next: 0 });
    }
    let mut out = FileWriter::new(table).map_err(fault())?;
    loop {
        // Few runs, each with its next row at hand: looking at all of them is what a heap would do.
        let mut least: Option<(String, usize)> = None;
        for (index, run) in runs.iter_mut().enumerate() {
            if let Some(id) = run.peek(table)?
                && least.as_ref().is_none_or(|(least, _)| id < least.as_str())
            {
                least = Some((id.to_owned(), index));
            }
        }
        let Some((id, index)) = least else { break };
        let run = &mut runs[index];
        while run.peek(table)? == Some(id.as_str()) {
            let mut row = out.row().map_err(fault())?;
            for column in run.rows.columns() {
                row.copy(column, run.next);
            }
            drop(row);
            run.next += 1;
        }
    }
    out.finish().map_err(fault())
}
