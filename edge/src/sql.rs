//! The store's schema and statements in SQLite, for every platform whose store is SQLite.
//!
//! A whole break is one `INSERT` into the view `break_commits`: its trigger checks, claims, remembers and appends, and
//! an `INSERT` is atomic whatever happens around it. Numbers stay below 2^53, because one platform passes them through
//! JavaScript.

use crate::store::OUTBOX_ENTRIES_MAX;

/// The schema's number, kept in `PRAGMA user_version` where there is one.
pub const SCHEMA_VERSION: u32 = 2;

/// What the trigger raises, and so what the error's text holds, when a commit lost a race.
pub const LOST: &str = "slotkeeper:lost";

/// One statement each; all can be repeated. No name is one that an earlier number used for something else.
pub const SCHEMA: [&str; 8] = [
    "CREATE TABLE IF NOT EXISTS viewer_states(
       viewer BLOB PRIMARY KEY, version INTEGER NOT NULL, state BLOB NOT NULL, keep_until INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS viewer_states_by_end ON viewer_states(keep_until)",
    "CREATE TABLE IF NOT EXISTS breaks(
       break_id BLOB PRIMARY KEY, viewer BLOB NOT NULL, answer BLOB NOT NULL, remember_until INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS breaks_by_end ON breaks(remember_until)",
    // AUTOINCREMENT: a number is never used twice, so an acknowledgement never deletes what came later.
    "CREATE TABLE IF NOT EXISTS outbox(sequence INTEGER PRIMARY KEY AUTOINCREMENT, facts TEXT NOT NULL)",
    PLAN_IN_FORCE_TABLE,
    "CREATE VIEW IF NOT EXISTS break_commits AS
       SELECT NULL AS break_id, NULL AS viewer, NULL AS from_version, NULL AS state, NULL AS keep_until,
              NULL AS answer, NULL AS remember_until, NULL AS facts WHERE 0",
    // The outbox has a bound: past it, rows go straight to the origin, before the disk is full.
    "CREATE TRIGGER IF NOT EXISTS commit_a_break INSTEAD OF INSERT ON break_commits BEGIN
       SELECT RAISE(ABORT, 'slotkeeper:lost')
        WHERE EXISTS (SELECT 1 FROM breaks WHERE break_id = NEW.break_id)
           OR (NEW.state IS NOT NULL
               AND NEW.from_version <> coalesce((SELECT version FROM viewer_states WHERE viewer = NEW.viewer), 0));
       SELECT RAISE(ABORT, 'slotkeeper:the outbox is full')
        WHERE coalesce((SELECT max(sequence) FROM outbox) - (SELECT min(sequence) FROM outbox), 0) >= 500000;
       INSERT INTO viewer_states(viewer, version, state, keep_until)
         SELECT NEW.viewer, NEW.from_version + 1, NEW.state, NEW.keep_until WHERE NEW.state IS NOT NULL
         ON CONFLICT(viewer) DO UPDATE
           SET version = excluded.version, state = excluded.state, keep_until = excluded.keep_until;
       INSERT INTO breaks(break_id, viewer, answer, remember_until)
         VALUES (NEW.break_id, NEW.viewer, NEW.answer, NEW.remember_until);
       INSERT INTO outbox(facts) VALUES (NEW.facts);
     END",
];

/// The part of the schema that a keeper of plans alone needs.
pub const PLAN_IN_FORCE_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS plan_in_force(one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL)";

/// Parameters: viewer, break id. One row: state version, state or null, answer or null, plan version or null.
pub const VIEW: &str = "SELECT coalesce(v.version, 0) AS state_version, v.state AS state, b.answer AS answer,
       p.version AS plan_version
  FROM (SELECT 1) LEFT JOIN viewer_states v ON v.viewer = ?1 LEFT JOIN breaks b ON b.break_id = ?2
  LEFT JOIN plan_in_force p ON p.one = 1";

/// Parameters: break id, viewer, from version, state or null, keep until, answer, remember until, facts.
pub const COMMIT: &str =
    "INSERT INTO break_commits(break_id, viewer, from_version, state, keep_until, answer, remember_until, facts)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// Parameters: the least and the greatest break id of a stem. A row for each such break, which is one but by a rare
/// chance: viewer, state version, state or null.
pub const HOLDERS: &str = "SELECT b.viewer, coalesce(v.version, 0) AS state_version, v.state
  FROM breaks b LEFT JOIN viewer_states v USING (viewer) WHERE b.break_id BETWEEN ?1 AND ?2";

/// Parameters: viewer, from version, state, keep until. One row if the state was replaced, else none.
pub const SETTLE: &str = "UPDATE viewer_states SET version = ?2 + 1, state = ?3, keep_until = ?4
  WHERE viewer = ?1 AND version = ?2 RETURNING version";

/// Parameters: viewer, the instant. Empties a viewer's state, and keeps its version until the sweep: begun again from nothing, a
/// commit that was decided from what is forgotten could not be told from a right one.
pub const FORGET_STATE: &str =
    "UPDATE viewer_states SET version = version + 1, state = x'', keep_until = ?2 WHERE viewer = ?1";

/// Parameter: viewer. Takes them out of the answers that are remembered for retries.
pub const FORGET_IN_ANSWERS: &str = "UPDATE breaks SET viewer = zeroblob(16) WHERE viewer = ?1";

/// Rows: sequence, facts; oldest first.
pub fn outbox() -> String {
    format!("SELECT sequence, facts FROM outbox ORDER BY sequence LIMIT {OUTBOX_ENTRIES_MAX}")
}

/// Parameter: the last acknowledged sequence.
pub const ACKNOWLEDGE: &str = "DELETE FROM outbox WHERE sequence <= ?1";

/// One row, one number: how many entries are left, or a few more where some are missing in between. Counting them all
/// would cost more the longer the outbox is.
pub const OUTBOX_LEFT: &str =
    "SELECT coalesce((SELECT max(sequence) FROM outbox) - (SELECT min(sequence) FROM outbox) + 1, 0) AS n";

/// How long an ended state or answer is kept all the same, so that no decision in flight can meet a state that was
/// forgotten and begun again.
pub const GRACE_MS: u64 = 3_600_000;

/// Each forgets a bounded number of what ended before the instant given as parameter.
pub const SWEEP: [&str; 2] = [
    "DELETE FROM breaks WHERE break_id IN (SELECT break_id FROM breaks WHERE remember_until < ?1 LIMIT 500)",
    "DELETE FROM viewer_states WHERE viewer IN (SELECT viewer FROM viewer_states WHERE keep_until < ?1 LIMIT 500)",
];

/// Parameter: a plan's version. Moves forward only.
pub const PUT_PLAN_IN_FORCE: &str = "INSERT INTO plan_in_force(one, version) VALUES (1, ?1)
  ON CONFLICT(one) DO UPDATE SET version = excluded.version WHERE excluded.version > version";

/// One row if there is a plan, else none.
pub const PLAN_IN_FORCE: &str = "SELECT version FROM plan_in_force";
