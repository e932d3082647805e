//! Changing what the log holds: the one exception to "appended, never changed", for what the law says must go and what is too old.
//!
//! All of one change is one transaction, under whatever the caller notes beside it. What was there before is overwritten in the
//! file, not only unlinked.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use slotkeeper_core::time::UnixMillis;

use super::{Entry, LogError, Received, SqliteLog, packed};
use crate::data_dir;

/// A change of the log that is not committed yet.
pub(crate) struct Rewriting<'a>(Transaction<'a>);

impl SqliteLog {
    /// Begins a change. Nobody may append meanwhile: the caller holds the directory.
    pub(crate) fn rewriting(&mut self) -> Result<Rewriting<'_>, LogError> {
        self.db.pragma_update(None, "secure_delete", true)?;
        Ok(Rewriting(self.db.transaction_with_behavior(TransactionBehavior::Immediate)?))
    }

    /// The database, for what is kept beside the entries.
    pub(crate) fn beside(&self) -> &Connection {
        &self.db
    }

    /// Whether nothing of it was dropped.
    pub(crate) fn is_whole(&self) -> Result<bool, LogError> {
        Ok(self.first_seq()? == 1)
    }

    /// The last entry of those that all came before `at`; 0 if there is none.
    pub(crate) fn last_before(&self, at: UnixMillis) -> Result<u64, LogError> {
        let sql = "SELECT coalesce(
                (SELECT min(seq) - 1 FROM entries WHERE received_at_ms >= ?1), (SELECT max(seq) FROM entries), 0)";
        Ok(self.db.query_row(sql, [at.0], |row| row.get(0))?)
    }

    /// Drops the entries up to and including `seq`.
    pub(crate) fn drop_until(&self, seq: u64) -> Result<(), LogError> {
        self.db.pragma_update(None, "secure_delete", true)?;
        self.db.execute("DELETE FROM entries WHERE seq <= ?1", [seq])?;
        Ok(())
    }

    /// Makes the file as small as what it holds, and leaves nothing of before in it or beside it.
    pub(crate) fn leave_nothing_behind(&self) -> Result<(), LogError> {
        if !data_dir::leave_nothing_behind(&self.db)? {
            return Err(LogError(
                "somebody reads log.db, so what was there before cannot be erased; end that, and try again".into(),
            ));
        }
        Ok(())
    }
}

impl Rewriting<'_> {
    /// One entry, as it came.
    pub(crate) fn entry(&self, seq: u64) -> Result<Option<Entry>, LogError> {
        let mut select = self.0.prepare_cached("SELECT received_at_ms, batch FROM entries WHERE seq = ?1")?;
        let stored: Option<(u64, Vec<u8>)> =
            select.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((at, batch)) = stored else { return Ok(None) };
        let bytes = packed::unpack(&batch).map_err(|error| LogError(format!("entry {seq}: {error}")))?;
        Ok(Some(Entry { seq, received: Received { at: UnixMillis(at), bytes } }))
    }

    /// Puts other bytes in an entry's place.
    pub(crate) fn replace(&self, seq: u64, bytes: &[u8]) -> Result<(), LogError> {
        let mut update = self.0.prepare_cached("UPDATE entries SET batch = ?2 WHERE seq = ?1")?;
        update.execute(params![seq, &*packed::pack(bytes)])?;
        Ok(())
    }

    /// Where what must be true together with the change is written.
    pub(crate) fn beside(&self) -> &Connection {
        &self.0
    }

    /// All of it, from now on.
    pub(crate) fn commit(self) -> Result<(), LogError> {
        Ok(self.0.commit()?)
    }
}
