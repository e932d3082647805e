//! The queue: what is taken out to be sent, and what becomes of it.

use std::collections::BTreeMap;

use rusqlite::{Connection, TransactionBehavior, named_params, params};
use slotkeeper_core::time::UnixMillis;

use super::{Limits, vendor::Vendor, verdict::Verdict};

/// The longest reason that is kept.
const REASON_CHARS_MAX: usize = 300;

/// A call to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) firing_id: i64,
    pub(super) vendor: String,
    pub(super) url: String,
    /// This one included.
    pub(super) attempts: u32,
    pub(super) give_up_at: UnixMillis,
}

/// The sender's end of the queue.
pub(super) struct Queue {
    db: Connection,
}

/// By the name of each.
pub(super) type Vendors = BTreeMap<String, Vendor>;

impl Queue {
    pub(super) fn new(db: Connection) -> Self {
        Self { db }
    }

    /// Makes calls that were being sent when the program ended due again. Nobody knows whether the vendor has them; a call
    /// too many is better than one too few. Returns how many.
    pub(super) fn recover(&mut self) -> rusqlite::Result<usize> {
        let commit = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        commit.execute(
            "UPDATE vendors SET cut_off = cut_off + (SELECT count(*) FROM queue q WHERE q.vendor = vendors.vendor AND sending = 1)",
            [],
        )?;
        let recovered = commit.execute("UPDATE queue SET sending = 0 WHERE sending = 1", [])?;
        commit.commit()?;
        Ok(recovered)
    }

    /// Writes down what became of calls and takes out others, as many as `room` and each vendor's own limits allow: in one
    /// commit, after which those taken out are marked as being sent.
    pub(super) fn turn(
        &mut self,
        ended: &[(Job, Verdict)],
        room: usize,
        vendors: &mut Vendors,
        limits: &Limits,
        now: UnixMillis,
    ) -> rusqlite::Result<Vec<Job>> {
        let wanted = self.wanted(room, vendors, limits, now)?;
        if ended.is_empty() && wanted.is_empty() {
            return Ok(vec![]);
        }
        let commit = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (job, verdict) in ended {
            settle(&commit, job, verdict, now)?;
        }
        let mut jobs = Vec::new();
        for (vendor, calls) in wanted {
            jobs.extend(take(&commit, &vendor, calls, now)?);
        }
        commit.commit()?;
        for job in &jobs {
            vendors.entry(job.vendor.clone()).or_default().begin(1);
        }
        Ok(jobs)
    }

    /// How many calls of whom are due and allowed. Whoever has the fewest under way comes first, so that a slow vendor, all of
    /// whose calls are under way, does not take the room of others.
    fn wanted(
        &self,
        room: usize,
        vendors: &mut Vendors,
        limits: &Limits,
        now: UnixMillis,
    ) -> rusqlite::Result<Vec<(String, usize)>> {
        if room == 0 {
            return Ok(vec![]);
        }
        let mut due = Vec::new();
        let mut select = self.db.prepare_cached(
            "SELECT vendor FROM vendors v WHERE queued > 0 AND EXISTS (
                 SELECT 1 FROM queue q
                 WHERE q.vendor = v.vendor AND sending = 0 AND due_at_ms <= ?1 AND give_up_at_ms > ?1)",
        )?;
        for vendor in select.query_map([now.0], |row| row.get::<_, String>(0))? {
            let vendor = vendor?;
            let known = vendors.entry(vendor.clone()).or_default();
            let allowed = known.room(limits, now);
            if allowed > 0 {
                due.push((known.in_flight, vendor, allowed));
            }
        }
        due.sort();
        let mut left = room;
        let mut wanted = Vec::new();
        for (index, (_, vendor, allowed)) in due.iter().enumerate() {
            let share = left.div_ceil(due.len() - index).min(*allowed);
            if share > 0 {
                wanted.push((vendor.clone(), share));
            }
            left -= share;
        }
        Ok(wanted)
    }
}

fn take(db: &Connection, vendor: &str, calls: usize, now: UnixMillis) -> rusqlite::Result<Vec<Job>> {
    let mut update = db.prepare_cached(
        "UPDATE queue SET sending = 1, attempts = attempts + 1 WHERE firing_id IN (
             SELECT firing_id FROM queue
             WHERE vendor = ?1 AND sending = 0 AND due_at_ms <= ?2 AND give_up_at_ms > ?2
             ORDER BY due_at_ms, firing_id LIMIT ?3)
         RETURNING firing_id, vendor, url, attempts, give_up_at_ms",
    )?;
    let jobs = update.query_map(params![vendor, now.0, calls], |row| {
        Ok(Job {
            firing_id: row.get(0)?,
            vendor: row.get(1)?,
            url: row.get(2)?,
            attempts: row.get(3)?,
            give_up_at: UnixMillis(row.get(4)?),
        })
    })?;
    jobs.collect()
}

/// Gives up calls whose time has come while they waited, as for a vendor that is down for days: a bounded part of them at a
/// time. Returns how many.
pub(super) fn give_up_for_age(db: &Connection, now: UnixMillis) -> rusqlite::Result<usize> {
    let mut select = db.prepare_cached(
        "SELECT firing_id, vendor, url, attempts, last_failure FROM queue
         WHERE give_up_at_ms <= ?1 AND sending = 0 ORDER BY give_up_at_ms LIMIT 5000",
    )?;
    let rows = select.query_map([now.0], |row| {
        let last_failure: Option<String> = row.get(4)?;
        let why = format!("given up for its age: {}", last_failure.as_deref().unwrap_or("its turn never came"));
        let (firing_id, vendor, url, attempts) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok((Job { firing_id, vendor, url, attempts, give_up_at: now }, Verdict::Dead { why }))
    })?;
    let old = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    old.iter().try_for_each(|(job, verdict)| settle(db, job, verdict, now))?;
    Ok(old.len())
}

fn settle(db: &Connection, job: &Job, verdict: &Verdict, now: UnixMillis) -> rusqlite::Result<()> {
    let id = job.firing_id;
    let state = match verdict {
        Verdict::Again { at, url, why } => {
            db.prepare_cached(
                "UPDATE queue SET sending = 0, due_at_ms = ?2, url = ?3, last_failure = ?4 WHERE firing_id = ?1",
            )?
            .execute(params![id, at.0, url, on_one_line(why)])?;
            return Ok(());
        }
        Verdict::Delivered => "delivered",
        Verdict::Dead { why } => {
            db.prepare_cached(
                "INSERT INTO dead_letters SELECT firing_id, url, attempts, :why, :now FROM queue WHERE firing_id = :id",
            )?
            .execute(named_params! { ":id": id, ":why": on_one_line(why), ":now": now.0 })?;
            "dead"
        }
    };
    db.prepare_cached("DELETE FROM queue WHERE firing_id = ?1")?.execute([id])?;
    db.prepare_cached("UPDATE firings SET state = ?2, settled_at_ms = ?3 WHERE firing_id = ?1")?
        .execute(params![id, state, now.0])?;
    db.prepare_cached(&format!("UPDATE vendors SET {state} = {state} + 1 WHERE vendor = ?1"))?
        .execute([&job.vendor])?;
    Ok(())
}

/// What a vendor or a resolver says, so that it can neither end a line nor steer a terminal.
fn on_one_line(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
