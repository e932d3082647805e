//! What became of the calls, for whoever operates the origin.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params_from_iter};
use serde::Serialize;
use slotkeeper_core::time::UnixMillis;

use super::connect;
use crate::data_dir::{connect_read_only, has_table};

/// How long after it was put back a dead letter is tried.
const RETRIED_FOR_MS: u64 = 24 * 3_600_000;

/// All vendors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// How far the log is read.
    pub offset: u64,
    /// How many events wait for the `start` of their ad.
    pub held_for_start: u64,
    /// How many wait for their ad to become known here.
    pub held_for_record: u64,
    /// By name.
    pub vendors: Vec<VendorStatus>,
}

/// One vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VendorStatus {
    /// Its host.
    pub vendor: String,
    /// Calls that wait.
    pub queued: u64,
    /// Those of them that have failed before.
    pub failing: u64,
    /// Calls that were answered.
    pub delivered: u64,
    /// Calls that were given up.
    pub dead: u64,
    /// Calls that a crash cut off and that were made again.
    pub cut_off: u64,
    /// Why one of those that wait failed.
    pub last_failure: Option<String>,
}

/// A call that was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// What `retry` knows it by.
    pub firing_id: i64,
    /// Whose it is.
    pub vendor: String,
    /// The slot.
    pub opportunity_id: String,
    /// What had happened.
    pub event: String,
    /// What was called.
    pub url: String,
    /// How often.
    pub attempts: u32,
    /// Why no more.
    pub reason: String,
    /// When it was given up.
    pub died_at: UnixMillis,
}

/// Which dead letters to put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// All of them.
    All,
    /// Those of one vendor.
    Vendor(String),
    /// These.
    Firings(Vec<i64>),
}

/// `trackers.db`, for looking at it beside a `serve`.
pub struct TrackerReport {
    db: Connection,
}

impl TrackerReport {
    /// Opens an existing `trackers.db`; `None` if there is none yet.
    pub fn open(path: &Path) -> rusqlite::Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let db = connect_read_only(path)?;
        Ok(has_table(&db, "held")?.then_some(Self { db }))
    }

    /// How it goes with each vendor.
    pub fn status(&self) -> rusqlite::Result<Status> {
        let one = |sql: &str| self.db.query_row(sql, [], |row| row.get(0));
        let mut select = self.db.prepare(
            "SELECT vendor, queued, (SELECT count(*) FROM queue q WHERE q.vendor = v.vendor AND last_failure IS NOT NULL),
                 delivered, dead, cut_off,
                 (SELECT last_failure FROM queue q WHERE q.vendor = v.vendor AND last_failure IS NOT NULL LIMIT 1)
             FROM vendors v ORDER BY vendor",
        )?;
        let vendors = select.query_map([], |row| {
            Ok(VendorStatus {
                vendor: row.get(0)?,
                queued: row.get(1)?,
                failing: row.get(2)?,
                delivered: row.get(3)?,
                dead: row.get(4)?,
                cut_off: row.get(5)?,
                last_failure: row.get(6)?,
            })
        })?;
        Ok(Status {
            offset: one("SELECT coalesce(max(seq), 0) FROM consumed")?,
            held_for_start: one("SELECT count(*) FROM held WHERE waits_for = 'start'")?,
            held_for_record: one("SELECT count(*) FROM held WHERE waits_for = 'record'")?,
            vendors: vendors.collect::<rusqlite::Result<_>>()?,
        })
    }

    /// The dead letters given up last, of one vendor or of all.
    pub fn dead(&self, vendor: Option<&str>, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
        let mut select = self.db.prepare(
            "SELECT firing_id, vendor, opportunity_id, event, d.url, d.attempts, d.reason, d.died_at_ms
             FROM dead_letters d JOIN firings USING (firing_id) WHERE ?1 IS NULL OR vendor = ?1
             ORDER BY died_at_ms DESC, firing_id DESC LIMIT ?2",
        )?;
        let letters = select.query_map(rusqlite::params![vendor, limit], |row| {
            Ok(DeadLetter {
                firing_id: row.get(0)?,
                vendor: row.get(1)?,
                opportunity_id: row.get(2)?,
                event: row.get(3)?,
                url: row.get(4)?,
                attempts: row.get(5)?,
                reason: row.get(6)?,
                died_at: UnixMillis(row.get(7)?),
            })
        })?;
        letters.collect()
    }

    /// Puts dead letters back into the queue, to be tried as often as new ones, for a day. Returns how many.
    pub fn retry(path: &Path, which: &Retried, now: UnixMillis) -> rusqlite::Result<usize> {
        let mut db = connect(path)?;
        let commit = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (condition, values): (String, Vec<rusqlite::types::Value>) = match which {
            Retried::All => ("1".into(), vec![]),
            Retried::Vendor(vendor) => ("vendor = ?".into(), vec![vendor.clone().into()]),
            Retried::Firings(ids) => {
                let places = vec!["?"; ids.len()].join(", ");
                (format!("firing_id IN ({places})"), ids.iter().map(|id| (*id).into()).collect())
            }
        };
        commit.execute_batch("CREATE TEMP TABLE back (firing_id INTEGER PRIMARY KEY, vendor TEXT NOT NULL)")?;
        let back = commit.execute(
            &format!("INSERT INTO back SELECT firing_id, vendor FROM dead_letters JOIN firings USING (firing_id) WHERE {condition}"),
            params_from_iter(values),
        )?;
        commit.execute(
            "INSERT INTO queue (firing_id, vendor, url, due_at_ms, give_up_at_ms, last_failure)
             SELECT firing_id, vendor, url, ?1, ?2, reason FROM back JOIN dead_letters USING (firing_id)",
            [now.0, now.plus_ms(RETRIED_FOR_MS).0],
        )?;
        commit.execute_batch(
            "DELETE FROM dead_letters WHERE firing_id IN (SELECT firing_id FROM back);
             UPDATE firings SET state = 'queued', settled_at_ms = NULL WHERE firing_id IN (SELECT firing_id FROM back);
             UPDATE vendors SET dead = dead - (SELECT count(*) FROM back WHERE back.vendor = vendors.vendor);",
        )?;
        commit.commit()?;
        Ok(back)
    }
}
