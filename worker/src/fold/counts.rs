//! What became of the facts received, so that `received = fresh + duplicate + refused` can be shown for every edge.

use rusqlite::{Connection, params};

/// What became of one fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It told something new.
    Fresh,
    /// It was known.
    Duplicate,
    /// It contradicts itself, or is out of bounds.
    Refused,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) received: u64,
    pub(super) fresh: u64,
    pub(super) duplicate: u64,
    pub(super) refused: u64,
}

impl Counts {
    pub(super) fn count(&mut self, verdict: Verdict) {
        self.received += 1;
        match verdict {
            Verdict::Fresh => self.fresh += 1,
            Verdict::Duplicate => self.duplicate += 1,
            Verdict::Refused => self.refused += 1,
        }
    }

    pub(super) fn add_to(self, db: &Connection, edge_id: &str) -> rusqlite::Result<()> {
        db.prepare_cached(
            "INSERT INTO fact_counts (edge_id, received, fresh, duplicate, refused) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (edge_id) DO UPDATE SET received = received + ?2, fresh = fresh + ?3,
                 duplicate = duplicate + ?4, refused = refused + ?5",
        )?
        .execute(params![edge_id, self.received, self.fresh, self.duplicate, self.refused])?;
        Ok(())
    }
}
